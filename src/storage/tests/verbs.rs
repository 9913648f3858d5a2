//! Each verb by itself, what readers see meanwhile, and what somebody with a shell does.

use std::os::unix::fs::symlink;

use super::*;
use crate::storage::Error;
use crate::storage::generation::Pin;

#[test]
fn what_was_put_is_a_plain_file_and_is_read_back() {
    let w = World::new();
    let put = w.put("x.txt", b"hello").expect("put");
    assert!(put.created);
    assert_eq!(std::fs::read(w.on_disk("x.txt")).expect("a file"), b"hello");
    let (bytes, row) = w.get("x.txt").expect("content");
    assert_eq!((bytes.as_slice(), row.version, row.content_type.as_deref()), (&b"hello"[..], 1, Some("text/plain")));
    let again = w.put("x.txt", b"other").expect("put");
    assert!(!again.created);
    assert_eq!((again.resource.version, again.resource.id), (2, row.id));
    assert_ne!(again.resource.etag(), row.etag());
    assert_eq!(w.get("x.txt").expect("content").0, b"other");
}

#[test]
fn put_without_parent_names_the_missing_one() {
    let w = World::new();
    assert!(matches!(w.put("a/b/x", b""), Err(Error::ParentMissing(name)) if name == "a"));
    w.put("f", b"").expect("put");
    assert!(matches!(w.put("f/x", b""), Err(Error::ParentMissing(_))));
    w.mkcol("d").expect("mkcol");
    assert!(matches!(w.put("d", b""), Err(Error::IsCollection)));
    assert!(matches!(w.put("a:b", b""), Err(Error::Name(_))));
}

#[test]
fn a_tree_moves_with_one_row_and_keeps_its_etags() {
    let w = World::new();
    w.mkcol("a").expect("mkcol");
    w.mkcol("a/b").expect("mkcol");
    let etag = w.put("a/b/x", b"1").expect("put").resource.etag();
    w.mkcol("z").expect("mkcol");
    w.put("z/old", b"old").expect("put");
    w.rename("a", "z").expect("move over a tree");
    assert_eq!(w.get("z/b/x").expect("content").1.etag(), etag);
    assert!(matches!(w.get("z/old"), Err(Error::Missing)));
    assert!(matches!(w.get("a/b/x"), Err(Error::Missing)));
    assert!(matches!(w.rename("z", "z/b/inside"), Err(Error::SameResource)));
    assert!(matches!(w.rename("z/b/x", "z/b"), Err(Error::SameResource)));
}

#[test]
fn a_copy_has_bytes_types_and_properties_of_its_own() {
    let w = World::new();
    w.mkcol("a").expect("mkcol");
    w.put("a/x", b"1").expect("put");
    w.set("a/x", "v").expect("set");
    w.copy("a", "c").expect("copy");
    w.put("a/x", b"2").expect("put");
    assert_eq!(
        w.tree(),
        vec![
            ("a".to_owned(), None, None),
            ("a/x".to_owned(), Some(b"2".to_vec()), Some("<p xmlns=\"urn:t\">v</p>".to_owned())),
            ("c".to_owned(), None, None),
            ("c/x".to_owned(), Some(b"1".to_vec()), Some("<p xmlns=\"urn:t\">v</p>".to_owned())),
        ]
    );
    w.copy("a/x", "c/x").expect("copy over a file");
    assert_eq!(w.get("c/x").expect("content").0, b"2");
}

#[test]
fn closing_leaves_nothing_staged_and_opening_changes_nothing() {
    let w = World::new();
    w.mkcol("a").expect("mkcol");
    for i in 0..5 {
        w.put("a/x", format!("{i}").as_bytes()).expect("put");
    }
    w.put("gone", b"").expect("put");
    w.delete("gone").expect("delete");
    let before = w.tree();
    let w = w.reopen(None);
    assert_eq!(w.staged(), Vec::<String>::new());
    assert_eq!(w.tree(), before);
}

#[test]
fn a_pinned_moment_keeps_what_is_replaced_deleted_and_moved() {
    let w = World::new();
    w.mkcol("d").expect("mkcol");
    w.put("d/x", b"old x").expect("put");
    w.put("d/y", b"old y").expect("put");
    let cell = w.cell();
    let id = cell.lookup("b", &ResourcePath::root()).expect("the box").cell_box.id;
    let pin = Pin::new(&cell, id).expect("a pin");
    let rows: Vec<Resource> = ["d/x", "d/y"].iter().map(|p| w.get(p).expect("content").1).collect();
    w.put("d/x", b"new x").expect("put");
    w.delete("d/y").expect("delete");
    w.rename("d", "e").expect("move");
    w.delete("e").expect("delete the tree");
    for (row, expected) in rows.iter().zip([b"old x", b"old y"]) {
        let place = format!("boxes/b/d/{}", row.name);
        let mut file = cell
            .open_version(&crate::storage::cell::Version::of(row), &place)
            .expect("an answer")
            .expect("the content");
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).expect("readable");
        assert_eq!(bytes, expected);
    }
    drop(pin);
    drop(cell);
    assert_eq!(w.reopen(None).staged(), Vec::<String>::new());
}

