//! `.pmeta`: what a resource is, beside its content, and access control lists in it.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::doc::DocIds;
use super::failure::Failure;
use crate::base::xml::{self, DAV, Limits};
use crate::domain::acl::{Privilege, Privileges, SchemaAuthz};
use crate::storage::database::Kind;
use crate::storage::database::acl::{Ace, Acl};
use crate::storage::database::control::ObjectKind;
use crate::storage::database::property::Property;

/// What stands in the place of a kind.
pub(super) const CELL: &str = "Cell";
pub(super) const BOX: &str = "col.box";
const FILE: &str = "dav.file";

/// The document, as it is written.
#[derive(Serialize)]
struct Document<'m> {
    a: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    cl: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cs: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ct: Option<Value>,
    d: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    et: Option<&'static str>,
    i: &'m str,
    p: i64,
    t: &'static str,
    u: i64,
    v: i64,
}

/// A resource as its `.pmeta` tells it.
#[derive(Debug, Clone)]
pub(super) struct Meta {
    /// The type: a [`Kind`], the root of a box, or the cell.
    pub(super) kind: &'static str,
    pub(super) acl: Acl,
    pub(super) properties: Vec<Property>,
    pub(super) created_ms: i64,
    pub(super) updated_ms: i64,
    pub(super) version: i64,
    /// Of a file.
    pub(super) content_type: Option<String>,
    pub(super) size: i64,
}

pub(super) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::File => FILE,
        Kind::Collection => "col.webdav",
        Kind::OData => "col.odata",
        Kind::Service => "col.svc",
        Kind::Stream => "col.stream",
    }
}

impl Meta {
    /// The document. `node` is the identifier of the resource.
    pub(super) fn write(&self, node: &str, ids: &DocIds) -> Vec<u8> {
        let properties: Map<String, Value> =
            self.properties.iter().map(|p| (format!("{}@{}", p.local, p.ns), json!(p.xml))).collect();
        let is_file = self.kind == FILE;
        let document = Document {
            a: write_acl(&self.acl, ids),
            cl: is_file.then_some(self.size),
            cs: (self.kind == CELL).then_some("normal"),
            ct: is_file.then(|| json!(self.content_type)),
            d: properties,
            et: is_file.then_some("NONE"),
            i: node,
            p: self.created_ms,
            t: self.kind,
            u: self.updated_ms,
            v: self.version,
        };
        serde_json::to_vec(&document).expect("invariant: texts and numbers are JSON")
    }

    /// Reads a document. Roles are told by their identifiers; entries of roles that are not there are left out.
    pub(super) fn parse(bytes: &[u8], name: &str, roles: &HashMap<String, i64>) -> Result<Self, Failure> {
        let wrong = |what: &str| Failure::Damaged(format!("{name}: {what}"));
        let meta: Value = serde_json::from_slice(bytes).map_err(|_| wrong("it is no JSON"))?;
        let meta = meta.as_object().ok_or_else(|| wrong("it is no JSON object"))?;
        let number = |key: &str| meta.get(key).and_then(Value::as_i64);
        let kind = match meta.get("t").and_then(Value::as_str) {
            Some(CELL) => CELL,
            Some(BOX) => BOX,
            Some(text) => {
                let known = [Kind::File, Kind::Collection, Kind::OData, Kind::Service, Kind::Stream];
                let kind = known.into_iter().map(kind_name).find(|k| *k == text);
                kind.ok_or_else(|| wrong("its type is unknown"))?
            }
            None => return Err(wrong("it has no type")),
        };
        if meta.get("et").and_then(Value::as_str).is_some_and(|et| et != "NONE") {
            return Err(wrong("the content is encrypted"));
        }
        let mut properties = Vec::new();
        for (key, value) in meta.get("d").and_then(Value::as_object).into_iter().flatten() {
            properties.push(property(key, value).ok_or_else(|| wrong("a property is not well-formed"))?);
        }
        let created_ms = number("p").unwrap_or(0);
        Ok(Self {
            kind,
            acl: meta.get("a").map(|acl| read_acl(acl, roles)).unwrap_or_default(),
            properties,
            created_ms,
            updated_ms: number("u").unwrap_or(created_ms),
            version: number("v").unwrap_or(1).max(1),
            content_type: meta.get("ct").and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned),
            size: number("cl").unwrap_or(-1),
        })
    }

    /// The kind of the row; none for what is no resource.
    pub(super) fn row_kind(&self) -> Option<Kind> {
        let known = [Kind::File, Kind::Collection, Kind::OData, Kind::Service, Kind::Stream];
        known.into_iter().find(|k| kind_name(*k) == self.kind)
    }
}

fn property(key: &str, value: &Value) -> Option<Property> {
    let (local, ns) = key.split_once('@')?;
    let xml = value.as_str()?;
    let element = xml::parse(xml.as_bytes(), Limits::of(xml.len())).ok()?;
    element.is(ns, local).then(|| Property { ns: ns.to_owned(), local: local.to_owned(), xml: xml.to_owned() })
}

