//! What can be wrong with a configuration, in words that say what to do.

use std::io;
use std::path::PathBuf;

use super::Source;

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    #[error("cannot read the configuration file {path}: {source}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the configuration file {path} is not TOML: {message}", path = path.display())]
    Syntax { path: PathBuf, message: String },
    #[error("unknown key `{name}` ({from}); did you mean `{nearest}`? `cellar config` lists all keys")]
    Unknown { name: String, from: Source, nearest: String },
    #[error("`{key}` = `{text}` ({from}): {reason}")]
    Invalid { key: &'static str, text: String, from: Source, reason: String },
    #[error("{0}")]
    Conflict(&'static str),
}
