//! Answers that are made in memory.

use bytes::Bytes;
use http::StatusCode;
use http::header::{ACCESS_CONTROL_ALLOW_METHODS, ALLOW, CONTENT_TYPE, HeaderValue};

use super::Body;

/// What a handler answers.
pub type Response = http::Response<Body>;

/// An answer without a body.
pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response
}

/// A JSON document.
pub fn json(status: StatusCode, document: &serde_json::Value) -> Response {
    text(status, "application/json", document.to_string())
}

/// An XML document.
pub fn xml(status: StatusCode, document: impl Into<Bytes>) -> Response {
    text(status, "application/xml; charset=utf-8", document)
}

/// A document that we wrote, which may be compressed on its way.
pub fn text(status: StatusCode, mime: &'static str, document: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::Text(document.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(mime));
    response
}

/// The answer to OPTIONS: the methods, and what of WebDAV this server does (RFC 4918, 3253, 3744, 5689).
pub fn options(methods: &'static str) -> Response {
    let mut response = empty(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(methods));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    headers.insert("dav", HeaderValue::from_static("1, 2, 3, extended-mkcol, access-control, sabredav-partialupdate"));
    if methods.contains("PATCH") {
        headers.insert("accept-patch", HeaderValue::from_static("application/x-sabredav-partialupdate"));
    }
    headers.insert("ms-author-via", HeaderValue::from_static("DAV"));
    response
}
