//! Every change of the disk fails once, in every verb: the verb happened wholly or not at all, what was acknowledged stays, and
//! after opening again rows and tree agree.

use std::sync::atomic::Ordering::SeqCst;

use super::*;

type Tree = Vec<(String, Option<Vec<u8>>, Option<String>)>;

/// Runs `verb` on the same small box again and again, failing its first, second, third, … change of the disk.
fn fail_everywhere(name: &str, verb: impl Fn(&World) -> Result<()>) {
    let plan = Arc::new(FaultPlan::default());
    let mut w = World::new();
    w = w.reopen(Some(plan.clone()));
    let start = |w: &World| {
        for (at, _, _) in w.tree() {
            if !at.contains('/') {
                w.delete(&at).expect("cleared");
            }
        }
        w.mkcol("d").expect("mkcol");
        w.mkcol("d/e").expect("mkcol");
        w.put("d/x", b"x of d").expect("put");
        w.set("d/x", "v").expect("set");
        w.lock("d/x").expect("lock");
        w.put("d/e/y", b"y of e").expect("put");
        w.mkcol("t").expect("mkcol");
        w.put("t/z", b"z of t").expect("put");
        w.lock("t").expect("lock");
    };
    start(&w);
    let before: Tree = w.tree();
    plan.calls.store(0, SeqCst);
    verb(&w).unwrap_or_else(|e| panic!("{name} without a fault: {e:?}"));
    let calls = plan.calls.load(SeqCst);
    let after = w.tree();
    assert_ne!(before, after, "{name} changes something");
    assert!(calls > 0, "{name} changes the disk");
    for n in 1..=calls {
        start(&w);
        assert_eq!(w.tree(), before, "{name}: the start of round {n}");
        plan.calls.store(0, SeqCst);
        plan.fail_at.store(n, SeqCst);
        let result = verb(&w);
        plan.fail_at.store(0, SeqCst);
        let what = plan.failed.lock().expect("not poisoned").take();
        let case = format!("{name}, call {n} ({what:?}): {result:?}");
        let now = w.tree();
        assert!(now == before || now == after, "{case}: neither before nor after: {now:?}");
        assert!(result.is_err() || now == after, "{case}: acknowledged, but not there");
        w = w.reopen(Some(plan.clone()));
        let reopened = w.tree();
        assert!(reopened == before || reopened == after, "{case}: opened again: {reopened:?}");
        assert!(result.is_err() || reopened == after, "{case}: acknowledged, but lost");
        assert!(w.put("probe", b"alive").is_ok(), "{case}: the cell takes no writes");
        w = w.reopen(Some(plan.clone()));
        assert_eq!(w.staged(), Vec::<String>::new(), "{case}: left in staging");
        assert!(!w.dir.path().join("unit/cells/c/found").exists(), "{case}: something was put aside");
    }
}

#[test]
fn put_of_a_new_name() {
    fail_everywhere("put", |w| w.put("d/new", b"new").map(drop));
}

#[test]
fn put_over_a_file() {
    fail_everywhere("put over", |w| w.put("d/x", b"changed").map(drop));
}

#[test]
fn mkcol() {
    fail_everywhere("mkcol", |w| w.mkcol("d/n").map(drop));
}

#[test]
fn delete_of_a_file() {
    fail_everywhere("delete", |w| w.delete("d/x").map(drop));
}

#[test]
fn delete_of_a_tree() {
    fail_everywhere("delete tree", |w| w.delete("d").map(drop));
}

#[test]
fn move_of_a_file_over_another() {
    fail_everywhere("move file", |w| w.rename("d/x", "t/z"));
}

#[test]
fn move_of_a_tree() {
    fail_everywhere("move tree", |w| w.rename("d", "t/d"));
}

#[test]
fn move_of_a_tree_over_another() {
    fail_everywhere("move over", |w| w.rename("d", "t"));
}

#[test]
fn copy_of_a_file() {
    fail_everywhere("copy file", |w| w.copy("d/x", "t/x"));
}

#[test]
fn copy_of_a_tree_over_another() {
    fail_everywhere("copy tree", |w| w.copy("d", "t"));
}

#[test]
fn change_of_a_property() {
    fail_everywhere("proppatch", |w| w.set("d/x", "other"));
}

#[test]
fn lock_of_a_file() {
    fail_everywhere("lock", |w| w.lock("d/e/y").map(drop));
}

#[test]
fn lock_of_a_free_name() {
    fail_everywhere("lock free name", |w| w.lock("d/new").map(drop));
}

