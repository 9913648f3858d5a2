//! Writing lists: the property `acl` of listings, and of the declarations in a bar.

use super::document::SchemaAuthz;
use super::privilege::Privileges;
use crate::base::xml::{DAV, PERSONIUM, escape_attribute, escape_text};

/// A list with the names that its roles have now.
#[derive(Debug, Clone, Copy)]
pub struct AclView<'a> {
    /// `{cell}__role/{box or __}/`, or what an export writes instead; references are relative to it.
    pub base: &'a str,
    /// The box that the base means; none for the cell.
    pub box_name: Option<&'a str>,
    pub require_schema_authz: Option<SchemaAuthz>,
    pub own: &'a [AceView<'a>],
    /// What holds because of the collections above, the nearest first.
    pub inherited: &'a [Inherited<'a>],
}

/// One entry.
#[derive(Debug, Clone, Copy)]
pub struct AceView<'a> {
    pub principal: PrincipalView<'a>,
    pub privileges: Privileges,
}

/// Whom an entry is for.
#[derive(Debug, Clone, Copy)]
pub enum PrincipalView<'a> {
    All,
    Role { box_name: Option<&'a str>, role: &'a str },
}

/// The entries that come from one collection above.
#[derive(Debug, Clone, Copy)]
pub struct Inherited<'a> {
    /// The URL of that collection.
    pub href: &'a str,
    pub aces: &'a [AceView<'a>],
}

/// How the XML looks. Both forms declare the namespaces they use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Prefixes `D` and `p`, on one line.
    Prefixed,
    /// `DAV:` as the default namespace, each element on a line of its own, `0` steps of four spaces before the first.
    Indented(usize),
}

/// The base of references to roles of a box, or of the cell itself.
pub fn role_base(cell_url: &str, box_name: Option<&str>) -> String {
    format!("{cell_url}__role/{}/", box_name.unwrap_or("__"))
}

/// The base that an export writes: that of the box's schema, where another server will accept it, else of the box itself.
pub fn export_base(schema: Option<&str>, cell_url: &str, box_name: &str) -> String {
    match schema {
        Some(schema) if schema.starts_with("https://") || schema.starts_with("http://") => role_base(schema, None),
        _ => role_base(cell_url, Some(box_name)),
    }
}

/// A role as a reference relative to the base of `base_box`.
pub fn role_href(base_box: Option<&str>, box_name: Option<&str>, role: &str) -> String {
    if base_box == box_name { role.to_owned() } else { format!("../{}/{role}", box_name.unwrap_or("__")) }
}

/// The element `acl`.
pub fn acl_xml(acl: &AclView<'_>, form: Form) -> String {
    let mut out = Output { text: String::new(), form };
    let (xmlns, depth) = match form {
        Form::Prefixed => ("xmlns:D", 0),
        Form::Indented(depth) => ("xmlns", depth),
    };
    let authz = acl.require_schema_authz.map(|a| format!(" p:requireSchemaAuthz=\"{}\"", a.name())).unwrap_or_default();
    let attributes =
        format!(" {xmlns}=\"{DAV}\" xmlns:p=\"{PERSONIUM}\" xml:base=\"{}\"{authz}", escape_attribute(acl.base));
    if acl.own.is_empty() && acl.inherited.iter().all(|i| i.aces.is_empty()) {
        out.line(depth, &format!("<{}acl{attributes}/>", out.prefix()));
        return out.text;
    }
    out.line(depth, &format!("<{}acl{attributes}>", out.prefix()));
    for ace in acl.own {
        out.ace(depth + 1, acl.box_name, ace, None);
    }
    for inherited in acl.inherited {
        for ace in inherited.aces {
            out.ace(depth + 1, acl.box_name, ace, Some(inherited.href));
        }
    }
    out.close(depth, "acl");
    out.text
}

struct Output {
    text: String,
    form: Form,
}

impl Output {
    fn prefix(&self) -> &'static str {
        if self.form == Form::Prefixed { "D:" } else { "" }
    }

    fn line(&mut self, depth: usize, line: &str) {
        if self.form == Form::Prefixed {
            self.text.push_str(line);
        } else {
            self.text.push_str(&"    ".repeat(depth));
            self.text.push_str(line);
            self.text.push('\n');
        }
    }

    fn open(&mut self, depth: usize, name: &str) {
        self.line(depth, &format!("<{}{name}>", self.prefix()));
    }

    fn close(&mut self, depth: usize, name: &str) {
        self.line(depth, &format!("</{}{name}>", self.prefix()));
    }

    fn href(&mut self, depth: usize, href: &str) {
        let prefix = self.prefix();
        self.line(depth, &format!("<{prefix}href>{}</{prefix}href>", escape_text(href)));
    }

    fn ace(&mut self, depth: usize, base_box: Option<&str>, ace: &AceView<'_>, inherited: Option<&str>) {
        self.open(depth, "ace");
        self.open(depth + 1, "principal");
        match ace.principal {
            PrincipalView::All => self.line(depth + 2, &format!("<{}all/>", self.prefix())),
            PrincipalView::Role { box_name, role } => self.href(depth + 2, &role_href(base_box, box_name, role)),
        }
        self.close(depth + 1, "principal");
        self.open(depth + 1, "grant");
        for privilege in ace.privileges.iter() {
            let prefix = if privilege.ns() == DAV { self.prefix() } else { "p:" };
            self.open(depth + 2, "privilege");
            self.line(depth + 3, &format!("<{prefix}{}/>", privilege.name()));
            self.close(depth + 2, "privilege");
        }
        self.close(depth + 1, "grant");
        if let Some(href) = inherited {
            self.open(depth + 1, "inherited");
            self.href(depth + 2, href);
            self.close(depth + 1, "inherited");
        }
        self.close(depth, "ace");
    }
}
