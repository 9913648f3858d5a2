//! A bounded number of threads for jobs, and a bounded number of jobs that wait for them. There are no threads while there is
//! nothing to do. What runs here is not urgent.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::Job;

/// How much these threads step back behind those that answer requests.
const NICE: i32 = 10;

#[derive(Default)]
struct State {
    waiting: VecDeque<Box<Job>>,
    threads: usize,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    idle: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Jobs that wait for their turn.
pub(super) struct Queue {
    shared: Arc<Shared>,
    threads: usize,
    most: usize,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("threads", &self.threads).field("most", &self.most).finish_non_exhaustive()
    }
}

impl Queue {
    /// `threads` jobs run at a time, `most` may wait.
    pub(super) fn new(threads: usize, most: usize) -> Self {
        Self { shared: Arc::default(), threads, most }
    }

    /// Runs a job on a thread of its own, or when one of those that run is through; gives it back if there is no place for it.
    pub(super) fn submit(&self, job: Box<Job>) -> Result<(), Box<Job>> {
        let mut state = self.shared.state();
        if state.closed || (state.threads >= self.threads && state.waiting.len() >= self.most) {
            return Err(job);
        }
        state.waiting.push_back(job);
        if state.threads >= self.threads {
            return Ok(());
        }
        let shared = self.shared.clone();
        match std::thread::Builder::new().name("transfer".to_owned()).spawn(move || work(&shared)) {
            Ok(_) => state.threads += 1,
            // The threads that are there will come to it.
            Err(e) if state.threads > 0 => tracing::warn!(error = %e, "no thread for a job"),
            Err(e) => {
                tracing::error!(error = %e, "no thread for a job");
                return state.waiting.pop_back().map_or(Ok(()), Err);
            }
        }
        Ok(())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.shared.state().closed
    }

    /// Takes no more, fails what waits and returns when nothing runs any more.
    pub(super) fn close(&self) {
        let waiting = {
            let mut state = self.shared.state();
            state.closed = true;
            std::mem::take(&mut state.waiting)
        };
        for job in waiting {
            let failure = job.stopped();
            job.give_up(failure);
        }
        let mut state = self.shared.state();
        while state.threads > 0 {
            state = self.shared.idle.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn work(shared: &Shared) {
    if let Err(e) = rustix::process::nice(NICE) {
        tracing::debug!(error = %e, "a job has the priority of requests");
    }
    loop {
        let next = {
            let mut state = shared.state();
            let next = state.waiting.pop_front();
            if next.is_none() {
                state.threads -= 1;
                shared.idle.notify_all();
            }
            next
        };
        match next {
            Some(job) => job.run(),
            None => return,
        }
    }
}
