//! `{cell}__token`: logging in, going on with a refresh token, visiting from another cell, and codes of apps; and giving up tokens
//! at `{cell}__token/revoke` (RFC 7009).

use std::sync::Arc;

use http::header::{CACHE_CONTROL, HeaderValue};
use http::{Method, StatusCode};
use serde_json::{Map, Value};

use super::call::Call;
use super::form::Form;
use crate::domain::account::Status;
use crate::domain::login::Login;
use crate::domain::names::is_ext_cell;
use crate::domain::token::{Claims, Kind, OpenError, Subject};
use crate::storage::Cell;
use crate::storage::database::cell_root::CELL_ROOT;
use crate::storage::writer::{Change, Context};
use crate::web::authority::Access;
use crate::web::problem::{Code, Problem};
use crate::web::public_url::local_cell;
use crate::web::state::App;
use crate::web::{Request, Response, blocking, response};

mod client;
mod error;
mod issue;
mod scope;
mod told;

pub(super) use error::Refusal;
pub(super) use issue::REFRESH_SECONDS;
use issue::{Grant, Lives, issue, issue_for_owner};
pub(super) use scope::granted;
pub(super) use told::{told, told_refused};

const METHODS: &str = "OPTIONS, POST";
/// The largest form, in bytes.
const FORM_BYTES: u64 = 64 * 1024;

const SAML_GRANT: &str = "urn:ietf:params:oauth:grant-type:saml2-bearer";
/// The accounts of a cell that may speak for its owner.
const OWNERS: &str = "ownerRepresentativeAccounts";
/// The accounts of a cell whose logins are not remembered.
const UNRECORDED: &str = "accountsnotrecordingauthhistory";

/// What issuing a token needs to know.
pub(super) struct Desk<'c> {
    pub(super) call: &'c Call,
    pub(super) cell: Arc<Cell>,
    pub(super) access: Access,
    /// The UUID of the cell.
    pub(super) uuid: String,
    /// The URL of the cell that the token is for, if it is another.
    pub(super) target: Option<String>,
}

impl<'c> Desk<'c> {
    pub(super) fn open(call: &'c Call) -> Result<Self, Problem> {
        let cell = call.open()?;
        let access = call.anonymous_in(&cell)?;
        let uuid = cell.read(|view| view.meta_text("uuid")).map_err(|e| call.failed(e))?.unwrap_or_default();
        Ok(Self { call, cell, access, uuid, target: None })
    }

    /// Whether two URLs are those of one cell.
    pub(super) fn same_cell(&self, one: &str, other: &str) -> bool {
        let other = self.access.forms_of(other);
        self.access.forms_of(one).iter().any(|form| other.contains(form))
    }

    /// Whether this cell is the target of a token.
    pub(super) fn is_target(&self, target: &str) -> bool {
        target == local_cell(&self.call.cell)
    }
}

/// Answers a request for `{cell}__token` and below.
pub async fn route(app: &App, request: Request) -> Result<Response, Problem> {
    let revokes = match request.target.rest.trim_end_matches('/') {
        "__token" => false,
        "__token/revoke" => true,
        _ => return Err(Code::UriNotRecognized.into()),
    };
    let (call, form) = Call::with_form(app, request, FORM_BYTES).await?;
    blocking::run(move || {
        call.record()?;
        match call.method {
            Method::OPTIONS => Ok(response::options(METHODS)),
            Method::POST if revokes => revoke(&call, &form),
            Method::POST => answer(&call, &form).or_else(|refusal| refusal.respond(&call.base_url())),
            _ => Err(Call::not_allowed(METHODS)),
        }
    })
    .await
}

fn answer(call: &Call, form: &Form) -> Result<Response, Refusal> {
    let mut desk = Desk::open(call)?;
    let answer = give(&mut desk, form);
    if let Err(refusal) = &answer
        && let Some(status) = refusal.status()
    {
        told_refused(&desk, form.filled("username").filter(|_| form.get("grant_type") == Some("password")), status);
    }
    answer
}

