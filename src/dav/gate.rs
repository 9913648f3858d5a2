//! What a request that changes something must satisfy: privileges, `If-Match` and its kin, the `If` header, and the locks in the
//! way.
//!
//! Asked inside the transaction, where the answer is final, and before that where it spares receiving a body.

use http::{HeaderMap, Method};

use super::bad_header;
use super::if_header::{IfHeader, List, State};
use super::subject::{DavRequest, Subject};
use crate::base::clock::now_ms;
use crate::base::path::{ResourcePath, decode_segment, encode_segment};
use crate::domain::lock::{Keys, Obstacle, Reach, conflict, obstacle};
use crate::storage::database::cell_box::Lookup;
use crate::storage::database::lock::Lock;
use crate::storage::database::{Resource, View};
use crate::storage::operation::Guard;
use crate::storage::{Cell, Error, Result as Stored};
use crate::web::authority::Access;
use crate::web::conditional::{Conditions, Current, Verdict};
use crate::web::problem::{Code, Problem};
use crate::web::public_url::Asked;

/// The conditions of a request, to be asked in the transaction of one cell.
#[derive(Clone)]
pub(super) struct Gate {
    conditions: Conditions,
    lists: Vec<(List, Spot)>,
    keys: Keys,
    access: Access,
    method: Method,
    asked: Asked,
    cell: String,
    /// The URL of the request.
    url: String,
}

/// What a list of the `If` header speaks of.
#[derive(Clone)]
enum Spot {
    /// A resource of the cell in whose transaction the gate is asked.
    Here { box_name: String, path: ResourcePath },
    /// A resource elsewhere, as it was when the request was read.
    Known(Possession),
}

/// What a resource has that an `If` header can ask for.
#[derive(Debug, Clone, Default)]
struct Possession {
    etag: Option<String>,
    tokens: Vec<String>,
}

impl Gate {
    /// Reads the headers of a request that changes its own cell.
    pub(super) fn of(request: &DavRequest, subject: &Subject) -> Result<Self, Problem> {
        Self::with(request, subject.access.clone(), subject.cell.name())
    }

    /// Reads the headers of a request that changes this cell.
    pub(super) fn for_cell(request: &DavRequest, cell: &Cell) -> Result<Self, Problem> {
        Self::with(request, request.access_in(cell)?, cell.name())
    }

    fn with(request: &DavRequest, access: Access, cell: &str) -> Result<Self, Problem> {
        let header = if_header(request)?;
        let keys = Keys {
            tokens: header.iter().flat_map(IfHeader::tokens).map(str::to_owned).collect(),
            principal: access.principal(),
        };
        let lists = header.map_or_else(Vec::new, |header| header.lists);
        Ok(Self {
            conditions: Conditions::of(&request.headers),
            lists: lists.into_iter().map(|list| (spot(request, cell, &list), list)).map(|(s, l)| (l, s)).collect(),
            keys,
            access,
            method: request.method.clone(),
            asked: request.asked.clone(),
            cell: cell.to_owned(),
            url: request.url(),
        })
    }

    /// The tokens that the request submits, in order.
    pub(super) fn tokens(&self) -> &[String] {
        &self.keys.tokens
    }

    pub(super) fn principal(&self) -> &str {
        &self.keys.principal
    }

    /// Whether everything holds for a change of what the request's own path leads to.
    pub(super) fn check(&self, view: &View<'_>, lookup: &Lookup, reach: Reach) -> Stored<()> {
        self.permit(view, lookup)?;
        self.conditions(view, lookup)?;
        self.locks(view, lookup, reach)
    }

    /// Whether the caller may do this to what the request's own path leads to.
    pub(super) fn permit(&self, view: &View<'_>, lookup: &Lookup) -> Stored<()> {
        self.access.permit(view, lookup, self.method.as_str())
    }

    /// Whether the caller may let something arrive where a path leads.
    pub(super) fn permit_arrival(&self, view: &View<'_>, to: &Lookup) -> Stored<()> {
        self.access.permit_arrival(view, to, self.method.as_str())
    }

    /// Whether the preconditions hold; `lookup` is what the request's own path leads to.
    pub(super) fn conditions(&self, view: &View<'_>, lookup: &Lookup) -> Stored<()> {
        self.entity(lookup)?;
        self.header(view)
    }

    /// Whether `If-Match`, `If-None-Match` and `If-Unmodified-Since` hold.
    pub(super) fn entity(&self, lookup: &Lookup) -> Result<(), Problem> {
        let verdict = match lookup.found() {
            Some(row) => self.conditions.evaluate(false, Current::of(&row.etag().to_string(), Some(row.mtime_ms))),
            None => self.conditions.evaluate(false, Current::missing()),
        };
        if verdict == Verdict::Proceed { Ok(()) } else { Err(Code::EtagMismatch.into()) }
    }

    /// Whether one list of the `If` header holds, or there is none.
    pub(super) fn header(&self, view: &View<'_>) -> Stored<()> {
        if self.lists.is_empty() {
            return Ok(());
        }
        for (list, spot) in &self.lists {
            let has = match spot {
                Spot::Here { box_name, path } => Possession::of(view, box_name, path)?,
                Spot::Known(has) => has.clone(),
            };
            if list.holds(|state| has.has(state)) {
                return Ok(());
            }
        }
        Err(Problem::new(Code::PreconditionHeader).with("If").into())
    }

