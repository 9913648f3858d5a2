//! `$links`: which entities are tied, making ties and undoing them.

use http::StatusCode;

use super::super::call::Call;
use super::super::odata::{Options, Step, field_problem, link_uri, steps, uris};
use super::navigation::tied;
use super::objects::footprint;
use super::row::Row;
use super::set::{EntityKey, Set, Tie};
use super::{LINK_METHODS, failed};
use crate::domain::names::FieldError;
use crate::domain::rule::RuleFields;
use crate::storage::database::cell_box::CellBox;
use crate::storage::database::control::{Object, ObjectKind};
use crate::storage::database::{Tx, View};
use crate::storage::writer::{ChangeAt, Context};
use crate::storage::{Error, Result};
use crate::web::problem::{Code, Problem};
use crate::web::{Response, response};

type Answer<T = Response> = std::result::Result<T, Problem>;

/// Answers `{entity}/$links/_{Set}`, with a key behind it or without.
pub(super) fn answer(call: &Call, set: Set, first: &Step, navigation: &Step) -> Answer {
    let key = set.key_of(first)?;
    let association = || set.navigation(&navigation.name).ok_or_else(|| Problem::new(Code::ODataNoAssociation));
    if let Ok((other, _)) = association() {
        call.permit(other.place())?;
    }
    match (call.method.as_str(), navigation.has_key()) {
        ("OPTIONS", _) => Ok(response::options(LINK_METHODS)),
        ("GET" | "HEAD", false) => list(call, set, &key, association()?.0),
        ("POST", true) => Err(Code::ODataLinksPostKey.into()),
        ("POST", false) => {
            let (other, tie) = association()?;
            let to = target(call, other)?;
            change(call, (set, key), (other, to), tie, true)
        }
        ("PUT", true) => Err(Code::MethodNotImplemented.into()),
        ("PUT" | "DELETE", false) => Err(Code::ODataLinksKey.into()),
        ("DELETE", true) => {
            let (other, tie) = association()?;
            let to = other.key_of(navigation).map_err(|_| Problem::new(Code::ODataLinkKey))?;
            change(call, (set, key), (other, to), tie, false)
        }
        _ => Err(Call::not_allowed(LINK_METHODS)),
    }
}

fn list(call: &Call, set: Set, key: &EntityKey, other: Set) -> Answer {
    let options = Options::of(call.query.as_deref(), &call.headers)?;
    let base = call.base_url();
    let entities = call.open()?.read(|view| {
        let source = Row::find(view, set, key)?.ok_or_else(|| Error::from(Problem::new(Code::ODataNotFound)))?;
        tied(view, &source, other)?.iter().map(|row| row.entity(view, &base)).collect::<Result<Vec<_>>>()
    });
    Ok(uris(&entities.map_err(|e| failed(call, e))?, &options))
}

/// The refusal of a body's `uri`.
fn bad_uri() -> Problem {
    field_problem(FieldError::format("uri"))
}

/// The entity of a set that the body names.
fn target(call: &Call, other: Set) -> Answer<EntityKey> {
    let uri = link_uri(&call.body)?;
    let rest = if let Some(rest) = uri.strip_prefix("personium-localcell:/") {
        rest.to_owned()
    } else {
        let target = call.asked.locate(&uri).map_err(|_| bad_uri())?;
        if target.cell.as_deref() != Some(call.cell.as_str()) {
            return Err(bad_uri());
        }
        target.rest
    };
    let path = steps(rest.strip_prefix("__ctl/").ok_or_else(bad_uri)?);
    match path.as_slice() {
        [step] if step.name == other.name() => other.key_of(step).map_err(|_| bad_uri()),
        _ => Err(bad_uri()),
    }
}

