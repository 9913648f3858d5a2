//! COPY (RFC 4918 section 9.8): built aside from one moment of the source, then there at once; to any cell of the unit.

use std::sync::Arc;

use super::conditions::check;
use super::subject::{DavRequest, Subject};
use super::transfer::{Transfer, takes_members};
use crate::storage::database::cell_box::Lookup;
use crate::storage::operation::Guard;
use crate::storage::operation::copy::copy as copy_resource;
use crate::storage::{Cell, Error};
use crate::web::Response;
use crate::web::conditional::Conditions;
use crate::web::problem::Problem;

pub(super) fn copy(request: &DavRequest) -> Result<Response, Problem> {
    let subject = request.admit()?;
    subject.existing()?;
    let members = takes_members(request, true)?;
    let transfer = Transfer::of(request)?;
    let target = transfer.target(request, &subject)?;
    let from = fresh(&subject, members)?;
    check(&Conditions::of(&request.headers), &from)?;
    let guard = guard(&subject, &from, &target, &transfer)?;
    let outcome =
        copy_resource(&subject.cell, &from, &target, transfer.place.clone(), transfer.overwrite, members, guard)
            .map_err(|e| transfer.problem(&subject, e))?;
    Ok(transfer.respond(&outcome))
}

/// The source, its rows and directories brought to agree.
pub(super) fn fresh(subject: &Subject, members: bool) -> Result<Lookup, Problem> {
    let (cell, name, path) = (&subject.cell, &subject.box_name, &subject.path);
    let from = if members { cell.refresh_tree(name, path) } else { cell.lookup(name, path) };
    let from = from.map_err(|e| subject.problem(e))?;
    if from.missing > 0 { Err(subject.problem(Error::Missing)) } else { Ok(from) }
}

/// What must hold when the copy appears. Refuses at once what can be seen now.
pub(super) fn guard(
    subject: &Subject,
    from: &Lookup,
    target: &Arc<Cell>,
    transfer: &Transfer,
) -> Result<Guard, Problem> {
    let kind = from.nearest().kind;
    let same_cell = Arc::ptr_eq(&subject.cell, target);
    let above: Vec<i64> = if same_cell { from.chain.iter().map(|r| r.id).collect() } else { Vec::new() };
    let (asked, within) = (subject.asked.clone(), transfer.clone());
    let mut guard: Guard = Box::new(move |_, to| {
        if to.missing == 0 && above.contains(&to.nearest().id) {
            return Err(Error::SameResource);
        }
        within.arrival(&asked, kind, to)
    });
    let to = target.lookup(&transfer.place.box_name, &transfer.place.path);
    let seen = to.and_then(|to| target.read(|view| guard(view, &to)));
    seen.map_err(|e| transfer.problem(subject, e))?;
    Ok(guard)
}
