//! MOVE to another cell: a COPY, then a DELETE of exactly what was copied.
//!
//! What changed in the source meanwhile stays: then the copy is taken back and the client is told to try again. Of the access
//! control lists only what the other cell can mean could go along; all of them stay behind.

use super::conditions::check;
use super::copy::{fresh, guard};
use super::subject::{DavRequest, Subject};
use super::transfer::Transfer;
use crate::domain::resource::may_leave;
use crate::storage::operation::Guard;
use crate::storage::operation::copy::copy;
use crate::storage::operation::delete::Delete;
use crate::storage::operation::move_to::MoveOutcome;
use crate::storage::{Cell, Error};
use crate::web::Response;
use crate::web::conditional::Conditions;
use crate::web::problem::{Code, Problem};

/// Blocks while everything is copied.
pub(super) fn move_across(request: &DavRequest, subject: &Subject, transfer: &Transfer) -> Result<Response, Problem> {
    let target = transfer.target(request, subject)?;
    let from = fresh(subject, true)?;
    may_leave(&from)?;
    let conditions = Conditions::of(&request.headers);
    check(&conditions, &from)?;
    let id = from.nearest().id;
    let before = subject.cell.read(|v| v.fingerprint(id)).map_err(|e| subject.problem(e))?;
    let arrival = guard(subject, &from, &target, transfer)?;
    let outcome = copy(&subject.cell, &from, &target, transfer.place.clone(), transfer.overwrite, true, arrival)
        .map_err(|e| transfer.problem(subject, e))?;
    let unchanged: Guard = Box::new(move |view, lookup| {
        let same = lookup.found().is_some_and(|row| row.id == id) && view.fingerprint(id)? == before;
        if same { Ok(()) } else { Err(Problem::new(Code::ConcurrentChange).into()) }
    });
    let (box_name, path) = (subject.box_name.clone(), subject.path.clone());
    if let Err(e) = subject.cell.change(Delete { box_name, path, recursive: true, guard: unchanged }) {
        take_back(&target, transfer, &outcome);
        return Err(subject.problem(e));
    }
    Ok(transfer.respond(&outcome))
}

/// Removes the copy unless somebody has changed it.
fn take_back(target: &Cell, transfer: &Transfer, outcome: &MoveOutcome) {
    let (id, etag) = (outcome.resource.id, outcome.resource.etag());
    let guard: Guard = Box::new(move |_, lookup| match lookup.found() {
        Some(row) if row.id == id && row.etag() == etag => Ok(()),
        _ => Err(Error::Precondition),
    });
    let place = transfer.place.clone();
    let removed = target.change(Delete { box_name: place.box_name, path: place.path, recursive: true, guard });
    if let Err(e) = removed {
        tracing::warn!(
            error = &e as &dyn std::error::Error,
            url = transfer.url,
            "a copy is left of a move that failed"
        );
    }
}
