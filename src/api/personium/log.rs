//! The event log of a cell.

use crate::web::problem::{Code, Problem};
use crate::web::state::App;
use crate::web::{Request, Response};

/// Answers a request.
#[expect(clippy::unused_async, reason = "its handlers wait for the store")]
pub async fn route(_app: &App, _request: Request) -> Result<Response, Problem> {
    Err(Code::UriNotRecognized.into())
}
