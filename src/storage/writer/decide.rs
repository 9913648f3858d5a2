//! The decisions of a batch, one after the other in its transaction.

use super::batch::{Done, Planned, again, run};
use super::context::Context;
use super::{Plan, Queued};
use crate::storage::error::{Error, Result};

/// Lets operations decide in their order. After a failure none of them has an effect.
pub(super) fn decide_all(
    ctx: &Context<'_>,
    batch: Vec<Box<dyn Queued>>,
    planned: &mut Vec<Planned>,
    done: &mut Done,
) -> Result<()> {
    let mut batch = batch.into_iter();
    while let Some(mut operation) = batch.next() {
        match decide_one(ctx, operation.as_mut()) {
            Ok((plan, seq)) => planned.push(Planned { operation, plan, seq }),
            Err(e) if e.is_failure() => {
                for rest in std::iter::once(operation).chain(batch) {
                    done.push((rest, Err(again(&e))));
                }
                return Err(e);
            }
            Err(e) => done.push((operation, Err(e))),
        }
    }
    Ok(())
}

/// One operation under a savepoint of its own.
fn decide_one(ctx: &Context<'_>, operation: &mut dyn Queued) -> Result<(Plan, i64)> {
    let tx = ctx.tx;
    let before = tx.counters();
    let goes_back = !operation.refuses_first();
    let run = |sql: &str| run(tx.conn(), sql).map_err(Error::database("savepoint"));
    if goes_back {
        run("SAVEPOINT operation")?;
    }
    let seq = tx.next_seq();
    let decided = operation.decide(ctx);
    if !operation.keeps_places() || tx.seq() != seq {
        ctx.places.borrow_mut().clear();
    }
    if goes_back && decided.is_err() {
        run("ROLLBACK TO operation")?;
        tx.go_back_to(before);
        ctx.places.borrow_mut().clear();
    }
    if goes_back {
        run("RELEASE operation")?;
    }
    Ok((decided?, seq))
}
