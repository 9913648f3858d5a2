//! What can be typed after `cellar account`, `role`, `token` and `acl`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

/// Where the unit is: a directory, also beside a server that runs on it, or a server elsewhere.
#[derive(Debug, ClapArgs)]
pub(in super::super) struct Place {
    /// The directory of the unit
    #[arg(long, global = true, env = "CELLAR_ROOT", value_name = "DIR", default_value = "./unit")]
    pub(in super::super) root: PathBuf,
    /// The URL of a running server in place of a directory; its token is in `CELLAR_TOKEN`, or in ~/.config/cellar/token
    #[arg(long, global = true, env = "CELLAR_URL", value_name = "URL")]
    pub(in super::super) url: Option<String>,
    /// A PEM file with the authorities that may sign the certificate of an https URL, in place of those of this machine
    #[arg(long, global = true, env = "CELLAR_CA", value_name = "FILE")]
    pub(in super::super) ca: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(in super::super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(in super::super) struct AccountArgs {
    #[command(flatten)]
    pub(in super::super) place: Place,
    #[command(subcommand)]
    pub(in super::super) verb: AccountVerb,
}

#[derive(Debug, Subcommand)]
pub(in super::super) enum AccountVerb {
    /// List the accounts of a cell
    Ls { cell: String },
    /// Add an account; its password is read from stdin, or from CELLAR_PASSWORD
    Add {
        cell: String,
        name: String,
        /// active, deactivated or passwordChangeRequired
        #[arg(long, default_value = "active")]
        status: String,
        /// IPv4 addresses and networks from which it may log in, separated by commas
        #[arg(long, value_name = "LIST")]
        addresses: Option<String>,
        /// Make an account that nobody can log in with
        #[arg(long)]
        no_password: bool,
    },
    /// Set the status of an account: active, deactivated or passwordChangeRequired
    Status { cell: String, name: String, status: String },
    /// Give an account another password, read from stdin or from CELLAR_PASSWORD
    Password { cell: String, name: String },
    /// Remove an account, with its drive passwords
    Rm { cell: String, name: String },
    /// Give an account a role
    Grant {
        cell: String,
        name: String,
        role: String,
        /// The box that the role belongs to
        #[arg(long = "box", value_name = "BOX")]
        cell_box: Option<String>,
    },
    /// Take a role from an account
    Revoke {
        cell: String,
        name: String,
        role: String,
        /// The box that the role belongs to
        #[arg(long = "box", value_name = "BOX")]
        cell_box: Option<String>,
    },
    /// Passwords with which an account mounts its boxes
    #[command(subcommand)]
    DrivePassword(DrivePasswordVerb),
}

#[derive(Debug, Subcommand)]
pub(in super::super) enum DrivePasswordVerb {
    /// List the drive passwords of a cell
    Ls { cell: String },
    /// Make a drive password and print it, this once
    Add {
        cell: String,
        account: String,
        /// What it is called, such as the device
        name: String,
        /// The one box that it opens; without, all that the account may open
        #[arg(long = "box", value_name = "BOX")]
        cell_box: Option<String>,
    },
    /// Remove a drive password
    Rm { cell: String, name: String },
}

#[derive(Debug, ClapArgs)]
pub(in super::super) struct RoleArgs {
    #[command(flatten)]
    pub(in super::super) place: Place,
    #[command(subcommand)]
    pub(in super::super) verb: RoleVerb,
}

#[derive(Debug, Subcommand)]
pub(in super::super) enum RoleVerb {
    /// List the roles of a cell
    Ls { cell: String },
    /// Add a role
    Add {
        cell: String,
        name: String,
        /// The box that it belongs to
        #[arg(long = "box", value_name = "BOX")]
        cell_box: Option<String>,
    },
    /// Remove a role, and what was granted to it
    Rm {
        cell: String,
        name: String,
        /// The box that it belongs to
        #[arg(long = "box", value_name = "BOX")]
        cell_box: Option<String>,
    },
}

#[derive(Debug, ClapArgs)]
pub(in super::super) struct TokenArgs {
    #[command(flatten)]
    pub(in super::super) place: Place,
    #[command(subcommand)]
    pub(in super::super) verb: TokenVerb,
}

#[derive(Debug, Subcommand)]
pub(in super::super) enum TokenVerb {
    /// Log in and print an access token; the password is read from stdin, or from CELLAR_PASSWORD
    Get {
        cell: String,
        account: String,
        /// Cell privileges that it covers, separated by spaces
        #[arg(long)]
        scope: Option<String>,
        /// Seconds for which it is good, at most 3600
        #[arg(long, value_name = "SECONDS")]
        expires_in: Option<u32>,
    },
    /// Tell what a token, read from stdin, says
    Show { cell: String },
    /// End the login of a token, read from stdin, with all its tokens
    Revoke { cell: String },
}

#[derive(Debug, ClapArgs)]
pub(in super::super) struct AclArgs {
    #[command(flatten)]
    pub(in super::super) place: Place,
    #[command(subcommand)]
    pub(in super::super) verb: AclVerb,
}

#[derive(Debug, Subcommand)]
pub(in super::super) enum AclVerb {
    /// Show what a list grants: of a cell (`alice`), a box (`alice/notes`) or anything in it
    Show { path: String },
    /// Grant privileges to a role, or to everybody (`all`)
    Grant {
        path: String,
        /// `all`, a role, or a role of a box as BOX/ROLE
        role: String,
        #[arg(required = true)]
        privileges: Vec<String>,
    },
    /// Take everything from a role, or from everybody (`all`), that this list grants
    Revoke { path: String, role: String },
}