#[test]
fn delete_of_a_box_with_roles_and_their_grants() {
    use crate::storage::database::acl::{Ace, Acl};
    use crate::storage::database::control::ObjectKind;
    use crate::storage::operation::boxes::{CreateBox, DeleteBox};
    use crate::storage::writer::Change;

    let plan = Arc::new(FaultPlan::default());
    let mut w = World::new().reopen(Some(plan.clone()));
    let fill = |w: &World| {
        let cell = w.cell();
        cell.change(CreateBox { name: "doomed".to_owned(), schema: Some("https://s/".to_owned()) }).expect("a box");
        cell.change(Change(|ctx: &Context<'_>| {
            let id = ctx.tx.cell_box("doomed")?.expect("the box").id;
            let role = ctx.tx.insert_object(ObjectKind::Role, "r", id, "")?;
            let relation = ctx.tx.insert_object(ObjectKind::Relation, "rel", id, "")?;
            ctx.tx.insert_link((ObjectKind::Role, role.id), (ObjectKind::Relation, relation.id))?;
            let root = ctx.tx.lookup("b", &ResourcePath::root())?;
            let aces = vec![Ace { role: Some(role.id), privileges: 1 }];
            ctx.tx.set_resource_acl(root.nearest(), &Acl { require_schema: None, aces })
        }))
        .expect("bound objects");
    };
    let state = |w: &World| {
        let root = w.cell().lookup("b", &ResourcePath::root()).expect("the box").nearest().id;
        let rows = w.cell().read(|v| {
            let roles = v.objects(ObjectKind::Role)?.len() + v.objects(ObjectKind::Relation)?.len();
            Ok((v.cell_box("doomed")?.is_some(), roles, v.acl(root)?.aces.len()))
        });
        (rows.expect("rows"), w.dir.path().join("unit/cells/c/boxes/doomed").exists())
    };
    let delete = |w: &World| {
        w.cell().change(DeleteBox { name: "doomed".to_owned(), recursive: true, guard: Box::new(|_, _| Ok(())) })
    };
    fill(&w);
    let before = state(&w);
    assert_eq!(before, ((true, 2, 1), true));
    plan.calls.store(0, SeqCst);
    delete(&w).expect("deleted");
    let calls = plan.calls.load(SeqCst);
    assert_eq!(state(&w), ((false, 0, 0), false));
    for n in 1..=calls {
        fill(&w);
        plan.calls.store(0, SeqCst);
        plan.fail_at.store(n, SeqCst);
        let result = delete(&w);
        plan.fail_at.store(0, SeqCst);
        // A failed commit is looked into by the next change.
        w.put("probe", b"alive").expect("the cell takes writes");
        let now = state(&w);
        let after = ((false, 0, 0), false);
        assert!(now == after || (result.is_err() && now == before), "call {n}: {result:?}: {now:?}");
        w = w.reopen(Some(plan.clone()));
        assert_eq!(state(&w), now, "call {n}, opened again");
        if now == before {
            delete(&w).expect("deleted");
        }
    }
}

#[test]
fn a_change_that_is_taken_back_is_a_change_too() {
    use crate::storage::database::changes::{Changed, Reach, Since};
    let plan = Arc::new(FaultPlan::default());
    let w = World::new().reopen(Some(plan.clone()));
    w.put("a", b"1").expect("put");
    let (root, row) = (w.cell().lookup("b", &path("")).expect("the box"), w.get("a").expect("content").1);
    let changes = |w: &World, seq: i64| -> Vec<Changed> {
        let found = w.cell().read(|v| v.changes(root.nearest().id, Reach::Members, &Since::after(seq), usize::MAX));
        found.expect("changes").expect("no refusal").told
    };
    let seq = w.cell().read(|v| v.meta_number("seq")).expect("a sequence");
    *plan.fail_call.lock().expect("not poisoned") = Some("rename");
    w.put("new", b"1").expect_err("a fault");
    *plan.fail_call.lock().expect("not poisoned") = Some("exchange");
    w.put("a", b"2").expect_err("a fault");
    let after_puts = changes(&w, seq);
    assert_eq!(after_puts.iter().map(|c| c.gone.is_some()).collect::<Vec<_>>(), [true, false], "{after_puts:?}");
    assert_eq!(after_puts[1].id, row.id);
    let seq = w.cell().read(|v| v.meta_number("seq")).expect("a sequence");
    *plan.fail_call.lock().expect("not poisoned") = Some("rename");
    w.rename("a", "moved").expect_err("a fault");
    let moved = changes(&w, seq);
    let names: Vec<_> = w
        .cell()
        .read(|v| moved.iter().filter_map(|c| c.gone).map(|grave| v.buried(grave)).collect::<Result<Vec<_>, _>>())
        .expect("names");
    assert_eq!(names.into_iter().flatten().map(|(_, name)| name).collect::<Vec<_>>(), ["moved"]);
    assert!(moved.iter().any(|c| c.gone.is_none() && c.id == row.id), "{moved:?}");
}
