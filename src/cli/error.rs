//! Why a verb failed: the words, a hint what to do next, and the exit status.

use std::io;

use super::exit::Exit;
use crate::config::ConfigError;

/// The failure of a verb.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the log filter `{filter}` cannot be read: {message}")]
    LogFilter { filter: String, message: String },
    #[error("TLS is not available yet: `server.tls_cert` and `server.tls_key` must be empty")]
    Tls,
    #[error("the environment variable {0} is set but empty, or no text")]
    Environment(&'static str),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: io::Error },
    #[error("cannot {op}: {source}")]
    System { op: &'static str, source: io::Error },
}

impl Error {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Config(_) | Self::LogFilter { .. } | Self::Tls | Self::Environment(_) | Self::Listen { .. } => {
                Exit::Refused
            }
            Self::System { .. } => Exit::Failed,
        }
    }

    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Tls => Some("let a proxy in front of the server speak TLS, and set `server.public_url`"),
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                Some("another program has that port; `--listen 127.0.0.1:0` takes a free one")
            }
            _ => None,
        }
    }
}
