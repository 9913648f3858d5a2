//! Failing disks and dying processes: the old content or the new one, never something between, and every job ends.

use std::sync::atomic::Ordering::SeqCst;

use super::*;
use crate::storage::database::area::Transfer;

/// Fails the first, the second, the third … change of the disk of an import.
#[test]
fn every_disk_call_of_an_import_fails_once() {
    let plan = Arc::new(FaultPlan::default());
    let mut w = World::new();
    w.fill();
    let new = w.portrait();
    w.export("a");
    w.put("box1", "a.txt", "text/plain", b"changed");
    w.make_box("other", None);
    let bytes = w.snapshot("a.zip").expect("the file");
    w.export("old");
    let (old_bytes, old) = (w.snapshot("old.zip").expect("the file"), w.portrait());
    w = w.reopen(Disk::with_plan(plan.clone()));
    let import = |w: &World, bytes: &[u8]| {
        w.upload("in.zip", bytes);
        drop(w.cell());
        plan.calls.store(0, SeqCst);
        w.begin_import("in").map(|()| w.wait(TransferKind::Import))
    };
    assert_eq!(import(&w, &bytes).expect("begun"), Status::Ready);
    let calls = plan.calls.load(SeqCst);
    assert!(calls > 20, "an import changes the disk in {calls} places");
    assert_eq!(w.portrait(), new);
    let (mut failed, mut done) = (0, 0);
    for n in 1..=calls {
        w.import(&old_bytes).expect("the content before");
        assert_eq!(w.portrait(), old, "the start of round {n}");
        w.upload("in.zip", &bytes);
        plan.calls.store(0, SeqCst);
        plan.fail_at.store(n, SeqCst);
        let result = w.begin_import("in").map(|()| w.wait(TransferKind::Import));
        plan.fail_at.store(0, SeqCst);
        let what = plan.failed.lock().expect("not poisoned").take();
        let case = format!("call {n} ({what:?}): {result:?}");
        let now = w.portrait();
        match result {
            Ok(Status::Ready) => {
                assert_eq!(now, new, "{case}");
                done += 1;
            }
            Ok(Status::Failed { .. }) | Err(Refused::Store(_) | Refused::Snapshot(_)) => {
                assert_eq!(now, old, "{case}");
                failed += 1;
            }
            other => panic!("{case}: {other:?}"),
        }
        w.put("box1", "probe", "a/b", b"the cell takes writes");
        assert!(w.snapshot("a.zip").is_some() && w.snapshot("in.zip").is_some(), "{case}: the area stays");
        w = w.reopen(Disk::with_plan(plan.clone()));
        w.cell();
        assert!(matches!(w.transfers.status(&w.cell(), TransferKind::Export), Ok(Status::Ready)), "{case}");
    }
    assert!(failed > calls / 2, "{failed} of {calls} failed, {done} did not");
    let w = w.reopen(Disk::default());
    let w = {
        drop(w.cell());
        w.reopen(Disk::default())
    };
    drop(w.cell());
    assert_eq!(w.staged(), Vec::<String>::new());
}

