//! The root of a box: metadata, installation, export, deletion; everything else there is WebDAV.
//!
//! `MKCOL` with a bar installs a box, without anything it makes an empty one. `GET` with exactly the bar's type exports.

mod export;
mod install;
mod metadata;

use std::sync::Arc;

use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, LOCATION, VARY};
use http::{Method, StatusCode};
use serde_json::json;

use crate::dav::Named;
use crate::domain::names::{is_box_name, normalize_schema};
use crate::storage::database::cell_box::{CellBox, MAIN_BOX};
use crate::storage::operation::boxes::{CreateBox, DeleteBox};
use crate::storage::{Cell, Error, Unit};
use crate::web::auth::{Challenge, Place};
use crate::web::problem::{Code, Problem};
use crate::web::state::App;
use crate::web::{Request, Response, blocking, response};

/// What a box's root answers.
const ALLOWED: &str = "OPTIONS, GET, HEAD, DELETE, MKCOL, COPY, PROPFIND, PROPPATCH, REPORT, LOCK, UNLOCK, ACL";

/// The type that a bar has on its way out.
pub const BAR_TYPE: &str = "application/zip+x-personium-bar";

/// Answers GET, HEAD, MKCOL, DELETE and POST on the root of a box.
pub async fn route(app: &App, request: Request, named: Named) -> Result<Response, Problem> {
    match request.method.as_str() {
        "MKCOL" => mkcol(app, request, named).await,
        "GET" | "HEAD" => get(app, request, named).await,
        "DELETE" => delete(app, request, named).await,
        _ => {
            let unit = app.unit.clone();
            let asked = Asked::new(&request, &named);
            blocking::run(move || asked.find(&unit).map(drop)).await?;
            Err(Problem::new(Code::MethodNotAllowed).header(ALLOW, ALLOWED))
        }
    }
}

/// What every request for a box carries into the blocking pool.
struct Asked {
    named: Named,
    url: String,
    cell_url: String,
    cell_forms: Vec<String>,
    unit_url: String,
    headers: http::HeaderMap,
    access: crate::web::auth::AccessContext,
}

impl Asked {
    fn new(request: &Request, named: &Named) -> Self {
        let cell_url = request.asked.cell(&named.cell);
        Self {
            named: named.clone(),
            url: format!("{cell_url}{}", named.box_name),
            cell_url,
            cell_forms: request.asked.cell_forms(&named.cell),
            unit_url: request.asked.unit(),
            headers: request.headers.clone(),
            access: request.access,
        }
    }

    fn problem(&self, error: Error) -> Problem {
        Problem::of_store(error, &self.url)
    }

    fn cell(&self, unit: &Unit) -> Result<Arc<Cell>, Problem> {
        unit.cell(&self.named.cell).map_err(|e| self.problem(e))
    }

    /// The cell and the box, which must exist; then who asks must be allowed to.
    fn find(&self, unit: &Unit) -> Result<(Arc<Cell>, CellBox), Problem> {
        let cell = self.cell(unit)?;
        let cell_box = cell
            .find_box(&self.named.box_name)
            .and_then(|b| b.ok_or(Error::BoxMissing))
            .map_err(|e| self.problem(e))?;
        let place = if cell_box.schema.is_some() { Place::SchemaBox } else { Place::Open };
        self.access.require_unit(&Challenge::new(place, self.cell_url.clone(), &self.headers))?;
        Ok((cell, cell_box))
    }
}

async fn get(app: &App, request: Request, named: Named) -> Result<Response, Problem> {
    let asked = Asked::new(&request, &named);
    let (unit, archives) = (app.unit.clone(), app.archives.clone());
    if export::is_asked_for(&request) {
        let head = request.method == Method::HEAD;
        let everything = request.query.as_deref().is_some_and(export::wants_everything);
        let answer = blocking::run(move || export::answer(&asked, &unit, &archives, head, everything)).await;
        return answer.map(chosen_by_accept);
    }
    let retention = app.config.install.status_retention_s;
    let path_based = app.urls.path_based();
    blocking::run(move || {
        let (cell, cell_box) = asked.find(&unit)?;
        let document = metadata::document(&asked, &cell, &cell_box, retention, path_based)?;
        Ok(chosen_by_accept(response::json(StatusCode::OK, &document)))
    })
    .await
}

/// Says that the same URL has another answer for another `Accept`.
fn chosen_by_accept(mut response: Response) -> Response {
    response.headers_mut().append(VARY, HeaderValue::from_static("Accept"));
    response
}

