//! A request with its body, as one job of the blocking pool takes it.
//!
//! The body is read only for those who have credentials that may be good: nobody else gets as far as using it, and a refusal need
//! not wait for it.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::header::ALLOW;
use http::{HeaderMap, Method, StatusCode};

use super::form::Form;
use crate::bar::install::Installer;
use crate::domain::access;
use crate::domain::event::{Event, EventLog, LOCAL_CELL};
use crate::snapshot::gate::Gates;
use crate::snapshot::transfers::Transfers;
use crate::storage::database::View;
use crate::storage::unit::CellRecord;
use crate::storage::{Cell, Error, Unit};
use crate::web::Request;
use crate::web::auth::{AccessContext, Challenge, Place};
use crate::web::authority::{Access, Authority};
use crate::web::problem::{Code, Problem};
use crate::web::public_url::Asked;
use crate::web::request_body::RequestBody;
use crate::web::state::App;

/// The largest document that these endpoints take, in bytes.
const DOCUMENT_BYTES: u64 = 1 << 20;

/// What a request needs, to be asked where the answer is final.
pub(super) struct Permission {
    access: Access,
    places: Vec<access::Place>,
    method: Method,
}

impl Permission {
    pub(super) fn ask(&self, view: &View<'_>) -> crate::storage::Result<()> {
        self.places.iter().try_for_each(|place| self.access.permit_place(view, *place, self.method.as_str()))
    }
}

/// A request for something of the unit or of a cell.
pub(super) struct Call {
    pub(super) unit: Arc<Unit>,
    pub(super) authority: Arc<Authority>,
    events: Arc<EventLog>,
    /// The request's key.
    key: String,
    /// The request in its cell, once that was asked for.
    entered: OnceLock<Access>,
    pub(super) method: Method,
    /// The name of the cell; empty at the unit's level.
    pub(super) cell: String,
    /// The percent-encoded path below the cell or the unit.
    pub(super) rest: String,
    pub(super) asked: Asked,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) access: AccessContext,
    /// The client's address.
    pub(super) from: IpAddr,
    /// Empty for those who have no credentials, or bad ones.
    pub(super) body: Bytes,
    pub(super) path_based: bool,
    /// Who may write to which cell.
    pub(super) gates: Arc<Gates>,
    pub(super) transfers: Arc<Transfers>,
    pub(super) installer: Arc<Installer>,
}

impl Call {
    pub(super) async fn of(app: &App, request: Request) -> Result<Self, Problem> {
        let brings = request.access.may_be_somebody() && !request.is_read();
        Self::read(app, request, brings.then_some(DOCUMENT_BYTES)).await
    }

    /// A request that may bring a form of at most so many bytes, whoever sends it.
    pub(super) async fn with_form(app: &App, request: Request, limit: u64) -> Result<(Self, Form), Problem> {
        let brings = request.method == Method::POST;
        let call = Self::read(app, request, brings.then_some(limit)).await?;
        let form = Form::parse(&call.body);
        Ok((call, form))
    }

    async fn read(app: &App, request: Request, limit: Option<u64>) -> Result<Self, Problem> {
        let (mut call, body) = Self::without_body(app, request);
        if let Some(limit) = limit {
            call.body = body.read(limit).await?;
        }
        Ok(call)
    }

