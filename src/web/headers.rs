//! Small questions to header values.

use http::HeaderValue;

/// The elements of a comma-separated list; a comma inside quotes does not separate (RFC 9110 section 5.6.1).
pub fn list(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
    .map(str::trim)
    .filter(|item| !item.is_empty())
}

/// Whether an `Accept` names exactly this media type, not only by a wildcard, and does not rule it out.
pub fn names_type(accept: Option<&HeaderValue>, mime: &str) -> bool {
    let Some(accept) = accept.and_then(|v| v.to_str().ok()) else { return false };
    list(accept).any(|item| {
        let mut parts = item.split(';').map(str::trim);
        parts.next().is_some_and(|t| t.eq_ignore_ascii_case(mime)) && !parts.any(is_zero_quality)
    })
}

/// Whether an `Accept-Encoding` allows this coding by name or by `*`.
pub fn allows_coding(accept: Option<&HeaderValue>, coding: &str) -> bool {
    let Some(accept) = accept.and_then(|v| v.to_str().ok()) else { return false };
    let quality = |name: &str| {
        list(accept).find_map(|item| {
            let mut parts = item.split(';').map(str::trim);
            parts.next().is_some_and(|c| c.eq_ignore_ascii_case(name)).then(|| !parts.any(is_zero_quality))
        })
    };
    quality(coding).or_else(|| quality("*")).unwrap_or(false)
}

fn is_zero_quality(parameter: &str) -> bool {
    parameter.split_once('=').is_some_and(|(name, value)| {
        name.trim().eq_ignore_ascii_case("q") && value.trim().parse::<f32>().is_ok_and(|q| q <= 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_keep_quoted_commas() {
        assert_eq!(list("\"a,b\" , W/\"c\",, d").collect::<Vec<_>>(), ["\"a,b\"", "W/\"c\"", "d"]);
    }

    #[test]
    fn qualities_decide() {
        let value = |text: &'static str| HeaderValue::from_static(text);
        assert!(names_type(Some(&value("text/html, Application/JSON;q=0.1")), "application/json"));
        assert!(!names_type(Some(&value("*/*")), "application/json"));
        assert!(!names_type(Some(&value("application/json;q=0")), "application/json"));
        assert!(allows_coding(Some(&value("br, gzip")), "gzip"));
        assert!(allows_coding(Some(&value("*;q=0.5")), "gzip"));
        assert!(!allows_coding(Some(&value("gzip;q=0, *")), "gzip"));
        assert!(!allows_coding(Some(&value("identity")), "gzip"));
        assert!(!allows_coding(None, "gzip"));
    }
}
