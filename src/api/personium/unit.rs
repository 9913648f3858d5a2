//! The unit: what it is, and its cells.

use http::header::ALLOW;
use http::{Method, StatusCode};
use serde_json::json;

use crate::web::problem::{Code, Problem};
use crate::web::state::App;
use crate::web::{Request, Response, response};

/// Answers a request at the unit's own level.
#[expect(clippy::unused_async, reason = "its handlers wait for the store")]
pub async fn route(app: &App, request: Request) -> Result<Response, Problem> {
    match request.target.rest.as_str() {
        "" => read_only(&request, || root(app, &request)),
        "__status" => read_only(&request, || json!({ "status": "ok" })),
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

fn root(app: &App, request: &Request) -> serde_json::Value {
    json!({ "unit": { "url": request.asked.unit(), "path_based_cellurl_enabled": app.urls.path_based() } })
}
