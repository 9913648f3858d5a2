//! The rules about which resource may lie below which.

use std::collections::HashMap;

use super::{Kind, ResourceDeclaration, SOURCE, href};
use crate::bar::Layout;
use crate::bar::cause::Cause;
use crate::base::path::{NewName, Segment};

/// Checks every resource against its parent, in the order of the document.
pub(super) fn check_tree(resources: &[ResourceDeclaration], layout: Layout) -> Result<(), Cause> {
    let kinds: HashMap<&[String], Kind> = resources.iter().map(|r| (r.path.as_slice(), r.kind)).collect();
    for resource in resources {
        let shown = || href(resource, layout);
        if let Some((name, parent)) = resource.path.split_last() {
            let source = name == SOURCE && resource.kind == Kind::Collection;
            match kinds.get(parent) {
                None => return Err(Cause::NoParent(shown())),
                Some(Kind::OData) => return Err(Cause::BelowOData(shown())),
                Some(Kind::Service) if !source => return Err(Cause::BelowService(shown())),
                Some(Kind::File) => return Err(Cause::BelowFile(shown())),
                Some(_) => {}
            }
        }
        if resource.kind == Kind::Service {
            let mut source = resource.path.clone();
            source.push(SOURCE.to_owned());
            if kinds.get(source.as_slice()) != Some(&Kind::Collection) {
                return Err(Cause::NoSource(shown()));
            }
        }
        if let Some(name) = resource.path.last()
            && Segment::new(name.as_str()).and_then(|segment| NewName::new(&segment)).is_err()
        {
            return Err(Cause::ResourceName(name.clone()));
        }
    }
    Ok(())
}
