//! COPY (RFC 4918 section 9.8): built aside from one moment of the source, then there at once; to any cell of the unit.

use std::sync::Arc;

use super::gate::Gate;
use super::subject::{DavRequest, Subject};
use super::transfer::{Transfer, takes_members};
use crate::domain::lock::Reach;
use crate::storage::database::cell_box::Lookup;
use crate::storage::operation::Guard;
use crate::storage::operation::copy::{Extent, copy as copy_resource};
use crate::storage::{Cell, Error};
use crate::web::Response;
use crate::web::problem::Problem;

pub(super) fn copy(request: &DavRequest) -> Result<Response, Problem> {
    let subject = request.admit()?;
    subject.existing()?;
    let extent = if takes_members(request, true)? { Extent::Tree } else { Extent::Alone };
    let transfer = Transfer::of(request)?;
    let _writing = transfer.enter(request, &subject)?;
    let target = transfer.target(request, &subject)?;
    let from = fresh(&subject, extent == Extent::Tree)?;
    subject.cell.read(|view| subject.access.permit_tree(view, &from)).map_err(|e| subject.problem(e))?;
    let gate = Gate::for_cell(request, &target)?;
    gate.entity(&from)?;
    let guard = guard(&subject, &from, &target, &transfer, gate)?;
    let outcome =
        copy_resource(&subject.cell, &from, &target, transfer.place.clone(), transfer.overwrite, extent, guard)
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
    gate: Gate,
) -> Result<Guard, Problem> {
    let kind = from.nearest().kind;
    let same_cell = Arc::ptr_eq(&subject.cell, target);
    let above: Vec<i64> = if same_cell { from.chain.iter().map(|r| r.id).collect() } else { Vec::new() };
    let (asked, within) = (subject.asked.clone(), transfer.clone());
    let mut guard: Guard = Box::new(move |view, to| {
        if to.missing == 0 && above.contains(&to.nearest().id) {
            return Err(Error::SameResource);
        }
        gate.permit_arrival(view, to)?;
        gate.header(view)?;
        within.arrival(&asked, kind, to)?;
        gate.locks(view, to, Reach::Place)
    });
    let to = target.lookup(&transfer.place.box_name, &transfer.place.path);
    let seen = to.and_then(|to| target.read(|view| guard(view, &to)));
    seen.map_err(|e| transfer.problem(subject, e))?;
    Ok(guard)
}
