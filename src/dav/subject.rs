//! What a request is about: its resource, in its open cell, once the request has been let in.
//!
//! The order of the checks that come before any method's own: cell, box, privileges on what the path leads to, installation. Who
//! may not, does not learn whether there is anything.

use std::sync::Arc;

use http::{HeaderMap, Method};

use super::Named;
use crate::base::path::ResourcePath;
use crate::snapshot::gate::Gates;
use crate::storage::cell::received;
use crate::storage::database::Resource;
use crate::storage::database::cell_box::{CellBox, Lookup};
use crate::storage::writer::Operation;
use crate::storage::{Cell, Error, Result as Stored, Unit};
use crate::web::Request;
use crate::web::auth::AccessContext;
use crate::web::authority::{Access, Authority};
use crate::web::blocking::run;
use crate::web::problem::{Code, Problem};
use crate::web::public_url::Asked;
use crate::web::request_body::RequestBody;
use crate::web::state::App;

/// A request without its body, to be moved into the blocking pool.
pub(super) struct DavRequest {
    pub method: Method,
    pub headers: HeaderMap,
    pub asked: Asked,
    pub context: AccessContext,
    pub authority: Arc<Authority>,
    pub named: Named,
    pub unit: Arc<Unit>,
    /// Whether PROPFIND with Depth infinity is served.
    pub infinite_depth: bool,
    /// The largest body, in bytes.
    pub body_limit: Option<u64>,
    /// Who may write to which cell.
    pub gates: Arc<Gates>,
}

impl DavRequest {
    pub(super) fn new(app: &App, request: Request, named: Named) -> (Self, RequestBody) {
        let Request { method, headers, asked, access: context, body, .. } = request;
        let (unit, authority) = (Arc::clone(&app.unit), Arc::clone(&app.authority));
        let infinite_depth = app.config.webdav.infinite_depth;
        let body_limit = app.config.limits.request_body.limit();
        let gates = Arc::clone(app.transfers.gates());
        (Self { method, headers, asked, context, authority, named, unit, infinite_depth, body_limit, gates }, body)
    }

    /// A header as text; none where it is absent or not UTF-8.
    pub(super) fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok()).map(str::trim)
    }

    /// The URL of the resource, without a trailing slash.
    pub(super) fn url(&self) -> String {
        let Named { cell, box_name, path } = &self.named;
        self.asked.resource(cell, box_name, path)
    }

    /// The request in a cell of the unit: its own, or that of a destination.
    pub(super) fn access_in(&self, cell: &Cell) -> Result<Access, Problem> {
        Access::of(&self.authority, &self.context, cell, &self.asked, &self.headers)
    }

    /// Finds the cell and the box, and who asks.
    pub(super) fn admit(&self) -> Result<Subject, Problem> {
        let Named { cell, box_name, .. } = &self.named;
        let box_url = self.asked.cell_box(cell, box_name);
        let failed = |e| Problem::of_store(e, &box_url);
        let opened = self.unit.cell(cell).map_err(failed)?;
        let cell_box = opened.find_box(box_name).map_err(failed)?;
        let cell_box = cell_box.ok_or_else(|| failed(Error::BoxMissing))?;
        let access = self.access_in(&opened)?;
        Ok(self.subject(opened, cell_box, access))
    }

    /// What the request is about, in a cell and a box that have been found.
    pub(super) fn subject(&self, cell: Arc<Cell>, cell_box: CellBox, access: Access) -> Subject {
        let Named { box_name, path, .. } = &self.named;
        Subject {
            method: self.method.clone(),
            access,
            cell,
            cell_box,
            box_name: box_name.clone(),
            path: path.clone(),
            url: self.url(),
            asked: self.asked.clone(),
        }
    }
}

/// The resource of a request.
#[derive(Clone)]
pub(super) struct Subject {
    pub method: Method,
    pub access: Access,
    pub cell: Arc<Cell>,
    pub cell_box: CellBox,
    pub box_name: String,
    pub path: ResourcePath,
    /// Without a trailing slash.
    pub url: String,
    pub asked: Asked,
}

impl Subject {
    /// What an error of the store is to the client of this request.
    pub(super) fn problem(&self, error: Error) -> Problem {
        Problem::of_store(error, &self.url)
    }

    /// What the path leads to, for a caller who may do what the request asks for.
    pub(super) fn lookup(&self) -> Result<Lookup, Problem> {
        self.permitted(self.cell.lookup(&self.box_name, &self.path)).map_err(|e| self.problem(e))
    }

    /// Holds the caller against what a path was found to lead to. While the box is being installed, its own list counts.
    pub(super) fn permitted(&self, found: Stored<Lookup>) -> Stored<Lookup> {
        if self.access.is_unit_admin() {
            return found;
        }
        match found {
            Ok(lookup) => {
                self.cell.read(|view| self.access.permit(view, &lookup, self.method.as_str()))?;
                Ok(lookup)
            }
            Err(Error::Busy(what)) => {
                self.cell.read(|view| {
                    let root = view.resource(self.cell_box.id)?.ok_or(Error::Busy(what))?;
                    let lookup = Lookup { cell_box: self.cell_box.clone(), chain: vec![root], missing: 0 };
                    self.access.permit(view, &lookup, self.method.as_str())
                })?;
                Err(Error::Busy(what))
            }
            Err(e) => Err(e),
        }
    }

    /// What the path leads to, which must be something.
    pub(super) fn existing(&self) -> Result<(Lookup, Resource), Problem> {
        let lookup = self.lookup()?;
        match lookup.found().cloned() {
            Some(row) => Ok((lookup, row)),
            None => Err(self.problem(Error::Missing)),
        }
    }

    /// The refusal to create something whose parent is not there.
    pub(super) fn parent_missing(&self, lookup: &Lookup) -> Problem {
        parent_missing(&self.asked, self.cell.name(), &self.path, lookup)
    }
}

/// The refusal to put something below what is not there: it names the first collection that is missing.
pub(super) fn parent_missing(asked: &Asked, cell: &str, path: &ResourcePath, lookup: &Lookup) -> Problem {
    let there = lookup.chain.len() - 1;
    let first = if lookup.nearest().is_file() { there } else { there + 1 };
    let first = ResourcePath::from_segments(path.segments()[..first.min(path.depth())].to_vec());
    Problem::new(Code::ParentMissing).with(asked.resource(cell, &lookup.cell_box.name, &first))
}

/// Prepares a change in the blocking pool, hands it to the cell's writer, and waits for it without a thread.
pub(super) async fn change<O: Operation>(
    prepare: impl FnOnce() -> Result<(Subject, O), Problem> + Send + 'static,
) -> Result<(Subject, O::Output), Problem> {
    let (subject, answer) = run(move || {
        let (subject, operation) = prepare()?;
        let answer = subject.cell.submit(operation);
        Ok((subject, answer))
    })
    .await?;
    match received(answer.await) {
        Ok(output) => Ok((subject, output)),
        Err(e) => Err(subject.problem(e)),
    }
}
