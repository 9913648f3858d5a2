//! A hostile archive never panics, and never yields more bytes than a member declares.
#![no_main]

use cellar::archive::{Archive, Limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(archive) = Archive::open(data, Limits::default()) else { return };
    for entry in archive.entries() {
        let _ = entry.name();
        if let Ok(bytes) = archive.read_entry(entry, 1 << 20) {
            assert_eq!(bytes.len() as u64, entry.size);
        }
    }
});