#[test]
fn what_is_put_there_by_hand_is_adopted() {
    let w = World::new();
    w.mkcol("d").expect("mkcol");
    std::fs::create_dir_all(w.on_disk("d/t/u")).expect("directories");
    std::fs::write(w.on_disk("d/t/u/x.html"), b"by hand").expect("a file");
    symlink("/etc/passwd", w.on_disk("d/link")).expect("a link");
    let (bytes, row) = w.get("d/t/u/x.html").expect("content");
    assert_eq!((bytes.as_slice(), row.content_type.as_deref()), (&b"by hand"[..], Some("text/html")));
    let names: Vec<String> = w.tree().into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["d", "d/t", "d/t/u", "d/t/u/x.html"]);
    assert!(matches!(w.put("d/link", b"x"), Err(Error::Exists)));
    assert!(matches!(w.get("d/link"), Err(Error::Missing)));
    assert_eq!(w.get("d/t/u/x.html").expect("content").1.etag(), row.etag());
}

#[test]
fn what_is_removed_or_edited_by_hand_is_noticed() {
    let w = World::new();
    w.mkcol("d").expect("mkcol");
    w.put("d/x", b"one").expect("put");
    w.set("d/x", "kept").expect("set");
    w.put("d/y", b"y").expect("put");
    let before = w.get("d/x").expect("content").1;
    std::fs::write(w.on_disk("d/x"), b"three").expect("an edit");
    let (bytes, row) = w.get("d/x").expect("content");
    assert_eq!((bytes.as_slice(), row.version), (&b"three"[..], before.version + 1));
    assert_ne!(row.etag(), before.etag());
    std::fs::remove_file(w.on_disk("d/y")).expect("removed");
    assert!(matches!(w.get("d/y"), Err(Error::Missing)));
    assert!(w.put("d/y", b"again").expect("put").created);
    std::fs::remove_dir_all(w.on_disk("d")).expect("removed");
    assert_eq!(w.tree(), Vec::new());
    assert!(matches!(w.get("d/x"), Err(Error::Missing)));
}

#[test]
fn a_touched_file_keeps_its_version() {
    let w = World::new();
    w.put("x", b"same").expect("put");
    let before = w.get("x").expect("content").1.etag();
    std::fs::write(w.on_disk("x"), b"same").expect("written again");
    assert_eq!(w.get("x").expect("content").1.etag(), before);
}

#[test]
fn two_processes_lose_nothing() {
    let w = World::new();
    let other = Unit::open(&w.dir.path().join("unit"), Role::Tool, Limits::default()).expect("a second opening");
    std::thread::scope(|s| {
        for (n, unit) in [&w.unit, &other].into_iter().enumerate() {
            s.spawn(move || {
                let cell = unit.cell("c").expect("the cell");
                for i in 0..60 {
                    put(&cell, &format!("f{n}-{i}"), format!("{n}{i}").as_bytes()).expect("put");
                    put(&cell, "shared", format!("{n}:{i}").as_bytes()).expect("put");
                    get(&cell, "shared").expect("content");
                }
            });
        }
    });
    drop(other);
    let tree = w.tree();
    assert_eq!(tree.len(), 121);
    for n in 0..2 {
        for i in 0..60 {
            assert_eq!(w.get(&format!("f{n}-{i}")).expect("content").0, format!("{n}{i}").as_bytes());
        }
    }
    assert_eq!(w.get("shared").expect("content").1.version, 120);
}

#[test]
fn a_second_server_is_refused_and_a_foreign_directory_too() {
    use crate::storage::unit::OpenError;
    let w = World::new();
    let again = Unit::open(&w.dir.path().join("unit"), Role::Server, Limits::default());
    assert!(matches!(again, Err(OpenError::Served(_))));
    std::fs::create_dir(w.dir.path().join("photos")).expect("a directory");
    std::fs::write(w.dir.path().join("photos/a.jpg"), b"").expect("a file");
    let foreign = Unit::open(&w.dir.path().join("photos"), Role::Server, Limits::default());
    assert!(matches!(foreign, Err(OpenError::Foreign(_))));
}

