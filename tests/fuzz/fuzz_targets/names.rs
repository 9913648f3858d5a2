//! No path that is accepted holds a way out of the box.
#![no_main]

use cellar::base::path::ResourcePath;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &str| {
    if let Ok(path) = ResourcePath::decode(data) {
        for segment in path.segments() {
            let name = segment.as_str();
            assert!(!name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']) && name.len() <= 255);
        }
        assert_eq!(ResourcePath::decode(&path.encode()).expect("our own output"), path);
    }
});
