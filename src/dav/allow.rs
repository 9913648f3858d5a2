//! OPTIONS, and the refusal of methods that a resource does not have.

use http::header::ALLOW;

use super::subject::DavRequest;
use crate::domain::resource::is_sources;
use crate::storage::Error;
use crate::storage::database::Kind;
use crate::storage::database::cell_box::Lookup;
use crate::web::problem::{Code, Problem};
use crate::web::{Response, response};

/// What some resource of a box has.
const ANYTHING: &str =
    "OPTIONS, GET, HEAD, PUT, PATCH, DELETE, MKCOL, MOVE, COPY, PROPFIND, PROPPATCH, REPORT, LOCK, UNLOCK, ACL";
const NOTHING: &str = "OPTIONS, GET, HEAD, PUT, DELETE, MKCOL, PROPFIND, PROPPATCH, LOCK, ACL";
/// Where nothing can be made, as directly below a service.
const NOTHING_EVER: &str = "OPTIONS, GET, HEAD, DELETE, PROPFIND, PROPPATCH, ACL";
const BOX: &str = "OPTIONS, GET, HEAD, DELETE, MKCOL, COPY, PROPFIND, PROPPATCH, REPORT, LOCK, UNLOCK, ACL";
/// As [`BOX`], but it is always there.
const MAIN_BOX: &str = "OPTIONS, GET, HEAD, COPY, PROPFIND, PROPPATCH, REPORT, LOCK, UNLOCK, ACL";
const COLLECTION: &str =
    "OPTIONS, GET, HEAD, PUT, DELETE, MKCOL, MOVE, COPY, PROPFIND, PROPPATCH, REPORT, LOCK, UNLOCK, ACL";
const FILE: &str = "OPTIONS, GET, HEAD, PUT, PATCH, DELETE, MOVE, COPY, PROPFIND, PROPPATCH, LOCK, UNLOCK, ACL";
const ODATA: &str = "OPTIONS, GET, HEAD, DELETE, MOVE, PROPFIND, PROPPATCH, LOCK, UNLOCK, ACL";
const SERVICE: &str = "OPTIONS, DELETE, MOVE, COPY, PROPFIND, PROPPATCH, LOCK, UNLOCK, ACL";
const SOURCES: &str = "OPTIONS, GET, HEAD, COPY, PROPFIND, PROPPATCH, LOCK, UNLOCK";

fn methods(lookup: &Lookup) -> &'static str {
    let Some(row) = lookup.found() else {
        return if lookup.nearest().kind == Kind::Collection { NOTHING } else { NOTHING_EVER };
    };
    match row.kind {
        _ if lookup.chain.len() == 1 && lookup.cell_box.is_main() => MAIN_BOX,
        _ if lookup.chain.len() == 1 => BOX,
        _ if is_sources(lookup) => SOURCES,
        Kind::Collection => COLLECTION,
        Kind::File => FILE,
        Kind::OData | Kind::Stream => ODATA,
        Kind::Service => SERVICE,
    }
}

/// Answers OPTIONS with login; the box may be in installation.
pub(super) fn options(request: &DavRequest) -> Result<Response, Problem> {
    let subject = request.admit()?;
    let allowed = match subject.permitted(subject.cell.lookup(&subject.box_name, &subject.path)) {
        Ok(lookup) => methods(&lookup),
        Err(Error::Busy(_)) => BOX,
        // Nobody needs a login to ask, but who may not read here hears no more than anybody else.
        Err(Error::Refused(_)) => ANYTHING,
        Err(e) => return Err(subject.problem(e)),
    };
    Ok(response::options(allowed))
}

/// The refusal of a method that no resource has.
pub(super) fn refusal(request: &DavRequest) -> Problem {
    let lookup = request.admit().and_then(|subject| subject.lookup());
    lookup.map_or_else(|problem| problem, |lookup| not_allowed(&lookup))
}

/// The refusal to make a collection where there is one.
pub(super) fn is_there(lookup: &Lookup) -> Problem {
    Problem::new(Code::MkcolExists).header(ALLOW, methods(lookup))
}

/// The refusal of a method that this resource does not have.
pub(super) fn not_allowed(lookup: &Lookup) -> Problem {
    Problem::new(Code::MethodNotAllowed).header(ALLOW, methods(lookup))
}
