//! What the writer does between and after operations: batches, settling, reaping, opening anew.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::*;
use crate::storage::Error;
use crate::storage::database::schema;
use crate::storage::generation::Pin;
use crate::storage::operation::boxes::{SchemaChange, UpdateBox};
use crate::storage::operation::look::Refresh;
use crate::storage::writer::Change;

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn staged_put(cell: &Cell, at: &str, bytes: &[u8]) -> Put {
    let mut upload = cell.upload();
    upload.write(bytes).expect("written");
    Put {
        box_name: "b".to_owned(),
        path: path(at),
        staged: upload.finish().expect("finished"),
        content_type: None,
        mtime_ms: None,
        guard: no_guard(),
        properties_of: None,
    }
}

/// Submits two PUTs while the writer is busy, so that they come to it together.
fn put_together(cell: &Cell, one: (&str, &[u8]), other: (&str, &[u8])) {
    let (one, other) = (staged_put(cell, one.0, one.1), staged_put(cell, other.0, other.1));
    let (release, wait) = mpsc::channel::<()>();
    let busy = cell.submit(Change(move |_: &Context<'_>| {
        wait.recv().unwrap_or_default();
        Ok(())
    }));
    let (one, other) = (cell.submit(one), cell.submit(other));
    drop(release);
    busy.blocking_recv().expect("an answer").expect("done");
    one.blocking_recv().expect("an answer").expect("put");
    other.blocking_recv().expect("an answer").expect("put");
}

#[test]
fn two_forms_of_one_name_put_at_once_are_one_file() {
    let w = World::new();
    put_together(&w.cell(), ("caf\u{e9}", b"first"), ("cafe\u{301}", b"second"));
    let (bytes, row) = w.get("caf\u{e9}").expect("content");
    assert_eq!((bytes.as_slice(), row.version), (&b"second"[..], 2));
    assert_eq!(w.tree().len(), 1);
}

#[test]
fn what_a_batch_renames_into_one_directory_needs_no_look_at_it() {
    let w = World::new();
    w.mkcol("d").expect("mkcol");
    let cell = w.cell();
    put_together(&cell, ("d/x", b"x"), ("d/y", b"y"));
    let row = cell.read(|v| v.lookup("b", &path("d"))).expect("a lookup").nearest().clone();
    let stat = rustix::fs::stat(w.on_disk("d")).expect("a directory");
    assert_eq!(cell.core.known_mtime(&row), crate::storage::tree::mtime_ns(&stat));
}

#[test]
fn a_delete_that_fails_after_adopting_an_edit_is_taken_back_whole() {
    let plan = Arc::new(FaultPlan::default());
    let w = World::new().reopen(Some(plan.clone()));
    w.put("x", b"one").expect("put");
    w.set("x", "kept").expect("set");
    w.put("probe", b"").expect("put");
    std::fs::write(w.on_disk("x"), b"edited").expect("an edit");
    let id = w.cell().read(|v| v.lookup("b", &path("x"))).expect("a lookup").nearest().id;
    plan.calls.store(0, SeqCst);
    *plan.fail_call.lock().expect("not poisoned") = Some("rename");
    // A reader that goes makes the next batch reap.
    w.cell().queue().reap();
    let cell = w.cell();
    let (release, wait) = mpsc::channel::<()>();
    let busy = cell.submit(Change(move |_: &Context<'_>| {
        wait.recv().unwrap_or_default();
        Ok(())
    }));
    let guard = no_guard();
    let answer = cell.submit(Delete { box_name: "b".to_owned(), path: path("x"), recursive: true, guard });
    cell.queue().reap();
    drop(release);
    busy.blocking_recv().expect("an answer").expect("done");
    assert!(answer.blocking_recv().expect("an answer").is_err());
    let (bytes, row) = w.get("x").expect("content");
    assert_eq!((bytes.as_slice(), row.id, row.has_properties()), (&b"edited"[..], id, true));
}

