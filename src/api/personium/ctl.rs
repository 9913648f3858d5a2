//! Control objects of a cell: boxes, roles, relations, external roles, rules, and their links.

use http::Method;

use super::call::Call;
use super::odata::{Step, steps};
use crate::storage::Error;
use crate::web::auth::Place;
use crate::web::problem::{Code, Problem};
use crate::web::state::App;
use crate::web::{Request, Response, blocking, response};

mod boxes;
mod document;
mod links;
mod navigation;
mod objects;
mod row;
mod set;

pub(super) use document::{metadata, service_document};
use set::Set;

const SET_METHODS: &str = "OPTIONS, GET, POST";
const ENTITY_METHODS: &str = "OPTIONS, GET, PUT, MERGE, DELETE";
const LINK_METHODS: &str = "OPTIONS, GET, DELETE, PUT, POST";

/// Answers a request below `{cell}__ctl`.
pub async fn route(app: &App, request: Request) -> Result<Response, Problem> {
    let call = Call::of(app, request).await?;
    blocking::run(move || answer(&call)).await
}

fn answer(call: &Call) -> Result<Response, Problem> {
    call.record()?;
    let path = steps(call.rest.strip_prefix("__ctl").unwrap_or_default());
    if let [step] = path.as_slice()
        && step.name == "$metadata"
    {
        return metadata(call, "CellCtl", &Set::ALL.map(Set::named));
    }
    call.require_unit(Place::Endpoint)?;
    let Some((first, below)) = path.split_first() else {
        return service_document(call, &Set::ALL.map(Set::named));
    };
    let set = Set::of(&first.name).ok_or(Code::NoEntitySet)?;
    match below {
        [] if first.has_key() => entity(call, set, first),
        [] => entities(call, set),
        _ if !first.has_key() => Err(Code::ODataKey.into()),
        [links, navigation] if links.name == "$links" => links::answer(call, set, first, navigation),
        [navigation] => navigation::answer(call, set, first, navigation),
        _ => Err(Code::NoNavigation.into()),
    }
}

fn entities(call: &Call, set: Set) -> Result<Response, Problem> {
    match call.method.as_str() {
        "GET" | "HEAD" => row::list(call, set),
        "POST" => match set {
            Set::Box => boxes::create(call),
            Set::Object(kind) => objects::create(call, kind, None),
        },
        "OPTIONS" => Ok(response::options(SET_METHODS)),
        _ => Err(Call::not_allowed(SET_METHODS)),
    }
}

fn entity(call: &Call, set: Set, step: &Step) -> Result<Response, Problem> {
    if call.method == Method::OPTIONS {
        return Ok(response::options(ENTITY_METHODS));
    }
    if !matches!(call.method.as_str(), "GET" | "HEAD" | "PUT" | "MERGE" | "DELETE") {
        return Err(Call::not_allowed(ENTITY_METHODS));
    }
    let key = set.key_of(step)?;
    match (call.method.as_str(), set) {
        ("PUT" | "MERGE", Set::Box) => boxes::update(call, key),
        ("PUT" | "MERGE", Set::Object(kind)) => objects::update(call, kind, key),
        ("DELETE", Set::Box) => boxes::delete(call, key),
        ("DELETE", Set::Object(kind)) => objects::delete(call, kind, key),
        _ => row::get(call, set, &key),
    }
}

/// The problem that an error of the store is for a control object.
fn failed(call: &Call, error: Error) -> Problem {
    match error {
        Error::BoxMissing | Error::Missing => Code::NoEntity.into(),
        Error::Exists | Error::SchemaTaken => Code::EntityExists.into(),
        Error::NotEmpty => Code::EntityHasRelated.into(),
        other => call.failed(other),
    }
}
