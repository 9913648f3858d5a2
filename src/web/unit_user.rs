//! Unit users: from the credentials of a request to somebody whom the unit knows.
//!
//! The unit's administrator names one in `X-Personium-Unit-User` and acts for them. Others come with a token for the unit that a
//! cell in `auth.unit_user_issuers` issued, whose roles say what they may; or with one that speaks for the owner of the cell that
//! issued it. A token is asked of the cell that issued it, so this may open one.

use http::HeaderMap;

use super::auth::AccessContext;
use super::authority::Authority;
use super::problem::{Code, Problem};
use super::public_url::Asked;
use crate::domain::access::{Contents, Reason, UnitUser};
use crate::domain::account::{AccountFields, Status};
use crate::domain::names::is_cell_uri;
use crate::domain::token::{Claims, Kind, Subject};
use crate::storage::database::View;
use crate::storage::database::control::ObjectKind;
use crate::storage::{Error, Result as Stored, Unit};

const HEADER: &str = "X-Personium-Unit-User";

/// Roles in the main box of an issuing cell that count at the unit.
const ADMIN: &str = "UnitAdmin";
const CONTENTS: &[(&str, Contents)] = &[("CellContentsAdmin", Contents::All), ("CellContentsReader", Contents::Read)];

/// Whether credentials must be asked of a cell before it is known whether they are those of a unit user.
pub fn is_for_the_unit(context: &AccessContext, asked: &Asked) -> bool {
    let AccessContext::Token(token) = context else { return false };
    match token.0 {
        Kind::UnitLocal => true,
        Kind::Transcell => token.1.target.as_deref() == Some(&asked.local(&asked.unit())),
        _ => false,
    }
}

/// The unit user whom the administrator names, if there is one: the header counts only with the unit token.
pub fn named(context: AccessContext, asked: &Asked, headers: &HeaderMap) -> Result<AccessContext, Problem> {
    let Some(value) = headers.get(HEADER).filter(|_| context.is_unit_admin()) else { return Ok(context) };
    let subject = subject_of(value.as_bytes(), asked)?;
    Ok(AccessContext::UnitUser(UnitUser { subject, admin: false, contents: Contents::Nothing }.into()))
}

fn subject_of(value: &[u8], asked: &Asked) -> Result<String, Problem> {
    let text = String::from_utf8_lossy(value);
    let refused = || Problem::new(Code::ODataHeader).with(HEADER).with(&*text);
    if is_cell_uri(&text) { Ok(asked.local(&text)) } else { Err(refused()) }
}

/// Who has a token for the unit. Blocks.
pub fn of_token(
    authority: &Authority,
    unit: &Unit,
    asked: &Asked,
    context: AccessContext,
    headers: &HeaderMap,
) -> Result<AccessContext, Problem> {
    let AccessContext::Token(token) = &context else { return Ok(context) };
    let (kind, claims) = &**token;
    let user = match kind {
        Kind::UnitLocal => for_owner(authority, unit, claims),
        _ => issued_for_unit(authority, unit, asked, claims),
    };
    let user = match user.map_err(|e| Problem::of_store(e, &asked.unit()))? {
        Found::User(user) => user,
        Found::Invalid(reason) => return Ok(AccessContext::Invalid(reason)),
        Found::Nobody => return Ok(context),
    };
    match headers.get(HEADER).filter(|_| user.admin) {
        None => Ok(AccessContext::UnitUser(user.into())),
        Some(value) => {
            let subject = subject_of(value.as_bytes(), asked)?;
            Ok(AccessContext::UnitUser(UnitUser { subject, admin: false, ..user }.into()))
        }
    }
}

enum Found {
    User(UnitUser),
    Invalid(Reason),
    /// The unit trusts no such token.
    Nobody,
}

/// Somebody who speaks for the owner of the cell of an account.
fn for_owner(authority: &Authority, unit: &Unit, claims: &Claims) -> Stored<Found> {
    let (Subject::Account(_, name), Some(issuer)) = (&claims.subject, &claims.target) else {
        return Ok(Found::Invalid(Reason::Token));
    };
    Ok(match living(authority, unit, issuer, claims, name)? {
        Living::No(reason) => Found::Invalid(reason),
        Living::Yes(None) => Found::Invalid(Reason::NotHere),
        Living::Yes(Some(subject)) => Found::User(UnitUser { subject, admin: false, contents: Contents::Nothing }),
    })
}

/// Somebody of a cell that may issue tokens for the unit.
fn issued_for_unit(authority: &Authority, unit: &Unit, asked: &Asked, claims: &Claims) -> Stored<Found> {
    let Subject::Foreign { subject, issuer, roles, .. } = &claims.subject else { return Ok(Found::Nobody) };
    if !authority.unit_user_issuers.iter().any(|trusted| asked.local(trusted) == *issuer) {
        return Ok(Found::Nobody);
    }
    let Some(name) = subject.strip_prefix(issuer.as_str()).and_then(|rest| rest.strip_prefix('#')) else {
        return Ok(Found::Nobody);
    };
    if let Living::No(reason) = living(authority, unit, issuer, claims, name)? {
        return Ok(Found::Invalid(reason));
    }
    let has = |role: &str| roles.iter().any(|held| *held == format!("{issuer}__role/__/{role}"));
    let contents = CONTENTS.iter().find(|(role, _)| has(role)).map_or(Contents::Nothing, |(_, contents)| *contents);
    Ok(Found::User(UnitUser { subject: subject.clone(), admin: has(ADMIN), contents }))
}

enum Living {
    No(Reason),
    /// With the owner of the cell.
    Yes(Option<String>),
}

/// Whether a token has not been revoked at the cell that issued it, and its account can be used there.
fn living(authority: &Authority, unit: &Unit, issuer: &str, claims: &Claims, name: &str) -> Stored<Living> {
    let cell = issuer.strip_prefix("personium-localunit:").and_then(|rest| rest.strip_suffix(":/"));
    let cell = match cell.map_or(Err(Error::CellMissing), |name| unit.cell(name)) {
        Ok(cell) => cell,
        Err(Error::CellMissing) => return Ok(Living::No(Reason::NotHere)),
        Err(e) => return Err(e),
    };
    cell.read(|view: &View<'_>| {
        let at = authority.at(&cell, view)?;
        if claims.cell != at.uuid() {
            return Ok(Living::No(Reason::Token));
        }
        if at.is_spent(&claims.id) {
            return Ok(Living::No(Reason::Expired));
        }
        let account = view.object(ObjectKind::Account, name, 0)?;
        let same = |id| !matches!(&claims.subject, Subject::Account(number, _) if *number != id);
        let usable = account
            .filter(|account| same(account.id))
            .is_some_and(|account| AccountFields::from_json(&account.fields).status != Status::Deactivated);
        Ok(if usable { Living::Yes(view.owner()?) } else { Living::No(Reason::NotHere) })
    })
}
