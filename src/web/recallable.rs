//! What an answer says of itself that may be given again to the same request, as long as nothing of what it was made of changes.
//!
//! It travels with the answer to the connection (`server/recall.rs`).

use std::time::Instant;

use bytes::Bytes;

use crate::storage::known::Known;

/// An answer to GET or PROPFIND.
#[derive(Debug)]
pub struct Recallable {
    /// What it is about.
    pub known: Known,
    pub what: What,
    /// From when on the caller has to be looked at again.
    pub until: Instant,
}

/// Where the bytes of an answer come from.
#[derive(Debug)]
pub enum What {
    /// A file or a part of it.
    File {
        /// The content, if it is small.
        content: Option<Bytes>,
        /// Whether a `Range` counts, as far as the other headers have a say in it.
        ranges: bool,
    },
    /// Rows, as they were written into the answer.
    Document,
}
