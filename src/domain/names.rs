//! The formats of names, URLs and other fields of control objects.
//!
//! Every function takes the whole value. A value that fails becomes a [`FieldError`], which knows the code and the text that
//! clients get for it, in answers and in the messages of a failed installation.

use crate::base::uri::{Uri, is_clean};

/// The longest URL in a field, in characters.
pub const URL_CHARS: usize = 1024;
/// The longest event type, in characters.
pub const EVENT_TYPE_CHARS: usize = 127;

/// A field that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .kind.text(.field))]
pub struct FieldError {
    /// The name of the field as clients write it.
    pub field: &'static str,
    pub kind: FieldDefect,
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldDefect {
    /// It is absent, null or empty, and must not be.
    Required,
    /// It does not have the form that it must have.
    Format,
    /// It is no schema that a box can have.
    Schema,
    /// It is no URL of a cell.
    CellUrl,
}

impl FieldError {
    pub const fn required(field: &'static str) -> Self {
        Self { field, kind: FieldDefect::Required }
    }

    pub const fn format(field: &'static str) -> Self {
        Self { field, kind: FieldDefect::Format }
    }

    pub const fn schema() -> Self {
        Self { field: "Schema", kind: FieldDefect::Schema }
    }

    pub const fn cell_url(field: &'static str) -> Self {
        Self { field, kind: FieldDefect::CellUrl }
    }

    /// The code of the refusal.
    pub const fn code(&self) -> &'static str {
        match self.kind {
            FieldDefect::Required => "PR400-OD-0009",
            FieldDefect::Format => "PR400-OD-0006",
            FieldDefect::Schema => "PR400-OD-0050",
            FieldDefect::CellUrl => "PR400-OD-0049",
        }
    }
}

impl FieldDefect {
    fn text(self, field: &str) -> String {
        match self {
            Self::Required => format!("[{field}] is required."),
            Self::Format => format!("request body format error. field [{field}]"),
            Self::CellUrl => format!(
                "[{field}] field format error. Cell URL should be normalized URL with http(s) scheme and trailing slash."
            ),
            Self::Schema => format!(
                "[{field}] field format error. Schema URI should be either normalized URL with http(s) scheme and trailing slash, or URN."
            ),
        }
    }
}

/// One to `most` characters: the first passes `first`, the others pass `rest`.
fn matches(text: &str, most: usize, first: fn(u8) -> bool, rest: fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= most && bytes.first().is_some_and(|b| first(*b)) && bytes[1..].iter().all(|b| rest(*b))
}

fn alphanumeric(b: u8) -> bool {
    b.is_ascii_alphanumeric()
}

fn word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')
}

/// 1–128 letters, digits, `-` and `_`, the first a letter or digit: boxes, roles, and most names of OData schemas.
pub fn is_simple_name(text: &str) -> bool {
    matches(text, 128, alphanumeric, word)
}

/// The name of a box.
pub fn is_box_name(text: &str) -> bool {
    is_simple_name(text)
}

/// The name of a role.
pub fn is_role_name(text: &str) -> bool {
    is_simple_name(text)
}

/// The name of a relation: `+` and `:` are allowed too, and `+` and `-` at the start.
pub fn is_relation_name(text: &str) -> bool {
    let first = |b: u8| alphanumeric(b) || matches!(b, b'-' | b'+');
    matches(text, 128, first, |b| word(b) || matches!(b, b'+' | b':'))
}

/// The name of a rule: at most 200 characters, with `:`.
pub fn is_rule_name(text: &str) -> bool {
    matches(text, 200, alphanumeric, |b| word(b) || b == b':')
}

