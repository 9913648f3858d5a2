//! Which properties a PROPFIND asks for.

use crate::base::xml::{DAV, Element};
use crate::domain::properties::Live;
use crate::web::problem::{Code, Problem};

/// A property by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::dav) struct Name {
    pub ns: String,
    pub local: String,
    /// The live property of that name.
    pub live: Option<Live>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::dav) enum Wanted {
    /// `allprop`, with what is included besides.
    All(Vec<Name>),
    /// `propname`
    Names,
    /// `prop`
    These(Vec<Name>),
}

impl Wanted {
    /// Whether it asks for what the cell holds or may still take.
    pub(super) fn quota(&self) -> bool {
        let (Self::All(names) | Self::These(names)) = self else { return false };
        names.iter().any(|name| matches!(name.live, Some(Live::QuotaAvailable | Live::QuotaUsed)))
    }

    /// Whether it asks whose the resource is.
    pub(super) fn owner(&self) -> bool {
        let (Self::All(names) | Self::These(names)) = self else { return false };
        names.iter().any(|name| name.live == Some(Live::Owner))
    }

    /// What a request without a body asks for.
    pub(super) fn everything() -> Self {
        Self::All(Vec::new())
    }

    /// The properties that a `prop` names.
    pub(in crate::dav) fn named_in(prop: &Element) -> Self {
        Self::These(names(prop))
    }

    /// Reads a `propfind`. One that names none of the three ways asks for everything.
    pub(super) fn of(root: &Element) -> Result<Self, Problem> {
        if !root.is(DAV, "propfind") {
            return Err(Problem::new(Code::XmlParse).because("the root is no propfind"));
        }
        if let Some(prop) = root.child(DAV, "prop") {
            return Ok(Self::named_in(prop));
        }
        if root.child(DAV, "propname").is_some() {
            return Ok(Self::Names);
        }
        Ok(Self::All(root.child(DAV, "include").map(names).unwrap_or_default()))
    }
}

/// The names of an element's children, each once.
fn names(element: &Element) -> Vec<Name> {
    let mut seen = std::collections::HashSet::new();
    let new = element.elements().filter(|e| seen.insert((&e.ns, &e.local)));
    new.map(|e| Name { ns: e.ns.clone(), local: e.local.clone(), live: Live::of(&e.ns, &e.local) }).collect()
}
