//! PROPFIND (RFC 4918 section 9.1): one visit to the blocking pool, which streams rows of one moment as bytes.
//!
//! Without `Depth` it means infinity, which collections serve only where the unit's configuration says so.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use self::listing::Listing;
use self::wanted::Wanted;
use super::Named;
use super::answer::{ShortAnswer, Sink, answered};
use super::depth::Depth;
use super::gate::{Gate, has_if};
use super::subject::{DavRequest, Subject};
use super::xml;
use crate::storage::Error;
use crate::storage::database::cell_box::Lookup;
use crate::web::Response;
use crate::web::auth::AccessContext;
use crate::web::problem::{Code, Problem};
use crate::web::recallable::{Recallable, What};
use crate::web::request_body::RequestBody;

pub(super) mod listing;
mod lists;
mod locks;
mod row;
mod template;
pub(super) mod wanted;

/// Members of a collection that are listed at once, at most: about as many take a tenth of a millisecond.
const FEW: i64 = 256;
/// Bytes of a body that is parsed at once, at most.
const SMALL_BODY: usize = 4096;

pub(super) async fn propfind(request: DavRequest, body: RequestBody) -> Result<Response, Problem> {
    let body = xml::read(body, request.body_limit).await?;
    if let Some(response) = at_once(&request, &body) {
        return Ok(response);
    }
    answered(move |out| {
        let prepared = prepare(&request, &body)?;
        out.tag(prepared.lookup.nearest());
        prepared.write(out).map_err(|e| prepared.subject.problem(e))?;
        prepared.subject.cell.was_read(&prepared.subject.box_name, &prepared.subject.path);
        Ok(())
    })
    .await
}

/// The answer to a request about few resources that were listed a moment ago, on a thread that must not wait. Nothing says nothing.
fn at_once(request: &DavRequest, body: &Bytes) -> Option<Response> {
    // A password may have to be hashed.
    if matches!(request.context, AccessContext::Basic(_)) || body.len() > SMALL_BODY || has_if(&request.headers) {
        return None;
    }
    let depth = match Depth::of(request) {
        Ok(Depth::Zero) => 0,
        Ok(Depth::One) => 1,
        _ => return None,
    };
    let Named { cell, box_name, path } = &request.named;
    let cell = request.unit.cell_at_hand(cell)?;
    let access = request.access_in(&cell).ok()?;
    let wanted = if body.is_empty() { Wanted::everything() } else { Wanted::of(&xml::document(body).ok()?).ok()? };
    let members = (depth > 0).then_some(FEW);
    cell.clone().glance(box_name, path, members, |view, lookup, moment| {
        access.permit(view, lookup, request.method.as_str()).ok()?;
        let subject = request.subject(cell, lookup.cell_box.clone(), access);
        let mut answer = ShortAnswer::default();
        let members = if depth > 0 { subject.cell.known_members(view, lookup.nearest()).ok()? } else { None };
        // Of many members that are listed once it would not pay.
        let again = depth == 0 || members.is_some();
        let listing = Listing::new(view, &subject, lookup, &wanted).ok()?.knowing(members);
        let lasts = listing.lasts();
        listing.write(&mut answer, depth).ok()?;
        let mut response = answer.about(lookup.nearest());
        if again
            && lasts
            && let Some(time) = subject.access.stands_for()
            && let Some(known) = subject.cell.know_rows(lookup, moment)
        {
            let recallable = Recallable { known, what: What::Document, until: Instant::now() + time };
            response.extensions_mut().insert(Arc::new(recallable));
        }
        Some(response)
    })
}

/// A listing of which everything is known but its rows.
struct Prepared {
    subject: Subject,
    lookup: Lookup,
    wanted: Wanted,
    depth: Depth,
}

fn prepare(request: &DavRequest, body: &Bytes) -> Result<Prepared, Problem> {
    let subject = request.admit()?;
    let known = |depth: &Result<Depth, Problem>| matches!(depth, Ok(Depth::Zero));
    let depth = Depth::of(request);
    let found = match look(&subject, known(&depth)) {
        Err(Error::Busy(what)) => subject.permitted(Err(Error::Busy(what))),
        found => subject.permitted(found),
    };
    let lookup = match found {
        Ok(lookup) if lookup.missing > 0 => return Err(subject.problem(Error::Missing)),
        Ok(lookup) => lookup,
        Err(e) => return Err(subject.problem(e)),
    };
    let wanted = if body.is_empty() { Wanted::everything() } else { Wanted::of(&xml::document(body)?)? };
    // Below a file there is nothing, however deep one looks.
    let file = lookup.nearest().is_file();
    let depth = depth.map(|depth| if file { Depth::Zero } else { depth })?;
    if has_if(&request.headers) {
        let gate = Gate::of(request, &subject)?;
        subject.cell.read(|view| gate.header(view)).map_err(|e| subject.problem(e))?;
    }
    if depth == Depth::Infinity && !request.infinite_depth {
        return Err(Problem::new(Code::InfiniteDepth).violating("propfind-finite-depth", Vec::new()));
    }
    if depth == Depth::Infinity {
        subject.cell.refresh_tree(&subject.box_name, &subject.path).map_err(|e| subject.problem(e))?;
    }
    Ok(Prepared { subject, lookup, wanted, depth })
}

/// What the path leads to. The root of a box that is being installed is shown by itself.
fn look(subject: &Subject, alone: bool) -> crate::storage::Result<Lookup> {
    let found = if alone {
        subject.cell.lookup(&subject.box_name, &subject.path)
    } else {
        subject.cell.refresh(&subject.box_name, &subject.path)
    };
    match found {
        Err(Error::Busy(what)) if alone && subject.path.is_root() => {
            let root = subject.cell.read(|v| v.resource(subject.cell_box.id))?.ok_or(Error::Busy(what))?;
            Ok(Lookup { cell_box: subject.cell_box.clone(), chain: vec![root], missing: 0 })
        }
        found => found,
    }
}

impl Prepared {
    fn write(&self, out: &mut impl Sink) -> crate::storage::Result<()> {
        let depth = match self.depth {
            Depth::Zero => 0,
            Depth::One => 1,
            Depth::Infinity => usize::MAX,
        };
        self.subject.cell.read(|view| Listing::new(view, &self.subject, &self.lookup, &self.wanted)?.write(out, depth))
    }
}