fn give(desk: &mut Desk<'_>, form: &Form) -> Result<Response, Refusal> {
    desk.target = target(form)?;
    let desk = &*desk;
    let schema = client::authenticate(desk, form)?;
    let lives = Lives::of(form)?;
    let grant_type = form.get("grant_type").unwrap_or_default();
    if form.is_true("p_owner") && matches!(grant_type, SAML_GRANT | "authorization_code") {
        return Err(Code::OwnerAbroad.into());
    }
    let grant = match grant_type {
        "password" => password(desk, form, schema)?,
        "refresh_token" => refresh(desk, form, schema)?,
        SAML_GRANT => assertion(desk, form, schema)?,
        "authorization_code" => code(desk, form, schema)?,
        other => return Err(Refusal::with(Code::GrantType, other)),
    };
    if form.is_true("p_owner") {
        may_speak_for_owner(desk, &grant.subject)?;
    }
    let (subject, schema) = (grant.subject.clone(), grant.schema.clone());
    let answer =
        if form.is_true("p_owner") { issue_for_owner(desk, lives, grant) } else { issue(desk, form, lives, grant)? };
    told(desk, "grant", &subject, schema.as_deref());
    Ok(answer)
}

/// The cell that the token is to be for.
fn target(form: &Form) -> Result<Option<String>, Refusal> {
    let Some(text) = form.filled("p_target") else { return Ok(None) };
    let url = if text.ends_with('/') { text.to_owned() } else { format!("{text}/") };
    if is_ext_cell(&url) { Ok(Some(url)) } else { Err(Code::TargetParameter.into()) }
}

fn required<'f>(form: &'f Form, name: &'static str) -> Result<&'f str, Refusal> {
    form.filled(name).ok_or_else(|| Refusal::with(Code::ParameterMissing, name))
}

fn password(desk: &Desk<'_>, form: &Form, schema: Option<String>) -> Result<Grant, Refusal> {
    let (name, password) = (required(form, "username")?, required(form, "password")?);
    let login = log_in(desk, name, password)?;
    let recorded = !names_account(desk, UNRECORDED, name)?;
    let history = history(&login, recorded);
    if login.status == Status::PasswordChangeRequired {
        let claims = Claims::new(&desk.uuid, Subject::Account(login.account, login.name), issue::ACCESS_SECONDS);
        let mut more = history;
        more.insert("access_token".to_owned(), desk.call.authority.sealer.seal(Kind::PasswordChange, &claims).into());
        more.insert("url".to_owned(), format!("{}__mypassword", desk.call.base_url()).into());
        return Err(Refusal::ChangePassword(more));
    }
    if recorded {
        desk.call.authority.logins.note(&desk.cell, login.account).map_err(|e| desk.call.failed(e))?;
    }
    let scope = scope_of(desk, form);
    Ok(Grant { subject: Subject::Account(login.account, login.name), schema, scope, family: None, more: history })
}

/// A login with an account's password.
pub(super) fn log_in(desk: &Desk<'_>, name: &str, password: &str) -> Result<Login, Refusal> {
    let logins = &desk.call.authority.logins;
    logins
        .password(&desk.cell, name, password, desk.call.from)
        .map_err(|e| Refusal::of_login(e, |e| desk.call.failed(e)))
}

fn history(login: &Login, recorded: bool) -> Map<String, Value> {
    let mut more = Map::new();
    let before = login.before.filter(|_| recorded);
    more.insert("last_authenticated".to_owned(), before.map_or(Value::Null, Value::from));
    more.insert("failed_count".to_owned(), if recorded { login.failed.into() } else { 0.into() });
    more
}

pub(super) fn scope_of(desk: &Desk<'_>, form: &Form) -> String {
    let urls = desk.call.asked.cell_forms(&desk.call.cell);
    granted(form.get("scope"), &desk.call.authority.default_scope, &urls)
}

