//! The walk of a PROPFIND: the resource, its members, and where wanted everything below, from one read transaction.

use std::sync::Arc;

use super::lists::Lists;
use super::locks::Locks;
use super::row::{Href, Rows};
use super::wanted::Wanted;
use crate::base::path::encode_segment;
use crate::base::xml::escape_text;
use crate::dav::answer::Sink;
use crate::dav::subject::Subject;
use crate::dav::xml::{MULTISTATUS, MULTISTATUS_END};
use crate::storage::database::cell_box::Lookup;
use crate::storage::database::{Member, Resource, View};
use crate::storage::{Error, Result};

mod changes;
pub(super) mod sight;

use sight::Sight;

/// Rows of a collection read at once in a walk of the whole tree.
const PAGE: usize = 500;

/// What the response of a resource rarely exceeds, in bytes.
const RESPONSE: usize = 1 << 10;

pub(in crate::dav) struct Listing<'v> {
    rows: Rows<'v>,
    top: Resource,
    url: String,
    /// Collections above the top.
    above: usize,
    /// The members of the top, where they are known already.
    members: Option<Arc<[Resource]>>,
    /// What was written and not handed on.
    text: String,
}

/// A collection of which members are still to be listed.
struct Open {
    collection: Resource,
    url: String,
    /// The name of the last member that was listed.
    after: String,
    entered: bool,
    /// Levels below the top.
    level: usize,
}

impl<'v> Listing<'v> {
    pub(in crate::dav) fn new(
        view: &'v View<'v>,
        subject: &Subject,
        lookup: &Lookup,
        wanted: &'v Wanted,
    ) -> Result<Self> {
        let cell_url = subject.asked.cell(subject.cell.name());
        let sight = Sight::of(view, subject, lookup, wanted)?;
        let lists = Lists::new(view, &cell_url, &lookup.cell_box, sight.acls);
        let locks = Locks::of(view, &subject.asked, subject.cell.name(), wanted)?;
        let quota = if wanted.quota() { Some(subject.cell.quota(view)?) } else { None };
        let mut rows = Rows::new(view, wanted, lists, locks, quota, sight);

        let mut url = subject.asked.cell_box(subject.cell.name(), &lookup.cell_box.name);
        for (i, row) in lookup.chain.iter().enumerate() {
            if i > 0 {
                url = member_url(&url, row);
            }
            if i + 1 < lookup.chain.len() {
                rows.enter(url.clone(), row)?;
            }
        }
        // The rows of this transaction may be newer than those of the lookup.
        let mut top = view.resource(lookup.nearest().id)?.ok_or(Error::Missing)?;
        let above = lookup.chain.len() - 1;
        if above == 0 {
            // While a box is being installed its root has another name.
            top.name.clone_from(&lookup.cell_box.name);
        }
        Ok(Self { rows, top, url, above, members: None, text: String::new() })
    }

    /// Whether it stays as it is as long as the rows do.
    pub(super) fn lasts(&self) -> bool {
        self.rows.lasts()
    }

    /// Spares reading the members of the top from rows of this moment.
    pub(super) fn knowing(mut self, members: Option<Arc<[Resource]>>) -> Self {
        self.members = members;
        self
    }

    /// Writes the whole document; `depth` levels below the top are listed.
    pub(super) fn write(mut self, out: &mut impl Sink, depth: usize) -> Result<()> {
        let (top, url) = (self.top.clone(), self.url.clone());
        let lists = depth > 0 && !top.is_file();
        let members = if lists { top.children.max(0) as usize } else { 0 };
        self.text.reserve(members.saturating_add(2).saturating_mul(RESPONSE).min(out.piece() + RESPONSE));
        self.text.push_str(MULTISTATUS);
        self.row(out, Href { base: &escape_text(&url), name: "" }, &Member::from(&top))?;
        if lists && depth == 1 {
            self.members(out, &url, &top)?;
        } else if lists {
            self.tree(out, url, top, depth)?;
        }
        self.text.push_str(MULTISTATUS_END);
        self.hand_on(out)
    }

    fn row(&mut self, out: &mut impl Sink, href: Href<'_>, row: &Member<'_>) -> Result<()> {
        self.rows.write(&mut self.text, href, row)?;
        if self.text.len() >= out.piece() {
            self.hand_on(out)?;
            self.text.reserve(out.piece() + RESPONSE);
        }
        Ok(())
    }

    fn hand_on(&mut self, out: &mut impl Sink) -> Result<()> {
        out.give(&mut self.text).map_err(Error::io("send", "a listing"))
    }

    fn members(&mut self, out: &mut impl Sink, url: &str, collection: &Resource) -> Result<()> {
        self.rows.enter(url.to_owned(), collection)?;
        let view = self.rows.view;
        let base = members_base(url);
        let known = self.members.take();
        let mut each = |row: &Member<'_>| {
            if self.rows.reaches(row)? { self.row(out, Href { base: &base, name: row.name }, row) } else { Ok(()) }
        };
        match known {
            Some(known) => known.iter().try_for_each(|row| each(&row.into())),
            None => view.members(collection.id, each),
        }
    }

    fn tree(&mut self, out: &mut impl Sink, url: String, top: Resource, depth: usize) -> Result<()> {
        let mut open = vec![Open { collection: top, url, after: String::new(), entered: false, level: 0 }];
        while let Some(mut at) = open.pop() {
            if !at.entered {
                self.rows.leave_to(self.above + at.level);
                self.rows.enter(at.url.clone(), &at.collection)?;
                at.entered = true;
            }
            let page = self.rows.view.children_after(at.collection.id, &at.after, PAGE)?;
            let last_page = page.len() < PAGE;
            let level = at.level + 1;
            // Members are listed before what is below them; the lists of this level hold for all of the page.
            self.rows.leave_to(self.above + level);
            let mut below = Vec::new();
            let base = members_base(&at.url);
            for row in page {
                at.after.clone_from(&row.name);
                let member = Member::from(&row);
                if !self.rows.reaches(&member)? {
                    continue;
                }
                self.row(out, Href { base: &base, name: &row.name }, &member)?;
                if !row.is_file() && level < depth {
                    let url = member_url(&at.url, &row);
                    below.push(Open { collection: row, url, after: String::new(), entered: false, level });
                }
            }
            if !last_page {
                open.push(at);
            }
            open.extend(below.into_iter().rev());
        }
        Ok(())
    }
}

fn member_url(url: &str, row: &Resource) -> String {
    format!("{url}/{}", encode_segment(&row.name))
}

/// What the URLs of the members of a collection begin with, as it stands in XML.
fn members_base(url: &str) -> String {
    let mut base = escape_text(url).into_owned();
    base.push('/');
    base
}
