//! LOCK and UNLOCK (RFC 4918 sections 9.10 and 9.11): exclusive and shared write locks, on what is there or on a free name,
//! which gets an empty file with its lock.

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};

use super::allow::not_allowed;
use super::bad_header;
use super::depth::Depth;
use super::gate::{Gate, url_of};
use super::lock_xml::{LockInfo, write_active};
use super::subject::{DavRequest, Subject};
use super::xml::{self, tagged};
use crate::base::clock::now_ms;
use crate::base::id::urn_uuid;
use crate::domain::lock::Reach;
use crate::storage::database::cell_box::Lookup;
use crate::storage::database::lock::Lock;
use crate::storage::operation::lock::{ChangeLock, Choose, LockChange, LockOutcome, TakeLock};
use crate::storage::operation::{Guard, check_new};
use crate::storage::{Error, Result as Stored};
use crate::web::blocking::run;
use crate::web::problem::{Code, Problem};
use crate::web::request_body::RequestBody;
use crate::web::{Response, response};

const LOCK_TOKEN: HeaderName = HeaderName::from_static("lock-token");

/// How long a lock holds if the client does not say, and at most, in seconds.
const USUAL_SECONDS: u64 = 3600;
const MOST_SECONDS: u64 = 24 * 3600;

/// Where the client says that a token and a resource belong together and they do not.
const TOKEN_ELSEWHERE: &str = "lock-token-matches-request-uri";

pub(super) async fn lock(request: DavRequest, body: RequestBody) -> Result<Response, Problem> {
    let body = xml::read(body, request.body_limit).await?;
    run(move || if body.is_empty() { refresh(&request) } else { take(&request, &body) }).await
}

fn take(request: &DavRequest, body: &Bytes) -> Result<Response, Problem> {
    let subject = request.admit()?;
    let seen = subject.lookup()?;
    let LockInfo { shared, owner } = LockInfo::of(&xml::document(body)?)?;
    let infinite = match Depth::of(request)? {
        Depth::Zero => false,
        Depth::Infinity => true,
        Depth::One => return Err(Depth::refusal(request)),
    };
    let gate = Gate::of(request, &subject)?;
    let lock = Lock {
        token: urn_uuid(),
        id: 0,
        infinite,
        shared,
        owner,
        principal: gate.principal().to_owned(),
        expires_ms: expires_ms(request),
    };
    if seen.missing > 0 {
        may_be_created(&subject, &seen)?;
    }
    let outcome = match submit(&subject, &gate, &lock, seen.missing > 0) {
        // It was deleted since it was seen.
        Err(Error::Missing) => submit(&subject, &gate, &lock, true),
        outcome => outcome,
    };
    let outcome = outcome.map_err(|e| subject.problem(e))?;
    let mut response = discovery(&subject, &outcome);
    if let Ok(token) = HeaderValue::from_str(&format!("<{}>", lock.token)) {
        response.headers_mut().insert(LOCK_TOKEN, token);
    }
    Ok(response)
}

fn submit(subject: &Subject, gate: &Gate, lock: &Lock, free: bool) -> Stored<LockOutcome> {
    let (box_name, path) = (subject.box_name.clone(), subject.path.clone());
    let file = if free { Some(TakeLock::empty_file(&box_name, &path, subject.cell.upload().finish()?)) } else { None };
    let (gate, wished) = (gate.clone(), lock.clone());
    let guard: Guard = Box::new(move |view, lookup| {
        gate.permit(view, lookup)?;
        gate.conditions(view, lookup)?;
        gate.room_for(view, lookup, &wished)?;
        // A new name is a change of its collection.
        if lookup.missing > 0 { gate.locks(view, lookup, Reach::Itself) } else { Ok(()) }
    });
    subject.cell.change(TakeLock { box_name, path, lock: lock.clone(), file, guard })
}

/// Whether the empty file of a lock can take the name.
fn may_be_created(subject: &Subject, lookup: &Lookup) -> Result<(), Problem> {
    check_new(&subject.cell, lookup, &subject.path).map_err(|e| match e {
        Error::ParentMissing(_) => subject.parent_missing(lookup),
        Error::NotCollection => not_allowed(lookup),
        e => subject.problem(e),
    })
}

/// A LOCK without a body: the lock whose token is submitted holds longer.
fn refresh(request: &DavRequest) -> Result<Response, Problem> {
    let subject = request.admit()?;
    let gate = Gate::of(request, &subject)?;
    if !is_held(&subject, gate.tokens()) {
        subject.existing()?;
    }
    if gate.tokens().is_empty() {
        return Err(Problem::new(Code::HeaderRequired).with("If"));
    }
    let choose: Choose = Box::new(move |view, lookup, locks| {
        gate.entity(lookup)?;
        let known = locks.iter().find(|lock| gate.tokens().contains(&lock.token));
        let lock = known
            .filter(|lock| lock.principal == gate.principal())
            .ok_or_else(|| Problem::new(Code::PreconditionHeader).with("If").violating(TOKEN_ELSEWHERE, Vec::new()))?;
        gate.header(view)?;
        Ok(lock.clone())
    });
    let outcome = apply(&subject, choose, LockChange::Until(expires_ms(request)))?;
    Ok(discovery(&subject, &outcome))
}

