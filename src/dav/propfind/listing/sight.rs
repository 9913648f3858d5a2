//! What of a listing its caller may see, and the properties of RFC 3744 and 5397 that tell so.
//!
//! Who may read a collection may read its members, unless the list of a member asks more of apps than that of the collection
//! did. Access control lists are shown for the whole listing or not, as the privilege on the requested resource says.

use std::fmt::Write as _;

use crate::base::id::ResourceId;
use crate::base::path::encode_segment;
use crate::base::xml::{DAV, escape_text};
use crate::dav::propfind::wanted::Wanted;
use crate::dav::subject::Subject;
use crate::domain::access::{At, Caller, Who};
use crate::domain::acl::{Level, Privilege};
use crate::domain::properties::Live;
use crate::storage::Result;
use crate::storage::database::cell_box::{CellBox, Lookup};
use crate::storage::database::{Resource, View};

pub(in crate::dav::propfind) struct Sight<'v> {
    /// None for the unit's administrator, who sees everything.
    limits: Option<(At<'v>, Caller, CellBox)>,
    /// Whether access control lists are shown.
    pub(super) acls: bool,
    cell_url: String,
    /// The URL of who asks.
    user: Option<String>,
    /// The URL of the unit user whose cell it is, where that was asked for and there is one.
    owner: Option<String>,
}

impl<'v> Sight<'v> {
    pub(super) fn of(view: &'v View<'v>, subject: &Subject, lookup: &Lookup, wanted: &Wanted) -> Result<Self> {
        let cell_url = subject.asked.cell(subject.cell.name());
        let owner = if wanted.owner() { view.meta_text("owner")? } else { None };
        let owner = owner.map(|owner| subject.asked.public(&owner));
        if subject.access.is_unit_admin() {
            return Ok(Self { limits: None, acls: true, cell_url, user: Some(subject.asked.unit()), owner });
        }
        let at = subject.access.at(view)?;
        let caller = subject.access.caller(&at)?;
        let hidden = at.check_box(&caller, &lookup.cell_box, &lookup.chain, Privilege::ReadAcl)?;
        let user = match &caller.who {
            Who::Account { name, .. } => Some(format!("{cell_url}#{name}")),
            Who::Foreign(subject) => Some(subject.clone()),
            Who::UnitUser(user) => Some(subject.asked.public(&user.subject)),
            _ => None,
        };
        Ok(Self { limits: Some((at, caller, lookup.cell_box.clone())), acls: hidden.is_none(), cell_url, user, owner })
    }

    /// Whether a member, which has a list of its own, of something that is seen is seen too.
    pub(in crate::dav::propfind) fn reaches(&self, view: &View<'_>, id: ResourceId) -> Result<bool> {
        let Some((at, caller, cell_box)) = &self.limits else { return Ok(true) };
        if at.list(id)?.require_schema.is_none() {
            return Ok(true);
        }
        let Some(row) = view.resource(id)? else { return Ok(false) };
        Ok(at.check_schema(caller, cell_box, &[row])?.is_none())
    }

    /// Writes one of the properties that speak of the caller and of privileges. `chain` leads from the box to the resource.
    pub(in crate::dav::propfind) fn write(&self, out: &mut String, live: Live, chain: &[Resource]) -> Result<()> {
        let local = live.local();
        let _ = write!(out, "<D:{local}>");
        match live {
            Live::CurrentUserPrincipal => match &self.user {
                Some(url) => href(out, url),
                None => out.push_str("<D:unauthenticated/>"),
            },
            Live::PrincipalCollectionSet => href(out, &format!("{}__role/", self.cell_url)),
            Live::AclRestrictions => out.push_str("<D:grant-only/><D:no-invert/>"),
            Live::SupportedPrivilegeSet => supported(out, Privilege::All),
            Live::Owner => self.owner.iter().for_each(|url| href(out, url)),
            Live::InheritedAclSet if self.acls => self.above(out, chain),
            // There are no groups of owners.
            Live::Group | Live::InheritedAclSet => {}
            _ => {
                for privilege in Privilege::ALL.iter().filter(|p| p.level() == Level::Box) {
                    if self.holds(chain, *privilege)? {
                        out.push_str("<D:privilege>");
                        name(out, *privilege);
                        out.push_str("</D:privilege>");
                    }
                }
            }
        }
        let _ = write!(out, "</D:{local}>");
        Ok(())
    }

    /// The collections above a resource that have lists, which hold for it too.
    fn above(&self, out: &mut String, chain: &[Resource]) {
        let mut url = self.cell_url.trim_end_matches('/').to_owned();
        for row in chain.iter().take(chain.len().saturating_sub(1)) {
            url.push('/');
            url.push_str(&encode_segment(&row.name));
            if row.has_acl() {
                href(out, &url);
            }
        }
    }

    fn holds(&self, chain: &[Resource], privilege: Privilege) -> Result<bool> {
        match &self.limits {
            None => Ok(true),
            Some((at, caller, cell_box)) => Ok(at.check_box(caller, cell_box, chain, privilege)?.is_none()),
        }
    }
}

fn href(out: &mut String, url: &str) {
    let _ = write!(out, "<D:href>{}</D:href>", escape_text(url));
}

fn name(out: &mut String, privilege: Privilege) {
    let prefix = if privilege.ns() == DAV { "D" } else { "p" };
    let _ = write!(out, "<{prefix}:{}/>", privilege.name());
}

/// A privilege with those that it contains.
fn supported(out: &mut String, privilege: Privilege) {
    out.push_str("<D:supported-privilege><D:privilege>");
    name(out, privilege);
    let _ = write!(out, "</D:privilege><D:description xml:lang=\"en\">{}</D:description>", privilege.name());
    for below in Privilege::ALL.iter().filter(|p| p.level() == Level::Box && p.parent() == Some(privilege)) {
        supported(out, *below);
    }
    out.push_str("</D:supported-privilege>");
}
