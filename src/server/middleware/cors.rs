//! What scripts of other origins may do and read.
//!
//! Everybody may read every answer (`*`). The origin itself is named where a browser needs that: with a cookie, in a preflight,
//! and for the methods that no browser sends without one. Credentials are allowed only beside a cookie and in a preflight.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    COOKIE, HeaderValue, ORIGIN, VARY,
};
use http::{HeaderMap, Method};

const EXPOSED: HeaderValue = HeaderValue::from_static(
    "X-Personium-Version, ETag, Location, Last-Modified, Content-Length, Content-Range, Accept-Ranges, Allow, DAV, Lock-Token, \
     DataServiceVersion, Retry-After, WWW-Authenticate",
);
const A_DAY: HeaderValue = HeaderValue::from_static("86400");

/// The headers of a request that decide the form of its answer, whatever becomes of the request.
pub(super) fn and_form(request: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for name in [ACCEPT, ACCEPT_ENCODING, ORIGIN, COOKIE, ACCESS_CONTROL_REQUEST_HEADERS] {
        if let Some(value) = request.get(&name) {
            kept.insert(name, value.clone());
        }
    }
    kept
}

/// Adds the headers to an answer. `real`: the method that the browser knows, before its override.
pub(super) fn allow(answer: &mut HeaderMap, real: &Method, effective: &Method, request: &HeaderMap) {
    answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    if let Some(asked) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    let Some(origin) = request.get(ORIGIN) else {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        return;
    };
    let preflight = *real == Method::OPTIONS;
    let with_credentials = preflight || request.contains_key(COOKIE);
    let simple = matches!(*effective, Method::GET | Method::HEAD | Method::POST);
    if simple && !with_credentials {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        return;
    }
    answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    answer.append(VARY, HeaderValue::from_static("Origin"));
    if with_credentials {
        answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    if preflight {
        answer.insert(ACCESS_CONTROL_MAX_AGE, A_DAY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(method: &Method, pairs: &[(http::header::HeaderName, &'static str)]) -> HeaderMap {
        let request = pairs.iter().map(|(n, v)| (n.clone(), HeaderValue::from_static(v))).collect();
        let mut answer = HeaderMap::new();
        allow(&mut answer, method, method, &request);
        answer
    }

    const A: &str = "https://a.example";

    #[test]
    fn everybody_may_read() {
        for answer in [allowed(&Method::GET, &[]), allowed(&Method::PUT, &[]), allowed(&Method::GET, &[(ORIGIN, A)])] {
            assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
            assert!(!answer.contains_key(VARY) && !answer.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
        }
    }

    #[test]
    fn the_origin_is_named_where_a_browser_needs_it() {
        let cookie = allowed(&Method::GET, &[(ORIGIN, A), (COOKIE, "p_cookie=x")]);
        let preflight = allowed(&Method::OPTIONS, &[(ORIGIN, A), (ACCESS_CONTROL_REQUEST_HEADERS, "depth")]);
        let put = allowed(&Method::PUT, &[(ORIGIN, A)]);
        for answer in [&cookie, &preflight, &put] {
            assert_eq!(
                (&answer[ACCESS_CONTROL_ALLOW_ORIGIN], &answer[VARY]),
                (&HeaderValue::from_static(A), &HeaderValue::from_static("Origin"))
            );
        }
        assert_eq!(cookie[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(
            (&preflight[ACCESS_CONTROL_ALLOW_HEADERS], &preflight[ACCESS_CONTROL_MAX_AGE]),
            (&HeaderValue::from_static("depth"), &A_DAY)
        );
        assert!(!put.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
    }
}
