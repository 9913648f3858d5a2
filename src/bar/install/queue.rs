//! A bounded number of threads for installations. There are none while there is nothing to do.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::Accepted;

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Accepted>,
    threads: usize,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    idle: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Installations that wait for their turn.
#[derive(Debug)]
pub(super) struct Queue {
    shared: Arc<Shared>,
    most: usize,
}

impl Queue {
    pub(super) fn new(most: usize) -> Self {
        Self { shared: Arc::default(), most }
    }

    /// Runs an installation on a thread of its own, or when one of those that run is through.
    pub(super) fn submit(&self, accepted: Accepted) {
        let mut state = self.shared.state();
        if state.closed {
            // It fails by being dropped.
            return;
        }
        state.waiting.push_back(accepted);
        if state.threads >= self.most {
            return;
        }
        let shared = self.shared.clone();
        match std::thread::Builder::new().name("install".to_owned()).spawn(move || work(&shared)) {
            Ok(_) => state.threads += 1,
            // The threads that are there will come to it.
            Err(e) if state.threads > 0 => tracing::warn!(error = %e, "no thread for an installation"),
            Err(e) => {
                tracing::error!(error = %e, "no thread for an installation");
                state.waiting.clear();
            }
        }
    }

    /// Takes no more, fails what waits and returns when nothing runs any more.
    pub(super) fn close(&self) {
        let waiting = {
            let mut state = self.shared.state();
            state.closed = true;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Accepted::give_up);
        let mut state = self.shared.state();
        while state.threads > 0 {
            state = self.shared.idle.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn work(shared: &Shared) {
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
            Some(accepted) => accepted.run(),
            None => return,
        }
    }
}
