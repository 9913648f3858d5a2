//! Archives that are broken or mean harm, each refused by the name of its fault.

use super::forge::deflated_zeros;
use super::*;

/// What opening says, or reading the entry `x`.
fn refusal(forge: &Forge) -> ArchiveError {
    match open(forge.build()) {
        Err(error) => error,
        Ok(archive) => read(&archive, archive.find("x").unwrap()).unwrap_err(),
    }
}

macro_rules! assert_refused {
    ($forge:expr, $pattern:pat) => {
        let error = refusal(&$forge);
        assert!(matches!(error, $pattern), "{error:?}");
    };
}

fn x(content: &[u8], change: impl FnOnce(&mut Lie)) -> Forge {
    plain().deflated("x", content).lie(change)
}

#[test]
fn what_is_no_archive_is_not_zip() {
    for bytes in [&b""[..], b"x", b"<html>not found</html>", &vec![0; 70_000], b"PK\x03\x04", &b"PK\x05\x06".repeat(6)]
    {
        assert!(open(bytes.to_vec()).unwrap_err().is_not_zip());
    }
}

#[test]
fn truncated_at_any_length_is_not_zip() {
    let mut forge = plain().deflated("more", b"more").lie(|lie| lie.zip64 = true).comment(b"comment");
    for zip64_end in [false, true] {
        forge.zip64_end = zip64_end;
        let bytes = forge.build();
        for len in 0..bytes.len() {
            let error = open(bytes[..len].to_vec()).unwrap_err();
            assert!(error.is_not_zip(), "{error:?} at {len}");
        }
    }
}

#[test]
fn truncated_at_the_front_is_refused() {
    let bytes = plain().build();
    for start in 1..bytes.len() {
        assert!(open(bytes[start..].to_vec()).is_err(), "without the first {start} bytes");
    }
}

#[test]
fn encrypted_entries_are_refused() {
    assert_refused!(x(b"secret", |lie| lie.flags = 1), ArchiveError::Encrypted { .. });
    assert_refused!(x(b"secret", |lie| lie.local_flags = Some(1)), ArchiveError::Encrypted { .. });
    assert_refused!(x(b"secret", |lie| lie.flags = 1 << 13), ArchiveError::Encrypted { .. });
}

#[test]
fn relative_names_are_refused() {
    for name in ["../x", "d/../../x", "d/./x", "..", "/../x"] {
        let error = open(plain().stored(name, b"x").build()).unwrap_err();
        assert!(matches!(&error, ArchiveError::RelativeName { name: shown } if shown == name), "{error:?}");
    }
}

#[test]
fn odd_names_are_normalised_kept_or_refused_alone() {
    let forge = plain()
        .stored("/abs/x", b"absolute")
        .stored("..\\x", b"backslash")
        .stored(b"a\0b", b"nul")
        .stored(b"\xff\xfe", b"bytes")
        .stored("//", b"slashes");
    let archive = open(forge.build()).unwrap();
    assert_eq!(content(&archive, "abs/x"), b"absolute");
    assert_eq!(content(&archive, "..\\x"), b"backslash");
    for entry in &archive.entries()[6..] {
        assert!(matches!(entry.name(), Err(ArchiveError::BadName { .. })), "{}", entry.shown_name());
    }
    assert!(archive.find("").is_none());
}

#[test]
fn links_and_devices_are_told_by_their_mode() {
    for (mode, kind) in [
        (0o120_777, EntryKind::Symlink),
        (0o020_600, EntryKind::Special),
        (0o060_600, EntryKind::Special),
        (0o010_600, EntryKind::Special),
        (0o140_600, EntryKind::Special),
        (0o100_644, EntryKind::File),
        (0, EntryKind::File),
    ] {
        let archive = open(x(b"/etc/passwd", |lie| lie.mode = mode).build()).unwrap();
        assert_eq!(archive.find("x").unwrap().kind, kind, "{mode:o}");
    }
}

#[test]
fn of_duplicates_the_last_wins_and_is_reported() {
    let forge = plain().stored("x", b"1").stored("y", b"only").stored("/x", b"2").stored("x", b"3");
    let archive = open(forge.build()).unwrap();
    assert_eq!(archive.duplicates(), ["x"]);
    assert_eq!(content(&archive, "x"), b"3");
    assert_eq!(content(&archive, "y"), b"only");
    assert_eq!((archive.entries().len(), archive.in_physical_order().count()), (6, 6));
}

