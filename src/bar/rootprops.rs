//! The declarations of a bar: `90_rootprops.xml`, a listing of every resource of the box with its properties.
//!
//! The whole document is checked before anything is created from it. What is wrong with one access control list alone stays
//! with its resource, and ends the installation when that resource is created. References are plain text, nothing in them is
//! percent-encoded.

use std::collections::HashSet;

use super::cause::Cause;
use super::{Layout, MetaFile};
use unicode_normalization::UnicodeNormalization;

use crate::base::xml::{DAV, Element, Limits, PERSONIUM, Reader, XML, XmlError};
use crate::domain::acl::{AclDocument, Level, parse_acl};

mod check;

/// The collection that holds the sources of a service.
pub const SOURCE: &str = "__src";

/// The longest path, in bytes: no member of an archive has a longer name.
const PATH_BYTES: usize = 65535;

/// Levels of elements that have a structure and no text: `response`, `propstat`, `prop`.
const LEVELS: usize = 3;

/// What a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Collection,
    OData,
    Service,
    /// Never declared in a bar that can be installed.
    Stream,
    File,
}

/// A property that is kept as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// The URI of the namespace; empty for none.
    pub ns: String,
    pub local: String,
    /// The whole element, as a fragment that stands for itself.
    pub xml: String,
}

/// One resource of the box, as the bar declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceDeclaration {
    /// The names from the box down, as they stand in the document; empty for the box.
    pub path: Vec<String>,
    pub kind: Kind,
    /// As it stands, whether it is a content type or not.
    pub content_type: Option<String>,
    /// The list to set. Its references are relative to the box that is installed, the base of the document does not count.
    pub acl: Result<Option<AclDocument>, Cause>,
    /// Each name once, in the order of the document.
    pub properties: Vec<Property>,
}

/// Properties of `DAV:` that an installation does not take over.
const NOT_TAKEN: &[&str] = &[
    "creationdate",
    "getlastmodified",
    "getcontentlength",
    "getcontenttype",
    "getetag",
    "resourcetype",
    "lockdiscovery",
    "supportedlock",
    "acl",
];

/// Reads the declarations, in the order of the document.
pub fn parse(bytes: &[u8], layout: Layout) -> Result<Vec<ResourceDeclaration>, Cause> {
    let reader = Reader::new(bytes, Limits::of(bytes.len())).map_err(malformed)?;
    let mut reader = reader.without_blanks(LEVELS);
    if !reader.root().is(DAV, "multistatus") {
        return Err(Cause::Format(MetaFile::Rootprops.file_name().to_owned()));
    }
    let mut resources = Vec::new();
    let mut seen = HashSet::new();
    while let Some(response) = reader.next_child().map_err(malformed)? {
        if !response.is(DAV, "response") {
            continue;
        }
        let resource = declaration(&response, layout)?;
        if !seen.insert(normal(&resource.path)) {
            return Err(Cause::Duplicate(href(&resource, layout)));
        }
        resources.push(resource);
    }
    check::check_tree(&resources, layout)?;
    Ok(resources)
}

fn malformed(error: XmlError) -> Cause {
    Cause::Malformed { file: MetaFile::Rootprops.file_name(), detail: error.to_string() }
}

/// A path as a text that two spellings of the same names share.
fn normal(path: &[String]) -> String {
    let text = path.join("/");
    if text.is_ascii() { text } else { text.nfc().collect() }
}

/// The reference of a resource for messages.
fn href(resource: &ResourceDeclaration, layout: Layout) -> String {
    format!("{}/{}", layout.scheme(), resource.path.join("/"))
}

