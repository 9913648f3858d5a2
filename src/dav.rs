//! WebDAV in boxes: one method a file, each on the same way: headers, preconditions, one call of the store, answer.
//!
//! RFC 4918, 3744 (ACL), 5689 (extended MKCOL) and 6578 (`sync-collection`). Everything that waits for rows or files runs in the blocking pool; a
//! change is handed to the cell's writer there and its answer awaited without a thread.

use http::Method;
use percent_encoding::percent_decode_str;

use crate::base::path::{ResourcePath, decode_segment};
use crate::domain::access::Place;
use crate::domain::lock::Reach;
use crate::storage::database::View;
use crate::storage::database::cell_box::CellBox;
use crate::storage::operation::boxes::BoxGuard;
use crate::web::blocking::run;
use crate::web::problem::{Code, Problem};
use crate::web::state::App;
use crate::web::{Request, Response};

pub(crate) mod acl;
mod allow;
mod answer;
mod copy;
mod delete;
mod depth;
mod forbidden;
mod gate;
pub(crate) mod get;
mod if_header;
mod lock;
mod lock_xml;
mod mkcol;
mod move_across;
mod move_to;
mod partial;
mod principals;
mod propfind;
mod proppatch;
mod put;
mod report;
mod subject;
mod sync;
mod transfer;
mod xml;

use gate::Gate;
pub(crate) use put::PutAgain;
use subject::DavRequest;

/// A resource in a box, as a request names it.
#[derive(Debug, Clone)]
pub struct Named {
    pub cell: String,
    pub box_name: String,
    pub path: ResourcePath,
}

/// Answers a request for a resource in a box, or for the box's root as a collection.
pub async fn route(app: &App, request: Request, named: Named) -> Result<Response, Problem> {
    let (request, body) = DavRequest::new(app, request, named);
    match request.method.as_str() {
        "GET" | "HEAD" => match get::get_now(&request) {
            Some(response) => Ok(response),
            None => run(move || get::get(&request)).await,
        },
        "PUT" | "PATCH" => put::put(request, body).await,
        "MKCOL" => mkcol::mkcol(request, body).await,
        "DELETE" => delete::delete(request).await,
        "COPY" => run(move || copy::copy(&request)).await,
        "MOVE" => move_to::move_to(request).await,
        "PROPFIND" => propfind::propfind(request, body).await,
        "PROPPATCH" => proppatch::proppatch(request, body).await,
        "ACL" => acl::acl(request, body).await,
        "LOCK" => lock::lock(request, body).await,
        "UNLOCK" => run(move || lock::unlock(&request)).await,
        "REPORT" => report::report(request, body).await,
        _ if request.method == Method::OPTIONS => run(move || allow::options(&request)).await,
        _ => run(move || Err(allow::refusal(&request))).await,
    }
}

/// What must hold when a whole box goes: no lock in it without its token. Reading the headers is work for the blocking pool.
pub(crate) fn box_guard(
    app: &App,
    request: Request,
    named: Named,
) -> impl FnOnce() -> Result<BoxGuard, Problem> + Send + 'static {
    let (request, _) = DavRequest::new(app, request, named);
    move || {
        let subject = request.admit()?;
        let gate = Gate::of(&request, &subject)?;
        Ok(Box::new(move |view: &View<'_>, cell_box: &CellBox| {
            subject.access.permit_place(view, Place::BoxRoot, "DELETE")?;
            gate.header(view)?;
            gate.locks(view, &view.lookup(&cell_box.name, &ResourcePath::root())?, Reach::Place)
        }))
    }
}

/// Reading an `If` header never panics, and what was read can be asked.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn fuzz_if_header(data: &[u8]) {
    let Ok(header) = if_header::IfHeader::parse(&String::from_utf8_lossy(data)) else { return };
    assert!(!header.lists.is_empty(), "a header without lists is malformed");
    let _ = header.tokens().count();
    for list in &header.lists {
        let _ = list.holds(|_| true);
    }
}

/// The refusal of an encoded path that holds a name that no resource can have.
pub(crate) fn bad_name(path: &str) -> Problem {
    let bad = path.split('/').find(|name| !name.is_empty() && decode_segment(name).is_err());
    let name = percent_decode_str(bad.unwrap_or(path)).decode_utf8_lossy();
    Problem::new(Code::ResourceName).with(name)
}

/// The refusal of a header's value.
fn bad_header(name: &str, value: &str) -> Problem {
    Problem::new(Code::HeaderValue).with(name).with(value)
}
