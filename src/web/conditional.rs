//! Conditional requests (RFC 9110 section 13) as pure functions of what is there.
//!
//! A tag that a proxy weakened to `W/"…"` still matches the strong tag it came from, in `If-Match` too. `If-None-Match: *` on
//! a read asks for nothing and is answered with the content, as the reference does.

use http::HeaderMap;
use http::header::{HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};

use super::headers::list;
use crate::base::clock::parse_http_date;

/// What is there now.
#[derive(Debug, Clone, Copy, Default)]
pub struct Current<'a> {
    pub exists: bool,
    /// The tag with its quotes, and `W/` where it is weak.
    pub etag: Option<&'a str>,
    /// Milliseconds since 1970.
    pub last_modified_ms: Option<i64>,
}

impl<'a> Current<'a> {
    /// Nothing is there.
    pub fn missing() -> Self {
        Self::default()
    }

    pub fn of(etag: &'a str, last_modified_ms: Option<i64>) -> Self {
        Self { exists: true, etag: Some(etag), last_modified_ms }
    }
}

/// What the conditions of a request say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Proceed,
    /// 304; only for reads.
    NotModified,
    /// 412.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    Any,
    These(Vec<String>),
}

/// The conditions that a request carries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// `If-Match`
    matches: Option<Tags>,
    /// `If-None-Match`
    none_match: Option<Tags>,
    /// `If-Modified-Since`, milliseconds since 1970
    modified_since: Option<i64>,
    /// `If-Unmodified-Since`
    unmodified_since: Option<i64>,
}

impl Conditions {
    pub fn of(headers: &HeaderMap) -> Self {
        let date = |name| headers.get(name).and_then(|v| parse_http_date(v.to_str().ok()?));
        Self {
            matches: tags(headers, &IF_MATCH),
            none_match: tags(headers, &IF_NONE_MATCH),
            modified_since: date(IF_MODIFIED_SINCE),
            unmodified_since: date(IF_UNMODIFIED_SINCE),
        }
    }

    /// Whether the request has an `If-Match`.
    pub fn has_if_match(&self) -> bool {
        self.matches.is_some()
    }

    /// The tags of an `If-Match` without their `W/`, in order; none for `*`.
    pub fn if_match_tags(&self) -> &[String] {
        match &self.matches {
            Some(Tags::These(tags)) => tags,
            _ => &[],
        }
    }

    /// Evaluates the conditions in the order of RFC 9110 section 13.2.2. `read`: the method is GET or HEAD.
    pub fn evaluate(&self, read: bool, current: Current<'_>) -> Verdict {
        let changed_since =
            |since: i64| current.last_modified_ms.is_some_and(|at| at.div_euclid(1000) > since.div_euclid(1000));
        match (&self.matches, self.unmodified_since) {
            (Some(tags), _) if !matches(tags, current) => return Verdict::Failed,
            (None, Some(since)) if changed_since(since) => return Verdict::Failed,
            _ => {}
        }
        match (&self.none_match, self.modified_since) {
            (Some(Tags::Any), _) if read => {}
            (Some(tags), _) if matches(tags, current) => {
                return if read { Verdict::NotModified } else { Verdict::Failed };
            }
            (None, Some(since)) if read && current.last_modified_ms.is_some() && !changed_since(since) => {
                return Verdict::NotModified;
            }
            _ => {}
        }
        Verdict::Proceed
    }
}

/// Whether the `Range` of a request counts: there is no `If-Range`, or it names exactly what is there.
pub fn range_counts(headers: &HeaderMap, etag: &str, last_modified_ms: Option<i64>) -> bool {
    let Some(value) = headers.get(IF_RANGE) else { return true };
    let Ok(value) = value.to_str().map(str::trim) else { return false };
    if value.starts_with('"') || value.starts_with("W/") {
        return value == etag && !etag.starts_with("W/");
    }
    let seconds = |ms: i64| ms.div_euclid(1000);
    parse_http_date(value).is_some_and(|at| last_modified_ms.map(seconds) == Some(seconds(at)))
}

