//! What can be typed.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

pub(super) mod archives;
pub(super) mod people;

use archives::{BoxArgs, CellArgs, SnapshotArgs};
use people::{AccountArgs, AclArgs, RoleArgs, TokenArgs};

const AFTER: &str = "\
Examples:
  cellar serve                                    a unit in ./unit, on http://127.0.0.1:8080/
  cellar serve --root /srv/unit --listen [::]:80  another place, every address
  CELLAR_SERVER__TLS_CERT=cert.pem CELLAR_SERVER__TLS_KEY=key.pem cellar serve --listen [::]:443    HTTPS
  CELLAR_LIMITS__BAR_SIZE=1GiB cellar config      what would be in force
  cellar check --root /srv/unit                   whether anything is missing or was changed by hand
  cellar cell quota alice 10GiB --root /srv/unit  what the cell `alice` may hold
  cellar cell export alice -o alice.zip           everything of a cell, as a file
  cellar cell import alice.zip                    and back, here or elsewhere, all of it or nothing
  cellar cell export alice --url https://unit.example/ -o alice.zip    from a server; CELLAR_TOKEN has its token
  cellar box install alice notes notes.bar        a box from a bar file
  cellar account add alice bob                    an account in the cell alice; the password comes from stdin
  cellar acl grant alice/notes editor read write  what a role may do in a box

Environment:
  CELLAR_UNIT_TOKEN      the token of the unit's administrator; else the file unit.token in the unit
  CELLAR_URL, CELLAR_TOKEN   a running server to speak to in place of a directory, and a token for it; CELLAR_CA is its --ca
  CELLAR_SECTION__KEY    a key of the configuration, such as CELLAR_LIMITS__BAR_SIZE
  CELLAR_ROOT, CELLAR_LISTEN, CELLAR_CONFIG, CELLAR_LOG, CELLAR_LOG_FORMAT    the flags of the same names

Exit status:
  0 done · 1 your request failed · 2 we failed · 3 done, with findings
  10 no unit at that path · 11 locked by another process · 130 interrupted";

/// Keeps people's application data in cells and boxes, and moves it in and out as archives.
#[derive(Debug, Parser)]
#[command(name = "cellar", version, after_help = AFTER, max_term_width = 120)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) log: LogArgs,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, ClapArgs)]
pub(super) struct LogArgs {
    /// What is logged to stderr: error, warn, info, debug, or a filter such as `info,cellar::server=debug`
    #[arg(long = "log", global = true, env = "CELLAR_LOG", value_name = "LEVEL", default_value = "info")]
    pub(super) filter: String,
    /// How log lines look
    #[arg(
        long = "log-format",
        global = true,
        env = "CELLAR_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub(super) format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Serve a unit over HTTP
    Serve(ServeArgs),
    /// Print every key of the configuration with its value, default and source
    Config(ConfigArgs),
    /// Compare what the unit knows with what lies on disk
    Check(CheckArgs),
    /// Accounts of a cell, their roles and drive passwords
    Account(AccountArgs),
    /// Roles of a cell
    Role(RoleArgs),
    /// Log in, look at tokens, end them
    Token(TokenArgs),
    /// Access control lists: show, grant, revoke
    Acl(AclArgs),
    /// Write a whole cell to a file, put one back, or set what it may hold
    Cell(CellArgs),
    /// The snapshot files that are kept with a cell
    Snapshot(SnapshotArgs),
    /// Install a box from a bar file, write one to a bar file, or ask how an installation stands
    Box(BoxArgs),
}

#[derive(Debug, ClapArgs)]
pub(super) struct ServeArgs {
    /// Where the unit lives; made when absent or empty
    #[arg(long, env = "CELLAR_ROOT", value_name = "DIR", default_value = "./unit")]
    pub(super) root: PathBuf,
    /// Where to listen; port 0 lets the system choose
    #[arg(long, env = "CELLAR_LISTEN", value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    pub(super) listen: String,
    /// A TOML file with keys of the configuration
    #[arg(long, env = "CELLAR_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct CheckArgs {
    /// Where the unit lives
    #[arg(long, env = "CELLAR_ROOT", value_name = "DIR", default_value = "./unit")]
    pub(super) root: PathBuf,
    /// Let the rows follow the disk: adopt what is new, forget what is gone
    #[arg(long)]
    pub(super) repair: bool,
    /// As --repair, also in cells that were copied here from another disk
    #[arg(long)]
    pub(super) adopt: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ConfigArgs {
    /// A TOML file with keys of the configuration
    #[arg(long, env = "CELLAR_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn help_tells_examples_environment_and_exit_status() {
        let help = Args::command().render_help().to_string();
        for word in ["Examples:", "CELLAR_UNIT_TOKEN", "Exit status:", "cellar serve --root"] {
            assert!(help.contains(word), "{word}");
        }
    }
}
