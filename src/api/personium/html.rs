//! `{cell}__html/error?code=…`: what a code means, as a page. Flows in browsers end there when they cannot end anywhere else.

use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{Method, StatusCode};

use super::call::Call;
use super::form::Form;
use crate::base::xml::escape_text;
use crate::web::problem::Code;
use crate::web::problem::Problem;
use crate::web::state::App;
use crate::web::{Request, Response, blocking, response};

const METHODS: &str = "OPTIONS, GET, HEAD";

/// What the page says of a code that there is not.
const UNDEFINED: &str = "undefined";

/// Answers a request below `{cell}__html`.
pub async fn route(app: &App, request: Request) -> Result<Response, Problem> {
    if request.target.rest.trim_end_matches('/') != "__html/error" {
        return Err(Code::UriNotRecognized.into());
    }
    let call = Call::of(app, request).await?;
    blocking::run(move || {
        call.record()?;
        match call.method {
            Method::GET | Method::HEAD => Ok(page(call.query.as_deref().unwrap_or_default())),
            Method::OPTIONS => Ok(response::options(METHODS)),
            _ => Err(Call::not_allowed(METHODS)),
        }
    })
    .await
}

fn page(query: &str) -> Response {
    let form = Form::parse(query.as_bytes());
    let code = form.get("code").and_then(Code::of);
    let (title, text) = code.map_or((UNDEFINED, UNDEFINED), |code| (code.as_str(), code.template()));
    let (title, text) = (escape_text(title), escape_text(text));
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title></head><body><main><h1>That did not work</h1><p>{text}</p><p><code>{title}</code></p></main></body></html>\n"
    );
    let mut answer = response::text(StatusCode::OK, "text/html; charset=utf-8", page);
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
        (CACHE_CONTROL, "no-store"),
        (X_FRAME_OPTIONS, "DENY"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}
