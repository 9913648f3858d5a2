//! Reading documents into element trees, whole or one child of the root at a time.

use std::borrow::Cow;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesDecl, BytesStart, Event};

use super::names::{is_char, is_ncname};
use super::{Attribute, Element, Limits, Node, XML, XmlError};

const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// Reads a whole document, in UTF-8 or UTF-16.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<Element, XmlError> {
    within(bytes, limits)?;
    let (text, encoding) = decoded(bytes)?;
    let mut reader = Reader::of(&text, encoding, limits)?;
    let mut children = Vec::new();
    while let Some(node) = reader.next_node()? {
        push(&mut children, node);
    }
    Ok(Element { children, ..reader.root })
}

/// Reads the children of a document's root one after another, so that a long list never lies in memory as a tree.
pub struct Reader<'a> {
    events: quick_xml::Reader<&'a [u8]>,
    encoding: Encoding,
    limits: Limits,
    /// Prefix, namespace and the depth of the element that declared it.
    scope: Vec<(String, String, usize)>,
    root: Element,
    elements: usize,
    /// Blank text in so many levels of elements below the root is not kept.
    structure: usize,
    ended: bool,
}

impl<'a> Reader<'a> {
    /// Reads up to the start tag of the root of a document in UTF-8.
    pub fn new(bytes: &'a [u8], limits: Limits) -> Result<Self, XmlError> {
        within(bytes, limits)?;
        let text = std::str::from_utf8(bytes).map_err(|_| XmlError::Encoding)?;
        Self::of(text, Encoding::Utf8, limits)
    }

    fn of(text: &'a str, encoding: Encoding, limits: Limits) -> Result<Self, XmlError> {
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        if let Some(position) = foreign_character(text) {
            return Err(malformed("a character that XML does not have", position as u64));
        }
        let mut reader = Self {
            events: quick_xml::Reader::from_str(text),
            encoding,
            limits,
            scope: Vec::new(),
            root: Element::default(),
            elements: 0,
            structure: 0,
            ended: false,
        };
        reader.open()?;
        Ok(reader)
    }

    /// Leaves out blank text that stands directly in an element of the first `levels` levels below the root: where elements alone
    /// have a meaning, most of a document is such text.
    pub fn without_blanks(mut self, levels: usize) -> Self {
        self.structure = levels;
        self
    }

    /// The root, without children.
    pub fn root(&self) -> &Element {
        &self.root
    }

    /// The next element below the root; text between them is skipped. The limit of elements counts for each anew.
    pub fn next_child(&mut self) -> Result<Option<Element>, XmlError> {
        loop {
            self.elements = 0;
            match self.next_node()? {
                Some(Node::Element(element)) => return Ok(Some(element)),
                Some(Node::Text(_)) => {}
                None => return Ok(None),
            }
        }
    }

    /// Reads the prolog and the start tag of the root.
    fn open(&mut self) -> Result<(), XmlError> {
        let mut first = true;
        loop {
            match self.event()? {
                Event::Decl(declaration) if first => check_declaration(&declaration, self.encoding)?,
                Event::Comment(_) | Event::PI(_) => {}
                Event::Text(text) if is_blank(&text) => {}
                Event::Start(tag) => {
                    self.root = self.start(&tag, None, 0)?;
                    return Ok(());
                }
                Event::Empty(tag) => {
                    self.root = self.start(&tag, None, 0)?;
                    return self.close();
                }
                Event::Eof => return Err(self.error("the end, without any element,")),
                _ => return Err(self.error("something that cannot stand before the first element")),
            }
            first = false;
        }
    }

    /// Reads what may follow the root.
    fn close(&mut self) -> Result<(), XmlError> {
        self.ended = true;
        loop {
            match self.event()? {
                Event::Comment(_) | Event::PI(_) => {}
                Event::Text(text) if is_blank(&text) => {}
                Event::Eof => return Ok(()),
                _ => return Err(self.error("something that cannot stand behind the last element")),
            }
        }
    }

