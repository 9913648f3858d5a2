//! Who has to wait after failed logins, and one attempt at a time: an attempt knows how the one before it ended.
//!
//! Attempts are those of one account from one address. If several were verified at the same time, as many guesses as there are
//! connections would pass before the first failure counts.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Condvar, Mutex};
use std::time::Instant;

use super::{LockRules, LoginError, locked, make_room};
use crate::domain::password::Overload;

/// Whose login is attempted, and from where.
#[derive(Debug, PartialEq, Eq, Hash, Clone)]
pub(super) struct Attempt {
    pub(super) cell: i64,
    pub(super) account: String,
    pub(super) address: IpAddr,
}

#[derive(Debug)]
struct Failures {
    last: Instant,
    in_a_row: u64,
}

#[derive(Debug, Default)]
struct State {
    failures: HashMap<Attempt, Failures>,
    running: HashSet<Attempt>,
    waiting: usize,
}

/// What is known about attempts.
#[derive(Debug)]
pub(super) struct Turns {
    rules: LockRules,
    /// The number of attempts that may wait for another one.
    most_waiting: usize,
    state: Mutex<State>,
    ended: Condvar,
}

/// The right to verify one password. It ends with its handle.
pub(super) struct Turn<'t> {
    turns: &'t Turns,
    attempt: Attempt,
}

impl Turns {
    pub(super) fn new(rules: LockRules, most_waiting: usize) -> Self {
        Self { rules, most_waiting, state: Mutex::default(), ended: Condvar::new() }
    }

    /// Waits until no other attempt of the kind is running. Refuses those that have to wait longer after a failure.
    pub(super) fn begin(&self, attempt: Attempt) -> Result<Turn<'_>, LoginError> {
        let mut state = locked(&self.state);
        loop {
            if self.rules.refuse(state.failures.get(&attempt)) {
                return Err(LoginError::Locked);
            }
            if state.running.insert(attempt.clone()) {
                return Ok(Turn { turns: self, attempt });
            }
            if state.waiting >= self.most_waiting {
                return Err(Overload.into());
            }
            state.waiting += 1;
            state = self.ended.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
            state.waiting -= 1;
        }
    }
}

impl LockRules {
    fn refuse(&self, known: Option<&Failures>) -> bool {
        let Some(known) = known else { return false };
        let since = known.last.elapsed();
        since < self.retry || (self.count > 0 && known.in_a_row >= self.count && since < self.time)
    }
}

impl Turn<'_> {
    /// Forgets earlier failures.
    pub(super) fn succeeded(self) {
        locked(&self.turns.state).failures.remove(&self.attempt);
    }

    pub(super) fn failed(self) {
        let LockRules { retry, count, time } = self.turns.rules;
        let mut state = locked(&self.turns.state);
        make_room(&mut state.failures, |known| known.last.elapsed() < retry.max(time));
        let new = || Failures { last: Instant::now(), in_a_row: 0 };
        let known = state.failures.entry(self.attempt.clone()).or_insert_with(new);
        let over = count > 0 && known.in_a_row >= count;
        known.in_a_row = if over { 1 } else { known.in_a_row + 1 };
        known.last = Instant::now();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        locked(&self.turns.state).running.remove(&self.attempt);
        self.turns.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    fn attempt(account: &str) -> Attempt {
        Attempt { cell: 1, account: account.to_owned(), address: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST) }
    }

    fn turns(retry: Duration, count: u64, most_waiting: usize) -> Turns {
        Turns::new(LockRules { retry, count, time: Duration::from_mins(10) }, most_waiting)
    }

    /// How many of some attempts at the same time got as far as a password.
    fn verified(turns: &Turns, attempts: usize) -> usize {
        let verified = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..attempts {
                scope.spawn(|| {
                    if let Ok(turn) = turns.begin(attempt("a")) {
                        verified.fetch_add(1, Ordering::Relaxed);
                        turn.failed();
                    }
                });
            }
        });
        verified.into_inner()
    }

    #[test]
    fn guesses_at_the_same_time_are_counted_one_by_one() {
        assert_eq!(verified(&turns(Duration::ZERO, 3, 100), 40), 3);
        assert_eq!(verified(&turns(Duration::from_mins(10), 0, 100), 40), 1);
        assert_eq!(verified(&turns(Duration::ZERO, 0, 100), 40), 40);
    }

    #[test]
    fn others_do_not_wait_and_only_so_many_do() {
        let turns = turns(Duration::ZERO, 0, 0);
        let one = turns.begin(attempt("a")).expect("a turn");
        let other = turns.begin(attempt("b")).expect("a turn");
        assert!(matches!(turns.begin(attempt("a")), Err(LoginError::Overload(_))));
        one.succeeded();
        turns.begin(attempt("a")).expect("a turn").failed();
        drop(other);
        turns.begin(attempt("b")).expect("an abandoned turn has ended").succeeded();
    }

    #[test]
    fn a_success_forgets_failures() {
        let turns = turns(Duration::ZERO, 2, 0);
        turns.begin(attempt("a")).expect("a turn").failed();
        turns.begin(attempt("a")).expect("a turn").succeeded();
        turns.begin(attempt("a")).expect("a turn").failed();
        turns.begin(attempt("a")).expect("one failure more").failed();
        assert!(matches!(turns.begin(attempt("a")), Err(LoginError::Locked)));
    }
}
