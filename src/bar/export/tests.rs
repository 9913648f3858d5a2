//! One moment of a box, whatever happens to the box meanwhile.

#![allow(clippy::disallowed_methods, reason = "a test edits files by hand")]

use std::io::Read;

use super::*;
use crate::base::path::ResourcePath;
use crate::storage::cell::Limits;
use crate::storage::operation::boxes::CreateBox;
use crate::storage::operation::delete::Delete;
use crate::storage::operation::mkcol::Mkcol;
use crate::storage::operation::move_to::{MoveTo, Place};
use crate::storage::operation::no_guard;
use crate::storage::operation::put::Put;
use crate::storage::unit::{Role, Unit};

struct World {
    unit: Unit,
    _dir: tempfile::TempDir,
}

fn path(text: &str) -> ResourcePath {
    ResourcePath::parse(text).expect("a path")
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let unit = Unit::open(&dir.path().join("unit"), Role::Server, Limits::default()).expect("a unit");
        unit.create_cell("c").expect("a cell");
        let world = Self { unit, _dir: dir };
        world.cell().change(CreateBox { name: "b".to_owned(), schema: None }).expect("a box");
        world
    }

    fn cell(&self) -> Arc<Cell> {
        self.unit.cell("c").expect("the cell")
    }

    fn put(&self, at: &str, bytes: &[u8]) {
        let cell = self.cell();
        let mut upload = cell.upload();
        upload.write(bytes).expect("written");
        let put = Put {
            box_name: "b".to_owned(),
            path: path(at),
            staged: upload.finish().expect("synced"),
            content_type: None,
            mtime_ms: None,
            guard: no_guard(),
            properties_of: None,
        };
        cell.change(put).expect("put");
    }

    fn mkcol(&self, at: &str) {
        let (box_name, path) = ("b".to_owned(), path(at));
        let mkcol = Mkcol { box_name, path, kind: Kind::Collection, properties: Vec::new(), guard: no_guard() };
        self.cell().change(mkcol).expect("mkcol");
    }

    fn delete(&self, at: &str) {
        let delete = Delete { box_name: "b".to_owned(), path: path(at), recursive: true, guard: no_guard() };
        self.cell().change(delete).expect("delete");
    }

    fn rename(&self, from: &str, to: &str) {
        let place = |p: &str| Place { box_name: "b".to_owned(), path: path(p) };
        let to = MoveTo { from: place(from), to: place(to), overwrite: true, guard: Box::new(|_, _, _| Ok(())) };
        self.cell().change(to).expect("move");
    }

    fn archive(&self) -> Arc<Archive> {
        Arc::new(Archive::build(&self.cell(), &request()).expect("an archive"))
    }
}

fn current(live: &LiveArchives, cell: &Arc<Cell>) -> Result<Arc<Archive>> {
    live.current(cell, &request(), &current_etag(cell, &request())?)
}

fn request() -> Request {
    Request { box_name: "b".to_owned(), cell_url: "http://unit/c/".to_owned(), everything: false }
}

fn bytes(archive: &Arc<Archive>) -> std::io::Result<Vec<u8>> {
    let mut all = vec![0; archive.length() as usize];
    let mut reader = ArchiveReader::new(archive.clone());
    let n = reader.read_at(0, &mut all)?;
    assert_eq!(n, all.len());
    Ok(all)
}

fn files(zip: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(zip)).expect("a zip archive");
    let mut found = Vec::new();
    for i in 0..zip.len() {
        let mut file = zip.by_index(i).expect("a member");
        let mut content = Vec::new();
        file.read_to_end(&mut content).expect("sound content");
        found.push((file.name().expect("a name").into_owned(), content));
    }
    found
}

#[test]
fn an_empty_box_has_four_members() {
    let names: Vec<String> = files(&bytes(&World::new().archive()).expect("read")).into_iter().map(|f| f.0).collect();
    assert_eq!(names, ["00_meta/", "90_contents/", "00_meta/00_manifest.json", "00_meta/90_rootprops.xml"]);
}

