//! What MOVE and COPY have in common: `Depth`, `Overwrite`, `Destination` (RFC 4918 section 10), and the answer.
//!
//! A destination is a URL on this unit or an absolute path; `personium-localunit:` and `personium-localcell:` URLs are
//! understood too. Its scheme does not matter.

use std::sync::Arc;

use http::StatusCode;
use http::header::LOCATION;

use super::depth::Depth;
use super::subject::{DavRequest, Subject, parent_missing};
use super::xml::tagged;
use super::{bad_header, bad_name};
use crate::base::path::{ResourcePath, Segment, decode_segment};
use crate::domain::names::is_box_name;
use crate::domain::resource::may_arrive;
use crate::snapshot::gate::Writing;
use crate::storage::database::Kind;
use crate::storage::database::cell_box::{Lookup, MAIN_BOX};
use crate::storage::operation::move_to::{MoveOutcome, Place};
use crate::storage::{Cell, Error, Result as Stored};
use crate::web::problem::{Code, Problem};
use crate::web::public_url::{Asked, LocateError};
use crate::web::{Response, response};

const LOCAL_UNIT: &str = "personium-localunit:";
const LOCAL_CELL: &str = "personium-localcell:";

/// Where something is to go, and how.
#[derive(Debug, Clone)]
pub(super) struct Transfer {
    pub overwrite: bool,
    /// The name of the cell.
    pub cell: String,
    pub place: Place,
    /// The URL of the place, as answers have it.
    pub url: String,
}

/// Reads the depth of a MOVE or COPY: whether the members come along. A MOVE leaves none behind.
pub(super) fn takes_members(request: &DavRequest, copy: bool) -> Result<bool, Problem> {
    match Depth::of(request)? {
        Depth::Infinity => Ok(true),
        Depth::Zero if copy => Ok(false),
        _ => Err(Depth::refusal(request)),
    }
}

impl Transfer {
    /// Reads `Overwrite` and `Destination`.
    pub(super) fn of(request: &DavRequest) -> Result<Self, Problem> {
        let overwrite = overwrite(request)?;
        let text = request.header("destination").unwrap_or_default();
        if text.is_empty() {
            return Err(Problem::new(Code::HeaderRequired).with("Destination"));
        }
        let refused = || bad_header("Destination", text);
        // What stands behind it would be dropped, and something else replaced than the client means.
        if text.contains('#') {
            return Err(refused());
        }
        let (cell, rest) = locate(request, text)?;
        let (first, below) = rest.split_once('/').unwrap_or((&rest, ""));
        let box_name = decode_segment(first).map_err(|_| refused())?.as_str().to_owned();
        if box_name != MAIN_BOX && !is_box_name(&box_name) {
            return Err(refused());
        }
        let path = ResourcePath::decode(below).map_err(|e| bad_name(below).because(e))?;
        if path.is_root() {
            return Err(refused());
        }
        let named = &request.named;
        if cell == named.cell && box_name == named.box_name && nfc(&path) == nfc(&named.path) {
            return Err(Problem::new(Code::DestinationIsSource).with(text));
        }
        let url = request.asked.resource(&cell, &box_name, &path);
        Ok(Self { overwrite, cell, place: Place { box_name, path }, url })
    }

    /// Says that the other cell is being written to, until the value is dropped; refused while that is imported.
    pub(super) fn enter(&self, request: &DavRequest, subject: &Subject) -> Result<Option<Writing>, Problem> {
        if self.cell == subject.cell.name() {
            return Ok(None);
        }
        request.gates.enter(&self.cell).map(Some).map_err(|kind| subject.problem(Error::Busy(kind.label())))
    }

    /// The cell that the place is in.
    pub(super) fn target(&self, request: &DavRequest, subject: &Subject) -> Result<Arc<Cell>, Problem> {
        if self.cell == subject.cell.name() {
            return Ok(Arc::clone(&subject.cell));
        }
        request.unit.cell(&self.cell).map_err(|e| self.problem(subject, e))
    }

    /// Whether something of this kind may take the place, in the order in which clients are told.
    pub(super) fn arrival(&self, asked: &Asked, kind: Kind, to: &Lookup) -> Stored<()> {
        if to.missing > 1 {
            return Err(parent_missing(asked, &self.cell, &self.place.path, to).into());
        }
        if to.missing == 0 && !self.overwrite {
            return Err(Error::NoOverwrite);
        }
        Ok(may_arrive(kind, to).map_err(Problem::from)?)
    }

    /// What an error means to the client. A missing cell or box of the place is a parent that is not there.
    pub(super) fn problem(&self, subject: &Subject, error: Error) -> Problem {
        let missing = |url: String| Problem::new(Code::ParentMissing).with(url);
        match error {
            Error::CellMissing => missing(subject.asked.cell(&self.cell)),
            Error::BoxMissing => missing(subject.asked.cell_box(&self.cell, &self.place.box_name)),
            Error::SameResource => self.source_refused(),
            e => subject.problem(e),
        }
    }

    /// The refusal of a place that is the source, or that holds it or lies in it.
    pub(super) fn source_refused(&self) -> Problem {
        Problem::new(Code::DestinationIsSource).with(&self.url)
    }

    /// The answer once it is there.
    pub(super) fn respond(&self, outcome: &MoveOutcome) -> Response {
        let status = if outcome.created { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
        let mut response = tagged(response::empty(status), &outcome.resource);
        if let Ok(url) = self.url.as_str().try_into() {
            response.headers_mut().insert(LOCATION, url);
        }
        response
    }
}

fn overwrite(request: &DavRequest) -> Result<bool, Problem> {
    if !request.headers.contains_key("overwrite") {
        return Ok(true);
    }
    match request.header("overwrite") {
        Some(text) if text.eq_ignore_ascii_case("t") => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("f") => Ok(false),
        other => Err(bad_header("Overwrite", other.unwrap_or_default())),
    }
}

/// The cell that a destination is in, and its encoded path below the cell.
fn locate(request: &DavRequest, text: &str) -> Result<(String, String), Problem> {
    let refused = || bad_header("Destination", text);
    if let Some(rest) = text.strip_prefix(LOCAL_CELL) {
        return Ok((request.named.cell.clone(), rest.trim_start_matches('/').to_owned()));
    }
    if let Some(rest) = text.strip_prefix(LOCAL_UNIT) {
        let rest = rest.trim_start_matches('/');
        let (cell, rest) = rest.split_once('/').ok_or_else(refused)?;
        return Ok((cell.trim_end_matches(':').to_owned(), rest.trim_start_matches('/').to_owned()));
    }
    let target = request.asked.locate(text).map_err(|e| match e {
        LocateError::NotAUrl => refused(),
        LocateError::Elsewhere => Problem::new(Code::DestinationElsewhere).with(text),
    })?;
    Ok((target.cell.ok_or_else(refused)?, target.rest))
}

fn nfc(path: &ResourcePath) -> Vec<Segment> {
    path.segments().iter().map(Segment::nfc).collect()
}