/// The name of a cell: lower-case letters, digits and hyphens. `api` is a route of the unit and never a cell.
pub fn is_cell_name(text: &str) -> bool {
    let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text != "api" && matches(text, 128, lower, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The name of an account.
pub fn is_account_name(text: &str) -> bool {
    matches(text, 128, alphanumeric, |b| word(b) || b"!$*=^`{|}~.@".contains(&b))
}

/// The type of an event: at most 127 of letters, digits and `-_+:.`.
pub fn is_event_type(text: &str) -> bool {
    let any = |b: u8| word(b) || matches!(b, b'+' | b':' | b'.');
    matches(text, EVENT_TYPE_CHARS, any, any)
}

/// The schemes that URLs of cells, roles and schemas have.
fn is_known_scheme(scheme: &str) -> bool {
    ["http", "https", "urn", "personium-localunit"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

/// An absolute http, https, urn or personium-localunit URI of at most 1024 characters.
pub fn is_cell_uri(text: &str) -> bool {
    let uri = Uri::split(text);
    let web = uri.scheme.is_some_and(|s| s.eq_ignore_ascii_case("http") || s.eq_ignore_ascii_case("https"));
    text.chars().count() <= URL_CHARS
        && is_clean(text)
        && uri.scheme.is_some_and(is_known_scheme)
        && if web { uri.authority.is_some_and(|a| !a.is_empty()) } else { !uri.path.is_empty() }
}

/// The URL of a cell elsewhere: normalised, http, https or personium-localunit, with its trailing slash.
pub fn is_ext_cell(text: &str) -> bool {
    let uri = Uri::split(text);
    let urn = uri.scheme.is_some_and(|s| s.eq_ignore_ascii_case("urn"));
    is_cell_uri(text) && !urn && is_normal(uri) && text.ends_with('/')
}

/// The URL of a role elsewhere.
pub fn is_ext_role(text: &str) -> bool {
    is_cell_uri(text)
}

/// A schema as a box keeps it: a URN, or a normalised http, https or personium-localunit URL, which gets its trailing slash
/// where it lacks it; at most 1024 characters with it.
pub fn normalize_schema(text: &str) -> Result<String, FieldError> {
    let uri = Uri::split(text);
    let urn = uri.scheme.is_some_and(|s| s.eq_ignore_ascii_case("urn"));
    if !is_cell_uri(text) || (!urn && !is_normal(uri)) {
        return Err(FieldError::schema());
    }
    let mut schema = text.to_owned();
    if !urn && !schema.ends_with('/') {
        schema.push('/');
    }
    if schema.chars().count() > URL_CHARS { Err(FieldError::schema()) } else { Ok(schema) }
}

/// Without query and fragment, and without dot segments and empty segments in the path.
fn is_normal(uri: Uri<'_>) -> bool {
    let path = uri.path.strip_prefix('/').unwrap_or(uri.path);
    let path = path.strip_suffix('/').unwrap_or(path);
    let segments = path.is_empty() || path.split('/').all(|s| !matches!(s, "" | "." | ".."));
    segments && uri.query.is_none() && uri.fragment.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(what: &str, rule: fn(&str) -> bool, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(rule(text), "{what} {text:?} was refused");
        }
        for text in bad {
            assert!(!rule(text), "{what} {text:?} was taken");
        }
    }

    #[test]
    fn names_have_their_formats() {
        let long = "n".repeat(128);
        let longer = "n".repeat(129);
        check("box", is_box_name, &["a", "0_-", &long], &["", "-a", "_a", "a.b", "a b", "__", "é", &longer]);
        check("relation", is_relation_name, &["+rel:x", "-a", &long], &["", ":a", "_a", "a b", &longer]);
        check("rule", is_rule_name, &["a:b", &"n".repeat(200)], &["", ":a", "+a", &"n".repeat(201)]);
        check("cell", is_cell_name, &["a", "0-", &long], &["", "A", "a_b", "-a", "api", &longer]);
        check("account", is_account_name, &["a@b.c", "u!$*=^`{|}~."], &["", "@a", "a b", "a'b"]);
        check("event type", is_event_type, &["PL-BI-", ".", &"n".repeat(127)], &["", "a b", &longer]);
    }

    #[test]
    fn urls_of_roles() {
        let long = format!("https://e.example/{}", "x".repeat(URL_CHARS - 18));
        let good = ["https://e.example/c/__role/__/r", "urn:x:y", "personium-localunit:c:/__role/__/r", long.as_str()];
        let longer = format!("{long}x");
        check("role", is_ext_role, &good, &["", "not a url", "word", "/a", "ftp://e/", "http:", "http://", &longer]);
    }

    #[test]
    fn schemas_are_normalized() {
        for (text, expected) in [
            ("https://app.example", "https://app.example/"),
            ("https://app.example/a", "https://app.example/a/"),
            ("http://app.example:80/a/", "http://app.example:80/a/"),
            ("urn:example:app-1", "urn:example:app-1"),
            ("personium-localunit:app:", "personium-localunit:app:/"),
            ("personium-localunit:/app/", "personium-localunit:/app/"),
        ] {
            assert_eq!(normalize_schema(text).as_deref(), Ok(expected));
        }
        let long = format!("https://e.example/{}", "x".repeat(URL_CHARS - 18));
        for text in [
            "",
            "word",
            "/app/",
            "ftp://a/",
            "https://a/../b/",
            "https://a//b/",
            "https://a/./",
            "urn:",
            "https:///",
            "https://a/?q",
            &long,
        ] {
            assert_eq!(normalize_schema(text), Err(FieldError::schema()), "{text}");
        }
    }

    #[test]
    fn field_errors_have_codes_and_texts() {
        let required = FieldError::required("Name");
        assert_eq!((required.code(), required.to_string().as_str()), ("PR400-OD-0009", "[Name] is required."));
        let format = FieldError::format("Name");
        assert_eq!(format.to_string(), "request body format error. field [Name]");
        assert!(FieldError::schema().to_string().starts_with("[Schema] field format error. Schema URI should"));
    }
}