async fn delete(app: &App, request: Request, named: Named) -> Result<Response, Problem> {
    let asked = Asked::new(&request, &named);
    let recursive = request.header("x-personium-recursive").is_some_and(|v| v.trim().eq_ignore_ascii_case("true"));
    let unit = app.unit.clone();
    let guard = crate::dav::box_guard(app, request, named);
    blocking::run(move || {
        let (cell, cell_box) = asked.find(&unit)?;
        if cell_box.is_main() {
            return Err(Code::MethodNotAllowed.into());
        }
        if !recursive {
            return Err(Problem::new(Code::PreconditionHeader).with("X-Personium-Recursive"));
        }
        let delete = DeleteBox { name: cell_box.name, recursive, guard: guard()? };
        cell.change(delete).map_err(|e| asked.problem(e))?;
        Ok(response::empty(StatusCode::NO_CONTENT))
    })
    .await
}

/// Which MKCOL this is. The type of a bar has no parameters.
async fn mkcol(app: &App, request: Request, named: Named) -> Result<Response, Problem> {
    let asked = Asked::new(&request, &named);
    let (unit, find) = (app.unit.clone(), Asked::new(&request, &named));
    let cell = blocking::run(move || find.cell(&unit)).await?;
    if named.box_name == MAIN_BOX {
        return Err(Code::MethodNotAllowed.into());
    }
    let challenge = Challenge::new(Place::Open, asked.cell_url.clone(), &request.headers);
    let bare = request.headers.get(CONTENT_TYPE).is_none() && request.body.is_empty();
    let checked = request.access.require_unit(&challenge).and_then(|()| match request.headers.get(CONTENT_TYPE) {
        Some(given) if given == "application/zip" => Ok(()),
        _ if bare => Ok(()),
        _ => Err(Problem::new(Code::BarHeader).with("Content-Type")),
    });
    if let Err(problem) = checked {
        return Err(install::refused(app.event_log.clone(), cell, asked, request.key, problem).await);
    }
    if bare {
        return create(cell, asked).await;
    }
    let bar_size = app.config.limits.bar_size.0;
    let means = install::Means { installer: app.installer.clone(), log: app.event_log.clone(), bar_size };
    install::install(means, cell, asked, request.key, request.body).await
}

async fn create(cell: Arc<Cell>, asked: Asked) -> Result<Response, Problem> {
    blocking::run(move || {
        if !is_box_name(&asked.named.box_name) {
            return Err(Problem::new(Code::ODataField).with("Name"));
        }
        let create = CreateBox { name: asked.named.box_name.clone(), schema: None };
        cell.change(create).map_err(|e| match e {
            Error::Exists => Code::MkcolExists.into(),
            other => asked.problem(other),
        })?;
        let mut response = response::empty(StatusCode::CREATED);
        if let Ok(location) = asked.url.parse() {
            response.headers_mut().insert(LOCATION, location);
        }
        Ok(response)
    })
    .await
}

/// Answers `GET {cell}__box?schema=…`: the URL of the box with that schema.
pub async fn by_schema(app: &App, request: Request) -> Result<Response, Problem> {
    let cell_name = request.target.cell.clone().unwrap_or_default();
    let named = Named { cell: cell_name, box_name: String::new(), path: crate::base::path::ResourcePath::root() };
    let asked = Asked::new(&request, &named);
    let (unit, read) = (app.unit.clone(), request.is_read());
    let query = request.query.unwrap_or_default();
    blocking::run(move || {
        let cell = asked.cell(&unit)?;
        if !read {
            return Err(Code::MethodNotAllowed.into());
        }
        let given = export::query_value(&query, "schema").unwrap_or_default();
        let schema =
            normalize_schema(&given).map_err(|_| Problem::new(Code::ODataQueryValue).with("schema").with(&given))?;
        asked.access.require_unit(&Challenge::new(Place::Endpoint, asked.cell_url.clone(), &asked.headers))?;
        let found = cell.read(|v| v.box_with_schema(&schema)).map_err(|e| asked.problem(e))?;
        let Some(cell_box) = found else { return Err(Code::PrivilegeLacking.into()) };
        let url = format!("{}{}/", asked.cell_url, cell_box.name);
        let mut response = response::json(StatusCode::OK, &json!({ "Url": url }));
        if let Ok(location) = url.parse() {
            response.headers_mut().insert(LOCATION, location);
        }
        Ok(response)
    })
    .await
}
