//! Why a verb failed: the words, a hint what to do next, and the exit status.

use std::io;

use super::exit::Exit;
use crate::config::ConfigError;
use crate::server::tls::TlsError;
use crate::storage::Error as StoreError;
use crate::storage::unit::OpenError;
use crate::web::authority::AuthorityError;

/// The failure of a verb.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{}", with_causes(.0))]
    Unit(#[from] OpenError),
    #[error("there is no cell `{0}`")]
    NoCell(String),
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error("the log filter `{filter}` cannot be read: {message}")]
    LogFilter { filter: String, message: String },
    #[error("`server.tls_cert` and `server.tls_key`: {0}")]
    Tls(#[from] TlsError),
    #[error("the environment variable {0} is set but empty, or no text")]
    Environment(&'static str),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: io::Error },
    #[error("there is no box `{0}`")]
    NoBox(String),
    #[error("there is no snapshot `{0}`")]
    NoSnapshot(String),
    #[error("`{0}` cannot be a name: letters, digits, `-` and `_`, 192 at most")]
    Name(String),
    #[error("cannot {op} {path}: {source}")]
    File { op: &'static str, path: String, source: io::Error },
    /// The job came to nothing; the text is what the unit says of it.
    #[error("{0}")]
    Job(String),
    #[error("interrupted; nothing is left of it")]
    Interrupted,
    #[error("{0}")]
    Refused(String),
    #[error("the server's answer cannot be understood: {0}")]
    Answer(String),
    /// A refusal of the server: its words and its code.
    #[error("{text} ({code})")]
    Coded { code: String, text: String },
    /// What was being downloaded is not the same any more.
    #[error("it was changed on the server while it was downloaded")]
    Changed,
    #[error("`{0}` is no URL of a server that can be spoken to")]
    Url(String),
    #[error("{server} cannot be trusted: {source}")]
    Secure { server: String, source: io::Error },
    #[error("{0} names no authority for certificates")]
    NoAuthorities(String),
    #[error("there is no token for that server")]
    Token,
    #[error("no {} was given", .0.to_lowercase())]
    NoSecret(String),
    #[error("cannot {op}: {source}")]
    System { op: &'static str, source: io::Error },
}

impl Error {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Interrupted => Exit::Interrupted,
            Self::Unit(OpenError::NoUnit(_)) => Exit::NoUnit,
            Self::Unit(OpenError::Served(_) | OpenError::Store(StoreError::InUse)) => Exit::Locked,
            Self::Refused(_)
            | Self::Changed
            | Self::Coded { .. }
            | Self::Url(_)
            | Self::Secure { .. }
            | Self::NoAuthorities(_)
            | Self::Token
            | Self::NoSecret(_)
            | Self::Config(_)
            | Self::LogFilter { .. }
            | Self::Tls(_)
            | Self::Environment(_)
            | Self::Listen { .. }
            | Self::NoCell(_)
            | Self::NoBox(_)
            | Self::NoSnapshot(_)
            | Self::Name(_)
            | Self::File { .. }
            | Self::Job(_)
            | Self::Authority(AuthorityError::Cost(_) | AuthorityError::PasswordRegex(_))
            | Self::Unit(
                OpenError::Foreign(_)
                | OpenError::Newer(..)
                | OpenError::Manifest(_)
                | OpenError::Headless(_)
                | OpenError::Store(StoreError::Newer { .. }),
            ) => Exit::Refused,
            Self::Answer(_) | Self::System { .. } | Self::Authority(_) | Self::Unit(OpenError::Store(_)) => {
                Exit::Failed
            }
        }
    }

    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Tls(TlsError::NoCertificate(_) | TlsError::NoKey(_)) => {
                Some("a PEM file has lines such as `-----BEGIN CERTIFICATE-----` and `-----BEGIN PRIVATE KEY-----`")
            }
            Self::Tls(TlsError::Mismatch { .. }) => {
                Some("the server's own certificate comes first in its file, before those of its authorities")
            }
            Self::Unit(OpenError::Store(StoreError::InUse)) => Some("another process has the cell open: end it first"),
            Self::Url(_) => {
                Some("it is what the server says when it starts: `http://127.0.0.1:8080/`, `https://unit.example/`")
            }
            Self::Secure { .. } => Some(
                "the host of the URL must be in its certificate; `--ca FILE` names the authority of your own that signed it",
            ),
            Self::NoAuthorities(_) => {
                Some("give a PEM file with lines such as `-----BEGIN CERTIFICATE-----` to `--ca`")
            }
            Self::Token => Some("put one into CELLAR_TOKEN, or into ~/.config/cellar/token"),
            Self::NoSecret(_) => Some("give it on stdin, as one line"),
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                Some("another program has that port; `--listen 127.0.0.1:0` takes a free one")
            }
            Self::Unit(OpenError::Foreign(_)) => {
                Some("give `--root` an empty directory, or one that does not exist yet")
            }
            Self::Unit(OpenError::Store(e)) if e.is_full() => Some("the disk is full: make some room on it first"),
            Self::Unit(OpenError::Newer(..) | OpenError::Store(StoreError::Newer { .. })) => {
                Some("use the program that wrote it, or a newer one")
            }
            Self::Unit(OpenError::Manifest(_) | OpenError::Headless(_)) => {
                Some("put unit.toml back: two lines, `format = 1` and `id = \"…\"`")
            }
            Self::Unit(OpenError::Served(_)) => {
                Some("stop that server first, or serve another directory; other verbs take its URL with `--url`")
            }
            _ => None,
        }
    }
}

/// An error with what caused it, in one line.
pub(super) fn with_causes(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut cause = e.source();
    while let Some(e) = cause {
        text.push_str(": ");
        text.push_str(&e.to_string());
        cause = e.source();
    }
    text
}
