//! `{cell}__authz`: a person lets an app in (RFC 6749 sections 4.1 and 4.2). The app sends the person here, the person logs in, and
//! goes back to the app with a code, or with a token.
//!
//! A person is only ever sent to a place below the app's own cell. What is wrong with the app's name or that place is told here;
//! what is wrong otherwise is told to the app, which gets the person back.

use http::header::{CACHE_CONTROL, HeaderName, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::call::Call;
use super::form::Form;
use super::token::{Desk, Refusal, log_in, scope_of, told, told_refused};
use crate::domain::account::Status;
use crate::domain::names::is_ext_cell;
use crate::domain::token::{Claims, Kind, Subject};
use crate::web::problem::{Code, Problem};
use crate::web::state::App;
use crate::web::{Request, Response, blocking, response};

mod page;

const METHODS: &str = "OPTIONS, GET, HEAD, POST";
/// The largest form, in bytes.
const FORM_BYTES: u64 = 64 * 1024;
/// How long a code can be exchanged, in seconds.
const CODE_SECONDS: i64 = 600;
/// The longest life of a token, in seconds.
const TOKEN_SECONDS: i64 = 3600;

/// What the app gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Code,
    Token,
}

/// What an app asks for.
struct Asked {
    client: String,
    redirect: String,
    state: Option<String>,
}

/// Answers a request for `{cell}__authz`.
pub async fn route(app: &App, request: Request) -> Result<Response, Problem> {
    if request.target.rest.trim_end_matches('/') != "__authz" {
        return Err(Code::UriNotRecognized.into());
    }
    let (call, form) = Call::with_form(app, request, FORM_BYTES).await?;
    blocking::run(move || {
        call.record()?;
        match call.method {
            Method::OPTIONS => Ok(response::options(METHODS)),
            Method::GET | Method::HEAD => {
                let form = Form::parse(call.query.as_deref().unwrap_or_default().as_bytes());
                answer(&call, &form, false)
            }
            Method::POST => answer(&call, &form, true),
            _ => Err(Call::not_allowed(METHODS)),
        }
    })
    .await
}

fn answer(call: &Call, form: &Form, posted: bool) -> Result<Response, Problem> {
    let asked = Asked::of(form)?;
    let flow = match form.get("response_type") {
        Some("code") => Flow::Code,
        Some("token") => Flow::Token,
        None | Some("") => return Ok(asked.back_with(Code::AuthorizeResponseType, "invalid_request")),
        Some(_) => return Ok(asked.back_with(Code::ResponseType, "unsupported_response_type")),
    };
    let seconds = match form.filled("expires_in") {
        None => TOKEN_SECONDS,
        Some(text) => match text.parse().ok().filter(|seconds| (1..=TOKEN_SECONDS).contains(seconds)) {
            Some(seconds) => seconds,
            None => return Ok(asked.back_with(Code::AuthorizeExpiry, "invalid_request")),
        },
    };
    if form.filled("cancel_flg").is_some() {
        return Ok(asked.back_with(Code::UserCancel, "access_denied"));
    }
    // A password in a URL would be kept by browsers, proxies and logs.
    let field = |name| form.filled(name).filter(|_| posted);
    let (Some(name), Some(password)) = (field("username"), field("password")) else {
        let hint = posted.then_some("Please give both a name and a password.");
        return Ok(page::login(call, form, &asked.client, hint));
    };
    let desk = Desk::open(call)?;
    let login = match log_in(&desk, name, password) {
        Ok(login) => login,
        Err(Refusal::Problem(problem)) => return Err(problem),
        Err(_) => {
            told_refused(&desk, Some(name), StatusCode::BAD_REQUEST);
            return Ok(page::login(call, form, &asked.client, Some("Name or password are wrong. Please try again.")));
        }
    };
    if login.status == Status::PasswordChangeRequired {
        told_refused(&desk, Some(name), StatusCode::UNAUTHORIZED);
        let hint = "This password must be changed first. Please ask whoever keeps this cell.";
        return Ok(page::login(call, form, &asked.client, Some(hint)));
    }
    call.authority.logins.note(&desk.cell, login.account).map_err(|e| call.failed(e))?;
    let kind = if flow == Flow::Code { Kind::Code } else { Kind::Access };
    let life = if flow == Flow::Code { CODE_SECONDS } else { seconds };
    let claims = Claims {
        schema: Some(asked.client.clone()),
        scope: scope_of(&desk, form),
        with: (flow == Flow::Code).then(|| asked.redirect.clone()),
        ..Claims::new(&desk.uuid, Subject::Account(login.account, login.name), life)
    };
    let token = call.authority.sealer.seal(kind, &claims);
    // A code is told of when it becomes a token.
    if flow == Flow::Token {
        told(&desk, "grant", &claims.subject, claims.schema.as_deref());
    }
    let before = login.before.map_or_else(|| "null".to_owned(), |ms| ms.to_string());
    let mut fields = match flow {
        Flow::Code => vec![("code", token)],
        Flow::Token => vec![
            ("access_token", token),
            ("token_type", "Bearer".to_owned()),
            ("expires_in", seconds.to_string()),
            ("scope", claims.scope),
        ],
    };
    fields.push(("last_authenticated", before));
    fields.push(("failed_count", login.failed.to_string()));
    // A token is kept from the app's server, and from logs on the way there.
    Ok(asked.back(&fields, if flow == Flow::Code { '?' } else { '#' }))
}

