//! The access control list of a cell: replacing it, and showing it.

use http::StatusCode;

use super::super::call::Call;
use super::{properties, tagged};
use crate::base::xml::{self, Limits};
use crate::dav::acl::refusal;
use crate::domain::access::Place;
use crate::domain::acl::{
    AceView, AclError, AclView, Form, Inherited, Level, Principal, PrincipalView, Privileges, RoleReference,
    SchemaAuthz, acl_xml, parse_acl, resolve_role, role_base,
};
use crate::storage::database::View;
use crate::storage::database::acl::{Ace, Acl, CELL_ACL};
use crate::storage::database::control::ObjectKind;
use crate::storage::writer::{Change, Context};
use crate::storage::{Error, Result};
use crate::web::problem::{Code, Problem};
use crate::web::{Response, response};

/// Answers ACL: the whole list is replaced.
pub(super) fn replace(call: &Call) -> std::result::Result<Response, Problem> {
    call.permit(Place::Cell)?;
    let permission = call.permission(&[Place::Cell])?;
    let content = |e| Problem::new(Code::XmlContent).because(e);
    let root = xml::parse(&call.body, Limits::of(call.body.len())).map_err(content)?;
    let document = parse_acl(&root, Level::Cell).map_err(refusal)?;
    let urls = own_urls(call);
    let mut aces = Vec::with_capacity(document.aces.len());
    for ace in &document.aces {
        let role = match &ace.principal {
            Principal::All => None,
            Principal::Href(href) => Some(resolve_role(href, document.base.as_deref(), &urls).map_err(refusal)?),
        };
        aces.push((role, ace.privileges.bits() as i64));
    }
    let require_schema = document.require_schema_authz.map(|authz| authz.name().to_owned());
    let (headers, url) = (call.headers.clone(), call.base_url());
    let change = Change(move |ctx: &Context<'_>| {
        permission.ask(ctx.tx)?;
        properties::check(&headers, ctx.tx)?;
        let mut stored = Vec::with_capacity(aces.len());
        for (role, privileges) in &aces {
            let role = role.as_ref().map(|role| role_number(ctx.tx, role, &url)).transpose()?;
            stored.push(Ace { role, privileges: *privileges });
        }
        ctx.tx.set_acl(CELL_ACL, &Acl { require_schema: require_schema.clone(), aces: stored })?;
        ctx.tx.touch_cell_root()
    });
    let root = call.open()?.change(change).map_err(|e| call.failed(e))?;
    Ok(tagged(response::empty(StatusCode::OK), &root))
}

/// Every URL by which documents may name the cell.
fn own_urls(call: &Call) -> Vec<String> {
    call.asked.cell_forms(&call.cell)
}

fn role_number(view: &View<'_>, role: &RoleReference, cell_url: &str) -> Result<i64> {
    let owner = match &role.box_name {
        None => 0,
        Some(name) => match view.cell_box(name)? {
            Some(found) => found.id,
            None => return Err(refusal(AclError::Box(format!("{cell_url}{name}"))).into()),
        },
    };
    let found = view.object(ObjectKind::Role, &role.role, owner)?;
    found.map(|object| object.id).ok_or_else(|| Error::from(refusal(AclError::Role)))
}

/// The list as the property `acl`, roles by the names they have now.
pub(super) fn show(view: &View<'_>, cell_url: &str) -> Result<String> {
    shown(view, cell_url, false)
}

/// The list of something that has none of its own and inherits that of the cell.
pub(super) fn show_inherited(view: &View<'_>, cell_url: &str) -> Result<String> {
    shown(view, cell_url, true)
}

fn shown(view: &View<'_>, cell_url: &str, inherited: bool) -> Result<String> {
    let stored = view.acl(CELL_ACL)?;
    let mut named = Vec::with_capacity(stored.aces.len());
    for ace in &stored.aces {
        let principal = match ace.role {
            None => None,
            Some(id) => {
                let Some(role) = view.object_by_id(ObjectKind::Role, id)? else { continue };
                let bound = view.cell_box_by_id(role.owner)?;
                Some((bound.map(|b| b.name), role.name))
            }
        };
        named.push((principal, Privileges::from_bits(ace.privileges as u64)));
    }
    let own: Vec<AceView<'_>> = named
        .iter()
        .map(|(principal, privileges)| AceView {
            principal: match principal {
                None => PrincipalView::All,
                Some((box_name, role)) => PrincipalView::Role { box_name: box_name.as_deref(), role },
            },
            privileges: *privileges,
        })
        .collect();
    let from_the_cell = [Inherited { href: cell_url, aces: &own }];
    let acl = AclView {
        base: &role_base(cell_url, None),
        box_name: None,
        require_schema_authz: stored.require_schema.as_deref().and_then(SchemaAuthz::of).filter(|_| !inherited),
        own: if inherited { &[] } else { &own },
        inherited: if inherited { &from_the_cell } else { &[] },
    };
    Ok(acl_xml(&acl, Form::Prefixed))
}
