//! Control objects as documents: which kinds there are, and how each is written and read.
//!
//! A further kind of object is one more line of [`FAMILIES`]. Links are of all kinds, whatever they link.

use serde_json::{Map, Value, json};

use super::doc::{Doc, DocIds, ReadDoc};
use super::failure::Failure;
use crate::storage::Result;
use crate::storage::database::account::StoredPassword;
use crate::storage::database::cell_box::CellBox;
use crate::storage::database::control::{LinkRow, Object, ObjectKind};
use crate::storage::database::{Tx, View};

/// How the objects of one kind are written.
pub(super) struct Family {
    /// The list that holds them.
    pub(super) list: &'static str,
    pub(super) kind: ObjectKind,
    /// The property that is the object's name.
    pub(super) key: &'static str,
    /// The type of what the objects may be bound to.
    pub(super) bound_to: &'static str,
    /// What no API shows of an object of this number, and how it is kept again.
    pub(super) hidden: Hidden,
}

/// The hidden fields of a kind.
#[derive(Clone, Copy)]
pub(super) struct Hidden {
    pub(super) read: fn(&View<'_>, i64) -> Result<Map<String, Value>>,
    pub(super) write: fn(&Tx<'_>, i64, &Map<String, Value>) -> Result<()>,
}

impl Hidden {
    /// The kind has none.
    const NONE: Self = Self { read: |_, _| Ok(Map::new()), write: |_, _, _| Ok(()) };
}

/// Every kind of control object but boxes.
pub(super) const FAMILIES: &[Family] = &[
    Family {
        list: "11_account",
        kind: ObjectKind::Account,
        key: "Name",
        bound_to: BOX,
        hidden: Hidden { read: read_password, write: write_password },
    },
    Family { list: "12_extcell", kind: ObjectKind::ExtCell, key: "Url", bound_to: BOX, hidden: Hidden::NONE },
    Family { list: "20_role", kind: ObjectKind::Role, key: "Name", bound_to: BOX, hidden: Hidden::NONE },
    Family { list: "21_rule", kind: ObjectKind::Rule, key: "Name", bound_to: BOX, hidden: Hidden::NONE },
    Family { list: "22_relation", kind: ObjectKind::Relation, key: "Name", bound_to: BOX, hidden: Hidden::NONE },
    Family {
        list: "30_extrole",
        kind: ObjectKind::ExtRole,
        key: "ExtRole",
        bound_to: "Relation",
        hidden: Hidden::NONE,
    },
];

const CREDENTIAL: &str = "HashedCredential";
const ALGORITHM: &str = "HashAlgorithm";
const ATTRIBUTES: &str = "HashAttributes";
/// What a hash was made with if its document does not say.
const USUAL_ALGORITHM: &str = "scrypt";

fn read_password(v: &View<'_>, account: i64) -> Result<Map<String, Value>> {
    let Some(StoredPassword { algorithm, hash, attributes }) = v.password_of(account)? else { return Ok(Map::new()) };
    let mut hidden = object([(ALGORITHM, json!(algorithm)), (CREDENTIAL, json!(hash))]);
    hidden.extend(attributes.map(|attributes| (ATTRIBUTES.to_owned(), json!(attributes))));
    Ok(hidden)
}

fn write_password(tx: &Tx<'_>, account: i64, hidden: &Map<String, Value>) -> Result<()> {
    let text = |key: &str| hidden.get(key).and_then(Value::as_str).map(str::to_owned);
    let Some(hash) = text(CREDENTIAL).filter(|hash| !hash.is_empty()) else { return Ok(()) };
    let algorithm = text(ALGORITHM).unwrap_or_else(|| USUAL_ALGORITHM.to_owned());
    tx.set_password(account, Some(&StoredPassword { algorithm, hash, attributes: text(ATTRIBUTES) }))
}

pub(super) const ACCOUNT: &str = "Account";
pub(super) const BOX: &str = "Box";
pub(super) const BOX_LIST: &str = "10_box";
pub(super) const LINK: &str = "link";
pub(super) const LINK_LIST: &str = "80_link";

/// What the documents do not tell of an object.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Extra {
    pub(super) id: String,
    pub(super) number: i64,
    pub(super) version: i64,
}

/// One written document.
pub(super) struct Written {
    pub(super) list: &'static str,
    pub(super) id: String,
    pub(super) line: String,
    /// Links have none.
    pub(super) extra: Option<Extra>,
}

/// All documents of a cell but its own, each list sorted by identifier. `boxes` are those that are exported.
pub(super) fn write_all(v: &View<'_>, ids: &DocIds, boxes: &[CellBox]) -> Result<Vec<Written>> {
    let mut written = Vec::new();
    for b in boxes.iter().filter(|b| !b.is_main()) {
        let declared = object([("Name", json!(b.name)), ("Schema", json!(b.schema))]);
        let doc = Doc { declared, created_ms: b.created_ms, updated_ms: b.updated_ms, ..Doc::default() };
        written.push(document(ids, BOX_LIST, BOX, (b.id, b.version), doc));
    }
    for family in FAMILIES {
        for o in v.objects(family.kind)? {
            let mut declared: Map<String, Value> = serde_json::from_str(&o.fields).unwrap_or_default();
            let hidden = (family.hidden.read)(v, o.id)?;
            declared.insert(family.key.to_owned(), json!(o.name));
            let bound = (o.owner != 0).then(|| (family.bound_to, ids.of(family.bound_to, o.owner)));
            let doc = Doc { declared, hidden, bound, created_ms: o.created_ms, updated_ms: o.updated_ms };
            written.push(document(ids, family.list, family.kind.name(), (o.id, o.version), doc));
        }
    }
    for LinkRow { a, b } in v.links()? {
        let (k1, k2) = (ids.of(&a.0, a.1), ids.of(&b.0, b.1));
        let id = format!("{k1}-{k2}");
        let source = json!({
            "c": ids.cell(), "b": null, "n": null, "t1": a.0, "k1": k1, "t2": b.0, "k2": k2, "p": 0, "u": 0,
        });
        let line = json!({ "_index": "u0_anon", "_type": LINK, "_id": id, "_source": source }).to_string();
        written.push(Written { list: LINK_LIST, id, line, extra: None });
    }
    written.sort_by(|a, b| (a.list, &a.id).cmp(&(b.list, &b.id)));
    Ok(written)
}

fn document(ids: &DocIds, list: &'static str, type_name: &str, (number, version): (i64, i64), doc: Doc) -> Written {
    let id = ids.of(type_name, number);
    let line = doc.line(ids, type_name, &id).to_string();
    Written { list, line, extra: Some(Extra { id: id.clone(), number, version }), id }
}

fn object<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// An object as its document tells it; its number, its version and what it is bound to are found elsewhere.
pub(super) fn read(family: &Family, doc: &ReadDoc) -> std::result::Result<Object, Failure> {
    let name = doc.text(family.key).ok_or_else(|| {
        Failure::Damaged(format!("{}: the document {} has no {}", super::list_entry(family.list), doc.id, family.key))
    })?;
    let mut fields = doc.object("s");
    fields.remove(family.key);
    let created_ms = doc.time("p").unwrap_or(0);
    Ok(Object {
        id: 0,
        name: name.to_owned(),
        owner: 0,
        fields: if fields.is_empty() { String::new() } else { Value::Object(fields).to_string() },
        version: 1,
        created_ms,
        updated_ms: doc.time("u").unwrap_or(created_ms),
    })
}
