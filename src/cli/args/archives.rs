//! What can be typed after `cellar cell`, `snapshot` and `box`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use super::people::Place;
use crate::config::Size;

#[derive(Debug, ClapArgs)]
pub(in super::super) struct CellArgs {
    #[command(flatten)]
    pub(in super::super) place: Place,
    #[command(subcommand)]
    pub(in super::super) verb: CellVerb,
}

#[derive(Debug, Subcommand)]
pub(in super::super) enum CellVerb {
    /// Write everything of a cell to a snapshot file, while people work in it
    Export(ExportArgs),
    /// Replace everything of a cell by what is in a snapshot file, or leave it as it is; on a directory no server may run
    #[command(allow_missing_positional = true)]
    Import {
        /// The cell's name; that in the file when it is not given. A cell that is not there is made
        cell: Option<String>,
        /// The snapshot file
        file: PathBuf,
    },
    /// Show how many bytes a cell holds and may hold, or set its limit; a server may run
    Quota {
        /// The name of the cell
        #[arg(value_name = "CELL")]
        cell: String,
        /// What it may hold, such as 5000000 or 10GiB; `none` leaves the unit's limit, `limits.cell_bytes`
        #[arg(value_name = "LIMIT", value_parser = quota_limit)]
        limit: Option<QuotaLimit>,
    },
}

#[derive(Debug, ClapArgs)]
pub(in super::super) struct ExportArgs {
    /// The cell's name
    pub(in super::super) cell: String,
    /// The snapshot's name; from the cell's name and the time when it is not given
    #[arg(long, value_name = "NAME")]
    pub(in super::super) name: Option<String>,
    /// Write the file here, and do not keep it in the snapshot area
    #[arg(short, long, value_name = "FILE")]
    pub(in super::super) output: Option<PathBuf>,
    /// How hard to compress: 1 is the fastest, 9 makes the smallest files; `cell_export.level` when it is not given
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u32).range(1..=9))]
    pub(in super::super) level: Option<u32>,
}

/// What a cell may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum QuotaLimit {
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

#[derive(Debug, ClapArgs)]
pub(in super::super) struct SnapshotArgs {
    #[command(flatten)]
    pub(in super::super) place: Place,
    #[command(subcommand)]
    pub(in super::super) verb: SnapshotVerb,
}

#[derive(Debug, Subcommand)]
pub(in super::super) enum SnapshotVerb {
    /// List the files
    Ls {
        /// The cell's name
        cell: String,
    },
    /// Copy one out
    Get {
        /// The cell's name
        cell: String,
        /// The file's name in the snapshot area
        name: String,
        /// Where to; the same name in the current directory when it is not given
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Copy one in
    Put {
        /// The cell's name
        cell: String,
        /// The file
        file: PathBuf,
        /// Its name in the snapshot area; its own when it is not given
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Remove one
    Rm {
        /// The cell's name
        cell: String,
        /// The file's name in the snapshot area
        name: String,
    },
}

#[derive(Debug, ClapArgs)]
pub(in super::super) struct BoxArgs {
    #[command(flatten)]
    pub(in super::super) place: Place,
    #[command(subcommand)]
    pub(in super::super) verb: BoxVerb,
}

#[derive(Debug, Subcommand)]
pub(in super::super) enum BoxVerb {
    /// Make a box from a bar file
    Install {
        /// The cell's name
        cell: String,
        /// The new box's name
        name: String,
        /// The bar file
        file: PathBuf,
    },
    /// Write a box to a bar file
    Export {
        /// The cell's name
        cell: String,
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
        /// The cell's name
        cell: String,
        /// The box's name
        name: String,
    },
}
