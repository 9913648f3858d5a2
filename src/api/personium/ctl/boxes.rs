//! Boxes as control objects: made, renamed, deleted when they are empty.

use http::StatusCode;

use super::super::call::Call;
use super::super::odata::{Fields, created, field_problem, updated, write_allowed};
use super::objects::From;
use super::row::Row;
use super::set::{EntityKey, Set};
use super::{failed, links};
use crate::base::id::ResourceId;
use crate::domain::access::Place;
use crate::domain::names::{FieldError, is_box_name, normalize_schema};
use crate::storage::Error;
use crate::storage::database::View;
use crate::storage::operation::boxes::{BoxGuard, CreateBox, DeleteBox, SchemaChange, UpdateBox};
use crate::storage::writer::Permitted;
use crate::web::conditional::Conditions;
use crate::web::problem::Problem;
use crate::web::{Response, response};

/// Makes a box; `from`: through the navigation property of an object, which is bound to it.
pub(super) fn create(call: &Call, from: Option<From>) -> Result<Response, Problem> {
    let fields = Fields::parse(&call.body, Set::Box.properties())?;
    let name = name_of(&fields)?;
    let schema = schema_of(&fields)?;
    let cell = call.open()?;
    let places = std::iter::once(Place::ControlBox).chain(from.as_ref().map(|from| from.set.place()));
    let permission = call.permission(&places.collect::<Vec<_>>())?;
    let forms = forms_of(call, schema.as_deref());
    let source = from.clone();
    let may = move |view: &View<'_>| {
        permission.ask(view)?;
        if let Some(From { set, key }) = &source {
            links::unbound(view, *set, key)?;
        }
        free(view, &forms, None)
    };
    let create = Permitted(Box::new(may), CreateBox { name: name.clone(), schema });
    let cell_box = cell.change(create).map_err(|e| failed(call, e))?;
    if let Some(From { set, key }) = from
        && let Err(problem) = links::bind_to(call, (set, key), &name)
    {
        // Bound or removed by somebody else in between: then nothing was made.
        let guard: BoxGuard = Box::new(|_, _| Ok(()));
        cell.change(DeleteBox { name, recursive: false, guard }).map_err(|e| failed(call, e))?;
        return Err(problem);
    }
    let base = call.base_url();
    let entity = cell.read(|view| Row::Box(cell_box).entity(view, &base)).map_err(|e| failed(call, e))?;
    Ok(created(&entity))
}

fn name_of(fields: &Fields) -> Result<String, Problem> {
    let name = fields.required("Name")?;
    if is_box_name(&name) { Ok(name) } else { Err(field_problem(FieldError::format("Name"))) }
}

fn schema_of(fields: &Fields) -> Result<Option<String>, Problem> {
    fields.text("Schema")?.map(|text| normalize_schema(&text).map_err(field_problem)).transpose()
}

/// PUT and MERGE: a PUT without schema takes the schema away.
pub(super) fn update(call: &Call, key: EntityKey) -> Result<Response, Problem> {
    let cell = call.open()?;
    let set = Set::Box;
    let before = cell.read(|view| Row::find(view, set, &key)?.ok_or(crate::storage::Error::Missing));
    before.map_err(|e| failed(call, e))?;
    let fields = Fields::parse(&call.body, set.properties())?;
    let merge = call.method.as_str() == "MERGE";
    let new_name = if merge && !fields.has("Name") { key.name.clone() } else { name_of(&fields)? };
    let schema =
        if merge && !fields.has("Schema") { SchemaChange::Keep } else { SchemaChange::To(schema_of(&fields)?) };
    let forms = match &schema {
        SchemaChange::To(schema) => forms_of(call, schema.as_deref()),
        SchemaChange::Keep => Vec::new(),
    };
    let mut permitted = guard(call)?;
    let guard: BoxGuard = Box::new(move |view, now| {
        permitted(view, now)?;
        free(view, &forms, Some(now.id))
    });
    let after = cell.change(UpdateBox { name: key.name, new_name, schema, guard });
    let after = after.map_err(|e| failed(call, e))?;
    Ok(updated(after.version, after.updated_ms))
}

/// Every way to write a schema: the cell of an app has several URLs.
fn forms_of(call: &Call, schema: Option<&str>) -> Vec<String> {
    schema.map_or_else(Vec::new, |schema| call.asked.forms_of(schema))
}

/// Whether no box but that of the number has the schema, however it is written.
fn free(view: &View<'_>, forms: &[String], own: Option<ResourceId>) -> crate::storage::Result<()> {
    for form in forms {
        if view.box_with_schema(form)?.is_some_and(|b| Some(b.id) != own) {
            return Err(Error::SchemaTaken);
        }
    }
    Ok(())
}

pub(super) fn delete(call: &Call, key: EntityKey) -> Result<Response, Problem> {
    let operation = DeleteBox { name: key.name, recursive: false, guard: guard(call)? };
    call.open()?.change(operation).map_err(|e| failed(call, e))?;
    Ok(response::empty(StatusCode::NO_CONTENT))
}

fn guard(call: &Call) -> Result<BoxGuard, Problem> {
    let conditions = Conditions::of(&call.headers);
    let permission = call.permission(&[Place::ControlBox])?;
    Ok(Box::new(move |view, now| {
        permission.ask(view)?;
        Ok(write_allowed(&conditions, now.version, now.updated_ms)?)
    }))
}
