//! The root of a box: metadata, installation, export, deletion; everything else there is WebDAV.
//!
//! `MKCOL` with a bar installs a box, `POST ?cancel` ends that early, `MKCOL` without anything makes an empty one. `GET` with exactly
//! the bar's type exports.

mod export;
mod install;
mod metadata;

use std::sync::Arc;

use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, LOCATION, VARY};
use http::{Method, StatusCode};
use serde_json::json;

use crate::dav::Named;
use crate::domain::access::{Denial, Means, Place, Reason, Who};
use crate::domain::acl::Privilege;
use crate::domain::names::{is_box_name, normalize_schema};
use crate::storage::database::View;
use crate::storage::database::cell_box::{CellBox, Lookup, MAIN_BOX};
use crate::storage::operation::boxes::{CreateBox, DeleteBox};
use crate::storage::writer::{Permission, Permitted};
use crate::storage::{Cell, Error, Unit};
use crate::web::auth::{AccessContext, Place as Offer};
use crate::web::authority::{Access, Authority};
use crate::web::problem::{Code, Problem};
use crate::web::public_url::Asked as Urls;
use crate::web::state::App;
use crate::web::{Request, Response, blocking, response};

/// What a box's root answers.
const ALLOWED: &str = "OPTIONS, GET, HEAD, DELETE, MKCOL, COPY, PROPFIND, PROPPATCH, REPORT, LOCK, UNLOCK, ACL";
/// The same of the main box, which is always there.
const MAIN_ALLOWED: &str = "OPTIONS, GET, HEAD, COPY, PROPFIND, PROPPATCH, REPORT, LOCK, UNLOCK, ACL";

/// The type that a bar has on its way out.
pub const BAR_TYPE: &str = "application/zip+x-personium-bar";

