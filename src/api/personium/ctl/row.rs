//! Rows of the store as entities.

use serde_json::{Map, Value};

use super::super::call::Call;
use super::super::odata::{Entity, Options, found, listed};
use super::failed;
use super::set::{EntityKey, Set};
use crate::domain::account::AccountFields;
use crate::domain::rule::RuleFields;
use crate::storage::database::View;
use crate::storage::database::cell_box::CellBox;
use crate::storage::database::control::{Object, ObjectKind};
use crate::storage::{Error, Result};
use crate::web::Response;
use crate::web::problem::Problem;

/// One entity as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Row {
    Box(CellBox),
    Object(ObjectKind, Object),
}

impl Row {
    /// The entity of a key; the main box is none.
    pub(super) fn find(view: &View<'_>, set: Set, key: &EntityKey) -> Result<Option<Self>> {
        match set {
            Set::Box => Ok(view.cell_box(&key.name)?.filter(|b| !b.is_main()).map(Self::Box)),
            Set::Object(kind) => {
                let Some(owner) = owner(view, kind, key)? else { return Ok(None) };
                Ok(view.object(kind, &key.name, owner)?.map(|object| Self::Object(kind, object)))
            }
        }
    }

    pub(super) fn set(&self) -> Set {
        match self {
            Self::Box(_) => Set::Box,
            Self::Object(kind, _) => Set::Object(*kind),
        }
    }

    /// The version and the time of the last change.
    pub(super) fn stamp(&self) -> (i64, i64) {
        match self {
            Self::Box(b) => (b.version, b.updated_ms),
            Self::Object(_, object) => (object.version, object.updated_ms),
        }
    }

    pub(super) fn key(&self, view: &View<'_>) -> Result<EntityKey> {
        let box_name = |id| Ok::<_, Error>(view.cell_box_by_id(id)?.map(|b| b.name));
        match self {
            Self::Box(b) => Ok(EntityKey { name: b.name.clone(), relation: None, box_name: None }),
            Self::Object(ObjectKind::ExtRole, object) => {
                let relation = view.object_by_id(ObjectKind::Relation, object.owner)?;
                let relation = relation.ok_or_else(|| Error::Inconsistent("a role without relation".to_owned()))?;
                let box_name = box_name(relation.owner)?;
                Ok(EntityKey { name: object.name.clone(), relation: Some(relation.name), box_name })
            }
            Self::Object(_, object) => {
                Ok(EntityKey { name: object.name.clone(), relation: None, box_name: box_name(object.owner)? })
            }
        }
    }

    /// The entity, its addresses below `base`, the cell's URL.
    pub(super) fn entity(&self, view: &View<'_>, base: &str) -> Result<Entity> {
        let key = self.key(view)?;
        let set = self.set();
        let (version, updated_ms) = self.stamp();
        let created_ms = match self {
            Self::Box(b) => b.created_ms,
            Self::Object(_, object) => object.created_ms,
        };
        let uri = format!("{base}__ctl/{}", set.step(&key));
        Ok(Entity { named: set.named(), uri, version, created_ms, updated_ms, fields: self.fields(view, key)? })
    }

    fn fields(&self, view: &View<'_>, key: EntityKey) -> Result<Map<String, Value>> {
        let mut fields = match self {
            Self::Object(ObjectKind::Rule, object) => rule_fields(object),
            Self::Object(ObjectKind::Account, object) => account_fields(object),
            _ => Map::new(),
        };
        let mut put = |name: &str, value: Option<String>| drop(fields.insert(name.to_owned(), value.into()));
        match self {
            Self::Box(b) => {
                put("Name", Some(key.name));
                put("Schema", b.schema.clone());
            }
            Self::Object(ObjectKind::ExtRole, _) => {
                put("ExtRole", Some(key.name));
                put("_Relation.Name", key.relation);
                put("_Relation._Box.Name", key.box_name);
            }
            Self::Object(ObjectKind::ExtCell, _) => put("Url", Some(key.name)),
            Self::Object(ObjectKind::Account, _) => put("Name", Some(key.name)),
            Self::Object(ObjectKind::DrivePassword, object) => {
                put("Name", Some(key.name));
                let drive = view.drive_password(object.id)?.ok_or(Error::Missing)?;
                let account = view.object_by_id(ObjectKind::Account, drive.account)?;
                put("_Account.Name", account.map(|account| account.name));
                put("_Box.Name", view.cell_box_by_id(drive.cell_box)?.map(|b| b.name));
            }
            Self::Object(..) => {
                put("Name", Some(key.name));
                put("_Box.Name", key.box_name);
            }
        }
        Ok(fields)
    }
}

fn account_fields(object: &Object) -> Map<String, Value> {
    match serde_json::to_value(AccountFields::from_json(&object.fields)) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

fn rule_fields(object: &Object) -> Map<String, Value> {
    match serde_json::to_value(RuleFields::from_json(&object.fields)) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// The number of what an object of a key belongs to: 0 for no box; none where the box or the relation does not exist.
pub(super) fn owner(view: &View<'_>, kind: ObjectKind, key: &EntityKey) -> Result<Option<i64>> {
    let cell_box = match &key.box_name {
        None => 0,
        Some(name) => match view.cell_box(name)?.filter(|b| !b.is_main()) {
            Some(found) => found.id,
            None => return Ok(None),
        },
    };
    match (kind, &key.relation) {
        (ObjectKind::ExtRole, None) => Ok(None),
        (ObjectKind::ExtRole, Some(relation)) => {
            Ok(view.object(ObjectKind::Relation, relation, cell_box)?.map(|relation| relation.id))
        }
        _ => Ok(Some(cell_box)),
    }
}

/// Answers a GET of a set.
pub(super) fn list(call: &Call, set: Set) -> std::result::Result<Response, Problem> {
    let options = Options::of(call.query.as_deref(), &call.headers)?;
    let base = call.base_url();
    let entities = call.open()?.read(|view| {
        let rows: Vec<Row> = match set {
            Set::Box => view.boxes()?.into_iter().filter(|b| !b.is_main()).map(Row::Box).collect(),
            Set::Object(kind) => view.objects(kind)?.into_iter().map(|object| Row::Object(kind, object)).collect(),
        };
        rows.iter().map(|row| row.entity(view, &base)).collect::<Result<Vec<_>>>()
    });
    listed(entities.map_err(|e| call.failed(e))?, set.named(), &options, None)
}

/// Answers a GET of an entity.
pub(super) fn get(call: &Call, set: Set, key: &EntityKey) -> std::result::Result<Response, Problem> {
    let options = Options::of(call.query.as_deref(), &call.headers)?;
    let base = call.base_url();
    let entity = call.open()?.read(|view| {
        let row = Row::find(view, set, key)?.ok_or(Error::Missing)?;
        row.entity(view, &base)
    });
    found(&entity.map_err(|e| failed(call, e))?, &call.headers, &options)
}