#[test]
fn overlapping_entries_are_refused() {
    let shared = plain().stored("w", b"0123456789").stored("x", b"0123456789").lie(|lie| lie.share = Some(4));
    assert_refused!(shared, ArchiveError::Overlap { .. });
    let mut inner = Forge::default().stored("x", b"inner").build();
    inner.truncate(30 + 1 + 5);
    let nested = Forge::default().stored("w", &inner).stored("x", b"inner").lie(|lie| {
        lie.share = Some(0);
        lie.offset = Some(31);
    });
    assert_refused!(nested, ArchiveError::Overlap { .. });
    let long = Forge::default().stored("x", b"12345").lie(|lie| lie.compressed_size = Some(9)).stored("y", b"67890");
    assert_refused!(long, ArchiveError::Overlap { .. });
}

#[test]
fn entries_outside_the_archive_are_refused() {
    for offset in [1 << 30, u64::from(u32::MAX), 1 << 62, u64::MAX] {
        let forge = x(b"x", |lie| {
            lie.offset = Some(offset);
            lie.zip64 = true;
        });
        assert_refused!(forge, ArchiveError::Outside { .. });
    }
    let long = |len| {
        x(b"x", |lie| {
            lie.compressed_size = Some(len);
            lie.zip64 = true;
        })
    };
    for len in [1 << 20, 1 << 62, u64::MAX] {
        assert_refused!(long(len), ArchiveError::Outside { .. });
    }
    assert_refused!(x(b"x", |lie| lie.offset = Some(3)), ArchiveError::Overlap { .. } | ArchiveError::Outside { .. });
}

#[test]
fn headers_that_disagree_are_refused() {
    assert_refused!(x(b"x", |lie| lie.local_name = Some(b"y".to_vec())), ArchiveError::HeaderMismatch { .. });
    assert_refused!(x(b"x", |lie| lie.local_name = Some(b"../x".to_vec())), ArchiveError::HeaderMismatch { .. });
    assert_refused!(x(b"x", |lie| lie.local_method = Some(0)), ArchiveError::HeaderMismatch { .. });
}

#[test]
fn unknown_methods_are_refused_when_read() {
    assert_refused!(x(b"x", |lie| lie.method = 12), ArchiveError::UnsupportedMethod { method: 12, .. });
}

#[test]
fn lying_sizes_are_refused_both_ways() {
    for size in [0, 1, 4999, 5001, 1_000_000] {
        assert_refused!(x(&b"some text".repeat(5000)[..5000], |lie| lie.size = size), ArchiveError::LyingSize { .. });
        let stored = plain().stored("x", &[9; 5000]).lie(|lie| lie.size = size);
        assert_refused!(stored, ArchiveError::LyingSize { .. });
    }
}

#[test]
fn wrong_checksums_are_refused() {
    assert_refused!(x(b"right", |lie| lie.crc = 12345), ArchiveError::WrongCrc { .. });
    assert_refused!(plain().stored("x", b"right").lie(|lie| lie.crc = 12345), ArchiveError::WrongCrc { .. });
    assert_refused!(plain().stored("x", b"").lie(|lie| lie.crc = 1), ArchiveError::WrongCrc { .. });
}

#[test]
fn a_wrong_checksum_is_told_before_the_last_bytes() {
    let archive = open(x(b"right", |lie| lie.crc = 12345).build()).unwrap();
    let mut reader = archive.open_entry(archive.find("x").unwrap()).unwrap();
    assert!(matches!(reader.read_some(&mut [0; 5]), Err(ArchiveError::WrongCrc { .. })));
    assert!(reader.read_some(&mut [0; 5]).is_err(), "it stays refused");
}

#[test]
fn broken_deflate_is_corrupt() {
    assert_refused!(x(&[1; 4000], |lie| lie.raw = vec![0xff; 200]), ArchiveError::Corrupt { .. });
    assert_refused!(x(b"", |lie| lie.raw = Vec::new()), ArchiveError::Corrupt { .. });
    let noise: Vec<u8> = (0..4000_u32).map(|i| crc32fast::hash(&i.to_le_bytes()) as u8).collect();
    assert_refused!(x(&noise, |lie| lie.raw.truncate(1000)), ArchiveError::Corrupt { .. });
    assert_refused!(
        x(&noise, |lie| {
            lie.raw.pop();
        }),
        ArchiveError::Corrupt { .. }
    );
}

#[test]
fn a_bomb_that_lies_stops_at_its_declared_size() {
    let raw = deflated_zeros(1024);
    for size in [1000, 0] {
        let lying = plain().stored("x", b"").lie(|lie| {
            (lie.raw, lie.method, lie.size) = (raw.clone(), DEFLATED, size);
        });
        assert_refused!(lying, ArchiveError::LyingSize { .. });
    }
}

