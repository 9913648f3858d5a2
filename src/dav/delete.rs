//! DELETE: a file, or a collection with what it holds unless the request asks for the refusal of full ones.

use http::StatusCode;

use super::allow::not_allowed;
use super::bad_header;
use super::depth::Depth;
use super::gate::Gate;
use super::subject::{DavRequest, change};
use crate::domain::lock::Reach;
use crate::domain::resource::is_sources;
use crate::storage::operation::delete::Delete;
use crate::web::problem::{Code, Problem};
use crate::web::{Response, response};

const RECURSIVE: &str = "X-Personium-Recursive";

pub(super) async fn delete(request: DavRequest) -> Result<Response, Problem> {
    change(move || {
        let subject = request.admit()?;
        let recursive = recursive(&request)?;
        subject.lookup()?;
        // A collection goes with all it holds: who asks for less is refused.
        let (whole, refused) = (Depth::of(&request)? == Depth::Infinity, request.header("depth").map(str::to_owned));
        let guard = Gate::of(&request, &subject)?.guard_existing(Reach::Place, move |lookup| {
            if is_sources(lookup) {
                return Err(not_allowed(lookup));
            }
            if whole || lookup.nearest().is_file() {
                return Ok(());
            }
            Err(Problem::new(Code::DepthHeader).with(refused.as_deref().unwrap_or_default()))
        });
        let operation = Delete { box_name: subject.box_name.clone(), path: subject.path.clone(), recursive, guard };
        Ok((subject, operation))
    })
    .await?;
    Ok(response::empty(StatusCode::NO_CONTENT))
}

fn recursive(request: &DavRequest) -> Result<bool, Problem> {
    if !request.headers.contains_key(RECURSIVE) {
        return Ok(true);
    }
    match request.header(RECURSIVE) {
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        other => Err(bad_header(RECURSIVE, other.unwrap_or_default())),
    }
}
