//! The login page: one form, readable without style, usable without a pointer and without scripts.

use std::fmt::Write as _;

use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};

use super::super::call::Call;
use super::super::form::Form;
use super::REFERRER_POLICY;
use crate::base::xml::escape_text;
use crate::web::{Response, response};

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:26rem;margin:10vh auto;padding:0 1rem;color:#1b1b1f;background:#fff}\
label{display:block;margin-top:1rem}input{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;border:1px solid #5b5b66;border-radius:.25rem}\
button{font:inherit;margin:1.5rem .5rem 0 0;padding:.5rem 1.25rem;border:1px solid #1f4fbf;border-radius:.25rem;background:#1f4fbf;color:#fff}\
button.quiet{background:#fff;color:#1f4fbf}:focus-visible{outline:3px solid #1f4fbf;outline-offset:2px}\
[role=alert]{border-left:4px solid #b00020;padding:.5rem 1rem;background:#fdecee}code{overflow-wrap:anywhere}\
@media(prefers-color-scheme:dark){body{color:#eee;background:#16161a}input{background:#222;color:#eee}button.quiet{background:#16161a;color:#9db7ff}[role=alert]{background:#3b1219}}";

/// What of a request the form carries along.
const KEPT: &[&str] = &["response_type", "client_id", "redirect_uri", "state", "scope", "expires_in"];

/// The page; `hint` says what was wrong.
pub(super) fn login(call: &Call, form: &Form, client: &str, hint: Option<&str>) -> Response {
    let quoted = |text: &str| escape_text(text).replace('"', "&quot;");
    let mut kept = String::new();
    for name in KEPT {
        if let Some(value) = form.get(name) {
            let _ = write!(kept, "<input type=\"hidden\" name=\"{name}\" value=\"{}\">", quoted(value));
        }
    }
    let alert = hint.map(|hint| format!("<p role=\"alert\">{}</p>", escape_text(hint))).unwrap_or_default();
    let name = quoted(form.get("username").unwrap_or_default());
    let cell = call.base_url();
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Log in to {title}</title><style>{STYLE}</style></head><body><main><h1>Log in</h1>\
         <p>The app <code>{app}</code> asks for your data in <code>{cell}</code>.</p>{alert}\
         <form method=\"post\" action=\"{action}\">{kept}\
         <label for=\"username\">Name</label><input id=\"username\" name=\"username\" value=\"{name}\" autocomplete=\"username\" autocapitalize=\"none\" required autofocus>\
         <label for=\"password\">Password</label><input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\" required>\
         <button>Log in</button><button class=\"quiet\" name=\"cancel_flg\" value=\"1\" formnovalidate>Cancel</button>\
         </form></main></body></html>\n",
        title = escape_text(&call.cell),
        app = escape_text(client),
        cell = escape_text(&cell),
        action = quoted(&format!("{cell}__authz")),
    );
    let mut answer = response::text(StatusCode::OK, "text/html; charset=utf-8", page);
    // The form may go here, and its answer to the app; nothing else is loaded, and nobody puts the page into a frame.
    let origin = origin(client);
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self' {origin}; frame-ancestors 'none'; base-uri 'none'"
    );
    let headers = answer.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, value);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}

/// Scheme and authority of a URL, as far as they can stand in a policy.
fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let authority = rest.split('/').next().unwrap_or_default();
    let plain =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
    if plain(scheme) && plain(authority) { format!("{scheme}://{authority}") } else { String::new() }
}