fn declaration(response: &Element, layout: Layout) -> Result<ResourceDeclaration, Cause> {
    let text = reference(response)?;
    let path = text.strip_prefix(layout.scheme()).filter(|path| path.is_empty() || path.starts_with('/'));
    let path = path.ok_or_else(|| Cause::Scheme { scheme: layout.scheme(), href: text.clone() })?;
    if path.len() > PATH_BYTES {
        return Err(Cause::TooDeep);
    }
    let kind = kind(response)?;
    let props = || response.children_named(DAV, "propstat").flat_map(|p| p.children_named(DAV, "prop"));
    let find = |local| props().find_map(|prop| prop.child(DAV, local));
    let content_type = find("getcontenttype").map(|e| e.text().trim().to_owned()).filter(|t| !t.is_empty());
    let mut properties: Vec<Property> = Vec::new();
    for element in
        props().flat_map(Element::elements).filter(|e| !(e.ns == DAV && NOT_TAKEN.contains(&e.local.as_str())))
    {
        properties.retain(|p| p.local != element.local || p.ns != element.ns);
        let (ns, local) = (element.ns.clone(), element.local.clone());
        properties.push(Property { ns, local, xml: element.to_xml() });
    }
    Ok(ResourceDeclaration { path: segments(path, kind), kind, content_type, acl: acl(find("acl")), properties })
}

/// The text of the only `href`. Blanks can belong to a name; line breaks, and what surrounds them, cannot.
fn reference(response: &Element) -> Result<String, Cause> {
    let mut hrefs = response.children_named(DAV, "href");
    let (Some(href), None) = (hrefs.next(), hrefs.next()) else { return Err(Cause::NoHref) };
    let text = href.text();
    let text = text.trim_start();
    let end = text.trim_end();
    let text = if text[end.len()..].contains(['\n', '\t', '\r']) { end } else { text };
    if end.is_empty() { Err(Cause::EmptyHref) } else { Ok(text.to_owned()) }
}

fn segments(path: &str, kind: Kind) -> Vec<String> {
    let path = path.strip_prefix('/').unwrap_or(path);
    if path.is_empty() {
        return Vec::new();
    }
    let path = if kind == Kind::File { path } else { path.strip_suffix('/').unwrap_or(path) };
    path.split('/').map(str::to_owned).collect()
}

/// The kind, by the first `propstat`. A response without any is a collection.
fn kind(response: &Element) -> Result<Kind, Cause> {
    let Some(propstat) = response.child(DAV, "propstat") else { return Ok(Kind::Collection) };
    let resource_type = propstat.child(DAV, "prop").and_then(|prop| prop.child(DAV, "resourcetype"));
    let Some(resource_type) = resource_type else { return Ok(Kind::File) };
    let mut special = None;
    for element in resource_type.elements().filter(|e| !e.is(DAV, "collection")) {
        let kind = match (element.ns.as_str(), element.local.as_str()) {
            (PERSONIUM, "odata") if special.is_none() => Kind::OData,
            (PERSONIUM, "service") if special.is_none() => Kind::Service,
            _ if element.prefix.is_empty() => return Err(Cause::Tag(element.local.clone())),
            _ => return Err(Cause::Tag(format!("{}:{}", element.prefix, element.local))),
        };
        special = Some(kind);
    }
    let collection = resource_type.child(DAV, "collection").is_some();
    Ok(if collection { special.unwrap_or(Kind::Collection) } else { Kind::File })
}

/// The list, unless it has no base: then it is ignored.
fn acl(element: Option<&Element>) -> Result<Option<AclDocument>, Cause> {
    let Some(element) = element else { return Ok(None) };
    let base = element.attribute(XML, "base").map_or("", str::trim);
    if base.is_empty() {
        return Ok(None);
    }
    if !is_role_base(base) {
        return Err(Cause::Format(MetaFile::Rootprops.file_name().to_owned()));
    }
    let document = parse_acl(element, Level::Box)?;
    Ok(Some(AclDocument { base: None, ..document }))
}

/// `http(s)://…__role/{1–128 characters}`, with or without a slash at the end.
fn is_role_base(base: &str) -> bool {
    let base = base.strip_suffix('/').unwrap_or(base);
    let Some((head, box_name)) = base.rsplit_once('/') else { return false };
    let cell = head.strip_suffix("__role").unwrap_or_default();
    let rest = cell.strip_prefix("https://").or_else(|| cell.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty()) && (1..=128).contains(&box_name.chars().count())
}

#[cfg(test)]
mod tests;
