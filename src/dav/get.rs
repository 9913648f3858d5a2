//! GET and HEAD: content with its ranges, and a line about collections.
//!
//! ETag, length, type and bytes come from one opening of the file and belong together. What a browser would run as a page of
//! this server is sandboxed.

use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

use http::header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, Method, StatusCode};

use super::Named;
use super::allow::not_allowed;
use super::gate::{Gate, has_if};
use super::subject::{DavRequest, Subject};
use super::xml::tagged;
use crate::storage::cell::Content;
use crate::storage::database::cell_box::Lookup;
use crate::storage::database::{Kind, View};
use crate::storage::known::Known;
use crate::storage::{Cell, Error};
use crate::web::authority::Access;
use crate::web::conditional::{Conditions, Current, Verdict, range_counts};
use crate::web::file_body::{Now, ReadAt};
use crate::web::problem::{Code, Problem};
use crate::web::recallable::{Recallable, What};
use crate::web::representation::Representation;
use crate::web::{Body, Response, response};

/// What the types have in common that a browser may show as a page, in which scripts could run: documents of HTML and XML, style sheets
/// that make such documents, and parts that may be either.
const PAGES: &[&str] = &["html", "xml", "xsl", "multipart/", "message/"];

pub(super) fn get(request: &DavRequest) -> Result<Response, Problem> {
    let subject = request.admit()?;
    let gate = if has_if(&request.headers) { Some(Gate::of(request, &subject)?) } else { None };
    let may = |view: &View<'_>, lookup: &Lookup| {
        subject.access.permit(view, lookup, subject.method.as_str())?;
        gate.as_ref().filter(|_| lookup.missing == 0).map_or(Ok(()), |gate| gate.header(view))
    };
    match subject.cell.open_content_if(&subject.box_name, &subject.path, &may) {
        Ok(content) => {
            subject.cell.was_read(&subject.box_name, &subject.path);
            // Whether an `If` header holds depends on more than the file.
            let known = if gate.is_none() { known(&subject.cell, &subject.access, &content) } else { None };
            recallable(request, content, known, |file| file)
        }
        Err(Error::IsCollection) => collection(&request.headers, &subject),
        Err(Error::Busy(what)) => Err(subject
            .permitted(Err(Error::Busy(what)))
            .map_or_else(|e| subject.problem(e), |_| subject.problem(Error::Busy(what)))),
        Err(e) => Err(subject.problem(e)),
    }
}

/// As [`get`], on a thread that must not wait: for a file that was read a moment ago. Nothing says nothing.
pub(super) fn get_now(request: &DavRequest) -> Option<Response> {
    if has_if(&request.headers) {
        return None;
    }
    let Named { cell, box_name, path } = &request.named;
    let cell = request.unit.cell_at_hand(cell)?;
    let access = Access::now(&request.authority, &request.context, &cell, &request.asked, &request.headers)?;
    let may = |view: &View<'_>, lookup: &Lookup| access.permit(view, lookup, request.method.as_str());
    let content = cell.open_content_now(box_name, path, &may)?;
    let known = known(&cell, &access, &content);
    recallable(request, content, known, Now).ok()
}

/// The file that was opened, and until when the caller stands, if both can be known again.
fn known(cell: &Cell, access: &Access, content: &Content) -> Option<(Known, Instant)> {
    let time = access.stands_for()?;
    Some((cell.know(content)?, Instant::now() + time))
}

/// As [`file()`]; the answer says of itself that it may be given again.
fn recallable<R: ReadAt + Unpin>(
    request: &DavRequest,
    content: Content,
    known: Option<(Known, Instant)>,
    reader: impl FnOnce(File) -> R,
) -> Result<Response, Problem> {
    let (etag, modified_ms) = (content.resource.etag().to_string(), content.resource.mtime_ms);
    let mut response = file(request, content, reader)?;
    if let Some((known, until)) = known.filter(|_| request.method == Method::GET) {
        let content = match response.body() {
            Body::Bytes(bytes) if response.status() == StatusCode::OK => Some(bytes.clone()),
            _ => None,
        };
        let ranges = range_counts(&request.headers, &etag, Some(modified_ms));
        response.extensions_mut().insert(Arc::new(Recallable { known, what: What::File { content, ranges }, until }));
    }
    Ok(response)
}

fn file<R: ReadAt + Unpin>(
    request: &DavRequest,
    content: Content,
    reader: impl FnOnce(File) -> R,
) -> Result<Response, Problem> {
    let Content { resource, file, .. } = content;
    let content_type = resource.content_type.clone().unwrap_or_else(|| "application/octet-stream".to_owned());
    let representation = Representation {
        length: resource.size as u64,
        headers: safety(&content_type),
        content_type,
        etag: resource.etag().to_string(),
        last_modified_ms: Some(resource.mtime_ms),
    };
    match representation.precondition(&request.headers)? {
        Some(not_modified) => Ok(not_modified),
        None => representation.answer(request.method == http::Method::HEAD, &request.headers, || Ok(reader(file))),
    }
}

/// What keeps a browser from taking a user's file for a part of this server.
pub(crate) fn safety(content_type: &str) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = vec![(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))];
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if PAGES.iter().any(|page| essence.contains(page)) {
        headers.push((CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox")));
    }
    headers
}

fn collection(headers: &HeaderMap, subject: &Subject) -> Result<Response, Problem> {
    let (lookup, row) = subject.existing()?;
    if row.kind != Kind::Collection {
        return Err(not_allowed(&lookup));
    }
    let etag = row.etag().to_string();
    match Conditions::of(headers).evaluate(true, Current::of(&etag, None)) {
        Verdict::Proceed => {
            let text = format!("URL : {}\n", subject.url);
            Ok(tagged(response::text(StatusCode::OK, "text/plain; charset=utf-8", text), &row))
        }
        Verdict::NotModified => Ok(tagged(response::empty(StatusCode::NOT_MODIFIED), &row)),
        Verdict::Failed => Err(Code::EtagMismatch.into()),
    }
}
