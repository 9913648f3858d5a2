//! PROPFIND (RFC 4918 section 9.1): one visit to the blocking pool, which streams rows of one moment as bytes.
//!
//! Without `Depth` it means infinity, which is served only where the unit's configuration says so. Short answers are sent with
//! their length, long ones while they are written; one that fails midway breaks the connection.

use std::io::Write;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use tokio::sync::oneshot;

use self::listing::Listing;
use self::wanted::Wanted;
use super::depth::Depth;
use super::subject::{DavRequest, Subject};
use super::xml::{self, tagged};
use crate::storage::Error;
use crate::storage::database::cell_box::Lookup;
use crate::web::problem::{Code, Problem};
use crate::web::request_body::RequestBody;
use crate::web::{Body, Response, response};

pub(super) mod listing;
mod lists;
mod locks;
mod row;
pub(super) mod wanted;

/// Collections with up to this many members are answered in one piece.
const AT_ONCE: i64 = 200;

pub(super) async fn propfind(request: DavRequest, body: RequestBody) -> Result<Response, Problem> {
    let body = xml::read(body, request.body_limit).await?;
    let (sender, receiver) = oneshot::channel();
    let job = tokio::task::spawn_blocking(move || answer(&request, &body, sender));
    match receiver.await {
        Ok(answer) => answer,
        Err(_) => Err(Problem::internal(match job.await {
            Err(e) => e.to_string(),
            Ok(()) => "a listing was given up".to_owned(),
        })),
    }
}

/// Sends the answer as soon as its head is known and writes the rest of it.
fn answer(request: &DavRequest, body: &Bytes, sender: oneshot::Sender<Result<Response, Problem>>) {
    let prepared = match prepare(request, body) {
        Ok(prepared) => prepared,
        Err(problem) => return drop(sender.send(Err(problem))),
    };
    if prepared.is_short() {
        let mut out = Vec::with_capacity(4096);
        let written = prepared.write(&mut out);
        let response = written.map(|()| prepared.respond(Body::Text(Bytes::from(out))));
        return drop(sender.send(response.map_err(|e| prepared.subject.problem(e))));
    }
    let (mut writer, body) = Body::written();
    if sender.send(Ok(prepared.respond(body))).is_err() {
        return;
    }
    let written = prepared.write(&mut writer).and_then(|()| writer.finish().map_err(Error::io("send", "a listing")));
    if let Err(e) = written {
        tracing::debug!(error = &e as &dyn std::error::Error, url = prepared.subject.url, "a listing broke off");
    }
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
    let lookup = match look(&subject, known(&depth)) {
        Ok(lookup) if lookup.missing > 0 => return Err(subject.problem(Error::Missing)),
        Ok(lookup) => lookup,
        Err(e) => return Err(subject.problem(e)),
    };
    let wanted = if body.is_empty() { Wanted::everything() } else { Wanted::of(&xml::document(body)?)? };
    let depth = depth?;
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
    fn is_short(&self) -> bool {
        let members = self.lookup.nearest().children;
        match self.depth {
            Depth::Zero => true,
            Depth::One => members <= AT_ONCE,
            Depth::Infinity => false,
        }
    }

    fn respond(&self, body: Body) -> Response {
        let mut response = response::empty(StatusCode::MULTI_STATUS);
        *response.body_mut() = body;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml; charset=utf-8"));
        tagged(response, self.lookup.nearest())
    }

    fn write(&self, out: &mut impl Write) -> crate::storage::Result<()> {
        let depth = match self.depth {
            Depth::Zero => 0,
            Depth::One => 1,
            Depth::Infinity => usize::MAX,
        };
        self.subject.cell.read(|view| Listing::new(view, &self.subject, &self.lookup, &self.wanted)?.write(out, depth))
    }
}
