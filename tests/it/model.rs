//! Random sequences of operations against the server and a model of it in memory: after each, both hold the same trees with
//! the same content, properties and locks, on the wire and on disk. In between the server is stopped or killed.
//!
//! Every sequence has a seed, which is printed; `CELLAR_MODEL_SEED` runs the one with that seed again. `CELLAR_MODEL_SECONDS`
//! is for how long sequences are begun.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::harness::Server;

mod operation;
mod reference;
mod world;

use operation::Operation;
use world::World;

/// For how long sequences are begun if nothing else is said.
const SECONDS: u64 = 20;

fn given(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn the_drive_behaves_like_a_model_of_it() {
    let begin = Instant::now();
    let server = RefCell::new(Server::with(&[("CELLAR_WEBDAV__INFINITE_DEPTH", "true")]));
    let seed = given("CELLAR_MODEL_SEED");
    let end = begin + Duration::from_secs(given("CELLAR_MODEL_SECONDS").unwrap_or(SECONDS));
    let first = seed.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        now.as_micros() as u64
    });
    let cases = Cell::new(Cases::default());
    for number in first.. {
        println!("CELLAR_MODEL_SEED={number}");
        run(number, &server, &cases);
        if seed.is_some() || Instant::now() > end {
            break;
        }
    }
    let Cases { sequences, done, refused } = cases.get();
    println!("{sequences} sequences, {done} operations done, {refused} refused");
    // A model that only ever sees refusals shows nothing.
    assert!(done > sequences, "{done} operations in {sequences} sequences");
}

#[derive(Debug, Default, Clone, Copy)]
struct Cases {
    sequences: u64,
    done: u64,
    refused: u64,
}

fn run(seed: u64, server: &RefCell<Server>, cases: &Cell<Cases>) {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config {
        cases: 1,
        failure_persistence: None,
        max_shrink_time: 30_000,
        max_shrink_iters: 2_000,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let failed = runner.run(&operation::sequences(), |sequence| {
        let mut count = cases.get();
        count.sequences += 1;
        // Said at once: a sequence that fails is tried again, shortened, in cells of its own.
        cases.set(count);
        let mut server = server.borrow_mut();
        let mut world = World::new(&mut server, count.sequences);
        for operation in whole(&sequence) {
            let done = world.step(&operation).map_err(TestCaseError::fail)?;
            *(if done { &mut count.done } else { &mut count.refused }) += 1;
        }
        cases.set(count);
        Ok(())
    });
    if let Err(TestError::Fail(reason, sequence)) = failed {
        let steps: Vec<String> = whole(&sequence).iter().map(|step| format!("  {step:?}")).collect();
        panic!("seed {seed}: {reason}\nin the sequence\n{}", steps.join("\n"));
    }
}

fn whole(sequence: &[Operation]) -> Vec<Operation> {
    [operation::beginning(), sequence.to_vec(), operation::end()].concat()
}
