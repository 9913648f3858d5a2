//! The root of a box: metadata, installation, export, deletion; everything else there is WebDAV.

use crate::dav::Named;
use crate::web::problem::{Code, Problem};
use crate::web::state::App;
use crate::web::{Request, Response};

/// Answers GET, HEAD, MKCOL, DELETE and POST on the root of a box.
#[expect(clippy::unused_async, reason = "its handlers wait for the store")]
pub async fn route(_app: &App, _request: Request, _named: Named) -> Result<Response, Problem> {
    Err(Code::UriNotRecognized.into())
}

/// Answers `GET {cell}__box?schema=…`.
#[expect(clippy::unused_async, reason = "it waits for the store")]
pub async fn by_schema(_app: &App, _request: Request) -> Result<Response, Problem> {
    Err(Code::UriNotRecognized.into())
}
