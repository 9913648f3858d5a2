//! `{unit}__ctl`: the entity set of cells.

use http::Method;
use serde_json::{Map, Value};

use super::super::call::Call;
use super::super::ctl::{metadata, service_document};
use super::super::odata::{
    Entity, Fields, Named, Options, Step, created, field_problem, found, listed, quoted, steps, updated, write_allowed,
};
use crate::domain::names::{FieldError, is_cell_name};
use crate::storage::Error;
use crate::storage::unit::{CellChange, CellOrder, CellRecord};
use crate::web::auth::Place;
use crate::web::conditional::Conditions;
use crate::web::problem::{Code, Problem};
use crate::web::{Response, response};

const CELL: Named = Named { type_name: "UnitCtl.Cell", properties: &["Name"], navigation: &[] };

/// A cell that is retrieved alone tells its limit too. In a list that would open every cell.
const CELL_ALONE: Named = Named { properties: &["Name", "Quota"], ..CELL };

/// Cells that are read at once where all must be looked at.
const SCAN: usize = 10_000;

const SET: &str = "OPTIONS, GET, POST";
const ENTITY: &str = "OPTIONS, GET, PUT, MERGE, DELETE";

/// Answers a request for the unit's control objects.
pub(super) fn answer(call: &Call) -> Result<Response, Problem> {
    let path = steps(call.rest.strip_prefix("__ctl").unwrap_or_default());
    if !matches!(call.rest.as_bytes().get(5), None | Some(b'/')) {
        return Err(Code::UriNotRecognized.into());
    }
    if let [step] = path.as_slice()
        && step.name == "$metadata"
    {
        return metadata(call, "UnitCtl", &[CELL]);
    }
    call.require_unit(Place::Endpoint)?;
    match path.as_slice() {
        [] => service_document(call, &[CELL]),
        [step, ..] if step.name != "Cell" => Err(Code::NoEntitySet.into()),
        [step] if !step.has_key() => set(call),
        [step] => entity(call, step),
        [_, links, ..] if links.name == "$links" => Err(Code::ODataNoAssociation.into()),
        [..] => Err(Code::NoNavigation.into()),
    }
}

fn set(call: &Call) -> Result<Response, Problem> {
    match call.method.as_str() {
        "GET" | "HEAD" => list(call),
        "POST" => create(call),
        "OPTIONS" => Ok(response::options(SET)),
        _ => Err(Call::not_allowed(SET)),
    }
}

fn entity(call: &Call, step: &Step) -> Result<Response, Problem> {
    if call.method == Method::OPTIONS {
        return Ok(response::options(ENTITY));
    }
    if !matches!(call.method.as_str(), "GET" | "HEAD" | "PUT" | "MERGE" | "DELETE") {
        return Err(Call::not_allowed(ENTITY));
    }
    let key = step.key()?.ok_or(Code::ODataKey)?;
    let [name] = key.values(["Name"])?;
    let name = name.unwrap_or_default();
    let enter = || call.gates.enter(&name).map_err(|kind| call.failed(Error::Busy(kind.label())));
    match call.method.as_str() {
        "PUT" | "MERGE" => enter().and_then(|_writing| change(call, &name)),
        "DELETE" => enter().and_then(|_writing| delete(call, &name)),
        _ => {
            let options = Options::of(call.query.as_deref(), &call.headers)?;
            let record = call.unit.record(&name).map_err(|e| call.failed(e))?;
            let record = record.ok_or(Code::NoEntity)?;
            call.require_owner(&record)?;
            let quota = call
                .unit
                .cell(&name)
                .and_then(|cell| cell.read(|view| Ok(view.own_quota()?.map_or(Value::Null, Value::from))));
            let quota = quota.map_err(|e| failed(call, e))?;
            let mut entity = Entity { named: CELL_ALONE, ..entity_of(call, &record) };
            entity.fields.insert("Quota".to_owned(), quota);
            found(&entity, &call.headers, &options)
        }
    }
}

fn entity_of(call: &Call, record: &CellRecord) -> Entity {
    let mut fields = Map::new();
    fields.insert("Name".to_owned(), Value::String(record.name.clone()));
    Entity {
        named: CELL,
        uri: format!("{}__ctl/Cell({})", call.asked.unit(), quoted(&record.name)),
        version: record.version,
        created_ms: record.created_ms,
        updated_ms: record.updated_ms,
        fields,
    }
}

/// The refusal of a cell's name.
pub(in super::super) fn name_problem() -> Problem {
    field_problem(FieldError::format("Name"))
}

