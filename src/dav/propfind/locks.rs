//! The property `lockdiscovery`: a resource's own locks, and those with depth infinity on the collections above it.
//!
//! A cell has few locks or none, so all of them are read before the listing begins.

use std::collections::HashSet;

use super::wanted::Wanted;
use crate::base::clock::now_ms;
use crate::base::id::ResourceId;
use crate::dav::gate::url_of;
use crate::dav::lock_xml::write_active;
use crate::domain::properties::Live;
use crate::storage::Result;
use crate::storage::database::View;
use crate::storage::database::lock::Lock;
use crate::web::public_url::Asked;

/// The locks of a cell, with the URL of each root.
pub(super) struct Locks {
    all: Vec<(Lock, String)>,
    /// The resources that they are on.
    locked: HashSet<ResourceId>,
    now_ms: i64,
    /// The collections above, from the box down.
    above: Vec<ResourceId>,
}

impl Locks {
    /// Reads the locks, if they are wanted at all.
    pub(super) fn of(view: &View<'_>, asked: &Asked, cell: &str, wanted: &Wanted) -> Result<Self> {
        let now_ms = now_ms();
        let are_wanted = match wanted {
            Wanted::All(_) => true,
            Wanted::Names => false,
            Wanted::These(names) => names.iter().any(|name| name.live == Some(Live::LockDiscovery)),
        };
        let all = if are_wanted { view.all_locks(now_ms)? } else { Vec::new() };
        let locked = all.iter().map(|l| l.lock.id).collect();
        let all = all.into_iter().map(|l| (l.lock, url_of(asked, cell, &l.chain))).collect();
        Ok(Self { all, locked, now_ms, above: Vec::new() })
    }

    pub(super) fn enter(&mut self, collection: ResourceId) {
        self.above.push(collection);
    }

    pub(super) fn leave_to(&mut self, depth: usize) {
        self.above.truncate(depth);
    }

    pub(super) fn is_any(&self) -> bool {
        !self.locked.is_empty()
    }

    /// Whether a resource is locked itself, not by what is above it.
    pub(super) fn is_on(&self, id: ResourceId) -> bool {
        self.locked.contains(&id)
    }

    /// Writes the property of a resource in the collection that was entered last.
    pub(super) fn write(&self, out: &mut String, id: ResourceId) {
        let mut covering = self
            .all
            .iter()
            .filter(|(lock, _)| lock.id == id || (lock.infinite && self.above.contains(&lock.id)))
            .peekable();
        if covering.peek().is_none() {
            out.push_str("<D:lockdiscovery/>");
            return;
        }
        out.push_str("<D:lockdiscovery>");
        for (lock, root) in covering {
            write_active(out, lock, root, self.now_ms);
        }
        out.push_str("</D:lockdiscovery>");
    }
}
