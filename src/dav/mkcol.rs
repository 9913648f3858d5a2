//! MKCOL (RFC 4918 section 9.3) and extended MKCOL (RFC 5689): collections, service collections, and their first properties.
//!
//! A body that asks for what cannot be is answered with an `mkcol-response` and creates nothing.

use std::io::Write;

use bytes::Bytes;
use http::StatusCode;
use tokio::sync::oneshot;

use super::allow::{is_there, not_allowed};
use super::gate::Gate;
use super::subject::{DavRequest, Subject};
use super::xml::{self, tagged, write_name};
use crate::base::xml::{DAV, Element, PERSONIUM, escape_text};
use crate::domain::lock::Reach;
use crate::domain::properties::is_protected;
use crate::domain::resource::may_hold_collection;
use crate::storage::cell::received;
use crate::storage::database::cell_box::Lookup;
use crate::storage::database::property::Property;
use crate::storage::database::{Kind, Resource};
use crate::storage::operation::mkcol::Mkcol;
use crate::storage::operation::{Guard, check_new};
use crate::storage::{Error, Result as Stored};
use crate::web::blocking::run;
use crate::web::problem::{Code, Problem};
use crate::web::request_body::RequestBody;
use crate::web::{Response, response};

/// What a body asks for.
struct Wish {
    kind: Kind,
    properties: Vec<Property>,
}

/// A change that is on its way, or the answer that explains why it is not.
type Begun = Result<(Subject, oneshot::Receiver<Stored<Resource>>), Response>;

pub(super) async fn mkcol(request: DavRequest, body: RequestBody) -> Result<Response, Problem> {
    if !body.is_empty() && !xml::is_declared(&request.headers) {
        return run(move || {
            let subject = request.admit()?;
            prepare(&request, &subject)?;
            Err(Code::MediaTypeUnsupported.into())
        })
        .await;
    }
    let body = xml::read(body, request.body_limit).await?;
    match run(move || begin(&request, &body)).await? {
        Err(explained) => Ok(explained),
        Ok((subject, answer)) => {
            let resource = received(answer.await).map_err(|e| subject.problem(e))?;
            Ok(tagged(response::empty(StatusCode::CREATED), &resource))
        }
    }
}

fn begin(request: &DavRequest, body: &Bytes) -> Result<Begun, Problem> {
    let subject = request.admit()?;
    let gate = prepare(request, &subject)?;
    let wish = if body.is_empty() {
        Wish { kind: Kind::Collection, properties: Vec::new() }
    } else {
        match understand(&xml::document(body)?)? {
            Ok(wish) => wish,
            Err(explained) => return Ok(Err(explained)),
        }
    };
    let guard: Guard = Box::new(move |view, lookup| {
        may_stand(lookup)?;
        gate.check(view, lookup, Reach::Itself)
    });
    let answer = subject.cell.submit(Mkcol {
        box_name: subject.box_name.clone(),
        path: subject.path.clone(),
        kind: wish.kind,
        properties: wish.properties,
        guard,
    });
    Ok(Ok((subject, answer)))
}

/// Everything that can be refused without the body.
fn prepare(request: &DavRequest, subject: &Subject) -> Result<Gate, Problem> {
    let lookup = subject.lookup()?;
    may_stand(&lookup)?;
    check_new(&subject.cell, &lookup, &subject.path).map_err(|e| match e {
        Error::ParentMissing(_) => subject.parent_missing(&lookup),
        Error::NotCollection => not_allowed(&lookup),
        e => subject.problem(e),
    })?;
    let gate = Gate::of(request, subject)?;
    gate.entity(&lookup)?;
    Ok(gate)
}

/// Whether a collection can be made where a path leads, as far as what is there tells.
fn may_stand(lookup: &Lookup) -> Result<(), Problem> {
    match lookup.found() {
        Some(row) if row.kind == Kind::Collection => Err(is_there(lookup)),
        Some(_) => Err(not_allowed(lookup)),
        None if lookup.missing == 1 && may_hold_collection(lookup).is_err() => Err(not_allowed(lookup)),
        None => Ok(()),
    }
}

