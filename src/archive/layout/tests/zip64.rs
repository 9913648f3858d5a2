//! Members and offsets beyond 4 GiB, in a file that is nearly all hole.
#![allow(clippy::disallowed_methods, reason = "tests write files for other programs")]

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::programs::{java, python, run};
use super::*;
use crate::archive::EntryKind;

const BIG: u64 = (4 << 30) + 5;

/// A small file, more than 4 GiB of zeros, a small file behind them.
struct Hole;

const SMALL: &[u8] = b"small";

impl Source for Hole {
    fn member(&mut self, index: u64) -> io::Result<Member> {
        let small = SMALL.len() as u64;
        let (name, size) = [("first.txt", small), ("big.bin", BIG), ("last.txt", small)][index as usize];
        Ok(Member { name: name.into(), size, mtime: 1_714_558_830, kind: MemberKind::File })
    }

    fn crc(&mut self, index: u64) -> io::Result<u32> {
        Ok(if index == 1 { crc_of_zeros(BIG) } else { crc32fast::hash(SMALL) })
    }

    fn content(&mut self, _: u64, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        buf.copy_from_slice(&SMALL[offset as usize..][..buf.len()]);
        Ok(buf.len())
    }
}

/// By doubling: nothing of that length is ever looked at.
fn crc_of_zeros(mut len: u64) -> u32 {
    let mut power = crc32fast::Hasher::new();
    power.update(&[0]);
    let mut sum = crc32fast::Hasher::new();
    while len > 0 {
        if len % 2 == 1 {
            sum.combine(&power);
        }
        power.combine(&power.clone());
        len /= 2;
    }
    sum.finalize()
}

/// Writes all but the zeros.
fn write_sparse(layout: &Layout, file: &File) {
    file.set_len(layout.len()).unwrap();
    let mut cursor = Cursor::new(layout, 0);
    loop {
        let at = cursor.position();
        match cursor.next_piece(u64::MAX, &mut Hole).unwrap() {
            Piece::Bytes(bytes) => file.write_all_at(bytes, at).unwrap(),
            Piece::Content { index: 1, len, .. } => assert_eq!(len, BIG),
            Piece::Content { .. } => file.write_all_at(SMALL, at).unwrap(),
            Piece::End => break,
        }
    }
}

const PYTHON: &str = r"
import sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
assert z.open('big.bin').read(9) == bytes(9)
print([(i.filename, i.file_size) for i in z.infolist()], z.read('last.txt'))
";

#[test]
fn members_and_offsets_beyond_4_gib_are_read_back() {
    let mut builder = LayoutBuilder::new();
    for index in 0..3 {
        builder.push(&Hole.member(index).unwrap()).unwrap();
    }
    let layout = builder.finish();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("big.zip");
    let file = File::options().create_new(true).read(true).write(true).open(&path).unwrap();
    write_sparse(&layout, &file);

    let expected = format!("[('first.txt', 5), ('big.bin', {BIG}), ('last.txt', 5)] b'small'\n");
    assert_eq!(python(PYTHON, &path), expected);
    assert!(run("7z", &["l"], &path).contains(&BIG.to_string()));
    assert!(run("unzip", &["-Zl"], &path).contains("last.txt"));
    // Reads all of it and checks all checksums, by the local headers alone.
    assert_eq!(java(&path).lines().nth(1).unwrap(), format!("big.bin {BIG} 1714558830000"));

    let ours = Archive::open(&file, Limits::default()).unwrap();
    let last = ours.find("last.txt").unwrap();
    assert!(last.header_offset > BIG && last.kind == EntryKind::File);
    assert_eq!(ours.read_entry(last, 100).unwrap(), SMALL);
    assert_eq!(ours.find("big.bin").unwrap().size, BIG);
}
