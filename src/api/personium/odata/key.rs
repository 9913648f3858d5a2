//! Entity keys in URLs: `Set('x')`, `Set(Name='x',_Box.Name=null)`.
//!
//! A quote inside a value is doubled. A slash between quotes separates nothing, so that URLs can be keys as they stand.

use percent_encoding::percent_decode_str;

use crate::base::path::encode_segment;
use crate::web::problem::{Code, Problem};

/// A value of a key or of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Literal {
    Null,
    Text(String),
}

/// The part of a URL step between the parentheses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Key(Vec<(Option<String>, Literal)>);

/// One step of a path: a name, with a key or without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Step {
    pub(in super::super) name: String,
    /// The text between the parentheses, decoded, not yet parsed.
    key: Option<String>,
}

/// Splits an encoded path at the slashes that stand outside of quotes, and decodes each step. Empty steps mean nothing.
pub(in super::super) fn steps(encoded: &str) -> Vec<Step> {
    let mut quoted = false;
    let mut pieces = vec![String::new()];
    let mut rest = encoded;
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("%27") { 3 } else { c.len_utf8() };
        quoted ^= c == '\'' || length == 3 && c == '%';
        if c == '/' && !quoted {
            pieces.push(String::new());
        } else if let Some(piece) = pieces.last_mut() {
            piece.push_str(&rest[..length]);
        }
        rest = &rest[length..];
    }
    pieces.iter().filter(|piece| !piece.is_empty()).map(|piece| step(piece)).collect()
}

fn step(encoded: &str) -> Step {
    let text = percent_decode_str(encoded).decode_utf8_lossy().into_owned();
    match text.split_once('(') {
        Some((name, key)) => Step { name: name.to_owned(), key: Some(key.to_owned()) },
        None => Step { name: text, key: None },
    }
}

impl Step {
    pub(in super::super) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// The key, none where there are no parentheses.
    pub(in super::super) fn key(&self) -> Result<Option<Key>, Problem> {
        self.key.as_deref().map(Key::parse).transpose()
    }
}

impl Key {
    /// Reads what follows the opening parenthesis.
    fn parse(text: &str) -> Result<Self, Problem> {
        let bad = || Problem::new(Code::ODataKey);
        let mut rest = text.strip_suffix(')').ok_or_else(bad)?.trim();
        let mut parts = Vec::new();
        loop {
            let name = named(rest);
            if let Some((_, after)) = name {
                rest = after;
            }
            let (literal, after) = Literal::read(rest).ok_or_else(bad)?;
            parts.push((name.map(|(name, _)| name.to_owned()), literal));
            rest = after.trim_start();
            if rest.is_empty() {
                break;
            }
            rest = rest.strip_prefix(',').ok_or_else(bad)?.trim_start();
        }
        if parts.len() > 1 && parts.iter().any(|(name, _)| name.is_none()) {
            return Err(bad());
        }
        Ok(Self(parts))
    }

    /// The values of the parts that a set's key has, in the order given. A part that is left out is null; the first must
    /// not be.
    pub(in super::super) fn values<const N: usize>(&self, names: [&str; N]) -> Result<[Option<String>; N], Problem> {
        let mut values = [const { None }; N];
        let mut seen = [false; N];
        for (name, literal) in &self.0 {
            let at = match name {
                Some(name) => names.iter().position(|n| n == name),
                None => Some(0),
            };
            let at = at.filter(|at| !seen[*at]).ok_or_else(|| Problem::new(Code::ODataKey))?;
            seen[at] = true;
            values[at] = literal.clone().text();
        }
        match (seen[0], &values[0]) {
            (false, _) => Err(Code::ODataKey.into()),
            (true, None) => Err(Code::ODataNullKey.into()),
            (true, Some(_)) => Ok(values),
        }
    }
}

/// The name before an equals sign, and what follows it.
fn named(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.split_once('=')?;
    let name = name.trim();
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
    plain.then(|| (name, rest.trim_start()))
}

impl Literal {
    /// A literal at the start of a text, and what follows it.
    pub(super) fn read(text: &str) -> Option<(Self, &str)> {
        if let Some(rest) = text.strip_prefix("null") {
            return Some((Self::Null, rest));
        }
        let mut rest = text.strip_prefix('\'')?;
        let mut value = String::new();
        loop {
            let end = rest.find('\'')?;
            value.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            match rest.strip_prefix('\'') {
                Some(after) => {
                    value.push('\'');
                    rest = after;
                }
                None => return Some((Self::Text(value), rest)),
            }
        }
    }

    pub(in super::super) fn text(self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text),
        }
    }
}

/// A value as a literal in a URL.
pub(in super::super) fn quoted(value: &str) -> String {
    format!("'{}'", encode_segment(&value.replace('\'', "''")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn role(path: &str) -> Result<[Option<String>; 2], Code> {
        let steps = steps(path);
        let key = steps[0].key().map_err(|p| p.code())?.expect("a key");
        key.values(["Name", "_Box.Name"]).map_err(|p| p.code())
    }

    #[test]
    fn every_form_of_a_composite_key() {
        let some = |text: &str| Some(text.to_owned());
        for (path, name, cell_box) in [
            ("Role('r')", "r", None),
            ("Role(%27r%27)", "r", None),
            ("Role(Name='r')", "r", None),
            ("Role(Name='r',_Box.Name=null)", "r", None),
            ("Role(_Box.Name='b',Name='r')", "r", some("b")),
            ("Role(Name%3D'r'%2C%20_Box.Name%20=%20'b')", "r", some("b")),
            ("Role('it''s')", "it's", None),
            ("Role('')", "", None),
            ("Role('a,b=c)')", "a,b=c)", None),
            ("Role('+a')", "+a", None),
        ] {
            assert_eq!(role(path), Ok([some(name), cell_box]), "{path}");
        }
    }

    #[test]
    fn keys_that_are_none() {
        for path in [
            "Role(123)",
            "Role()",
            "Role('r'",
            "Role('r)",
            "Role('r','b')",
            "Role(Name='r',Name='r')",
            "Role(Name='r',Other='b')",
            "Role(_Box.Name='b')",
            "Role('r')x",
            "Role('r',)",
        ] {
            assert_eq!(role(path), Err(Code::ODataKey), "{path}");
        }
        assert_eq!(role("Role(null)"), Err(Code::ODataNullKey));
    }

    #[test]
    fn slashes_in_quotes_do_not_separate() {
        let steps = steps("ExtCell('https://e.example/c/')/$links/_Role(%27a%27)/");
        assert_eq!(steps.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["ExtCell", "$links", "_Role"]);
        let key = steps[0].key().expect("a key").expect("a key");
        assert_eq!(key.values(["Url"]).expect("values"), [Some("https://e.example/c/".to_owned())]);
    }

    proptest! {
        #[test]
        fn a_written_key_reads_back(value in "\\PC{1,20}") {
            let path = format!("Role({})", quoted(&value));
            prop_assert_eq!(role(&path), Ok([Some(value), None]));
        }

        #[test]
        fn noise_never_panics(text in "[A-Z('/%27=,)null ]{0,20}") {
            for step in steps(&text) {
                let _ = step.key().map(|key| key.map(|key| key.values(["Name"])));
            }
        }
    }
}
