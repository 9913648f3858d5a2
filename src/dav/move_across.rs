//! MOVE to another cell: a COPY, then a DELETE of exactly what was copied, while a lock of nobody's keeps the source as it is.
//!
//! What changes in it all the same, by hand on the disk, stays: then the copy is taken back and the client is told to try
//! again. Of the access control lists, entries for roles stay behind: the other cell has none of them.

use super::copy::{fresh, guard};
use super::gate::Gate;
use super::subject::{DavRequest, Subject};
use super::transfer::Transfer;
use crate::base::clock::now_ms;
use crate::base::id::urn_uuid;
use crate::domain::lock::Reach;
use crate::domain::resource::may_leave;
use crate::storage::database::lock::Lock;
use crate::storage::operation::Guard;
use crate::storage::operation::copy::{Extent, copy};
use crate::storage::operation::delete::Delete;
use crate::storage::operation::lock::TakeLock;
use crate::storage::operation::move_to::MoveOutcome;
use crate::storage::writer::{Change, Context};
use crate::storage::{Cell, Error};
use crate::web::Response;
use crate::web::problem::{Code, Problem};

/// How long the source stays locked if this process dies before it has moved, in milliseconds.
const HELD_MS: i64 = 600_000;

/// Whose lock that is: no client is called so.
const NOBODY: &str = "";

/// Blocks while everything is copied.
pub(super) fn move_across(request: &DavRequest, subject: &Subject, transfer: &Transfer) -> Result<Response, Problem> {
    let _writing = transfer.enter(request, subject)?;
    let target = transfer.target(request, subject)?;
    let _held = Hold::take(request, subject)?;
    let from = fresh(subject, true)?;
    subject.cell.read(|view| subject.access.permit_tree(view, &from)).map_err(|e| subject.problem(e))?;
    let id = from.nearest().id;
    let before = subject.cell.read(|v| v.fingerprint(id)).map_err(|e| subject.problem(e))?;
    let arrival = guard(subject, &from, &target, transfer, Gate::for_cell(request, &target)?)?;
    let outcome =
        copy(&subject.cell, &from, &target, transfer.place.clone(), transfer.overwrite, Extent::TreeAndLists, arrival)
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

/// A lock on the source that no client has the token of. It goes with the source or with this value.
struct Hold<'s> {
    cell: &'s Cell,
    token: String,
}

impl<'s> Hold<'s> {
    /// Locks the source if the request may move it.
    fn take(request: &DavRequest, subject: &'s Subject) -> Result<Self, Problem> {
        let gate = Gate::of(request, subject)?;
        let guard = gate.guard_existing(Reach::Place, |from| Ok(may_leave(from)?));
        let lock = Lock {
            token: urn_uuid(),
            id: 0,
            infinite: true,
            shared: false,
            owner: None,
            principal: NOBODY.to_owned(),
            expires_ms: now_ms() + HELD_MS,
        };
        let token = lock.token.clone();
        let (box_name, path) = (subject.box_name.clone(), subject.path.clone());
        let take = TakeLock { box_name, path, lock, file: None, guard };
        subject.cell.change(take).map_err(|e| subject.problem(e))?;
        Ok(Self { cell: &subject.cell, token })
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let token = self.token.clone();
        let released = self.cell.change(Change(move |ctx: &Context<'_>| ctx.tx.remove_lock(&token)));
        if let Err(e) = released {
            tracing::warn!(error = &e as &dyn std::error::Error, "a lock is left of a move until it expires");
        }
    }
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
