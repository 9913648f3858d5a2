//! Properties of a bar never panic, in either layout.
#![no_main]

use cellar::bar::{Layout, rootprops};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for layout in [Layout::V1, Layout::V2] {
        let _ = rootprops::parse(data, layout);
    }
});
