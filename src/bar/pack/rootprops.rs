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
/// [`end`](Self::end). What it remembers saves time alone: a piece depends on its resource.
#[derive(Debug, Default)]
pub struct RootpropsWriter {
    created: Dated,
    modified: Dated,
    /// The base of the last list that was empty, and its element.
    empty_acl: Option<(String, String)>,
}

/// The text of the last moment: most resources of a box came at the same time as the one before.
#[derive(Debug, Default)]
struct Dated {
    at: i64,
    text: String,
}

impl Dated {
    fn text(&mut self, at: i64, format: fn(i64) -> String) -> &str {
        if self.text.is_empty() || self.at != at {
            self.at = at;
            self.text = format(at);
        }
        &self.text
    }
}

impl RootpropsWriter {
    pub fn begin(&self, out: &mut Vec<u8>) {
        line(out, 0, "<multistatus xmlns=\"DAV:\">");
    }

    pub fn end(&self, out: &mut Vec<u8>) {
        line(out, 0, "</multistatus>");
    }

    pub fn response(&mut self, out: &mut Vec<u8>, resource: &Resource<'_>) {
        out.extend_from_slice(b"    <response>\n        <href>");
        out.extend_from_slice(Layout::V2.scheme().as_bytes());
        out.push(b'/');
        out.extend_from_slice(escape_text(resource.path).as_bytes());
        out.extend_from_slice(b"</href>\n        <propstat>\n            <prop>\n");
        element(out, "creationdate", self.created.text(resource.created_ms, creation_date));
        if resource.kind == Kind::File {
            element(out, "getcontentlength", &resource.length.to_string());
            element(out, "getcontenttype", &escape_text(resource.content_type.unwrap_or("application/octet-stream")));
        }
        element(out, "getlastmodified", self.modified.text(resource.modified_ms / 1000 * 1000, http_date));
        resource_type(out, resource.kind);
        self.acl(out, &resource.acl);
        let mut properties: Vec<&Property> = resource.properties.iter().collect();
        properties.sort_unstable_by(|a, b| (&a.ns, &a.local).cmp(&(&b.ns, &b.local)));
        for property in properties {
            line(out, 4, &property.xml);
        }
        out.extend_from_slice(
            b"            </prop>\n            <status>HTTP/1.1 200 OK</status>\n        </propstat>\n    </response>\n",
        );
    }

    fn acl(&mut self, out: &mut Vec<u8>, acl: &AclView<'_>) {
        let render = || acl_xml(acl, Form::Indented(4));
        if !acl.own.is_empty() || !acl.inherited.is_empty() || acl.require_schema_authz.is_some() {
            out.extend_from_slice(render().as_bytes());
            return;
        }
        if self.empty_acl.as_ref().is_none_or(|(base, _)| base != acl.base) {
            self.empty_acl = Some((acl.base.to_owned(), render()));
        }
        if let Some((_, text)) = &self.empty_acl {
            out.extend_from_slice(text.as_bytes());
        }
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

/// An element inside `prop`; its text must be escaped.
fn element(out: &mut Vec<u8>, name: &str, text: &str) {
    out.extend_from_slice(b"                <");
    for piece in [name, ">", text, "</", name, ">\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
}

fn line(out: &mut Vec<u8>, depth: usize, text: &str) {
    out.extend(std::iter::repeat_n(b' ', 4 * depth));
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
}
