//! Where values come from: reads the file and the environment into texts, and refuses keys that do not exist.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::{ConfigError, KEYS, Key};

const PREFIX: &str = "CELLAR_";

/// Variables of the environment that belong to the program and are no keys.
const NOT_KEYS: &[&str] =
    &["CELLAR_UNIT_TOKEN", "CELLAR_ROOT", "CELLAR_LISTEN", "CELLAR_CONFIG", "CELLAR_LOG", "CELLAR_LOG_FORMAT"];

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Default,
    File(PathBuf),
    Environment(String),
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A key with its effective value, as `cellar config` prints it.
#[derive(Debug, Clone)]
pub struct Setting {
    pub key: &'static Key,
    pub value: String,
    pub source: Source,
}

/// Texts of values before they are parsed; a later source replaces an earlier one.
#[derive(Debug, Default)]
pub struct Sources {
    texts: HashMap<&'static str, (String, Source)>,
}

impl Sources {
    /// What the process was given: the file, if one is named, and the environment.
    pub fn of_process(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut sources = Self::default();
        if let Some(path) = file {
            sources.add_file(path)?;
        }
        sources.add_environment(
            std::env::vars_os().filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?))),
        )?;
        Ok(sources)
    }

    #[allow(clippy::disallowed_methods, reason = "the configuration file is no part of a unit")]
    pub fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        self.add_toml(&text, path)
    }

    /// Adds the keys of a TOML document; `path` is what messages call it.
    pub fn add_toml(&mut self, text: &str, path: &Path) -> Result<(), ConfigError> {
        let table: toml::Table = text
            .parse()
            .map_err(|e: toml::de::Error| ConfigError::Syntax { path: path.to_owned(), message: e.to_string() })?;
        let from = Source::File(path.to_owned());
        for (section, value) in &table {
            match value {
                toml::Value::Table(keys) => {
                    for (key, value) in keys {
                        self.set(&format!("{section}.{key}"), text_of(value), from.clone())?;
                    }
                }
                value => self.set(section, text_of(value), from.clone())?,
            }
        }
        Ok(())
    }

    /// Adds the variables that begin with `CELLAR_`; the rest is not looked at.
    pub fn add_environment(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        for (variable, text) in variables {
            let Some(name) = variable.strip_prefix(PREFIX) else { continue };
            if NOT_KEYS.contains(&variable.as_str()) {
                continue;
            }
            let name = name.to_ascii_lowercase().replacen("__", ".", 1);
            self.set(&name, text, Source::Environment(variable))?;
        }
        Ok(())
    }

    fn set(&mut self, name: &str, text: String, from: Source) -> Result<(), ConfigError> {
        let Some(key) = KEYS.iter().find(|k| k.name == name) else {
            let (name, nearest) = match &from {
                Source::Environment(variable) => (variable.clone(), variable_of(nearest(name))),
                _ => (name.to_owned(), nearest(name).to_owned()),
            };
            return Err(ConfigError::Unknown { name, from, nearest });
        };
        self.texts.insert(key.name, (text, from));
        Ok(())
    }

    pub(super) fn get(&self, key: &Key) -> (String, Source) {
        self.texts.get(key.name).cloned().unwrap_or_else(|| (key.default.to_owned(), Source::Default))
    }
}

/// The name of the variable that sets a key.
fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replacen('.', "__", 1).to_ascii_uppercase())
}

/// A TOML value as the text that the environment would have.
fn text_of(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// The key whose name, with or without its section, is the fewest edits away.
fn nearest(name: &str) -> &'static str {
    let last = name.rsplit('.').next().unwrap_or(name);
    let distance = |key: &Key| {
        let own_last = key.name.rsplit('.').next().unwrap_or(key.name);
        edits(name, key.name).min(edits(last, own_last) + 2)
    };
    KEYS.iter().min_by_key(|k| distance(k)).map_or("", |k| k.name)
}

/// The Levenshtein distance of two names.
fn edits(a: &str, b: &str) -> usize {
    let b = b.as_bytes();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}
