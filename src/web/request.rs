//! A request as handlers see it: overrides applied, forwarded headers read, its target found.

use std::net::IpAddr;

use http::{HeaderMap, Method};

use super::auth::AccessContext;
use super::public_url::{Asked, Target};
use super::request_body::RequestBody;

/// A request after the middleware.
pub struct Request {
    pub method: Method,
    pub target: Target,
    /// Makes the URLs of the answer.
    pub asked: Asked,
    /// The query without its question mark.
    pub query: Option<String>,
    pub headers: HeaderMap,
    /// The client's request key or a generated one; it stands in the event log.
    pub key: String,
    pub access: AccessContext,
    /// The client's address, behind proxies that are trusted.
    pub from: IpAddr,
    pub body: RequestBody,
}

impl Request {
    /// Whether this is GET or HEAD.
    pub fn is_read(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }

    /// A header as text; none where it is absent or no ASCII.
    pub fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }
}
