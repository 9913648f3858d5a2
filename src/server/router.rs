//! Every route on one page.

use http::header::ALLOW;
use http::{Method, StatusCode};
use serde_json::json;

use super::App;
use crate::web::problem::{Code, Problem};
use crate::web::{Request, Response, response};

/// Finds the handler of a request.
#[expect(clippy::unused_async, reason = "handlers will wait for the store")]
pub(super) async fn route(app: &App, request: Request) -> Result<Response, Problem> {
    match (request.target.cell.as_deref(), request.target.rest.as_str()) {
        (None, "") => read_only(&request, || unit(app, &request)),
        (None, "__status") => read_only(&request, || json!({ "status": "ok" })),
        _ => Err(Code::UriNotRecognized.into()),
    }
}

/// A document that can only be read.
fn read_only(request: &Request, document: impl FnOnce() -> serde_json::Value) -> Result<Response, Problem> {
    const ALLOWED: &str = "OPTIONS, GET, HEAD";
    match request.method {
        Method::GET | Method::HEAD => Ok(response::json(StatusCode::OK, &document())),
        Method::OPTIONS => Ok(response::options(ALLOWED)),
        _ => Err(Problem::new(Code::MethodNotAllowed).header(ALLOW, ALLOWED)),
    }
}

fn unit(app: &App, request: &Request) -> serde_json::Value {
    json!({ "unit": { "url": request.asked.unit(), "path_based_cellurl_enabled": app.urls.path_based() } })
}
