//! What can be wrong with an archive. The texts may be shown to the user who sent it: they name entries, never paths of ours.

use std::io;

/// Why an archive or one of its entries is refused.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("archive is not a ZIP archive: {reason}")]
    NotZip { reason: &'static str },
    #[error("archive holds more than {limit} entries")]
    TooManyEntries { limit: u64 },
    #[error("directory of the archive is larger than {limit} bytes")]
    DirectoryTooLarge { limit: u64 },
    #[error("entry {name} is encrypted")]
    Encrypted { name: String },
    #[error("entry name {name} has a relative path segment")]
    RelativeName { name: String },
    #[error("entry name {name} is empty, not UTF-8, or holds a NUL")]
    BadName { name: String },
    #[error("entry {name} lies outside the archive")]
    Outside { name: String },
    #[error("entries {name} and {other} overlap")]
    Overlap { name: String, other: String },
    #[error("entry {name} is described differently by its own header and by the directory of the archive")]
    HeaderMismatch { name: String },
    #[error("entry {name} is compressed with method {method}; only stored and deflated entries can be read")]
    UnsupportedMethod { name: String, method: u16 },
    #[error("entry {name} has {size} bytes, more than {limit}")]
    TooLarge { name: String, size: u64, limit: u64 },
    #[error("entry {name} does not have the {declared} bytes that it declares")]
    LyingSize { name: String, declared: u64 },
    #[error("entry {name} does not match its checksum")]
    WrongCrc { name: String },
    #[error("entry {name} is corrupt")]
    Corrupt { name: String },
    #[error("member name of {bytes} bytes is longer than an archive can hold")]
    NameTooLong { bytes: usize },
    #[error("archive would be larger than can be counted")]
    TooLong,
    #[error("reading the archive failed: {0}")]
    Read(#[source] io::Error),
}

impl ArchiveError {
    /// Whether the bytes are no archive at all, as opposed to an archive with something in it that is refused.
    pub fn is_not_zip(&self) -> bool {
        matches!(self, Self::NotZip { .. })
    }
}

/// For readers that speak `std::io`; the archive error stays inside and can be found by downcast.
impl From<ArchiveError> for io::Error {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Read(error) => error,
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        }
    }
}