/// Whether a property of the cell names an account, in elements `account` or as words.
fn names_account(desk: &Desk<'_>, property: &str, name: &str) -> Result<bool, Refusal> {
    use crate::base::xml::{Limits, PERSONIUM, parse};
    let properties = desk.cell.read(|view| view.properties(CELL_ROOT)).map_err(|e| desk.call.failed(e))?;
    let Some(found) = properties.into_iter().find(|p| p.ns == PERSONIUM && p.local == property) else {
        return Ok(false);
    };
    let Ok(element) = parse(found.xml.as_bytes(), Limits::of(found.xml.len())) else { return Ok(false) };
    let text = element.text();
    let mut words = text.split([',', ' ', '\n', '\t']).map(str::trim);
    Ok(element.elements().any(|e| e.local == "account" && e.text().trim() == name) || words.any(|word| word == name))
}

/// Refuses those who may not speak for the owner of the cell, and where it has none.
fn may_speak_for_owner(desk: &Desk<'_>, subject: &Subject) -> Result<(), Refusal> {
    let named = match subject {
        Subject::Account(_, name) => names_account(desk, OWNERS, name)?,
        Subject::Foreign { .. } => false,
    };
    if !named {
        return Err(Code::OwnerNotAllowed.into());
    }
    let owned = desk.cell.read(|view| Ok(view.owner()?.is_some())).map_err(|e| desk.call.failed(e))?;
    if owned { Ok(()) } else { Err(Code::OwnerMissing.into()) }
}

fn refresh(desk: &Desk<'_>, form: &Form, schema: Option<String>) -> Result<Grant, Refusal> {
    let token = form.get("refresh_token").unwrap_or_default();
    let (kind, claims) = desk.call.authority.sealer.open(token).map_err(|_| Code::GrantParse)?;
    if claims.cell != desk.uuid {
        return Err(Code::GrantParse.into());
    }
    if !kind.is_refresh() {
        return Err(Code::GrantNotRefresh.into());
    }
    if claims.is_expired() || !is_living(desk, &claims)? {
        return Err(Code::GrantExpired.into());
    }
    if let Some(client) = &schema
        && claims.schema.as_ref() != Some(client)
    {
        let expected = claims.schema.unwrap_or_default();
        return Err(Refusal::OAuth(Code::ClientMismatch, vec![expected, client.clone()]));
    }
    let urls = desk.call.asked.cell_forms(&desk.call.cell);
    let subject = match claims.subject {
        Subject::Foreign { subject, issuer, roles, .. } => visitor(desk, subject, issuer, roles)?,
        account @ Subject::Account(..) => account,
    };
    Ok(Grant {
        scope: granted(form.get("scope"), &claims.scope, &urls),
        subject,
        schema: claims.schema,
        family: Some(claims.id),
        more: Map::new(),
    })
}

/// Whether the account of a token is still there and can be used, and nobody has revoked the token.
fn is_living(desk: &Desk<'_>, claims: &Claims) -> Result<bool, Refusal> {
    let living = desk.cell.read(|view| {
        let at = desk.access.at(view)?;
        if at.is_spent(&claims.id) {
            return Ok(false);
        }
        let Subject::Account(id, name) = &claims.subject else { return Ok(true) };
        Ok(at.account(*id)?.is_some_and(|a| a.name == *name && a.fields.status == Status::Active))
    });
    Ok(living.map_err(|e| desk.call.failed(e))?)
}

