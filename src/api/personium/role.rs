//! `{cell}__role/{box or __}/{role}`: what a URL of a role is about.

use std::fmt::Write as _;

use http::{Method, StatusCode};
use serde_json::json;

use super::call::Call;
use super::odata::steps;
use crate::base::xml::escape_text;
use crate::domain::access::Place;
use crate::storage::database::View;
use crate::storage::database::cell_box::MAIN_BOX;
use crate::storage::database::control::ObjectKind;
use crate::web::problem::{Code, Problem};
use crate::web::state::App;
use crate::web::{Request, Response, blocking, response};

const METHODS: &str = "OPTIONS, GET, HEAD";

/// Answers a request for `{cell}__role` and below.
pub async fn route(app: &App, request: Request) -> Result<Response, Problem> {
    let call = Call::of(app, request).await?;
    blocking::run(move || answer(&call)).await
}

fn answer(call: &Call) -> Result<Response, Problem> {
    call.record()?;
    let path = steps(call.rest.strip_prefix("__role").unwrap_or_default());
    let names: Vec<&str> = path.iter().map(|step| step.name.as_str()).collect();
    if call.method == Method::OPTIONS {
        return Ok(response::options(METHODS));
    }
    if !matches!(call.method, Method::GET | Method::HEAD) {
        return Err(Call::not_allowed(METHODS));
    }
    call.permit(Place::RoleUrl)?;
    match names.as_slice() {
        [] => list(call),
        [box_name, role] => one(call, box_name, role),
        _ => Err(Code::UriNotRecognized.into()),
    }
}

/// The URL of every role, for people.
fn list(call: &Call) -> Result<Response, Problem> {
    let base = call.base_url();
    let urls = call.open()?.read(|view| {
        let mut urls = Vec::new();
        for role in view.objects(ObjectKind::Role)? {
            urls.push(url(view, &base, role.owner, &role.name)?);
        }
        Ok(urls)
    });
    let mut items = String::new();
    for url in urls.map_err(|e| call.failed(e))? {
        let url = escape_text(&url);
        let _ = write!(items, "<li><a href=\"{0}\">{0}</a></li>", url.replace('"', "&quot;"));
    }
    let page = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Roles</title></head>\
         <body><h1>Roles</h1><ul>{items}</ul></body></html>\n"
    );
    Ok(response::text(StatusCode::OK, "text/html; charset=utf-8", page))
}

fn url(view: &View<'_>, base: &str, owner: i64, name: &str) -> crate::storage::Result<String> {
    let cell_box = if owner == 0 { None } else { view.cell_box_by_id(owner)? };
    Ok(format!("{base}__role/{}/{name}", cell_box.map_or_else(|| MAIN_BOX.to_owned(), |b| b.name)))
}

fn one(call: &Call, box_name: &str, role: &str) -> Result<Response, Problem> {
    let base = call.base_url();
    let found = call.open()?.read(|view| {
        let (owner, schema) = match box_name {
            MAIN_BOX => (0, None),
            name => match view.cell_box(name)? {
                Some(cell_box) => (cell_box.id, cell_box.schema),
                None => return Ok(None),
            },
        };
        let Some(role) = view.object(ObjectKind::Role, role, owner)? else { return Ok(None) };
        Ok(Some(json!({ "role": {
            "name": role.name,
            "url": url(view, &base, owner, &role.name)?,
            "box": if owner == 0 { None } else { Some(box_name) },
            "schema": schema,
        }})))
    });
    let document = found.map_err(|e| call.failed(e))?.ok_or(Code::NoEntity)?;
    Ok(response::json(StatusCode::OK, &document))
}
