use std::io::{self, Cursor, Read};

use super::*;
use forge::{Forge, Lie};

mod forge;
mod hostile;
mod mutation;

fn open(bytes: Vec<u8>) -> Result<Archive<Vec<u8>>, ArchiveError> {
    Archive::open(bytes, Limits::default())
}

/// Both ways of reading an entry, which must agree on the content or on what is wrong with it.
fn read(archive: &Archive<Vec<u8>>, entry: &Entry) -> Result<Vec<u8>, ArchiveError> {
    let whole = archive.read_entry(entry, 64 << 20);
    let streamed = archive.open_entry(entry).and_then(|mut reader| {
        let (mut content, mut buf) = (Vec::new(), vec![0; 1000]);
        loop {
            match reader.read_some(&mut buf)? {
                0 => return Ok(content),
                n => content.extend_from_slice(&buf[..n]),
            }
        }
    });
    match (&whole, &streamed) {
        (Ok(whole), Ok(streamed)) => assert!(whole == streamed),
        (Err(whole), Err(streamed)) => assert_eq!(whole.to_string(), streamed.to_string()),
        (whole, streamed) => panic!("{whole:?} but {streamed:?}"),
    }
    whole
}

fn content(archive: &Archive<Vec<u8>>, name: &str) -> Vec<u8> {
    read(archive, archive.find(name).unwrap()).unwrap()
}

/// A stored and a deflated file, a directory, an empty file.
fn plain() -> Forge {
    Forge::default()
        .stored("d/", b"")
        .stored("d/stored.txt", b"stored content")
        .deflated("d/deflated.txt", &b"deflated content ".repeat(5000))
        .stored("empty", b"")
}

#[test]
fn stored_and_deflated_entries_are_read() {
    let archive = open(plain().build()).unwrap();
    let names: Vec<_> = archive.entries().iter().map(|entry| entry.name().unwrap()).collect();
    assert_eq!(names, ["d/", "d/stored.txt", "d/deflated.txt", "empty"]);
    assert_eq!(archive.entries()[0].kind, EntryKind::Directory);
    assert_eq!(content(&archive, "d/stored.txt"), b"stored content");
    assert_eq!(content(&archive, "d/deflated.txt"), b"deflated content ".repeat(5000));
    assert_eq!(content(&archive, "empty"), b"");
    assert!(archive.find("nothing").is_none() && archive.find("").is_none());
    assert!(archive.duplicates().is_empty());
}

#[test]
fn archives_of_the_zip_crate_are_read() {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().large_file(true);
    writer.add_directory("dir", options).unwrap();
    writer.start_file("dir/é.txt", options).unwrap();
    io::Write::write_all(&mut writer, &[65; 10_000]).unwrap();
    let archive = open(writer.finish().unwrap().into_inner()).unwrap();
    assert_eq!(archive.find("dir/").unwrap().kind, EntryKind::Directory);
    assert_eq!(content(&archive, "dir/é.txt"), [65; 10_000]);
}

#[test]
fn an_end_record_alone_is_an_empty_archive() {
    assert!(open(Forge::default().build()).unwrap().entries().is_empty());
}

#[test]
fn prepended_bytes_and_a_comment_are_tolerated() {
    for zip64_end in [false, true] {
        let mut forge = plain().comment(b"a comment with PK\x05\x06 in it, and more than twenty-two bytes");
        forge.zip64_end = zip64_end;
        let mut bytes = b"#!/bin/sh\nexit 0\n".to_vec();
        bytes.extend_from_slice(&forge.build());
        assert_eq!(content(&open(bytes).unwrap(), "d/stored.txt"), b"stored content");
    }
}

#[test]
fn data_descriptors_with_and_without_signature_are_tolerated() {
    for signature in [false, true] {
        let forge = Forge::default()
            .stored("stored", b"some content")
            .lie(|lie| lie.descriptor = Some(signature))
            .deflated("deflated", &[7; 3000])
            .lie(|lie| lie.descriptor = Some(signature))
            .stored("last", b"x");
        let archive = open(forge.build()).unwrap();
        assert_eq!(content(&archive, "stored"), b"some content");
        assert_eq!(content(&archive, "deflated"), [7; 3000]);
        assert_eq!(content(&archive, "last"), b"x");
    }
}

#[test]
fn zip64_members_and_end_records_are_read() {
    let mut forge = Forge::default().stored("a", b"first").lie(|lie| lie.zip64 = true).deflated("b", &[9; 5000]);
    forge = forge.lie(|lie| lie.zip64 = true);
    forge.zip64_end = true;
    let archive = open(forge.build()).unwrap();
    assert_eq!(content(&archive, "a"), b"first");
    assert_eq!(content(&archive, "b"), [9; 5000]);
}

#[test]
fn physical_order_is_that_of_the_local_headers() {
    let mut forge = Forge::default().stored("c", b"1").stored("a", b"2").stored("b", b"3");
    forge.directory_order = Some(vec![2, 0, 1]);
    let archive = open(forge.build()).unwrap();
    let names = |entries: Vec<&Entry>| entries.iter().map(|e| e.name().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(archive.entries().iter().collect()), ["b", "c", "a"]);
    assert_eq!(names(archive.in_physical_order().collect()), ["c", "a", "b"]);
}

#[test]
fn several_threads_read_one_archive() {
    let archive = open(plain().build()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(content(&archive, "d/deflated.txt"), b"deflated content ".repeat(5000));
                    assert_eq!(content(&archive, "d/stored.txt"), b"stored content");
                }
            });
        }
    });
}

#[test]
fn a_file_is_read_at_positions() {
    let mut file = tempfile::tempfile().unwrap();
    io::Write::write_all(&mut file, &plain().build()).unwrap();
    let archive = Archive::open(std::sync::Arc::new(file), Limits::default()).unwrap();
    let entry = archive.find("d/deflated.txt").unwrap();
    let mut text = String::new();
    archive.open_entry(entry).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text.len(), 85_000);
    archive.source().set_len(60).unwrap();
    assert!(matches!(archive.read_entry(entry, 1 << 20), Err(ArchiveError::Corrupt { .. })));
}

#[test]
fn two_hundred_thousand_entries_open() {
    let mut forge = Forge::default();
    for i in 0..200_000 {
        forge = forge.stored(format!("90_contents/{i}"), b"");
    }
    forge.zip64_end = true;
    let mut bytes = forge.build();
    let archive = open(bytes.clone()).unwrap();
    assert_eq!(archive.entries().len(), 200_000);
    assert!(archive.find("90_contents/199999").is_some());
    bytes = forge.stored("one more", b"").build();
    assert!(matches!(open(bytes), Err(ArchiveError::TooManyEntries { limit: 200_000 })));
}
