//! `sync-collection` (RFC 6578): what has changed in a collection since a token was handed out, and a token for the next time.
//!
//! A client that asks for so many results gets the oldest changes, a 507 for the collection, and a token that goes on behind
//! them. A token that cannot be honoured (of another collection or incarnation of the cell, from the future, from a time whose
//! removed names are forgotten, or from before a collection was replaced by another thing of its name, with `infinite`) is refused, and the client begins anew.

use super::answer::Sink;
use super::propfind::listing::Listing;
use super::propfind::wanted::Wanted;
use super::subject::Subject;
use crate::base::id::ResourceId;
use crate::base::xml::{DAV, Element};
use crate::storage::Error;
use crate::storage::Result as Stored;
use crate::storage::database::View;
use crate::storage::database::changes::{Position, Since};
use crate::web::problem::{Code, Problem};

/// What a token begins with: an absolute URI of a scheme that nobody resolves.
const PREFIX: &str = "urn:x-cellar:sync:";

/// How deep is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Members,
    Tree,
}

/// The body of the request.
struct SyncRequest {
    /// Empty at the beginning.
    token: String,
    level: Level,
    limit: usize,
    wanted: Wanted,
}

impl SyncRequest {
    fn of(root: &Element) -> Result<Self, Problem> {
        let wrong = |what: &str| Problem::new(Code::XmlContent).because(what);
        let text = |element: &Element| element.text().trim().to_owned();
        let token = root.child(DAV, "sync-token").map(text).ok_or_else(|| wrong("no sync-token"))?;
        let level = match root.child(DAV, "sync-level").map(text).as_deref() {
            Some("1") => Level::Members,
            Some("infinite") => Level::Tree,
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
        Ok(Self { token, level, limit, wanted })
    }
}

/// Writes the answer for a collection that is there.
pub(super) fn answer(subject: &Subject, root: &Element, out: &mut impl Sink) -> Result<(), Problem> {
    let asked = SyncRequest::of(root)?;
    let (cell, name, path) = (&subject.cell, &subject.box_name, &subject.path);
    let lookup = match asked.level {
        Level::Members => cell.refresh(name, path),
        Level::Tree => cell.refresh_tree(name, path),
    };
    let lookup = lookup.map_err(|e| subject.problem(e))?;
    let id = lookup.found().map(|row| row.id).ok_or_else(|| subject.problem(Error::Missing))?;
    let written = cell.read(|view| {
        let (now, since) = since(view, id, &asked.token)?;
        let mut found = match asked.level {
            Level::Members => view.changed_members(id, since)?,
            Level::Tree => view.changed_below(id, since)?.ok_or_else(refusal)?,
        };
        let cut = found.len() > asked.limit;
        found.truncate(asked.limit);
        let token = match found.last().filter(|_| cut) {
            Some(last) => page_token(view, id, last.position, since)?,
            None => token(view, id, now)?,
        };
        Listing::new(view, subject, &lookup, &asked.wanted)?.write_changes(out, &found, cut, &token)
    });
    written.map_err(|e| subject.problem(e))
}

/// The token of a collection for a moment, given by the cell's change sequence.
pub(super) fn token(view: &View<'_>, collection: ResourceId, seq: i64) -> Stored<String> {
    Ok(format!("{PREFIX}{}:{collection}:{seq}", view.meta_text("incarnation")?.unwrap_or_default()))
}

/// The token for what comes behind a position, in an answer that did not tell all.
fn page_token(view: &View<'_>, collection: ResourceId, last: Position, since: Since) -> Stored<String> {
    let begin = token(view, collection, last.seq)?;
    Ok(format!("{begin}:{}:{}", last.id, since.buried_seq))
}

/// Reads a token; also tells the change sequence of now.
fn since(view: &View<'_>, collection: ResourceId, text: &str) -> Stored<(i64, Since)> {
    let now = view.change_seq()?;
    if text.is_empty() {
        return Ok((now, Since::beginning(now)));
    }
    let begin = token(view, collection, 0)?;
    let numbers = text.strip_prefix(begin.trim_end_matches('0')).ok_or_else(refusal)?;
    let numbers: Vec<i64> = numbers.split(':').map(str::parse).collect::<Result<_, _>>().map_err(|_| refusal())?;
    let since = match numbers[..] {
        [seq] => Since { position: Position::after(seq), buried_seq: seq },
        [seq, id, buried_seq] => Since { position: Position { seq, id }, buried_seq },
        _ => return Err(refusal().into()),
    };
    let known = 0..=now;
    let known = known.contains(&since.position.seq) && known.contains(&since.buried_seq);
    if !known || !since.is_remembered(now) {
        return Err(refusal().into());
    }
    Ok((now, since))
}

fn refusal() -> Problem {
    Problem::new(Code::SyncToken).violating("valid-sync-token", Vec::new())
}
