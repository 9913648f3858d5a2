//! A small, safe XML reader and writer: element trees with resolved namespaces.
//!
//! UTF-8 and, in documents that are read whole, UTF-16 are understood, and no DTD: there are no entities but the five that XML has,
//! so a document never grows while it is read, and it never names a file. Size, depth, elements and attributes are capped by [`Limits`]. Comments and processing
//! instructions are dropped; text is kept as it is, white space included. [`Element::to_xml`] writes a fragment that declares
//! every namespace it needs, so that it can be stored and put into any other document.

mod names;
mod read;
mod write;

pub use names::is_ncname;
pub use read::{Reader, parse};
pub use write::{escape_attribute, escape_text};

/// The namespace of WebDAV.
pub const DAV: &str = "DAV:";
/// The namespace of the extensions.
pub const PERSONIUM: &str = "urn:x-personium:xmlns";
/// The namespace that the prefix `xml` always has.
pub const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// What a document may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The whole document, in bytes.
    pub bytes: usize,
    /// Elements inside each other; the root counts.
    pub depth: usize,
    /// Elements in one tree: in the document for [`parse`], in one child of the root for [`Reader::next_child`].
    pub elements: usize,
    /// Attributes of one element, namespace declarations included.
    pub attributes: usize,
}

impl Limits {
    /// The usual limits for a document of at most `bytes` bytes.
    pub const fn of(bytes: usize) -> Self {
        Self { bytes, depth: 100, elements: 100_000, attributes: 256 }
    }
}

/// Why a document was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    #[error("the document is larger than {0} bytes")]
    TooLarge(usize),
    #[error("elements lie more than {0} deep")]
    TooDeep(usize),
    #[error("more than {0} elements")]
    TooManyElements(usize),
    #[error("an element has more than {0} attributes")]
    TooManyAttributes(usize),
    #[error("the document is neither UTF-8 nor UTF-16, or not what it declares")]
    Encoding,
    #[error("a document type declaration is not accepted")]
    Doctype,
    #[error("{what} at byte {position}")]
    Malformed { what: String, position: u64 },
}

/// An element with everything in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    /// The URI of the namespace; empty for none.
    pub ns: String,
    pub local: String,
    /// The prefix that the document used; a wish when the element is written.
    pub prefix: String,
    /// The value of `xml:lang` that holds here, whether it stands on this element or on one around it.
    pub lang: Option<String>,
    /// Without namespace declarations.
    pub attributes: Vec<Attribute>,
    pub children: Vec<Node>,
}

/// An attribute that is no namespace declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// The URI of the namespace; empty for an attribute without prefix.
    pub ns: String,
    pub local: String,
    pub value: String,
}

/// What an element contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    Element(Element),
    /// Never empty, and never two in a row.
    Text(String),
}

impl Element {
    /// Whether this is the element `local` of `ns`.
    pub fn is(&self, ns: &str, local: &str) -> bool {
        self.local == local && self.ns == ns
    }

    /// The child elements.
    pub fn elements(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The child elements of one name.
    pub fn children_named(&self, ns: &str, local: &str) -> impl Iterator<Item = &Self> {
        self.elements().filter(move |element| element.is(ns, local))
    }

    /// The first child element of a name.
    pub fn child(&self, ns: &str, local: &str) -> Option<&Self> {
        self.children_named(ns, local).next()
    }

    /// The first element of a name below this one, at any depth.
    pub fn find(&self, ns: &str, local: &str) -> Option<&Self> {
        self.elements().find_map(|e| if e.is(ns, local) { Some(e) } else { e.find(ns, local) })
    }

    /// The value of an attribute; `ns` is empty for one without prefix.
    pub fn attribute(&self, ns: &str, local: &str) -> Option<&str> {
        self.attributes.iter().find(|a| a.local == local && a.ns == ns).map(|a| a.value.as_str())
    }

    /// The text directly inside, as it stands.
    pub fn text(&self) -> String {
        self.children
            .iter()
            .filter_map(|node| match node {
                Node::Text(text) => Some(text.as_str()),
                Node::Element(_) => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
