//! What goes out comes back.

use super::*;

/// What does not survive in the layout of the reference: stamps, and the versions of objects.
fn without_stamps(portrait: &Portrait) -> Portrait {
    let plain = |key: &str, value: &str| {
        let keep = |(n, word): (usize, &str)| (key.contains('/') && n == 2 || word.starts_with('v')).then_some(());
        let words = value.split(' ').enumerate().filter(|word| keep(*word).is_none());
        words.map(|(_, word)| word).collect::<Vec<_>>().join(" ")
    };
    portrait.iter().filter(|(key, _)| !key.starts_with("log")).map(|(k, v)| (k.clone(), plain(k, v))).collect()
}

#[test]
fn a_cell_comes_back_as_it_was() {
    let w = World::new();
    w.fill();
    let before = w.portrait();
    let bytes = w.export("a");
    let uuid = w.unit.record("c").expect("looked up").expect("the cell").uuid;
    w.put("box1", "a.txt", "text/plain", b"changed");
    w.put("box2", "new", "text/plain", b"new");
    w.object(ObjectKind::Role, "later", 0, "");
    w.make_box("box3", None);
    assert_ne!(w.portrait(), before);
    w.begin_import("a").expect("begun");
    assert_eq!(w.wait(TransferKind::Import), Status::Ready);
    let after = w.portrait();
    assert_eq!(after, before);
    assert_eq!(w.unit.record("c").expect("looked up").expect("the cell").uuid, uuid);
    assert_eq!(w.snapshot("a.zip"), Some(bytes), "the snapshot area stays");
    w.put("box1", "a.txt", "text/plain", b"the cell takes writes");
    assert_eq!(w.cell().snapshots().expect("listed").len(), 1);
    let w = w.reopen(Disk::default());
    // What is removed behind a start may take its time.
    let begun = std::time::Instant::now();
    while !w.staged().is_empty() {
        assert!(begun.elapsed().as_secs() < 30, "{:?}", w.staged());
        std::thread::yield_now();
    }
    let findings = crate::storage::check::check(&w.cell(), crate::storage::check::Mend::Nothing).expect("checked");
    assert!(findings.is_empty(), "{findings:?}");
}

#[test]
fn a_cell_moves_to_another_unit() {
    let (a, b) = (World::new(), World::new());
    a.fill();
    b.make_box("old", None);
    b.put("old", "f", "a/b", b"goes");
    let numbers: Vec<i64> = b.cell().read(|v| Ok(v.boxes()?.iter().map(|b| b.id).collect())).expect("read");
    b.import(&a.export("a")).expect("imported");
    assert_eq!(b.portrait(), a.portrait());
    let now: Vec<i64> = b.cell().read(|v| Ok(v.boxes()?.iter().map(|b| b.id).collect())).expect("read");
    assert!(now.iter().all(|id| !numbers.contains(id)), "no number has a second meaning: {numbers:?} {now:?}");
}

#[test]
fn numbers_stay_in_the_same_cell_and_tags_never_come_again() {
    let w = World::new();
    w.fill();
    let row = |w: &World| w.cell().lookup("box1", &path("a.txt")).expect("found").nearest().clone();
    let before = row(&w);
    w.export("a");
    w.put("box1", "a.txt", "text/plain", b"another version");
    let between = row(&w);
    w.begin_import("a").expect("begun");
    assert_eq!(w.wait(TransferKind::Import), Status::Ready);
    assert_eq!((row(&w).id, row(&w).etag()), (before.id, before.etag()), "the same content has the same tag");
    w.put("box1", "a.txt", "text/plain", b"a third version");
    assert_ne!(row(&w).etag(), between.etag(), "other content has another one");
}

