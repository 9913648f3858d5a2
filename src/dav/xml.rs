//! Request bodies of XML, and the pieces of XML that answers have in common.

use std::io::{self, Write};

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, ETAG};

use crate::base::xml::{DAV, Element, Limits, PERSONIUM, escape_attribute, parse};
use crate::storage::database::Resource;
use crate::web::Response;
use crate::web::problem::{Code, Problem};
use crate::web::request_body::RequestBody;

/// The largest XML body, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// What every multistatus begins with.
pub(super) const MULTISTATUS: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
    <D:multistatus xmlns:D=\"DAV:\" xmlns:p=\"urn:x-personium:xmlns\">";
pub(super) const MULTISTATUS_END: &str = "</D:multistatus>\n";

/// Reads a body of at most 1 MiB, or less where the unit's limit is less.
pub(super) async fn read(body: RequestBody, limit: Option<u64>) -> Result<Bytes, Problem> {
    Ok(body.read(limit.map_or(LARGEST, |limit| limit.min(LARGEST))).await?)
}

/// Parses a body.
pub(super) fn document(body: &[u8]) -> Result<Element, Problem> {
    parse(body, Limits::of(LARGEST as usize)).map_err(|e| Problem::new(Code::XmlParse).because(e))
}

/// Whether the declared type of a body is XML, or there is none.
pub(super) fn is_declared(headers: &HeaderMap) -> bool {
    let Some(declared) = headers.get(CONTENT_TYPE) else { return true };
    let essence = declared.as_bytes().split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    let essence = essence.to_ascii_lowercase();
    matches!(essence.as_slice(), b"application/xml" | b"text/xml" | b"") || essence.ends_with(b"+xml")
}

/// Writes an empty element of this name, in a document that declares `D` and `p`.
pub(super) fn write_name(out: &mut impl Write, ns: &str, local: &str) -> io::Result<()> {
    match ns {
        DAV => write!(out, "<D:{local}/>"),
        PERSONIUM => write!(out, "<p:{local}/>"),
        "" => write!(out, "<{local}/>"),
        ns => write!(out, "<n:{local} xmlns:n=\"{}\"/>", escape_attribute(ns)),
    }
}

/// Gives an answer the entity tag of a resource.
pub(super) fn tagged(mut response: Response, resource: &Resource) -> Response {
    if let Ok(etag) = resource.etag().to_string().try_into() {
        response.headers_mut().insert(ETAG, etag);
    }
    response
}
