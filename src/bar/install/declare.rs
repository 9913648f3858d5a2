//! What `90_rootprops.xml` declares: collections are made at once, files are remembered until their content comes.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;

use super::work::{Failure, Work};
use crate::bar::Layout;
use crate::bar::cause::Cause;
use crate::bar::rootprops::{self, Kind, ResourceDeclaration};
use crate::storage::build::{self, NewRow};
use crate::storage::database::property::Property;
use crate::storage::database::resource::{Kind as RowKind, Resource};
use crate::storage::tree::Identity;

/// The declarations, and what has become of them.
#[derive(Debug, Default)]
pub(super) struct Declared {
    pub(super) resources: Vec<ResourceDeclaration>,
    /// Paths in the tree, in NFC.
    pub(super) paths: Vec<String>,
    /// Positions of the parents; the box is its own.
    pub(super) parents: Vec<usize>,
    /// Members made so far.
    pub(super) children: Vec<i64>,
    created: Vec<bool>,
    ids: Vec<i64>,
}

/// A collection that was made.
pub(super) struct Folder<'d> {
    pub(super) id: i64,
    pub(super) path: &'d str,
    pub(super) children: i64,
}

impl Declared {
    fn new(resources: Vec<ResourceDeclaration>, box_id: i64, first_id: i64) -> Self {
        let positions: HashMap<&[String], usize> =
            resources.iter().enumerate().map(|(i, r)| (r.path.as_slice(), i)).collect();
        let parent = |r: &ResourceDeclaration| r.path.split_last().and_then(|(_, above)| positions.get(above).copied());
        let parents = resources.iter().enumerate().map(|(i, r)| parent(r).unwrap_or(i)).collect();
        let paths = resources.iter().map(|r| r.path.join("/").nfc().collect()).collect();
        let id = |(i, r): (usize, &ResourceDeclaration)| if r.path.is_empty() { box_id } else { first_id + i as i64 };
        let ids = resources.iter().enumerate().map(id).collect();
        let created = resources.iter().map(|r| r.path.is_empty()).collect();
        let children = vec![0; resources.len()];
        Self { resources, paths, parents, children, created, ids }
    }

    pub(super) fn id(&self, at: usize) -> i64 {
        self.ids[at]
    }

    /// The collections that were made; not the box.
    pub(super) fn folders(&self) -> Vec<Folder<'_>> {
        let made = |i: &usize| self.created[*i] && !self.resources[*i].path.is_empty();
        let folder = |i: usize| Folder { id: self.ids[i], path: &self.paths[i], children: self.children[i] };
        (0..self.resources.len()).filter(made).map(folder).collect()
    }

    pub(super) fn children_of_box(&self) -> i64 {
        self.resources.iter().position(|r| r.path.is_empty()).map_or(0, |at| self.children[at])
    }

    /// The row of a declared resource that was made, a file with its content.
    pub(super) fn row(&self, at: usize, kind: RowKind, identity: Identity, crc: Option<u32>) -> NewRow {
        let declaration = &self.resources[at];
        let path = &self.paths[at];
        let name = path.rsplit_once('/').map_or(path.as_str(), |(_, name)| name).to_owned();
        let content_type = declaration.content_type.clone().filter(|_| kind.is_file());
        let row = Resource {
            parent: self.ids[self.parents[at]],
            name,
            id: self.ids[at],
            kind,
            flags: 0,
            version: 1,
            stamp: 0,
            created_ms: 0,
            mtime_ms: 0,
            seq: 0,
            placed_seq: 0,
            size: identity.size,
            crc,
            ino: identity.ino,
            mtime_ns: identity.mtime_ns,
            content_type,
            children: 0,
            dir_mtime_ns: 0,
        };
        NewRow { row, properties: properties(declaration) }
    }
}

fn properties(declaration: &ResourceDeclaration) -> Vec<Property> {
    let kept = |p: &rootprops::Property| Property { ns: p.ns.clone(), local: p.local.clone(), xml: p.xml.clone() };
    declaration.properties.iter().map(kept).collect()
}

impl Work<'_> {
    /// Reads the declarations and makes what they declare, in their order.
    pub(super) fn declare(&mut self, bytes: &[u8], object: &str) -> Result<(), Failure> {
        let resources =
            rootprops::parse(bytes, self.install.plan.layout).map_err(|cause| Failure::entry(cause, object))?;
        let first = build::reserve_ids(&self.install.cell, resources.len())?;
        self.declared = Declared::new(resources, self.install.begun.cell_box.id, first);
        for at in 0..self.declared.resources.len() {
            self.make(at, object)?;
        }
        Ok(())
    }

    fn make(&mut self, at: usize, object: &str) -> Result<(), Failure> {
        let (is_box, kind) = (self.declared.resources[at].path.is_empty(), self.declared.resources[at].kind);
        let kind = match kind {
            _ if is_box => RowKind::Collection,
            Kind::Collection => RowKind::Collection,
            Kind::Service => RowKind::Service,
            Kind::File => return Ok(()),
            Kind::OData | Kind::Stream => return Err(Failure::entry(Cause::ODataUnsupported, object)),
        };
        if is_box {
            self.box_properties = properties(&self.declared.resources[at]);
        } else {
            self.make_collection(at, kind, object)?;
        }
        let acl = self.declared.resources[at].acl.clone().map_err(|cause| Failure::entry(cause, object))?;
        if let Some(acl) = acl {
            let id = self.declared.id(at);
            let planned = self.roles.resolve(&acl, id, &self.objects).map_err(|refused| refused.of(object))?;
            self.acls.extend(planned);
        }
        Ok(())
    }

    fn make_collection(&mut self, at: usize, kind: RowKind, object: &str) -> Result<(), Failure> {
        let limits = self.install.cell.core.limits;
        let declared = &mut self.declared;
        let (path, parent) = (&declared.resources[at].path, declared.parents[at]);
        let cause = if !declared.created[parent] {
            Some(Cause::Format(format!("{}{}/", Layout::V2.contents(), path.join("/"))))
        } else if path.len() > limits.depth {
            Some(Cause::TooDeep)
        } else if declared.children[parent] >= limits.children {
            Some(Cause::TooManyChildren)
        } else {
            None
        };
        if let Some(cause) = cause {
            return Err(Failure::entry(cause, object));
        }
        let made = self.tree.make_folder(&declared.paths[at]);
        // It may be there all the same.
        self.spoilt |= made.is_err();
        let ino = made?;
        declared.created[at] = true;
        declared.children[parent] += 1;
        let row = declared.row(at, kind, Identity { ino, size: 0, mtime_ns: 0 }, None);
        self.push_row(row)
    }
}
