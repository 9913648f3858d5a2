//! PROPPATCH (RFC 4918 section 9.2): all instructions in their order, or none.

use std::io::Write;

use http::StatusCode;

use super::gate::Gate;
use super::subject::{DavRequest, Subject, change};
use super::xml::{self, MULTISTATUS, MULTISTATUS_END, tagged, write_name};
use crate::base::xml::{DAV, Element, escape_text};
use crate::domain::lock::Reach;
use crate::domain::properties::is_protected;
use crate::storage::database::Resource;
use crate::storage::database::property::Property;
use crate::storage::operation::proppatch::{PropertyChange, Proppatch};
use crate::web::blocking::run;
use crate::web::problem::{Code, Problem};
use crate::web::request_body::RequestBody;
use crate::web::{Response, response};

/// A property that the body names, with the status that it gets.
struct Outcome {
    ns: String,
    local: String,
    status: StatusCode,
}

pub(super) async fn proppatch(request: DavRequest, body: RequestBody) -> Result<Response, Problem> {
    let body = xml::read(body, request.body_limit).await?;
    let (request, subject, changes) = run(move || {
        let subject = request.admit()?;
        subject.existing()?;
        let changes = instructions(&xml::document(&body)?)?;
        Ok((request, subject, changes))
    })
    .await?;
    let mut outcomes = outcomes(&changes);
    if outcomes.iter().any(|o| o.status == StatusCode::FORBIDDEN) {
        outcomes
            .iter_mut()
            .filter(|o| o.status == StatusCode::OK)
            .for_each(|o| o.status = StatusCode::FAILED_DEPENDENCY);
        let (subject, row) = run(move || subject.existing().map(|(_, row)| (subject, row))).await?;
        return Ok(multistatus(&subject, &row, &outcomes));
    }
    let (subject, row) = change(move || {
        let guard = Gate::of(&request, &subject)?.guard_existing(Reach::Itself, |_| Ok(()));
        let operation = Proppatch { box_name: subject.box_name.clone(), path: subject.path.clone(), changes, guard };
        Ok((subject, operation))
    })
    .await?;
    Ok(multistatus(&subject, &row, &outcomes))
}

/// Reads a `propertyupdate`: `set` and `remove`, in the order of the document.
fn instructions(root: &Element) -> Result<Vec<PropertyChange>, Problem> {
    let wrong = |what: &str| Problem::new(Code::XmlContent).because(what);
    if !root.is(DAV, "propertyupdate") {
        return Err(Problem::new(Code::XmlParse).because("the root is no propertyupdate"));
    }
    let mut changes = Vec::new();
    for instruction in root.elements().filter(|e| e.is(DAV, "set") || e.is(DAV, "remove")) {
        let sets = instruction.is(DAV, "set");
        let mut props = instruction.children_named(DAV, "prop");
        let (Some(prop), None) = (props.next(), props.next()) else { return Err(wrong("not one prop")) };
        for property in prop.elements() {
            let (ns, local) = (property.ns.clone(), property.local.clone());
            changes.push(if sets {
                PropertyChange::Set(Property { ns, local, xml: property.to_xml() })
            } else {
                PropertyChange::Remove { ns, local }
            });
        }
    }
    if changes.is_empty() { Err(wrong("no property")) } else { Ok(changes) }
}

/// What becomes of each property, each once.
fn outcomes(changes: &[PropertyChange]) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(changes.len());
    let mut known = std::collections::HashSet::new();
    for change in changes {
        let (ns, local) = match change {
            PropertyChange::Set(p) => (&p.ns, &p.local),
            PropertyChange::Remove { ns, local } => (ns, local),
        };
        if known.insert((ns, local)) {
            let status = if is_protected(ns, local) { StatusCode::FORBIDDEN } else { StatusCode::OK };
            outcomes.push(Outcome { ns: ns.clone(), local: local.clone(), status });
        }
    }
    outcomes
}

fn multistatus(subject: &Subject, row: &Resource, outcomes: &[Outcome]) -> Response {
    let mut out = Vec::from(MULTISTATUS);
    write_response(&mut out, &subject.url, outcomes).expect("invariant: memory takes what is written");
    out.extend_from_slice(MULTISTATUS_END.as_bytes());
    tagged(response::xml(StatusCode::MULTI_STATUS, out), row)
}

fn write_response(out: &mut Vec<u8>, url: &str, outcomes: &[Outcome]) -> std::io::Result<()> {
    write!(out, "<D:response><D:href>{}</D:href>", escape_text(url))?;
    for status in [StatusCode::OK, StatusCode::FORBIDDEN, StatusCode::FAILED_DEPENDENCY] {
        if !outcomes.iter().any(|o| o.status == status) {
            continue;
        }
        out.extend_from_slice(b"<D:propstat><D:prop>");
        for outcome in outcomes.iter().filter(|o| o.status == status) {
            write_name(out, &outcome.ns, &outcome.local)?;
        }
        write!(out, "</D:prop><D:status>HTTP/1.1 {status}</D:status>")?;
        if status == StatusCode::FORBIDDEN {
            out.extend_from_slice(b"<D:error><D:cannot-modify-protected-property/></D:error>");
        }
        out.extend_from_slice(b"</D:propstat>");
    }
    out.extend_from_slice(b"</D:response>");
    Ok(())
}
