//! A request with its body, as one job of the blocking pool takes it.
//!
//! The body is read only for the unit's administrator: nobody else gets as far as using it, and a refusal need not wait for it.

use std::sync::Arc;

use bytes::Bytes;
use http::header::ALLOW;
use http::{HeaderMap, Method};

use crate::snapshot::gate::Gates;
use crate::storage::unit::CellRecord;
use crate::storage::{Cell, Error, Unit};
use crate::web::Request;
use crate::web::auth::{AccessContext, Challenge, Place};
use crate::web::problem::{Code, Problem};
use crate::web::public_url::Asked;
use crate::web::request_body::RequestBody;
use crate::web::state::App;

/// The largest document that these endpoints take, in bytes.
const DOCUMENT_BYTES: u64 = 1 << 20;

/// A request for something of the unit or of a cell.
pub(super) struct Call {
    pub(super) unit: Arc<Unit>,
    pub(super) method: Method,
    /// The name of the cell; empty at the unit's level.
    pub(super) cell: String,
    /// The percent-encoded path below the cell or the unit.
    pub(super) rest: String,
    pub(super) asked: Asked,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) access: AccessContext,
    /// Empty for everybody but the unit's administrator.
    pub(super) body: Bytes,
    pub(super) path_based: bool,
    /// Who may write to which cell.
    pub(super) gates: Arc<Gates>,
}

impl Call {
    pub(super) async fn of(app: &App, request: Request) -> Result<Self, Problem> {
        let wanted = request.access.is_unit_admin() && !request.is_read();
        let (mut call, body) = Self::without_body(app, request);
        if wanted {
            call.body = body.read(DOCUMENT_BYTES).await?;
        }
        Ok(call)
    }

    /// A request whose body the caller reads in its own way.
    pub(super) fn without_body(app: &App, request: Request) -> (Self, RequestBody) {
        let call = Self {
            unit: Arc::clone(&app.unit),
            method: request.method,
            cell: request.target.cell.unwrap_or_default(),
            rest: request.target.rest,
            asked: request.asked,
            query: request.query,
            headers: request.headers,
            access: request.access,
            body: Bytes::new(),
            path_based: app.urls.path_based(),
            gates: Arc::clone(app.transfers.gates()),
        };
        (call, request.body)
    }

    /// The URL of the cell, or of the unit, with its trailing slash.
    pub(super) fn base_url(&self) -> String {
        if self.cell.is_empty() { self.asked.unit() } else { self.asked.cell(&self.cell) }
    }

    pub(super) fn challenge(&self, place: Place) -> Challenge {
        Challenge::new(place, self.base_url(), &self.headers)
    }

    /// Lets only the unit's administrator pass.
    pub(super) fn require_unit(&self, place: Place) -> Result<(), Problem> {
        self.access.require_unit(&self.challenge(place))
    }

    /// What the unit knows about the cell; 404 where there is none.
    pub(super) fn record(&self) -> Result<CellRecord, Problem> {
        self.unit.record(&self.cell).map_err(|e| self.failed(e))?.ok_or_else(|| Code::CellNotFound.into())
    }

    pub(super) fn open(&self) -> Result<Arc<Cell>, Problem> {
        self.unit.cell(&self.cell).map_err(|e| self.failed(e))
    }

    /// The problem that an error of the store is for this request.
    pub(super) fn failed(&self, error: Error) -> Problem {
        Problem::of_store(error, &format!("{}{}", self.base_url(), self.rest))
    }

    /// The refusal of a method that the resource does not have.
    pub(super) fn not_allowed(methods: &'static str) -> Problem {
        Problem::new(Code::MethodNotAllowed).header(ALLOW, methods)
    }
}