#[test]
fn an_archive_is_of_one_moment() {
    let w = World::new();
    for d in ["d", "d/e", "t"] {
        w.mkcol(d);
    }
    for (at, content) in [("d/x", "x"), ("d/e/y", "y"), ("t/z", "z"), ("\u{65e5}", "no latin"), ("a b", "")] {
        w.put(at, content.as_bytes());
    }
    let archive = w.archive();
    let before = bytes(&archive).expect("read");
    let etag = archive.etag().to_owned();
    assert_eq!(current_etag(&w.cell(), &request()).expect("a tag"), etag);
    w.put("d/x", b"another x");
    w.put("d/x", b"yet another");
    w.delete("t");
    w.rename("d", "moved");
    w.delete("moved/e");
    w.put("new", b"new");
    assert_eq!(bytes(&archive).expect("read after the changes"), before);
    let content: Vec<_> = files(&before).into_iter().filter(|f| f.0.starts_with("90_contents/")).collect();
    let expected = ["", "a b", "d/", "d/e/", "d/e/y", "d/x", "t/", "t/z", "\u{65e5}"];
    assert_eq!(content.iter().map(|f| &f.0["90_contents/".len()..]).collect::<Vec<_>>(), expected);
    assert_eq!(content[5].1, b"x");
    assert_ne!(w.archive().etag(), etag);
}

#[test]
fn the_same_box_gives_the_same_bytes() {
    let w = World::new();
    w.put("x", b"x");
    let (one, two) = (w.archive(), w.archive());
    assert_eq!(one.etag(), two.etag());
    assert_eq!(bytes(&one).expect("read"), bytes(&two).expect("read"));
}

#[test]
fn a_member_changed_by_hand_breaks_one_archive_and_is_in_the_next() {
    let w = World::new();
    w.put("x", b"as it was");
    let archive = w.archive();
    std::fs::write(w.unit.root().join("cells/c/boxes/b/x"), b"different").expect("an edit");
    assert!(bytes(&archive).is_err() && archive.is_broken());
    assert!(files(&bytes(&w.archive()).expect("read")).iter().any(|f| f.1 == b"different"));
}

#[test]
fn only_so_many_archives_are_kept_for_resuming() {
    let w = World::new();
    let live = LiveArchives::new(std::time::Duration::from_mins(10));
    let cell = w.cell();
    let read = current(&live, &cell).expect("an archive");
    let mut etags = Vec::new();
    for n in 0..live::KEPT + 3 {
        w.put("x", n.to_string().as_bytes());
        etags.push(current(&live, &cell).expect("an archive").etag().to_owned());
    }
    let kept = |etag: &str| live.find(&cell, "b", etag).is_some();
    assert!(kept(read.etag()), "it is being read");
    assert!(!kept(&etags[0]), "it is the one unread for the longest time");
    assert!(kept(etags.last().expect("many")));
}

#[test]
fn an_archive_that_nobody_reads_is_let_go() {
    let w = World::new();
    w.put("x", b"one");
    let live = LiveArchives::new(std::time::Duration::ZERO);
    let cell = w.cell();
    let archive = current(&live, &cell).expect("an archive");
    let etag = archive.etag().to_owned();
    assert!(live.find(&cell, "b", &etag).is_some());
    w.put("x", b"two");
    live.sweep();
    live.let_go_of_unread();
    assert!(live.find(&cell, "b", &etag).is_some(), "it is being read");
    drop(archive);
    // Idle for longer than it is kept, by the clock's next millisecond.
    let idle_since = clock::now_ms();
    while clock::now_ms() <= idle_since {
        std::thread::yield_now();
    }
    live.sweep();
    assert!(live.find(&cell, "b", &etag).is_none());
}

#[test]
fn a_full_disk_costs_what_could_be_resumed() {
    let w = World::new();
    w.put("x", b"one");
    let live = LiveArchives::new(std::time::Duration::from_mins(10));
    let etag = current(&live, &w.cell()).expect("an archive").etag().to_owned();
    assert!(live.find(&w.cell(), "b", &etag).is_some());
    live.let_go_of_unread();
    assert!(live.find(&w.cell(), "b", &etag).is_none());
}
