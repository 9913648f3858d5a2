//! Navigation properties: what an entity is tied to, as entities; and making objects that are tied from their beginning.

use super::super::call::Call;
use super::super::odata::{Options, Step, listed};
use super::objects::{self, From};
use super::row::Row;
use super::set::{EntityKey, Set, Tie};
use super::{SET_METHODS, accounts, boxes, failed};
use crate::storage::database::View;
use crate::storage::database::control::ObjectKind;
use crate::storage::{Error, Result};
use crate::web::problem::{Code, Problem};
use crate::web::{Response, response};

/// Answers `{entity}/_{Set}`.
pub(super) fn answer(call: &Call, set: Set, first: &Step, navigation: &Step) -> std::result::Result<Response, Problem> {
    let key = set.key_of(first)?;
    let (other, tie) = set.navigation(&navigation.name).ok_or(Code::NoNavigation)?;
    if navigation.has_key() {
        return Err(Code::NoNavigation.into());
    }
    call.permit(other.place())?;
    match call.method.as_str() {
        "GET" | "HEAD" => list(call, set, &key, other),
        "POST" => match other {
            Set::Object(ObjectKind::Account) => accounts::create(call, Some(From { set, key })),
            Set::Object(kind) if !(tie == Tie::Mandatory && kind == ObjectKind::Relation) => {
                objects::create(call, kind, Some(From { set, key }))
            }
            Set::Box => boxes::create(call, Some(From { set, key })),
            Set::Object(_) => Err(Code::MethodNotImplemented.into()),
        },
        "OPTIONS" => Ok(response::options(SET_METHODS)),
        _ => Err(Call::not_allowed(SET_METHODS)),
    }
}

fn list(call: &Call, set: Set, key: &EntityKey, other: Set) -> std::result::Result<Response, Problem> {
    let options = Options::of(call.query.as_deref(), &call.headers)?;
    let base = call.base_url();
    let entities = call.open()?.read(|view| {
        let source = Row::find(view, set, key)?.ok_or(Error::Missing)?;
        tied(view, &source, other)?.iter().map(|row| row.entity(view, &base)).collect::<Result<Vec<_>>>()
    });
    listed(entities.map_err(|e| failed(call, e))?, other.named(), &options, None)
}

/// The entities of a set that an entity is tied to.
pub(super) fn tied(view: &View<'_>, source: &Row, other: Set) -> Result<Vec<Row>> {
    let all = |kind, owner| {
        let objects = view.objects_of(kind, owner)?;
        Ok(objects.into_iter().map(|object| Row::Object(kind, object)).collect())
    };
    match (source, other) {
        (Row::Box(cell_box), Set::Object(kind)) => all(kind, cell_box.id),
        (Row::Object(ObjectKind::Relation, relation), Set::Object(ObjectKind::ExtRole)) => {
            all(ObjectKind::ExtRole, relation.id)
        }
        (Row::Object(_, object), Set::Box) => {
            Ok(view.cell_box_by_id(object.owner)?.map(Row::Box).into_iter().collect())
        }
        (Row::Object(ObjectKind::ExtRole, role), Set::Object(ObjectKind::Relation)) => {
            let relation = view.object_by_id(ObjectKind::Relation, role.owner)?;
            Ok(relation.map(|relation| Row::Object(ObjectKind::Relation, relation)).into_iter().collect())
        }
        (Row::Object(kind, object), Set::Object(other)) => {
            let mut rows = Vec::new();
            for id in view.linked(*kind, object.id, other)? {
                rows.extend(view.object_by_id(other, id)?.map(|object| Row::Object(other, object)));
            }
            Ok(rows)
        }
        (Row::Box(_), Set::Box) => Ok(Vec::new()),
    }
}
