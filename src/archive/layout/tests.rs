use std::io::Read;

use proptest::prelude::*;

use super::*;
use crate::archive::{Archive, Limits, Piece};

mod programs;
mod zip64;

/// Members and their content in memory; counts how often a member is asked for.
#[derive(Debug, Default, Clone)]
pub(super) struct Shelf {
    members: Vec<(Member, Vec<u8>)>,
    asked: u64,
}

impl Shelf {
    fn file(mut self, name: &str, content: &[u8]) -> Self {
        let member =
            Member { name: name.into(), size: content.len() as u64, mtime: 1_714_558_830, kind: MemberKind::File };
        self.members.push((member, content.to_vec()));
        self
    }

    fn directory(mut self, name: &str) -> Self {
        let member = Member { name: name.into(), size: 0, mtime: 1_714_558_830, kind: MemberKind::Directory };
        self.members.push((member, Vec::new()));
        self
    }

    fn layout(&self) -> Layout {
        let mut builder = LayoutBuilder::new();
        for (member, _) in &self.members {
            builder.push(member).unwrap();
        }
        builder.finish()
    }

    fn whole(&mut self) -> Vec<u8> {
        let layout = self.layout();
        let mut bytes = vec![0; layout.len() as usize];
        assert_eq!(layout.read_at(0, &mut bytes, self).unwrap(), bytes.len());
        bytes
    }
}

impl Source for Shelf {
    fn member(&mut self, index: u64) -> io::Result<Member> {
        self.asked += 1;
        Ok(self.members[index as usize].0.clone())
    }

    fn crc(&mut self, index: u64) -> io::Result<u32> {
        Ok(crc32fast::hash(&self.members[index as usize].1))
    }

    fn content(&mut self, index: u64, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        buf.copy_from_slice(&self.members[index as usize].1[offset as usize..][..buf.len()]);
        Ok(buf.len())
    }
}

/// The archive that the tests with other programs use.
fn tree() -> Shelf {
    Shelf::default()
        .file("00_meta/00_manifest.json", b"{}")
        .directory("d/")
        .directory("d/leer und spaß/")
        .file("d/leer und spaß/ein name.txt", b"hello")
        .file("d/日本/文書.bin", &vec![7; 70_000])
        .file("d/empty", b"")
        .file("z", b"end")
}

#[test]
fn nothing_is_the_empty_archive() {
    let mut shelf = Shelf::default();
    let bytes = shelf.whole();
    assert_eq!(bytes.len(), 22);
    assert_eq!(Archive::open(bytes, Limits::default()).unwrap().entries().len(), 0);
}

#[test]
fn push_says_where_the_local_header_goes() {
    let mut shelf = tree();
    let bytes = shelf.whole();
    let mut builder = LayoutBuilder::new();
    for (index, (member, _)) in shelf.members.iter().enumerate() {
        let placed = builder.push(member).unwrap();
        assert_eq!(placed.index, index as u64);
        assert_eq!(bytes[placed.offset as usize..][..4], *b"PK\x03\x04");
    }
    assert_eq!(builder.finish().member_count(), 7);
}

#[test]
fn names_and_archives_too_long_for_the_format_are_refused() {
    let mut builder = LayoutBuilder::new();
    let mut member = Member { name: "n".repeat(65_536), size: 0, mtime: 0, kind: MemberKind::File };
    assert!(matches!(builder.push(&member), Err(ArchiveError::NameTooLong { bytes: 65_536 })));
    member.name.pop();
    builder.push(&member).unwrap();
    for size in [u64::MAX, i64::MAX as u64 / 2] {
        assert!(matches!(builder.push(&Member { size, ..member.clone() }), Err(ArchiveError::TooLong)));
    }
    assert_eq!(builder.finish().member_count(), 1);
}