    /// The next node below the root.
    fn next_node(&mut self) -> Result<Option<Node>, XmlError> {
        let mut open: Vec<Element> = Vec::new();
        while !self.ended {
            let node = match self.event()? {
                Event::Start(tag) => {
                    let element = self.start(&tag, open.last(), open.len() + 1)?;
                    open.push(element);
                    continue;
                }
                Event::Empty(tag) => {
                    let element = self.start(&tag, open.last(), open.len() + 1)?;
                    self.leave(open.len() + 1);
                    Node::Element(element)
                }
                Event::End(_) => {
                    let Some(element) = open.pop() else {
                        self.close()?;
                        break;
                    };
                    self.leave(open.len() + 1);
                    Node::Element(element)
                }
                Event::Text(text) if (1..=self.structure).contains(&open.len()) && is_blank(&text) => continue,
                Event::Text(text) if text.contains("]]>") => return Err(self.error("]]> in text")),
                Event::Text(text) => Node::Text(text.xml10_content().into_owned()),
                Event::CData(text) => Node::Text(text.xml10_content().into_owned()),
                Event::GeneralRef(name) => Node::Text(self.reference(&name)?.to_string()),
                Event::Comment(_) | Event::PI(_) => continue,
                Event::Eof => return Err(self.error("the end inside an element")),
                Event::Decl(_) => return Err(self.error("an XML declaration that is not at the start")),
                Event::DocType(_) => return Err(XmlError::Doctype),
            };
            match open.last_mut() {
                Some(parent) => push(&mut parent.children, node),
                None => return Ok(Some(node)),
            }
        }
        Ok(None)
    }

    fn event(&mut self) -> Result<Event<'a>, XmlError> {
        match self.events.read_event() {
            Ok(Event::DocType(_)) => Err(XmlError::Doctype),
            Ok(event) => Ok(event),
            Err(e) => Err(malformed(&e.to_string(), self.events.error_position())),
        }
    }

    fn error(&self, what: &str) -> XmlError {
        malformed(what, self.events.buffer_position())
    }

    /// Forgets the namespaces that an element at `depth` declared.
    fn leave(&mut self, depth: usize) {
        let kept = self.scope.iter().rposition(|(_, _, at)| *at < depth).map_or(0, |at| at + 1);
        self.scope.truncate(kept);
    }

    /// Makes an element of a start tag. `depth` is 0 for the root.
    fn start(&mut self, tag: &BytesStart<'_>, parent: Option<&Element>, depth: usize) -> Result<Element, XmlError> {
        if depth >= self.limits.depth {
            return Err(XmlError::TooDeep(self.limits.depth));
        }
        self.elements += 1;
        if self.elements > self.limits.elements {
            return Err(XmlError::TooManyElements(self.limits.elements));
        }
        let mut plain = Vec::new();
        for (count, attribute) in tag.attributes().with_checks(false).enumerate() {
            if count >= self.limits.attributes {
                return Err(XmlError::TooManyAttributes(self.limits.attributes));
            }
            let attribute = attribute.map_err(|e| self.error(&e.to_string()))?;
            let value = self.value(&attribute)?;
            match attribute.key.0 {
                "xmlns" => self.declare("", value, depth)?,
                name => match name.strip_prefix("xmlns:") {
                    Some(prefix) => self.declare(prefix, value, depth)?,
                    None => plain.push((name.to_owned(), value)),
                },
            }
        }
        let attributes = self.attributes(plain)?;
        let (ns, local, prefix) = self.resolve(tag.name().0, true)?;
        let lang = attributes.iter().find(|a| a.ns == XML && a.local == "lang").map(|a| a.value.clone());
        let lang = lang.or_else(|| parent.unwrap_or(&self.root).lang.clone());
        Ok(Element { ns, local, prefix, lang, attributes, children: Vec::new() })
    }

    fn value(&self, attribute: &quick_xml::events::attributes::Attribute<'_>) -> Result<String, XmlError> {
        if attribute.value.contains('<') {
            return Err(self.error("< in the value of an attribute"));
        }
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|e| self.error(&e.to_string()))?;
        if !value.chars().all(is_char) {
            return Err(self.error("a reference to a character that XML does not have"));
        }
        Ok(value.into_owned())
    }

    fn declare(&mut self, prefix: &str, ns: String, depth: usize) -> Result<(), XmlError> {
        let reserved = prefix == "xmlns" || ns == XMLNS || (prefix == "xml") != (ns == XML);
        if reserved || (!prefix.is_empty() && (ns.is_empty() || !is_ncname(prefix))) {
            return Err(self.error("a namespace declaration that is not allowed"));
        }
        if self.scope.iter().rev().take_while(|(_, _, at)| *at == depth).any(|(p, _, _)| p == prefix) {
            return Err(self.error("a namespace declared twice"));
        }
        self.scope.push((prefix.to_owned(), ns, depth));
        Ok(())
    }

    fn attributes(&self, plain: Vec<(String, String)>) -> Result<Vec<Attribute>, XmlError> {
        let mut attributes: Vec<Attribute> = Vec::with_capacity(plain.len());
        for (name, value) in plain {
            let (ns, local, _) = self.resolve(&name, false)?;
            if attributes.iter().any(|a| a.local == local && a.ns == ns) {
                return Err(self.error("an attribute twice"));
            }
            attributes.push(Attribute { ns, local, value });
        }
        Ok(attributes)
    }

    /// Namespace, local name and prefix of a name.
    fn resolve(&self, name: &str, element: bool) -> Result<(String, String, String), XmlError> {
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        if !is_ncname(local) || (name.contains(':') && !is_ncname(prefix)) {
            return Err(self.error("a name that is not allowed"));
        }
        let declared = self.scope.iter().rev().find(|(p, _, _)| p == prefix).map(|(_, ns, _)| ns.clone());
        let ns = match (prefix, declared) {
            ("xml", _) => XML.to_owned(),
            ("", declared) => declared.filter(|_| element).unwrap_or_default(),
            (_, Some(ns)) => ns,
            (_, None) => return Err(self.error("a prefix without namespace")),
        };
        Ok((ns, local.to_owned(), prefix.to_owned()))
    }

    fn reference(&self, name: &quick_xml::events::BytesRef<'_>) -> Result<char, XmlError> {
        let character = match name.as_ref() {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => name.resolve_char_ref().ok().flatten().filter(|c| is_char(*c)),
        };
        character.ok_or_else(|| self.error("a reference to something that is not defined"))
    }
}