#[test]
fn check_names_what_differs_and_mends_it() {
    use crate::storage::check::{Mend, Problem, check};
    let w = World::new();
    w.mkcol("d").expect("mkcol");
    w.put("d/lost", b"lost").expect("put");
    w.put("d/kept", b"kept").expect("put");
    let w = w.reopen(None);
    assert!(check(&w.cell(), Mend::Nothing).expect("checked").is_empty());
    std::fs::remove_file(w.on_disk("d/lost")).expect("removed");
    std::fs::write(w.on_disk("d/new"), b"new").expect("a file");
    std::fs::write(w.on_disk("d/kept"), b"changed").expect("an edit");
    let mut found: Vec<_> =
        check(&w.cell(), Mend::Nothing).expect("checked").into_iter().map(|f| (f.path, f.problem)).collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let at = |name: &str| format!("boxes/b/d/{name}");
    assert_eq!(found, [(at("kept"), Problem::Changed), (at("lost"), Problem::Missing), (at("new"), Problem::Unknown)]);
    check(&w.cell(), Mend::Repair).expect("repaired");
    assert!(check(&w.cell(), Mend::Nothing).expect("checked").is_empty());
    let names: Vec<String> = w.tree().into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["d", "d/kept", "d/new"]);
}

#[test]
fn a_fingerprint_changes_with_everything_in_the_tree() {
    let w = World::new();
    w.mkcol("d").expect("mkcol");
    w.mkcol("d/e").expect("mkcol");
    w.put("d/e/x", b"1").expect("put");
    let id = w.cell().lookup("b", &path("d")).expect("a lookup").nearest().id;
    let now = || w.cell().read(|v| v.fingerprint(id)).expect("rows").expect("a fingerprint");
    let mut seen = vec![now()];
    w.put("elsewhere", b"1").expect("put");
    assert_eq!(now(), seen[0]);
    let changes: [&dyn Fn(); 4] = [
        &|| drop(w.put("d/e/x", b"2").expect("put")),
        &|| w.set("d/e/x", "v").expect("set"),
        &|| drop(w.put("d/y", b"").expect("put")),
        &|| drop(w.delete("d/y").expect("delete")),
    ];
    for change in changes {
        change();
        let next = now();
        assert!(next != *seen.last().expect("one"));
        seen.push(next);
    }
    w.delete("d").expect("delete");
    w.mkcol("d").expect("mkcol");
    assert_ne!(w.cell().lookup("b", &path("d")).expect("a lookup").nearest().id, id);
}

#[test]
fn a_newer_format_is_refused_by_name_and_a_unit_without_its_manifest_too() {
    use crate::storage::unit::OpenError;
    let World { unit, dir } = World::new();
    drop(unit);
    let root = dir.path().join("unit");
    let open = || Unit::open(&root, Role::Server, Limits::default());
    let set_version = |file: &str, version: i64| {
        let conn = rusqlite::Connection::open(root.join(file)).expect("a database");
        conn.pragma_update(None, "user_version", version).expect("set");
    };
    set_version("unit.db", 99);
    assert!(matches!(open(), Err(OpenError::Store(Error::Newer { format: 99, .. }))));
    set_version("unit.db", 2);
    set_version("cells/c/cell.db", 99);
    assert!(matches!(open().expect("a unit").cell("c"), Err(Error::Newer { format: 99, .. })));
    set_version("cells/c/cell.db", crate::storage::database::schema::FORMAT);
    let manifest = std::fs::read_to_string(root.join("unit.toml")).expect("text");
    std::fs::write(root.join("unit.toml"), manifest.replace("format = 1", "format = 2")).expect("written");
    assert!(matches!(open(), Err(OpenError::Newer(_, 2))));
    std::fs::write(root.join("unit.toml"), "garbage").expect("written");
    assert!(matches!(open(), Err(OpenError::Manifest(_))));
    std::fs::remove_file(root.join("unit.toml")).expect("removed");
    assert!(matches!(open(), Err(OpenError::Headless(_))));
    std::fs::write(root.join("unit.toml"), manifest).expect("written");
    open().expect("a unit").cell("c").expect("its cell");
}

#[test]
fn a_directory_put_beside_the_boxes_becomes_one() {
    let w = World::new();
    let cell = w.cell();
    assert!(cell.find_box("hand").expect("an answer").is_none());
    std::fs::create_dir(w.on_disk("../hand")).expect("a directory");
    std::fs::write(w.on_disk("../hand/x"), b"x").expect("a file");
    let found = cell.find_box("hand").expect("an answer").expect("a box");
    assert_eq!(found.schema, None);
    assert!(cell.open_content("hand", &path("x")).is_ok());
}

#[test]
fn what_is_not_permitted_at_its_moment_leaves_nothing() {
    use crate::storage::operation::boxes::CreateBox;
    use crate::storage::writer::Permitted;
    let world = World::new();
    let cell = world.cell();
    let create = || CreateBox { name: "later".to_owned(), schema: None };
    let refused = cell.change(Permitted(Box::new(|_| Err(Error::Precondition)), create()));
    assert!(matches!(refused, Err(Error::Precondition)));
    assert!(cell.find_box("later").expect("a look").is_none());
    cell.change(Permitted(Box::new(|_| Ok(())), create())).expect("a box");
    assert!(cell.find_box("later").expect("a look").is_some());
}
