//! What the rules of a cell are told of logins: `token.grant`, `token.refuse` and `token.revoke`.
//!
//! The subject is who got the token, or the account that it was refused: a name that no account has may be anything, even a password,
//! and is told to nobody.

use http::StatusCode;

use super::Desk;
use crate::domain::token::Subject;
use crate::storage::database::control::ObjectKind;

/// Tells of somebody who got a token or gave it up.
pub(in super::super) fn told(desk: &Desk<'_>, what: &str, subject: &Subject, schema: Option<&str>) {
    let subject = match subject {
        Subject::Account(_, name) => format!("{}#{name}", desk.call.base_url()),
        Subject::Foreign { subject, .. } => desk.call.asked.public(subject),
    };
    let schema = schema.map(|schema| schema.strip_suffix("#c").unwrap_or(schema).to_owned());
    desk.call.announce_login(&desk.cell, format!("token.{what}"), Some(subject), schema, StatusCode::OK);
}

/// Tells of a refusal. `name` is what came as the name of an account.
pub(in super::super) fn told_refused(desk: &Desk<'_>, name: Option<&str>, status: StatusCode) {
    let of_name = |name| desk.cell.read(|view| view.object(ObjectKind::Account, name, 0));
    let account = name.and_then(|name| of_name(name).ok().flatten());
    let subject = account.map(|account| format!("{}#{}", desk.call.base_url(), account.name));
    desk.call.announce_login(&desk.cell, "token.refuse".to_owned(), subject, None, status);
}
