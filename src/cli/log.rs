//! The log on stderr: text for people, JSON for programs.

use std::io::{self, IsTerminal, Stderr};
use std::panic;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use super::args::{LogArgs, LogFormat};
use super::error::Error;
use bulk::Bulk;

mod bulk;

/// What waits to be written, of a log that is not read by a person right now.
static WAITING: OnceLock<Bulk<Stderr>> = OnceLock::new();

/// Starts the log of a verb that talks itself: unless told otherwise, only warnings.
pub(super) fn quietly(args: &LogArgs) -> Result<(), Error> {
    let filter = if args.filter == "info" { "warn".to_owned() } else { args.filter.clone() };
    start(&LogArgs { filter, format: args.format })
}

/// Starts the log of this process.
pub(super) fn start(args: &LogArgs) -> Result<(), Error> {
    let filter = EnvFilter::try_new(&args.filter)
        .map_err(|e| Error::LogFilter { filter: args.filter.clone(), message: e.to_string() })?;
    let is_read = io::stderr().is_terminal();
    let writer = if is_read { BoxMakeWriter::new(io::stderr) } else { BoxMakeWriter::new(in_bulk()) };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(is_read);
    match args.format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}

fn in_bulk() -> Bulk<Stderr> {
    let bulk = WAITING.get_or_init(|| Bulk::new(io::stderr())).clone();
    let (waiting, tell) = (bulk.clone(), panic::take_hook());
    panic::set_hook(Box::new(move |what| {
        waiting.flush();
        tell(what);
    }));
    bulk
}

/// Writes what still waits. From here on nothing does.
pub(super) fn end() {
    if let Some(bulk) = WAITING.get() {
        bulk.end();
    }
}
