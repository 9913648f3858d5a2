//! `cellar acl`: what lists grant, and granting and taking away.

use std::collections::BTreeMap;

use serde_json::json;

use super::args::people::{AclArgs, AclVerb};
use super::error::Error;
use super::exit::Exit;
use super::objects::done;
use super::printer::Printer;
use super::remote::Remote;
use crate::base::path::encode_segment;
use crate::base::xml::{DAV, Element, Limits, PERSONIUM, escape_attribute, escape_text, parse};
use crate::domain::acl::Privilege;

const EVERYBODY: &str = "all";

/// What a list grants, and what it asks of apps.
struct List {
    /// Privileges by role: `all`, `ROLE` or `BOX/ROLE`.
    grants: BTreeMap<String, Vec<String>>,
    require_schema: Option<String>,
}

pub(super) fn run(args: &AclArgs, printer: &Printer) -> Result<Exit, Error> {
    let remote = Remote::open(&args.place)?;
    let json = args.place.json;
    match &args.verb {
        AclVerb::Show { path } => {
            let list = fetch(&remote, path)?;
            if json {
                printer.data(&json!({ "grants": list.grants, "require_schema": list.require_schema }).to_string())?;
            } else {
                for (role, privileges) in &list.grants {
                    printer.data(&format!("{role}\t{}", privileges.join(" ")))?;
                }
            }
        }
        AclVerb::Grant { path, role, privileges } => {
            if let Some(unknown) = privileges.iter().find(|name| Privilege::of(name).is_none()) {
                return Err(Error::Refused(format!("there is no privilege `{unknown}`")));
            }
            let mut list = fetch(&remote, path)?;
            let held = list.grants.entry(role.clone()).or_default();
            held.extend(privileges.iter().filter(|p| !held.contains(p)).cloned().collect::<Vec<_>>());
            store(&remote, path, &list)?;
            done(printer, json, &format!("{role} has {} on {path}", privileges.join(", ")))?;
        }
        AclVerb::Revoke { path, role } => {
            let mut list = fetch(&remote, path)?;
            if list.grants.remove(role).is_none() {
                return Err(Error::Refused(format!("the list of {path} grants {role} nothing")));
            }
            store(&remote, path, &list)?;
            done(printer, json, &format!("the list of {path} grants {role} nothing any more"))?;
        }
    }
    Ok(Exit::Ok)
}

fn cell_of(path: &str) -> &str {
    path.trim_matches('/').split('/').next().unwrap_or_default()
}

fn target(path: &str) -> String {
    let names: Vec<String> = path.trim_matches('/').split('/').map(|name| encode_segment(name).clone()).collect();
    format!("/{}{}", names.join("/"), if names.len() == 1 { "/" } else { "" })
}

fn fetch(remote: &Remote, path: &str) -> Result<List, Error> {
    let body = "<propfind xmlns=\"DAV:\"><prop><acl/></prop></propfind>".to_owned();
    let answer = remote.send("PROPFIND", &target(path), &[("depth", "0")], body)?;
    let unread = || Error::Answer("the list cannot be read".to_owned());
    let root = parse(&answer.body, Limits::of(answer.body.len())).map_err(|e| Error::Answer(e.to_string()))?;
    let acl = find(&root, "acl").ok_or_else(unread)?;
    let mut grants: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let base_box =
        acl.attribute(crate::base::xml::XML, "base").and_then(|base| base.trim_end_matches('/').rsplit('/').next());
    for ace in acl.children_named(DAV, "ace").filter(|ace| ace.child(DAV, "inherited").is_none()) {
        let principal = ace.child(DAV, "principal").ok_or_else(unread)?;
        let role = match principal.child(DAV, "href") {
            None => EVERYBODY.to_owned(),
            Some(href) => role_of(href.text().trim(), base_box),
        };
        let privileges = ace.child(DAV, "grant").into_iter().flat_map(|grant| grant.children_named(DAV, "privilege"));
        let names = privileges.flat_map(Element::elements).map(|privilege| privilege.local.clone());
        grants.entry(role).or_default().extend(names);
    }
    let require_schema = acl.attribute(PERSONIUM, "requireSchemaAuthz").map(str::to_owned);
    Ok(List { grants, require_schema })
}

fn find<'e>(element: &'e Element, local: &str) -> Option<&'e Element> {
    element.elements().find_map(|e| if e.is(DAV, local) { Some(e) } else { find(e, local) })
}

/// `role`, `box/role`, as people name a role that a list names relative to its base.
fn role_of(href: &str, base_box: Option<&str>) -> String {
    let (cell_box, role) = match href.strip_prefix("../") {
        Some(rest) => rest.split_once('/').unwrap_or(("__", rest)),
        None => (base_box.unwrap_or("__"), href),
    };
    if cell_box == "__" { role.to_owned() } else { format!("{cell_box}/{role}") }
}

fn store(remote: &Remote, path: &str, list: &List) -> Result<(), Error> {
    let mut aces = Vec::new();
    for (role, privileges) in &list.grants {
        let principal = match role.split_once('/') {
            None if role == EVERYBODY => "<D:all/>".to_owned(),
            None => format!("<D:href>{}</D:href>", escape_text(role)),
            Some((cell_box, role)) => {
                format!("<D:href>../{}/{}</D:href>", escape_text(cell_box), escape_text(role))
            }
        };
        let granted: Vec<String> = privileges.iter().map(|p| format!("<D:privilege><p:{p}/></D:privilege>")).collect();
        let granted = granted.concat();
        aces.push(format!("<D:ace><D:principal>{principal}</D:principal><D:grant>{granted}</D:grant></D:ace>"));
    }
    let authz =
        list.require_schema.as_deref().map(|level| format!(" p:requireSchemaAuthz=\"{}\"", escape_attribute(level)));
    let body = format!(
        "<D:acl xmlns:D=\"DAV:\" xmlns:p=\"{PERSONIUM}\" xml:base=\"{}__role/__/\"{}>{}</D:acl>",
        escape_attribute(&remote.cell(cell_of(path))),
        authz.unwrap_or_default(),
        aces.concat(),
    );
    remote.send("ACL", &target(path), &[], body).map(drop)
}
