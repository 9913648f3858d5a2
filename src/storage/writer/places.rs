//! Collections that operations lead to again and again, as the rows have them.
//!
//! They hold as long as nothing but files has changed: whoever changes anything else, or finds that somebody else has, clears them.

use std::collections::HashMap;

use crate::base::id::ResourceId;
use crate::base::path::ResourcePath;
use crate::storage::database::cell_box::Lookup;

/// Places that are kept, at most.
const MOST: usize = 256;

/// Lookups of collections that exist, by box and path.
#[derive(Debug, Default)]
pub(super) struct Places {
    names: HashMap<String, ResourceId>,
    kept: HashMap<ResourceId, Lookup>,
}

impl Places {
    pub(super) fn get(&self, box_name: &str, path: &ResourcePath) -> Option<Lookup> {
        if self.kept.is_empty() {
            return None;
        }
        let id = self.names.get(&key(box_name, path))?;
        self.kept.get(id).cloned()
    }

    /// Keeps what a path leads to, if that is a collection.
    pub(super) fn keep(&mut self, box_name: &str, path: &ResourcePath, lookup: &Lookup) {
        let Some(row) = lookup.found().filter(|row| !row.is_file()) else { return };
        if self.kept.len() >= MOST {
            self.clear();
        }
        self.names.insert(key(box_name, path), row.id);
        self.kept.insert(row.id, lookup.clone());
    }

    /// A collection has got one member more.
    pub(super) fn note_member(&mut self, collection: ResourceId) {
        if let Some(row) = self.kept.get_mut(&collection).and_then(|lookup| lookup.chain.last_mut()) {
            row.children += 1;
        }
    }

    pub(super) fn clear(&mut self) {
        self.names.clear();
        self.kept.clear();
    }
}

fn key(box_name: &str, path: &ResourcePath) -> String {
    format!("{box_name}/{path}")
}
