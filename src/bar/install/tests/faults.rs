//! Failing disks, dying processes, panics, and many installations at once.

use std::path::Path;

use super::*;
use crate::base::queue::Job as _;

fn bar() -> Vec<u8> {
    Bar::v2(Some("https://app.example/"))
        .meta("20_roles.json", r#"{"Roles":[{"Name":"r"}]}"#)
        .folder("d")
        .file("d/a", b"a")
        .folder("e")
        .file("e/x", b"x")
        .file("z", &[0; 100])
        .build()
}

const TREE: [&str; 5] = ["d/", "d/a", "e/", "e/x", "z"];

/// Installs again and again, failing the first, the second, the third … change of the disk.
#[test]
fn a_disk_that_fails_anywhere() {
    let plan = Arc::new(FaultPlan::default());
    let mut w = World::new().open(Limits::default(), Disk::with_plan(plan.clone()));
    drop(w.cell());
    plan.calls.store(0, SeqCst);
    assert!(matches!(w.install("b", &bar()), BoxStatus::Ready { .. }));
    let calls = plan.calls.load(SeqCst);
    w.delete("b");
    assert!(calls > 15, "an installation changes the disk in {calls} places");
    let mut failed = 0;
    for n in 1..=calls {
        plan.calls.store(0, SeqCst);
        plan.fail_at.store(n, SeqCst);
        let refused = match w.prepare("b", &bar()) {
            Ok(accepted) => {
                accepted.run();
                false
            }
            Err(PrepareError::Store(_)) => true,
            Err(PrepareError::Refused(e)) => panic!("refused: {e}"),
        };
        plan.fail_at.store(0, SeqCst);
        let what = plan.failed.lock().expect("not poisoned").take();
        let case = format!("call {n} ({what:?})");
        let there = w.cell().read(|v| v.cell_box("b")).expect("the cell reads").is_some();
        assert!(there || refused, "{case}");
        for round in 0..2 {
            if there {
                check(&w, &case, &mut failed);
                // A box that nobody was told of is there only because its commit was reported as failed.
                assert!(!refused || matches!(w.status("b"), BoxStatus::Failed { .. }), "{case}");
            } else {
                assert!(w.cell().read(|v| v.cell_box("b")).expect("read").is_none(), "{case}");
                assert!(!w.on_disk("boxes/b").exists(), "{case}, round {round}");
            }
            if round == 0 {
                w = w.open(Limits::default(), Disk::with_plan(plan.clone()));
                drop(w.cell());
            }
        }
        if there {
            w.delete("b");
        }
        w = w.open(Limits::default(), Disk::with_plan(plan.clone()));
        drop(w.cell());
        w = w.open(Limits::default(), Disk::with_plan(plan.clone()));
        drop(w.cell());
        assert_eq!(w.staged(), Vec::<String>::new(), "{case}: left in staging");
        assert!(!w.on_disk("found").exists(), "{case}: something was put aside");
    }
    assert!(failed > 5, "{failed} of {calls}");
}

fn check(w: &World, case: &str, failed: &mut usize) {
    let tree = w.tree("b");
    match w.status("b") {
        BoxStatus::Ready { .. } => {
            assert_eq!(tree, TREE, "{case}");
            assert_eq!(w.names(ObjectKind::Role, "b"), ["r"], "{case}");
        }
        BoxStatus::Failed { .. } => {
            *failed += 1;
            assert!(w.failure("b").starts_with("PL-BI-1005 Unknown error("), "{case}");
            assert!(tree.iter().all(|path| TREE.contains(&path.as_str())), "{case}: {tree:?}");
        }
        BoxStatus::InProgress { .. } => panic!("{case}: still in progress"),
    }
    for path in tree.iter().filter(|p| !p.ends_with('/')) {
        w.get("b", path);
    }
}

#[test]
fn a_panic_ends_the_installation_as_failed() {
    let plan = Arc::new(FaultPlan::default());
    let w = World::new().open(Limits::default(), Disk::with_plan(plan.clone()));
    for at in ["mkdir", "create"] {
        let accepted = w.prepare("b", &bar()).expect("accepted");
        *plan.panic_at.lock().expect("not poisoned") = Some(at);
        accepted.run();
        assert_eq!(*plan.panic_at.lock().expect("not poisoned"), None);
        assert_eq!(w.failure("b"), "PL-BI-1005 Unknown error(The server failed.).");
        assert!(w.tree("b").is_empty());
        w.delete("b");
    }
    assert!(matches!(w.install("b", &bar()), BoxStatus::Ready { .. }));
}

#[test]
fn an_installation_that_is_dropped_has_failed() {
    let w = World::new();
    let accepted = w.prepare("b", &bar()).expect("accepted");
    accepted.give_up();
    assert_eq!(w.failure("b"), "PL-BI-1005 Unknown error(The server stopped during the installation.).");
    drop(w.prepare("c", &Bar::v2(None).build()).expect("accepted"));
    while matches!(w.status("c"), BoxStatus::InProgress { .. }) {
        std::thread::yield_now();
    }
    assert!(w.failure("c").contains("The server stopped"));
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[test]
fn a_process_that_dies_leaves_a_failed_empty_box() {
    let w = World::new();
    let accepted = w.prepare("b", &bar()).expect("accepted");
    // What is on disk now is what is left when the process is killed: nobody holds the locks of the copy.
    let after = tempfile::tempdir().expect("a directory");
    copy_tree(&w.dir.path().join("unit"), &after.path().join("unit"));
    accepted.run();
    let w = World { installer: None, dir: after }.reopen();
    assert!(w.failure("b").starts_with("PL-BI-1005 Unknown error("), "recovered by the start");
    assert!(w.tree("b").is_empty());
    assert!(!w.installer().is_busy(w.cell().number()));
    assert!(w.refused("other", &bar()).starts_with("PR400-BI-0004 "));
    w.delete("b");
    assert!(matches!(w.install("b", &bar()), BoxStatus::Ready { .. }));
    assert_eq!(w.tree("b"), TREE);
    let w = w.reopen();
    assert_eq!(w.staged(), Vec::<String>::new());
}

#[test]
fn many_installations_take_turns() {
    let w = World::new();
    for n in 0..30 {
        let accepted = w.prepare(&format!("b{n}"), &Bar::v2(None).folder("d").file("d/a", b"a").build());
        w.installer().enqueue(accepted.expect("accepted"));
    }
    for n in 0..30 {
        while matches!(w.status(&format!("b{n}")), BoxStatus::InProgress { .. }) {
            std::thread::yield_now();
        }
        assert_eq!(w.tree(&format!("b{n}")), ["d/", "d/a"]);
    }
    w.installer().close();
    assert!(!w.installer().is_busy(w.cell().number()));
    let late = w.prepare("late", &Bar::v2(None).build()).expect("accepted");
    w.installer().enqueue(late);
    while matches!(w.status("late"), BoxStatus::InProgress { .. }) {
        std::thread::yield_now();
    }
    assert!(w.failure("late").contains("The server stopped"));
}

#[test]
fn a_cell_that_is_renamed_meanwhile_has_a_failed_box() {
    let w = World::new();
    let accepted = w.prepare("b", &bar()).expect("accepted");
    w.installer().unit.rename_cell("c", "d").expect("renamed");
    let cell = w.installer().unit.cell("d").expect("the cell");
    accepted.run();
    let status = cell.read(|v| status_of(v, &v.cell_box("b")?.expect("the box"), RETENTION, clock::now_ms()));
    assert!(matches!(status, Ok(BoxStatus::Failed { .. })), "{status:?}");
    let delete = DeleteBox { name: "b".to_owned(), recursive: true, guard: Box::new(|_, _| Ok(())) };
    cell.change(delete).expect("deleted");
}
