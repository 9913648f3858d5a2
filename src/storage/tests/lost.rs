//! What a power cut may leave of a small file whose bytes rode in their pending row: nothing, a part, zeros, or its name
//! without the rename. Opening the cell makes each of them whole again.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::*;

/// A world that is closed while its last operations are pending.
struct Cut {
    unit: PathBuf,
    world: Option<World>,
    dir: Option<tempfile::TempDir>,
    operations: Vec<Value>,
    contents: Vec<u8>,
}

impl Cut {
    fn new(world: World) -> Self {
        let unit = world.dir.path().join("unit");
        Self { unit, world: Some(world), dir: None, operations: Vec::new(), contents: Vec::new() }
    }

    fn world(&self) -> &World {
        self.world.as_ref().expect("open")
    }

    fn cell(&self) -> PathBuf {
        self.unit.join("cells/c")
    }

    fn file(&self, at: &str) -> PathBuf {
        self.cell().join("boxes/b").join(at)
    }

    /// Says that the file at a path, as it is now, is the content of a pending PUT from `staging/{staged}`.
    fn pend_put(&mut self, at: &str, staged: &str, how: &str) -> &mut Self {
        let (bytes, row) = self.world().get(at).expect("a file");
        self.operations.push(json!({
            "seq": 1_000_000 + self.operations.len(), "op": "put", "id": row.id, "undo": [],
            "steps": [{"how": how, "from": format!("staging/{staged}"), "to": format!("boxes/b/{at}"), "ino": row.ino}],
            "content": {"version": row.version, "crc": crc32fast::hash(&bytes), "at": self.contents.len(), "size": bytes.len()},
        }));
        self.contents.extend(bytes);
        self
    }

    /// Closes the cell, writes the pending row of a process that died, and does the damage.
    fn cut(mut self, damage: impl FnOnce(&Self)) -> World {
        let World { unit, dir } = self.world.take().expect("open");
        drop(unit);
        self.dir = Some(dir);
        let conn = Connection::open(self.cell().join("cell.db")).expect("a database");
        let operations = Value::Array(self.operations.clone()).to_string();
        conn.execute("INSERT INTO pending VALUES(1000000, 0, ?1, ?2)", params![operations, self.contents])
            .expect("a row");
        drop(conn);
        damage(&self);
        let dir = self.dir.take().expect("closed");
        let unit = Unit::open(&dir.path().join("unit"), Role::Server, Limits::default()).expect("a unit");
        World { unit, dir }
    }
}

fn whole(w: &World, at: &str, bytes: &[u8], before: &Resource) {
    let (found, row) = w.get(at).expect("the file");
    assert_eq!(found, bytes);
    assert_eq!(row.etag(), before.etag());
    assert_eq!(fs::read(w.on_disk(at)).expect("a file"), bytes);
    let findings = crate::storage::check::check(&w.cell(), crate::storage::check::Mend::Nothing).expect("a check");
    assert!(findings.is_empty(), "{findings:?}");
    let pending = w.cell().read(|v| v.pending().map(|rows| rows.len())).expect("rows");
    assert_eq!(pending, 0);
}

/// Puts a small file, loses some of it, and looks at what is there afterwards.
fn lose(damage: impl FnOnce(&Cut)) -> World {
    let w = World::new();
    w.mkcol("d").expect("a collection");
    let row = w.put("d/x", b"some content").expect("put").resource;
    let mut cut = Cut::new(w);
    cut.pend_put("d/x", "1-0", "Move");
    let w = cut.cut(damage);
    whole(&w, "d/x", b"some content", &row);
    w
}

fn nothing_found(w: &World) {
    assert!(!w.dir.path().join("unit/cells/c/found").exists(), "nothing is put aside");
}

#[test]
fn a_file_that_is_whole_stays() {
    let mut before = 0;
    let w = lose(|cut| before = fs::metadata(cut.file("d/x")).expect("a file").ino());
    assert_eq!(fs::metadata(w.on_disk("d/x")).expect("a file").ino(), before);
    nothing_found(&w);
}

