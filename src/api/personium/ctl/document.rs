//! The documents that describe control objects: the service document, and the schema as EDMX.

use std::fmt::Write as _;

use http::header::ACCEPT;
use http::{Method, StatusCode};
use serde_json::json;

use super::super::call::Call;
use super::super::odata::Named;
use crate::base::xml::escape_attribute;
use crate::web::problem::Problem;
use crate::web::{Response, headers, response};

const METHODS: &str = "OPTIONS, GET, HEAD";

/// The name of the set behind a type: `Role` of `CellCtl.Role`.
fn set_name(named: &Named) -> &'static str {
    named.type_name.rsplit('.').next().unwrap_or(named.type_name)
}

fn read_only(call: &Call, document: impl FnOnce() -> Response) -> Result<Response, Problem> {
    match call.method {
        Method::GET | Method::HEAD => Ok(document()),
        Method::OPTIONS => Ok(response::options(METHODS)),
        _ => Err(Call::not_allowed(METHODS)),
    }
}

/// Answers `__ctl/`: the entity sets, as an Atom service document or as JSON.
pub(in super::super) fn service_document(call: &Call, sets: &[Named]) -> Result<Response, Problem> {
    read_only(call, || {
        let asks_json = |q: &str| q.split('&').any(|pair| matches!(pair, "$format=json" | "%24format=json"));
        if call.query.as_deref().is_some_and(asks_json)
            || headers::names_type(call.headers.get(ACCEPT), "application/json")
        {
            let names: Vec<_> = sets.iter().map(set_name).collect();
            return response::json(StatusCode::OK, &json!({ "d": { "EntitySets": names } }));
        }
        let base = format!("{}__ctl/", call.base_url());
        let mut out = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<service xmlns=\"http://www.w3.org/2007/app\" \
             xmlns:atom=\"http://www.w3.org/2005/Atom\" xml:base=\"{}\"><workspace><atom:title>Default</atom:title>",
            escape_attribute(&base)
        );
        for name in sets.iter().map(set_name) {
            let _ = write!(out, "<collection href=\"{name}\"><atom:title>{name}</atom:title></collection>");
        }
        out.push_str("</workspace></service>\n");
        response::text(StatusCode::OK, "application/atomsvc+xml; charset=utf-8", out)
    })
}

/// Answers `__ctl/$metadata`; nobody needs to log in for it.
pub(in super::super) fn metadata(call: &Call, namespace: &str, sets: &[Named]) -> Result<Response, Problem> {
    read_only(call, || {
        let mut out = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
             <edmx:Edmx Version=\"1.0\" xmlns:edmx=\"http://schemas.microsoft.com/ado/2007/06/edmx\">\
             <edmx:DataServices m:DataServiceVersion=\"1.0\" xmlns:m=\"http://schemas.microsoft.com/ado/2007/08/dataservices/metadata\">\
             <Schema Namespace=\"{namespace}\" xmlns=\"http://schemas.microsoft.com/ado/2006/04/edm\">"
        );
        for set in sets {
            entity_type(&mut out, set);
        }
        let _ = write!(out, "<EntityContainer Name=\"{namespace}\" m:IsDefaultEntityContainer=\"true\">");
        for set in sets {
            let _ = write!(out, "<EntitySet Name=\"{}\" EntityType=\"{}\"/>", set_name(set), set.type_name);
        }
        out.push_str("</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>\n");
        response::xml(StatusCode::OK, out)
    })
}

/// The key is the name and what is named with a dot; the other properties may be null.
fn entity_type(out: &mut String, set: &Named) {
    let name = set_name(set);
    let bound = |property: &str| property.contains('.') && name != "DrivePassword";
    let is_key = |property: &&&str| matches!(**property, "Name" | "ExtRole" | "Url") || bound(property);
    let _ = write!(out, "<EntityType Name=\"{name}\"><Key>");
    for property in set.properties.iter().filter(is_key) {
        let _ = write!(out, "<PropertyRef Name=\"{property}\"/>");
    }
    out.push_str("</Key>");
    for property in set.properties {
        let edm = if *property == "EventExternal" { "Edm.Boolean" } else { "Edm.String" };
        let nullable = !matches!(*property, "Name" | "ExtRole" | "Url" | "Action" | "_Account.Name");
        let _ = write!(out, "<Property Name=\"{property}\" Type=\"{edm}\" Nullable=\"{nullable}\"/>");
    }
    for property in ["__published", "__updated"] {
        let _ = write!(out, "<Property Name=\"{property}\" Type=\"Edm.DateTime\" Nullable=\"false\"/>");
    }
    out.push_str("</EntityType>");
}
