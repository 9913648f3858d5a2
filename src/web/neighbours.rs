//! The cells of the unit as each other's neighbours: whether one may tell another of events.
//!
//! Who caused an event comes to the other cell as with a token for it: with the roles that the account has at home, or as a visitor from
//! there. Nobody has more there because a rule acts for them: what is nobody's in particular, such as what the unit's administrator
//! does, the cell tells itself, with what any visitor from it may.

use std::sync::Arc;

use http::HeaderMap;

use super::abroad::abroad;
use super::auth::AccessContext;
use super::authority::{Access, Authority};
use super::public_url::{Asked, PublicUrls, local_cell};
use crate::domain::access::Place;
use crate::domain::acl::Privilege;
use crate::domain::event::{Admitted, Event, LOCAL_CELL, Neighbours, NotAdmitted};
use crate::domain::token::{Claims, Kind, Subject};
use crate::storage::database::control::ObjectKind;
use crate::storage::{Cell, Error, Result as Stored, Unit};

/// How long it may take to ask, in seconds.
const SECONDS: i64 = 60;

/// The cells of the unit.
#[derive(Debug)]
pub struct UnitCells {
    pub unit: Arc<Unit>,
    pub authority: Arc<Authority>,
    pub urls: PublicUrls,
}

impl Neighbours for UnitCells {
    fn admit(&self, from: &Cell, from_url: &str, target: &str, event: &Event) -> Result<Admitted, NotAdmitted> {
        let asked = self.urls.of_cell(from_url).ok_or(NotAdmitted::NoNeighbour)?;
        let name = if target == LOCAL_CELL { Some(from.name().to_owned()) } else { asked.cell_of_url(target) };
        let name = name.ok_or(NotAdmitted::NoNeighbour)?;
        let known = self.unit.record(&name).map_err(NotAdmitted::Failed)?;
        known.ok_or(NotAdmitted::NoNeighbour)?;
        let cell = self.unit.cell(&name).map_err(NotAdmitted::Failed)?;
        let context = visit(from, from_url, &cell, &asked, event).map_err(NotAdmitted::Failed)?;
        let denied = || NotAdmitted::Denied(event.subject.clone().unwrap_or_else(|| from_url.to_owned()));
        let access = Access::of(&self.authority, &context, &cell, &asked, &HeaderMap::new()).map_err(|_| denied())?;
        match cell.read(|view| access.permit_place(view, Place::Event, "POST")) {
            Ok(()) => Ok(Admitted { url: asked.cell(&name), cell }),
            Err(Error::Refused(_)) => Err(denied()),
            Err(e) => Err(NotAdmitted::Failed(e)),
        }
    }
}

/// How the subject of an event, or else its cell, comes to another cell.
fn visit(from: &Cell, from_url: &str, to: &Cell, asked: &Asked, event: &Event) -> Stored<AccessContext> {
    let subject = event.subject.as_deref().unwrap_or(from_url);
    let claims = from.read(|view| {
        let account = match subject.strip_prefix(from_url).and_then(|below| below.strip_prefix('#')) {
            Some(name) => view.object(ObjectKind::Account, name, 0)?,
            None => None,
        };
        let visitor = match account {
            Some(account) => abroad(view, asked, from.name(), &Subject::Account(account.id, account.name))?,
            None => Subject::Foreign {
                subject: asked.local(subject),
                issuer: local_cell(from.name()),
                roles: Vec::new(),
                local: Vec::new(),
            },
        };
        Ok(Claims {
            schema: event.schema.clone(),
            scope: Privilege::Root.name().to_owned(),
            target: Some(local_cell(to.name())),
            ..Claims::new(&view.meta_text("uuid")?.unwrap_or_default(), visitor, SECONDS)
        })
    })?;
    Ok(AccessContext::Token(Arc::new((Kind::Transcell, claims))))
}