#[test]
fn a_file_without_its_bytes_gets_them_again() {
    nothing_found(&lose(|cut| fs::write(cut.file("d/x"), b"").expect("emptied")));
    nothing_found(&lose(|cut| fs::write(cut.file("d/x"), [0; 12]).expect("zeros")));
    nothing_found(&lose(|cut| fs::write(cut.file("d/x"), b"some").expect("cut off")));
}

#[test]
fn a_file_that_was_never_created_is_made() {
    nothing_found(&lose(|cut| fs::remove_file(cut.file("d/x")).expect("removed")));
}

#[test]
fn a_file_that_was_not_renamed_takes_its_place() {
    let back = |cut: &Cut| fs::rename(cut.file("d/x"), cut.cell().join("staging/1-0")).expect("renamed");
    nothing_found(&lose(back));
    nothing_found(&lose(|cut| {
        back(cut);
        fs::write(cut.cell().join("staging/1-0"), b"").expect("emptied");
    }));
}

#[test]
fn what_somebody_wrote_into_it_by_hand_is_put_aside() {
    let w = lose(|cut| fs::write(cut.file("d/x"), b"by hand").expect("written"));
    let found = fs::read_dir(w.dir.path().join("unit/cells/c/found")).expect("found");
    let kept: Vec<_> = found.map(|e| fs::read(e.expect("an entry").path()).expect("bytes")).collect();
    assert_eq!(kept, [b"by hand"]);
}

#[test]
fn a_replacement_that_never_came_replaces_now() {
    let w = World::new();
    w.put("x", b"old").expect("put");
    let row = w.put("x", b"new content").expect("put").resource;
    let mut cut = Cut::new(w);
    cut.pend_put("x", "1-0", "Exchange");
    let w = cut.cut(|cut| {
        fs::remove_file(cut.file("x")).expect("removed");
        fs::write(cut.file("x"), b"old").expect("written");
    });
    whole(&w, "x", b"new content", &row);
}

#[test]
fn two_versions_in_one_row_end_with_the_later() {
    let w = World::new();
    w.put("x", b"first").expect("put");
    let mut cut = Cut::new(w);
    cut.pend_put("x", "1-0", "Move");
    let row = cut.world().put("x", b"the second").expect("put").resource;
    cut.pend_put("x", "1-1", "Exchange");
    let w = cut.cut(|cut| fs::remove_file(cut.file("x")).expect("removed"));
    whole(&w, "x", b"the second", &row);
    nothing_found(&w);
}

#[test]
fn what_was_deleted_afterwards_does_not_come_back() {
    let w = World::new();
    w.put("x", b"old").expect("put");
    w.put("x", b"new").expect("put");
    let mut cut = Cut::new(w);
    cut.pend_put("x", "1-0", "Exchange");
    let (_, row) = cut.world().get("x").expect("a file");
    cut.world().delete("x").expect("deleted");
    cut.operations.push(json!({
        "seq": 1_000_001, "op": "delete", "id": row.id, "undo": [],
        "steps": [{"how": "Move", "from": "boxes/b/x", "to": "staging/gone/1-2", "ino": row.ino}],
    }));
    // Neither rename reached the disk, nor did the new file: what was replaced stands there again.
    let w = cut.cut(|cut| fs::write(cut.file("x"), b"old").expect("written"));
    assert!(w.get("x").is_err(), "deleted");
    assert!(!w.on_disk("x").exists());
}

#[test]
fn what_was_moved_afterwards_is_where_it_was_moved_to() {
    let w = World::new();
    w.mkcol("d").expect("a collection");
    w.put("x", b"moved content").expect("put");
    let mut cut = Cut::new(w);
    cut.pend_put("x", "1-0", "Move");
    let (_, row) = cut.world().get("x").expect("a file");
    cut.world().rename("x", "d/y").expect("moved");
    cut.operations.push(json!({
        "seq": 1_000_001, "op": "move", "id": row.id, "undo": [],
        "steps": [{"how": "Move", "from": "boxes/b/x", "to": "boxes/b/d/y", "ino": row.ino}],
    }));
    let w = cut.cut(|cut| fs::remove_file(cut.file("d/y")).expect("removed"));
    whole(&w, "d/y", b"moved content", &row);
    assert!(!w.on_disk("x").exists());
    nothing_found(&w);
}