fn write_acl(acl: &Acl, ids: &DocIds) -> Value {
    let entry = |ace: &Ace| {
        let principal = match ace.role {
            Some(role) => json!({ "D.href": ids.of(ObjectKind::Role.name(), role) }),
            None => json!({ "D.all": "" }),
        };
        let privileges = Privileges::from_bits(ace.privileges as u64);
        let name = |p: Privilege| format!("{}.{}", if p.ns() == DAV { "D" } else { "p" }, p.name());
        let granted: Vec<Value> = privileges.iter().map(|p| json!({ name(p): {} })).collect();
        json!({ "D.principal": principal, "D.grant": { "D.privilege": granted } })
    };
    let mut written = Map::new();
    if let Some(level) = &acl.require_schema {
        written.insert("@p.requireSchemaAuthz".to_owned(), json!(level));
    }
    if !acl.aces.is_empty() {
        written.insert("D.ace".to_owned(), acl.aces.iter().map(entry).collect());
    }
    Value::Object(written)
}

fn read_acl(acl: &Value, roles: &HashMap<String, i64>) -> Acl {
    let level = acl.get("@p.requireSchemaAuthz").or_else(|| acl.get("@requireSchemaAuthz")).and_then(Value::as_str);
    let mut aces = Vec::new();
    for ace in one_or_many(acl.get("D.ace")) {
        let Some(principal) = ace.get("D.principal") else { continue };
        let role = match principal.get("D.href").and_then(Value::as_str) {
            Some(id) => match roles.get(id) {
                Some(number) => Some(*number),
                None => continue,
            },
            None if principal.get("D.all").is_some() => None,
            None => continue,
        };
        let granted = one_or_many(ace.get("D.grant").and_then(|grant| grant.get("D.privilege")));
        let names = granted.iter().filter_map(|p| p.as_object()).flat_map(Map::keys);
        let privileges: Privileges =
            names.filter_map(|name| Privilege::of(name.split_once('.').map_or(name, |(_, local)| local))).collect();
        aces.push(Ace { role, privileges: privileges.bits() as i64 });
    }
    Acl { require_schema: level.and_then(SchemaAuthz::of).map(|level| level.name().to_owned()), aces }
}

/// A list of one may stand there without being a list.
fn one_or_many(value: Option<&Value>) -> Vec<&Value> {
    match value {
        Some(Value::Array(many)) => many.iter().collect(),
        Some(one @ Value::Object(_)) => vec![one],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_read_as_it_was_written() {
        let ids = DocIds::new("cell".to_owned());
        let privileges: Privileges = [Privilege::Read, Privilege::Exec].into_iter().collect();
        let bits = privileges.bits() as i64;
        let meta = Meta {
            kind: FILE,
            acl: Acl {
                require_schema: Some("public".to_owned()),
                aces: vec![Ace { role: Some(3), privileges: bits }, Ace { role: None, privileges: bits }],
            },
            properties: vec![Property {
                ns: "urn:x".to_owned(),
                local: "p".to_owned(),
                xml: "<p xmlns=\"urn:x\">ä &amp; b</p>".to_owned(),
            }],
            created_ms: 1,
            updated_ms: 2,
            version: 3,
            content_type: Some("text/plain".to_owned()),
            size: 4,
        };
        let roles = HashMap::from([(ids.of("Role", 3), 30)]);
        let read = Meta::parse(&meta.write("i", &ids), "x/.pmeta", &roles).expect("a document");
        assert_eq!(read.acl.aces[0].role, Some(30), "roles have their numbers here");
        assert_eq!(
            (read.acl.aces[1].clone(), read.acl.require_schema),
            (meta.acl.aces[1].clone(), Some("public".into()))
        );
        assert_eq!((read.properties, read.content_type), (meta.properties, meta.content_type));
        assert_eq!((read.created_ms, read.updated_ms, read.version, read.size), (1, 2, 3, 4));
    }

    #[test]
    fn forms_of_the_reference_are_read() {
        let acl = r#"{"@requireSchemaAuthz":"none","D.ace":{"D.principal":{"D.href":"gone"},"D.grant":{"D.privilege":{"D.read":{}}}}}"#;
        let text = format!(r#"{{"t":"col.webdav","a":{acl},"x":1}}"#);
        let read = Meta::parse(text.as_bytes(), "n", &HashMap::new()).expect("a document");
        assert_eq!((read.acl.aces.len(), read.acl.require_schema.as_deref()), (0, Some("none")));
        let roles = HashMap::from([("gone".to_owned(), 1)]);
        assert_eq!(Meta::parse(text.as_bytes(), "n", &roles).expect("a document").acl.aces.len(), 1);
    }

    #[test]
    fn what_is_no_resource_is_damage() {
        for wrong in [
            "",
            "[]",
            "{}",
            r#"{"t":"col.new"}"#,
            r#"{"t":"dav.file","et":"AES"}"#,
            r#"{"t":"dav.file","d":{"a@b":"<c xmlns='b'/>"}}"#,
            r#"{"t":"dav.file","d":{"a@b":"<a xmlns='b'>"}}"#,
        ] {
            assert!(Meta::parse(wrong.as_bytes(), "n", &HashMap::new()).is_err(), "{wrong}");
        }
    }
}
