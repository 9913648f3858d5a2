//! What the program's end tells the shell.

use std::process::ExitCode;

/// The exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(dead_code, reason = "the statuses are one table, whichever verbs there are")]
pub(super) enum Exit {
    Ok = 0,
    /// The user's request failed.
    Refused = 1,
    /// We failed.
    Failed = 2,
    /// Finished, with findings.
    Findings = 3,
    /// No unit at that path.
    NoUnit = 10,
    /// Locked by another process.
    Locked = 11,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
