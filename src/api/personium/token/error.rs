//! Refusals of the places where one logs in, as OAuth 2.0 has them (RFC 6749 section 5.2).

use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue, WWW_AUTHENTICATE};
use serde_json::{Map, Value};

use crate::domain::login::LoginError;
use crate::web::authority::overloaded;
use crate::web::problem::{Code, Problem};
use crate::web::{Response, response};

/// Why no token is given.
#[derive(Debug)]
pub(in super::super) enum Refusal {
    OAuth(Code, Vec<String>),
    /// The right password, which must be changed first: what lets its owner do that comes along.
    ChangePassword(Map<String, Value>),
    /// What has nothing to do with OAuth.
    Problem(Problem),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self::OAuth(code, Vec::new())
    }
}

impl Refusal {
    pub(in super::super) fn with(code: Code, param: impl Into<String>) -> Self {
        Self::OAuth(code, vec![param.into()])
    }

    /// What a login that failed is to the client: all reasons look the same.
    pub(in super::super) fn of_login(
        error: LoginError,
        problem: impl FnOnce(crate::storage::Error) -> Problem,
    ) -> Self {
        match error {
            LoginError::Failed | LoginError::Locked => Code::GrantFailed.into(),
            LoginError::Overload(overload) => Self::Problem(overloaded(overload)),
            LoginError::Store(e) => Self::Problem(problem(e)),
        }
    }

    /// The status of a refusal of OAuth's.
    pub(super) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::OAuth(code, _) => Some(code.status()),
            Self::ChangePassword(_) => Some(Code::PasswordChangeRequired.status()),
            Self::Problem(_) => None,
        }
    }

    /// The answer; `cell_url` is the realm.
    pub(in super::super) fn respond(self, cell_url: &str) -> Result<Response, Problem> {
        let (code, params, more) = match self {
            Self::Problem(problem) => return Err(problem),
            Self::OAuth(code, params) => (code, params, Map::new()),
            Self::ChangePassword(more) => (Code::PasswordChangeRequired, Vec::new(), more),
        };
        let mut body = Map::new();
        body.insert("error".to_owned(), error_of(code).into());
        let description = format!("[{}] - {}", code.as_str(), code.message(&params));
        body.insert("error_description".to_owned(), description.into());
        body.extend(more);
        let mut answer = response::json(code.status(), &Value::Object(body));
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if code.status() == StatusCode::UNAUTHORIZED {
            let realm = cell_url.replace(['"', '\\'], "");
            if let Ok(value) = HeaderValue::from_str(&format!("Basic realm=\"{realm}\"")) {
                answer.headers_mut().insert(WWW_AUTHENTICATE, value);
            }
        }
        Ok(answer)
    }
}

/// The error of OAuth that a code belongs to.
fn error_of(code: Code) -> &'static str {
    match code {
        Code::GrantType => "unsupported_grant_type",
        Code::TargetParameter | Code::ParameterMissing => "invalid_request",
        Code::ClientParse
        | Code::ClientExpired
        | Code::ClientSignature
        | Code::ClientIssuer
        | Code::ClientTarget
        | Code::ClientHeader
        | Code::ClientAssertionType
        | Code::ClientMismatch
        | Code::ClientRequired => "invalid_client",
        _ => "invalid_grant",
    }
}