#[test]
fn reading_at_the_end_and_behind_it_gives_nothing() {
    let mut shelf = tree();
    let layout = shelf.layout();
    for offset in [layout.len(), layout.len() + 1, u64::MAX] {
        assert_eq!(layout.read_at(offset, &mut [0; 8], &mut shelf).unwrap(), 0);
    }
    assert_eq!(layout.read_at(layout.len() - 3, &mut [0; 8], &mut shelf).unwrap(), 3);
}

#[test]
fn pieces_name_the_content_of_members() {
    let mut shelf = tree();
    let layout = shelf.layout();
    let whole = shelf.whole();
    let mut cursor = Cursor::new(&layout, 0);
    let mut contents = Vec::new();
    let mut bytes = Vec::new();
    loop {
        let at = cursor.position();
        match cursor.next_piece(65_536, &mut shelf).unwrap() {
            Piece::Bytes(made) => {
                assert_eq!(whole[at as usize..][..made.len()], *made);
                bytes.extend_from_slice(made);
            }
            Piece::Content { index, offset, len } => {
                contents.push((index, offset, len));
                bytes.extend_from_slice(&shelf.members[index as usize].1[offset as usize..][..len as usize]);
            }
            Piece::End => break,
        }
    }
    assert_eq!(contents, [(0, 0, 2), (3, 0, 5), (4, 0, 65_536), (4, 65_536, 4_464), (6, 0, 3)]);
    assert!(bytes == whole);
}

fn many(count: usize) -> Shelf {
    let mut shelf = Shelf::default();
    for i in 0..count {
        shelf = shelf.file(&format!("many/{i:05}.txt"), format!("content of {i}").as_bytes());
    }
    shelf
}

#[test]
fn sequential_reads_ask_for_each_member_twice() {
    let mut shelf = many(10_000);
    let layout = shelf.layout();
    let whole = shelf.whole();
    shelf.asked = 0;
    let (mut cursor, mut read, mut buf) = (Cursor::new(&layout, 0), Vec::new(), vec![0; 997]);
    loop {
        match cursor.read(&mut buf, &mut shelf).unwrap() {
            0 => break,
            n => read.extend_from_slice(&buf[..n]),
        }
    }
    assert!(read == whole);
    assert_eq!(shelf.asked, 20_000);
}

#[test]
fn a_read_anywhere_asks_for_at_most_a_thousand_members() {
    let mut shelf = many(3_500);
    let layout = shelf.layout();
    let whole = shelf.whole();
    for step in 0..400 {
        let offset = layout.len() * step / 400;
        shelf.asked = 0;
        let mut buf = [0; 1];
        assert_eq!(layout.read_at(offset, &mut buf, &mut shelf).unwrap(), 1);
        assert_eq!(buf[0], whole[offset as usize], "at {offset}");
        assert!(shelf.asked <= EVERY, "{} at {offset}", shelf.asked);
    }
}

#[test]
fn memory_is_one_mark_per_thousand_members() {
    assert_eq!(many(3_001).layout().marks.len(), 4);
}

#[test]
fn a_source_with_other_members_is_an_error_not_a_shifted_archive() {
    let mut shelf = many(1_500);
    let layout = shelf.layout();
    let len = layout.len() as usize;
    shelf.members[700].0.name.push('x');
    assert_eq!(layout.read_at(0, &mut vec![0; len], &mut shelf).unwrap_err().kind(), io::ErrorKind::InvalidData);
    shelf.members[700].0.size -= 1;
    assert_eq!(layout.read_at(0, &mut vec![0; len], &mut shelf).unwrap_err().kind(), io::ErrorKind::InvalidData);
}

/// Fails or falls short where content is read.
struct Broken(Shelf, Option<io::ErrorKind>);

impl Source for Broken {
    fn member(&mut self, index: u64) -> io::Result<Member> {
        self.0.member(index)
    }

    fn crc(&mut self, index: u64) -> io::Result<u32> {
        self.0.crc(index)
    }

    fn content(&mut self, _: u64, _: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.1.map_or(Ok(buf.len() - 1), |kind| Err(kind.into()))
    }
}