/// Answers GET, HEAD, MKCOL, DELETE and POST on the root of a box.
pub async fn route(app: &App, request: Request, named: Named) -> Result<Response, Problem> {
    match request.method.as_str() {
        "MKCOL" => mkcol(app, request, named).await,
        "GET" | "HEAD" => get(app, request, named).await,
        "DELETE" => delete(app, request, named).await,
        "POST" if request.query.as_deref() == Some("cancel") => cancel(app, request, named).await,
        _ => {
            let unit = app.unit.clone();
            let asked = Asked::new(app, &request, &named);
            blocking::run(move || asked.find(&unit, Place::BoxRoot).map(drop)).await?;
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
    context: AccessContext,
    authority: Arc<Authority>,
    urls: Urls,
    method: Method,
}

impl Asked {
    fn new(app: &App, request: &Request, named: &Named) -> Self {
        let cell_url = request.asked.cell(&named.cell);
        Self {
            named: named.clone(),
            url: format!("{cell_url}{}", named.box_name),
            cell_url,
            cell_forms: request.asked.cell_forms(&named.cell),
            unit_url: request.asked.unit(),
            headers: request.headers.clone(),
            context: request.access.clone(),
            authority: app.authority.clone(),
            urls: request.asked.clone(),
            method: request.method.clone(),
        }
    }

    fn problem(&self, error: Error) -> Problem {
        Problem::of_store(error, &self.url)
    }

    fn cell(&self, unit: &Unit) -> Result<Arc<Cell>, Problem> {
        unit.cell(&self.named.cell).map_err(|e| self.problem(e))
    }

    fn access_in(&self, cell: &Cell) -> Result<Access, Problem> {
        Access::of(&self.authority, &self.context, cell, &self.urls, &self.headers)
    }

    /// Lets those pass who may do what the request's method does to a place of the cell.
    fn permit(&self, cell: &Cell, place: Place) -> Result<(), Problem> {
        let access = self.access_in(cell)?;
        if access.is_unit_admin() {
            return Ok(());
        }
        cell.read(|view| access.permit_place(view, place, self.method.as_str())).map_err(|e| self.problem(e))
    }

    /// The same, to be asked inside the transaction of a change.
    fn permission(&self, cell: &Cell, place: Place) -> Result<Permission, Problem> {
        let (access, method) = (self.access_in(cell)?, self.method.clone());
        Ok(Box::new(move |view| access.permit_place(view, place, method.as_str())))
    }

    /// The cell and the box, which must exist; then who asks must be allowed to do this to it as `place`.
    fn find(&self, unit: &Unit, place: Place) -> Result<(Arc<Cell>, CellBox), Problem> {
        let cell = self.cell(unit)?;
        let cell_box = cell
            .find_box(&self.named.box_name)
            .and_then(|b| b.ok_or(Error::BoxMissing))
            .map_err(|e| self.problem(e))?;
        let access = self.access_in(&cell)?;
        if !access.is_unit_admin() {
            let permitted = cell.read(|view| {
                // While the box is being installed its root is hidden, but its list counts.
                let root = view.resource(cell_box.id)?.ok_or(Error::BoxMissing)?;
                let lookup = Lookup { cell_box: cell_box.clone(), chain: vec![root], missing: 0 };
                access.permit_at(view, place, &lookup, self.method.as_str())
            });
            permitted.map_err(|e| self.problem(e))?;
        }
        Ok((cell, cell_box))
    }
}

async fn get(app: &App, request: Request, named: Named) -> Result<Response, Problem> {
    let asked = Asked::new(app, &request, &named);
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
        let (cell, cell_box) = asked.find(&unit, Place::BoxRoot)?;
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
    let asked = Asked::new(app, &request, &named);
    let recursive = request.header("x-personium-recursive").is_some_and(|v| v.trim().eq_ignore_ascii_case("true"));
    let unit = app.unit.clone();
    let guard = crate::dav::box_guard(app, request, named);
    blocking::run(move || {
        let (cell, cell_box) = asked.find(&unit, Place::BoxRoot)?;
        if cell_box.is_main() {
            return Err(Problem::new(Code::MethodNotAllowed).header(ALLOW, MAIN_ALLOWED));
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

/// Ends the installation of a box, which is a failed one then; where none runs, nothing happens. Whoever may delete the box may do
/// that.
async fn cancel(app: &App, request: Request, named: Named) -> Result<Response, Problem> {
    let mut asked = Asked::new(app, &request, &named);
    asked.method = Method::DELETE;
    let (unit, installer) = (app.unit.clone(), app.installer.clone());
    blocking::run(move || {
        let (cell, cell_box) = asked.find(&unit, Place::BoxRoot)?;
        installer.cancel(cell.number(), cell_box.id);
        Ok(response::empty(StatusCode::NO_CONTENT))
    })
    .await
}

/// Which MKCOL this is. The type of a bar has no parameters.
async fn mkcol(app: &App, request: Request, named: Named) -> Result<Response, Problem> {
    let asked = Asked::new(app, &request, &named);
    let (unit, find) = (app.unit.clone(), Asked::new(app, &request, &named));
    let cell = blocking::run(move || find.cell(&unit)).await?;
    if named.box_name == MAIN_BOX {
        return Err(Problem::new(Code::MethodNotAllowed).header(ALLOW, MAIN_ALLOWED));
    }
    let bare = request.headers.get(CONTENT_TYPE).is_none() && request.body.is_empty();
    let (of, asker) = (cell.clone(), Asked::new(app, &request, &named));
    let permitted = blocking::run(move || asker.permit(&of, Place::FreeBox)).await;
    let checked = permitted.and_then(|()| match request.headers.get(CONTENT_TYPE) {
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
        let permission = asked.permission(&cell, Place::FreeBox)?;
        cell.change(Permitted(permission, create)).map_err(|e| match e {
            Error::Exists => Problem::new(Code::MkcolExists).header(ALLOW, ALLOWED),
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

/// Answers `GET {cell}__box?schema=…`: the URL of the box with that schema, or with that of the app that asks.
pub async fn by_schema(app: &App, request: Request) -> Result<Response, Problem> {
    let cell_name = request.target.cell.clone().unwrap_or_default();
    let named = Named { cell: cell_name, box_name: String::new(), path: crate::base::path::ResourcePath::root() };
    let asked = Asked::new(app, &request, &named);
    let (unit, read) = (app.unit.clone(), request.is_read());
    let query = request.query.unwrap_or_default();
    blocking::run(move || {
        let cell = asked.cell(&unit)?;
        if !read {
            return Err(Problem::new(Code::MethodNotAllowed).header(ALLOW, "OPTIONS, GET, HEAD"));
        }
        let access = asked.access_in(&cell)?;
        let schema = match export::query_value(&query, "schema").or_else(|| access.schema()) {
            Some(given) => {
                normalize_schema(&given).map_err(|_| Problem::new(Code::ODataQueryValue).with("schema").with(&given))?
            }
            // No box has the schema of nobody.
            None => String::new(),
        };
        let found = cell.read(|view| box_of_schema(view, &access, &schema)).map_err(|e| asked.problem(e))?;
        let url = format!("{}{}/", asked.cell_url, found.name);
        let mut response = response::json(StatusCode::OK, &json!({ "Url": url }));
        if let Ok(location) = url.parse() {
            response.headers_mut().insert(LOCATION, location);
        }
        Ok(response)
    })
    .await
}

/// The box of a schema, for its own app and for those who may read the box. Whether there is one, nobody else learns.
fn box_of_schema(view: &View<'_>, access: &Access, schema: &str) -> crate::storage::Result<CellBox> {
    let at = access.at(view)?;
    let mut caller = access.caller(&at)?;
    if caller.means != Means::Token {
        caller = crate::domain::access::Caller::new(Who::Invalid(Reason::NotHere));
    }
    let refused = |denial| Err(access.refusal(denial, Offer::Endpoint).into());
    let mut found = None;
    for form in access.forms_of(schema) {
        found = found.or(view.box_with_schema(&form)?);
    }
    let Some(cell_box) = found else {
        return match caller.who {
            Who::Invalid(reason) => refused(Denial::Invalid(reason)),
            _ => refused(Denial::Lacking),
        };
    };
    let of_app = caller.app.as_ref().is_some_and(|app| cell_box.schema.iter().any(|s| app.urls.contains(s)));
    if of_app && caller.is_known() {
        return Ok(cell_box);
    }
    let root = view.resource(cell_box.id)?.ok_or(Error::BoxMissing)?;
    match at.check_box(&caller, &cell_box, &[root], Privilege::Read)? {
        None => Ok(cell_box),
        Some(denial) => refused(denial),
    }
}
