//! What a COPY of a tree reads of its source: everything below a collection at one moment, as narrow as it can be, because all of it
//! is in memory until it has been copied.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use super::{Attachments, Extent};
use crate::base::id::ResourceId;
use crate::storage::cell::{Cell, Version};
use crate::storage::database::cell_box::Lookup;
use crate::storage::database::resource::{Kind, Resource};
use crate::storage::error::{Error, Result};
use crate::storage::tree::Identity;

/// A tree, its folders before what is in them.
#[derive(Debug, Default)]
pub(super) struct Originals {
    pub folders: Vec<Folder>,
    pub files: Vec<Original>,
    /// Types of files; most have one of a few.
    types: HashSet<Arc<str>>,
}

/// A collection of the tree; the first is the top.
#[derive(Debug)]
pub(super) struct Folder {
    pub row: Resource,
    /// Where it lies, from the cell's directory.
    pub path: String,
    /// Position of its parent among the folders; the top has itself.
    pub parent: usize,
    /// Its files among all of them.
    pub files: Range<usize>,
    pub attachments: Attachments,
}

/// A file of the tree.
#[derive(Debug)]
pub(super) struct Original {
    pub name: Box<str>,
    pub version: Version,
    pub crc: Option<u32>,
    pub content_type: Option<Arc<str>>,
    /// None for most.
    pub attachments: Option<Box<Attachments>>,
}

impl Originals {
    /// Reads what `from` leads to in one transaction.
    pub(super) fn of(cell: &Cell, from: &Lookup, extent: Extent) -> Result<Self> {
        cell.read(|v| {
            let mut row = v.resource(from.nearest().id)?.ok_or(Error::Missing)?;
            if extent == Extent::Alone {
                row.children = 0;
            }
            let attachments = Attachments::of(v, &row, extent)?;
            let mut found = Self::default();
            found.folders.push(Folder { row, path: from.disk_path(), parent: 0, files: 0..0, attachments });
            let mut at = 0;
            while extent != Extent::Alone && at < found.folders.len() {
                let first = found.files.len();
                let (parent, path) = (found.folders[at].row.id, found.folders[at].path.clone());
                v.children(parent, |row| {
                    let attachments = Attachments::of(v, &row, extent)?;
                    if row.is_file() {
                        found.add_file(row, attachments);
                    } else {
                        let path = format!("{path}/{}", row.name);
                        found.folders.push(Folder { row, path, parent: at, files: 0..0, attachments });
                    }
                    Ok(())
                })?;
                found.folders[at].files = first..found.files.len();
                at += 1;
            }
            Ok(found)
        })
    }

    fn add_file(&mut self, row: Resource, attachments: Attachments) {
        let version = Version::of(&row);
        let content_type = row.content_type.map(|text| self.shared(&text));
        let attachments = (!attachments.is_empty()).then(|| Box::new(attachments));
        self.files.push(Original { name: row.name.into(), version, crc: row.crc, content_type, attachments });
    }

    fn shared(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.types.get(text) {
            return Arc::clone(known);
        }
        let text: Arc<str> = text.into();
        self.types.insert(Arc::clone(&text));
        text
    }

    /// The bytes of all files.
    pub(super) fn bytes(&self) -> i64 {
        self.files.iter().map(|file| file.version.identity.size).sum()
    }

    /// Folders and files.
    pub(super) fn count(&self) -> usize {
        self.folders.len() + self.files.len()
    }

    /// The path of a folder below the top.
    pub(super) fn below(&self, folder: &Folder) -> String {
        folder.path[self.folders[0].path.len()..].trim_start_matches('/').to_owned()
    }
}

impl Original {
    /// The row of its copy.
    pub(super) fn copied(&self, parent: ResourceId, id: ResourceId, identity: Identity) -> Resource {
        Resource {
            parent,
            name: self.name.to_string(),
            id,
            kind: Kind::File,
            flags: 0,
            version: 1,
            stamp: 0,
            created_ms: 0,
            mtime_ms: 0,
            seq: 0,
            placed_seq: 0,
            size: identity.size,
            crc: self.crc,
            ino: identity.ino,
            mtime_ns: identity.mtime_ns,
            content_type: self.content_type.as_deref().map(str::to_owned),
            children: 0,
            dir_mtime_ns: 0,
        }
    }
}
