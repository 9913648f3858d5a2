//! The same operation in many threads at once, each with a connection or a folder of its own.

use std::time::{Duration, Instant};

use crate::Result;

/// Runs `each` operations in each thread; how many were done in a second.
pub fn at_once<F: FnMut(usize) -> Result<()>>(
    threads: usize,
    each: usize,
    begin: impl Fn(usize) -> Result<F> + Sync,
) -> Result<f64> {
    let start = Instant::now();
    std::thread::scope(|scope| {
        let begin = &begin;
        let threads: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || -> Result<()> {
                    let mut one = begin(thread)?;
                    (0..each).try_for_each(&mut one)
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })?;
    let took = start.elapsed().max(Duration::from_micros(1));
    Ok((threads * each) as f64 / took.as_secs_f64())
}
