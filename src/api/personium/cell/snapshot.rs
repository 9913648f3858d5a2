//! `{cell}__snapshot`: the flat area of snapshot files, and the files in it.
//!
//! To WebDAV it is a collection that lists its files at any depth but 0. A file comes whole or not at all.

use std::fs::File;

use http::header::{CONTENT_RANGE, CONTENT_TYPE, ETAG};
use http::{HeaderMap, Method, StatusCode};

use super::super::call::Call;
use super::super::listing::{self, Depth, Prop, Wanted};
use super::properties::{Shown, cell_props};
use super::{acl, tagged};
use crate::base::path::{NewName, Segment, decode_segment, encode_segment};
use crate::base::xml::DAV;
use crate::dav::get::safety;
use crate::domain::access::Place;
use crate::storage::area::SnapshotFile;
use crate::storage::cell::received;
use crate::storage::operation::area::{DeleteSnapshot, PutSnapshot, SnapshotGuard, SnapshotPut};
use crate::storage::{Cell, Error};
use crate::web::blocking::run;
use crate::web::conditional::{Conditions, Current, Verdict};
use crate::web::problem::{Code, Problem};
use crate::web::representation::Representation;
use crate::web::request_body::{Pieces, RequestBody};
use crate::web::state::App;
use crate::web::{Body, Request, Response, response};

const AREA_METHODS: &str = "OPTIONS, PROPFIND";
const FILE_METHODS: &str = "OPTIONS, GET, HEAD, PUT, DELETE, PROPFIND";

/// Answers a request for the area or one of its files.
pub async fn route(app: &App, request: Request) -> Result<Response, Problem> {
    let limit = app.config.limits.request_body.limit();
    let in_area = file_of(&request.target.rest).is_ok_and(|file| file.is_some());
    if request.method == Method::PUT && in_area {
        let (call, body) = Call::without_body(app, request);
        return put(call, body, limit).await;
    }
    let call = Call::of(app, request).await?;
    run(move || answer(&call)).await
}

/// The encoded name of a file in the area; none for the area itself.
fn file_of(rest: &str) -> Result<Option<&str>, Problem> {
    let mut names = rest.split('/').filter(|name| !name.is_empty()).skip(1);
    let first = names.next();
    if names.next().is_some() { Err(Code::UriNotRecognized.into()) } else { Ok(first) }
}

fn answer(call: &Call) -> Result<Response, Problem> {
    call.record()?;
    let file = file_of(&call.rest)?;
    let methods = if file.is_some() { FILE_METHODS } else { AREA_METHODS };
    if call.method == Method::OPTIONS {
        return Ok(response::options(methods));
    }
    call.permit(Place::Snapshot)?;
    match (call.method.as_str(), file) {
        ("PROPFIND", None) => list(call),
        ("PROPFIND", Some(name)) => describe(call, name),
        ("GET" | "HEAD", Some(name)) => get(call, name),
        ("DELETE", Some(name)) => delete(call, name),
        ("REPORT", Some(_)) => Err(Code::MethodNotImplemented.into()),
        _ => Err(Call::not_allowed(methods)),
    }
}

/// The file of a name as it was given, or else of that name in NFC, as names are made.
fn find(call: &Call, cell: &Cell, encoded: &str) -> Result<Option<(SnapshotFile, File)>, Problem> {
    let given = decode_segment(encoded).map_err(|_| bad_name(encoded))?;
    let open = |name: &Segment| cell.open_snapshot(name.as_str()).map_err(|e| call.failed(e));
    let composed = given.nfc();
    match open(&given)? {
        None if composed != given => open(&composed),
        found => Ok(found),
    }
}

fn bad_name(encoded: &str) -> Problem {
    let name = percent_encoding::percent_decode_str(encoded).decode_utf8_lossy();
    Problem::new(Code::ResourceName).with(name)
}

fn missing(call: &Call) -> Problem {
    call.failed(Error::Missing)
}

fn get(call: &Call, name: &str) -> Result<Response, Problem> {
    let Some((found, content)) = find(call, &*call.open()?, name)? else { return Err(missing(call)) };
    let representation = Representation {
        length: found.size,
        headers: safety(&found.content_type),
        etag: found.etag().to_string(),
        last_modified_ms: Some(found.updated_ms),
        content_type: found.content_type,
    };
    match representation.precondition(&call.headers)? {
        Some(answer) => Ok(answer),
        None => representation.answer(call.method == Method::HEAD, &call.headers, || Ok(content)),
    }
}

/// What `If-Match` and its like say about the file that is there, or about a free name.
fn check(headers: &HeaderMap, file: Option<&SnapshotFile>) -> crate::storage::Result<()> {
    let tag = file.map(|file| file.etag().to_string()).unwrap_or_default();
    let current = file.map_or(Current::missing(), |file| Current::of(&tag, Some(file.updated_ms)));
    match Conditions::of(headers).evaluate(false, current) {
        Verdict::Proceed => Ok(()),
        _ => Err(Error::Precondition),
    }
}

fn guard(headers: &HeaderMap) -> SnapshotGuard {
    let headers = headers.clone();
    Box::new(move |file| check(&headers, file))
}