#[test]
fn the_layout_of_the_reference_is_read() {
    let (a, b) = (World::new(), World::new());
    a.fill();
    let mut theirs = without_own(&a.export("a"));
    // Their directories need not be there, and their lines may end in another way.
    theirs.retain(|(name, _)| !name.ends_with('/'));
    for (_, content) in theirs.iter_mut().filter(|(name, _)| name.starts_with(crate::snapshot::ODATA)) {
        *content = String::from_utf8_lossy(content).replace('\n', "\r\n").into_bytes();
    }
    theirs.reverse();
    b.cell().append_log(b"its own log stays\n", 1 << 20).expect("logged");
    b.import(&archive(&theirs)).expect("imported");
    // The reference knows no drive passwords.
    let mut expected = a.portrait();
    expected.retain(|place, _| !place.to_lowercase().replace(' ', "").contains("drivepassword"));
    let mut got = b.portrait();
    got.retain(|place, _| !place.to_lowercase().replace(' ', "").contains("drivepassword"));
    assert_eq!(without_stamps(&got), without_stamps(&expected));
    assert!(b.portrait().values().any(|text| text.starts_with("its own log stays")));
}

#[test]
fn an_entry_of_the_reference_that_was_changed_counts() {
    let w = World::new();
    w.fill();
    let mut all = entries(&w.export("a"));
    let roles = all.iter_mut().find(|(name, _)| name.ends_with("20_role.pjson")).expect("roles");
    roles.1 = String::from_utf8_lossy(&roles.1).replace("\"editor\"", "\"renamed\"").replace('\n', "\r\n").into_bytes();
    let boxes = all.iter_mut().find(|(name, _)| name.ends_with("10_box.pjson")).expect("boxes");
    boxes.1 = String::from_utf8_lossy(&boxes.1).replace('\n', "\r\n").into_bytes();
    let before = w.portrait();
    w.import(&archive(&all)).expect("imported");
    let after = w.portrait();
    assert!(after.contains_key("Role renamed of None") && !after.contains_key("Role editor of None"), "{after:?}");
    assert_eq!(after["box box1"], before["box box1"], "line ends alone are no change");
    assert!(after["box1/"].contains("renamed"), "grants follow the role: {}", after["box1/"]);
}

#[test]
fn equal_content_gives_equal_files() {
    let w = World::new();
    w.fill();
    let (a, b) = (entries(&w.export("a")), entries(&w.export("b")));
    let rest =
        |all: &[(String, Vec<u8>)]| all.iter().filter(|(n, _)| n != "00_manifest.json").cloned().collect::<Vec<_>>();
    assert_eq!(rest(&a), rest(&b));
    let names: Vec<&str> = a.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..4], ["00_manifest.json", "10_odata/", "10_odata/00_cell.json", "10_odata/10_box.pjson"]);
    assert_eq!(names.last(), Some(&"90_cellar/entries.jsonl"));
    assert!(names.contains(&"20_webdav/__/main.txt/content"));
}

#[test]
fn large_files_are_cut_into_pieces_and_come_back() {
    let w = World::new();
    w.make_box("b", None);
    let text: Vec<u8> = (0..400_000).flat_map(|n| format!("line {n} of a long text\n").into_bytes()).collect();
    w.put("b", "text", "text/plain", &text);
    w.put("b", "noise", "a/b", &noise(9 << 20));
    w.put("b", "whole", "a/b", &text[..3 << 20]);
    let before = w.portrait();
    let bytes = w.export("a");
    assert!(bytes.len() < text.len() / 2 + (9 << 20), "{} bytes", bytes.len());
    let listed = entries(&bytes);
    let found = |name: &str| listed.iter().find(|(n, _)| n.ends_with(name)).map(|(_, content)| content.clone());
    assert!(found("/text/content") == Some(text), "other programs read the pieces");
    w.import(&bytes).expect("imported");
    assert_eq!(w.portrait(), before);
}

