//! `{cell}__mypassword`: an account changes its own password.

use http::Method;

use super::call::Call;
use super::ctl::change_own;
use crate::domain::access::{Denial, Means, Reason, Who};
use crate::domain::acl::Privilege;
use crate::web::auth::Place as Offer;
use crate::web::problem::{Code, Problem};
use crate::web::state::App;
use crate::web::{Request, Response, blocking, response};

const METHODS: &str = "OPTIONS, PUT";

/// Answers a request for `{cell}__mypassword`.
pub async fn route(app: &App, request: Request) -> Result<Response, Problem> {
    if request.target.rest.trim_end_matches('/') != "__mypassword" {
        return Err(Code::UriNotRecognized.into());
    }
    let call = Call::of(app, request).await?;
    blocking::run(move || {
        call.record()?;
        match call.method {
            Method::OPTIONS => Ok(response::options(METHODS)),
            Method::PUT => change_own(&call, account(&call)?),
            _ => Err(Call::not_allowed(METHODS)),
        }
    })
    .await
}

/// The account whose token came: one that covers `auth`, or one that is good for this alone.
fn account(call: &Call) -> Result<i64, Problem> {
    let cell = call.open()?;
    let access = call.access_in(&cell)?;
    let found = cell.read(|view| {
        let at = access.at(view)?;
        let caller = access.caller(&at)?;
        let denial = match caller.who {
            Who::PasswordChange(id) => return Ok(Ok(id)),
            Who::Account { id, .. } if caller.means == Means::Token => {
                if caller.covers(Privilege::Auth) {
                    return Ok(Ok(id));
                }
                Denial::Scope(Privilege::Auth)
            }
            Who::Account { .. } => Denial::Invalid(Reason::NotHere),
            Who::Anonymous => Denial::Anonymous,
            Who::Invalid(reason) => Denial::Invalid(reason),
            Who::UnitAdmin | Who::UnitUser(_) | Who::Foreign(_) => Denial::Lacking,
        };
        Ok(Err(access.refusal(denial, Offer::Endpoint)))
    });
    found.map_err(|e| call.failed(e))?
}
