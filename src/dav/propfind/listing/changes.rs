//! The rows of a `sync-collection` (RFC 6578 section 3.5): what has changed as it is now, what is gone as 404.

use std::fmt::Write as _;
use std::io::Write;

use super::{Listing, member_url, send};
use crate::base::id::ResourceId;
use crate::base::path::encode_segment;
use crate::base::xml::escape_text;
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
        out: &mut impl Write,
        found: &[Changed],
        cut: bool,
        token: &str,
    ) -> Result<()> {
        send(out, MULTISTATUS)?;
        let (top, url) = (self.top.clone(), self.url.clone());
        self.rows.enter(url.clone(), &top)?;
        let mut entered = vec![(top.id, url.clone())];
        for changed in found {
            if changed.gone {
                self.gone(out, &url, changed)?;
            } else if let Some(chain) = self.rows.view.chain_below(top.id, changed.position.id)? {
                self.changed(out, &mut entered, &chain)?;
            }
        }
        if cut {
            send_status(
                out,
                &url,
                "507 Insufficient Storage",
                "<D:error><D:number-of-matches-within-limits/></D:error>",
            )?;
        }
        send(out, &format!("<D:sync-token>{}</D:sync-token>", escape_text(token)))?;
        send(out, MULTISTATUS_END)
    }

    fn changed(&mut self, out: &mut impl Write, entered: &mut Entered, chain: &[Resource]) -> Result<()> {
        let Some((row, above)) = chain.split_last() else { return Ok(()) };
        for row in chain {
            if !self.rows.sight.reaches(row)? {
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
        self.row(out, &url, row)
    }

    fn gone(&mut self, out: &mut impl Write, top: &str, changed: &Changed) -> Result<()> {
        let view = self.rows.view;
        let Some((parent, name)) = view.buried(changed.position.seq)? else { return Ok(()) };
        let Some(chain) = view.chain_below(self.top.id, parent)? else { return Ok(()) };
        let mut url = top.to_owned();
        for collection in &chain {
            url = member_url(&url, collection);
        }
        let _ = write!(url, "/{}", encode_segment(&name));
        send_status(out, &url, "404 Not Found", "")
    }
}

fn send_status(out: &mut impl Write, url: &str, status: &str, rest: &str) -> Result<()> {
    let href = escape_text(url);
    send(out, &format!("<D:response><D:href>{href}</D:href><D:status>HTTP/1.1 {status}</D:status>{rest}</D:response>"))
}
