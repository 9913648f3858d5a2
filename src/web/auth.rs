//! Who asks: the credentials of a request, and the challenge that a refusal carries.
//!
//! The unit token is the unit's administrator, as `Bearer` or as the password of the Basic user `unit`. Bad credentials make
//! an invalid context, which is refused only where nobody would have been let in without any.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName, ORIGIN, WWW_AUTHENTICATE};
use subtle::ConstantTimeEq;

use super::problem::{Code, Problem};

/// The user whose Basic password is the unit token.
const UNIT_USER: &str = "unit";

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

/// Why credentials are no good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalid {
    Scheme,
    BasicFormat,
    Token,
    Basic,
}

impl Invalid {
    fn code(self) -> Code {
        match self {
            Self::Scheme => Code::AuthenticationScheme,
            Self::BasicFormat => Code::BasicFormat,
            Self::Token => Code::TokenParse,
            Self::Basic => Code::BasicFailed,
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessContext {
    /// Every privilege everywhere.
    UnitAdmin,
    Anonymous,
    Invalid(Invalid),
}

impl AccessContext {
    /// Reads the `Authorization` of a request.
    pub fn of(headers: &HeaderMap, unit: &UnitToken) -> Self {
        let Some(value) = headers.get(AUTHORIZATION) else { return Self::Anonymous };
        let value = value.as_bytes().trim_ascii();
        let at = value.iter().position(|b| *b == b' ').unwrap_or(value.len());
        let (scheme, credentials) = (&value[..at], value[at..].trim_ascii());
        if scheme.eq_ignore_ascii_case(b"bearer") {
            if unit.is(credentials) { Self::UnitAdmin } else { Self::Invalid(Invalid::Token) }
        } else if scheme.eq_ignore_ascii_case(b"basic") {
            Self::of_basic(credentials, unit)
        } else {
            Self::Invalid(Invalid::Scheme)
        }
    }

    fn of_basic(credentials: &[u8], unit: &UnitToken) -> Self {
        let Ok(decoded) = STANDARD.decode(credentials) else { return Self::Invalid(Invalid::BasicFormat) };
        let Some(colon) = decoded.iter().position(|b| *b == b':') else { return Self::Invalid(Invalid::BasicFormat) };
        let (user, password) = (&decoded[..colon], &decoded[colon + 1..]);
        if user == UNIT_USER.as_bytes() && unit.is(password) { Self::UnitAdmin } else { Self::Invalid(Invalid::Basic) }
    }

    pub fn is_unit_admin(self) -> bool {
        self == Self::UnitAdmin
    }

    /// The refusal of a caller without the privilege, whoever that is.
    pub fn refusal(self, challenge: &Challenge) -> Problem {
        let code = match self {
            Self::UnitAdmin => return Problem::new(Code::PrivilegeLacking),
            Self::Anonymous => Code::AuthorizationRequired,
            Self::Invalid(reason) => reason.code(),
        };
        challenge.attach(Problem::new(code))
    }

    /// Lets only the unit's administrator pass.
    pub fn require_unit(self, challenge: &Challenge) -> Result<(), Problem> {
        if self.is_unit_admin() { Ok(()) } else { Err(self.refusal(challenge)) }
    }
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
        let by_script = || {
            request.contains_key(ORIGIN) || request.get(SEC_FETCH_MODE).is_some_and(|mode| mode.as_bytes() == b"cors")
        };
        let basic = match place {
            Place::Open => true,
            Place::SchemaBox => !by_script(),
            Place::Endpoint => false,
        };
        Self { realm, basic }
    }

    fn attach(&self, problem: Problem) -> Problem {
        let realm = self.realm.replace(['"', '\\'], "");
        let problem = problem.header(WWW_AUTHENTICATE, format!("Bearer realm=\"{realm}\""));
        if !self.basic {
            return problem;
        }
        problem.header(WWW_AUTHENTICATE, format!("Basic realm=\"{realm}\", charset=\"UTF-8\""))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn context(authorization: &str) -> AccessContext {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(authorization).expect("a value"));
        AccessContext::of(&headers, &UnitToken::new("s3cret".to_owned()))
    }

    fn basic(text: &str) -> AccessContext {
        context(&format!("Basic {}", STANDARD.encode(text)))
    }

    #[test]
    fn the_unit_token_is_the_administrator() {
        assert!(context("Bearer s3cret").is_unit_admin());
        assert!(context("bearer  s3cret ").is_unit_admin());
        assert!(basic("unit:s3cret").is_unit_admin());
    }

    #[test]
    fn bad_credentials_say_why() {
        let unit = UnitToken::new("t".to_owned());
        assert_eq!(AccessContext::of(&HeaderMap::new(), &unit), AccessContext::Anonymous);
        for (text, reason) in [
            ("Bearer", Invalid::Token),
            ("Bearer s3cre", Invalid::Token),
            ("Bearer s3cret x", Invalid::Token),
            ("Digest x", Invalid::Scheme),
            ("", Invalid::Scheme),
            ("Basic", Invalid::BasicFormat),
            ("Basic %%%", Invalid::BasicFormat),
        ] {
            assert_eq!(context(text), AccessContext::Invalid(reason), "{text}");
        }
        assert_eq!(basic("no colon"), AccessContext::Invalid(Invalid::BasicFormat));
        assert_eq!(basic("unit:wrong"), AccessContext::Invalid(Invalid::Basic));
        assert_eq!(basic("other:s3cret"), AccessContext::Invalid(Invalid::Basic));
    }

    fn offered(place: Place, header: Option<(HeaderName, &'static str)>) -> Vec<String> {
        let mut request = HeaderMap::new();
        if let Some((name, value)) = header {
            request.insert(name, HeaderValue::from_static(value));
        }
        let challenge = Challenge::new(place, "http://u/c/".to_owned(), &request);
        let problem = AccessContext::Anonymous.require_unit(&challenge).expect_err("a refusal");
        assert_eq!(problem.code(), Code::AuthorizationRequired);
        let response = problem.respond(&request);
        response.headers().get_all(WWW_AUTHENTICATE).iter().map(|v| v.to_str().expect("text").to_owned()).collect()
    }

    #[test]
    fn the_place_decides_what_is_offered() {
        let bearer = "Bearer realm=\"http://u/c/\"";
        let both = [bearer, "Basic realm=\"http://u/c/\", charset=\"UTF-8\""];
        assert_eq!(offered(Place::Open, Some((ORIGIN, "https://a.example"))), both);
        assert_eq!(offered(Place::SchemaBox, None), both);
        assert_eq!(offered(Place::SchemaBox, Some((ORIGIN, "https://a.example"))), [bearer]);
        assert_eq!(offered(Place::SchemaBox, Some((SEC_FETCH_MODE, "cors"))), [bearer]);
        assert_eq!(offered(Place::SchemaBox, Some((SEC_FETCH_MODE, "navigate"))), both);
        assert_eq!(offered(Place::Endpoint, None), [bearer]);
    }

    #[test]
    fn tokens_are_not_shown() {
        assert!(!format!("{:?}", UnitToken::new("s3cret".to_owned())).contains("s3cret"));
    }
}
