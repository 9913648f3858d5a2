//! The root of a cell: what it is, its properties and access control, its making and its deletion.

use http::header::{ALLOW, ETAG, HeaderValue};
use http::{Method, StatusCode};

use super::call::Call;
use super::unit::name_problem;
use crate::domain::access;
use crate::domain::names::is_cell_name;
use crate::storage::Error;
use crate::web::auth::Place;
use crate::web::problem::{Code, Problem};
use crate::web::state::App;
use crate::web::{Request, Response, blocking, response};

mod acl;
mod page;
mod properties;
pub mod snapshot;
pub mod transfer;

const ALLOWED: &str = "OPTIONS, GET, HEAD, POST, DELETE, MKCOL, PROPFIND, PROPPATCH, ACL";

/// Answers a request for a cell.
pub async fn route(app: &App, request: Request) -> Result<Response, Problem> {
    if request.method.as_str() == "MKCOL" && !request.body.is_empty() {
        request.access.require_unit(&cell_challenge(&request))?;
        return Err(Code::MediaTypeUnsupported.into());
    }
    let call = Call::of(app, request).await?;
    blocking::run(move || answer(&call)).await
}

fn cell_challenge(request: &Request) -> crate::web::auth::Challenge {
    let realm = request.asked.cell(request.target.cell.as_deref().unwrap_or_default());
    crate::web::auth::Challenge::new(Place::Open, realm, &request.headers)
}

fn answer(call: &Call) -> Result<Response, Problem> {
    if call.method.as_str() == "MKCOL" {
        return create(call);
    }
    let record = call.record()?;
    let told = |event: &str, answer: Result<Response, Problem>| {
        let answer = answer?;
        call.announce(format!("cell.{event}"), "", answer.status());
        Ok(answer)
    };
    match call.method.as_str() {
        "GET" | "HEAD" => page::get(call, &record),
        "DELETE" => delete(call),
        "PROPFIND" => told("propfind", properties::propfind(call)),
        "PROPPATCH" => told("proppatch", properties::proppatch(call)),
        "ACL" => told("acl", acl::replace(call)),
        _ if call.method == Method::OPTIONS => Ok(response::options(ALLOWED)),
        _ => Err(Call::not_allowed(ALLOWED)),
    }
}

/// `MKCOL /{cell}`.
fn create(call: &Call) -> Result<Response, Problem> {
    call.require_unit(Place::Open)?;
    if !is_cell_name(&call.cell) {
        return Err(name_problem());
    }
    match call.create_cell(&call.cell) {
        Ok(_) => Ok(response::empty(StatusCode::CREATED)),
        Err(Error::Exists) => Err(Problem::new(Code::MkcolExists).header(ALLOW, ALLOWED)),
        Err(other) => Err(call.failed(other)),
    }
}

/// Deletes the cell with all it holds. The header comes before the credentials, and only its exact value counts.
fn delete(call: &Call) -> Result<Response, Problem> {
    const HEADER: &str = "X-Personium-Recursive";
    if call.headers.get(HEADER).is_none_or(|value| value.as_bytes() != b"true") {
        return Err(Problem::new(Code::PreconditionHeader).with(HEADER));
    }
    call.permit(access::Place::Cell)?;
    call.unit.delete_cell(&call.cell, false).map_err(|e| call.failed(e))?;
    Ok(response::empty(StatusCode::NO_CONTENT))
}

/// Adds the strong tag of the cell's root.
fn tagged(mut response: Response, root: &crate::storage::database::cell_root::CellRoot) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&root.etag().to_string()) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}
