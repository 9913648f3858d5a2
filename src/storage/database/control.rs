//! Control objects that are rows: roles, relations, external roles, rules, accounts and their kin, and the links between them.
//!
//! An object that belongs to no box has box 0.

use rusqlite::{Row, params};

use super::tx::{Tx, View};
use crate::base::id::ResourceId;
use crate::storage::error::{Error, Result};

/// The kinds of control objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    Role,
    Relation,
    ExtRole,
    Rule,
    Account,
    ExtCell,
    DrivePassword,
}

impl ObjectKind {
    pub const ALL: [Self; 7] =
        [Self::Role, Self::Relation, Self::ExtRole, Self::Rule, Self::Account, Self::ExtCell, Self::DrivePassword];

    /// The name of the entity set.
    pub fn name(self) -> &'static str {
        match self {
            Self::Role => "Role",
            Self::Relation => "Relation",
            Self::ExtRole => "ExtRole",
            Self::Rule => "Rule",
            Self::Account => "Account",
            Self::ExtCell => "ExtCell",
            Self::DrivePassword => "DrivePassword",
        }
    }

    /// Whether objects of this kind have properties of their own besides their key.
    pub fn has_fields(self) -> bool {
        matches!(self, Self::Rule | Self::Account)
    }

    /// Whether objects of this kind belong to the archive of a box.
    fn is_archived(self) -> bool {
        !matches!(self, Self::Account | Self::ExtCell | Self::DrivePassword)
    }

    fn table(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Role => ("role", "name", "box"),
            Self::Relation => ("relation", "name", "box"),
            Self::ExtRole => ("ext_role", "url", "relation"),
            Self::Rule => ("rule", "name", "box"),
            Self::Account => ("account", "name", "box"),
            Self::ExtCell => ("ext_cell", "url", "box"),
            Self::DrivePassword => ("drive_password", "name", "scope"),
        }
    }
}

/// A control object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub id: i64,
    /// The name; the URL of an external role or cell.
    pub name: String,
    /// The box that the object is bound to, 0 for none; the relation of an external role.
    pub owner: i64,
    /// JSON of a rule's or an account's other properties; empty for other kinds.
    pub fields: String,
    pub version: i64,
    pub created_ms: i64,
    pub updated_ms: i64,
}

/// A link as it is stored: the ends in the order of the names of their kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRow {
    pub a: (String, i64),
    pub b: (String, i64),
}

fn select(kind: ObjectKind) -> String {
    let (table, name, owner) = kind.table();
    let fields = if kind.has_fields() { "fields" } else { "''" };
    format!("SELECT id, {name}, {owner}, {fields}, version, created_ms, updated_ms FROM {table}")
}

fn read(r: &Row<'_>) -> rusqlite::Result<Object> {
    Ok(Object {
        id: r.get(0)?,
        name: r.get(1)?,
        owner: r.get(2)?,
        fields: r.get(3)?,
        version: r.get(4)?,
        created_ms: r.get(5)?,
        updated_ms: r.get(6)?,
    })
}

