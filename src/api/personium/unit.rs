//! The unit: what it is, and its cells.

use http::header::ALLOW;
use http::{Method, StatusCode};
use serde_json::json;

use self::listing::propfind;
use super::call::Call;
use crate::web::problem::{Code, Problem};
use crate::web::state::App;
use crate::web::{Request, Response, blocking, response};

mod cells;
mod listing;

pub(super) use cells::name_problem;

/// What Flash asks before it talks to a host: everybody may, as CORS says too.
const CROSSDOMAIN: &str =
    "<?xml version=\"1.0\"?>\n<cross-domain-policy><allow-access-from domain=\"*\"/></cross-domain-policy>\n";

/// Answers a request at the unit's own level.
pub async fn route(app: &App, request: Request) -> Result<Response, Problem> {
    if request.target.rest.starts_with("__ctl") {
        let call = Call::of(app, request).await?;
        return blocking::run(move || cells::answer(&call)).await;
    }
    match request.target.rest.as_str() {
        "" if request.method.as_str() == "PROPFIND" => {
            let call = Call::of(app, request).await?;
            blocking::run(move || propfind(call)).await
        }
        "" => read_only(&request, || response::json(StatusCode::OK, &root(app, &request))),
        "__status" => read_only(&request, || response::json(StatusCode::OK, &json!({ "status": "ok" }))),
        _ => Err(Code::UriNotRecognized.into()),
    }
}

/// Answers `/crossdomain.xml`.
pub fn crossdomain(request: &Request) -> Result<Response, Problem> {
    read_only(request, || response::xml(StatusCode::OK, CROSSDOMAIN))
}

/// A document that can only be read.
fn read_only(request: &Request, document: impl FnOnce() -> Response) -> Result<Response, Problem> {
    const ALLOWED: &str = "OPTIONS, GET, HEAD";
    const ROOT: &str = "OPTIONS, GET, HEAD, PROPFIND";
    let allowed = if request.target.cell.is_none() && request.target.rest.is_empty() { ROOT } else { ALLOWED };
    match request.method {
        Method::GET | Method::HEAD => Ok(document()),
        Method::OPTIONS => Ok(response::options(allowed)),
        _ => Err(Problem::new(Code::MethodNotAllowed).header(ALLOW, allowed)),
    }
}

fn root(app: &App, request: &Request) -> serde_json::Value {
    json!({ "unit": { "url": request.asked.unit(), "path_based_cellurl_enabled": app.urls.path_based() } })
}