impl Asked {
    fn of(form: &Form) -> Result<Self, Problem> {
        let client = form.filled("client_id").unwrap_or_default();
        let client = if client.ends_with('/') { client.to_owned() } else { format!("{client}/") };
        if !is_ext_cell(&client) {
            return Err(Code::AuthorizeClient.into());
        }
        let redirect = form.filled("redirect_uri").unwrap_or_default();
        let clean = redirect.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') && !redirect.contains(['#', '"']);
        let below = redirect.strip_prefix(&client).is_some_and(|rest| {
            let path = rest.split('?').next().unwrap_or_default();
            // Browsers take an encoded dot for a dot, and some servers an encoded slash for a slash.
            let decoded = percent_decode_str(path).collect::<Vec<_>>();
            !decoded.split(|b| matches!(b, b'/' | b'\\')).any(|name| matches!(name, b"." | b".."))
        });
        if !clean || !below {
            return Err(Code::AuthorizeRedirect.into());
        }
        let state = form.filled("state").map(str::to_owned);
        Ok(Self { client, redirect: redirect.to_owned(), state })
    }

    /// Sends the person back to the app with what went wrong.
    fn back_with(&self, code: Code, error: &str) -> Response {
        let fields =
            [("error", error.to_owned()), ("error_description", code.message(&[])), ("code", code.as_str().to_owned())];
        self.back(&fields, '?')
    }

    fn back(&self, fields: &[(&str, String)], begin: char) -> Response {
        let mut url = self.redirect.clone();
        let mut separator = if begin == '?' && url.contains('?') { '&' } else { begin };
        let state = self.state.iter().map(|state| ("state", state));
        for (name, value) in fields.iter().map(|(name, value)| (*name, value)).chain(state) {
            url.push(separator);
            url.push_str(name);
            url.push('=');
            url.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
            separator = '&';
        }
        let mut answer = response::empty(StatusCode::SEE_OTHER);
        for (name, value) in [(LOCATION, url.as_str()), (CACHE_CONTROL, "no-store"), (REFERRER_POLICY, "no-referrer")] {
            if let Ok(value) = HeaderValue::from_str(value) {
                answer.headers_mut().insert(name, value);
            }
        }
        answer
    }
}

const REFERRER_POLICY: HeaderName = HeaderName::from_static("referrer-policy");
