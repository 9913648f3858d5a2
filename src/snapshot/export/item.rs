//! An entry of a snapshot file to be, and where its bytes are.

use std::fs::File;
use std::sync::Arc;

use crate::archive::{Method, Packed};
use crate::storage::cell::Version;
use crate::storage::spool::Spool;

/// An entry to be.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) name: String,
    /// Seconds since 1970.
    pub(super) mtime: i64,
    pub(super) content: Content,
    /// The number and the stamp of the resource that it describes.
    pub(super) note: Option<(i64, i64)>,
}

/// Where the bytes of an entry are.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Bytes(Vec<u8>),
    /// A file of a box in one of its versions, and where it was.
    File {
        disk: String,
        version: Version,
        crc: Option<u32>,
    },
    /// The beginning of a file that only grows.
    Open {
        file: Arc<File>,
        size: u64,
    },
    Spool(Arc<Spool>),
}

impl Item {
    pub(super) fn bytes(name: &str, mtime: i64, bytes: Vec<u8>) -> Self {
        Self { name: name.to_owned(), mtime, content: Content::Bytes(bytes), note: None }
    }

    pub(super) fn spool(name: &str, mtime: i64, spool: Spool) -> Self {
        Self { name: name.to_owned(), mtime, content: Content::Spool(Arc::new(spool)), note: None }
    }

    pub(super) fn size(&self) -> u64 {
        match &self.content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::File { version, .. } => version.identity.size as u64,
            Content::Open { size, .. } => *size,
            Content::Spool(spool) => spool.len(),
        }
    }

    /// As it will be in the archive, but for what its content tells.
    pub(super) fn packed(&self, method: Method) -> Packed {
        let (name, mtime, size) = (self.name.clone(), self.mtime, self.size());
        Packed { name, mtime, method, crc: 0, size, compressed: 0 }
    }
}
