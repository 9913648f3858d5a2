//! One `response` of a multistatus: the properties of a row, those that are there and those that are not.

use std::fmt::Write as _;

use super::listing::sight::Sight;
use super::lists::Lists;
use super::locks::Locks;
use super::template::{MARK, Template};
use super::wanted::{Name, Wanted};
use crate::base::clock::dates::Dates;
use crate::base::path::{encode_segment, is_plain};
use crate::base::xml::{DAV, PERSONIUM, escape_attribute, escape_text};
use crate::dav::lock_xml::SUPPORTED;
use crate::dav::sync;
use crate::domain::properties::Live;
use crate::storage::Result;
use crate::storage::database::property::Property;
use crate::storage::database::{Kind, Member, Resource, View};
use crate::storage::space::Quota;

/// The reports that every resource has.
const OF_ALL: &[&str] = &["acl-principal-prop-set", "principal-search-property-set"];

/// The reports that a collection has besides.
const OF_COLLECTIONS: &[&str] = &["sync-collection", "principal-match", "principal-property-search"];

/// Kinds of resources, and one.
const KINDS: usize = Kind::Stream as usize + 1;

/// A URL in two parts, so that the first is escaped once for all members of a collection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Href<'a> {
    /// As it stands in XML.
    pub base: &'a str,
    /// A name that follows, neither encoded nor escaped.
    pub name: &'a str,
}

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
    /// For members of the collection that was entered last, by their kind.
    templates: [Option<Template>; KINDS],
    /// While a template is made: the properties whose values are left out.
    marked: Option<Vec<Live>>,
    dates: Dates,
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
            templates: Default::default(),
            marked: None,
            dates: Dates::default(),
        }
    }

    /// Whether what is written stays true as long as the rows do: locks run out, and others fill the disk.
    pub(super) fn lasts(&self) -> bool {
        self.quota.is_none() && !self.locks.is_any()
    }

    /// Goes down into a collection.
    pub(super) fn enter(&mut self, url: String, collection: &Resource) -> Result<()> {
        self.templates = Default::default();
        self.locks.enter(collection.id);
        self.above.push(collection.clone());
        self.lists.enter(url, collection)
    }

    /// Goes up until `depth` collections are left above.
    pub(super) fn leave_to(&mut self, depth: usize) {
        if self.above.len() > depth {
            self.templates = Default::default();
        }
        self.locks.leave_to(depth);
        self.above.truncate(depth);
        self.lists.leave_to(depth);
    }

    /// Whether a member of something that is seen is seen too.
    pub(super) fn reaches(&self, row: &Member<'_>) -> Result<bool> {
        if row.has_acl() { self.sight.reaches(self.view, row.id()?) } else { Ok(true) }
    }

    /// Appends the response of a resource to `out`.
    pub(super) fn write(&mut self, out: &mut String, href: Href<'_>, row: &Member<'_>) -> Result<()> {
        if row.flags != 0 || (self.locks.is_any() && self.locks.is_on(row.id()?)) {
            return self.write_alone(out, href, row);
        }
        let template = match self.templates[row.kind as usize].take() {
            Some(template) => template,
            None => self.template(row)?,
        };
        let name_is_plain = is_plain(row.name);
        out.push_str(template.begin());
        push_href(out, href, name_is_plain);
        for (text, live) in template.parts() {
            out.push_str(text);
            match live {
                Some(Live::DisplayName) if name_is_plain => out.push_str(row.name),
                Some(live) => self.value(out, row, live)?,
                None => {}
            }
        }
        self.templates[row.kind as usize] = Some(template);
        Ok(())
    }

    fn template(&mut self, row: &Member<'_>) -> Result<Template> {
        self.marked = Some(Vec::new());
        let mut response = String::new();
        let mark = MARK.to_string();
        let written = self.write_alone(&mut response, Href { base: &mark, name: "" }, row);
        let marked = self.marked.take().unwrap_or_default();
        written.map(|()| Template::of(&response, &marked))
    }

    fn write_alone(&mut self, out: &mut String, href: Href<'_>, row: &Member<'_>) -> Result<()> {
        self.found.clear();
        self.missing.clear();
        self.forbidden.clear();
        let dead = if row.has_properties() { self.view.properties(row.id()?)? } else { Vec::new() };
        match self.wanted {
            Wanted::Names => self.names(row, &dead),
            Wanted::All(more) => self.all(row, &dead, more)?,
            Wanted::These(names) => {
                for name in names {
                    self.one(row, &dead, name)?;
                }
            }
        }
        out.push_str("<D:response><D:href>");
        push_href(out, href, is_plain(href.name));
        out.push_str("</D:href>");
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

    fn names(&mut self, row: &Member<'_>, dead: &[Property]) {
        for live in Live::ALL.into_iter().filter(|live| has(row, dead, *live)) {
            push_name(&mut self.found, DAV, live.local());
        }
        for property in dead {
            push_name(&mut self.found, &property.ns, &property.local);
        }
    }

    fn all(&mut self, row: &Member<'_>, dead: &[Property], more: &[Name]) -> Result<()> {
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

    fn one(&mut self, row: &Member<'_>, dead: &[Property], name: &Name) -> Result<()> {
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

    fn live(&mut self, row: &Member<'_>, live: Live) -> Result<()> {
        let out = &mut self.found;
        match live {
            Live::Acl => return self.lists.write(out, row),
            Live::ResourceType => out.push_str(resource_type(row.kind)),
            Live::SupportedLock => out.push_str(SUPPORTED),
            Live::LockDiscovery => self.locks.write(out, row.id()?),
            Live::SupportedReportSet => reports(out, !row.is_file()),
            Live::CurrentUserPrincipal
            | Live::CurrentUserPrivilegeSet
            | Live::SupportedPrivilegeSet
            | Live::PrincipalCollectionSet
            | Live::AclRestrictions
            | Live::Owner
            | Live::Group
            | Live::InheritedAclSet => {
                let depth = self.above.len();
                self.above.extend(self.view.resource(row.id()?)?);
                let written = self.sight.write(out, live, &self.above);
                self.above.truncate(depth);
                return written;
            }
            _ => {
                let mut out = std::mem::take(&mut self.found);
                let written = self.element(&mut out, row, live);
                self.found = out;
                return written;
            }
        }
        Ok(())
    }

    /// Writes a property whose value is a text.
    fn element(&mut self, out: &mut String, row: &Member<'_>, live: Live) -> Result<()> {
        let local = live.local();
        // A type may be empty, and then so is the element: its value is all of it.
        let is_whole = live == Live::ContentType;
        if !is_whole {
            let _ = write!(out, "<D:{local}>");
        }
        match &mut self.marked {
            Some(marked) => {
                marked.push(live);
                out.push(MARK);
            }
            None => self.value(out, row, live)?,
        }
        if !is_whole {
            let _ = write!(out, "</D:{local}>");
        }
        Ok(())
    }

    /// Writes the text of a property, or all of it where the text may be empty.
    fn value(&mut self, out: &mut String, row: &Member<'_>, live: Live) -> Result<()> {
        match live {
            Live::CreationDate => self.dates.push_iso(out, row.created_ms()?),
            Live::LastModified => self.dates.push_http(out, row.mtime_ms()?),
            Live::DisplayName => out.push_str(&escape_text(row.name)),
            Live::ContentLength => push_number(out, row.size()?),
            Live::ContentType => push_content_type(out, row.content_type()?.unwrap_or_default()),
            Live::ETag => {
                let etag = row.etag()?;
                out.push('"');
                push_number(out, etag.version);
                out.push('-');
                push_number(out, etag.stamp);
                out.push('"');
            }
            Live::SyncToken => out.push_str(&sync::token(self.view, row.id()?, self.view.change_seq()?)?),
            Live::QuotaAvailable => push_number(out, self.quota.map_or(0, |quota| quota.available)),
            Live::QuotaUsed => push_number(out, self.quota.map_or(0, |quota| quota.used)),
            _ => {}
        }
        Ok(())
    }
}

fn push_number(out: &mut String, number: impl itoa::Integer) {
    out.push_str(itoa::Buffer::new().format(number));
}

/// The whole property.
fn push_content_type(out: &mut String, text: &str) {
    if text.is_empty() {
        out.push_str("<D:getcontenttype/>");
        return;
    }
    out.push_str("<D:getcontenttype>");
    out.push_str(&escape_text(text));
    out.push_str("</D:getcontenttype>");
}

fn push_href(out: &mut String, href: Href<'_>, name_is_plain: bool) {
    out.push_str(href.base);
    if name_is_plain {
        out.push_str(href.name);
    } else {
        out.push_str(&escape_text(&encode_segment(href.name)));
    }
}

/// Whether a resource has a live property; what a client has set in its place is dead.
fn has(row: &Member<'_>, dead: &[Property], live: Live) -> bool {
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
