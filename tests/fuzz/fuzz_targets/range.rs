#![no_main]

use cellar::fuzz::TARGETS;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (_, run) = TARGETS.iter().find(|(name, _)| *name == "range").expect("a target");
    run(data);
});
