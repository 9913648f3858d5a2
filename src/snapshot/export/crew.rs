//! Threads that make things in any order, for one who takes them in theirs.
//!
//! The threads step back behind everything else that wants to run: whoever answers a request gets their CPU at once, however
//! long they had it. On a machine that is never idle they would hardly come forward, so the one who waits for them works too when
//! nothing has come for a while: first at what nobody has begun, and in the end at what a thread has begun and cannot go on with.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::WHAT;
use crate::base::sys;
use crate::snapshot::failure::Failure;
use crate::storage::Error;

/// How long nothing may come from the threads before somebody helps them, and before he does again what they have begun.
const SOON: Duration = Duration::from_millis(50);
const LATE: Duration = Duration::from_millis(250);
/// Tasks that are begun and not yet taken, for each thread.
const AHEAD: u64 = 2;

/// Tasks that no thread has yet.
struct Line<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    waiting: VecDeque<(u64, Arc<T>)>,
    ended: bool,
}

impl<T> Line<T> {
    fn new() -> Self {
        let state = State { waiting: VecDeque::new(), ended: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, number: u64, task: Arc<T>) {
        self.state().waiting.push_back((number, task));
        self.changed.notify_one();
    }

    /// The next task, when there is one; none after the end.
    fn pop(&self) -> Option<(u64, Arc<T>)> {
        let mut state = self.state();
        loop {
            if state.ended {
                return None;
            }
            if let Some(task) = state.waiting.pop_front() {
                return Some(task);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A task that no thread has begun, if there is one.
    fn take(&self) -> Option<(u64, Arc<T>)> {
        self.state().waiting.pop_front()
    }
}

/// Ends a line when it goes, however that comes.
struct Ends<'l, T>(&'l Line<T>);

impl<T> Drop for Ends<'_, T> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.waiting.clear();
        state.ended = true;
        self.0.changed.notify_all();
    }
}

/// What a crew does.
pub(super) struct Crew<Hand, Make> {
    pub(super) threads: usize,
    /// Equips one who works.
    pub(super) hand: Hand,
    /// Does a task. What it gives depends on the task alone.
    pub(super) make: Make,
}

impl<Hand, Make> Crew<Hand, Make> {
    /// Has the tasks that `next` gives done, to its end, and gives `take` what became of them, in their order.
    pub(super) fn run<T, W, D>(
        &self,
        mut next: impl FnMut() -> Result<Option<T>, Failure>,
        mut take: impl FnMut(D) -> Result<(), Failure>,
    ) -> Result<(), Failure>
    where
        T: Send + Sync,
        D: Send,
        Hand: Fn() -> W + Sync,
        Make: Fn(&mut W, &T) -> D + Sync,
    {
        let line = Line::new();
        let (outcomes, finished) = channel();
        std::thread::scope(|scope| {
            let _ends = Ends(&line);
            for _ in 0..self.threads {
                let (line, outcomes) = (&line, outcomes.clone());
                let thread = std::thread::Builder::new().name("pack".to_owned());
                let started = thread.spawn_scoped(scope, move || {
                    if let Err(e) = sys::run_when_idle() {
                        tracing::debug!(error = %e, "a thread has the priority of its job");
                    }
                    let mut hand = (self.hand)();
                    while let Some((number, task)) = line.pop() {
                        if outcomes.send((number, (self.make)(&mut hand, &task))).is_err() {
                            return;
                        }
                    }
                });
                started.map_err(|e| Failure::machine(WHAT)(Error::io("start a thread", "pack")(e)))?;
            }
            let (mut begun, mut early) = (BTreeMap::new(), BTreeMap::new());
            let (mut sent, mut taken, mut patience, mut is_late, mut own) = (0, 0, SOON, false, None);
            loop {
                while sent - taken < self.threads as u64 * AHEAD
                    && let Some(task) = next()?
                {
                    let task = Arc::new(task);
                    begun.insert(sent, task.clone());
                    line.push(sent, task);
                    sent += 1;
                }
                let Some(first) = begun.get(&taken) else { return Ok(()) };
                match finished.recv_timeout(patience) {
                    Ok((number, done)) => {
                        (patience, is_late) = (SOON, false);
                        // What was done twice was the same twice.
                        if number >= taken {
                            early.insert(number, done);
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {
                        let task = line.take();
                        if task.is_none() && !is_late {
                            (patience, is_late) = (LATE, true);
                            continue;
                        }
                        let (number, task) = task.unwrap_or_else(|| (taken, first.clone()));
                        patience = Duration::ZERO;
                        early.insert(number, (self.make)(own.get_or_insert_with(&self.hand), &task));
                    }
                    Err(RecvTimeoutError::Disconnected) => return Err(Failure::Unknown),
                }
                while let Some(done) = early.remove(&taken) {
                    begun.remove(&taken);
                    take(done)?;
                    taken += 1;
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    fn numbers(count: u64) -> impl FnMut() -> Result<Option<u64>, Failure> {
        let mut numbers = 0..count;
        move || Ok(numbers.next())
    }

    #[test]
    fn outcomes_come_in_the_order_of_the_tasks() {
        for threads in [1, 2, 7] {
            let crew = Crew {
                threads,
                hand: || 0_u64,
                make: |hand: &mut u64, n: &u64| {
                    *hand += 1;
                    // Some take longer than others.
                    (0..n % 7 * 1000).fold(*n, |sum, _| std::hint::black_box(sum))
                },
            };
            let mut out = Vec::new();
            crew.run(numbers(500), |n| {
                out.push(n);
                Ok(())
            })
            .expect("done");
            assert_eq!(out, (0..500).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_threads_do_not_come_to_is_done_by_the_one_who_waits() {
        let (leader, over) = (std::thread::current().id(), AtomicBool::new(false));
        let by_leader = AtomicUsize::new(0);
        let crew = Crew {
            threads: 2,
            hand: || (),
            make: |(): &mut (), n: &u64| {
                if std::thread::current().id() == leader {
                    by_leader.fetch_add(1, Ordering::Relaxed);
                } else {
                    // As a thread that gets no CPU.
                    while !over.load(Ordering::Relaxed) {
                        std::thread::yield_now();
                    }
                }
                *n
            },
        };
        let mut out = Vec::new();
        crew.run(numbers(20), |n| {
            out.push(n);
            over.store(n == 19, Ordering::Relaxed);
            Ok(())
        })
        .expect("done");
        assert_eq!(out, (0..20).collect::<Vec<_>>());
        assert_eq!(by_leader.into_inner(), 20);
    }

    #[test]
    fn a_failure_ends_all() {
        let crew = Crew { threads: 2, hand: || (), make: |(): &mut (), n: &u64| *n };
        let mut taken = 0;
        let stops = crew.run(numbers(1_000_000), |_| {
            taken += 1;
            if taken == 10 { Err(Failure::Unknown) } else { Ok(()) }
        });
        assert!(stops.is_err() && taken == 10);
        let mut asked = 0;
        let fails = crew.run(
            || {
                asked += 1;
                if asked == 10 { Err(Failure::Unknown) } else { Ok(Some(0)) }
            },
            |_| Ok(()),
        );
        assert!(fails.is_err());
    }
}
