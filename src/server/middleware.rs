//! What happens to every request, in this order, and to every answer.
//!
//! Request: key · one host · method override · header overrides · forwarded headers · OPTIONS without credentials · `Accept` ·
//! reserve of the disk · routes.
//! Answer: errors become bodies · compression · HEAD loses its body · CORS and version headers · the end of a connection of which
//! a body was not read · one line in the log.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue,
};
use http::{HeaderMap, Method, Version};
use hyper::body::{Body as HttpBody, Incoming};

use super::{App, router};
use crate::base::id;
use crate::web::auth::AccessContext;
use crate::web::authority::Authority;
use crate::web::problem::{Code, Problem};
use crate::web::public_url::Target;
use crate::web::pulse::Exchange;
use crate::web::request_body::RequestBody;
use crate::web::{Body, Request, Response, blocking, response, unit_user};

mod access_log;
mod catch;
mod compress;
mod cors;
mod overrides;

pub(crate) use access_log::{Line, Logged};

/// An answer as it goes to the connection.
pub(crate) type Answer = http::Response<Logged>;

/// The version of the API that this server speaks, on every answer.
const PERSONIUM_VERSION: HeaderValue = HeaderValue::from_static("1.8.4");
const VERSION_HEADER: HeaderName = HeaderName::from_static("x-personium-version");

/// Every method that some resource answers.
const METHODS: &str = "OPTIONS, GET, HEAD, POST, PUT, PATCH, DELETE, MERGE, MKCOL, MOVE, COPY, PROPFIND, PROPPATCH, REPORT, LOCK, UNLOCK, ACL";

/// What finishing an answer needs of its request after a handler has taken the request.
struct Asking {
    /// The real method: a browser knows no other.
    method: Method,
    /// The method after its override.
    effective: Method,
    /// The headers that decide the form of the answer.
    headers: HeaderMap,
}

/// The answer to what is no request.
pub(super) fn refusal(problem: Problem) -> Response {
    let mut response = problem.respond(&HeaderMap::new());
    cors::allow(response.headers_mut(), &Method::GET, &Method::GET, &HeaderMap::new());
    response.headers_mut().insert(VERSION_HEADER, PERSONIUM_VERSION);
    response
}

