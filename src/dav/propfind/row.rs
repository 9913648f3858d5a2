//! One `response` of a multistatus: the properties of a row, those that are there and those that are not.

use std::fmt::Write as _;

use super::listing::sight::Sight;
use super::lists::Lists;
use super::locks::Locks;
use super::wanted::{Name, Wanted};
use crate::base::clock::{http_date, iso_ms};
use crate::base::xml::{DAV, PERSONIUM, escape_attribute, escape_text};
use crate::dav::lock_xml::SUPPORTED;
use crate::dav::sync;
use crate::domain::properties::Live;
use crate::storage::Result;
use crate::storage::database::property::Property;
use crate::storage::database::{Kind, Resource, View};
use crate::storage::space::Quota;

/// The reports that every resource has.
const OF_ALL: &[&str] = &["acl-principal-prop-set", "principal-search-property-set"];

/// The reports that a collection has besides.
const OF_COLLECTIONS: &[&str] = &["sync-collection", "principal-match", "principal-property-search"];

/// Writes responses into a buffer that is used again for each.
pub(super) struct Rows<'v> {
    pub view: &'v View<'v>,
    pub wanted: &'v Wanted,
    lists: Lists<'v>,
    locks: Locks,
    /// What the cell holds, where that is wanted.
    quota: Option<Quota>,
    pub sight: Sight<'v>,
    /// The collections that were entered, from the box down.
    above: Vec<Resource>,
    found: String,
    missing: String,
    forbidden: String,
}

impl<'v> Rows<'v> {
    pub(super) fn new(
        view: &'v View<'v>,
        wanted: &'v Wanted,
        lists: Lists<'v>,
        locks: Locks,
        quota: Option<Quota>,
        sight: Sight<'v>,
    ) -> Self {
        Self {
            view,
            wanted,
            lists,
            locks,
            quota,
            sight,
            above: Vec::new(),
            found: String::new(),
            missing: String::new(),
            forbidden: String::new(),
        }
    }

    /// Goes down into a collection.
    pub(super) fn enter(&mut self, url: String, collection: &Resource) -> Result<()> {
        self.locks.enter(collection.id);
        self.above.push(collection.clone());
        self.lists.enter(url, collection)
    }

    /// Goes up until `depth` collections are left above.
    pub(super) fn leave_to(&mut self, depth: usize) {
        self.locks.leave_to(depth);
        self.above.truncate(depth);
        self.lists.leave_to(depth);
    }

    /// Appends the response of a resource to `out`.
    pub(super) fn write(&mut self, out: &mut String, href: &str, row: &Resource) -> Result<()> {
        self.found.clear();
        self.missing.clear();
        self.forbidden.clear();
        let dead = if row.has_properties() { self.view.properties(row.id)? } else { Vec::new() };
        match self.wanted {
            Wanted::Names => self.names(row, &dead),
            Wanted::All(more) => self.all(row, &dead, more)?,
            Wanted::These(names) => {
                for name in names {
                    self.one(row, &dead, name)?;
                }
            }
        }
        let _ = write!(out, "<D:response><D:href>{}</D:href>", escape_text(href));
        if !self.found.is_empty() || (self.missing.is_empty() && self.forbidden.is_empty()) {
            propstat(out, &self.found, "200 OK");
        }
        if !self.missing.is_empty() {
            propstat(out, &self.missing, "404 Not Found");
        }
        if !self.forbidden.is_empty() {
            propstat(out, &self.forbidden, "403 Forbidden");
        }
        out.push_str("</D:response>");
        Ok(())
    }

    fn names(&mut self, row: &Resource, dead: &[Property]) {
        for live in Live::listed().filter(|live| has(row, dead, *live)) {
            push_name(&mut self.found, DAV, live.local());
        }
        for property in dead {
            push_name(&mut self.found, &property.ns, &property.local);
        }
    }

    fn all(&mut self, row: &Resource, dead: &[Property], more: &[Name]) -> Result<()> {
        let acls = self.lists.shown;
        for live in Live::listed().filter(|live| has(row, dead, *live) && (acls || *live != Live::Acl)) {
            self.live(row, live)?;
        }
        for property in dead {
            self.found.push_str(&property.xml);
        }
        for name in more.iter().filter(|name| name.live.is_none_or(|live| !live.is_listed())) {
            if name.live.is_some() || !dead.iter().any(|p| p.local == name.local && p.ns == name.ns) {
                self.one(row, dead, name)?;
            }
        }
        Ok(())
    }

