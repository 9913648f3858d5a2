//! Small files that are answered before their rows are committed: whoever reads finds them, and whatever breaks before the
//! commit, they are there with the tags that were told.

use super::*;

/// A world on a file system that ends with the power, where the last seconds may be lost.
fn relaxed() -> (World, Arc<FaultPlan>) {
    let plan = Arc::new(FaultPlan { volatile: true, ..FaultPlan::default() });
    let World { unit, dir } = World::new();
    drop(unit);
    let w = World { unit: open(&dir, &plan), dir };
    w.mkcol("d").expect("a collection");
    // Until what came before is settled, nothing goes ahead.
    let settled = || w.cell().read(|v| Ok(v.pending()?.is_empty())).expect("rows");
    while !settled() {
        std::thread::yield_now();
    }
    (w, plan)
}

fn open(dir: &tempfile::TempDir, plan: &Arc<FaultPlan>) -> Unit {
    let limits = Limits { relaxed: true, ..Limits::default() };
    Unit::open_on(&dir.path().join("unit"), Role::Server, limits, Disk::with_plan(plan.clone())).expect("a unit")
}

fn next_fails(plan: &FaultPlan, call: &'static str) {
    *plan.fail_call.lock().expect("not poisoned") = Some(call);
}

fn is_checked(w: &World) {
    let findings = crate::storage::check::check(&w.cell(), crate::storage::check::Mend::Nothing).expect("a check");
    assert!(findings.is_empty(), "{findings:?}");
}

/// Puts some files, new ones and over others, and lets nobody read.
fn put_some(w: &World) -> Vec<(String, Resource)> {
    let cell = w.cell();
    let put_at = |name: &str, bytes: &[u8]| (name.to_owned(), put(&cell, name, bytes).expect("put").resource);
    put_at("d/a", b"a first");
    put_at("d/b", b"b first");
    put_at("d/a", b"a second");
    vec![put_at("d/a", b"a third"), put_at("d/b", b"b second"), put_at("d/c", b"c first"), put_at("e", b"e first")]
}

fn are_there(w: &World, told: &[(String, Resource)]) {
    let contents = [b"a third".as_slice(), b"b second", b"c first", b"e first"];
    for ((name, row), bytes) in told.iter().zip(contents) {
        let (found, now) = w.get(name).expect("the file");
        assert_eq!((found.as_slice(), now.etag(), now.id), (bytes, row.etag(), row.id), "{name}");
        assert_eq!(std::fs::read(w.on_disk(name)).expect("a file"), bytes, "{name}");
    }
    let names: Vec<String> = w.tree().into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["d", "d/a", "d/b", "d/c", "e"]);
    let count = |at: &str| w.cell().lookup("b", &path(at)).expect("a collection").nearest().children;
    assert_eq!((count(""), count("d")), (2, 3));
    is_checked(w);
}

#[test]
fn what_was_answered_is_read_at_once() {
    let (w, _) = relaxed();
    for n in 0..100 {
        let told = w.put(&format!("d/{}", n % 7), &[n]).expect("put");
        let (bytes, row) = w.get(&format!("d/{}", n % 7)).expect("the file");
        assert_eq!((bytes, row.etag()), (vec![n], told.resource.etag()));
    }
    assert_eq!(w.tree().len(), 8);
    is_checked(&w);
}

#[test]
fn it_is_there_after_the_cell_was_closed() {
    let (w, plan) = relaxed();
    let told = put_some(&w);
    let World { unit, dir } = w;
    drop(unit);
    let w = World { unit: open(&dir, &plan), dir };
    are_there(&w, &told);
    assert_eq!(w.staged(), Vec::<String>::new());
}

#[test]
fn rows_that_cannot_be_committed_are_made_again() {
    let (w, plan) = relaxed();
    next_fails(&plan, "publish");
    let told = put_some(&w);
    are_there(&w, &told);
    assert!(plan.failed.lock().expect("not poisoned").is_some(), "the commit failed");
    w.put("d/c", b"c second").expect("put");
    assert_eq!(w.get("d/c").expect("the file").0, b"c second");
}

#[test]
fn rows_of_a_writer_that_died_are_made_from_its_log() {
    for point in ["publish", "rename", "exchange", "create"] {
        let (w, plan) = relaxed();
        let told = put_some(&w);
        *plan.panic_at.lock().expect("not poisoned") = Some(point);
        // Whether these happened nobody knows; one of them ends the writer, if the commit has not.
        drop((w.put("f", b"f first"), w.put("f", b"f second")));
        drop(w.get("f"));
        assert!(plan.panic_at.lock().expect("not poisoned").is_none(), "{point}: the writer died");
        let World { unit, dir } = w;
        drop(unit);
        let w = World { unit: open(&dir, &plan), dir };
        if w.get("f").is_ok() {
            w.delete("f").expect("deleted");
        }
        are_there(&w, &told);
        assert!(!w.dir.path().join("unit/cells/c/found").exists(), "{point}: something was put aside");
    }
}

#[test]
fn what_cannot_be_renamed_or_noted_is_an_error_and_leaves_nothing() {
    for call in ["rename", "write at", "create"] {
        let (w, plan) = relaxed();
        let told = put_some(&w);
        next_fails(&plan, call);
        assert!(w.put("f", b"f").is_err(), "{call}");
        are_there(&w, &told);
        next_fails(&plan, if call == "rename" { "exchange" } else { call });
        assert!(w.put("e", b"e again").is_err(), "{call}");
        are_there(&w, &told);
        let World { unit, dir } = w;
        drop(unit);
        let w = World { unit: open(&dir, &plan), dir };
        are_there(&w, &told);
        assert_eq!(w.staged(), Vec::<String>::new(), "{call}");
    }
}

#[test]
fn what_came_by_hand_unnoticed_is_noticed_in_the_end() {
    let (w, _) = relaxed();
    put_some(&w);
    let directory = std::fs::File::open(w.on_disk("d")).expect("a directory");
    let before = directory.metadata().and_then(|m| m.modified()).expect("a time");
    std::fs::write(w.on_disk("d/f"), b"by hand").expect("written");
    directory.set_modified(before).expect("as if nothing had happened");
    assert!(matches!(w.put("d/f", b"ours"), Err(super::super::Error::Exists)));
    let outcome = w.put("d/f", b"ours").expect("put");
    assert!(!outcome.created);
    assert_eq!(w.get("d/f").expect("the file").0, b"ours");
    is_checked(&w);
}

#[test]
fn what_was_put_there_by_hand_counts_before_the_answer() {
    let (w, plan) = relaxed();
    let told = put_some(&w);
    std::fs::create_dir(w.on_disk("by hand")).expect("a directory");
    let inside = w.put("by hand/g", b"g").expect("put").resource;
    *plan.panic_at.lock().expect("not poisoned") = Some("create");
    drop(w.put("h", b"h"));
    let World { unit, dir } = w;
    drop(unit);
    let w = World { unit: open(&dir, &plan), dir };
    let (bytes, row) = w.get("by hand/g").expect("the file");
    assert_eq!((bytes.as_slice(), row.etag()), (b"g".as_slice(), inside.etag()));
    w.delete("by hand").expect("deleted");
    are_there(&w, &told);
}