#[test]
fn a_large_tree_is_reaped_without_further_writes() {
    let w = World::new();
    w.mkcol("d").expect("mkcol");
    for i in 0..crate::storage::reap::CHUNK + 200 {
        std::fs::write(w.on_disk(&format!("d/{i}")), b"").expect("a file");
    }
    w.cell().refresh("b", &path("d")).expect("adopted");
    w.delete("d").expect("delete");
    eventually("nothing is staged", || w.staged().is_empty());
}

#[test]
fn litter_that_cannot_be_removed_keeps_no_cell_closed() {
    let w = World::new();
    w.put("x", b"x").expect("put");
    std::fs::create_dir(w.dir.path().join("unit/cells/c/staging/litter")).expect("litter");
    std::fs::write(w.dir.path().join("unit/staging/litter"), b"").expect("litter");
    let plan = Arc::new(FaultPlan::default());
    *plan.fail_call.lock().expect("not poisoned") = Some("remove tree");
    let w = w.reopen(Some(plan));
    w.unit.resume().expect("resumed");
    assert_eq!(w.get("x").expect("content").0, b"x");
}

#[test]
fn a_cell_that_cannot_be_opened_keeps_no_unit_closed() {
    let w = World::new();
    let number = w.cell().number();
    w.unit.set_busy(number, true).expect("marked");
    let w = w.reopen(None);
    std::fs::remove_dir_all(w.dir.path().join("unit/cells/c/staging")).expect("damaged");
    w.unit.resume().expect("resumed");
}

#[test]
fn a_cell_is_busy_until_its_last_job_has_ended() {
    let w = World::new();
    let number = w.cell().number();
    let index = || {
        let conn = rusqlite::Connection::open(w.dir.path().join("unit/unit.db")).expect("opened");
        conn.query_row("SELECT busy FROM cell WHERE number=?1", [number], |r| r.get::<_, i64>(0)).expect("a row")
    };
    for (busy, jobs) in [(true, 1), (true, 2), (false, 1), (false, 0), (false, 0)] {
        w.unit.set_busy(number, busy).expect("marked");
        assert_eq!(index(), jobs);
    }
}

#[test]
fn a_failed_sync_leaves_no_old_change_pending_behind_newer_ones() {
    let plan = Arc::new(FaultPlan::default());
    let w = World::new().reopen(Some(plan.clone()));
    w.put("a", b"1").expect("put");
    let cell = w.cell();
    let pending = || cell.read(|v| Ok(v.pending()?.len())).expect("rows");
    eventually("settled", || pending() == 0);
    let failed = || plan.failed.lock().expect("not poisoned").is_some();
    while !failed() {
        w.rename("a", "b").expect("move");
        *plan.fail_call.lock().expect("not poisoned") = Some("sync directory");
        eventually("a sync has failed, or was already done", || failed() || pending() == 0);
        *plan.fail_call.lock().expect("not poisoned") = None;
        w.rename("b", "a").expect("move back");
    }
    eventually("everything is settled", || pending() == 0);
    assert_eq!(w.get("a").expect("content").0, b"1");
}

#[test]
fn a_moment_pinned_before_a_cell_was_renamed_holds_nothing_back_for_ever() {
    let w = World::new();
    let cell = w.cell();
    let id = cell.lookup("b", &ResourcePath::root()).expect("the box").cell_box.id;
    let pin = Pin::new(&cell, id).expect("a pin");
    w.unit.rename_cell("c", "e").expect("renamed");
    drop(pin);
    drop(cell);
    let cell = w.unit.cell("e").expect("the cell");
    assert_eq!(cell.read(|v| Ok(v.generations()?.len())).expect("rows"), 0);
}

#[test]
fn a_cell_whose_writer_panicked_is_opened_anew() {
    let plan = Arc::new(FaultPlan::default());
    let w = World::new().reopen(Some(plan.clone()));
    w.put("x", b"1").expect("put");
    *plan.panic_at.lock().expect("not poisoned") = Some("exchange");
    // Nobody is told that nothing was done.
    assert!(matches!(w.put("x", b"2"), Err(Error::Inconsistent(_))));
    eventually("the writer has ended", || w.put("y", b"y").is_ok());
    // The change had been committed: opening has finished it.
    assert_eq!(w.get("x").expect("content").0, b"2");
}