#[test]
fn writes_go_on_and_the_file_is_one_moment() {
    let w = World::new();
    w.make_box("b", None);
    for n in 0..300 {
        w.put("b", &format!("f{n}"), "a/b", format!("{n} before").repeat(500).as_bytes());
    }
    let before = w.portrait();
    let of = ExportOf {
        record: w.unit.record("c").expect("looked up").expect("the cell"),
        unit_url: String::new(),
        level: 1,
    };
    let cell = w.cell();
    let moment = crate::snapshot::export::Moment::take(&cell, &of).expect("a moment");
    for n in 0..300 {
        match n % 3 {
            0 => w.put("b", &format!("f{n}"), "a/b", b"after"),
            1 => drop(
                w.cell()
                    .change(crate::storage::operation::delete::Delete {
                        box_name: "b".to_owned(),
                        path: path(&format!("f{n}")),
                        recursive: true,
                        guard: no_guard(),
                    })
                    .expect("deleted"),
            ),
            _ => {}
        }
    }
    let progress = crate::snapshot::progress::Progress::default();
    let staged = crate::snapshot::export::pack(&cell, &of, &moment, &progress).expect("packed");
    assert_eq!(progress.percent(), 100);
    drop(moment);
    let name = crate::base::path::Segment::new("then.zip").and_then(|n| crate::base::path::NewName::new(&n));
    let put = crate::storage::operation::area::PutSnapshot {
        name: name.expect("a name"),
        content_type: None,
        staged,
        guard: Box::new(|_| Ok(())),
    };
    cell.change(put).expect("put");
    drop(cell);
    assert_ne!(w.portrait(), before);
    w.begin_import("then").expect("begun");
    assert_eq!(w.wait(TransferKind::Import), Status::Ready);
    assert_eq!(w.portrait(), before);
}

#[test]
fn one_job_at_a_time_and_names_are_taken_once() {
    let w = World::new();
    w.export("a");
    assert!(matches!(w.begin_export("a"), Err(Refused::Exists)));
    assert!(matches!(w.begin_import("none"), Err(Refused::Missing)));
    w.put("__", "large", "a/b", &noise(20 << 20));
    w.begin_export("b").expect("begun");
    let second = w.begin_export("c");
    let import = w.begin_import("a");
    let still = w.transfers.status(&w.cell(), TransferKind::Export).expect("a status");
    if matches!(still, Status::Running { .. }) {
        assert!(matches!(second, Err(Refused::Busy(TransferKind::Export))), "{second:?}");
        assert!(matches!(import, Err(Refused::Busy(TransferKind::Export))), "{import:?}");
    }
    assert_eq!(w.wait(TransferKind::Export), Status::Ready);
    assert!(w.snapshot("b.zip").is_some());
}

#[test]
fn a_full_queue_is_told_in_the_error_file() {
    let rules = Rules { queue: 0, ..RULES };
    let w = World::on(tempfile::tempdir().expect("a directory"), Disk::default(), rules);
    let names: Vec<String> = (0..12).map(|n| format!("c{n}")).collect();
    for name in &names {
        w.unit.create_cell(name).expect("a cell");
        let mut upload = w.unit.cell(name).expect("the cell").upload();
        upload.write(&noise(4 << 20)).expect("written");
        let put = Put {
            box_name: "__".to_owned(),
            path: path("f"),
            staged: upload.finish().expect("staged"),
            content_type: None,
            mtime_ms: None,
            guard: no_guard(),
            properties_of: None,
        };
        w.unit.cell(name).expect("the cell").change(put).expect("put");
    }
    for name in &names {
        let record = w.unit.record(name).expect("looked up").expect("the cell");
        let of = ExportOf { record, unit_url: String::new(), level: 1 };
        w.transfers.export(w.unit.cell(name).expect("the cell"), "e", of, asked()).expect("begun");
    }
    let deadline = Instant::now() + Duration::from_mins(1);
    let (mut zips, mut errors) = (0, 0);
    for name in &names {
        let cell = w.unit.cell(name).expect("the cell");
        while w.transfers.running(&cell).expect("looked").is_some() {
            assert!(Instant::now() < deadline, "the jobs do not end");
            std::thread::sleep(Duration::from_millis(2));
        }
        zips += usize::from(cell.open_snapshot("e.zip").expect("looked").is_some());
        if let Some((_, mut file)) = cell.open_snapshot("e.error").expect("looked") {
            let mut text = String::new();
            file.read_to_string(&mut text).expect("text");
            assert!(text.contains("PR503-SV-0001"), "{text}");
            errors += 1;
        }
    }
    assert_eq!(zips + errors, names.len());
    assert!(zips > 0 && errors > 0, "{zips} files, {errors} errors");
}