/// The tag of an `If-Range`; none where it is a date, weak, or absent.
pub fn if_range_tag(headers: &HeaderMap) -> Option<&str> {
    headers.get(IF_RANGE)?.to_str().ok().map(str::trim).filter(|v| v.starts_with('"'))
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> Option<Tags> {
    let mut tags = None;
    for value in headers.get_all(name) {
        let these = tags.get_or_insert_with(Vec::new);
        for item in list(value.to_str().unwrap_or_default()) {
            if item == "*" {
                return Some(Tags::Any);
            }
            these.push(strong(item).to_owned());
        }
    }
    tags.map(Tags::These)
}

fn strong(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

fn matches(tags: &Tags, current: Current<'_>) -> bool {
    current.exists
        && match tags {
            Tags::Any => true,
            Tags::These(tags) => current.etag.is_some_and(|etag| tags.iter().any(|tag| tag == strong(etag))),
        }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const AT: i64 = 1_714_558_830_400;
    const AT_TEXT: &str = "Wed, 01 May 2024 10:20:30 GMT";
    const BEFORE: &str = "Wed, 01 May 2024 10:20:29 GMT";

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn verdict(pairs: &[(&'static str, &'static str)], read: bool, current: Current<'_>) -> Verdict {
        Conditions::of(&headers(pairs)).evaluate(read, current)
    }

    #[test]
    fn if_match() {
        let current = Current::of("\"2-7\"", Some(AT));
        for (value, expected) in [
            ("*", Verdict::Proceed),
            ("\"2-7\"", Verdict::Proceed),
            ("W/\"2-7\"", Verdict::Proceed),
            ("\"1-1\", \"2-7\"", Verdict::Proceed),
            ("\"1-1\"", Verdict::Failed),
            ("2-7", Verdict::Failed),
            ("", Verdict::Failed),
        ] {
            assert_eq!(verdict(&[("if-match", value)], false, current), expected, "{value}");
        }
        assert_eq!(verdict(&[("if-match", "*")], false, Current::missing()), Verdict::Failed);
        assert_eq!(verdict(&[("if-match", "\"2-7\"")], true, Current::missing()), Verdict::Failed);
        assert_eq!(verdict(&[("if-match", "\"0\""), ("if-match", "\"2-7\"")], true, current), Verdict::Proceed);
    }

    #[test]
    fn if_none_match() {
        let current = Current::of("\"2-7\"", Some(AT));
        for (value, read, write) in [
            ("\"2-7\"", Verdict::NotModified, Verdict::Failed),
            ("W/\"2-7\"", Verdict::NotModified, Verdict::Failed),
            ("\"x\",W/\"2-7\"", Verdict::NotModified, Verdict::Failed),
            ("\"x\"", Verdict::Proceed, Verdict::Proceed),
            ("*", Verdict::Proceed, Verdict::Failed),
        ] {
            assert_eq!(verdict(&[("if-none-match", value)], true, current), read, "{value}");
            assert_eq!(verdict(&[("if-none-match", value)], false, current), write, "{value}");
        }
        assert_eq!(verdict(&[("if-none-match", "*")], false, Current::missing()), Verdict::Proceed);
        assert_eq!(verdict(&[("if-none-match", "\"1\"")], true, Current::of("W/\"1\"", None)), Verdict::NotModified);
    }

    #[test]
    fn dates_count_only_without_tags() {
        let current = Current::of("\"2-7\"", Some(AT));
        assert_eq!(verdict(&[("if-modified-since", AT_TEXT)], true, current), Verdict::NotModified);
        assert_eq!(verdict(&[("if-modified-since", BEFORE)], true, current), Verdict::Proceed);
        assert_eq!(verdict(&[("if-modified-since", AT_TEXT)], false, current), Verdict::Proceed);
        assert_eq!(verdict(&[("if-modified-since", "yesterday")], true, current), Verdict::Proceed);
        assert_eq!(
            verdict(&[("if-modified-since", AT_TEXT), ("if-none-match", "\"x\"")], true, current),
            Verdict::Proceed
        );
        assert_eq!(verdict(&[("if-unmodified-since", AT_TEXT)], false, current), Verdict::Proceed);
        assert_eq!(verdict(&[("if-unmodified-since", BEFORE)], false, current), Verdict::Failed);
        assert_eq!(verdict(&[("if-unmodified-since", BEFORE), ("if-match", "*")], false, current), Verdict::Proceed);
    }

    #[test]
    fn if_range() {
        let counts = |value: &'static str| range_counts(&headers(&[("if-range", value)]), "\"2-7\"", Some(AT));
        assert!(range_counts(&HeaderMap::new(), "\"2-7\"", None));
        assert!(counts("\"2-7\""));
        assert!(!counts("W/\"2-7\""));
        assert!(!counts("\"1\""));
        assert!(counts(AT_TEXT));
        assert!(!counts(BEFORE));
        assert!(!counts("nonsense"));
        assert_eq!(if_range_tag(&headers(&[("if-range", "\"2-7\"")])), Some("\"2-7\""));
        assert_eq!(if_range_tag(&headers(&[("if-range", AT_TEXT)])), None);
    }
}