#[test]
fn a_bomb_that_is_honest_is_refused_by_the_limit_or_streamed() {
    let forge = plain().stored("x", b"").lie(|lie| {
        (lie.raw, lie.method, lie.size) = (deflated_zeros(1024), DEFLATED, 1 << 30);
    });
    let archive = open(forge.build()).unwrap();
    let entry = archive.find("x").unwrap();
    let error = archive.read_entry(entry, 10 << 20).unwrap_err();
    assert!(matches!(error, ArchiveError::TooLarge { size, limit, .. } if size == 1 << 30 && limit == 10 << 20));
    let mut reader = archive.open_entry(entry).unwrap();
    assert_eq!(reader.read_some(&mut [1; 4096]).unwrap(), 4096);
}

#[test]
fn a_declared_size_that_deflate_cannot_reach_is_refused_unread() {
    for size in [5000, 1 << 40, u64::MAX] {
        let forge = x(b"x", |lie| {
            lie.size = size;
            lie.zip64 = true;
        });
        let archive = open(forge.build()).unwrap();
        let entry = archive.find("x").unwrap();
        assert!(matches!(archive.read_entry(entry, u64::MAX), Err(ArchiveError::LyingSize { .. })));
        assert!(matches!(archive.open_entry(entry), Err(ArchiveError::LyingSize { .. })));
    }
}

#[test]
fn promises_of_the_end_record_must_hold() {
    type Change = fn(&mut Forge);
    let changes: [Change; 8] = [
        |forge| forge.count = Some(5000),
        |forge| forge.count = Some(3),
        |forge| forge.count = Some(0),
        |forge| forge.directory_len = Some(10),
        |forge| forge.directory_len = Some(0),
        |forge| forge.directory_len = Some(1 << 31),
        |forge| forge.directory_offset = Some(1 << 30),
        |forge| forge.directory_len = Some(46),
    ];
    for (index, change) in changes.iter().enumerate() {
        for zip64_end in [false, true] {
            let mut forge = plain();
            change(&mut forge);
            forge.zip64_end = zip64_end;
            let error = open(forge.build()).unwrap_err();
            assert!(
                error.is_not_zip() || matches!(error, ArchiveError::DirectoryTooLarge { .. }),
                "{index}: {error:?}"
            );
        }
    }
}

#[test]
fn zip64_nonsense_is_refused_without_allocating() {
    for number in [1 << 40, 1 << 50, u64::MAX, u64::MAX - 46] {
        for which in 0..4 {
            let mut forge = plain();
            forge.zip64_end = true;
            match which {
                0 => forge.count = Some(number),
                1 => forge.directory_len = Some(number),
                2 => forge.directory_offset = Some(number),
                _ => (forge.count, forge.directory_offset) = (Some(number), Some(number)),
            }
            assert!(open(forge.build()).unwrap_err().is_not_zip());
        }
    }
}

#[test]
fn a_zip64_record_is_found_where_it_is_and_must_agree() {
    let mut forge = plain();
    forge.zip64_end = true;
    forge.end64_position = Some(u64::MAX);
    assert!(open(forge.build()).is_ok(), "directly before its locator");
    let mut bytes = forge.build();
    let count = bytes.len() - 12;
    bytes[count - 2..count + 2].copy_from_slice(&[9, 0, 9, 0]);
    assert!(open(bytes).unwrap_err().is_not_zip(), "two counts");
}

#[test]
fn a_missing_zip64_field_is_refused() {
    let forge = x(b"x", |lie| lie.size = u64::from(u32::MAX));
    assert!(open(forge.build()).unwrap_err().is_not_zip());
}

#[test]
fn limits_are_named() {
    let bytes = plain().build();
    let limits = Limits { entries: 3, ..Limits::default() };
    assert!(matches!(Archive::open(bytes.clone(), limits), Err(ArchiveError::TooManyEntries { limit: 3 })));
    let limits = Limits { directory_bytes: 100, ..Limits::default() };
    assert!(matches!(Archive::open(bytes, limits), Err(ArchiveError::DirectoryTooLarge { limit: 100 })));
}

#[test]
fn a_name_of_sixty_thousand_characters_is_a_name() {
    let name = "n".repeat(60_000);
    let archive = open(plain().stored(&name, b"long").build()).unwrap();
    assert_eq!(content(&archive, &name), b"long");
}
