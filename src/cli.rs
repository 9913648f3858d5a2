//! The command line: one verb a file. Data goes to stdout, everything meant for a person to stderr.

use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Verb};
use exit::Exit;
use printer::Printer;

mod account;
mod acl;
mod args;
mod cell;
mod cell_box;
mod check;
mod config;
mod error;
mod exit;
mod interrupt;
mod log;
mod meter;
mod objects;
mod output;
mod printer;
mod remote;
mod role;
mod serve;
mod snapshot;
mod token;
mod transfer;

/// Runs the program with the arguments of the process.
pub fn run() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(e) => {
            let exit = if e.use_stderr() { Exit::Refused } else { Exit::Ok };
            // Nobody is left to hear that even this could not be printed.
            let _ = e.print();
            return exit.into();
        }
    };
    let printer = Printer::new();
    let result = match &args.verb {
        Verb::Serve(verb) => serve::run(verb, &args.log, &printer),
        Verb::Config(verb) => config::run(verb, &printer),
        Verb::Cell(verb) => log::quietly(&args.log).and_then(|()| cell::run(verb, &printer)),
        Verb::Box(verb) => log::quietly(&args.log).and_then(|()| cell_box::run(verb, &printer)),
        Verb::Snapshot(verb) => log::quietly(&args.log).and_then(|()| snapshot::run(verb, &printer)),
        Verb::Check(verb) => log::start(&args.log).and_then(|()| check::run(verb, &printer)),
        Verb::Account(verb) => log::quietly(&args.log).and_then(|()| account::run(verb, &printer)),
        Verb::Role(verb) => log::quietly(&args.log).and_then(|()| role::run(verb, &printer)),
        Verb::Token(verb) => log::quietly(&args.log).and_then(|()| token::run(verb, &printer)),
        Verb::Acl(verb) => log::quietly(&args.log).and_then(|()| acl::run(verb, &printer)),
    };
    log::end();
    result
        .unwrap_or_else(|e| {
            printer.say(&format!("error: {e}"));
            if let Some(hint) = e.hint() {
                printer.say(&format!("hint: {hint}"));
            }
            e.exit()
        })
        .into()
}
