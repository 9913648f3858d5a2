//! MKCOL with a bar: the box is installed while the client already has its answer.
//!
//! The body goes to a nameless file as it comes in, never to memory. What is too large is refused as soon as that is known.

use std::fs::File;
use std::sync::Arc;

use http::StatusCode;
use http::header::LOCATION;

use super::Asked;
use crate::bar::install::{Accepted, InstallRequest, Installer, PrepareError, request_event};
use crate::bar::refusal::Refusal;
use crate::domain::access::Place;
use crate::domain::event::EventLog;
use crate::storage::Cell;
use crate::web::problem::{Code, Problem};
use crate::web::request_body::{Pieces, RequestBody};
use crate::web::{Response, blocking, response};

/// What an installation needs of the running server.
pub(super) struct Means {
    pub(super) installer: Arc<Installer>,
    pub(super) log: Arc<EventLog>,
    /// Bytes of a bar.
    pub(super) bar_size: u64,
}

/// Answers the request and says in the event log that it was made.
pub(super) async fn install(
    means: Means,
    cell: Arc<Cell>,
    asked: Asked,
    key: String,
    body: RequestBody,
) -> Result<Response, Problem> {
    let (installer, box_name) = (means.installer.clone(), asked.named.box_name.clone());
    let cell_url = asked.cell_url.clone();
    let prepared = prepare(means.installer, cell.clone(), asked, key.clone(), means.bar_size, body).await;
    let (status, everything) = match &prepared {
        Ok((_, accepted)) => (StatusCode::ACCEPTED, accepted.logs_everything()),
        Err(problem) => (problem.status(), false),
    };
    let log = means.log;
    let refused = prepared.is_err();
    blocking::run(move || {
        let everything = everything || (refused && log.installs_everything(&cell).unwrap_or(false));
        let event = request_event(&box_name, status.as_u16(), (None, None));
        log.publish(&cell, &key, &[event], &cell_url, everything);
        Ok(())
    })
    .await?;
    let (url, accepted) = prepared?;
    installer.enqueue(accepted);
    let mut response = response::empty(StatusCode::ACCEPTED);
    if let Ok(location) = url.parse() {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// Says in the event log that a request for an installation was refused before its body mattered.
pub(super) async fn refused(
    log: Arc<EventLog>,
    cell: Arc<Cell>,
    asked: Asked,
    key: String,
    problem: Problem,
) -> Problem {
    let status = problem.status().as_u16();
    let said = blocking::run(move || {
        let everything = log.installs_everything(&cell).unwrap_or(false);
        let event = request_event(&asked.named.box_name, status, (None, None));
        log.publish(&cell, &key, &[event], &asked.cell_url, everything);
        Ok(())
    });
    // The refusal stands, whatever becomes of the log.
    drop(said.await);
    problem
}

async fn prepare(
    installer: Arc<Installer>,
    cell: Arc<Cell>,
    asked: Asked,
    key: String,
    bar_size: u64,
    body: RequestBody,
) -> Result<(String, Accepted), Problem> {
    if let Some(length) = body.length().filter(|length| *length > bar_size) {
        return Err(Problem::new(Code::BarTooLarge).with(length));
    }
    body.feed(None, move |pieces| {
        let bar = receive(&cell, pieces, bar_size).map_err(|e| match e {
            Received::Refused(problem) => problem,
            Received::Failed(e) => asked.problem(e),
        })?;
        let request = InstallRequest {
            box_name: asked.named.box_name.clone(),
            bar,
            request_key: key,
            cell_urls: asked.cell_forms.clone(),
        };
        let permission = asked.permission(&cell, Place::FreeBox)?;
        let accepted = installer.prepare_if(cell, request, permission).map_err(|e| match e {
            PrepareError::Refused(refusal) => problem_of(&refusal),
            PrepareError::Store(e) => asked.problem(e),
        })?;
        Ok((asked.url, accepted))
    })
    .await?
}

enum Received {
    Refused(Problem),
    Failed(crate::storage::Error),
}

/// Takes the whole body into a file without a name.
fn receive(cell: &Cell, pieces: Pieces, bar_size: u64) -> Result<File, Received> {
    let mut upload = cell.upload();
    for piece in pieces {
        let piece = piece.map_err(|e| Received::Refused(e.into()))?;
        upload.write(&piece).map_err(Received::Failed)?;
        if upload.size() > bar_size {
            return Err(Received::Refused(Problem::new(Code::BarTooLarge).with(upload.size())));
        }
    }
    upload.into_nameless().map_err(Received::Failed)
}

/// A refusal of the inspection, whose texts are its own.
fn problem_of(refusal: &Refusal) -> Problem {
    match Code::of(refusal.code()) {
        Some(code) => Problem::new(code).saying(refusal.message()),
        None => Problem::internal(refusal),
    }
}
