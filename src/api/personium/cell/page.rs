//! GET of a cell: what it is as JSON or XML; for browsers, the page that its owner configured.

use http::StatusCode;
use http::header::ACCEPT;
use serde_json::json;

use super::super::call::Call;
use crate::base::uri::{Uri, is_clean};
use crate::base::xml::{self, Limits, PERSONIUM, escape_text};
use crate::storage::database::cell_root::CELL_ROOT;
use crate::storage::unit::CellRecord;
use crate::web::problem::{Code, Problem};
use crate::web::{Response, headers, response};

/// The property that says where the page of a cell comes from.
const RELAY: &str = "relayhtmlurl";

pub(super) fn get(call: &Call, record: &CellRecord) -> Result<Response, Problem> {
    let names = |mime| headers::names_type(call.headers.get(ACCEPT), mime);
    let page = names("text/html");
    if names("application/json") && !page {
        let unit = json!({ "url": call.asked.unit(), "path_based_cellurl_enabled": call.path_based });
        let cell = json!({ "name": record.name, "url": call.base_url() });
        return Ok(response::json(StatusCode::OK, &json!({ "cell": cell, "unit": unit })));
    }
    if names("application/xml") && !page {
        let document = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><cell xmlns=\"{PERSONIUM}\"><uuid>{}</uuid><ctl>{}__ctl/</ctl></cell>",
            escape_text(&record.uuid),
            escape_text(&call.base_url()),
        );
        return Ok(response::xml(StatusCode::OK, document));
    }
    Err(relay(call)?)
}

/// Why there is no page. Pages of other servers are not fetched.
fn relay(call: &Call) -> Result<Problem, Problem> {
    let read = call.open()?.read(|view| view.properties(CELL_ROOT));
    let properties = read.map_err(|e| call.failed(e))?;
    let configured = properties.into_iter().find(|p| p.ns == PERSONIUM && p.local == RELAY).map(|p| {
        let element = xml::parse(p.xml.as_bytes(), Limits::of(p.xml.len()));
        element.map(|e| e.text().trim().to_owned()).unwrap_or_default()
    });
    Ok(match configured {
        None => Problem::new(Code::PropertyNotConfigured).with(RELAY),
        Some(url) if !is_relay_url(&url) => Problem::new(Code::PropertyUrl).with(RELAY),
        Some(url) => Problem::new(Code::RelayConnect).with(url),
    })
}

fn is_relay_url(url: &str) -> bool {
    let schemes = ["http", "https", "personium-localunit", "personium-localcell"];
    is_clean(url) && Uri::split(url).scheme.is_some_and(|s| schemes.contains(&s))
}
