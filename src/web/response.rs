//! Answers that are made in memory.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};

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
