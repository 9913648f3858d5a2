//! Control objects of a cell: boxes, roles, relations, external roles and cells, rules, accounts, drive passwords, and links.

use http::Method;
use http::header::LOCATION;

use super::call::Call;
use super::odata::{Step, steps};
use crate::domain::access::Place;
use crate::storage::Error;
use crate::storage::database::control::ObjectKind;
use crate::web::problem::{Code, Problem};
use crate::web::state::App;
use crate::web::{Request, Response, blocking, response};

mod accounts;
mod boxes;
mod document;
mod drive_passwords;
mod links;
mod navigation;
mod objects;
mod row;
mod set;

pub(super) use accounts::change_own;
pub(super) use document::{metadata, service_document};
use set::Set;

const SET_METHODS: &str = "OPTIONS, GET, POST";
const ENTITY_METHODS: &str = "OPTIONS, GET, PUT, MERGE, DELETE";
const DRIVE_PASSWORD_METHODS: &str = "OPTIONS, GET, DELETE";
const LINK_METHODS: &str = "OPTIONS, GET, DELETE, PUT, POST";

/// Answers a request below `{cell}__ctl`.
pub async fn route(app: &App, request: Request) -> Result<Response, Problem> {
    let call = Call::of(app, request).await?;
    blocking::run(move || {
        let answer = answer(&call)?;
        announce(&call, &answer);
        Ok(answer)
    })
    .await
}

/// Tells the rules what was done: `cellctl.Role.create`, `cellctl.Account.links.Role.delete`.
fn announce(call: &Call, answer: &Response) {
    let path = steps(call.rest.strip_prefix("__ctl").unwrap_or_default());
    let method = call.method.as_str();
    let of_set = match method {
        "GET" => "list",
        "POST" => "create",
        _ => "delete",
    };
    let of_entity = match method {
        "GET" => "get",
        "PUT" => "update",
        "MERGE" => "merge",
        _ => "delete",
    };
    let known = matches!(method, "GET" | "POST" | "PUT" | "MERGE" | "DELETE");
    let (set, verb) = match path.as_slice() {
        [set] if Set::of(&set.name).is_some() && known => {
            (set, if set.has_key() { of_entity.to_owned() } else { of_set.to_owned() })
        }
        [set, links, other] if links.name == "$links" && known => {
            (set, format!("links.{}.{of_set}", other.name.trim_start_matches('_')))
        }
        [set, other] if known => (set, format!("navprop.{}.{of_set}", other.name.trim_start_matches('_'))),
        _ => return,
    };
    let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let made = location.and_then(|url| url.strip_prefix(&call.base_url()));
    call.announce(format!("cellctl.{}.{verb}", set.name), made.unwrap_or(&call.rest), answer.status());
}

fn answer(call: &Call) -> Result<Response, Problem> {
    call.record()?;
    let path = steps(call.rest.strip_prefix("__ctl").unwrap_or_default());
    if let [step] = path.as_slice()
        && step.name == "$metadata"
    {
        return metadata(call, "CellCtl", &Set::ALL.map(Set::named));
    }
    let Some((first, below)) = path.split_first() else {
        call.permit(Place::Description)?;
        return service_document(call, &Set::ALL.map(Set::named));
    };
    let Some(set) = Set::of(&first.name) else {
        call.require_login()?;
        return Err(Code::NoEntitySet.into());
    };
    call.permit(set.place())?;
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
            Set::Box => boxes::create(call, None),
            Set::Object(ObjectKind::Account) => accounts::create(call, None),
            Set::Object(ObjectKind::DrivePassword) => drive_passwords::create(call),
            Set::Object(kind) => objects::create(call, kind, None),
        },
        "OPTIONS" => Ok(response::options(SET_METHODS)),
        _ => Err(Call::not_allowed(SET_METHODS)),
    }
}

fn entity(call: &Call, set: Set, step: &Step) -> Result<Response, Problem> {
    let methods = if set == Set::Object(ObjectKind::DrivePassword) { DRIVE_PASSWORD_METHODS } else { ENTITY_METHODS };
    if call.method == Method::OPTIONS {
        return Ok(response::options(methods));
    }
    if call.method != Method::HEAD && !methods.split(", ").any(|method| method == call.method.as_str()) {
        return Err(Call::not_allowed(methods));
    }
    let key = set.key_of(step)?;
    match (call.method.as_str(), set) {
        ("PUT" | "MERGE", Set::Box) => boxes::update(call, key),
        ("PUT" | "MERGE", Set::Object(ObjectKind::Account)) => accounts::update(call, key),
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
