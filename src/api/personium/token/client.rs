//! Which app asks: its URL as name, and as secret a token that the app's cell has issued for this one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use percent_encoding::percent_decode_str;

use super::error::Refusal;
use super::{Desk, Form};
use crate::domain::token::{Kind, OpenError, Subject};
use crate::web::problem::Code;

/// The role, in the main box of the app's cell, of an app that keeps its secret.
const CONFIDENTIAL_ROLE: &str = "confidentialClient";

/// What the type of an assertion must be.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer";

/// Finds out which app asks; none where the request names none. The answer is the schema as tokens keep it.
pub(super) fn authenticate(desk: &Desk<'_>, form: &Form) -> Result<Option<String>, Refusal> {
    let header = desk.call.headers.get(AUTHORIZATION);
    let names = ["client_id", "client_assertion", "client_assertion_type"];
    if header.is_none() && names.iter().all(|name| form.get(name).is_none()) {
        return Ok(None);
    }
    let (id, secret) = match header {
        Some(value) => {
            let value = value.as_bytes().trim_ascii();
            let basic = value.get(..6).filter(|scheme| scheme.eq_ignore_ascii_case(b"basic ")).map(|_| &value[6..]);
            let (id, secret) = basic.and_then(decode_client).ok_or(Code::ClientHeader)?;
            (Some(id), secret)
        }
        None if form.get("client_assertion").is_some() || form.get("client_assertion_type").is_some() => {
            if form.get("client_assertion_type") != Some(ASSERTION_TYPE) {
                return Err(Refusal::with(Code::ClientAssertionType, ASSERTION_TYPE));
            }
            (form.filled("client_id").map(str::to_owned), form.get("client_assertion").unwrap_or_default().to_owned())
        }
        None => (form.get("client_id").map(str::to_owned), form.get("client_secret").unwrap_or_default().to_owned()),
    };
    verify(desk, id.as_deref(), &secret).map(Some)
}

/// Name and secret in the credentials of Basic. The name is a URL with colons of its own, encoded or not; the secret has none.
fn decode_client(credentials: &[u8]) -> Option<(String, String)> {
    let decoded = String::from_utf8(STANDARD.decode(credentials.trim_ascii()).ok()?).ok()?;
    let (id, secret) = decoded.rsplit_once(':')?;
    Some((percent_decode_str(id).decode_utf8().ok()?.into_owned(), secret.to_owned()))
}

fn verify(desk: &Desk<'_>, id: Option<&str>, secret: &str) -> Result<String, Refusal> {
    let claims = match desk.call.authority.sealer.open(secret) {
        Ok((Kind::Transcell, claims)) => claims,
        Err(OpenError::Seal) if secret.starts_with(Kind::Transcell.prefix()) => {
            return Err(Code::ClientSignature.into());
        }
        _ => return Err(Code::ClientParse.into()),
    };
    if claims.is_expired() {
        return Err(Code::ClientExpired.into());
    }
    let Subject::Foreign { issuer, roles, .. } = &claims.subject else { return Err(Code::ClientParse.into()) };
    let id = id.unwrap_or(issuer);
    if !desk.same_cell(id, issuer) {
        return Err(Code::ClientIssuer.into());
    }
    if !claims.target.as_deref().is_some_and(|target| desk.is_target(target)) {
        return Err(Code::ClientTarget.into());
    }
    let confidential = roles.iter().any(|role| {
        role.strip_suffix(&format!("__role/__/{CONFIDENTIAL_ROLE}")).is_some_and(|cell| desk.same_cell(cell, issuer))
    });
    Ok(if confidential { format!("{id}#c") } else { id.to_owned() })
}
