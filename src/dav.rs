//! WebDAV in boxes: one method a file.

use crate::base::path::ResourcePath;
use crate::web::problem::{Code, Problem};
use crate::web::state::App;
use crate::web::{Request, Response};

/// A resource in a box, as a request names it.
#[derive(Debug, Clone)]
pub struct Named {
    pub cell: String,
    pub box_name: String,
    pub path: ResourcePath,
}

/// Answers a request for a resource in a box, or for the box's root as a collection.
#[expect(clippy::unused_async, reason = "its handlers wait for the store")]
pub async fn route(_app: &App, _request: Request, _named: Named) -> Result<Response, Problem> {
    Err(Code::UriNotRecognized.into())
}
