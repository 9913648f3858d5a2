//! Issuing tokens: for an account, for a visitor, for another cell, in the answer and in a cookie.

use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue, LOCATION, SET_COOKIE};
use serde_json::{Map, Value};

use super::error::Refusal;
use super::{Desk, Form};
use crate::base::id;
use crate::domain::token::{Claims, Kind, Subject};
use crate::web::abroad::abroad;
use crate::web::auth::cookie_for;
use crate::web::problem::Code;
use crate::web::public_url::local_cell;
use crate::web::{Response, response};

/// The longest lives, in seconds; also those that tokens have if nothing is said.
pub(in super::super) const ACCESS_SECONDS: i64 = 3600;
pub(in super::super) const REFRESH_SECONDS: i64 = 86_400;

/// How long tokens are to live, in seconds.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Lives {
    pub(in super::super) access: i64,
    pub(in super::super) refresh: i64,
}

impl Lives {
    pub(super) fn of(form: &Form) -> Result<Self, Refusal> {
        let seconds = |name: &str, most: i64| match form.get(name) {
            None => Ok(most),
            Some(text) => {
                let number = text.parse().ok().filter(|seconds| (1..=most).contains(seconds));
                number.ok_or_else(|| Refusal::with(Code::ParameterMissing, name))
            }
        };
        Ok(Self {
            access: seconds("expires_in", ACCESS_SECONDS)?,
            refresh: seconds("refresh_token_expires_in", REFRESH_SECONDS)?,
        })
    }
}

/// What is to be issued.
pub(super) struct Grant {
    pub(super) subject: Subject,
    pub(super) schema: Option<String>,
    pub(super) scope: String,
    /// What all tokens of one login have in common, so that they can be revoked together.
    pub(super) family: Option<String>,
    /// What the answer says besides.
    pub(super) more: Map<String, Value>,
}

/// Answers with tokens.
pub(super) fn issue(desk: &Desk<'_>, form: &Form, lives: Lives, grant: Grant) -> Result<Response, Refusal> {
    let (access_kind, refresh_kind) = match grant.subject {
        Subject::Account(..) => (Kind::Access, Kind::Refresh),
        Subject::Foreign { .. } => (Kind::VisitorAccess, Kind::VisitorRefresh),
    };
    let family = grant.family.clone().unwrap_or_else(id::uuid22);
    let claims = |subject, seconds| Claims {
        id: family.clone(),
        schema: grant.schema.clone(),
        scope: grant.scope.clone(),
        ..Claims::new(&desk.uuid, subject, seconds)
    };
    let sealer = &desk.call.authority.sealer;
    let refresh = sealer.seal(refresh_kind, &claims(grant.subject.clone(), lives.refresh));
    let mut headers = Vec::new();
    let mut body = Map::new();
    let access = if let Some(target) = &desk.target {
        let subject = desk.cell.read(|view| abroad(view, &desk.call.asked, &desk.call.cell, &grant.subject));
        let subject = subject.map_err(|e| desk.call.failed(e))?;
        let abroad = Claims { target: Some(desk.call.asked.local(target)), ..claims(subject, lives.access) };
        body.insert("p_target".to_owned(), target.clone().into());
        headers.push((LOCATION, format!("{target}__token")));
        sealer.seal(Kind::Transcell, &abroad)
    } else {
        let here = claims(grant.subject.clone(), lives.access);
        let token = sealer.seal(access_kind, &here);
        if form.is_true("p_cookie") {
            let peer = uuid::Uuid::new_v4().to_string();
            let cookie = cookie_for(sealer, &here, &token, &peer);
            headers.push((SET_COOKIE, format!("{cookie}{}", cookie_attributes(&desk.call.base_url()))));
            body.insert("p_cookie_peer".to_owned(), peer.into());
        }
        token
    };
    body.insert("access_token".to_owned(), access.into());
    body.insert("expires_in".to_owned(), lives.access.into());
    body.insert("scope".to_owned(), grant.scope.into());
    body.insert("refresh_token".to_owned(), refresh.into());
    body.insert("refresh_token_expires_in".to_owned(), lives.refresh.into());
    let mut answer = answer(body, grant.more);
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            answer.headers_mut().append(name, value);
        }
    }
    Ok(answer)
}

/// Answers with a token that speaks for the owner of the cell, as long as the account has it. It is not renewed.
pub(super) fn issue_for_owner(desk: &Desk<'_>, lives: Lives, grant: Grant) -> Response {
    let claims = Claims {
        id: grant.family.unwrap_or_else(id::uuid22),
        target: Some(local_cell(&desk.call.cell)),
        ..Claims::new(&desk.uuid, grant.subject, lives.access)
    };
    let mut body = Map::new();
    let token = desk.call.authority.sealer.seal(Kind::UnitLocal, &claims);
    body.insert("access_token".to_owned(), token.into());
    body.insert("expires_in".to_owned(), lives.access.into());
    answer(body, grant.more)
}

fn answer(mut body: Map<String, Value>, more: Map<String, Value>) -> Response {
    body.insert("token_type".to_owned(), "Bearer".into());
    body.extend(more);
    let mut answer = response::json(StatusCode::OK, &Value::Object(body));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Where a cookie for a cell is sent, and to whom it is shown.
pub(in super::super) fn cookie_attributes(cell_url: &str) -> String {
    let (scheme, rest) = cell_url.split_once("://").unwrap_or(("http", cell_url));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = if authority.starts_with('[') { authority } else { authority.split(':').next().unwrap_or_default() };
    let is_address = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
    let mut text = format!("; Path=/{path}; HttpOnly");
    if !is_address {
        text.push_str("; Domain=");
        text.push_str(host);
    }
    if scheme == "https" {
        // Pages of other origins may use the cookie: they need its peer, which they must know from elsewhere.
        text.push_str("; Secure; SameSite=None");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_goes_to_its_cell_alone() {
        for (url, expected) in [
            ("http://127.0.0.1:8080/c/", "; Path=/c/; HttpOnly"),
            ("http://[::1]:8080/c/", "; Path=/c/; HttpOnly"),
            ("http://unit.example/c/", "; Path=/c/; HttpOnly; Domain=unit.example"),
            ("https://c.unit.example/", "; Path=/; HttpOnly; Domain=c.unit.example; Secure; SameSite=None"),
        ] {
            assert_eq!(cookie_attributes(url), expected);
        }
    }
}
