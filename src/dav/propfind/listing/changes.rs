//! The rows of a `sync-collection` (RFC 6578 section 3.5): what has changed as it is now, what is gone as 404.

use std::fmt::Write as _;

use super::{Listing, member_url};
use crate::base::id::ResourceId;
use crate::base::path::encode_segment;
use crate::base::xml::escape_text;
use crate::dav::answer::Sink;
use crate::dav::propfind::row::Href;
use crate::dav::xml::{MULTISTATUS, MULTISTATUS_END};
use crate::storage::Result;
use crate::storage::database::Resource;
use crate::storage::database::changes::Changed;

/// The collections that have been entered, from the top down, with their URLs.
type Entered = Vec<(ResourceId, String)>;

impl Listing<'_> {
    /// Writes the whole document. `cut` says that there is more to tell behind the token.
    pub(in crate::dav) fn write_changes(
        mut self,
        out: &mut impl Sink,
        found: &[Changed],
        cut: bool,
        token: &str,
    ) -> Result<()> {
        self.text.push_str(MULTISTATUS);
        let (top, url) = (self.top.clone(), self.url.clone());
        self.rows.enter(url.clone(), &top)?;
        let mut entered = vec![(top.id, url.clone())];
        for changed in found {
            if changed.gone {
                self.gone(&url, changed)?;
            } else if let Some(chain) = self.rows.view.chain_below(top.id, changed.position.id)? {
                self.changed(out, &mut entered, &chain)?;
            }
        }
        if cut {
            let error = "<D:error><D:number-of-matches-within-limits/></D:error>";
            self.status(&url, "507 Insufficient Storage", error);
        }
        let _ = write!(self.text, "<D:sync-token>{}</D:sync-token>{MULTISTATUS_END}", escape_text(token));
        self.hand_on(out)
    }

    fn changed(&mut self, out: &mut impl Sink, entered: &mut Entered, chain: &[Resource]) -> Result<()> {
        let Some((row, above)) = chain.split_last() else { return Ok(()) };
        for row in chain {
            if !self.rows.reaches(&row.into())? {
                return Ok(());
            }
        }
        let same = entered[1..].iter().zip(above).take_while(|((id, _), collection)| *id == collection.id).count();
        if entered.len() > same + 1 {
            entered.truncate(same + 1);
            self.rows.leave_to(self.above + same + 1);
        }
        for collection in &above[same..] {
            let url = entered.last().map_or_else(String::new, |(_, url)| member_url(url, collection));
            self.rows.enter(url.clone(), collection)?;
            entered.push((collection.id, url));
        }
        let url = entered.last().map_or_else(String::new, |(_, url)| member_url(url, row));
        self.row(out, Href { base: &escape_text(&url), name: "" }, &row.into())
    }

    fn gone(&mut self, top: &str, changed: &Changed) -> Result<()> {
        let view = self.rows.view;
        let Some((parent, name)) = view.buried(changed.position.seq)? else { return Ok(()) };
        let Some(chain) = view.chain_below(self.top.id, parent)? else { return Ok(()) };
        let mut url = top.to_owned();
        for collection in &chain {
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