/// Where the first character is that XML does not have. Nearly all text has none, and bytes tell that faster than characters.
fn foreign_character(text: &str) -> Option<usize> {
    let odd = |b: &u8| (*b < b' ' && !matches!(b, b'\t' | b'\n' | b'\r')) || *b == 0xEF;
    if !text.as_bytes().iter().any(odd) {
        return None;
    }
    text.char_indices().find(|(_, c)| !is_char(*c)).map(|(position, _)| position)
}

fn malformed(what: &str, position: u64) -> XmlError {
    XmlError::Malformed { what: what.to_owned(), position }
}

fn is_blank(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'))
}

/// What a document came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16,
}

impl Encoding {
    /// What a declaration may call it.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Utf8 => &["utf-8", "utf8", "us-ascii"],
            Self::Utf16 => &["utf-16", "utf-16le", "utf-16be"],
        }
    }
}

fn within(bytes: &[u8], limits: Limits) -> Result<(), XmlError> {
    if bytes.len() > limits.bytes { Err(XmlError::TooLarge(limits.bytes)) } else { Ok(()) }
}

/// The text of a document. UTF-16 is known by its byte order mark, or by the zero bytes around the first `<`, which UTF-8 never has.
fn decoded(bytes: &[u8]) -> Result<(Cow<'_, str>, Encoding), XmlError> {
    let unit = match bytes {
        [0xFE, 0xFF, ..] | [0, b'<', ..] => u16::from_be_bytes,
        [0xFF, 0xFE, ..] | [b'<', 0, ..] => u16::from_le_bytes,
        _ => {
            let text = std::str::from_utf8(bytes).map_err(|_| XmlError::Encoding)?;
            return Ok((text.into(), Encoding::Utf8));
        }
    };
    let (pairs, []) = bytes.as_chunks::<2>() else { return Err(XmlError::Encoding) };
    let text: Result<String, _> = char::decode_utf16(pairs.iter().copied().map(unit)).collect();
    Ok((text.map_err(|_| XmlError::Encoding)?.into(), Encoding::Utf16))
}

fn check_declaration(declaration: &BytesDecl<'_>, came_in: Encoding) -> Result<(), XmlError> {
    let Some(encoding) = declaration.encoding() else { return Ok(()) };
    let encoding = encoding.map_err(|_| XmlError::Encoding)?;
    let known = came_in.names().iter().any(|name| encoding.eq_ignore_ascii_case(name));
    if known { Ok(()) } else { Err(XmlError::Encoding) }
}

/// Adds a node; text joins the text before it.
fn push(children: &mut Vec<Node>, node: Node) {
    match (children.last_mut(), node) {
        (_, Node::Text(text)) if text.is_empty() => {}
        (Some(Node::Text(before)), Node::Text(text)) => before.push_str(&text),
        (_, node) => children.push(node),
    }
}