/// A visitor from another cell, with a token that this cell issued for nobody else.
fn assertion(desk: &Desk<'_>, form: &Form, schema: Option<String>) -> Result<Grant, Refusal> {
    let token = form.get("assertion").unwrap_or_default();
    let claims = match desk.call.authority.sealer.open(token) {
        Ok((Kind::Transcell, claims)) => claims,
        Err(OpenError::Seal) if token.starts_with(Kind::Transcell.prefix()) => {
            return Err(Code::GrantSignature.into());
        }
        _ => return Err(Code::GrantParse.into()),
    };
    if claims.is_expired() {
        return Err(Code::GrantExpired.into());
    }
    let target = claims.target.as_deref().unwrap_or_default();
    if !desk.is_target(target) {
        return Err(Refusal::with(Code::GrantTarget, desk.call.asked.public(target)));
    }
    let Subject::Foreign { subject, issuer, roles, .. } = claims.subject else { return Err(Code::GrantParse.into()) };
    Ok(Grant {
        subject: visitor(desk, subject, issuer, roles)?,
        schema: schema.or(claims.schema),
        scope: scope_of(desk, form),
        family: None,
        more: Map::new(),
    })
}

/// Somebody of another cell, with the roles that this cell gives them now.
fn visitor(desk: &Desk<'_>, subject: String, issuer: String, roles: Vec<String>) -> Result<Subject, Refusal> {
    let local = desk.cell.read(|view| {
        let at = desk.access.at(view)?;
        at.roles_of_foreign(&desk.access.forms_of(&issuer), &desk.access.forms_of_roles(&roles))
    });
    let local = local.map_err(|e| desk.call.failed(e))?;
    Ok(Subject::Foreign { subject, issuer, roles, local })
}

/// The code of an app that a person has let in, good once.
fn code(desk: &Desk<'_>, form: &Form, schema: Option<String>) -> Result<Grant, Refusal> {
    let opened = desk.call.authority.sealer.open(form.get("code").unwrap_or_default());
    let claims = match opened {
        Ok((Kind::Code, claims)) if claims.cell == desk.uuid => claims,
        _ => return Err(Code::GrantCode.into()),
    };
    let client = schema.ok_or(Code::ClientRequired)?;
    let url = client.strip_suffix("#c").unwrap_or(&client);
    let expected = claims.schema.clone().unwrap_or_default();
    if !desk.same_cell(url, &expected) {
        return Err(Refusal::OAuth(Code::ClientMismatch, vec![expected, url.to_owned()]));
    }
    if let Some(redirect) = form.get("redirect_uri")
        && claims.with.as_deref() != Some(redirect)
    {
        return Err(Code::GrantCode.into());
    }
    if claims.is_expired() {
        return Err(Code::GrantExpired.into());
    }
    if !is_living(desk, &claims)? {
        return Err(Code::GrantCode.into());
    }
    let (id, expires_ms) = (claims.id.clone(), claims.expires_ms);
    let first = desk.cell.change(Change(move |ctx: &Context<'_>| ctx.tx.spend_token(&id, expires_ms)));
    if !first.map_err(|e| desk.call.failed(e))? {
        return Err(Code::GrantCode.into());
    }
    Ok(Grant { subject: claims.subject, schema: Some(client), scope: claims.scope, family: None, more: Map::new() })
}

/// Gives up a token with all that came of the same login. Whether it was one is not told.
fn revoke(call: &Call, form: &Form) -> Result<Response, Problem> {
    let desk = Desk::open(call)?;
    let opened = call.authority.sealer.open(form.get("token").unwrap_or_default());
    if let Ok((_, claims)) = opened
        && claims.cell == desk.uuid
        && !claims.is_expired()
    {
        // What was issued in the same login may live until a day from now.
        let until_ms = crate::base::clock::now_ms() + REFRESH_SECONDS * 1000;
        let Claims { id, subject, schema, .. } = claims;
        let spend = Change(move |ctx: &Context<'_>| ctx.tx.spend_token(&id, until_ms));
        desk.cell.change(spend).map_err(|e| call.failed(e))?;
        told(&desk, "revoke", &subject, schema.as_deref());
    }
    let mut answer = response::empty(StatusCode::OK);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}
