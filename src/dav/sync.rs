//! `sync-collection` (RFC 6578): what has changed in a collection since a token was handed out, and a token for the next time.
//!
//! A client that asks for so many results gets the oldest changes, a 507 for the collection, and a token that goes on behind
//! them. A token that cannot be honoured (of another collection or incarnation of the cell, from the future, from a time whose
//! removed names are forgotten, or from before a collection was replaced by another thing of its name, with `infinite`) is refused, and the client begins anew.

use std::fmt::{Display, Formatter};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::answer::Sink;
use super::propfind::listing::Listing;
use super::propfind::wanted::Wanted;
use super::subject::Subject;
use crate::base::id::ResourceId;
use crate::base::xml::{DAV, Element};
use crate::storage::Error;
use crate::storage::Result as Stored;
use crate::storage::database::View;
use crate::storage::database::changes::{Place, Reach, Since};
use crate::web::problem::{Code, Problem};

/// What a token begins with: an absolute URI of a scheme that nobody resolves.
const PREFIX: &str = "urn:x-cellar:sync:";

/// The body of the request.
struct SyncRequest {
    /// Empty at the beginning.
    token: String,
    reach: Reach,
    limit: usize,
    wanted: Wanted,
}

impl SyncRequest {
    fn of(root: &Element) -> Result<Self, Problem> {
        let wrong = |what: &str| Problem::new(Code::XmlContent).because(what);
        let text = |element: &Element| element.text().trim().to_owned();
        let token = root.child(DAV, "sync-token").map(text).ok_or_else(|| wrong("no sync-token"))?;
        let reach = match root.child(DAV, "sync-level").map(text).as_deref() {
            Some("1") => Reach::Members,
            Some("infinite") => Reach::Tree,
            _ => return Err(wrong("sync-level must be 1 or infinite")),
        };
        let limit = match root.child(DAV, "limit") {
            None => usize::MAX,
            Some(limit) => {
                let number = limit.child(DAV, "nresults").and_then(|n| text(n).parse().ok());
                number.filter(|n| *n > 0).ok_or_else(|| wrong("nresults must be a positive number"))?
            }
        };
        let wanted = root.child(DAV, "prop").map_or_else(|| Wanted::These(Vec::new()), Wanted::named_in);
        Ok(Self { token, reach, limit, wanted })
    }
}

/// Writes the answer for a collection that is there.
pub(super) fn answer(subject: &Subject, root: &Element, out: &mut impl Sink) -> Result<(), Problem> {
    let asked = SyncRequest::of(root)?;
    let (cell, name, path) = (&subject.cell, &subject.box_name, &subject.path);
    // A page that goes on takes the rows as they are: what was done by hand is looked for when a sync begins.
    let lookup = match asked.reach {
        _ if Page::goes_on(&asked.token) => cell.lookup(name, path),
        Reach::Members => cell.refresh(name, path),
        Reach::Tree => cell.refresh_tree(name, path),
    };
    let lookup = lookup.map_err(|e| subject.problem(e))?;
    let id = lookup.found().map(|row| row.id).ok_or_else(|| subject.problem(Error::Missing))?;
    let written = cell.read(|view| {
        let (now, since) = since(view, id, &asked.token)?;
        let found = view.changes(id, asked.reach, &since, asked.limit)?.ok_or_else(refusal)?;
        let begin = token(view, id, found.rest(&since).map_or(now, |rest| rest.base))?;
        let token = found.rest(&since).map_or(begin.clone(), |rest| format!("{begin}{}", Page(rest.told)));
        Listing::new(view, subject, &lookup, &asked.wanted)?.write_changes(out, &found, &token)
    });
    written.map_err(|e| subject.problem(e))
}

/// The token of a collection for a moment, given by the cell's change sequence.
pub(super) fn token(view: &View<'_>, collection: ResourceId, seq: i64) -> Stored<String> {
    Ok(format!("{PREFIX}{}:{collection}:{seq}", view.meta_text("incarnation")?.unwrap_or_default()))
}

/// How a token for the next page ends: the last thing that was told, as `:{path}` or `:{change}:{collection}:{path}`, the path in
/// base64.
struct Page(Place);

impl Page {
    /// Whether a token is one of these: it has more parts than one for a moment.
    fn goes_on(token: &str) -> bool {
        token.strip_prefix(PREFIX).is_some_and(|rest| rest.split(':').count() > 3)
    }

    fn read(parts: &[&str]) -> Option<Self> {
        let names = |text: &str| -> Option<Vec<String>> {
            let path = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
            Some(path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect())
        };
        Some(Self(match parts {
            [path] => Place::Walk(names(path)?),
            [seq, parent, path] => {
                Place::Change { seq: seq.parse().ok()?, parent: parent.parse().ok()?, names: names(path)? }
            }
            _ => return None,
        }))
    }
}

impl Display for Page {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let path = |names: &[String]| URL_SAFE_NO_PAD.encode(names.join("/"));
        match &self.0 {
            Place::Walk(names) => write!(f, ":{}", path(names)),
            Place::Change { seq, parent, names } => write!(f, ":{seq}:{parent}:{}", path(names)),
        }
    }
}

/// Reads a token; also tells the change sequence of now.
fn since(view: &View<'_>, collection: ResourceId, text: &str) -> Stored<(i64, Since)> {
    let now = view.change_seq()?;
    if text.is_empty() {
        return Ok((now, Since::beginning(now)));
    }
    let begin = token(view, collection, 0)?;
    let rest = text.strip_prefix(begin.trim_end_matches('0')).ok_or_else(refusal)?;
    let (base, page) = rest.split_once(':').map_or((rest, None), |(base, page)| (base, Some(page)));
    let base: i64 = base.parse().map_err(|_| refusal())?;
    let told = match page {
        None => Since::after(base).told,
        Some(page) => Page::read(&page.split(':').collect::<Vec<_>>()).ok_or_else(refusal)?.0,
    };
    let since = Since { base, told };
    let known = 0..=now;
    let at = match &since.told {
        Place::Walk(_) => base,
        Place::Change { seq, .. } => *seq,
    };
    if !known.contains(&base) || !(base..=now).contains(&at) || !since.is_remembered(now) {
        return Err(refusal().into());
    }
    Ok((now, since))
}

fn refusal() -> Problem {
    Problem::new(Code::SyncToken).violating("valid-sync-token", Vec::new())
}
