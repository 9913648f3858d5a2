//! Boxes, control objects and links, from their documents to rows.

use std::collections::HashMap;

use super::source::SnapshotSource;
use super::{DOCUMENT, Numbers, Stop};
use crate::domain::names::is_box_name;
use crate::snapshot::doc::ReadDoc;
use crate::snapshot::failure::Failure;
use crate::snapshot::objects::{BOX, BOX_LIST, Extra, FAMILIES, LINK_LIST, read};
use crate::snapshot::{CELL, LISTS, OWN_OBJECTS, list_entry};
use crate::storage::database::Tx;
use crate::storage::database::cell_box::{CellBox, MAIN_BOX};
use crate::storage::database::control::{LinkRow, ObjectKind};
use crate::storage::database::schema::PARENT_BOXES;

/// What was restored, by the identifiers of the documents.
#[derive(Debug, Default)]
pub(super) struct Restored {
    /// Number and name of each box but the main one.
    pub(super) boxes: HashMap<String, (i64, String)>,
    pub(super) roles: HashMap<String, i64>,
    /// The main box's number.
    pub(super) main: i64,
    /// Numbers of all objects by type and identifier.
    objects: HashMap<(String, String), i64>,
}

impl Restored {
    /// The number of an object.
    pub(super) fn number(&self, kind: &str, id: &str) -> Option<i64> {
        self.objects.get(&(kind.to_owned(), id.to_owned())).copied()
    }
}

fn damaged(list: &str, text: impl std::fmt::Display) -> Stop {
    Failure::Damaged(format!("{}: {text}", list_entry(list))).into()
}

/// The documents of a list.
fn documents(source: &SnapshotSource, list: &str) -> Result<Vec<ReadDoc>, Stop> {
    let name = list_entry(list);
    let bytes = source.find(&name, DOCUMENT)?.ok_or_else(|| Failure::Missing(name.clone()))?;
    let text = String::from_utf8(bytes).map_err(|_| damaged(list, "it is not UTF-8"))?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    Ok(lines.map(|line| ReadDoc::parse(line).map_err(Failure::Json)).collect::<Result<_, _>>()?)
}

/// What the documents do not tell, for lists that are as they were written.
fn extras(source: &SnapshotSource) -> Result<HashMap<String, Extra>, Stop> {
    let bytes = source.find(OWN_OBJECTS, DOCUMENT)?.unwrap_or_default();
    let mut extras = HashMap::new();
    for line in bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let extra: Extra = serde_json::from_slice(line)
            .map_err(|_| Failure::Damaged(format!("{OWN_OBJECTS}: a line cannot be read")))?;
        extras.insert(extra.id.clone(), extra);
    }
    Ok(extras)
}

/// Holds the document of the cell to be one. Nothing of it counts: a cell keeps its own name and owner.
fn check_cell(source: &SnapshotSource) -> Result<(), Stop> {
    let bytes = source.find(CELL, DOCUMENT)?.ok_or_else(|| Failure::Missing(CELL.to_owned()))?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(ReadDoc::parse(text.trim()).map(drop).map_err(Failure::Json)?)
}

