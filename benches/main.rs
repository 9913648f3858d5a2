//! The real server beside its peers, on this machine: rates, ratios and peak memory. `benches/run` builds, installs and runs it.
//!
//! Nothing is asserted: the figures are for people, and a shared machine makes them vary. What each row means and what it is
//! compared with stands in `docs/benchmarks.md`, where `--write` puts the table.

#![allow(clippy::disallowed_methods, reason = "a bench makes its own data on disk")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table is the result")]
#![allow(unreachable_pub, reason = "a bench has no public interface")]

mod cell;
mod changes;
mod children;
mod copy;
mod crowd;
mod data;
mod export;
mod first_byte;
mod get;
mod http;
mod install;
mod large;
mod listing;
mod options;
mod programs;
mod put;
mod relaxed;
mod table;
mod tree;

use std::error::Error;
use std::process::ExitCode;

use options::Options;
use table::Row;

/// What went wrong, for people.
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

type Section = fn(&Options) -> Result<Vec<Row>>;

/// Deletions come last: they slow down what is created after them.
const SECTIONS: &[(&str, Section)] = &[
    ("export", export::rows),
    ("first", first_byte::rows),
    ("get", get::rows),
    ("large", large::rows),
    ("put", put::rows),
    ("relaxed", relaxed::rows),
    ("install", install::rows),
    ("cell", cell::rows),
    ("listing", listing::rows),
    ("changes", changes::rows),
    ("copy", copy::rows),
    ("tree", tree::rows),
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1), SECTIONS.iter().map(|(name, _)| *name))?;
    options.make_directory()?;
    let mut rows = Vec::new();
    for (name, section) in SECTIONS {
        if !options.wants(name) {
            continue;
        }
        eprintln!("{name} …");
        match section(&options) {
            Ok(more) => {
                print!("{}", table::plain(&more));
                rows.extend(more);
            }
            Err(error) => eprintln!("{name}: {error}"),
        }
    }
    options.clean_up()?;
    let markdown = table::markdown(&rows);
    println!("\n{markdown}");
    if options.write { table::update("docs/benchmarks.md", &markdown) } else { Ok(()) }
}
