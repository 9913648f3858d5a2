//! What can be typed.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

pub(super) mod people;

use people::{AccountArgs, AclArgs, RoleArgs, TokenArgs};

use crate::config::Size;

const AFTER: &str = "\
Examples:
  cellar serve                                    a unit in ./unit, on http://127.0.0.1:8080/
  cellar serve --root /srv/unit --listen [::]:80  another place, every address
  CELLAR_SERVER__TLS_CERT=cert.pem CELLAR_SERVER__TLS_KEY=key.pem cellar serve --listen [::]:443    HTTPS
  CELLAR_LIMITS__BAR_SIZE=1GiB cellar config      what would be in force
  cellar check --root /srv/unit                   whether anything is missing or was changed by hand
  cellar cell quota alice 10GiB --root /srv/unit  what the cell `alice` may hold
  cellar cell export alice -o alice.zip           everything of a cell, as a file
  cellar cell import alice alice.zip              and back, all of it or nothing
  cellar box install alice notes notes.bar        a box from a bar file
  cellar account add alice bob                    an account in the cell alice; the password comes from stdin
  cellar acl grant alice/notes editor read write  what a role may do in a box

Environment:
  CELLAR_UNIT_TOKEN      the token of the unit's administrator; else the file unit.token in the unit
  CELLAR_URL, CELLAR_TOKEN   a running server for account, role, token and acl, and a token for it; CELLAR_CA is its --ca
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
    #[command(subcommand)]
    Snapshot(SnapshotVerb),
    /// Install a box from a bar file, write one to a bar file, or ask how an installation stands
    #[command(subcommand)]
    Box(BoxVerb),
}

#[derive(Debug, Subcommand)]
pub(super) enum BoxVerb {
    /// Make a box from a bar file
    Install {
        #[command(flatten)]
        place: CellPlace,
        /// The new box's name
        name: String,
        /// The bar file
        file: PathBuf,
    },
    /// Write a box to a bar file
    Export {
        #[command(flatten)]
        place: CellPlace,
        /// The box's name
        name: String,
        /// Where to; the box's name with `.bar` in the current directory when it is not given
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Also external roles and links
        #[arg(long)]
        all: bool,
    },
    /// Print how the installation of a box stands
    Status {
        #[command(flatten)]
        place: CellPlace,
        /// The box's name
        name: String,
    },
}

#[derive(Debug, ClapArgs)]
pub(super) struct CellArgs {
    #[command(subcommand)]
    pub(super) verb: CellVerb,
}

/// Where a cell is.
#[derive(Debug, ClapArgs)]
pub(super) struct CellPlace {
    /// Where the unit lives
    #[arg(long, env = "CELLAR_ROOT", value_name = "DIR", default_value = "./unit")]
    pub(super) root: PathBuf,
    /// Print JSON, one event a line
    #[arg(long)]
    pub(super) json: bool,
    /// The cell's name
    pub(super) cell: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum CellVerb {
    /// Write everything of a cell to a snapshot file, also while the unit is served
    Export {
        #[command(flatten)]
        place: CellPlace,
        /// The snapshot's name; from the cell's name and the time when it is not given
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Write the file here, and do not keep it in the snapshot area
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// How hard to compress: 1 is the fastest, 9 makes the smallest files
        #[arg(long, value_name = "LEVEL", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=9))]
        level: u32,
    },
    /// Replace everything of a cell by what is in a snapshot file, or leave it as it is; the cell must not be in use
    Import {
        #[command(flatten)]
        place: CellPlace,
        /// The snapshot file
        file: PathBuf,
    },
    /// Show how many bytes a cell holds and may hold, or set its limit; a server may run
    Quota(QuotaArgs),
}

#[derive(Debug, ClapArgs)]
pub(super) struct QuotaArgs {
    /// The name of the cell
    #[arg(value_name = "CELL")]
    pub(super) name: String,
    /// What it may hold, such as 5000000 or 10GiB; `none` leaves the unit's limit, `limits.cell_bytes`
    #[arg(value_name = "LIMIT", value_parser = quota_limit)]
    pub(super) limit: Option<QuotaLimit>,
    /// Where the unit lives
    #[arg(long, env = "CELLAR_ROOT", value_name = "DIR", default_value = "./unit")]
    pub(super) root: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// What a cell may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QuotaLimit {
    /// No number of its own.
    None,
    Bytes(i64),
}

fn quota_limit(text: &str) -> Result<QuotaLimit, String> {
    if text == "none" {
        return Ok(QuotaLimit::None);
    }
    let size: Size = text.parse().map_err(|reason| format!("it {reason}, nor `none`"))?;
    i64::try_from(size.0).map(QuotaLimit::Bytes).map_err(|_| "it is too large".to_owned())
}

#[derive(Debug, Subcommand)]
pub(super) enum SnapshotVerb {
    /// List the files
    Ls {
        #[command(flatten)]
        place: CellPlace,
    },
    /// Copy one out
    Get {
        #[command(flatten)]
        place: CellPlace,
        /// The file's name in the snapshot area
        name: String,
        /// Where to; the same name in the current directory when it is not given
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Copy one in
    Put {
        #[command(flatten)]
        place: CellPlace,
        /// The file
        file: PathBuf,
        /// Its name in the snapshot area; its own when it is not given
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Remove one
    Rm {
        #[command(flatten)]
        place: CellPlace,
        /// The file's name in the snapshot area
        name: String,
    },
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
