//! The rows of a `sync-collection` (RFC 6578 section 3.5): what has changed as it is now, what is gone as 404.

use std::fmt::Write as _;

use super::{Listing, member_url, members_base};
use crate::base::id::ResourceId;
use crate::base::path::encode_segment;
use crate::base::xml::escape_text;
use crate::dav::answer::Sink;
use crate::dav::propfind::row::Href;
use crate::dav::xml::{MULTISTATUS, MULTISTATUS_END};
use crate::storage::Result;
use crate::storage::database::changes::Changes;
use crate::storage::database::{Member, Resource};

/// The collections that have been entered, from the top down.
type Entered = Vec<Above>;

struct Above {
    id: ResourceId,
    url: String,
    /// What the URLs of its members begin with, as it stands in XML.
    base: String,
}

impl Above {
    fn new(id: ResourceId, url: String) -> Self {
        Self { id, base: members_base(&url), url }
    }
}

impl Listing<'_> {
    /// Writes the whole document.
    pub(in crate::dav) fn write_changes(mut self, out: &mut impl Sink, found: &Changes, token: &str) -> Result<()> {
        self.text.push_str(MULTISTATUS);
        let (top, url) = (self.top.clone(), self.url.clone());
        self.rows.enter(url.clone(), &top)?;
        let mut entered = vec![Above::new(top.id, url.clone())];
        for changed in &found.told {
            if let Some(grave) = changed.gone {
                self.gone(&url, grave)?;
            } else if let Some(row) = self.rows.view.resource(changed.id)? {
                self.changed(out, &mut entered, &row)?;
            }
        }
        if found.cut {
            let error = "<D:error><D:number-of-matches-within-limits/></D:error>";
            self.status(&url, "507 Insufficient Storage", error);
        }
        let _ = write!(self.text, "<D:sync-token>{}</D:sync-token>{MULTISTATUS_END}", escape_text(token));
        self.hand_on(out)
    }

    fn changed(&mut self, out: &mut impl Sink, entered: &mut Entered, row: &Resource) -> Result<()> {
        // Most rows are in the collection of the one before.
        if entered.last().is_none_or(|above| above.id != row.parent) && !self.enter_parent(entered, row)? {
            return Ok(());
        }
        let member = Member::from(row);
        match entered.last() {
            Some(above) if self.rows.reaches(&member)? => {
                self.row(out, Href { base: &above.base, name: &row.name }, &member)
            }
            _ => Ok(()),
        }
    }

    /// Goes from the collections that have been entered to those above a resource; false where it is not below the top, or one of
    /// them is not to be seen.
    fn enter_parent(&mut self, entered: &mut Entered, row: &Resource) -> Result<bool> {
        let top = self.top.id;
        let Some(chain) = self.rows.view.chain_below(top, row.parent)? else { return Ok(false) };
        for collection in &chain {
            if !self.rows.reaches(&collection.into())? {
                return Ok(false);
            }
        }
        let same = entered[1..].iter().zip(&chain).take_while(|(above, collection)| above.id == collection.id).count();
        if entered.len() > same + 1 {
            entered.truncate(same + 1);
            self.rows.leave_to(self.above + same + 1);
        }
        for collection in &chain[same..] {
            let url = entered.last().map_or_else(String::new, |above| member_url(&above.url, collection));
            self.rows.enter(url.clone(), collection)?;
            entered.push(Above::new(collection.id, url));
        }
        Ok(true)
    }

    fn gone(&mut self, top: &str, grave: i64) -> Result<()> {
        let view = self.rows.view;
        let Some((parent, name)) = view.buried(grave)? else { return Ok(()) };
        let Some(chain) = view.chain_below(self.top.id, parent)? else { return Ok(()) };
        let mut url = top.to_owned();
        for collection in &chain {
            if !self.rows.reaches(&collection.into())? {
                return Ok(());
            }
            url = member_url(&url, collection);
        }
        let _ = write!(url, "/{}", encode_segment(&name));
        self.status(&url, "404 Not Found", "");
        Ok(())
    }

    fn status(&mut self, url: &str, status: &str, rest: &str) {
        let href = escape_text(url);
        let _ = write!(
            self.text,
            "<D:response><D:href>{href}</D:href><D:status>HTTP/1.1 {status}</D:status>{rest}</D:response>"
        );
    }
}
