//! Every range that is accepted lies inside the content.
#![no_main]

use cellar::web::range::{Ranges, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, &str)| {
    let (size, header) = input;
    let inside = |span: &cellar::web::range::Span| assert!(span.first + span.length() <= size && span.length() > 0);
    match parse(header, size) {
        Ranges::One(span) => inside(&span),
        Ranges::Several(spans) => spans.iter().for_each(inside),
        Ranges::Whole | Ranges::Unsatisfiable => {}
    }
});
