//! PUT: the body is staged while it comes in, then takes the name; a body that breaks off leaves what was there.
//!
//! What can be refused is refused before a large or expected body is asked for. Small bodies are read first, so that all of
//! it is one visit to the blocking pool. The conditions are evaluated finally inside the transaction.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, EXPECT, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use tokio::sync::oneshot;

mod again;

use super::allow::not_allowed;
use super::bad_header;
use super::gate::{Gate, has_if};
use super::partial::{Base, Part};
use super::subject::{DavRequest, Subject};
use crate::base::clock::{FIRST_HTTP_MS, LAST_MS};
use crate::domain::lock::Reach;
use crate::storage::cell::received;
use crate::storage::operation::put::{Put, PutOutcome};
use crate::storage::operation::{Guard, check_new};
use crate::storage::stage::{IN_ROW, Staged};
use crate::storage::{Error, Result as Stored};
use crate::web::blocking::run;
use crate::web::problem::{Code, Problem};
use crate::web::request_body::{Pieces, RequestBody};
use crate::web::{Response, response};

/// Bodies up to this many bytes are read before anything else is done.
const SMALL: u64 = 64 * 1024;

/// The client's own modification time, in seconds since 1970 or before it, as ownCloud's and rclone's clients send it.
const MTIME: HeaderName = HeaderName::from_static("x-oc-mtime");

/// The length of a chunked body as macOS announces it. Some proxies lose such a body and send an empty one.
const EXPECTED_LENGTH: HeaderName = HeaderName::from_static("x-expected-entity-length");

pub(crate) use again::PutAgain;

pub(crate) type Answer = oneshot::Receiver<Stored<PutOutcome>>;

pub(super) async fn put(request: DavRequest, body: RequestBody) -> Result<Response, Problem> {
    let length = body.length();
    let small = length.is_some_and(|length| length <= SMALL) && !request.headers.contains_key(EXPECT);
    let dated = request.headers.contains_key(MTIME);
    let (subject, answer) = if small {
        let bytes = body.read(request.body_limit.unwrap_or(u64::MAX)).await?;
        if let Some((answer, gate)) = at_once(&request, &bytes) {
            match received(answer.await) {
                Ok(outcome) => {
                    let mut response = respond(&outcome, dated);
                    response.extensions_mut().insert(Arc::new(PutAgain::of(&request, gate)));
                    return Ok(response);
                }
                Err(e) if e.is_failure() => return Err(Problem::of_store(e, &request.url())),
                // Below it is found out what there is to say about it.
                Err(_) => {}
            }
        }
        run(move || {
            let subject = request.admit()?;
            let prepared = prepare(&request, &subject, length)?;
            let staged = stage(&subject, &prepared, std::iter::once(Ok(bytes)))?;
            let answer = subject.cell.submit(operation(&request, staged, prepared)?);
            Ok((subject, answer))
        })
        .await?
    } else {
        let limit = request.body_limit;
        let (request, subject, prepared) = run(move || {
            let subject = request.admit()?;
            let prepared = prepare(&request, &subject, length)?;
            // What a lock refuses is refused before a large body is sent.
            let lookup = subject.lookup()?;
            subject
                .cell
                .read(|view| prepared.gate.locks(view, &lookup, Reach::Itself))
                .map_err(|e| subject.problem(e))?;
            Ok((request, subject, prepared))
        })
        .await?;
        body.feed(limit, move |pieces: Pieces| {
            let staged = stage(&subject, &prepared, pieces.map(|piece| piece.map_err(Problem::from)))?;
            let answer = subject.cell.submit(operation(&request, staged, prepared)?);
            Ok::<_, Problem>((subject, answer))
        })
        .await??
    };
    let outcome = received(answer.await).map_err(|e| subject.problem(e))?;
    Ok(respond(&outcome, dated))
}

/// Hands a small file to the writer without a visit to the blocking pool: where the cell is open, who asks may do anything, and
/// nothing but the place itself has to be looked at. The writer makes all checks anyway; if it refuses, or anything is odd about
/// the request, the long way tells what there is to say.
fn at_once(request: &DavRequest, bytes: &Bytes) -> Option<(Answer, Gate)> {
    let plain = request.method == Method::PUT && !has_if(&request.headers) && matches!(Part::of(request), Ok(None));
    let plain = plain && !request.headers.contains_key(EXPECTED_LENGTH);
    if !plain || bytes.len() > IN_ROW || !request.context.is_unit_admin() {
        return None;
    }
    let cell = request.unit.writer_at_hand(&request.named.cell)?;
    let gate = Gate::for_cell(request, &cell).ok()?;
    let prepared = Prepared { gate: gate.clone(), base: None, expected: None };
    let staged = cell.stage(bytes.clone()).ok()?;
    Some((cell.submit(operation(request, staged, prepared).ok()?), gate))
}

