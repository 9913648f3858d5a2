//! Who asks: the credentials of a request, and the challenge that a refusal carries.
//!
//! The unit token is the unit's administrator, as `Bearer` or as the password of the Basic user `unit`. Other tokens are opened
//! here; what they are good for, and whether a password is right, is for the cell to say (`web/authority.rs`). Bad credentials
//! make an invalid context, which is refused only where nobody would have been let in without any.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, HeaderName, ORIGIN, WWW_AUTHENTICATE};
use percent_encoding::percent_decode_str;
use subtle::ConstantTimeEq;

use super::problem::{Code, Problem};
use crate::domain::access::{Denial, Reason, UnitUser};
use crate::domain::token::{Claims, Kind, OpenError, Sealer};

/// The user whose Basic password is the unit token.
const UNIT_USER: &str = "unit";

/// The cookie that stands for a token, and the query parameter that must come along.
const COOKIE_NAME: &str = "p_cookie";
const COOKIE_PEER: &str = "p_cookie_peer";

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// The token of the unit's administrator. It is never shown.
#[derive(Clone)]
pub struct UnitToken(String);

impl UnitToken {
    /// `token` must not be empty.
    pub fn new(token: String) -> Self {
        assert!(!token.is_empty(), "invariant: a unit has a token");
        Self(token)
    }

    fn is(&self, other: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(other).into()
    }
}

impl fmt::Debug for UnitToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnitToken")
    }
}

/// The code that tells why credentials are no good.
fn code_of(reason: Reason) -> Code {
    match reason {
        Reason::Expired => Code::TokenExpired,
        Reason::Scheme => Code::AuthenticationScheme,
        Reason::BasicFormat => Code::BasicFormat,
        Reason::Token => Code::TokenParse,
        Reason::RefreshToken => Code::RefreshToken,
        Reason::Seal => Code::TokenSignature,
        Reason::Cookie => Code::CookieFailed,
        Reason::BasicLocked => Code::BasicLocked,
        Reason::BasicFailed => Code::BasicFailed,
        Reason::NotHere => Code::AuthorizationRequired,
    }
}

/// A name and a password that nobody has looked at yet.
#[derive(Clone, PartialEq, Eq)]
pub struct BasicCredentials {
    pub user: String,
    pub password: String,
    /// The client's address.
    pub from: IpAddr,
}

impl fmt::Debug for BasicCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BasicCredentials")
    }
}

/// Who asks, as far as the request itself tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessContext {
    /// Every privilege everywhere.
    UnitAdmin,
    /// Somebody whom the unit knows.
    UnitUser(Arc<UnitUser>),
    Anonymous,
    Invalid(Reason),
    /// A token of the unit that has not expired.
    Token(Arc<(Kind, Claims)>),
    Basic(Arc<BasicCredentials>),
}

impl AccessContext {
    /// Reads the `Authorization` of a request; without one, its cookie if the query names the cookie's peer.
    pub fn of(headers: &HeaderMap, query: Option<&str>, from: IpAddr, unit: &UnitToken, sealer: &Sealer) -> Self {
        let Some(value) = headers.get(AUTHORIZATION) else { return Self::of_cookie(headers, query, sealer) };
        let value = value.as_bytes().trim_ascii();
        let at = value.iter().position(|b| *b == b' ').unwrap_or(value.len());
        let (scheme, credentials) = (&value[..at], value[at..].trim_ascii());
        if scheme.eq_ignore_ascii_case(b"bearer") {
            if unit.is(credentials) { Self::UnitAdmin } else { Self::of_token(credentials, sealer) }
        } else if scheme.eq_ignore_ascii_case(b"basic") {
            Self::of_basic(credentials, from, unit)
        } else {
            Self::Invalid(Reason::Scheme)
        }
    }

    fn of_token(token: &[u8], sealer: &Sealer) -> Self {
        let Ok(token) = std::str::from_utf8(token) else { return Self::Invalid(Reason::Token) };
        let opened = match sealer.open_again(token) {
            Ok(opened) => opened,
            Err(OpenError::Seal) if token.starts_with(Kind::Transcell.prefix()) => return Self::Invalid(Reason::Seal),
            Err(_) => return Self::Invalid(Reason::Token),
        };
        match opened.0 {
            Kind::Code | Kind::Cookie => Self::Invalid(Reason::Token),
            kind if kind.is_refresh() => Self::Invalid(Reason::RefreshToken),
            _ if opened.1.is_expired() => Self::Invalid(Reason::Expired),
            _ => Self::Token(opened),
        }
    }

    fn of_basic(credentials: &[u8], from: IpAddr, unit: &UnitToken) -> Self {
        let Some((user, password)) = decode_basic(credentials) else { return Self::Invalid(Reason::BasicFormat) };
        if user == UNIT_USER && unit.is(password.as_bytes()) {
            return Self::UnitAdmin;
        }
        Self::Basic(Arc::new(BasicCredentials { user, password, from }))
    }