impl View<'_> {
    /// The object of a name, bound to `owner` (a box or 0; the relation of an external role).
    pub fn object(&self, kind: ObjectKind, name: &str, owner: i64) -> Result<Option<Object>> {
        let (_, key, bound) = kind.table();
        let query = format!("{} WHERE {bound}=?1 AND {key}=?2", select(kind));
        self.optional("find a control object", &query, params![owner, name], read)
    }

    pub fn object_by_id(&self, kind: ObjectKind, id: i64) -> Result<Option<Object>> {
        self.optional("find a control object", &format!("{} WHERE id=?1", select(kind)), params![id], read)
    }

    /// All objects of a kind in the order of their creation.
    pub fn objects(&self, kind: ObjectKind) -> Result<Vec<Object>> {
        self.all("list control objects", &format!("{} ORDER BY id", select(kind)), [], read)
    }

    /// The objects bound to a box (of a relation: external roles), by name.
    pub fn objects_of(&self, kind: ObjectKind, owner: i64) -> Result<Vec<Object>> {
        let (_, key, bound) = kind.table();
        self.all("list control objects", &format!("{} WHERE {bound}=?1 ORDER BY {key}", select(kind)), [owner], read)
    }

    /// The numbers of the objects of one kind that an object is linked with.
    pub fn linked(&self, kind: ObjectKind, id: i64, other: ObjectKind) -> Result<Vec<i64>> {
        self.all(
            "read links",
            "SELECT b FROM link WHERE a_kind=?1 AND a=?2 AND b_kind=?3 \
             UNION SELECT a FROM link WHERE b_kind=?1 AND b=?2 AND a_kind=?3 ORDER BY 1",
            params![kind.name(), id, other.name()],
            |r| r.get(0),
        )
    }

    /// All links, each end by the name of its kind and its number.
    pub fn links(&self) -> Result<Vec<LinkRow>> {
        self.all("list links", "SELECT a_kind, a, b_kind, b FROM link ORDER BY a_kind, a, b_kind, b", [], |r| {
            Ok(LinkRow { a: (r.get(0)?, r.get(1)?), b: (r.get(2)?, r.get(3)?) })
        })
    }

    /// Whether roles, relations or rules are bound to a box.
    pub fn has_bound_objects(&self, cell_box: ResourceId) -> Result<bool> {
        for kind in [ObjectKind::Role, ObjectKind::Relation, ObjectKind::Rule] {
            if !self.objects_of(kind, cell_box)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The ends of a link in the one order in which it is stored.
fn ordered(a: (ObjectKind, i64), b: (ObjectKind, i64)) -> ((ObjectKind, i64), (ObjectKind, i64)) {
    if a.0.name() <= b.0.name() { (a, b) } else { (b, a) }
}

impl Tx<'_> {
    /// Says that an object has changed. A change of what archives hold is a change of access too.
    fn touch_object(&self, kind: ObjectKind) -> Result<()> {
        if kind.is_archived() {
            self.touch_control();
            return Ok(());
        }
        self.touch_access()
    }

    fn touch_link(&self, a: ObjectKind, b: ObjectKind) -> Result<()> {
        self.touch_object(if a.is_archived() { b } else { a })
    }

    /// Adds an object under a new number. `Exists` if its key is taken.
    pub fn insert_object(&self, kind: ObjectKind, name: &str, owner: i64, fields: &str) -> Result<Object> {
        if self.object(kind, name, owner)?.is_some() {
            return Err(Error::Exists);
        }
        let (table, key, bound) = kind.table();
        let now = self.now_ms();
        let object = Object {
            id: self.next_id(),
            name: name.to_owned(),
            owner,
            fields: fields.to_owned(),
            version: 1,
            created_ms: now,
            updated_ms: now,
        };
        let columns = format!("id, {key}, {bound}, version, created_ms, updated_ms");
        let op = "insert a control object";
        if kind.has_fields() {
            let query = format!("INSERT INTO {table}({columns}, fields) VALUES(?1,?2,?3,1,?4,?4,?5)");
            self.run(op, &query, params![object.id, name, owner, now, fields])?;
        } else {
            let query = format!("INSERT INTO {table}({columns}) VALUES(?1,?2,?3,1,?4,?4)");
            self.run(op, &query, params![object.id, name, owner, now])?;
        }
        self.touch_object(kind)?;
        Ok(object)
    }

    /// Writes an object exactly as it was somewhere else.
    pub fn restore_object(&self, kind: ObjectKind, o: &Object) -> Result<()> {
        let (table, key, bound) = kind.table();
        let columns = format!("id, {key}, {bound}, version, created_ms, updated_ms");
        if kind.has_fields() {
            let query = format!("INSERT INTO {table}({columns}, fields) VALUES(?1,?2,?3,?4,?5,?6,?7)");
            let values = params![o.id, o.name, o.owner, o.version, o.created_ms, o.updated_ms, o.fields];
            self.run("restore an object", &query, values)?;
        } else {
            let query = format!("INSERT INTO {table}({columns}) VALUES(?1,?2,?3,?4,?5,?6)");
            let values = params![o.id, o.name, o.owner, o.version, o.created_ms, o.updated_ms];
            self.run("restore an object", &query, values)?;
        }
        Ok(())
    }

    /// Writes a link whose ends are in the order of the names of their kinds.
    pub fn restore_link(&self, link: &LinkRow) -> Result<()> {
        self.run(
            "restore a link",
            "INSERT OR IGNORE INTO link(a_kind, a, b_kind, b) VALUES(?1,?2,?3,?4)",
            params![link.a.0, link.a.1, link.b.0, link.b.1],
        )?;
        Ok(())
    }

    /// Changes an object's key and fields. `Exists` if another object has the key.
    pub fn update_object(&self, kind: ObjectKind, object: &Object) -> Result<Object> {
        if self.object(kind, &object.name, object.owner)?.is_some_and(|o| o.id != object.id) {
            return Err(Error::Exists);
        }
        let (table, key, bound) = kind.table();
        let after = Object { version: object.version + 1, updated_ms: self.now_ms(), ..object.clone() };
        let query = format!("UPDATE {table} SET {key}=?2, {bound}=?3, version=?4, updated_ms=?5 WHERE id=?1");
        self.run(
            "update a control object",
            &query,
            params![after.id, after.name, after.owner, after.version, after.updated_ms],
        )?;
        if kind.has_fields() {
            let query = format!("UPDATE {table} SET fields=?2 WHERE id=?1");
            self.run("update a control object", &query, params![after.id, after.fields])?;
        }
        self.touch_object(kind)?;
        Ok(after)
    }

    /// Removes an object, its links and, for a role, its entries in access control lists.
    pub fn remove_object(&self, kind: ObjectKind, id: i64) -> Result<()> {
        let (table, _, _) = kind.table();
        self.run("remove a control object", &format!("DELETE FROM {table} WHERE id=?1"), params![id])?;
        self.run(
            "remove links",
            "DELETE FROM link WHERE (a_kind=?1 AND a=?2) OR (b_kind=?1 AND b=?2)",
            params![kind.name(), id],
        )?;
        match kind {
            ObjectKind::Role => self.drop_role_from_acls(id)?,
            ObjectKind::Account => self.remove_drive_passwords(id)?,
            _ => {}
        }
        self.touch_object(kind)
    }

    /// Removes what is bound to a box and has a number above `after`.
    pub fn remove_objects_bound_after(&self, cell_box: ResourceId, after: i64) -> Result<()> {
        for relation in self.objects_of(ObjectKind::Relation, cell_box)? {
            for ext_role in self.objects_of(ObjectKind::ExtRole, relation.id)?.iter().filter(|o| o.id > after) {
                self.remove_object(ObjectKind::ExtRole, ext_role.id)?;
            }
        }
        for kind in [ObjectKind::Role, ObjectKind::Relation, ObjectKind::Rule] {
            for object in self.objects_of(kind, cell_box)?.iter().filter(|o| o.id > after) {
                self.remove_object(kind, object.id)?;
            }
        }
        Ok(())
    }

    /// Links two objects; `Exists` if they are linked already.
    pub fn insert_link(&self, one: (ObjectKind, i64), other: (ObjectKind, i64)) -> Result<()> {
        let (a, b) = ordered(one, other);
        let n = self.run(
            "insert a link",
            "INSERT OR IGNORE INTO link(a_kind, a, b_kind, b) VALUES(?1,?2,?3,?4)",
            params![a.0.name(), a.1, b.0.name(), b.1],
        )?;
        self.touch_link(a.0, b.0)?;
        if n == 0 { Err(Error::Exists) } else { Ok(()) }
    }

    /// Unlinks two objects; `Missing` if they were not linked.
    pub fn remove_link(&self, one: (ObjectKind, i64), other: (ObjectKind, i64)) -> Result<()> {
        let (a, b) = ordered(one, other);
        let n = self.run(
            "remove a link",
            "DELETE FROM link WHERE a_kind=?1 AND a=?2 AND b_kind=?3 AND b=?4",
            params![a.0.name(), a.1, b.0.name(), b.1],
        )?;
        self.touch_link(a.0, b.0)?;
        if n == 0 { Err(Error::Missing) } else { Ok(()) }
    }
}