/// What is known before the body.
struct Prepared {
    gate: Gate,
    /// What the body is a part of, where it is.
    base: Option<Base>,
    /// The length that the body must have.
    expected: Option<u64>,
}

/// Everything that can be refused without the body.
fn prepare(request: &DavRequest, subject: &Subject, length: Option<u64>) -> Result<Prepared, Problem> {
    let lookup = subject.lookup()?;
    let part = Part::of(request)?;
    mtime_ms(request)?;
    let expected = expected_length(request)?;
    let gate = Gate::of(request, subject)?;
    if let Some(row) = lookup.found() {
        if !row.is_file() {
            return Err(not_allowed(&lookup));
        }
    } else if request.method == Method::PATCH {
        return Err(subject.problem(Error::Missing));
    } else {
        check_new(&subject.cell, &lookup, &subject.path).map_err(|e| match e {
            Error::ParentMissing(_) => subject.parent_missing(&lookup),
            Error::NotCollection => not_allowed(&lookup),
            e => subject.problem(e),
        })?;
    }
    gate.entity(&lookup)?;
    let base = part.map(|part| Base::open(subject, part, length)).transpose()?;
    let before = lookup.found().map_or(0, |row| row.size);
    if let Some(length) = length.or(expected).filter(|length| *length > SMALL) {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        let growth = base.as_ref().map_or(length.saturating_sub(before), |base| base.growth(length as u64) as i64);
        subject.cell.check_room(growth).map_err(|e| subject.problem(e))?;
    }
    Ok(Prepared { gate, base, expected })
}

fn stage(
    subject: &Subject,
    prepared: &Prepared,
    pieces: impl Iterator<Item = Result<Bytes, Problem>>,
) -> Result<Staged, Problem> {
    if let Some(base) = &prepared.base {
        return base.stage(subject, pieces);
    }
    let failed = |e| subject.problem(e);
    let mut upload = subject.cell.upload();
    let mut received = 0;
    for piece in pieces {
        let piece = piece?;
        received += piece.len() as u64;
        upload.write(&piece).map_err(failed)?;
    }
    match prepared.expected {
        Some(expected) if expected != received => Err(Code::BodyIncomplete.into()),
        _ => upload.finish().map_err(failed),
    }
}

fn operation(request: &DavRequest, staged: Staged, prepared: Prepared) -> Result<Put, Problem> {
    let Prepared { gate, base, .. } = prepared;
    let etag = base.map(|base| base.etag());
    let guard: Guard = Box::new(move |view, lookup| {
        gate.check(view, lookup, Reach::Itself)?;
        etag.map_or(Ok(()), |etag| Ok(Base::still_holds(etag, lookup)?))
    });
    // The type of a PATCH is that of the patch.
    let declared = request.headers.get(CONTENT_TYPE).filter(|_| request.method != Method::PATCH);
    let content_type = declared.map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    Ok(Put {
        box_name: request.named.box_name.clone(),
        path: request.named.path.clone(),
        staged,
        content_type: content_type.filter(|t| !t.is_empty()),
        mtime_ms: mtime_ms(request)?,
        guard,
        properties_of: None,
    })
}

fn mtime_ms(request: &DavRequest) -> Result<Option<i64>, Problem> {
    if !request.headers.contains_key(MTIME) {
        return Ok(None);
    }
    let text = request.header(MTIME).unwrap_or_default();
    let ms = text.parse::<f64>().ok().map(|seconds| seconds * 1000.0);
    match ms {
        Some(ms) if (FIRST_HTTP_MS as f64..=LAST_MS as f64).contains(&ms) => Ok(Some(ms as i64)),
        _ => Err(bad_header("X-OC-Mtime", text)),
    }
}

fn expected_length(request: &DavRequest) -> Result<Option<u64>, Problem> {
    if !request.headers.contains_key(EXPECTED_LENGTH) {
        return Ok(None);
    }
    let text = request.header(EXPECTED_LENGTH).unwrap_or_default();
    text.parse().map(Some).map_err(|_| bad_header("X-Expected-Entity-Length", text))
}

fn respond(outcome: &PutOutcome, dated: bool) -> Response {
    let status = if outcome.created { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
    let mut response = response::empty(status);
    if let Ok(etag) = outcome.resource.etag().to_string().try_into() {
        response.headers_mut().insert(ETAG, etag);
    }
    if dated {
        response.headers_mut().insert(MTIME, HeaderValue::from_static("accepted"));
    }
    response
}