pub(super) fn unlock(request: &DavRequest) -> Result<Response, Problem> {
    let subject = request.admit()?;
    let text = request.header(LOCK_TOKEN).unwrap_or_default();
    let token = text.strip_prefix('<').and_then(|t| t.strip_suffix('>')).map(str::to_owned);
    if !is_held(&subject, token.as_slice()) {
        subject.existing()?;
    }
    if text.is_empty() {
        return Err(Problem::new(Code::HeaderRequired).with("Lock-Token"));
    }
    let token = token.ok_or_else(|| bad_header("Lock-Token", text))?;
    let (principal, admin) = (subject.access.principal(), subject.access.is_unit_admin());
    let choose: Choose = Box::new(move |_, _, locks| {
        let lock = locks
            .iter()
            .find(|lock| lock.token == token)
            .ok_or_else(|| Problem::new(Code::LockTokenElsewhere).violating(TOKEN_ELSEWHERE, Vec::new()))?;
        // Somebody has to be able to take away what a client has left behind.
        let may = admin || lock.principal == principal;
        if may { Ok(lock.clone()) } else { Err(Problem::new(Code::PrivilegeLacking).into()) }
    });
    apply(&subject, choose, LockChange::Release)?;
    Ok(response::empty(StatusCode::NO_CONTENT))
}

/// Whether the caller has one of these locks on the resource: then nothing else is needed to prolong it or to give it up.
fn is_held(subject: &Subject, tokens: &[String]) -> bool {
    if subject.access.is_unit_admin() || !subject.access.is_somebody() || tokens.is_empty() {
        return false;
    }
    let principal = subject.access.principal();
    let held = subject.cell.lookup(&subject.box_name, &subject.path).and_then(|lookup| {
        let locks = subject.cell.read(|view| view.locks_over(&lookup.chain, now_ms()))?;
        let mine = |lock: &Lock| lock.principal == principal && tokens.contains(&lock.token);
        Ok(lookup.missing == 0 && locks.iter().any(mine))
    });
    held.unwrap_or(false)
}

fn apply(subject: &Subject, choose: Choose, change: LockChange) -> Result<LockOutcome, Problem> {
    let (box_name, path) = (subject.box_name.clone(), subject.path.clone());
    subject.cell.change(ChangeLock { box_name, path, choose, change }).map_err(|e| subject.problem(e))
}

/// When a lock taken now is over, by the first `Timeout` that can be read.
fn expires_ms(request: &DavRequest) -> i64 {
    let seconds = request.header("timeout").and_then(|text| text.split(',').find_map(seconds)).unwrap_or(USUAL_SECONDS);
    now_ms() + seconds.clamp(1, MOST_SECONDS) as i64 * 1000
}

fn seconds(text: &str) -> Option<u64> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("infinite") {
        return Some(MOST_SECONDS);
    }
    let digits = text.get(..7).filter(|p| p.eq_ignore_ascii_case("second-")).map(|p| &text[p.len()..])?;
    let number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    // A number that is too large means as long as possible.
    number.then(|| digits.parse().unwrap_or(MOST_SECONDS))
}

/// The answer: every lock that covers the resource.
fn discovery(subject: &Subject, outcome: &LockOutcome) -> Response {
    let mut out =
        String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:prop xmlns:D=\"DAV:\"><D:lockdiscovery>");
    let (now, chain) = (now_ms(), &outcome.lookup.chain);
    for lock in &outcome.locks {
        let length = chain.iter().position(|row| row.id == lock.id).map_or(chain.len(), |at| at + 1);
        let root = url_of(&subject.asked, subject.cell.name(), &chain[..length]);
        write_active(&mut out, lock, &root, now);
    }
    out.push_str("</D:lockdiscovery></D:prop>\n");
    let status = if outcome.created { StatusCode::CREATED } else { StatusCode::OK };
    tagged(response::xml(status, out), outcome.lookup.nearest())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts() {
        for (text, expected) in [
            ("Second-60", Some(60)),
            (" second-0", Some(0)),
            ("Infinite", Some(MOST_SECONDS)),
            ("Second-99999999999999999999999", Some(MOST_SECONDS)),
            ("Second-", None),
            ("Second--1", None),
            ("Minute-1", None),
            ("é-é-é-é", None),
            ("", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
