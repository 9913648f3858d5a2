//! What the store answers when it does not do what it was asked.
//!
//! The first group are refusals that a client caused and can mend; the last three are failures of the machine, with the
//! operation and the path.

use std::io;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("no such cell")]
    CellMissing,
    #[error("no such box")]
    BoxMissing,
    #[error("no such resource")]
    Missing,
    #[error("the collection {0:?} does not exist")]
    ParentMissing(String),
    #[error("the name is taken")]
    Exists,
    #[error("the schema is taken")]
    SchemaTaken,
    #[error("a collection is in the way")]
    IsCollection,
    #[error("it is no collection that takes members")]
    NotCollection,
    #[error("the collection is not empty")]
    NotEmpty,
    #[error("source and destination are the same or contain one another")]
    SameResource,
    #[error("the collection holds as many members as it may")]
    ChildLimit,
    #[error("the collections are nested too deeply")]
    DepthLimit,
    #[error("the name {0:?} cannot be created")]
    Name(String),
    #[error("the cell holds as much as it may")]
    OverQuota,
    #[error("a precondition does not hold")]
    Precondition,
    #[error("the destination exists and must not be overwritten")]
    NoOverwrite,
    #[error("{0} is being executed")]
    Busy(&'static str),
    #[error("the cell is in use by another process")]
    InUse,
    /// A rule of the layer above that was checked inside the transaction.
    #[error("refused: {0}")]
    Refused(Refusal),

    #[error("{op} {path:?}")]
    Io { op: &'static str, path: String, source: io::Error },
    #[error("database: {op}")]
    Database { op: &'static str, source: rusqlite::Error },
    #[error("{path} has format {format}, which is newer than this program knows (up to {known})")]
    Newer { path: String, format: i64, known: i64 },
    #[error("inconsistent: {0}")]
    Inconsistent(String),
}

/// A refusal of the domain, carried through the store unread.
pub type Refusal = Box<dyn std::error::Error + Send + Sync>;

impl Error {
    pub fn io(op: &'static str, path: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { op, path: path.into(), source }
    }

    pub fn errno(op: &'static str, path: impl Into<String>) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |e| Self::Io { op, path: path.into(), source: e.into() }
    }

    pub fn database(op: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        move |source| Self::Database { op, source }
    }

    /// Whether the machine failed, not the request.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Database { .. } | Self::Newer { .. } | Self::Inconsistent(_))
    }

    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => matches!(source.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT)),
            Self::Database { source: rusqlite::Error::SqliteFailure(e, _), .. } => {
                e.code == rusqlite::ErrorCode::DiskFull || e.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
            }
            _ => false,
        }
    }
}