/// Reads the body: `mkcol` with one `resourcetype` and other properties.
fn understand(root: &Element) -> Result<Result<Wish, Response>, Problem> {
    if !root.is(DAV, "mkcol") {
        return Err(Problem::new(Code::XmlParse).because("the root is no mkcol"));
    }
    let props: Vec<&Element> = root
        .children_named(DAV, "set")
        .flat_map(|set| set.children_named(DAV, "prop"))
        .flat_map(Element::elements)
        .collect();
    let types: Vec<&&Element> = props.iter().filter(|p| p.is(DAV, "resourcetype")).collect();
    let kind = match types.as_slice() {
        [one] => kind_of(one),
        _ => None,
    };
    let Some(kind) = kind else {
        return Ok(Err(explain(
            &props,
            |p| p.is(DAV, "resourcetype"),
            "valid-resourcetype",
            "no such type of collection",
        )));
    };
    if matches!(kind, Kind::OData | Kind::Stream) {
        return Err(Problem::new(Code::NotImplemented).with("OData and stream collections"));
    }
    let dead: Vec<&&Element> = props.iter().filter(|p| !p.is(DAV, "resourcetype")).collect();
    let protected = |p: &Element| !p.is(DAV, "resourcetype") && is_protected(&p.ns, &p.local);
    if dead.iter().any(|p| protected(p)) {
        return Ok(Err(explain(&props, protected, "cannot-modify-protected-property", "the property is protected")));
    }
    let properties = dead.iter().map(|p| Property { ns: p.ns.clone(), local: p.local.clone(), xml: p.to_xml() });
    Ok(Ok(Wish { kind, properties: properties.collect() }))
}

/// The kind that a `resourcetype` names: a collection, and at most one type more.
fn kind_of(resource_type: &Element) -> Option<Kind> {
    let (mut collections, mut kind) = (0, Kind::Collection);
    let mut others = 0;
    for element in resource_type.elements() {
        if element.is(DAV, "collection") {
            collections += 1;
            continue;
        }
        others += 1;
        kind = match (element.ns.as_str(), element.local.as_str()) {
            (PERSONIUM, "service") => Kind::Service,
            (PERSONIUM, "odata") => Kind::OData,
            (PERSONIUM, "stream") => Kind::Stream,
            _ => return None,
        };
    }
    (collections == 1 && others <= 1).then_some(kind)
}

/// The `mkcol-response` of RFC 5689: what was wrong, as it was sent, and what failed along with it.
fn explain(props: &[&Element], wrong: impl Fn(&Element) -> bool, condition: &str, text: &str) -> Response {
    let mut out = Vec::new();
    out.extend_from_slice(
        b"<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
          <D:mkcol-response xmlns:D=\"DAV:\" xmlns:p=\"urn:x-personium:xmlns\"><D:propstat><D:prop>",
    );
    props.iter().filter(|p| wrong(p)).for_each(|prop| out.extend_from_slice(prop.to_xml().as_bytes()));
    write!(
        out,
        "</D:prop><D:status>HTTP/1.1 403 Forbidden</D:status><D:error><D:{condition}/></D:error>\
         <D:responsedescription>{}</D:responsedescription></D:propstat>",
        escape_text(text)
    )
    .expect("invariant: memory takes what is written");
    if props.iter().any(|p| !wrong(p)) {
        out.extend_from_slice(b"<D:propstat><D:prop>");
        for prop in props.iter().filter(|p| !wrong(p)) {
            write_name(&mut out, &prop.ns, &prop.local).expect("invariant: memory takes what is written");
        }
        out.extend_from_slice(b"</D:prop><D:status>HTTP/1.1 424 Failed Dependency</D:status></D:propstat>");
    }
    out.extend_from_slice(b"</D:mkcol-response>\n");
    response::xml(StatusCode::FORBIDDEN, out)
}