    fn one(&mut self, row: &Resource, dead: &[Property], name: &Name) -> Result<()> {
        if let Some(property) = dead.iter().find(|p| p.local == name.local && p.ns == name.ns) {
            self.found.push_str(&property.xml);
            return Ok(());
        }
        match name.live {
            Some(Live::Acl) if !self.lists.shown => push_name(&mut self.forbidden, &name.ns, &name.local),
            Some(live) if has(row, dead, live) => self.live(row, live)?,
            _ => push_name(&mut self.missing, &name.ns, &name.local),
        }
        Ok(())
    }

    fn live(&mut self, row: &Resource, live: Live) -> Result<()> {
        let out = &mut self.found;
        let text = match live {
            Live::Acl => return self.lists.write(out, row),
            Live::ResourceType => {
                out.push_str(resource_type(row.kind));
                return Ok(());
            }
            Live::SupportedLock => {
                out.push_str(SUPPORTED);
                return Ok(());
            }
            Live::LockDiscovery => {
                self.locks.write(out, row);
                return Ok(());
            }
            Live::SupportedReportSet => {
                reports(out, !row.is_file());
                return Ok(());
            }
            Live::CurrentUserPrincipal
            | Live::CurrentUserPrivilegeSet
            | Live::SupportedPrivilegeSet
            | Live::PrincipalCollectionSet
            | Live::AclRestrictions => {
                self.above.push(row.clone());
                let written = self.sight.write(out, live, &self.above);
                self.above.pop();
                return written;
            }
            Live::SyncToken => sync::token(self.view, row.id, self.view.change_seq()?)?,
            Live::QuotaAvailable => self.quota.map_or(0, |quota| quota.available).to_string(),
            Live::QuotaUsed => self.quota.map_or(0, |quota| quota.used).to_string(),
            Live::CreationDate => iso_ms(row.created_ms),
            Live::LastModified => http_date(row.mtime_ms),
            Live::DisplayName => escape_text(&row.name).into_owned(),
            Live::ContentLength => row.size.to_string(),
            Live::ContentType => escape_text(row.content_type.as_deref().unwrap_or_default()).into_owned(),
            Live::ETag => row.etag().to_string(),
        };
        let local = live.local();
        let _ =
            if text.is_empty() { write!(out, "<D:{local}/>") } else { write!(out, "<D:{local}>{text}</D:{local}>") };
        Ok(())
    }
}

/// Whether a resource has a live property; what a client has set in its place is dead.
fn has(row: &Resource, dead: &[Property], live: Live) -> bool {
    if (live.of_files_alone() && !row.is_file()) || (live.of_collections_alone() && row.is_file()) {
        return false;
    }
    live != Live::DisplayName || !dead.iter().any(|p| p.ns == DAV && p.local == live.local())
}

/// The property `supported-report-set`.
fn reports(out: &mut String, collection: bool) {
    out.push_str("<D:supported-report-set>");
    let more = OF_COLLECTIONS.iter().filter(|_| collection);
    for name in OF_ALL.iter().chain(more) {
        let _ = write!(out, "<D:supported-report><D:report><D:{name}/></D:report></D:supported-report>");
    }
    out.push_str("</D:supported-report-set>");
}

fn resource_type(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "<D:resourcetype/>",
        Kind::Collection => "<D:resourcetype><D:collection/></D:resourcetype>",
        Kind::OData => "<D:resourcetype><D:collection/><p:odata/></D:resourcetype>",
        Kind::Service => "<D:resourcetype><D:collection/><p:service/></D:resourcetype>",
        Kind::Stream => "<D:resourcetype><D:collection/><p:stream/></D:resourcetype>",
    }
}

fn push_name(out: &mut String, ns: &str, local: &str) {
    let _ = match ns {
        DAV => write!(out, "<D:{local}/>"),
        PERSONIUM => write!(out, "<p:{local}/>"),
        "" => write!(out, "<{local}/>"),
        ns => write!(out, "<n:{local} xmlns:n=\"{}\"/>", escape_attribute(ns)),
    };
}

fn propstat(out: &mut String, properties: &str, status: &str) {
    out.push_str("<D:propstat><D:prop>");
    out.push_str(properties);
    out.push_str("</D:prop><D:status>HTTP/1.1 ");
    out.push_str(status);
    out.push_str("</D:status></D:propstat>");
}