/// Writes the rows of everything that is no resource.
pub(super) fn restore(tx: &Tx<'_>, source: &SnapshotSource, numbers: &mut Numbers) -> Result<Restored, Stop> {
    check_cell(source)?;
    for list in LISTS {
        let known = [BOX_LIST, LINK_LIST].contains(&list) || FAMILIES.iter().any(|f| f.list == list);
        if !known && let Some(doc) = documents(source, list)?.first() {
            return Err(Failure::Unsupported(doc.type_name.clone()).into());
        }
    }
    let extras = extras(source)?;
    let mut restored = Restored { main: main_box(tx, numbers)?, ..Restored::default() };
    let number_of = |list: &str, doc: &ReadDoc, numbers: &mut Numbers| {
        let extra = extras.get(&doc.id).filter(|_| source.is_as_written(&list_entry(list)));
        let kept = extra.and_then(|extra| Some((numbers.kept(extra.number)?, extra.version.max(1))));
        kept.unwrap_or_else(|| (numbers.new_one(), 1))
    };
    for doc in documents(source, BOX_LIST)? {
        let (id, version) = number_of(BOX_LIST, &doc, numbers);
        cell_box(tx, &doc, id, version, &mut restored)?;
    }
    for family in FAMILIES {
        for doc in documents(source, family.list)? {
            let (id, version) = number_of(family.list, &doc, numbers);
            let mut object = read(family, &doc)?;
            (object.id, object.version) = (id, version);
            if let Some(bound) = doc.bound(family.bound_to) {
                object.owner = match family.bound_to {
                    BOX => restored.boxes.get(bound).map(|(number, _)| *number),
                    other => restored.objects.get(&(other.to_owned(), bound.to_owned())).copied(),
                }
                .ok_or_else(|| damaged(family.list, format!("{} is bound to nothing that is there", doc.id)))?;
            }
            if tx.object(family.kind, &object.name, object.owner)?.is_some() {
                return Err(damaged(family.list, format!("{} is there twice", object.name)));
            }
            tx.restore_object(family.kind, &object)?;
            (family.hidden.write)(tx, id, &doc.object("h"))?;
            if family.kind == ObjectKind::Role {
                restored.roles.insert(doc.id.clone(), id);
            }
            let key = (family.kind.name().to_owned(), doc.id.clone());
            if restored.objects.insert(key, id).is_some() {
                return Err(damaged(family.list, format!("{} is there twice", doc.id)));
            }
        }
    }
    links(tx, source, &restored)?;
    tx.touch_control();
    Ok(restored)
}

/// The main box comes with the empty cell; it gets a number that nothing else has.
fn main_box(tx: &Tx<'_>, numbers: &mut Numbers) -> Result<i64, Stop> {
    let wrong = || crate::storage::Error::Inconsistent("a new cell has no main box".to_owned());
    let main = tx.cell_box(MAIN_BOX)?.ok_or_else(wrong)?;
    let root = tx.child(PARENT_BOXES, MAIN_BOX)?.ok_or_else(wrong)?;
    tx.remove_box(main.id)?;
    tx.remove_resource(root.parent, &root.name)?;
    let id = numbers.new_one();
    tx.insert_box(&CellBox { id, seq: tx.seq(), ..main })?;
    Ok(id)
}

fn cell_box(tx: &Tx<'_>, doc: &ReadDoc, id: i64, version: i64, restored: &mut Restored) -> Result<(), Stop> {
    let name = doc.text("Name").filter(|name| is_box_name(name) && *name != MAIN_BOX);
    let name = name.ok_or_else(|| damaged(BOX_LIST, format!("the box {} has no name that a box can have", doc.id)))?;
    let schema = doc.text("Schema").filter(|schema| !schema.is_empty()).map(str::to_owned);
    let taken = tx.cell_box(name)?.is_some()
        || schema.as_deref().map_or(Ok(None), |s| tx.box_with_schema(s))?.is_some()
        || restored.boxes.contains_key(&doc.id);
    if taken {
        return Err(damaged(BOX_LIST, format!("the box {name} or its schema is there twice")));
    }
    let created_ms = doc.time("p").unwrap_or_else(|| tx.now_ms());
    let updated_ms = doc.time("u").unwrap_or(created_ms);
    let seq = tx.seq();
    tx.insert_box(&CellBox { id, name: name.to_owned(), schema, version, created_ms, updated_ms, seq })?;
    restored.boxes.insert(doc.id.clone(), (id, name.to_owned()));
    Ok(())
}

fn links(tx: &Tx<'_>, source: &SnapshotSource, restored: &Restored) -> Result<(), Stop> {
    for doc in documents(source, LINK_LIST)? {
        let end = |t: &str, k: &str| -> Result<(String, i64), Stop> {
            let key = doc.own(t).zip(doc.own(k)).map(|(t, k)| (t.to_owned(), k.to_owned()));
            let found = key.and_then(|key| restored.objects.get(&key).map(|number| (key.0, *number)));
            found.ok_or_else(|| damaged(LINK_LIST, format!("{} links something that is not there", doc.id)))
        };
        let (a, b) = (end("t1", "k1")?, end("t2", "k2")?);
        let (a, b) = if a.0 <= b.0 { (a, b) } else { (b, a) };
        tx.restore_link(&LinkRow { a, b })?;
    }
    Ok(())
}