/// What is on disk before each change of it, from the moment when nobody uses the old cell any more, is what a process leaves
/// that is killed then.
#[test]
fn a_process_that_is_killed_while_cells_change_places_leaves_one_of_them_whole() {
    let plan = Arc::new(FaultPlan::default());
    let mut w = World::new();
    w.fill();
    let new = w.portrait();
    let bytes = w.export("a");
    w.put("box1", "a.txt", "text/plain", b"changed");
    w.make_box("other", None);
    let old = w.portrait();
    w.upload("in.zip", &bytes);
    w = w.reopen(Disk::with_plan(plan.clone()));
    drop(w.cell());
    let copies = tempfile::tempdir().expect("a directory");
    let (from, to, mut n) = (w.dir.path().join("unit"), copies.path().to_owned(), 0);
    *plan.watcher.0.lock().expect("not poisoned") = Some(Box::new(move |what| {
        if matches!(what, "link" | "exchange" | "sync directory" | "sync file system") {
            n += 1;
            let to = to.join(format!("{n}"));
            std::fs::create_dir(&to).expect("a directory");
            let copied = std::process::Command::new("cp").arg("-a").arg(&from).arg(to).status().expect("cp runs");
            assert!(copied.success());
        }
    }));
    w.begin_import("in").expect("begun");
    assert_eq!(w.wait(TransferKind::Import), Status::Ready);
    *plan.watcher.0.lock().expect("not poisoned") = None;
    assert_eq!(w.portrait(), new);
    let (mut before, mut after) = (0, 0);
    for copy in std::fs::read_dir(copies.path()).expect("copies") {
        let dir = tempfile::tempdir().expect("a directory");
        let copy = copy.expect("a copy").path();
        std::fs::rename(copy.join("unit"), dir.path().join("unit")).expect("moved");
        let left = World::on(dir, Disk::default(), RULES);
        left.unit.resume().expect("resumed");
        let now = left.portrait();
        assert!(now == old || now == new, "{}: {now:?}", copy.display());
        (before, after) = if now == old { (before + 1, after) } else { (before, after + 1) };
        left.put("box1", "probe", "a/b", b"the cell takes writes");
        assert!(left.snapshot("a.zip").is_some() && left.snapshot("in.zip").is_some(), "the area stays");
        drop(left.cell());
        let left = left.reopen(Disk::default());
        drop(left.cell());
        assert_eq!(left.staged(), Vec::<String>::new());
    }
    assert!(before > 1 && after > 1, "{before} before, {after} after");
}

/// Fails the first, the second, the third … change of the disk of an export.
#[test]
fn every_disk_call_of_an_export_fails_once() {
    let plan = Arc::new(FaultPlan::default());
    let mut w = World::new();
    w.fill();
    w = w.reopen(Disk::with_plan(plan.clone()));
    let before = w.portrait();
    plan.calls.store(0, SeqCst);
    w.export("whole");
    let calls = plan.calls.load(SeqCst);
    assert!(calls > 5, "an export changes the disk in {calls} places");
    for n in 1..=calls {
        let name = format!("e{n}");
        plan.calls.store(0, SeqCst);
        plan.fail_at.store(n, SeqCst);
        let result = w.begin_export(&name);
        let ended = result.as_ref().ok().map(|()| w.wait(TransferKind::Export));
        plan.fail_at.store(0, SeqCst);
        let what = plan.failed.lock().expect("not poisoned").take();
        let case = format!("call {n} ({what:?}): {result:?}");
        let (zip, error) = (w.snapshot(&format!("{name}.zip")), w.snapshot(&format!("{name}.error")));
        match result {
            Ok(()) => {
                assert_eq!(ended, Some(Status::Ready), "{case}");
                assert!(zip.is_some() != error.is_some(), "{case}: a file or an error");
            }
            Err(Refused::Store(_)) => assert!(zip.is_none() && error.is_none(), "{case}"),
            Err(other) => panic!("{case}: {other}"),
        }
        if let Some(zip) = zip {
            assert!(entries(&zip).len() > 30, "{case}: a whole file");
        }
        assert_eq!(w.portrait(), before, "{case}");
        w = w.reopen(Disk::with_plan(plan.clone()));
        drop(w.cell());
        assert_eq!(w.staged(), Vec::<String>::new(), "{case}: left in staging");
    }
}

/// The row of a job of a process that has died.
fn leave_behind(w: &World, kind: TransferKind, name: &str) {
    let name = name.to_owned();
    let leave = Change(move |ctx: &Context<'_>| {
        ctx.tx.put_transfer(&Transfer {
            id: ctx.tx.next_id(),
            kind,
            name: name.clone(),
            failed: false,
            owner: 1,
            started_ms: 5,
            progress: 7,
            message: r#"{"code":"PR500-SV-0000","message":{"lang":"en","value":"stopped"}}"#.to_owned(),
        })
    });
    w.cell().change(leave).expect("a row");
}

