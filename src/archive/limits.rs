//! What opening an archive may cost, whatever the archive claims about itself.

/// Bounds on the directory of an archive. The size of an entry's content is bounded where the entry is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries, at most `u32::MAX`.
    pub entries: u64,
    /// Bytes of the central directory: names, extra fields and comments together.
    pub directory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 200_000, directory_bytes: 256 << 20 }
    }
}
