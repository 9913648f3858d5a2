//! Errors as clients see them: the only place where a code becomes a status and a body.
//!
//! An error is the JSON object `{"code":…,"message":{"lang":…,"value":…}}`. Where an RFC names the violated condition it is
//! `<D:error>` with that element, the code and the message, unless the client asks for JSON.

use std::fmt::{self, Display, Write as _};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::{Body, Response, headers};

mod codes;
#[cfg(test)]
mod tests;

pub use codes::Code;

impl Code {
    /// The status, which is the code's own digits.
    pub fn status(self) -> StatusCode {
        StatusCode::from_bytes(&self.as_str().as_bytes()[2..5])
            .expect("invariant: every code has a status, see the tests")
    }

    fn lang(self) -> &'static str {
        if self == Self::UnknownException { "en_US" } else { "en" }
    }

    /// The message with its parameters filled in.
    pub fn message(self, params: &[String]) -> String {
        let mut text = String::new();
        let mut rest = self.template();
        while let Some((before, digit, after)) = placeholder(rest) {
            text.push_str(before);
            text.push_str(params.get(digit).map_or("", String::as_str));
            rest = after;
        }
        text.push_str(rest);
        text
    }
}

/// Splits at the first `{n}`.
fn placeholder(text: &str) -> Option<(&str, usize, &str)> {
    let at = text.find('{')?;
    let digit = text[at + 1..].chars().next()?.to_digit(10)?;
    let after = text[at + 2..].strip_prefix('}')?;
    Some((&text[..at], digit as usize, after))
}

/// The condition that an RFC says was violated: an element in the namespace `DAV:`, with the resources it speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The local name: `lock-token-submitted`.
    pub element: &'static str,
    pub hrefs: Vec<String>,
}

/// Members of a tree that stood in the way of an operation on the whole of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Members {
    hrefs: Vec<String>,
    /// The resource of the request, where the answer must speak of it too.
    whole: Option<String>,
}

/// An error on its way to the client.
#[derive(Debug)]
pub struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    code: Code,
    params: Vec<String>,
    condition: Option<Condition>,
    members: Option<Members>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<String>,
    text: Option<String>,
}

impl Problem {
    pub fn new(code: Code) -> Self {
        let (params, headers) = (Vec::new(), Vec::new());
        Self(Box::new(Parts { code, params, condition: None, members: None, headers, cause: None, text: None }))
    }

    /// A failure of ours that has no code of its own. The client gets a number under which the log has the cause.
    pub fn internal(cause: impl Display) -> Self {
        Self::new(Code::UnknownException).with(crate::base::id::uuid22()).because(cause)
    }

    /// Adds the next parameter of the message. Numbers are written as they are; see [`grouped`].
    pub fn with(mut self, param: impl Display) -> Self {
        self.0.params.push(param.to_string());
        self
    }

    /// Names the condition of an RFC that was violated.
    pub fn violating(mut self, element: &'static str, hrefs: Vec<String>) -> Self {
        self.0.condition = Some(Condition { element, hrefs });
        self
    }

    /// Blames members of the tree that the request is about: the answer is a 207 that names them, with the condition that
    /// was set before. `whole` is the URL of the request where it has to be told that it failed along with them.
    pub fn of_members(mut self, hrefs: Vec<String>, whole: Option<String>) -> Self {
        self.0.members = Some(Members { hrefs, whole });
        self
    }

    /// Adds a header. A value that no header can have is left out.
    pub fn header(mut self, name: HeaderName, value: impl TryInto<HeaderValue>) -> Self {
        if let Ok(value) = value.try_into() {
            self.0.headers.push((name, value));
        }
        self
    }

    /// Replaces the message of the table by one of the layer below, which must be safe for clients.
    pub fn saying(mut self, message: String) -> Self {
        self.0.text = Some(message);
        self
    }

    /// Remembers what only the log may say.
    pub fn because(mut self, cause: impl Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    pub fn code(&self) -> Code {
        self.0.code
    }

    pub fn status(&self) -> StatusCode {
        self.0.code.status()
    }

    pub fn message(&self) -> String {
        self.0.text.clone().unwrap_or_else(|| self.0.code.message(&self.0.params))
    }

    pub fn condition(&self) -> Option<&Condition> {
        self.0.condition.as_ref()
    }

    /// What the log may say and the client not.
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// The answer to a request with these headers.
    pub fn respond(self, request: &HeaderMap) -> Response {
        const XML: &str = "application/xml; charset=utf-8";
        let condition =
            self.0.condition.as_ref().filter(|_| !headers::names_type(request.get(ACCEPT), "application/json"));
        let (status, mime, body) = match (condition, &self.0.members) {
            (None, _) => (self.status(), "application/json", self.json()),
            (Some(condition), None) => (self.status(), XML, self.xml(condition)),
            (Some(condition), Some(members)) => (StatusCode::MULTI_STATUS, XML, self.multistatus(condition, members)),
        };
        let mut response = Response::new(Body::Text(Bytes::from(body)));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(mime));
        for (name, value) in self.0.headers {
            response.headers_mut().append(name, value);
        }
        response
    }

    fn json(&self) -> String {
        let message = json!({ "lang": self.0.code.lang(), "value": self.message() });
        json!({ "code": self.0.code.as_str(), "message": message }).to_string()
    }

    fn xml(&self, condition: &Condition) -> String {
        let mut inner = String::new();
        for href in &condition.hrefs {
            inner.push_str("<D:href>");
            push_escaped(&mut inner, href);
            inner.push_str("</D:href>");
        }
        let mut message = String::new();
        push_escaped(&mut message, &self.message());
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
             <D:error xmlns:D=\"DAV:\" xmlns:p=\"urn:x-personium:xmlns\"><D:{0}>{inner}</D:{0}><p:code>{1}</p:code><p:message>{message}</p:message></D:error>\n",
            condition.element,
            self.0.code.as_str(),
        )
    }

    fn multistatus(&self, condition: &Condition, members: &Members) -> String {
        let mut out = String::from(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
             <D:multistatus xmlns:D=\"DAV:\" xmlns:p=\"urn:x-personium:xmlns\">",
        );
        let mut response = |href: &str, status: StatusCode, rest: &str| {
            out.push_str("<D:response><D:href>");
            push_escaped(&mut out, href);
            let _ = write!(out, "</D:href><D:status>HTTP/1.1 {status}</D:status>{rest}</D:response>");
        };
        let mut message = String::new();
        push_escaped(&mut message, &self.message());
        let (element, code) = (condition.element, self.0.code.as_str());
        let rest = format!(
            "<D:error><D:{element}/><p:code>{code}</p:code></D:error><D:responsedescription>{message}</D:responsedescription>"
        );
        for href in &members.hrefs {
            response(href, self.status(), &rest);
        }
        if let Some(whole) = &members.whole {
            response(whole, StatusCode::FAILED_DEPENDENCY, "");
        }
        out.push_str("</D:multistatus>\n");
        out
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.code.as_str(), self.message())
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

/// Escapes markup; a control character, which XML cannot hold, becomes `\u001f`.
fn push_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

/// A number with its thousands grouped: `1,024`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
