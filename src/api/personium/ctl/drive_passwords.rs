//! Drive passwords: made by the server, shown once, for an account and, if wanted, for one box alone.

use serde_json::Value;

use super::super::call::Call;
use super::super::odata::{Fields, created, field_problem};
use super::failed;
use super::row::Row;
use super::set::Set;
use crate::base::id;
use crate::domain::access::Place;
use crate::domain::names::{FieldError, is_account_name, is_box_name, is_simple_name};
use crate::domain::password::digest;
use crate::storage::Error;
use crate::storage::database::control::ObjectKind;
use crate::storage::writer::{Change, Context};
use crate::web::Response;
use crate::web::problem::{Code, Problem};

/// Makes a drive password and tells it, this once.
pub(super) fn create(call: &Call) -> Result<Response, Problem> {
    let set = Set::Object(ObjectKind::DrivePassword);
    let fields = Fields::parse(&call.body, set.properties())?;
    let format = |field| field_problem(FieldError::format(field));
    let name = fields.required("Name")?;
    if !is_simple_name(&name) {
        return Err(format("Name"));
    }
    let account_name = fields.required("_Account.Name")?;
    if !is_account_name(&account_name) {
        return Err(format("_Account.Name"));
    }
    let box_name = fields.text("_Box.Name")?;
    if box_name.as_deref().is_some_and(|name| !is_box_name(name)) {
        return Err(format("_Box.Name"));
    }
    let password = id::token();
    let digest = digest(&password);
    let base = call.base_url();
    let permission = call.permission(&[Place::ControlAuth])?;
    let change = Change(move |ctx: &Context<'_>| {
        permission.ask(ctx.tx)?;
        let missing = |name: &str| Error::from(Problem::new(Code::ODataNoBox).with(name));
        let account = ctx.tx.object(ObjectKind::Account, &account_name, 0)?;
        let account = account.ok_or_else(|| missing(&account_name))?;
        let limit = match &box_name {
            None => 0,
            Some(name) => ctx.tx.cell_box(name)?.ok_or_else(|| missing(name))?.id,
        };
        let object = ctx.tx.insert_drive_password(&name, account.id, limit, &digest)?;
        Row::Object(ObjectKind::DrivePassword, object).entity(ctx.tx, &base)
    });
    let mut entity = call.open()?.change(change).map_err(|e| failed(call, e))?;
    entity.fields.insert("Password".to_owned(), Value::String(password));
    let mut response = created(&entity);
    response.headers_mut().insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    Ok(response)
}