#[test]
fn a_box_whose_directory_was_put_back_by_hand_is_renamed_by_a_replay() {
    let plan = Arc::new(FaultPlan::default());
    let w = World::new().reopen(Some(plan.clone()));
    w.put("x", b"x").expect("put");
    let boxes = w.dir.path().join("unit/cells/c/boxes");
    std::fs::rename(boxes.join("b"), boxes.join(".old")).expect("moved away");
    std::fs::create_dir(boxes.join("b")).expect("a directory");
    std::fs::write(boxes.join("b/x"), b"restored").expect("a file");
    *plan.panic_at.lock().expect("not poisoned") = Some("rename");
    let renamed = w.cell().change(UpdateBox {
        name: "b".to_owned(),
        new_name: "n".to_owned(),
        schema: SchemaChange::Keep,
        guard: Box::new(|_, _| Ok(())),
    });
    assert!(renamed.is_err());
    eventually("the cell works", || w.unit.cell("c").is_ok_and(|c| c.change(Change(|_: &Context<'_>| Ok(()))).is_ok()));
    assert!(boxes.join("n/x").exists());
    assert!(!boxes.join("b").exists());
}

#[test]
fn a_directory_that_was_replaced_by_hand_is_not_written_through_an_old_descriptor() {
    let w = World::new();
    w.mkcol("d").expect("mkcol");
    let w = w.reopen(None);
    let cell = w.cell();
    cell.change(Refresh { box_name: "b".to_owned(), path: path("d") }).expect("looked at");
    // Once this has been answered the writer waits, or is about to.
    cell.change(Change(|_: &Context<'_>| Ok(()))).expect("nothing");
    std::fs::rename(w.on_disk("d"), w.on_disk("old")).expect("moved away");
    std::fs::create_dir(w.on_disk("d")).expect("a directory");
    w.put("d/x", b"x").expect("put");
    assert!(w.on_disk("d/x").exists());
}

#[test]
fn the_log_shrinks_after_a_checkpoint() {
    let w = World::new();
    let cell = w.cell();
    let log = w.dir.path().join("unit/cells/c/cell.db-wal");
    let length = || std::fs::metadata(&log).expect("a log").len() as i64;
    cell.change(Change(|ctx: &Context<'_>| ctx.tx.set_meta("test", "x".repeat(schema::LOG_BYTES as usize))))
        .expect("written");
    assert!(length() > schema::LOG_BYTES);
    eventually("the log is short again", || {
        schema::checkpoint(&w.dir.path().join("unit/cells/c/cell.db")).expect("a checkpoint");
        w.put("x", b"x").expect("put");
        length() <= schema::LOG_BYTES
    });
}

#[test]
fn a_cell_gets_its_name_and_its_limit_together_or_neither() {
    use crate::storage::database::View;
    use crate::storage::unit::{CellChange, QuotaChange};
    let plan = Arc::new(FaultPlan::default());
    let w = World::new().reopen(Some(plan.clone()));
    w.put("x", b"1").expect("put");
    let before = w.unit.record("c").expect("a record").expect("the cell");
    let own = |view: &View<'_>| -> Result<_> { view.own_quota() };
    let limit = |name: &str| w.unit.cell(name).expect("the cell").read(own).expect("a limit");
    for name in [Some("e".to_owned()), None] {
        let change = CellChange { name: name.clone(), quota: Some(QuotaChange::Bytes(5000)) };
        let after = name.unwrap_or("c".to_owned());
        let mut failures = 0;
        loop {
            // The cell is closed when it is renamed, so that it is open at the beginning each time.
            w.cell();
            plan.calls.store(0, SeqCst);
            plan.fail_at.store(failures + 1, SeqCst);
            let changed = w.unit.change_cell("c", &change, &|_| Ok(()));
            plan.fail_at.store(0, SeqCst);
            let failed = plan.failed.lock().expect("not poisoned").take();
            if failed.is_none() {
                assert_eq!(changed.expect("changed").name, after);
                break;
            }
            if changed.is_ok() || failed == Some("committed") {
                // What failed was not needed, such as the sync of something settled; or nobody heard of a commit that was done.
                eventually("the cell works", || w.unit.cell(&after).is_ok_and(|c| put(&c, "y", b"y").is_ok()));
                w.unit
                    .change_cell(
                        &after,
                        &CellChange { name: Some("c".to_owned()), quota: Some(QuotaChange::None) },
                        &|_| Ok(()),
                    )
                    .expect("back");
            } else {
                eventually("the cell works", || w.put("y", b"y").is_ok());
                assert_eq!(limit("c"), None, "failure {failures}");
                assert!(after == "c" || w.unit.record(&after).expect("a record").is_none());
            }
            failures += 1;
        }
        assert!(failures > 0);
        assert_eq!(limit(&after), Some(5000));
        let back = CellChange { name: Some("c".to_owned()), quota: Some(QuotaChange::None) };
        let now = w.unit.change_cell(&after, &back, &|_| Ok(())).expect("back");
        assert_eq!((now.number, now.uuid), (before.number, before.uuid.clone()));
    }
    assert_eq!(w.get("x").expect("content").0, b"1");
}

#[test]
fn a_cell_whose_directory_was_renamed_is_the_same_cell() {
    let w = World::new();
    let before = w.unit.record("c").expect("a record").expect("the cell");
    let cells = w.dir.path().join("unit/cells");
    std::fs::rename(cells.join("c"), cells.join("n")).expect("renamed");
    let after = w.unit.record("n").expect("a record").expect("the cell");
    assert_eq!((after.number, after.uuid), (before.number, before.uuid.clone()));
    assert!(w.unit.record("c").expect("no record").is_none());
    // A copy is another cell.
    w.unit.close();
    let copied = std::process::Command::new("cp").arg("-a").arg(cells.join("n")).arg(cells.join("copy")).status();
    assert!(copied.expect("cp").success());
    let copy = w.unit.record("copy").expect("a record").expect("the copy");
    assert!(copy.number != after.number && copy.uuid != before.uuid);
}

/// Puts a small file, lets the sync of it end badly, and returns what its file was before and is after all is settled.
fn after_a_bad_sync(spoil: impl Fn(&FaultPlan), then: impl Fn(&World)) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let plan = Arc::new(FaultPlan::default());
    let w = World::new().reopen(Some(plan.clone()));
    w.mkcol("d").expect("a collection");
    let pending = || w.cell().read(|v| Ok(v.pending()?.len())).expect("rows");
    eventually("settled", || pending() == 0);
    let waits = || {
        plan.panic_at.lock().expect("not poisoned").is_some() || plan.fail_call.lock().expect("not poisoned").is_some()
    };
    spoil(&plan);
    let row = w.put("d/x", b"content").expect("put").resource;
    let before = std::fs::metadata(w.on_disk("d/x")).expect("a file").ino();
    eventually("the sync ended badly", || !waits());
    then(&w);
    eventually("settled", || pending() == 0);
    let at = if w.on_disk("d/x").exists() { "d/x" } else { "e/x" };
    let (bytes, now) = w.get(at).expect("content");
    assert_eq!((bytes.as_slice(), now.etag()), (&b"content"[..], row.etag()));
    let after = std::fs::metadata(w.on_disk(at)).expect("a file").ino();
    assert!(!w.dir.path().join("unit/cells/c/found").exists());
    (before, after)
}

#[test]
fn what_a_failed_sync_should_have_covered_is_written_anew() {
    let fail = |plan: &FaultPlan| *plan.fail_call.lock().expect("not poisoned") = Some("sync");
    let (before, after) = after_a_bad_sync(fail, |w| drop(w.put("other", b"1").expect("put")));
    assert_ne!(before, after);
    // Nobody else's sync is believed either: not that of a tree which is about to move.
    let (before, after) = after_a_bad_sync(fail, |w| w.rename("d", "e").expect("moved"));
    assert_ne!(before, after);
}

#[test]
fn a_settler_that_panics_goes_on_and_settles_again() {
    let panic = |plan: &FaultPlan| *plan.panic_at.lock().expect("not poisoned") = Some("sync");
    let (before, after) = after_a_bad_sync(panic, |w| drop(w.put("other", b"1").expect("put")));
    assert_ne!(before, after);
}
