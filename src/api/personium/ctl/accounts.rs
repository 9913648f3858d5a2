//! Accounts: control objects with a password, which comes in a header and is never shown.

use super::super::call::Call;
use super::super::odata::{Fields, created, field_problem, updated, write_allowed};
use super::failed;
use super::objects::From;
use super::row::Row;
use super::set::{EntityKey, Set};
use crate::domain::access::Place;
use crate::domain::account::{AccountFields, Status};
use crate::domain::names::{FieldError, is_account_name};
use crate::storage::database::account::StoredPassword;
use crate::storage::database::control::{Object, ObjectKind};
use crate::storage::writer::{Change, Context};
use crate::storage::{Error, Result};
use crate::web::authority::overloaded;
use crate::web::conditional::Conditions;
use crate::web::problem::{Code, Problem};
use crate::web::{Response, response};

type Answer<T = Response> = std::result::Result<T, Problem>;

/// The header that brings a password.
pub(in super::super) const CREDENTIAL: &str = "X-Personium-Credential";

/// The hash of the password in the header, none without the header.
pub(in super::super) fn credential(call: &Call) -> Answer<Option<StoredPassword>> {
    let Some(value) = call.headers.get(CREDENTIAL) else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| Problem::new(Code::PasswordFormat))?;
    let password = call.authority.new_password(text)?;
    call.authority.logins.passwords.hash(&password).map(Some).map_err(overloaded)
}

/// Makes an account; `from`: linked with a role from its beginning.
pub(super) fn create(call: &Call, from: Option<From>) -> Answer {
    let fields = Fields::parse(&call.body, Set::Object(ObjectKind::Account).properties())?;
    let name = name_of(&fields)?;
    let properties = properties(&fields, None)?.to_json();
    let password = credential(call)?;
    let base = call.base_url();
    let permission = call.permission(&[Place::ControlAuth])?;
    let change = Change(move |ctx: &Context<'_>| {
        permission.ask(ctx.tx)?;
        let source = match &from {
            None => None,
            Some(from) => Some(Row::find(ctx.tx, from.set, &from.key)?.ok_or(Error::Missing)?),
        };
        let account = ctx.tx.insert_object(ObjectKind::Account, &name, 0, &properties)?;
        if password.is_some() {
            ctx.tx.set_password(account.id, password.as_ref())?;
        }
        if let Some(Row::Object(kind, source)) = source {
            ctx.tx.insert_link((kind, source.id), (ObjectKind::Account, account.id))?;
        }
        Row::Object(ObjectKind::Account, account).entity(ctx.tx, &base)
    });
    let entity = call.open()?.change(change).map_err(|e| failed(call, e))?;
    Ok(created(&entity))
}

/// PUT and MERGE. Without a password in the header the account keeps its own.
pub(super) fn update(call: &Call, key: EntityKey) -> Answer {
    let cell = call.open()?;
    let before = cell.read(|view| find(view, &key)).map_err(|e| failed(call, e))?;
    let fields = Fields::parse(&call.body, Set::Object(ObjectKind::Account).properties())?;
    let merge = call.method.as_str() == "MERGE";
    let name = if merge && !fields.has("Name") { before.name.clone() } else { name_of(&fields)? };
    properties(&fields, merge.then(|| AccountFields::from_json(&before.fields)))?;
    let password = credential(call)?;
    let conditions = Conditions::of(&call.headers);
    let permission = call.permission(&[Place::ControlAuth])?;
    let change = Change(move |ctx: &Context<'_>| {
        permission.ask(ctx.tx)?;
        let before = find(ctx.tx, &key)?;
        write_allowed(&conditions, before.version, before.updated_ms)?;
        let kept = merge.then(|| AccountFields::from_json(&before.fields));
        let properties = properties(&fields, kept)?.to_json();
        let after = Object { name: name.clone(), fields: properties, ..before };
        let after = ctx.tx.update_object(ObjectKind::Account, &after)?;
        if password.is_some() {
            ctx.tx.set_password(after.id, password.as_ref())?;
        }
        Ok(after)
    });
    let after = cell.change(change).map_err(|e| failed(call, e))?;
    Ok(updated(after.version, after.updated_ms))
}

/// Answers `PUT {cell}__mypassword`: an account gives itself another password, and is active with it.
pub(in super::super) fn change_own(call: &Call, account: i64) -> Answer {
    let password = match call.headers.get(CREDENTIAL) {
        Some(value) if !value.is_empty() => credential(call)?,
        _ => return Err(Code::CredentialRequired.into()),
    };
    let change = Change(move |ctx: &Context<'_>| {
        let before = ctx.tx.object_by_id(ObjectKind::Account, account)?.ok_or(Error::Missing)?;
        let fields = AccountFields { status: Status::Active, ..AccountFields::from_json(&before.fields) };
        ctx.tx.update_object(ObjectKind::Account, &Object { fields: fields.to_json(), ..before })?;
        ctx.tx.set_password(account, password.as_ref())
    });
    call.open()?.change(change).map_err(|e| failed(call, e))?;
    Ok(response::empty(http::StatusCode::NO_CONTENT))
}

fn find(view: &crate::storage::database::View<'_>, key: &EntityKey) -> Result<Object> {
    view.object(ObjectKind::Account, &key.name, 0)?.ok_or(Error::Missing)
}

fn name_of(fields: &Fields) -> Answer<String> {
    let name = fields.required("Name")?;
    if is_account_name(&name) { Ok(name) } else { Err(field_problem(FieldError::format("Name"))) }
}

/// What a body says; what it does not say is `kept`, or as accounts are by themselves.
fn properties(fields: &Fields, kept: Option<AccountFields>) -> Answer<AccountFields> {
    let kept = kept.unwrap_or_default();
    let text = |name, known: Option<String>| if fields.has(name) { fields.text(name) } else { Ok(known) };
    let types = text("Type", Some(kept.types))?.unwrap_or_else(|| AccountFields::default().types);
    let status = match text("Status", None)? {
        None => kept.status,
        Some(name) => Status::of(&name).ok_or_else(|| field_problem(FieldError::format("Status")))?,
    };
    let addresses = text("IPAddressRange", kept.addresses)?;
    let properties = AccountFields { types, cell: text("Cell", kept.cell)?, addresses, status };
    properties.validate().map_err(field_problem)?;
    Ok(properties)
}
