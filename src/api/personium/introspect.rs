//! `{cell}__introspect`: what a token of the cell says (RFC 7662), for those who have a login of the cell themselves.

use http::header::{CACHE_CONTROL, HeaderValue};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::call::Call;
use super::form::Form;
use crate::domain::token::{Kind, Subject};
use crate::storage::database::control::ObjectKind;
use crate::web::problem::{Code, Problem};
use crate::web::state::App;
use crate::web::{Request, Response, blocking, response};

const METHODS: &str = "OPTIONS, POST";
/// The largest form, in bytes.
const FORM_BYTES: u64 = 64 * 1024;

/// Answers a request for `{cell}__introspect`.
pub async fn route(app: &App, request: Request) -> Result<Response, Problem> {
    if request.target.rest.trim_end_matches('/') != "__introspect" {
        return Err(Code::UriNotRecognized.into());
    }
    let (call, form) = Call::with_form(app, request, FORM_BYTES).await?;
    blocking::run(move || {
        call.record()?;
        match call.method {
            Method::OPTIONS => Ok(response::options(METHODS)),
            Method::POST => {
                call.require_login()?;
                let mut answer = response::json(StatusCode::OK, &describe(&call, &form)?);
                answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                Ok(answer)
            }
            _ => Err(Call::not_allowed(METHODS)),
        }
    })
    .await
}

/// What the token is; only `active: false` of one that is none of the cell's or not good any more.
fn describe(call: &Call, form: &Form) -> Result<Value, Problem> {
    let inactive = json!({ "active": false });
    let Ok((kind, claims)) = call.authority.sealer.open(form.get("token").unwrap_or_default()) else {
        return Ok(inactive);
    };
    let known =
        matches!(kind, Kind::Access | Kind::Refresh | Kind::VisitorAccess | Kind::VisitorRefresh | Kind::Transcell);
    if !known || claims.is_expired() {
        return Ok(inactive);
    }
    let cell = call.open()?;
    let access = call.access_in(&cell)?;
    let url = call.base_url();
    let described = cell.read(|view| {
        let at = access.at(view)?;
        if claims.cell != at.uuid() || at.is_spent(&claims.id) {
            return Ok(None);
        }
        let (subject, name, roles) = match &claims.subject {
            Subject::Account(id, name) => match at.account(*id)?.filter(|account| account.name == *name) {
                Some(account) => (format!("{url}#{name}"), Some(name.clone()), account.roles.clone()),
                None => return Ok(None),
            },
            Subject::Foreign { subject, local, .. } => (call.asked.public(subject), None, local.clone()),
        };
        let mut names = Vec::new();
        for id in roles {
            names.extend(view.object_by_id(ObjectKind::Role, id)?.map(|role| role.name));
        }
        let refresh = kind.is_refresh();
        Ok(Some(json!({
            "active": true,
            "iss": url,
            "sub": subject,
            "username": name,
            "aud": claims.target.as_deref().map_or_else(|| url.clone(), |target| call.asked.public(target)),
            "client_id": claims.schema.as_deref().map(|schema| schema.strip_suffix("#c").unwrap_or(schema)),
            "scope": claims.scope,
            "iat": claims.issued_ms / 1000,
            "exp": claims.expires_ms / 1000,
            "token_type": if refresh { "refresh_token" } else { "Bearer" },
            "p_roles": names,
        })))
    });
    Ok(described.map_err(|e| call.failed(e))?.unwrap_or(inactive))
}
