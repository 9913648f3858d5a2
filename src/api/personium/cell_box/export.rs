//! A box as a bar: exact length, strong tag, ranges, and a download that goes on after the box has changed.

use std::io;
use std::sync::Arc;

use http::HeaderMap;
use http::header::{ACCEPT, RANGE};

use super::{Asked, BAR_TYPE};
use crate::bar::export::{self as bar_export, Archive, ArchiveReader, LiveArchives};
use crate::domain::access::Place;
use crate::storage::{Cell, Error, Unit};
use crate::web::conditional::{Conditions, if_range_tag};
use crate::web::file_body::ReadAt;
use crate::web::headers;
use crate::web::problem::{Code, Problem};
use crate::web::representation::Representation;
use crate::web::{Request, Response};

/// Whether `Accept` names the bar's type, by itself and without parameters.
pub(super) fn is_asked_for(request: &Request) -> bool {
    let lists = request.headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok());
    lists.flat_map(headers::list).any(|item| item.eq_ignore_ascii_case(BAR_TYPE))
}

/// Whether the query asks for what the reference leaves out.
pub(super) fn wants_everything(query: &str) -> bool {
    query_value(query, "include").is_some_and(|v| v == "all")
}

/// The decoded value of a query parameter.
pub(super) fn query_value(query: &str, name: &str) -> Option<String> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| {
        percent_encoding::percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned()
    })
}

impl ReadAt for ArchiveReader {
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        ArchiveReader::read_at(self, offset, buf)
    }
}

/// Answers GET or HEAD. Blocks.
pub(super) fn answer(
    asked: &Asked,
    unit: &Unit,
    archives: &LiveArchives,
    head: bool,
    everything: bool,
) -> Result<Response, Problem> {
    let (cell, cell_box) = asked.find(unit, Place::BoxArchive)?;
    if cell_box.is_main() {
        return Err(Code::NoEntity.into());
    }
    if let Some(archive) = resumed(&asked.headers, archives, &cell, &cell_box.name) {
        return represent(archive.etag(), archive.length()).answer(head, &asked.headers, || Ok(reader(&archive)));
    }
    let wanted = bar_export::Request { box_name: cell_box.name, cell_url: asked.cell_url.clone(), everything };
    // The tag alone decides conditions; no archive is laid out for a 304 or 412.
    let etag = bar_export::current_etag(&cell, &wanted).map_err(|e| asked.problem(e))?;
    if let Some(response) = represent(&etag, 0).precondition(&asked.headers)? {
        return Ok(response);
    }
    let current = |etag: &str| -> Result<(Arc<Archive>, Result<Response, Problem>), Problem> {
        let archive = archives.current(&cell, &wanted, etag).map_err(|e| failed(asked, e))?;
        let representation = represent(archive.etag(), archive.length());
        let response = representation.answer(head, &asked.headers, || Ok(reader(&archive)));
        Ok((archive, response))
    };
    let (archive, response) = current(&etag)?;
    if response.is_ok() || !archive.is_broken() {
        return response;
    }
    // A file that was edited in place was noticed while a small archive was read: the next one holds the edit.
    let etag = bar_export::current_etag(&cell, &wanted).map_err(|e| asked.problem(e))?;
    current(&etag)?.1
}

/// The archive of the past that a broken download goes on with: its tag is in `If-Range` or `If-Match` beside a `Range`.
fn resumed(headers: &HeaderMap, archives: &LiveArchives, cell: &Cell, box_name: &str) -> Option<Arc<Archive>> {
    headers.get(RANGE)?;
    let conditions = Conditions::of(headers);
    let tags = if_range_tag(headers).into_iter().chain(conditions.if_match_tags().iter().map(String::as_str));
    tags.filter(|tag| *tag != "*").find_map(|tag| archives.find(cell, box_name, tag))
}

fn represent(etag: &str, length: u64) -> Representation {
    Representation {
        length,
        content_type: BAR_TYPE.to_owned(),
        etag: etag.to_owned(),
        last_modified_ms: None,
        headers: Vec::new(),
    }
}

fn reader(archive: &Arc<Archive>) -> ArchiveReader {
    ArchiveReader::new(archive.clone())
}

fn failed(asked: &Asked, error: Error) -> Problem {
    if error.is_failure() && !error.is_full() {
        let problem = asked.problem(error);
        let cause = problem.cause().unwrap_or_default().to_owned();
        return Problem::new(Code::FileIo).with("export box").because(cause);
    }
    asked.problem(error)
}
