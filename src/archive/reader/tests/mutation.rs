//! Whatever the bytes: no panic, no runaway, and nothing delivered that its entry did not promise.

use proptest::prelude::*;

use super::*;

fn sample() -> Vec<u8> {
    let mut forge = plain().deflated("z", &[3; 900]).lie(|lie| lie.zip64 = true).stored("q", b"q");
    forge = forge.lie(|lie| lie.descriptor = Some(true)).comment(b"comment");
    forge.zip64_end = true;
    forge.build()
}

/// Opens and reads everything; a mutated size may be huge, so nothing large is asked for at once.
fn survive(bytes: Vec<u8>) {
    let len = bytes.len() as u64;
    let Ok(archive) = open(bytes) else { return };
    for entry in archive.entries() {
        assert!(entry.compressed_size <= len, "claims are checked against the file");
        let limit = 1 << 20;
        if let Ok(content) = archive.read_entry(entry, limit) {
            assert_eq!(content.len() as u64, entry.size);
            assert_eq!(crc32fast::hash(&content), entry.crc);
        }
        let Ok(mut reader) = archive.open_entry(entry) else { continue };
        let (mut total, mut buf) = (0, [0; 512]);
        while let Ok(n @ 1..) = reader.read_some(&mut buf) {
            total += n as u64;
        }
        assert!(total <= entry.size);
    }
}

#[test]
fn every_byte_changed_alone() {
    let bytes = sample();
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0xff, bytes[at] ^ 0x80] {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            survive(bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn flipped_bytes(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut bytes = sample();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        survive(bytes);
    }

    #[test]
    fn pieces_cut_out(from in any::<prop::sample::Index>(), len in 1_usize..200) {
        let mut bytes = sample();
        let from = from.index(bytes.len());
        bytes.drain(from..(from + len).min(bytes.len()));
        survive(bytes);
    }

    #[test]
    fn any_bytes_before_an_end_record(mut bytes in prop::collection::vec(any::<u8>(), 0..300), len in 0_u32..300, offset in 0_u32..300, count in 0_u16..8) {
        bytes.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        bytes.extend_from_slice(&[count.to_le_bytes(), count.to_le_bytes()].concat());
        bytes.extend_from_slice(&[len.to_le_bytes(), offset.to_le_bytes()].concat());
        bytes.extend_from_slice(&[0, 0]);
        survive(bytes);
    }
}
