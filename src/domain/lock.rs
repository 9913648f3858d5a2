//! Write locks (RFC 4918 sections 6 and 7): which of them stand in the way of a change, and of another lock.
//!
//! A change of a resource needs the token of the lock that covers it. One that gives a name to something or takes it away
//! needs that of the collection's lock too, and if a tree goes, those of all locks in it. Of shared locks any one will do.

use crate::storage::Result;
use crate::storage::database::Resource;
use crate::storage::database::View;
use crate::storage::database::cell_box::Lookup;
use crate::storage::database::lock::{Lock, Rooted};

/// What somebody brings along: tokens, and who they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    pub tokens: Vec<String>,
    pub principal: String,
}

/// What a change touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// A resource that stays where it is. Where nothing is, something new gets the name.
    Itself,
    /// A name and everything below it: something leaves it, or takes it from what is there.
    Place,
}

/// What stands in the way.
#[derive(Debug, Clone)]
pub enum Obstacle {
    /// Locks that cover the resource itself or the collection around it: the roots, each as a chain from its box.
    Roots(Vec<Vec<Resource>>),
    /// Locks on members of the tree.
    Members(Vec<Rooted>),
}

impl Keys {
    /// Whether these keys open what these locks cover.
    fn open(&self, locks: &[Lock]) -> bool {
        let has = |lock: &&Lock| lock.principal == self.principal && self.tokens.contains(&lock.token);
        let mut shared = locks.iter().filter(|lock| lock.shared).peekable();
        locks.iter().filter(|lock| !lock.shared).all(|lock| has(&lock))
            && (shared.peek().is_none() || shared.any(|lock| has(&lock)))
    }
}

/// What keeps the holder of these keys from a change of what a path leads to.
pub fn obstacle(view: &View<'_>, lookup: &Lookup, reach: Reach, keys: &Keys, now_ms: i64) -> Result<Option<Obstacle>> {
    if lookup.missing > 1 || !view.has_locks()? {
        return Ok(None);
    }
    let chain = &lookup.chain;
    let above = &chain[..chain.len() - 1];
    let touched: &[&[Resource]] = match reach {
        _ if lookup.missing == 1 => &[chain],
        Reach::Place => &[chain, above],
        Reach::Itself => &[chain],
    };
    for chain in touched {
        let locks = view.locks_over(chain, now_ms)?;
        if !keys.open(&locks) {
            return Ok(Some(Obstacle::Roots(roots(chain, &locks))));
        }
    }
    if reach == Reach::Itself || lookup.missing > 0 || lookup.nearest().is_file() {
        return Ok(None);
    }
    let mut members = view.locks_below(lookup.nearest().id, now_ms)?;
    let closed: Vec<bool> = members
        .iter()
        .map(|member| {
            let locks: Vec<Lock> =
                members.iter().filter(|l| l.lock.id == member.lock.id).map(|l| l.lock.clone()).collect();
            !keys.open(&locks)
        })
        .collect();
    let mut closed = closed.into_iter();
    members.retain(|_| closed.next().unwrap_or_default());
    Ok(if members.is_empty() { None } else { Some(Obstacle::Members(members)) })
}

/// What keeps anybody from taking another lock on what a path leads to.
pub fn conflict(view: &View<'_>, lookup: &Lookup, wished: &Lock, now_ms: i64) -> Result<Option<Obstacle>> {
    if !view.has_locks()? {
        return Ok(None);
    }
    let excludes = |lock: &Lock| !(lock.shared && wished.shared);
    let mut over = view.locks_over(&lookup.chain, now_ms)?;
    over.retain(|lock| excludes(lock) && (lookup.missing == 0 || lock.infinite));
    if !over.is_empty() {
        return Ok(Some(Obstacle::Roots(roots(&lookup.chain, &over))));
    }
    if !wished.infinite || lookup.missing > 0 {
        return Ok(None);
    }
    let mut below = view.locks_below(lookup.nearest().id, now_ms)?;
    below.retain(|l| excludes(&l.lock));
    Ok(if below.is_empty() { None } else { Some(Obstacle::Members(below)) })
}

/// The chain that leads to the root of each lock, each once.
fn roots(chain: &[Resource], locks: &[Lock]) -> Vec<Vec<Resource>> {
    (1..=chain.len())
        .map(|n| &chain[..n])
        .filter(|chain| chain.last().is_some_and(|root| locks.iter().any(|lock| lock.id == root.id)))
        .map(<[Resource]>::to_vec)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(token: &str, shared: bool, principal: &str) -> Lock {
        Lock {
            token: token.to_owned(),
            id: 1,
            infinite: false,
            shared,
            owner: None,
            principal: principal.to_owned(),
            expires_ms: 1,
        }
    }

    #[test]
    fn keys_open_what_their_holder_locked() {
        let keys = |tokens: &[&str]| Keys {
            tokens: tokens.iter().map(|t| (*t).to_owned()).collect(),
            principal: "me".to_owned(),
        };
        let (mine, theirs) = (lock("a", false, "me"), lock("b", false, "you"));
        let (s1, s2) = (lock("c", true, "me"), lock("d", true, "you"));
        for (tokens, locks, open) in [
            (&[][..], &[][..], true),
            (&[], std::slice::from_ref(&mine), false),
            (&["a"], std::slice::from_ref(&mine), true),
            (&["x", "a"], std::slice::from_ref(&mine), true),
            (&["b"], std::slice::from_ref(&theirs), false),
            (&["c"], &[s1.clone(), s2.clone()], true),
            (&["d"], &[s1.clone(), s2.clone()], false),
            (&["c"], &[s1, theirs.clone()], false),
        ] {
            assert_eq!(keys(tokens).open(locks), open, "{tokens:?} {locks:?}");
        }
    }
}
