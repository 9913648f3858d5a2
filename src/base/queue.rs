//! A bounded number of threads for jobs, and a bounded number of jobs that wait for them. There are no threads while there is
//! nothing to do.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::sys;

/// What a queue runs.
pub trait Job: Send + 'static {
    /// What its threads are called.
    const NAME: &'static str;
    /// How much its threads, and those that they start, step back behind those that answer requests: 0 to 19.
    const NICE: i32 = 0;

    /// Does the work, to its end. Never panics.
    fn run(self);

    /// Ends the job without having done anything, because the queue is closed or the job was taken out.
    fn give_up(self);
}

struct State<J> {
    waiting: VecDeque<J>,
    threads: usize,
    closed: bool,
}

struct Shared<J> {
    state: Mutex<State<J>>,
    idle: Condvar,
}

impl<J> Shared<J> {
    fn state(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Jobs that wait for their turn.
pub struct Queue<J> {
    shared: Arc<Shared<J>>,
    threads: usize,
    most: usize,
}

/// Why a job is not taken; it comes back.
#[derive(Debug)]
pub enum Refused<J> {
    /// Too many wait, or there is no thread for it.
    Full(J),
    Closed(J),
}

impl<J> std::fmt::Debug for Queue<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("threads", &self.threads).field("most", &self.most).finish_non_exhaustive()
    }
}

impl<J: Job> Queue<J> {
    /// `threads` jobs run at a time, `most` may wait.
    pub fn new(threads: usize, most: usize) -> Self {
        let state = State { waiting: VecDeque::new(), threads: 0, closed: false };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), idle: Condvar::new() }), threads, most }
    }

    /// Runs a job on a thread of its own, or when one of those that run is through.
    pub fn submit(&self, job: J) -> Result<(), Refused<J>> {
        let mut state = self.shared.state();
        if state.closed {
            return Err(Refused::Closed(job));
        }
        if state.threads >= self.threads && state.waiting.len() >= self.most {
            return Err(Refused::Full(job));
        }
        state.waiting.push_back(job);
        if state.threads >= self.threads {
            return Ok(());
        }
        let shared = self.shared.clone();
        match std::thread::Builder::new().name(J::NAME.to_owned()).spawn(move || work(&shared)) {
            Ok(_) => state.threads += 1,
            // The threads that are there will come to it.
            Err(e) if state.threads > 0 => tracing::warn!(error = %e, "no thread for a job"),
            Err(e) => {
                tracing::error!(error = %e, "no thread for a job");
                return state.waiting.pop_back().map_or(Ok(()), |job| Err(Refused::Full(job)));
            }
        }
        Ok(())
    }

    /// Takes out the jobs that wait and of which this is true; they are given up.
    pub fn take_out(&self, which: impl Fn(&J) -> bool) {
        let mut taken = Vec::new();
        let mut state = self.shared.state();
        for job in std::mem::take(&mut state.waiting) {
            if which(&job) {
                taken.push(job);
            } else {
                state.waiting.push_back(job);
            }
        }
        drop(state);
        taken.into_iter().for_each(J::give_up);
    }

    /// Takes no more, gives up what waits and returns when nothing runs any more.
    pub fn close(&self) {
        let waiting = {
            let mut state = self.shared.state();
            state.closed = true;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(J::give_up);
        let mut state = self.shared.state();
        while state.threads > 0 {
            state = self.shared.idle.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn work<J: Job>(shared: &Shared<J>) {
    let step_back = || sys::run_in_short_turns(rustix::process::nice(J::NICE)?);
    if J::NICE > 0
        && let Err(e) = step_back()
    {
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Waits until it may end, and tells how it ended.
    #[derive(Debug)]
    struct Waits {
        number: usize,
        until: Receiver<()>,
        tell: Sender<(usize, &'static str)>,
    }

    impl Job for Waits {
        const NAME: &'static str = "waits";

        fn run(self) {
            let _ = self.until.recv();
            self.tell.send((self.number, "ran")).expect("somebody listens");
        }

        fn give_up(self) {
            self.tell.send((self.number, "given up")).expect("somebody listens");
        }
    }

    #[test]
    fn one_runs_one_waits_and_the_third_is_refused() {
        let queue = Queue::new(1, 1);
        let (tell, told) = channel();
        let mut go = Vec::new();
        let mut job = |number| {
            let (sender, until) = channel();
            go.push(sender);
            Waits { number, until, tell: tell.clone() }
        };
        queue.submit(job(0)).expect("a thread");
        // It is taken from those that wait as soon as its thread has begun.
        let mut second = job(1);
        while let Err(Refused::Full(back)) = queue.submit(second) {
            second = back;
            std::thread::yield_now();
        }
        assert!(matches!(queue.submit(job(2)), Err(Refused::Full(_))));
        queue.take_out(|job| job.number == 1);
        assert_eq!(told.recv(), Ok((1, "given up")));
        drop(go);
        queue.close();
        assert_eq!(told.recv(), Ok((0, "ran")));
        let (_, until) = channel();
        assert!(matches!(queue.submit(Waits { number: 3, until, tell }), Err(Refused::Closed(_))));
    }
}
