//! `If-Match`, `If-None-Match` and `If-Unmodified-Since` of requests that change something: asked once before the body is
//! received, and finally inside the transaction.

use http::HeaderMap;

use crate::storage::Error;
use crate::storage::database::cell_box::Lookup;
use crate::storage::operation::Guard;
use crate::web::conditional::{Conditions, Current, Verdict};
use crate::web::problem::{Code, Problem};

/// Whether the conditions hold for what a path leads to.
pub(super) fn check(conditions: &Conditions, lookup: &Lookup) -> Result<(), Problem> {
    let verdict = match lookup.found() {
        Some(row) => conditions.evaluate(false, Current::of(&row.etag().to_string(), Some(row.mtime_ms))),
        None => conditions.evaluate(false, Current::missing()),
    };
    if verdict == Verdict::Proceed { Ok(()) } else { Err(Code::EtagMismatch.into()) }
}

/// The guard of a change of something that must be there. `rule` is asked before the conditions.
pub(super) fn guard_existing(
    headers: &HeaderMap,
    rule: impl Fn(&Lookup) -> Result<(), Problem> + Send + 'static,
) -> Guard {
    let conditions = Conditions::of(headers);
    Box::new(move |_, lookup| {
        if lookup.missing > 0 {
            return Err(Error::Missing);
        }
        rule(lookup)?;
        Ok(check(&conditions, lookup)?)
    })
}