    /// A request whose body the caller reads in its own way.
    pub(super) fn without_body(app: &App, request: Request) -> (Self, RequestBody) {
        let call = Self {
            unit: Arc::clone(&app.unit),
            authority: Arc::clone(&app.authority),
            events: Arc::clone(&app.event_log),
            key: request.key,
            entered: OnceLock::new(),
            method: request.method,
            cell: request.target.cell.unwrap_or_default(),
            rest: request.target.rest,
            asked: request.asked,
            query: request.query,
            headers: request.headers,
            access: request.access,
            from: request.from,
            body: Bytes::new(),
            path_based: app.urls.path_based(),
            gates: Arc::clone(app.transfers.gates()),
            transfers: Arc::clone(&app.transfers),
            installer: Arc::clone(&app.installer),
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

    /// Lets only the unit's administrator and its users pass.
    pub(super) fn require_unit(&self, place: Place) -> Result<(), Problem> {
        self.access.require_unit(&self.challenge(place))
    }

    /// Whose cells alone count for the request; none of the administrators, for whom all do.
    pub(super) fn limited_to(&self) -> Option<&str> {
        self.access.unit_user().filter(|user| !user.admin).map(|user| user.subject.as_str())
    }

    /// Refuses a unit user what is done to the cell of somebody else.
    pub(super) fn require_owner(&self, record: &CellRecord) -> Result<(), Problem> {
        let may = self.access.unit_user().is_none_or(|user| user.owns(record.owner.as_deref()));
        if may { Ok(()) } else { Err(Code::NotTheOwner.into()) }
    }

    /// Makes a cell, which belongs to the unit user who asks, if it is one.
    pub(super) fn create_cell(&self, name: &str) -> crate::storage::Result<CellRecord> {
        self.unit.create_cell_of(name, self.access.unit_user().map(|user| user.subject.as_str()))
    }

    /// The request in its cell, to be let in or not.
    pub(super) fn access_in(&self, cell: &Cell) -> Result<&Access, Problem> {
        if let Some(access) = self.entered.get() {
            return Ok(access);
        }
        let access = Access::of(&self.authority, &self.access, cell, &self.asked, &self.headers)?;
        Ok(self.entered.get_or_init(|| access))
    }

    /// A request of nobody in the cell.
    pub(super) fn anonymous_in(&self, cell: &Cell) -> Result<Access, Problem> {
        Access::of(&self.authority, &AccessContext::Anonymous, cell, &self.asked, &self.headers)
    }

    /// Lets those pass who may do what the request's method does to a place of the cell.
    pub(super) fn permit(&self, place: access::Place) -> Result<(), Problem> {
        if self.access.is_unit_admin() {
            return Ok(());
        }
        let cell = self.open()?;
        let access = self.access_in(&cell)?;
        let permitted = cell.read(|view| access.permit_place(view, place, self.method.as_str()));
        permitted.map_err(|e| self.failed(e))
    }

    /// Lets everybody pass whose credentials are good in the cell.
    pub(super) fn require_login(&self) -> Result<(), Problem> {
        if self.access.is_unit_admin() {
            return Ok(());
        }
        let cell = self.open()?;
        let access = self.access_in(&cell)?;
        let permitted = cell.read(|view| access.permit_place(view, access::Place::MyPassword, "PUT"));
        permitted.map_err(|e| self.failed(e))
    }

    /// What the request needs of some places, to be asked once more inside its transaction.
    pub(super) fn permission(&self, places: &[access::Place]) -> Result<Permission, Problem> {
        let cell = self.open()?;
        let access = self.access_in(&cell)?.clone();
        Ok(Permission { access, places: places.to_vec(), method: self.method.clone() })
    }

    /// Tells the rules of the cell what was done: an event of the server's own, with the status as its info. `path` is the object's,
    /// below the cell.
    pub(super) fn announce(&self, event_type: String, path: &str, status: StatusCode) {
        let Ok(cell) = self.open() else { return };
        let Ok(access) = self.access_in(&cell) else { return };
        let event = Event {
            external: false,
            schema: access.schema(),
            subject: access.subject(),
            event_type,
            object: Some(format!("{LOCAL_CELL}{path}")),
            info: Some(status.as_u16().to_string()),
        };
        self.events.publish(&cell, &self.key, &[event], &self.base_url(), false);
    }

    /// Tells the rules of the cell of a login there. Who sent the request does not matter: the login says who it is.
    pub(super) fn announce_login(
        &self,
        cell: &Cell,
        event_type: String,
        subject: Option<String>,
        schema: Option<String>,
        status: StatusCode,
    ) {
        let (object, info) = (Some(format!("{LOCAL_CELL}{}", self.rest)), Some(status.as_u16().to_string()));
        let event = Event { external: false, schema, subject, event_type, object, info };
        self.events.publish(cell, &self.key, &[event], &self.base_url(), false);
    }

    /// Tells the rules of the cell what the caller says has happened.
    pub(super) fn tell(&self, event_type: String, object: Option<String>, info: Option<String>) -> Result<(), Problem> {
        let cell = self.open()?;
        let access = self.access_in(&cell)?;
        let (schema, subject) = (access.schema(), access.subject());
        let event = Event { external: true, schema, subject, event_type, object, info };
        self.events.publish(&cell, &self.key, &[event], &self.base_url(), false);
        Ok(())
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
