//! Why an export or an import came to nothing, as clients are told: a code of the wire and a text.

use serde_json::json;

use crate::archive::ArchiveError;
use crate::storage;

/// The reason.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("The specified snapshot file is not zip file.")]
    NotZip,
    #[error("[{0}] does not exist in the snapshot file.")]
    Missing(String),
    #[error("Version of the snapshot file is invalid. Expected [2] but was [{0}].")]
    Version(String),
    /// Something in the file is not what it should be.
    #[error("The snapshot file is damaged. [{0}]")]
    Damaged(String),
    #[error("JSON parse error. [{0}].")]
    Json(String),
    /// The file holds what this server cannot keep.
    #[error("Not implemented. [{0}].")]
    Unsupported(String),
    #[error("Too many concurrent requests.")]
    TooMany,
    #[error("Not enough space on the disk.")]
    Full,
    #[error("Cell to be processed is being accessed by other requests.")]
    Accessed,
    /// Other processes did not let go of the cell; `0` names them.
    #[error("Cell to be processed is being accessed by other requests. [{0}].")]
    Held(String),
    #[error("{0}")]
    Stopped(&'static str),
    #[error("Unknown error.")]
    Unknown,
    /// A file was changed by hand while it was read.
    #[error("Files I/O error caused [read {0}] to fail.")]
    Broken(String),
    /// The machine failed; `0` is what it was doing.
    #[error("Files I/O error caused [{0}] to fail.")]
    Machine(&'static str, #[source] storage::Error),
}

/// What is told of a transfer whose process ended.
pub const EXPORT_STOPPED: Failure = Failure::Stopped("The server stopped during the export.");
pub const EXPORT_CANCELLED: Failure = Failure::Stopped("The export was cancelled.");
pub const IMPORT_CANCELLED: Failure = Failure::Stopped("The import was cancelled.");
pub const IMPORT_STOPPED: Failure = Failure::Stopped("The server stopped during the import.");

impl Failure {
    /// The code of the wire.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotZip => "PR400-MC-0004",
            Self::Missing(_) => "PR400-MC-0001",
            Self::Version(_) => "PR400-MC-0003",
            Self::Damaged(_) => "PR400-MC-0009",
            Self::Json(_) => "PR400-CM-0004",
            Self::Unsupported(_) => "PR501-MC-0002",
            Self::TooMany => "PR503-SV-0001",
            Self::Full => "PR507-DV-0002",
            Self::Accessed | Self::Held(_) => "PR409-MC-0001",
            Self::Stopped(_) | Self::Unknown => "PR500-SV-0000",
            Self::Broken(_) | Self::Machine(..) => "PR500-CM-0002",
        }
    }

    /// The document that tells it.
    pub fn document(&self) -> String {
        json!({ "code": self.code(), "message": { "lang": "en", "value": self.to_string() } }).to_string()
    }

    /// A failure of the store while it did something.
    pub(super) fn machine(what: &'static str) -> impl FnOnce(storage::Error) -> Self {
        move |error| match error {
            error if error.is_full() => Self::Full,
            storage::Error::InUse => Self::Accessed,
            error => Self::Machine(what, error),
        }
    }

    /// What is wrong with the archive, or the failure to read it.
    pub(super) fn archive(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Read(source) => {
                let path = "the snapshot file".to_owned();
                Self::Machine("read snapshot file", storage::Error::Io { op: "read", path, source })
            }
            e if e.is_not_zip() => Self::NotZip,
            e => Self::Damaged(e.to_string()),
        }
    }
}
