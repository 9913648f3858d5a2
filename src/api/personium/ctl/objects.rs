//! Roles, relations, external roles and cells, and rules: made, changed, deleted. What must hold is decided inside the transaction.

use http::StatusCode;

use super::super::call::Call;
use super::super::odata::{Fields, created, field_problem, updated, write_allowed};
use super::failed;
use super::row::{Row, owner};
use super::set::{EntityKey, Set};
use crate::base::path::ResourcePath;
use crate::domain::names::{
    FieldError, is_account_name, is_box_name, is_ext_cell, is_ext_role, is_relation_name, is_role_name, is_rule_name,
    is_simple_name,
};
use crate::domain::rule::{RuleFields, generated_name};
use crate::storage::database::View;
use crate::storage::database::control::{Object, ObjectKind};
use crate::storage::writer::{ChangeAt, Context, Footprint};
use crate::storage::{Error, Result};
use crate::web::conditional::Conditions;
use crate::web::problem::{Code, Problem};
use crate::web::{Response, response};

type Answer<T = Response> = std::result::Result<T, Problem>;

/// What an object is to be.
#[derive(Debug, Clone)]
struct Wish {
    key: EntityKey,
    /// Of a rule.
    fields: RuleFields,
}

/// Where a new object is made through another: the end that it is tied to from its beginning.
#[derive(Debug, Clone)]
pub(super) struct From {
    pub(super) set: Set,
    pub(super) key: EntityKey,
}

/// The names that changes of these objects share with changes of their boxes.
pub(super) fn footprint<'k>(keys: impl IntoIterator<Item = &'k EntityKey>) -> Footprint {
    let boxes = keys.into_iter().filter_map(|key| key.box_name.as_deref());
    boxes.fold(Footprint::default(), |footprint, name| footprint.and(name, &ResourcePath::root()))
}

/// Makes an object; `from`: as the member of another's navigation property.
pub(super) fn create(call: &Call, kind: ObjectKind, from: Option<From>) -> Answer {
    let fields = Fields::parse(&call.body, Set::Object(kind).properties())?;
    let wish = wish(kind, &fields, None, from.as_ref())?;
    let base = call.base_url();
    let keys = [Some(&wish.key), from.as_ref().map(|from| &from.key)];
    let permission = call.permission(&[Set::Object(kind).place()])?;
    let change = ChangeAt(footprint(keys.into_iter().flatten()), move |ctx: &Context<'_>| {
        permission.ask(ctx.tx)?;
        let source = match &from {
            None => None,
            Some(from) => Some(Row::find(ctx.tx, from.set, &from.key)?.ok_or(Error::Missing)?),
        };
        let owner = owner_of(ctx.tx, kind, &wish.key)?;
        let stored = if kind == ObjectKind::Rule { wish.fields.to_json() } else { String::new() };
        let object = ctx.tx.insert_object(kind, &wish.key.name, owner, &stored)?;
        if let Some(Row::Object(other, source)) = source
            && !(kind == ObjectKind::ExtRole && other == ObjectKind::Relation)
        {
            ctx.tx.insert_link((other, source.id), (kind, object.id))?;
        }
        Row::Object(kind, object).entity(ctx.tx, &base)
    });
    let entity = call.open()?.change(change).map_err(|e| failed(call, e))?;
    Ok(created(&entity))
}

/// PUT and MERGE.
pub(super) fn update(call: &Call, kind: ObjectKind, key: EntityKey) -> Answer {
    let cell = call.open()?;
    let found = cell.read(|view| find(view, kind, &key).map(drop));
    found.map_err(|e| failed(call, e))?;
    let fields = Fields::parse(&call.body, Set::Object(kind).properties())?;
    let merge = call.method.as_str() == "MERGE";
    let conditions = Conditions::of(&call.headers);
    // Where the box may change, the footprint is that of both: a MERGE of a name alone stays where it is.
    let to = EntityKey {
        name: String::new(),
        relation: None,
        box_name: fields.text("_Box.Name")?.or(fields.text("_Relation._Box.Name")?),
    };
    let permission = call.permission(&[Set::Object(kind).place()])?;
    let change = ChangeAt(footprint([&key, &to]), move |ctx: &Context<'_>| {
        permission.ask(ctx.tx)?;
        let before = find(ctx.tx, kind, &key)?;
        write_allowed(&conditions, before.version, before.updated_ms)?;
        let known = Wish { key: key.clone(), fields: RuleFields::from_json(&before.fields) };
        let wish = wish(kind, &fields, Some((&known, merge)), None)?;
        let owner = owner_of(ctx.tx, kind, &wish.key)?;
        let fields = if kind == ObjectKind::Rule { wish.fields.to_json() } else { String::new() };
        ctx.tx.update_object(kind, &Object { name: wish.key.name, owner, fields, ..before })
    });
    let after = cell.change(change).map_err(|e| failed(call, e))?;
    Ok(updated(after.version, after.updated_ms))
}

pub(super) fn delete(call: &Call, kind: ObjectKind, key: EntityKey) -> Answer {
    let conditions = Conditions::of(&call.headers);
    let permission = call.permission(&[Set::Object(kind).place()])?;
    let change = ChangeAt(footprint([&key]), move |ctx: &Context<'_>| {
        permission.ask(ctx.tx)?;
        let object = find(ctx.tx, kind, &key)?;
        write_allowed(&conditions, object.version, object.updated_ms)?;
        if kind == ObjectKind::Relation && !ctx.tx.objects_of(ObjectKind::ExtRole, object.id)?.is_empty() {
            return Err(Error::NotEmpty);
        }
        ctx.tx.remove_object(kind, object.id)
    });
    call.open()?.change(change).map_err(|e| failed(call, e))?;
    Ok(response::empty(StatusCode::NO_CONTENT))
}

