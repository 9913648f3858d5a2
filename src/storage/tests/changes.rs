//! A sync in pages beside a cell that goes on changing: whoever follows it ends up with what is there.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use super::*;
use crate::storage::database::changes::{Reach, Since};
use crate::storage::database::{View, schema};

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % sides as u64) as usize
    }
}

/// What somebody knows who syncs: paths with what tells one state from another.
type Known = BTreeMap<String, (i64, i64)>;

fn joined(rows: &[Resource], name: Option<&str>) -> String {
    rows.iter().map(|row| row.name.as_str()).chain(name).collect::<Vec<_>>().join("/")
}

/// Takes one page in; where to go on, and whether there is more. None if the sync must begin anew.
fn page(
    view: &View<'_>,
    top: i64,
    reach: Reach,
    since: &Since,
    limit: usize,
    known: &mut Known,
) -> Option<(Since, bool)> {
    let now = view.change_seq().expect("a sequence");
    let found = view.changes(top, reach, since, limit).expect("changes")?;
    assert!(found.told.len() <= limit);
    let mut ids: Vec<_> = found.told.iter().filter(|c| c.gone.is_none()).map(|c| c.id).collect();
    ids.sort_unstable();
    assert!(ids.windows(2).all(|two| two[0] != two[1]), "told twice in one page");
    for changed in &found.told {
        if let Some(grave) = changed.gone {
            let (parent, name) = view.buried(grave).expect("a tombstone").expect("a name");
            let chain = view.chain_below(top, parent).expect("a chain").expect("below the top");
            let path = joined(&chain, Some(&name));
            known.retain(|at, _| *at != path && !at.starts_with(&format!("{path}/")));
        } else {
            let chain = view.chain_below(top, changed.id).expect("a chain").expect("below the top");
            let row = chain.last().expect("a row");
            known.insert(joined(&chain, None), (row.id, row.stamp));
        }
    }
    let rest = found.rest(since);
    assert_eq!(rest.is_some(), found.cut);
    Some((rest.unwrap_or(Since::after(now)), found.cut))
}

/// Something happens to one of a few names, on four levels, in the synced collection or beside it.
fn disturb(w: &World, dice: &mut Dice) {
    let mut name = || {
        let depth = dice.roll(4) + 1;
        let below: Vec<&str> = (0..depth).map(|_| ["a", "b", "c", "d"][dice.roll(4)]).collect();
        format!("{}/{}", ["top", "top", "top", "beside"][dice.roll(4)], below.join("/"))
    };
    let (one, other) = (name(), name());
    // Most of it is refused, for want of a parent or because a name is taken.
    match dice.roll(9) {
        0..=2 => drop(w.put(&one, b"x")),
        3 | 4 => drop(w.mkcol(&one)),
        5 => drop(w.delete(&one)),
        6 => drop(w.set(&one, "v")),
        7 => drop(w.copy(&one, &other)),
        _ => drop(w.rename(&one, &other)),
    }
}

fn follow(reach: Reach, seed: u64) {
    let w = World::new();
    let mut dice = Dice(seed);
    w.mkcol("top").expect("a collection");
    w.mkcol("beside").expect("a collection");
    let top = w.cell().lookup("b", &path("top")).expect("the collection").nearest().id;
    let (mut known, mut since, mut done) = (Known::new(), None, 0);
    for _ in 0..60 {
        disturb(&w, &mut dice);
    }
    while done < 12 {
        let limit = [1, 2, 3, 7][dice.roll(4)];
        let turned = w.cell().read(|view| {
            let from = since.clone().unwrap_or(Since::beginning(view.change_seq()?));
            Ok(page(view, top, reach, &from, limit, &mut known))
        });
        let Some((next, more)) = turned.expect("read") else {
            (known, since) = (Known::new(), None);
            continue;
        };
        since = Some(next);
        if more {
            for _ in 0..dice.roll(4) {
                disturb(&w, &mut dice);
            }
            continue;
        }
        let mut there = Known::new();
        w.cell()
            .read(|view| Ok(page(view, top, reach, &Since::beginning(view.change_seq()?), usize::MAX, &mut there)))
            .expect("read");
        assert_eq!(known, there, "seed {seed}, sync {done}");
        let listed = w.tree().into_iter().filter_map(|(at, _, _)| at.strip_prefix("top/").map(str::to_owned));
        let listed: Vec<_> = listed.filter(|at| reach == Reach::Tree || !at.contains('/')).collect();
        assert_eq!(there.into_keys().collect::<Vec<_>>(), listed, "seed {seed}");
        done += 1;
        for _ in 0..dice.roll(40) {
            disturb(&w, &mut dice);
        }
    }
}

#[test]
fn a_sync_of_a_tree_ends_with_what_is_there() {
    (1..=12).for_each(|seed| follow(Reach::Tree, seed));
}

#[test]
fn a_sync_of_members_ends_with_what_is_there() {
    (1..=4).for_each(|seed| follow(Reach::Members, seed));
}

#[test]
fn a_page_costs_what_it_tells() {
    let w = World::new();
    w.mkcol("d").expect("a collection");
    for folder in 0..4 {
        let dir = w.on_disk(&format!("d/{folder}"));
        std::fs::create_dir(&dir).expect("a directory");
        for n in 0..2500 {
            std::fs::write(dir.join(format!("{n:04}")), "").expect("a file");
        }
    }
    w.cell().refresh_box("b").expect("adopted");
    let top = w.cell().lookup("b", &path("d")).expect("the collection").nearest().id;
    let steps = Arc::new(AtomicUsize::new(0));
    let count = steps.clone();
    let counts = move || {
        count.fetch_add(1, SeqCst);
        false
    };
    let mut conn = schema::open(&w.cell().path().join("cell.db"), schema::Access::Read).expect("a database");
    conn.progress_handler(10, Some(counts)).expect("a handler");
    let view = View::new(&conn);
    let cost = |since: &Since, limit: usize| {
        let before = steps.load(SeqCst);
        let found = view.changes(top, Reach::Tree, since, limit).expect("changes").expect("no refusal");
        let next = found.rest(since).unwrap_or(Since::after(0));
        (steps.load(SeqCst) - before, found.told.len(), next)
    };
    let now = view.change_seq().expect("a sequence");
    let pages = |begin: Since| {
        let (mut since, mut costs) = (begin.clone(), Vec::new());
        while costs.len() * 50 < 10_000 {
            let (page, told, next) = cost(&since, 50);
            assert_eq!(told, 50);
            costs.push(page);
            since = next;
        }
        let (all, told, _) = cost(&begin, usize::MAX);
        assert_eq!(told, 10_004);
        (costs, all)
    };
    let (costs, all) = pages(Since::beginning(now));
    assert!(costs.iter().all(|page| *page < all / 50), "{costs:?} of {all}");
    // From before everything was adopted. Somebody looks through each new collection once, for what was there before it came.
    let (costs, all) = pages(Since::after(1));
    assert!(costs.iter().sum::<usize>() < 2 * all, "{costs:?} of {all}");
}
