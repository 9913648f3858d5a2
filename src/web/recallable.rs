//! What an answer says of itself that may be given again to the same request, as long as nothing of what it was made of changes.
//!
//! It travels with the answer to the connection (`server/recall.rs`).

use std::time::Instant;

use bytes::Bytes;

use crate::storage::known::KnownFile;

/// The whole of a file, or a part of it, as an answer to GET.
#[derive(Debug)]
pub struct Recallable {
    pub file: KnownFile,
    /// The content, if it is small.
    pub content: Option<Bytes>,
    /// Whether a `Range` counts, as far as the other headers have a say in it.
    pub ranges: bool,
    /// From when on the caller has to be looked at again.
    pub until: Instant,
}
