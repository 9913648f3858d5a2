//! Why a bar is refused before its installation begins: codes and texts of the answers.

use super::shortened;
use crate::domain::names::FieldError;

/// What a file is that cannot be opened as an archive at all.
pub const NOT_AN_ARCHIVE: &str = "archive is not a ZIP archive";

/// One refusal. It is shown as the message that the client gets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The archive cannot be read, or holds what no bar may hold.
    #[error("Cannot open bar file [{detail}].")]
    NotZip { detail: String },
    /// The archive has more members than allowed.
    #[error("Cannot open bar file [{members} members, at most {limit} are allowed].")]
    TooManyEntries { members: usize, limit: usize },
    /// The manifest of a current bar cannot be read, or has a key that no manifest has.
    #[error("Cannot open bar file [{detail}].")]
    Manifest { detail: String },
    /// The manifest of a legacy bar is no object, or has a key that no manifest has.
    #[error("[{file}] file format error.")]
    ManifestFormat { file: String },
    /// The manifest of a legacy bar cannot be read.
    #[error("Cannot read bar file [{entry}].")]
    ManifestUnreadable { entry: String },
    /// The manifest of a legacy bar has no schema, or one that is no URI.
    #[error("Invalid bar file structures [{entry}].")]
    ManifestSchema { entry: String },
    /// `bar_version` is absent or no number.
    #[error("Cannot read bar file [bar_version].")]
    VersionUnreadable,
    /// `bar_version` is a number that does not belong to the layout.
    #[error("Bar file structure and bar_version do not match.")]
    Version,
    #[error("Bar file size too large [{bytes}B].")]
    BarTooLarge { bytes: u64 },
    /// Required members are missing; their names, separated by spaces.
    #[error("Invalid bar file structures [{items}].")]
    MissingItem { items: String },
    #[error("Install target box is already registered as Box Schema[{schema}].")]
    SchemaTaken { schema: String },
    #[error("Install target box is already registered [{name}].")]
    NameTaken { name: String },
    #[error("Bar file entry size too large [{name}, {bytes}B].")]
    EntryTooLarge { name: String, bytes: u64 },
    /// The name or the schema is none that a box can have.
    #[error(transparent)]
    Box(#[from] FieldError),
}

impl Refusal {
    /// The code; its first digits are the status of the answer.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BarTooLarge { .. } => "PR400-BI-0002",
            Self::EntryTooLarge { .. } => "PR400-BI-0003",
            Self::SchemaTaken { .. } => "PR400-BI-0004",
            Self::ManifestFormat { .. } => "PR400-BI-0006",
            Self::NotZip { .. } | Self::TooManyEntries { .. } | Self::Manifest { .. } => "PR400-BI-0007",
            Self::ManifestUnreadable { .. } | Self::VersionUnreadable => "PR400-BI-0008",
            Self::ManifestSchema { .. } | Self::MissingItem { .. } => "PR400-BI-0009",
            Self::Version => "PR400-BI-0010",
            Self::NameTaken { .. } => "PR405-BI-0001",
            Self::Box(error) => error.code(),
        }
    }

    /// The message, without code; the beginning of a very long one.
    pub fn message(&self) -> String {
        shortened(&self.to_string()).into_owned()
    }

    /// A file that is no archive.
    pub fn not_zip(detail: impl Into<String>) -> Self {
        Self::NotZip { detail: detail.into() }
    }
}