#[test]
fn an_export_whose_process_died_is_told_in_its_error_file() {
    let w = World::new();
    leave_behind(&w, TransferKind::Export, "night");
    assert_eq!(w.transfers.status(&w.cell(), TransferKind::Export).expect("a status"), Status::Ready);
    let w = w.reopen(Disk::default());
    let error = w.snapshot("night.error").expect("an error file");
    assert!(String::from_utf8_lossy(&error).contains("stopped"));
    w.export("night");
    leave_behind(&w, TransferKind::Export, "night");
    let w = w.reopen(Disk::default());
    assert!(w.snapshot("night.error").is_some() && w.snapshot("night.zip").is_some());
    assert_eq!(w.cell().snapshots().expect("listed").iter().map(|f| f.version).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn an_import_whose_process_died_has_failed() {
    let w = World::new();
    leave_behind(&w, TransferKind::Import, "x");
    let w = w.reopen(Disk::default());
    let status = w.transfers.status(&w.cell(), TransferKind::Import).expect("a status");
    assert!(matches!(&status, Status::Failed { name, progress: 7, .. } if name == "x"), "{status:?}");
    let bytes = w.export("a");
    w.import(&bytes).expect("imported");
    assert_eq!(w.transfers.status(&w.cell(), TransferKind::Import).expect("a status"), Status::Ready);
}

#[test]
fn a_panic_ends_a_job_like_any_failure() {
    let plan = Arc::new(FaultPlan::default());
    let w = World::new();
    w.fill();
    let w = w.reopen(Disk::with_plan(plan.clone()));
    let before = w.portrait();
    w.export("a");
    *plan.panic_at.lock().expect("not poisoned") = Some("build cell");
    w.begin_import("a").expect("begun");
    assert!(matches!(w.wait(TransferKind::Import), Status::Failed { .. }));
    assert_eq!(w.portrait(), before);
    w.begin_import("a").expect("begun");
    assert_eq!(w.wait(TransferKind::Import), Status::Ready);
}

#[test]
fn an_edit_by_hand_is_in_the_file_or_was_not_there_yet() {
    let w = World::new();
    w.make_box("b", None);
    for n in 0..5 {
        w.put("b", &format!("f{n}"), "text/plain", b"as it was put");
    }
    let on_disk = w.dir.path().join("unit/cells/c/boxes/b/f3");
    std::fs::write(&on_disk, b"edited in place, by hand").expect("written");
    let box_by_hand = w.dir.path().join("unit/cells/c/boxes/hand");
    std::fs::create_dir(&box_by_hand).expect("a directory");
    std::fs::write(box_by_hand.join("made"), b"a box made by hand").expect("written");
    let all = entries(&w.export("a"));
    let edited = all.iter().find(|(name, _)| name.ends_with("/f3/content")).expect("the file");
    assert_eq!(edited.1, b"edited in place, by hand");
    assert!(all.iter().any(|(name, content)| name.ends_with("/made/content") && content == b"a box made by hand"));
}

#[test]
fn requests_wait_while_the_content_is_exchanged() {
    let w = World::new();
    w.fill();
    w.export("a");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut read = 0;
                    while !stop.load(SeqCst) {
                        let cell = w.unit.cell("c").expect("the cell is always there");
                        match cell.open_content("box1", &path("a.txt")) {
                            Ok(_) => read += 1,
                            // It was being exchanged: the next look finds the new one.
                            Err(e) => assert!(matches!(e, crate::storage::Error::CellMissing), "{e}"),
                        }
                    }
                    read
                })
            })
            .collect();
        for _ in 0..5 {
            w.begin_import("a").expect("begun");
            assert_eq!(w.wait(TransferKind::Import), Status::Ready);
        }
        stop.store(true, SeqCst);
        for reader in readers {
            assert!(reader.join().expect("no panic") > 0);
        }
    });
}
