//! The reports of RFC 3744 section 9 about principals, which are the roles of the cell: those that a list names, those that the caller
//! has, and those that a client looks for by name.
//!
//! Who may see a list may see whom it names; everybody may see the own roles; looking for others needs the privilege to read about
//! them, `auth-read` on the cell.

use std::io::Write;

use super::subject::Subject;
use super::xml::{MULTISTATUS, MULTISTATUS_END, write_name};
use crate::base::path::encode_segment;
use crate::base::xml::{DAV, Element, escape_text};
use crate::domain::access::Scope;
use crate::domain::acl::{Level, Privilege};
use crate::storage::database::View;
use crate::storage::database::acl::CELL_ACL;
use crate::storage::database::cell_box::{Lookup, MAIN_BOX};
use crate::storage::database::control::{Object, ObjectKind};
use crate::storage::{Error, Result as Stored};
use crate::web::problem::{Code, Problem};

const SEARCHABLE: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
    <D:principal-search-property-set xmlns:D=\"DAV:\"><D:principal-search-property><D:prop><D:displayname/></D:prop>\
    <D:description xml:lang=\"en\">Name of the role</D:description></D:principal-search-property></D:principal-search-property-set>\n";

/// Answers one of these reports; false if the document asks for none of them.
pub(super) fn answer(
    subject: &Subject,
    lookup: &Lookup,
    root: &Element,
    out: &mut impl Write,
) -> Result<bool, Problem> {
    let known =
        ["acl-principal-prop-set", "principal-match", "principal-property-search", "principal-search-property-set"];
    let Some(report) = known.into_iter().find(|name| root.is(DAV, name)) else { return Ok(false) };
    let written = subject.cell.read(|view| {
        let roles = match report {
            "principal-search-property-set" => return send(out, SEARCHABLE),
            "acl-principal-prop-set" => of_lists(subject, view, lookup)?,
            "principal-match" => own(subject, view, root)?,
            _ => search(subject, view, root)?,
        };
        let wanted = root.child(DAV, "prop");
        send(out, MULTISTATUS)?;
        for role in &roles {
            write_role(subject, view, role, wanted, out)?;
        }
        send(out, MULTISTATUS_END)
    });
    written.map(|()| true).map_err(|e| subject.problem(e))
}

fn send(out: &mut impl Write, text: &str) -> Stored<()> {
    out.write_all(text.as_bytes()).map_err(Error::io("send", "a report"))
}

/// The roles that the lists of a resource, of what is above it, and of the cell name.
fn of_lists(subject: &Subject, view: &View<'_>, lookup: &Lookup) -> Stored<Vec<Object>> {
    let at = subject.access.at(view)?;
    let caller = subject.access.caller(&at)?;
    subject.access.check_box(&at, &caller, &lookup.cell_box, &lookup.chain, Privilege::ReadAcl)?;
    let mut ids = Vec::new();
    let lists = lookup.chain.iter().rev().filter(|row| row.has_acl()).map(|row| row.id);
    for id in lists.chain([CELL_ACL]) {
        // Of the cell's own list, what boxes inherit.
        let reaches = |privileges: crate::domain::acl::Privileges| {
            id != CELL_ACL || privileges.iter().any(|p| p.level() == Level::Box || p == Privilege::Root)
        };
        let list = at.list(id)?;
        ids.extend(list.entries.iter().filter(|(_, p)| reaches(*p)).filter_map(|(role, _)| *role));
    }
    roles(view, ids)
}

/// The roles that the caller has.
fn own(subject: &Subject, view: &View<'_>, root: &Element) -> Stored<Vec<Object>> {
    if root.child(DAV, "self").is_none() && root.child(DAV, "principal-property").is_none() {
        return Err(Problem::new(Code::XmlContent).because("principal-match asks for nothing").into());
    }
    let at = subject.access.at(view)?;
    roles(view, subject.access.caller(&at)?.roles)
}

/// The roles whose names hold what every one of the asked texts says, without regard to case.
fn search(subject: &Subject, view: &View<'_>, root: &Element) -> Stored<Vec<Object>> {
    subject.access.permit_cell(view, Privilege::AuthRead, Scope::Endpoint)?;
    let mut texts = Vec::new();
    for asked in root.children_named(DAV, "property-search") {
        let by_name = asked.child(DAV, "prop").is_some_and(|prop| prop.child(DAV, "displayname").is_some());
        let text = asked.child(DAV, "match").map(|m| m.text().to_lowercase());
        match text.filter(|_| by_name) {
            Some(text) => texts.push(text),
            // Nothing else is known of a role that could match.
            None => return Ok(Vec::new()),
        }
    }
    if texts.is_empty() {
        return Err(Problem::new(Code::XmlContent).because("no property-search").into());
    }
    let mut found = view.objects(ObjectKind::Role)?;
    found.retain(|role| texts.iter().all(|text| role.name.to_lowercase().contains(text)));
    Ok(found)
}

fn roles(view: &View<'_>, ids: Vec<i64>) -> Stored<Vec<Object>> {
    let mut seen = std::collections::HashSet::new();
    let mut roles = Vec::new();
    for id in ids.into_iter().filter(|id| seen.insert(*id)) {
        roles.extend(view.object_by_id(ObjectKind::Role, id)?);
    }
    Ok(roles)
}

fn write_role(
    subject: &Subject,
    view: &View<'_>,
    role: &Object,
    wanted: Option<&Element>,
    out: &mut impl Write,
) -> Stored<()> {
    let bound = if role.owner == 0 { None } else { view.cell_box_by_id(role.owner)? };
    let box_name = bound.map_or_else(|| MAIN_BOX.to_owned(), |b| b.name);
    let cell = subject.asked.cell(subject.cell.name());
    let url = format!("{cell}__role/{}/{}", encode_segment(&box_name), encode_segment(&role.name));
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for element in wanted.into_iter().flat_map(Element::elements) {
        let value = match (element.ns.as_str(), element.local.as_str()) {
            (DAV, "displayname") => format!("<D:displayname>{}</D:displayname>", escape_text(&role.name)),
            (DAV, "resourcetype") => "<D:resourcetype><D:principal/></D:resourcetype>".to_owned(),
            (DAV, "principal-URL") => {
                format!("<D:principal-URL><D:href>{}</D:href></D:principal-URL>", escape_text(&url))
            }
            _ => {
                write_name(&mut missing, &element.ns, &element.local).map_err(Error::io("write", "a report"))?;
                continue;
            }
        };
        found.extend_from_slice(value.as_bytes());
    }
    send(out, &format!("<D:response><D:href>{}</D:href>", escape_text(&url)))?;
    for (properties, status) in [(&found, "200 OK"), (&missing, "404 Not Found")] {
        if properties.is_empty() && (status != "200 OK" || !missing.is_empty()) {
            continue;
        }
        send(out, "<D:propstat><D:prop>")?;
        out.write_all(properties).map_err(Error::io("send", "a report"))?;
        send(out, &format!("</D:prop><D:status>HTTP/1.1 {status}</D:status></D:propstat>"))?;
    }
    send(out, "</D:response>")
}
