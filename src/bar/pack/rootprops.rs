//! `90_rootprops.xml`, written resource by resource.

use crate::bar::Layout;
use crate::bar::rootprops::{Kind, Property};
use crate::base::clock::{creation_date, http_date};
use crate::base::xml::{PERSONIUM, escape_text};
use crate::domain::acl::{AclView, Form, acl_xml};

/// One resource of the box, as it is now.
#[derive(Debug, Clone, Copy)]
pub struct Resource<'a> {
    /// Below the box, not encoded, without slashes at its ends; empty for the box.
    pub path: &'a str,
    pub kind: Kind,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// Milliseconds since 1970.
    pub modified_ms: i64,
    /// Bytes of a file; not used for collections.
    pub length: u64,
    /// The type of a file; not used for collections.
    pub content_type: Option<&'a str>,
    /// With the base of an export, and without what is inherited.
    pub acl: AclView<'a>,
    /// In any order.
    pub properties: &'a [Property],
}

/// Writes the document in pieces: [`begin`](Self::begin), one response for each resource, parents first, and
/// [`end`](Self::end). It has no state, so a piece depends on its resource alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct RootpropsWriter;

impl RootpropsWriter {
    pub fn begin(self, out: &mut Vec<u8>) {
        line(out, 0, "<multistatus xmlns=\"DAV:\">");
    }

    pub fn end(self, out: &mut Vec<u8>) {
        line(out, 0, "</multistatus>");
    }

    pub fn response(self, out: &mut Vec<u8>, resource: &Resource<'_>) {
        line(out, 1, "<response>");
        element(out, 2, "href", &format!("{}/{}", Layout::V2.scheme(), resource.path));
        line(out, 2, "<propstat>");
        line(out, 3, "<prop>");
        element(out, 4, "creationdate", &creation_date(resource.created_ms));
        if resource.kind == Kind::File {
            element(out, 4, "getcontentlength", &resource.length.to_string());
            element(out, 4, "getcontenttype", resource.content_type.unwrap_or("application/octet-stream"));
        }
        element(out, 4, "getlastmodified", &http_date(resource.modified_ms));
        resource_type(out, resource.kind);
        out.extend_from_slice(acl_xml(&resource.acl, Form::Indented(4)).as_bytes());
        let mut properties: Vec<&Property> = resource.properties.iter().collect();
        properties.sort_unstable_by(|a, b| (&a.ns, &a.local).cmp(&(&b.ns, &b.local)));
        for property in properties {
            line(out, 4, &property.xml);
        }
        line(out, 3, "</prop>");
        line(out, 3, "<status>HTTP/1.1 200 OK</status>");
        line(out, 2, "</propstat>");
        line(out, 1, "</response>");
    }
}

fn resource_type(out: &mut Vec<u8>, kind: Kind) {
    let special = match kind {
        Kind::File => return line(out, 4, "<resourcetype/>"),
        Kind::Collection => None,
        Kind::OData => Some("odata"),
        Kind::Service => Some("service"),
        Kind::Stream => Some("stream"),
    };
    line(out, 4, "<resourcetype>");
    line(out, 5, "<collection/>");
    if let Some(local) = special {
        line(out, 5, &format!("<p:{local} xmlns:p=\"{PERSONIUM}\"/>"));
    }
    line(out, 4, "</resourcetype>");
}

fn element(out: &mut Vec<u8>, depth: usize, name: &str, text: &str) {
    line(out, depth, &format!("<{name}>{}</{name}>", escape_text(text)));
}

fn line(out: &mut Vec<u8>, depth: usize, text: &str) {
    out.extend(std::iter::repeat_n(b' ', 4 * depth));
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
}