/// Answers one request. Never fails and never panics. `fragment`: the target had a `#`, which the URI has no longer.
pub(crate) async fn answer(
    app: Arc<App>,
    peer: IpAddr,
    fragment: bool,
    exchange: Exchange,
    request: http::Request<Incoming>,
) -> Answer {
    let began = Instant::now();
    let (mut parts, body) = request.into_parts();
    let key = overrides::request_key(&parts.headers);
    let path = app.urls.effective_path(peer, &parts.headers, parts.uri.path());
    let mut line = Line::new(began, parts.method.clone(), path.clone());
    let mut asking =
        Asking { method: parts.method.clone(), effective: parts.method.clone(), headers: HeaderMap::new() };
    let silence = Duration::from_secs(app.config.connections.silence_s);
    let mut body = RequestBody::new(body, Arc::clone(exchange.pulse()), silence);
    // A stream of HTTP/2 ends without its connection.
    let rest = if parts.version == Version::HTTP_2 { None } else { body.rest() };
    let waits = parts.headers.contains_key(EXPECT);
    let result = match key {
        Ok(key) if fragment => {
            line.key = key;
            asking.headers = cors::and_form(&parts.headers);
            drop(body);
            Err(Code::TargetFragment.into())
        }
        Ok(key) if !has_its_host(&parts) => {
            line.key = key;
            asking.headers = cors::and_form(&parts.headers);
            drop(body);
            Err(Code::RequestHost.into())
        }
        Ok(key) => {
            line.key.clone_from(&key);
            match overrides::apply(&mut parts) {
                Ok(()) => {
                    asking.effective = parts.method.clone();
                    asking.headers = cors::and_form(&parts.headers);
                    line.method = parts.method.clone();
                    let options = asking.method == Method::OPTIONS;
                    // Moving the handler would copy kilobytes.
                    let handler = pin!(dispatch(app, peer, options, parts, path, key, body));
                    catch::panics(handler).await
                }
                Err(problem) => {
                    drop(body);
                    Err(problem)
                }
            }
        }
        Err(problem) => {
            drop(body);
            line.key = id::request_key();
            Err(problem)
        }
    };
    let response = result.unwrap_or_else(|problem| {
        line.failed(&problem);
        problem.respond(&asking.headers)
    });
    let mut response = finish(response, &asking).await;
    if let Some(rest) = rest
        && !rest.read_away(waits).await
    {
        // What the client still sends would be taken for its next request.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let status = response.status();
    response.map(|body| Logged::new(body, line, status, exchange))
}

/// From the overrides to the routes. `options`: the real method is OPTIONS.
async fn dispatch(
    app: Arc<App>,
    peer: IpAddr,
    options: bool,
    parts: http::request::Parts,
    path: String,
    key: String,
    body: RequestBody,
) -> Result<Response, Problem> {
    if options && (path == "*" || !parts.headers.contains_key(AUTHORIZATION)) {
        return Ok(response::options(METHODS));
    }
    if let Some(accept) = parts.headers.get_all(ACCEPT).iter().find(|v| !v.as_bytes().is_ascii()) {
        let value = String::from_utf8_lossy(accept.as_bytes());
        return Err(Problem::new(Code::ODataHeader).with("Accept").with(value));
    }
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let (asked, target) = app.urls.resolve(peer, &parts.headers, authority, &path)?;
    keep_reserve(&app, &parts.method, &target)?;
    let from = app.urls.client_address(peer, &parts.headers);
    let Authority { unit_token, sealer, .. } = &*app.authority;
    let access = AccessContext::of(&parts.headers, parts.uri.query(), from, unit_token, sealer);
    let access = unit_user::named(access, &asked, &parts.headers)?;
    let access = if unit_user::is_for_the_unit(&access, &asked) {
        let (app, asked, headers) = (Arc::clone(&app), asked.clone(), parts.headers.clone());
        blocking::run(move || unit_user::of_token(&app.authority, &app.unit, &asked, access, &headers)).await?
    } else {
        access
    };
    let query = parts.uri.query().map(str::to_owned);
    let (method, headers) = (parts.method, parts.headers);
    router::route(&app, Request { method, target, asked, query, headers, key, access, from, body }).await
}

/// Whether a request of HTTP/1 names its host exactly once, as it must from version 1.1 on (RFC 9112 section 3.2).
fn has_its_host(parts: &http::request::Parts) -> bool {
    let hosts = parts.headers.get_all(HOST).iter().count();
    match parts.version {
        Version::HTTP_11 => hosts == 1,
        _ => hosts <= 1,
    }
}

/// Refuses what may need room while the disk is almost full: with the rest, deleting still works.
/// Who wants to delete has to log in first.
fn keep_reserve(app: &App, method: &Method, target: &Target) -> Result<(), Problem> {
    let reads = matches!(method.as_str(), "GET" | "HEAD" | "DELETE" | "OPTIONS" | "PROPFIND" | "REPORT");
    let login = ["__token", "__token/revoke", "__authz"].contains(&target.rest.trim_end_matches('/'));
    if reads || (login && target.cell.is_some()) {
        return Ok(());
    }
    if app.disk_is_almost_full() { Err(Code::DiskAlmostFull.into()) } else { Ok(()) }
}

async fn finish(response: Response, asking: &Asking) -> Response {
    let mut response = compress::gzip(response, asking.headers.get(ACCEPT_ENCODING)).await;
    if asking.effective == Method::HEAD {
        let length = response.body().size_hint().exact();
        if let Some(length) = length.filter(|_| !matches!(response.body(), Body::Empty)) {
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        *response.body_mut() = Body::Empty;
    }
    cors::allow(response.headers_mut(), &asking.method, &asking.effective, &asking.headers);
    response.headers_mut().insert(VERSION_HEADER, PERSONIUM_VERSION);
    response
}