#[test]
fn a_failed_read_leaves_the_cursor_where_it_was() {
    for (kind, seen) in
        [(None, io::ErrorKind::UnexpectedEof), (Some(io::ErrorKind::PermissionDenied), io::ErrorKind::PermissionDenied)]
    {
        let mut shelf = tree();
        let layout = shelf.layout();
        let whole = shelf.whole();
        let mut cursor = Cursor::new(&layout, 5);
        let mut buf = [0; 200];
        assert_eq!(cursor.read(&mut buf, &mut Broken(shelf.clone(), kind)).unwrap_err().kind(), seen);
        assert_eq!(cursor.position(), 5);
        cursor.read(&mut buf, &mut shelf).unwrap();
        assert_eq!(buf, whole[5..205]);
    }
}

fn shelves() -> impl Strategy<Value = Shelf> {
    let name = prop_oneof!["[a-z ]{0,12}", "[a-zäß日本.]{1,6}/[a-z]{1,4}", "\\PC{0,20}"];
    let mtime = prop_oneof![Just(0), Just(-1), Just(i64::MAX), Just(i64::MIN), 0_i64..6_000_000_000];
    let member = (name, prop::collection::vec(any::<u8>(), 0..400), mtime, any::<bool>());
    prop::collection::vec(member, 0..30).prop_map(|members| {
        let mut shelf = Shelf::default();
        for (index, (name, content, mtime, is_directory)) in members.into_iter().enumerate() {
            let name = format!("{index}_{name}").replace('\\', "_");
            shelf = if is_directory {
                shelf.directory(&format!("{name}/"))
            } else {
                shelf.file(&format!("{name}.txt"), &content)
            };
            shelf.members[index].0.mtime = mtime;
        }
        shelf
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_read_equals_the_whole(mut shelf in shelves(), reads in prop::collection::vec((0.0..1.1, 0_usize..900), 1..40)) {
        let layout = shelf.layout();
        let whole = shelf.whole();
        let mut cursor = Cursor::new(&layout, 0);
        for (place, len) in reads {
            let offset = (layout.len() as f64 * place) as u64;
            let expected = whole.get(offset as usize..).map_or(&[][..], |rest| &rest[..len.min(rest.len())]);
            let mut buf = vec![0; len];
            let n = layout.read_at(offset, &mut buf, &mut shelf).unwrap();
            prop_assert_eq!(&buf[..n], expected);
            cursor.seek(offset);
            let n = cursor.read(&mut buf, &mut shelf).unwrap();
            prop_assert_eq!(&buf[..n], expected);
            prop_assert_eq!(cursor.position(), offset + n as u64);
        }
    }

    #[test]
    fn readers_read_back_what_was_laid_out(mut shelf in shelves()) {
        let whole = shelf.whole();
        let mut theirs = zip::ZipArchive::new(io::Cursor::new(whole.clone())).unwrap();
        let relative = |name: &str| name.split('/').any(|segment| segment == "." || segment == "..");
        if !shelf.members.iter().any(|(member, _)| relative(&member.name)) {
            let ours = Archive::open(whole, Limits::default()).unwrap();
            for (entry, (member, content)) in ours.entries().iter().zip(&shelf.members) {
                prop_assert_eq!(entry.name().unwrap(), &member.name);
                prop_assert_eq!(&ours.read_entry(entry, 1 << 20).unwrap(), content);
            }
        }
        prop_assert_eq!(theirs.len(), shelf.members.len());
        for (index, (member, content)) in shelf.members.iter().enumerate() {
            let mut file = theirs.by_index(index).unwrap();
            prop_assert_eq!(file.name().unwrap(), member.name.as_str());
            prop_assert_eq!(file.is_dir(), member.kind == MemberKind::Directory);
            prop_assert_eq!(file.unix_mode().unwrap() & 0o777, if file.is_dir() { 0o755 } else { 0o644 });
            let mut read = Vec::new();
            file.read_to_end(&mut read).unwrap();
            prop_assert_eq!(&read, content);
        }
    }
}
