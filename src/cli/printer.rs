//! The two ways to speak: data on stdout, talk on stderr.

use std::io::{self, IsTerminal, Write};

use super::error::Error;

/// Prints for a verb.
#[derive(Debug)]
pub(super) struct Printer {
    out: io::Stdout,
    err: io::Stderr,
    interactive: bool,
}

impl Printer {
    pub(super) fn new() -> Self {
        let err = io::stderr();
        Self { out: io::stdout(), interactive: err.is_terminal(), err }
    }

    /// Whether a person reads stderr.
    pub(super) fn interactive(&self) -> bool {
        self.interactive
    }

    /// Writes data, with a line end. A reader that has gone away wanted no more.
    pub(super) fn data(&self, text: &str) -> Result<(), Error> {
        let mut out = self.out.lock();
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Error::System { op: "write to stdout", source: e }),
            _ => Ok(()),
        }
    }

    /// Says something to a person.
    pub(super) fn say(&self, text: &str) {
        // Nobody is left to hear that this could not be said.
        let _ = writeln!(self.err.lock(), "{text}");
    }
}
