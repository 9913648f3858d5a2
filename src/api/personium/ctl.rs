//! Control objects of a cell: boxes, roles, relations, external roles, rules, and their links.

use crate::web::problem::{Code, Problem};
use crate::web::state::App;
use crate::web::{Request, Response};

/// Answers a request.
#[expect(clippy::unused_async, reason = "its handlers wait for the store")]
pub async fn route(_app: &App, _request: Request) -> Result<Response, Problem> {
    Err(Code::UriNotRecognized.into())
}
