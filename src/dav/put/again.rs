//! PUTs that differ from one that was answered in nothing but the name of the file and its content.
//!
//! Where the unit's administrator puts small files, what decides the answers besides the rows is the same each time. It travels with
//! the first answer to the connection (`server/taking.rs`), which hands further files to the writer.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;

use super::{Answer, DavRequest, Gate};
use crate::base::path::ResourcePath;
use crate::dav::Named;
use crate::domain::lock::Reach;
use crate::storage::Unit;
use crate::storage::operation::put::Put;

/// What such PUTs have in common.
pub(crate) struct PutAgain {
    /// What the one that was answered named.
    named: Named,
    unit: Arc<Unit>,
    gate: Gate,
    content_type: Option<String>,
    body_limit: Option<u64>,
}

impl fmt::Debug for PutAgain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PutAgain").field("named", &self.named).finish_non_exhaustive()
    }
}

impl PutAgain {
    pub(super) fn of(request: &DavRequest, gate: Gate) -> Self {
        let content_type = request.headers.get(CONTENT_TYPE);
        Self {
            named: request.named.clone(),
            unit: request.unit.clone(),
            gate,
            content_type: content_type.map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()),
            body_limit: request.body_limit,
        }
    }

    pub(crate) fn cell(&self) -> &str {
        &self.named.cell
    }

    /// The path of the file that was put, below its box.
    pub(crate) fn path(&self) -> &ResourcePath {
        &self.named.path
    }

    /// Hands another file to the writer; none if it has to go the long way. An error is to be told by the long way too.
    pub(crate) fn put(&self, path: ResourcePath, bytes: Bytes) -> Option<Answer> {
        if bytes.len() as u64 > self.body_limit.unwrap_or(u64::MAX) {
            return None;
        }
        let cell = self.unit.writer_at_hand(&self.named.cell)?;
        let staged = cell.stage(bytes).ok()?;
        let gate = self.gate.clone();
        Some(cell.submit(Put {
            box_name: self.named.box_name.clone(),
            path,
            staged,
            content_type: self.content_type.clone().filter(|t| !t.is_empty()),
            mtime_ms: None,
            guard: Box::new(move |view, lookup| gate.check(view, lookup, Reach::Itself)),
            properties_of: None,
        }))
    }
}