#[test]
fn entries_may_come_in_any_order() {
    let w = World::new();
    w.fill();
    let before = w.portrait();
    let mut all = entries(&w.export("a"));
    all.reverse();
    w.put("box1", "new", "a/b", b"goes again");
    assert_eq!(w.import(&archive(&all)), Ok(()));
    assert_eq!(w.portrait(), before, "backwards");
    all.sort_by_key(|(name, bytes)| (crc32fast::hash(name.as_bytes()), bytes.len()));
    assert_eq!(w.import(&archive(&all)), Ok(()));
    assert_eq!(w.portrait(), before, "shuffled");
    let twice = all.iter().find(|(name, _)| name.ends_with("a.txt/content")).expect("an entry").clone();
    all.push(twice);
    // What makes archives here writes no name twice: another one, as long, becomes the same.
    let last = all.last_mut().expect("an entry");
    last.0 = last.0.replace("a.txt/content", "@.txt/content");
    let name = last.0.clone();
    let mut bytes = archive(&all);
    let (from, to) = (name.as_bytes(), name.replace("@.txt/content", "a.txt/content"));
    while let Some(at) = bytes.windows(from.len()).position(|w| w == from) {
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
    }
    assert_eq!(w.import(&bytes), Err("PR400-MC-0009".to_owned()));
    assert_eq!(w.portrait(), before, "twice");
}

#[test]
fn holes_stay_holes() {
    use std::os::unix::fs::MetadataExt;
    let w = World::new();
    let mut bytes = vec![0; 12 << 20];
    bytes[5 << 20..(5 << 20) + 5].copy_from_slice(b"alive");
    w.put("__", "sparse", "a/b", &bytes);
    w.put("__", "empty inside", "a/b", &vec![0; 1 << 20]);
    w.export("a");
    w.begin_import("a").expect("begun");
    assert_eq!(w.wait(TransferKind::Import), Status::Ready);
    let path = w.cell().path().join("boxes/__/sparse");
    assert!(std::fs::read(&path).expect("the file") == bytes);
    let on_disk = std::fs::metadata(&path).expect("the file").blocks() * 512;
    assert!(on_disk < 1 << 20, "{on_disk} bytes on disk");
    let short = std::fs::metadata(w.cell().path().join("boxes/__/empty inside")).expect("the file");
    assert_eq!((short.len(), short.blocks()), (1 << 20, 0));
}

#[test]
fn a_cancelled_job_leaves_nothing() {
    let w = World::new();
    w.export("a");
    w.put("__", "large", "a/b", &noise(30 << 20));
    for name in ["b", "c", "d", "e"] {
        w.begin_export(name).expect("begun");
        assert!(w.transfers.cancel(&w.cell(), TransferKind::Export));
        assert_eq!(w.wait(TransferKind::Export), Status::Ready);
        assert!(w.snapshot(&format!("{name}.error")).is_none());
    }
    assert!(["b", "c", "d", "e"].iter().any(|name| w.snapshot(&format!("{name}.zip")).is_none()), "none was met");
    w.export("large");
    let before = w.portrait();
    for _ in 0..4 {
        w.begin_import("large").expect("begun");
        assert!(w.transfers.cancel(&w.cell(), TransferKind::Import));
        assert_eq!(w.wait(TransferKind::Import), Status::Ready, "an import that was cancelled has not failed");
        assert_eq!(w.portrait(), before);
    }
    assert!(!w.transfers.cancel(&w.cell(), TransferKind::Import), "nothing runs");
}
