//! MOVE (RFC 4918 section 9.9): one rename within a cell; to another cell see [`super::move_across`].

use super::gate::Gate;
use super::move_across::move_across;
use super::subject::{DavRequest, Subject, change};
use super::transfer::{Transfer, takes_members};
use crate::domain::lock::Reach;
use crate::domain::resource::may_leave;
use crate::storage::Error;
use crate::storage::operation::move_to::{MoveGuard, MoveTo, Place};
use crate::web::Response;
use crate::web::blocking::run;
use crate::web::problem::{Code, Problem};

pub(super) async fn move_to(request: DavRequest) -> Result<Response, Problem> {
    let (request, subject, transfer) = run(move || {
        let subject = request.admit()?;
        let (from, source) = subject.existing()?;
        may_leave(&from)?;
        takes_members(&request, false)?;
        let transfer = Transfer::of(&request)?;
        Gate::of(&request, &subject)?.entity(&from)?;
        let target = transfer.target(&request, &subject)?;
        let to = target.lookup(&transfer.place.box_name, &transfer.place.path);
        let gate = Gate::for_cell(&request, &target)?;
        to.and_then(|to| {
            target.read(|view| gate.permit_arrival(view, &to))?;
            transfer.arrival(&subject.asked, source.kind, &to)
        })
        .map_err(|e| transfer.problem(&subject, e))?;
        Ok((request, subject, transfer))
    })
    .await?;
    if transfer.cell != subject.cell.name() {
        return run(move || move_across(&request, &subject, &transfer)).await;
    }
    let answer = transfer.clone();
    let (_, outcome) = change(move || {
        let operation = MoveTo {
            from: Place { box_name: subject.box_name.clone(), path: subject.path.clone() },
            to: transfer.place.clone(),
            overwrite: transfer.overwrite,
            guard: guard(&request, &subject, transfer)?,
        };
        Ok((subject, operation))
    })
    .await
    .map_err(|problem| if problem.code() == Code::DestinationIsSource { answer.source_refused() } else { problem })?;
    Ok(answer.respond(&outcome))
}

fn guard(request: &DavRequest, subject: &Subject, transfer: Transfer) -> Result<MoveGuard, Problem> {
    let gate = Gate::of(request, subject)?;
    let asked = request.asked.clone();
    Ok(Box::new(move |view, from, to| {
        gate.permit(view, from)?;
        gate.permit_arrival(view, to)?;
        let source = from.found().ok_or(Error::Missing)?;
        may_leave(from).map_err(Problem::from)?;
        gate.conditions(view, from)?;
        transfer.arrival(&asked, source.kind, to)?;
        gate.locks(view, from, Reach::Place)?;
        gate.locks(view, to, Reach::Place)
    }))
}
