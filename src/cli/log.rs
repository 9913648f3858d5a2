//! The log on stderr: text for people, JSON for programs.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use super::args::{LogArgs, LogFormat};
use super::error::Error;

/// Starts the log of a verb that talks itself: unless told otherwise, only warnings.
pub(super) fn quietly(args: &LogArgs) -> Result<(), Error> {
    let filter = if args.filter == "info" { "warn".to_owned() } else { args.filter.clone() };
    start(&LogArgs { filter, format: args.format })
}

/// Starts the log of this process.
pub(super) fn start(args: &LogArgs) -> Result<(), Error> {
    let filter = EnvFilter::try_new(&args.filter)
        .map_err(|e| Error::LogFilter { filter: args.filter.clone(), message: e.to_string() })?;
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    match args.format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}