fn find(view: &View<'_>, kind: ObjectKind, key: &EntityKey) -> Result<Object> {
    match Row::find(view, Set::Object(kind), key)? {
        Some(Row::Object(_, object)) => Ok(object),
        _ => Err(Error::Missing),
    }
}

/// The owner that a body names, which must exist.
fn owner_of(view: &View<'_>, kind: ObjectKind, key: &EntityKey) -> Result<i64> {
    if let Some(found) = owner(view, kind, key)? {
        return Ok(found);
    }
    let missing = key.relation.as_ref().or(key.box_name.as_ref());
    Err(Problem::new(Code::ODataNoBox).with(missing.map_or("", String::as_str)).into())
}

/// What a body asks for. `before`: what is there, and whether absent fields keep their values.
fn wish(kind: ObjectKind, fields: &Fields, before: Option<(&Wish, bool)>, from: Option<&From>) -> Answer<Wish> {
    let kept = before.filter(|(_, merge)| *merge).map(|(wish, _)| wish);
    let keep = |name: &str| kept.filter(|_| !fields.has(name));
    let key = if kind == ObjectKind::ExtRole {
        ext_role_key(fields, keep, from)?
    } else {
        let field = if kind == ObjectKind::ExtCell { "Url" } else { "Name" };
        let name = match keep(field) {
            Some(known) => known.key.name.clone(),
            None if kind == ObjectKind::Rule => fields
                .text("Name")?
                .unwrap_or_else(|| before.map_or_else(generated_name, |(known, _)| known.key.name.clone())),
            None => fields.required(field)?,
        };
        let box_name = match (keep("_Box.Name"), from) {
            (_, Some(From { set: Set::Box, key })) => Some(key.name.clone()),
            (Some(known), _) => known.key.box_name.clone(),
            (None, _) => box_name(fields, "_Box.Name")?,
        };
        EntityKey { name, relation: None, box_name }
    };
    check_name(kind, &key.name)?;
    let fields = if kind == ObjectKind::Rule { rule(fields, kept)? } else { RuleFields::default() };
    if kind == ObjectKind::Rule {
        fields.validate(key.box_name.is_some()).map_err(field_problem)?;
    }
    Ok(Wish { key, fields })
}

fn ext_role_key<'w>(
    fields: &Fields,
    keep: impl Fn(&str) -> Option<&'w Wish>,
    from: Option<&From>,
) -> Answer<EntityKey> {
    let name = match keep("ExtRole") {
        Some(known) => known.key.name.clone(),
        None => fields.required("ExtRole")?,
    };
    if let Some(From { set: Set::Object(ObjectKind::Relation), key }) = from {
        return Ok(EntityKey { name, relation: Some(key.name.clone()), box_name: key.box_name.clone() });
    }
    let relation = match keep("_Relation.Name") {
        Some(known) => known.key.relation.clone(),
        None => Some(fields.required("_Relation.Name")?),
    };
    if relation.as_deref().is_some_and(|name| !is_relation_name(name)) {
        return Err(field_problem(FieldError::format("_Relation.Name")));
    }
    let box_name = match keep("_Relation._Box.Name") {
        Some(known) => known.key.box_name.clone(),
        None => box_name(fields, "_Relation._Box.Name")?,
    };
    Ok(EntityKey { name, relation, box_name })
}

fn box_name(fields: &Fields, field: &'static str) -> Answer<Option<String>> {
    match fields.text(field)? {
        Some(name) if !is_box_name(&name) => Err(field_problem(FieldError::format(field))),
        name => Ok(name),
    }
}

fn check_name(kind: ObjectKind, name: &str) -> Answer<()> {
    let (field, valid) = match kind {
        ObjectKind::Role => ("Name", is_role_name(name)),
        ObjectKind::Account => ("Name", is_account_name(name)),
        ObjectKind::DrivePassword => ("Name", is_simple_name(name)),
        ObjectKind::ExtCell if is_ext_cell(name) => return Ok(()),
        ObjectKind::ExtCell => return Err(field_problem(FieldError::cell_url("Url"))),
        ObjectKind::Relation => ("Name", is_relation_name(name)),
        ObjectKind::Rule => ("Name", is_rule_name(name)),
        ObjectKind::ExtRole => ("ExtRole", is_ext_role(name)),
    };
    if valid { Ok(()) } else { Err(field_problem(FieldError::format(field))) }
}

fn rule(fields: &Fields, kept: Option<&Wish>) -> Answer<RuleFields> {
    let known = kept.map(|wish| wish.fields.clone()).unwrap_or_default();
    let text = |name, known: Option<String>| if fields.has(name) { fields.text(name) } else { Ok(known) };
    Ok(RuleFields {
        event_external: fields.boolean("EventExternal")?.unwrap_or(known.event_external),
        event_subject: text("EventSubject", known.event_subject)?,
        event_type: text("EventType", known.event_type)?,
        event_object: text("EventObject", known.event_object)?,
        event_info: text("EventInfo", known.event_info)?,
        action: text("Action", known.action)?,
        target_url: text("TargetUrl", known.target_url)?,
    })
}