/// Ties two entities, or unties them.
fn change(call: &Call, from: (Set, EntityKey), to: (Set, EntityKey), tie: Tie, add: bool) -> Answer {
    if tie == Tie::Mandatory {
        return Err(Code::ODataNoAssociation.into());
    }
    let mut touched = footprint([&from.1, &to.1]);
    for (set, key) in [&from, &to] {
        if *set == Set::Box {
            touched = touched.and(&key.name, &crate::base::path::ResourcePath::root());
        }
    }
    let permission = call.permission(&[from.0.place(), to.0.place()])?;
    let change = ChangeAt(touched, move |ctx: &Context<'_>| {
        permission.ask(ctx.tx)?;
        let missing = || Error::from(Problem::new(Code::ODataNotFound));
        let source = Row::find(ctx.tx, from.0, &from.1)?.ok_or_else(missing)?;
        let no_target = || if add { Error::from(bad_uri()) } else { missing() };
        let target = Row::find(ctx.tx, to.0, &to.1)?.ok_or_else(no_target)?;
        match (&source, &target, add) {
            (Row::Box(b), Row::Object(kind, object), true) | (Row::Object(kind, object), Row::Box(b), true) => {
                bind(ctx.tx, b, *kind, object)
            }
            (Row::Box(b), Row::Object(kind, object), false) | (Row::Object(kind, object), Row::Box(b), false) => {
                unbind(ctx.tx, b, *kind, object)
            }
            (Row::Object(a, one), Row::Object(b, other), true) => {
                let linked = ctx.tx.insert_link((*a, one.id), (*b, other.id));
                linked.map_err(|e| if matches!(e, Error::Exists) { Problem::new(Code::LinkExists).into() } else { e })
            }
            (Row::Object(a, one), Row::Object(b, other), false) => {
                let unlinked = ctx.tx.remove_link((*a, one.id), (*b, other.id));
                unlinked.map_err(|e| if matches!(e, Error::Missing) { missing() } else { e })
            }
            (Row::Box(_), Row::Box(_), _) => Err(missing()),
        }
    });
    call.open()?.change(change).map_err(|e| failed(call, e))?;
    Ok(response::empty(StatusCode::NO_CONTENT))
}

/// Ties an object to a box that was made for it.
pub(super) fn bind_to(call: &Call, from: (Set, EntityKey), box_name: &str) -> Answer<()> {
    let to = EntityKey { name: box_name.to_owned(), relation: None, box_name: None };
    change(call, from, (Set::Box, to), Tie::Bound, true).map(drop)
}

/// Whether an object is there that no box has.
pub(super) fn unbound(view: &View<'_>, set: Set, key: &EntityKey) -> Result<()> {
    match Row::find(view, set, key)?.ok_or(Error::Missing)? {
        Row::Object(_, object) if object.owner != 0 => Err(Problem::new(Code::LinkExists).into()),
        _ => Ok(()),
    }
}

/// Binds an object to a box, which becomes part of its key.
fn bind(tx: &Tx<'_>, cell_box: &CellBox, kind: ObjectKind, object: &Object) -> Result<()> {
    if object.owner != 0 {
        return Err(Problem::new(Code::LinkExists).into());
    }
    move_to(tx, kind, object, cell_box.id, Code::EntityExistsLinked)
}

fn unbind(tx: &Tx<'_>, cell_box: &CellBox, kind: ObjectKind, object: &Object) -> Result<()> {
    if object.owner != cell_box.id {
        return Err(Problem::new(Code::ODataNotFound).into());
    }
    move_to(tx, kind, object, 0, Code::EntityExistsNamed)
}

fn move_to(tx: &Tx<'_>, kind: ObjectKind, object: &Object, owner: i64, taken: Code) -> Result<()> {
    if tx.object(kind, &object.name, owner)?.is_some() {
        return Err(Problem::new(taken).with(&object.name).into());
    }
    if kind == ObjectKind::Rule {
        RuleFields::from_json(&object.fields).validate(owner != 0).map_err(field_problem)?;
    }
    tx.update_object(kind, &Object { owner, ..object.clone() })?;
    Ok(())
}
