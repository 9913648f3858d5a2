//! Tells the rules of a cell what was done to something in its boxes: `davfile.create`, `webdavcol.delete`, `box.acl`.
//!
//! Most cells have no rule that could match; that is remembered for a moment, and then this costs nothing. A rule that another
//! process makes is noticed after that moment.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, StatusCode};

use super::App;
use crate::dav::{Named, PutAgain};
use crate::domain::event::{Event, EventLog, LOCAL_CELL};
use crate::storage::database::Kind;
use crate::storage::{Cell, Unit};
use crate::web::auth::AccessContext;
use crate::web::authority::{Access, Authority};
use crate::web::problem::Problem;
use crate::web::public_url::Asked;
use crate::web::recallable::Recallable;
use crate::web::{Request, Response, blocking};

/// A request that rules want to know of, without its body.
pub(super) struct Told {
    unit: Arc<Unit>,
    events: Arc<EventLog>,
    authority: Arc<Authority>,
    method: Method,
    named: Named,
    /// The path below the cell, as it was asked for.
    path: String,
    key: String,
    headers: HeaderMap,
    asked: Asked,
    context: AccessContext,
    /// What the path led to before.
    before: Option<Kind>,
}

impl Told {
    /// None where no rule of the cell could match.
    pub(super) async fn of(app: &App, request: &Request, named: &Named) -> Option<Self> {
        verb(&request.method, StatusCode::OK)?;
        let installs = request.method.as_str() == "MKCOL" && request.headers.contains_key(CONTENT_TYPE);
        if app.event_log.is_quiet(&named.cell) || (named.path.is_root() && installs) {
            return None;
        }
        let mut told = Self {
            unit: app.unit.clone(),
            events: app.event_log.clone(),
            authority: app.authority.clone(),
            method: request.method.clone(),
            named: named.clone(),
            path: request.target.rest.trim_end_matches('/').to_owned(),
            key: request.key.clone(),
            headers: request.headers.clone(),
            asked: request.asked.clone(),
            context: request.access.clone(),
            before: None,
        };
        let looked = blocking::run(move || {
            let Ok(cell) = told.unit.cell(&told.named.cell) else { return Ok(None) };
            if !told.events.watches(&cell).unwrap_or(false) {
                return Ok(None);
            }
            told.before = told.kind(&cell);
            Ok(Some(told))
        });
        looked.await.ok().flatten()
    }

    fn kind(&self, cell: &Cell) -> Option<Kind> {
        cell.lookup(&self.named.box_name, &self.named.path).ok()?.found().map(|row| row.kind)
    }

    /// Passes an answer on; one that did something is told of first.
    pub(super) async fn about(self, answer: Result<Response, Problem>) -> Result<Response, Problem> {
        let mut answer = answer?;
        // What is given again without asking would not be told of.
        answer.extensions_mut().remove::<Arc<Recallable>>();
        answer.extensions_mut().remove::<Arc<PutAgain>>();
        let status = answer.status();
        if status.as_u16() < 400 {
            blocking::run(move || {
                self.publish(status);
                Ok(())
            })
            .await?;
        }
        Ok(answer)
    }

    fn publish(&self, status: StatusCode) {
        let Some(verb) = verb(&self.method, status) else { return };
        let Ok(cell) = self.unit.cell(&self.named.cell) else { return };
        let Ok(access) = Access::of(&self.authority, &self.context, &cell, &self.asked, &self.headers) else { return };
        let kind = self.before.or_else(|| self.kind(&cell));
        let of = match kind {
            _ if self.named.path.is_root() => "box",
            Some(Kind::Collection) => "webdavcol",
            Some(Kind::OData) => "odatacol",
            Some(Kind::Service) => "servicecol",
            Some(Kind::Stream) => "streamcol",
            Some(Kind::File) | None => "davfile",
        };
        let event = Event {
            external: false,
            schema: access.schema(),
            subject: access.subject(),
            event_type: format!("{of}.{verb}"),
            object: Some(format!("{LOCAL_CELL}{}", self.path)),
            info: Some(status.as_u16().to_string()),
        };
        self.events.publish(&cell, &self.key, &[event], &self.asked.cell(cell.name()), false);
    }
}

/// What a method does, as types of events have it.
fn verb(method: &Method, status: StatusCode) -> Option<&'static str> {
    Some(match method.as_str() {
        "GET" => "get",
        "PUT" if status == StatusCode::CREATED => "create",
        "PUT" | "PATCH" => "update",
        "MKCOL" => "create",
        "DELETE" => "delete",
        "MOVE" => "move",
        "COPY" => "copy",
        "PROPFIND" => "propfind",
        "PROPPATCH" => "proppatch",
        "ACL" => "acl",
        _ => return None,
    })
}