/// Stages the body and lets it take the name. What can be refused is refused before the body is asked for.
async fn put(call: Call, body: RequestBody, limit: Option<u64>) -> Result<Response, Problem> {
    let (call, cell, name) = run(move || {
        call.record()?;
        call.permit(Place::Snapshot)?;
        let encoded = file_of(&call.rest)?.unwrap_or_default();
        let segment = decode_segment(encoded).map_err(|_| bad_name(encoded))?;
        let name = NewName::new(&segment).map_err(|_| bad_name(encoded))?;
        if let Some(range) = call.headers.get(CONTENT_RANGE) {
            let range = String::from_utf8_lossy(range.as_bytes()).into_owned();
            return Err(Problem::new(Code::HeaderValue).with("Content-Range").with(range));
        }
        let cell = call.open()?;
        let found = cell.open_snapshot(name.as_str()).map_err(|e| call.failed(e))?;
        check(&call.headers, found.as_ref().map(|(file, _)| file)).map_err(|e| call.failed(e))?;
        Ok((call, cell, name))
    })
    .await?;
    let declared = call.headers.get(CONTENT_TYPE).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    let guard = guard(&call.headers);
    let (call, answer) = body
        .feed(limit, move |pieces: Pieces| {
            let failed = |e| call.failed(e);
            let mut incoming = cell.new_snapshot().map_err(failed)?;
            for piece in pieces {
                incoming.write(&piece?).map_err(failed)?;
            }
            let staged = incoming.finish().map_err(failed)?;
            let content_type = declared.filter(|t| !t.is_empty());
            let answer = cell.submit(PutSnapshot { name, content_type, staged, guard });
            Ok::<_, Problem>((call, answer))
        })
        .await??;
    let SnapshotPut { created, file } = received(answer.await).map_err(|e| call.failed(e))?;
    let mut response = response::empty(if created { StatusCode::CREATED } else { StatusCode::NO_CONTENT });
    if let Ok(tag) = file.etag().to_string().parse() {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}

fn delete(call: &Call, name: &str) -> Result<Response, Problem> {
    let cell = call.open()?;
    let (file, _) = find(call, &cell, name)?.ok_or_else(|| missing(call))?;
    cell.change(DeleteSnapshot { name: file.name, guard: guard(&call.headers) }).map_err(|e| call.failed(e))?;
    Ok(response::empty(StatusCode::NO_CONTENT))
}

/// PROPFIND of the area: what the cell's root tells, then the files.
fn list(call: &Call) -> Result<Response, Problem> {
    let wanted = Wanted::parse(&call.body)?;
    let depth = depth(&call.headers)?;
    let (cell, url) = (call.open()?, call.base_url());
    let access = call.access_in(&cell)?;
    let shown = cell.read(|view| {
        let mut shown = Shown::read(view, access, &url, Depth::Zero)?;
        shown.quota = if listing::asks_quota(&wanted) { Some(cell.quota(view)?) } else { None };
        Ok((shown, acl::show_inherited(view, &url)?))
    });
    let (shown, inherited) = shown.map_err(|e| call.failed(e))?;
    let files = if depth == Depth::One { cell.snapshots().map_err(|e| call.failed(e))? } else { Vec::new() };
    let mut out = Vec::new();
    let mut write = || {
        listing::begin(&mut out)?;
        listing::resource(&mut out, &format!("{url}__snapshot"), &cell_props(&shown), &wanted)?;
        for file in &files {
            listing::resource(&mut out, &href(&url, file), &file_props(file, &inherited), &wanted)?;
        }
        listing::end(&mut out)
    };
    write().expect("invariant: a vector takes what is written");
    Ok(tagged(listing::multistatus(Body::Text(out.into())), &shown.root))
}

/// PROPFIND of one file.
fn describe(call: &Call, name: &str) -> Result<Response, Problem> {
    let wanted = Wanted::parse(&call.body)?;
    depth(&call.headers)?;
    let (cell, url) = (call.open()?, call.base_url());
    let (file, _) = find(call, &cell, name)?.ok_or_else(|| missing(call))?;
    let inherited = cell.read(|view| acl::show_inherited(view, &url)).map_err(|e| call.failed(e))?;
    let mut response = listing::single(&href(&url, &file), &file_props(&file, &inherited), &wanted);
    if let Ok(tag) = file.etag().to_string().parse() {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}

/// The area is flat: no `Depth` and `infinity` mean 1.
fn depth(headers: &HeaderMap) -> Result<Depth, Problem> {
    match headers.get("depth") {
        Some(value) if value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"infinity") => Ok(Depth::One),
        _ => listing::depth(headers, Some(Depth::One)),
    }
}

fn href(cell_url: &str, file: &SnapshotFile) -> String {
    format!("{cell_url}__snapshot/{}", encode_segment(&file.name))
}

fn file_props(file: &SnapshotFile, inherited: &str) -> Vec<Prop> {
    let mut props = listing::file((file.created_ms, file.updated_ms), file.size, &file.content_type);
    props.push(Prop::dav("getetag", &file.etag().to_string()));
    props.push(Prop::new(DAV, "acl", inherited.to_owned()));
    props
}
