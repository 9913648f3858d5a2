//! What was read is read again the same from its own serialisation.
#![no_main]

use cellar::base::xml::{Limits, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(element) = parse(data, Limits::of(data.len())) {
        let text = element.to_xml();
        let again = parse(text.as_bytes(), Limits::of(text.len())).expect("our own output");
        assert_eq!(again.to_xml(), text);
    }
});