fn checked_name(name: String) -> Result<String, Problem> {
    if is_cell_name(&name) { Ok(name) } else { Err(name_problem()) }
}

fn create(call: &Call) -> Result<Response, Problem> {
    let name = checked_name(Fields::parse(&call.body, &["Name"])?.required("Name")?)?;
    let record = call.create_cell(&name).map_err(|e| failed(call, e))?;
    Ok(created(&entity_of(call, &record)))
}

fn change(call: &Call, name: &str) -> Result<Response, Problem> {
    let record = call.unit.record(name).map_err(|e| call.failed(e))?.ok_or(Code::NoEntity)?;
    call.require_owner(&record)?;
    let fields = Fields::parse(&call.body, &["Name", "Quota"])?;
    if fields.has("Quota") && call.limited_to().is_some() {
        // How much room somebody has is not for them to say.
        return Err(Code::PrivilegeLacking.into());
    }
    let quota = fields.number("Quota")?;
    let keeps = call.method.as_str() == "MERGE" && !fields.has("Name");
    let new_name = if keeps { record.name } else { checked_name(fields.required("Name")?)? };
    // A cell that gets another name is closed and opened anew: nothing may be running in it.
    let _held = if new_name == name { None } else { Some(hold(call, record.number)?) };
    let conditions = Conditions::of(&call.headers);
    let change = CellChange { name: Some(new_name), quota: fields.has("Quota").then_some(quota.into()) };
    let after = call.unit.change_cell(name, &change, &|now| Ok(check(call, &conditions, now)?));
    let after = after.map_err(|e| failed(call, e))?;
    Ok(updated(after.version, after.updated_ms))
}

/// Keeps exports, imports and installations from beginning in a cell; the refusal if one has not ended.
fn hold(call: &Call, number: i64) -> Result<impl Sized, Problem> {
    let transfers = call.transfers.hold(number).map_err(|kind| call.failed(Error::Busy(kind.label())))?;
    let installer = call.installer.hold(number).ok_or_else(|| call.failed(Error::Busy("box installation")))?;
    Ok((transfers, installer))
}

fn delete(call: &Call, name: &str) -> Result<Response, Problem> {
    let conditions = Conditions::of(&call.headers);
    call.unit.delete_cell_if(name, true, &|now| Ok(check(call, &conditions, now)?)).map_err(|e| failed(call, e))?;
    Ok(response::empty(http::StatusCode::NO_CONTENT))
}

fn check(call: &Call, conditions: &Conditions, now: &CellRecord) -> Result<(), Problem> {
    call.require_owner(now)?;
    write_allowed(conditions, now.version, now.updated_ms)
}

fn failed(call: &Call, error: Error) -> Problem {
    match error {
        Error::CellMissing => Code::NoEntity.into(),
        Error::Exists => Code::EntityExists.into(),
        Error::NotEmpty => Code::EntityHasRelated.into(),
        other => call.failed(other),
    }
}

fn list(call: &Call) -> Result<Response, Problem> {
    let options = Options::of(call.query.as_deref(), &call.headers)?;
    let order = match options.order.first() {
        None => CellOrder::Creation,
        Some((_, false)) => CellOrder::Name,
        Some((_, true)) => CellOrder::NameReversed,
    };
    let unit = &call.unit;
    let matches = |record: &CellRecord| entity_of(call, record).is_asked_for(&options);
    let (records, count) = match &options.filter {
        None => {
            let whose = call.limited_to();
            let count = if options.count { unit.count_cells(whose).map_err(|e| call.failed(e))? } else { 0 };
            (unit.cells_by(order, options.skip, options.top, whose).map_err(|e| call.failed(e))?, count)
        }
        Some(filter) => {
            let mut found = Vec::new();
            let mut count = 0;
            let mut take = |record: CellRecord| {
                if matches(&record) {
                    count += 1;
                    if count > options.skip && found.len() < options.top {
                        found.push(record);
                    }
                }
            };
            if let Some(name) = filter.demands("Name") {
                let record = unit.record(name).map_err(|e| call.failed(e))?;
                record.into_iter().filter(|record| call.require_owner(record).is_ok()).for_each(&mut take);
            } else {
                let mut seen = 0;
                loop {
                    let page = unit.cells_by(order, seen, SCAN, call.limited_to()).map_err(|e| call.failed(e))?;
                    seen += page.len();
                    let last = page.len() < SCAN;
                    page.into_iter().for_each(&mut take);
                    if last {
                        break;
                    }
                }
            }
            (found, count)
        }
    };
    listed(records.iter().map(|record| entity_of(call, record)).collect(), CELL, &options, Some(count))
}