    fn of_cookie(headers: &HeaderMap, query: Option<&str>, sealer: &Sealer) -> Self {
        let peer = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        let peer = peer.filter(|(name, _)| *name == COOKIE_PEER).map(|(_, value)| value).next().unwrap_or_default();
        let peer = percent_decode_str(peer).decode_utf8_lossy();
        let mut cookies = headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| *name == COOKIE_NAME)
            .map(|(_, value)| value)
            .peekable();
        if peer.is_empty() || cookies.peek().is_none() {
            return Self::Anonymous;
        }
        let opened = cookies.find_map(|cookie| {
            let (kind, claims) = sealer.open(cookie).ok()?;
            let same = claims.with.as_deref()?.as_bytes().ct_eq(peer.as_bytes());
            (kind == Kind::Cookie && bool::from(same)).then_some(claims.wrapped?)
        });
        match opened {
            Some(token) => Self::of_token(token.as_bytes(), sealer),
            None => Self::Invalid(Reason::Cookie),
        }
    }

    pub fn is_unit_admin(&self) -> bool {
        *self == Self::UnitAdmin
    }

    /// The unit user who asks, if it is one.
    pub fn unit_user(&self) -> Option<&UnitUser> {
        match self {
            Self::UnitUser(user) => Some(user),
            _ => None,
        }
    }

    /// Whether there is anybody who could be let in.
    pub fn may_be_somebody(&self) -> bool {
        !matches!(self, Self::Anonymous | Self::Invalid(_))
    }

    /// Lets only the unit's administrator and its users pass.
    pub fn require_unit(&self, challenge: &Challenge) -> Result<(), Problem> {
        let denial = match self {
            Self::UnitAdmin | Self::UnitUser(_) => return Ok(()),
            Self::Anonymous => Denial::Anonymous,
            Self::Invalid(reason) => Denial::Invalid(*reason),
            Self::Token(_) => Denial::UnitOnly,
            Self::Basic(_) => Denial::Invalid(Reason::BasicFailed),
        };
        Err(challenge.refusal(denial))
    }
}

/// Name and password of the credentials of Basic.
fn decode_basic(credentials: &[u8]) -> Option<(String, String)> {
    let decoded = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// The value of the cookie for an access token, to be used with this peer.
pub fn cookie_for(sealer: &Sealer, claims: &Claims, token: &str, peer: &str) -> String {
    let cookie = Claims { with: Some(peer.to_owned()), wrapped: Some(token.to_owned()), ..claims.clone() };
    format!("{COOKIE_NAME}={}", sealer.seal(Kind::Cookie, &cookie))
}

/// What kind of place refuses, which decides the schemes it offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `/`, `/{cell}/`, `__snapshot`, and boxes without schema.
    Open,
    /// A box with a schema: no password box where a script asks.
    SchemaBox,
    /// `__ctl` and the other endpoints.
    Endpoint,
}

/// The `WWW-Authenticate` of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    realm: String,
    basic: bool,
}

impl Challenge {
    /// `realm` is the cell's URL, or the unit's at the unit's level.
    pub fn new(place: Place, realm: String, request: &HeaderMap) -> Self {
        Self::with(place, realm, Self::is_by_script(request))
    }

    /// As [`Self::new`], for a request of which it is known whether a script sent it.
    pub fn with(place: Place, realm: String, by_script: bool) -> Self {
        let basic = match place {
            Place::Open => true,
            Place::SchemaBox => !by_script,
            Place::Endpoint => false,
        };
        Self { realm, basic }
    }

    /// Whether a browser says that a script of a page sent the request.
    pub fn is_by_script(request: &HeaderMap) -> bool {
        request.contains_key(ORIGIN) || request.get(SEC_FETCH_MODE).is_some_and(|mode| mode.as_bytes() == b"cors")
    }

    /// What a caller who may not hears.
    pub fn refusal(&self, denial: Denial) -> Problem {
        let code = match denial {
            Denial::Anonymous => Code::AuthorizationRequired,
            Denial::Invalid(reason) => code_of(reason),
            Denial::PasswordChange => Code::PasswordChangeToken,
            Denial::Lacking => Code::PrivilegeLacking,
            Denial::Scope(privilege) => return Problem::new(Code::ScopeLacking).with(privilege.name()),
            Denial::NoSchema => Code::SchemaRequired,
            Denial::OtherSchema => Code::SchemaMismatch,
            Denial::SchemaLevel => Code::SchemaLevel,
            Denial::UnitOnly => Code::UnitUserRequired,
            Denial::NotTheOwner => Code::NotTheOwner,
        };
        self.attach(Problem::new(code))
    }

    /// Adds the schemes to a refusal that asks for credentials.
    pub fn attach(&self, problem: Problem) -> Problem {
        if problem.status() != http::StatusCode::UNAUTHORIZED {
            return problem;
        }
        let realm = self.realm.replace(['"', '\\'], "");
        let problem = problem.header(WWW_AUTHENTICATE, format!("Bearer realm=\"{realm}\""));
        if !self.basic {
            return problem;
        }
        problem.header(WWW_AUTHENTICATE, format!("Basic realm=\"{realm}\", charset=\"UTF-8\""))
    }
}

#[cfg(test)]
mod tests;
