//! The request key, and what clients that cannot send every method or header put in others.

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method};

use crate::base::id;
use crate::web::problem::{Code, Problem};

const REQUEST_KEY: HeaderName = HeaderName::from_static("x-personium-requestkey");
const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");
const OVERRIDE: HeaderName = HeaderName::from_static("x-override");

/// What proxies and browsers say about a request, and what frames it: a client cannot put other words into their mouths.
const NOT_FOR_CLIENTS: &[&str] = &[
    "forwarded",
    "via",
    "x-real-ip",
    "origin",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "expect",
];
const NOT_FOR_CLIENTS_PREFIXES: &[&str] = &["x-forwarded-", "proxy-", "sec-"];

const KEY_LENGTH: usize = 128;

/// The client's request key, or a generated one: letters, digits, `_` and `-`, at most 128 of them.
pub(super) fn request_key(headers: &HeaderMap) -> Result<String, Problem> {
    let Some(value) = headers.get(REQUEST_KEY) else { return Ok(id::request_key()) };
    match value.to_str() {
        Ok(key)
            if key.len() <= KEY_LENGTH && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') =>
        {
            Ok(key.to_owned())
        }
        _ => Err(Code::RequestKey.into()),
    }
}

/// Applies `X-HTTP-Method-Override` to a POST, then each `X-Override: Name: Value`, which cannot bring another method. Headers that
/// are not the client's to set stay as they are.
pub(super) fn apply(parts: &mut http::request::Parts) -> Result<(), Problem> {
    if parts.method == Method::POST
        && let Some(method) =
            parts.headers.get(METHOD_OVERRIDE).map(|v| v.as_bytes().trim_ascii()).filter(|m| !m.is_empty())
    {
        parts.method = Method::from_bytes(method).map_err(|_| Problem::new(Code::MethodNotAllowed))?;
    }
    let overrides: Vec<HeaderValue> = parts.headers.get_all(OVERRIDE).iter().cloned().collect();
    for value in &overrides {
        if let Some((name, value)) = name_and_value(value.as_bytes()) {
            parts.headers.insert(name, value);
        }
    }
    Ok(())
}

fn name_and_value(text: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = text.iter().position(|b| *b == b':')?;
    let name = HeaderName::from_bytes(text[..colon].trim_ascii()).ok()?;
    let prefixed = NOT_FOR_CLIENTS_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix));
    if prefixed || NOT_FOR_CLIENTS.contains(&name.as_str()) {
        return None;
    }
    let value = HeaderValue::from_bytes(text[colon + 1..].trim_ascii()).ok()?;
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(method: Method, pairs: &[(&'static str, &'static str)]) -> http::request::Parts {
        let mut request = http::Request::builder().method(method);
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn a_post_may_be_another_method() {
        for (method, value, expected) in [
            (Method::POST, "MKCOL", "MKCOL"),
            (Method::POST, "mkcol", "mkcol"),
            (Method::POST, "", "POST"),
            (Method::GET, "MKCOL", "GET"),
        ] {
            let mut parts = parts(method, &[("x-http-method-override", value)]);
            apply(&mut parts).expect("applied");
            assert_eq!(parts.method.as_str(), expected);
        }
        let bad = apply(&mut parts(Method::POST, &[("x-http-method-override", "a b")])).expect_err("a problem");
        assert_eq!(bad.status(), 405);
    }

    #[test]
    fn a_header_is_replaced_or_added() {
        let pairs = [
            ("accept", "a"),
            ("accept", "b"),
            ("x-override", " Accept : application/zip; x:y "),
            ("x-override", ": no name"),
            ("x-override", "no colon"),
            ("x-override", "X-HTTP-Method-Override: PUT"),
        ];
        let mut parts = parts(Method::POST, &pairs);
        apply(&mut parts).expect("applied");
        assert_eq!(parts.headers.get_all("accept").iter().collect::<Vec<_>>(), ["application/zip; x:y"]);
        assert_eq!(parts.method, Method::POST);
    }

    #[test]
    fn what_proxies_and_browsers_say_is_not_replaced() {
        let kept = [
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-host", "unit.example"),
            ("forwarded", "for=192.0.2.1"),
            ("content-length", "3"),
            ("transfer-encoding", "chunked"),
            ("connection", "close"),
            ("proxy-authorization", "Basic eA=="),
            ("sec-fetch-mode", "cors"),
            ("origin", "https://app.example"),
        ];
        for (name, value) in kept {
            let over = HeaderValue::from_str(&format!("{name}: forged")).expect("a value");
            let mut some = parts(Method::GET, &[(name, value)]);
            some.headers.insert(OVERRIDE, over.clone());
            apply(&mut some).expect("applied");
            assert_eq!(some.headers.get_all(name).iter().collect::<Vec<_>>(), [value], "{name}");
            let mut none = parts(Method::GET, &[]);
            none.headers.insert(OVERRIDE, over);
            apply(&mut none).expect("applied");
            assert!(!none.headers.contains_key(name), "{name}");
        }
    }

    #[test]
    fn a_request_key_is_checked_or_made() {
        let key = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_KEY, HeaderValue::from_str(value).expect("a value"));
            request_key(&headers)
        };
        assert_eq!(key("A-z_0").expect("a key"), "A-z_0");
        assert_eq!(key("").expect("a key"), "");
        assert!(key(&"k".repeat(128)).is_ok());
        for bad in ["k".repeat(129), "a b".to_owned(), "\u{e9}".to_owned(), "a.b".to_owned()] {
            assert_eq!(key(&bad).expect_err("a problem").code(), Code::RequestKey);
        }
        assert_eq!(request_key(&HeaderMap::new()).expect("a key").len(), 23);
    }
}
