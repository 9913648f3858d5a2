//! Writing elements as fragments that stand for themselves.

use std::borrow::Cow;

use super::names::is_char;
use super::{Attribute, DAV, Element, Node, PERSONIUM, XML};

/// Escapes text between tags. A carriage return survives the next reading; what XML cannot express becomes U+FFFD.
pub fn escape_text(text: &str) -> Cow<'_, str> {
    escape(text, |c| match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '\r' => Some("&#13;"),
        c if !is_char(c) => Some("\u{FFFD}"),
        _ => None,
    })
}

/// Escapes the value of an attribute between double quotes. Tabs and line breaks survive the next reading.
pub fn escape_attribute(value: &str) -> Cow<'_, str> {
    escape(value, |c| match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        '\t' => Some("&#9;"),
        '\n' => Some("&#10;"),
        '\r' => Some("&#13;"),
        c if !is_char(c) => Some("\u{FFFD}"),
        _ => None,
    })
}

fn escape(text: &str, replacement: impl Fn(char) -> Option<&'static str>) -> Cow<'_, str> {
    // Most texts are printed ASCII without anything that is ever escaped.
    if text.bytes().all(|b| matches!(b, b' '..=b'~') && !matches!(b, b'&' | b'<' | b'>' | b'"')) {
        return Cow::Borrowed(text);
    }
    let Some(first) = text.find(|c| replacement(c).is_some()) else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for c in text[first..].chars() {
        match replacement(c) {
            Some(escaped) => out.push_str(escaped),
            None => out.push(c),
        }
    }
    Cow::Owned(out)
}

impl Element {
    /// The element as a fragment for any document: it declares its namespaces, with the prefixes it was read with where
    /// that is possible, undeclares the default namespace where it has none, and carries the language that held around it.
    pub fn to_xml(&self) -> String {
        let mut writer = Writer { out: String::new(), scope: Vec::new() };
        let lang = self.lang.as_deref().filter(|_| self.attribute(XML, "lang").is_none());
        writer.element(self, lang);
        writer.out
    }
}

struct Writer {
    out: String,
    /// Prefixes and namespaces, the innermost last.
    scope: Vec<(String, String)>,
}

impl Writer {
    fn element(&mut self, element: &Element, lang: Option<&str>) {
        let outer = self.scope.len();
        let prefix = self.element_prefix(element);
        let name = qualified(&prefix, &element.local);
        let attributes: Vec<_> = element.attributes.iter().map(|a| (self.attribute_name(a), a)).collect();
        self.out.push('<');
        self.out.push_str(&name);
        for at in outer..self.scope.len() {
            let (prefix, ns) = self.scope[at].clone();
            self.attribute(&if prefix.is_empty() { "xmlns".to_owned() } else { format!("xmlns:{prefix}") }, &ns);
        }
        if let Some(lang) = lang {
            self.attribute("xml:lang", lang);
        }
        for (name, attribute) in attributes {
            self.attribute(&name, &attribute.value);
        }
        if element.children.is_empty() {
            self.out.push_str("/>");
        } else {
            self.out.push('>');
            for child in &element.children {
                match child {
                    Node::Element(child) => self.element(child, None),
                    Node::Text(text) => self.out.push_str(&escape_text(text)),
                }
            }
            self.out.push_str("</");
            self.out.push_str(&name);
            self.out.push('>');
        }
        self.scope.truncate(outer);
    }

    fn attribute(&mut self, name: &str, value: &str) {
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        self.out.push_str(&escape_attribute(value));
        self.out.push('"');
    }

    fn namespace(&self, prefix: &str) -> Option<&str> {
        self.scope.iter().rev().find(|(p, _)| p == prefix).map(|(_, ns)| ns.as_str())
    }

    fn element_prefix(&mut self, element: &Element) -> String {
        if element.ns == XML {
            return "xml".to_owned();
        }
        let prefix = if element.ns.is_empty() { "" } else { element.prefix.as_str() };
        if self.namespace(prefix) != Some(&element.ns) {
            self.scope.push((prefix.to_owned(), element.ns.clone()));
        }
        prefix.to_owned()
    }

    fn attribute_name(&mut self, attribute: &Attribute) -> String {
        if attribute.ns.is_empty() {
            return attribute.local.clone();
        }
        if attribute.ns == XML {
            return qualified("xml", &attribute.local);
        }
        let bound = self.scope.iter().rev().find(|(prefix, ns)| {
            !prefix.is_empty() && *ns == attribute.ns && self.namespace(prefix) == Some(attribute.ns.as_str())
        });
        let prefix = if let Some((prefix, _)) = bound {
            prefix.clone()
        } else {
            let prefix = self.free_prefix(&attribute.ns);
            self.scope.push((prefix.clone(), attribute.ns.clone()));
            prefix
        };
        qualified(&prefix, &attribute.local)
    }

    fn free_prefix(&self, ns: &str) -> String {
        let usual = match ns {
            DAV => Some("D"),
            PERSONIUM => Some("p"),
            _ => None,
        };
        let numbered = (1..).map(|n| format!("ns{n}"));
        let mut candidates = usual.into_iter().map(str::to_owned).chain(numbered);
        candidates.find(|prefix| self.namespace(prefix).is_none()).expect("invariant: the candidates never end")
    }
}

fn qualified(prefix: &str, local: &str) -> String {
    if prefix.is_empty() { local.to_owned() } else { format!("{prefix}:{local}") }
}