    /// Whether the request has the tokens of the locks that stand in the way.
    pub(super) fn locks(&self, view: &View<'_>, lookup: &Lookup, reach: Reach) -> Stored<()> {
        match obstacle(view, lookup, reach, &self.keys, now_ms())? {
            None => Ok(()),
            Some(obstacle) => Err(self.locked("lock-token-submitted", &obstacle, None).into()),
        }
    }

    /// Whether a lock may be taken beside those that there are.
    pub(super) fn room_for(&self, view: &View<'_>, lookup: &Lookup, lock: &Lock) -> Stored<()> {
        match conflict(view, lookup, lock, now_ms())? {
            None => Ok(()),
            Some(obstacle) => Err(self.locked("no-conflicting-lock", &obstacle, Some(self.url.clone())).into()),
        }
    }

    fn locked(&self, condition: &'static str, obstacle: &Obstacle, whole: Option<String>) -> Problem {
        let url = |chain: &[Resource]| url_of(&self.asked, &self.cell, chain);
        let problem = Problem::new(Code::Locked);
        match obstacle {
            Obstacle::Roots(roots) => problem.violating(condition, roots.iter().map(|chain| url(chain)).collect()),
            Obstacle::Members(members) => {
                let mut hrefs: Vec<String> = members.iter().map(|member| url(&member.chain)).collect();
                hrefs.dedup();
                problem.violating(condition, hrefs.clone()).of_members(hrefs, whole)
            }
        }
    }

    /// The guard of a change of something that must be there. `rule` is asked before the conditions.
    pub(super) fn guard_existing(
        self,
        reach: Reach,
        rule: impl Fn(&Lookup) -> Result<(), Problem> + Send + 'static,
    ) -> Guard {
        Box::new(move |view, lookup| {
            self.permit(view, lookup)?;
            if lookup.missing > 0 {
                return Err(Error::Missing);
            }
            rule(lookup)?;
            self.check(view, lookup, reach)
        })
    }
}

/// Whether a request carries conditions that only a header of WebDAV can have.
pub(super) fn has_if(headers: &HeaderMap) -> bool {
    headers.contains_key("if")
}

/// The `If` header; several are read as one.
fn if_header(request: &DavRequest) -> Result<Option<IfHeader>, Problem> {
    if !has_if(&request.headers) {
        return Ok(None);
    }
    let texts: Vec<_> = request.headers.get_all("if").iter().map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
    let text = texts.join(" ");
    IfHeader::parse(&text).map(Some).map_err(|e| bad_header("If", &text).because(e))
}

/// What a list speaks of. A tag that leads to no place on this unit names something that has nothing.
fn spot(request: &DavRequest, cell: &str, list: &List) -> Spot {
    let named = &request.named;
    let place = match &list.tag {
        None => Some((named.cell.clone(), named.box_name.clone(), named.path.clone())),
        Some(tag) => locate(&request.asked, tag),
    };
    match place {
        None => Spot::Known(Possession::default()),
        Some((of, box_name, path)) if of == cell => Spot::Here { box_name, path },
        Some((of, box_name, path)) => {
            let elsewhere = request.unit.cell(&of).and_then(|c| c.read(|view| Possession::of(view, &box_name, &path)));
            Spot::Known(elsewhere.unwrap_or_default())
        }
    }
}

fn locate(asked: &Asked, tag: &str) -> Option<(String, String, ResourcePath)> {
    let target = asked.locate(tag).ok()?;
    let (first, below) = target.rest.split_once('/').unwrap_or((&target.rest, ""));
    let box_name = decode_segment(first).ok()?.as_str().to_owned();
    Some((target.cell?, box_name, ResourcePath::decode(below).ok()?))
}

impl Possession {
    fn of(view: &View<'_>, box_name: &str, path: &ResourcePath) -> Stored<Self> {
        let lookup = match view.lookup(box_name, path) {
            Ok(lookup) => lookup,
            Err(Error::BoxMissing | Error::Busy(_)) => return Ok(Self::default()),
            Err(e) => return Err(e),
        };
        let mut locks = view.locks_over(&lookup.chain, now_ms())?;
        // A free name is covered by what covers everything below the collections above it.
        locks.retain(|lock| lookup.missing == 0 || lock.infinite);
        Ok(Self {
            etag: lookup.found().map(|row| row.etag().to_string()),
            tokens: locks.into_iter().map(|lock| lock.token).collect(),
        })
    }

    fn has(&self, state: &State) -> bool {
        match state {
            State::Token(token) => self.tokens.contains(token),
            State::ETag(etag) => self.etag.as_deref() == Some(etag.strip_prefix("W/").unwrap_or(etag)),
        }
    }
}

/// The URL of the last resource of a chain that begins with a box, without a trailing slash.
pub(super) fn url_of(asked: &Asked, cell: &str, chain: &[Resource]) -> String {
    let mut rows = chain.iter();
    let mut url = asked.cell_box(cell, rows.next().map_or("", |root| root.name.as_str()));
    for row in rows {
        url.push('/');
        url.push_str(&encode_segment(&row.name));
    }
    url
}
