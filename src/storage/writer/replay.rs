//! Recovery: what a dead process decided is done, what it had staged for nothing is removed.
//!
//! Rows are replayed in the order of their commits, under the write lock, and only those of dead owners; `redo.rs` does what
//! one operation asks for.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rusqlite::Connection;
use rustix::io::Errno;

use super::redo::{self, Redo};
use crate::base::id::OwnerId;
use crate::storage::cell::Core;
use crate::storage::database::pending::{Gone, Pending, PendingBatch, Step};
use crate::storage::database::resource::{Kind, Resource};
use crate::storage::database::schema::{PARENT_BOXES, PARENT_HIDDEN, PARENT_TRASH};
use crate::storage::database::{Tx, View, job::JobState};
use crate::storage::error::{Error, Result};
use crate::storage::tree;

/// Opens a cell to work: replays, fails jobs that died, clears `staging/`. The write lock must be held, and this process must
/// not have another writer for the cell: what is pending in its own name was left by an earlier opening.
pub(crate) fn recover(core: &Core, conn: &Connection) -> Result<()> {
    super::ahead::recover(core, conn)?;
    replay_all(core, conn)?;
    in_transaction(core, conn, |tx| {
        forget_dead_generations(core, tx)?;
        bury_hidden(core, tx)
    })?;
    clear_staging(core, &View::new(conn), |name| core.staged_by_the_living(name))
}

/// Removes what this process staged and no row names; nobody may be using the cell any more.
pub(super) fn clear_own(core: &Core, conn: &Connection) -> Result<()> {
    clear_staging(core, &View::new(conn), |name| {
        Ok(!core.staged_by_this_process(name) && core.staged_by_the_living(name)?)
    })
}

pub(crate) fn in_transaction(core: &Core, conn: &Connection, f: impl FnOnce(&Tx<'_>) -> Result<()>) -> Result<()> {
    conn.execute_batch("BEGIN IMMEDIATE").map_err(Error::database("begin"))?;
    let result = (|| {
        let tx = Tx::new(conn, core.lease.owner())?;
        let before = tx.counters();
        f(&tx)?;
        tx.save_counters(before)
    })();
    match result {
        Ok(()) => conn.execute_batch("COMMIT").map_err(Error::database("commit")),
        Err(e) => {
            drop(conn.execute_batch("ROLLBACK"));
            Err(e)
        }
    }
}

/// Does what dead owners left pending.
pub(super) fn replay(core: &Core, conn: &Connection) -> Result<()> {
    let dead = |owner| Ok(!core.lease.is_alive(owner).map_err(Error::io("look for", "owners"))?);
    replay_if(core, conn, false, dead)
}

/// Does what this process or a dead one left pending.
pub(super) fn replay_all(core: &Core, conn: &Connection) -> Result<()> {
    let own = core.lease.owner();
    replay_if(core, conn, true, |owner| {
        Ok(owner == own || !core.lease.is_alive(owner).map_err(Error::io("look for", "owners"))?)
    })
}

/// `own`: what this process left is among it, and is written anew if a sync of it has failed.
fn replay_if(core: &Core, conn: &Connection, own: bool, mine: impl Fn(OwnerId) -> Result<bool>) -> Result<()> {
    let all = View::new(conn).pending()?;
    let mut rows = Vec::new();
    for batch in &all {
        if mine(batch.owner)? {
            rows.push((batch, View::new(conn).pending_contents(batch.seq)?));
        }
    }
    let run = |sync: &dyn Fn() -> io::Result<()>| if own { core.syncs.run_anew(sync) } else { core.syncs.run(sync) };
    if rows.is_empty() {
        return run(&|| Ok(())).map_err(Error::io("sync", core.name.clone()));
    }
    let operations = || rows.iter().flat_map(|(batch, contents)| batch.operations.iter().map(move |p| (p, contents)));
    tracing::info!(cell = core.name, operations = operations().count(), "finishing what another process began");
    // After a failed sync nothing is believed to be on disk because it can be read.
    let anew = own && core.syncs.have_failed();
    let mut redo = Redo::new(core, View::new(conn), &all)?;
    let mut impossible = Vec::new();
    for (p, contents) in operations() {
        if !redo.operation(p, contents)? {
            tracing::error!(cell = core.name, op = %p.op, "cannot be finished: its place is gone");
            impossible.push(p);
        }
    }
    let mut settled = Vec::new();
    for (p, contents) in operations() {
        settled.extend(redo.settle(p, contents, anew)?);
    }
    let steps = || operations().flat_map(|(p, _)| &p.steps);
    run(&|| sync(core, settled.iter().map(|s| &s.file), steps())).map_err(Error::io("sync", core.name.clone()))?;
    in_transaction(core, conn, |tx| {
        for s in &settled {
            tx.set_identity(s.id, s.version, s.identity)?;
        }
        for p in impossible.iter().rev() {
            tx.next_seq();
            tx.apply_undo(&p.undo)?;
        }
        rows.iter().try_for_each(|(batch, _)| tx.remove_pending(batch.seq))
    })
}

/// Makes files and the directories of steps durable.
fn sync<'s>(
    core: &Core,
    files: impl Iterator<Item = &'s File>,
    steps: impl Iterator<Item = &'s Step>,
) -> io::Result<()> {
    let mut files = files.peekable();
    if core.syncs_whole && files.peek().is_some() {
        return core.disk.sync_file_system(core.dir.as_fd());
    }
    for file in files {
        core.disk.sync_data(file)?;
    }
    let paths: HashSet<&str> = steps.flat_map(|s| [tree::split(&s.from).0, tree::split(&s.to).0]).collect();
    for path in paths {
        match tree::open_dir(core.dir.as_fd(), path) {
            Ok(fd) => core.disk.sync_dir(fd.as_fd())?,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Makes every rename that is pending certain and forgets the rows, whoever's they are: who let the lock go has renamed.
pub(super) fn settle_pending(core: &Core, tx: &Tx<'_>) -> Result<()> {
    settle_rows(core, tx, tx.pending()?)
}

/// Settles what is pending below a directory that is about to move, so that no pending path leads through it.
pub(super) fn settle_below(core: &Core, tx: &Tx<'_>, path: &str) -> Result<()> {
    let below = |p: &str| p.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    let leads_below = |p: &Pending| p.steps.iter().any(|s| below(&s.from) || below(&s.to));
    let rows = tx.pending()?.into_iter().filter(|batch| batch.operations.iter().any(leads_below)).collect();
    settle_rows(core, tx, rows)
}

fn settle_rows(core: &Core, tx: &Tx<'_>, rows: Vec<PendingBatch>) -> Result<()> {
    let operations = || rows.iter().flat_map(|batch| &batch.operations);
    let mut files = Vec::new();
    for p in operations().filter(|p| p.content.is_some()) {
        files.extend(redo::find_content(core, tx, p)?);
    }
    let steps = operations().flat_map(|p| &p.steps);
    core.syncs.run(|| sync(core, files.iter(), steps)).map_err(Error::io("sync", core.name.clone()))?;
    rows.iter().try_for_each(|batch| tx.remove_pending(batch.seq))
}

/// Also those of this process: who registered them read through an earlier opening of the cell, and can no longer release them.
fn forget_dead_generations(core: &Core, tx: &Tx<'_>) -> Result<()> {
    for g in tx.generations()? {
        if g.owner == core.lease.owner() || !core.lease.is_alive(g.owner).map_err(Error::io("look for", "owners"))? {
            tx.remove_generation(g.id)?;
        }
    }
    Ok(())
}

/// Trees that a dead process was building, or this one before it closed the cell, go to the trash; an install among them is
/// reported as failed and its box stays, empty.
fn bury_hidden(core: &Core, tx: &Tx<'_>) -> Result<()> {
    for mut job in tx.running_jobs()? {
        let own = job.owner == core.lease.owner();
        if !own && core.lease.is_alive(job.owner).map_err(Error::io("look for", "owners"))? {
            continue;
        }
        job.state = JobState::Failed;
        job.ended_ms = Some(tx.now_ms());
        job.message = Some(INTERRUPTED.to_owned());
        tx.update_job(&job)?;
    }
    for hidden in tx.all_children(PARENT_HIDDEN)? {
        if !core.staged_by_this_process(&hidden.name) && core.staged_by_the_living(&hidden.name)? {
            continue;
        }
        let Some(cell_box) = tx.cell_box_by_id(hidden.id)? else {
            let seq = tx.next_seq();
            tx.place_resource(hidden.id, PARENT_TRASH, &hidden.name, seq)?;
            tx.insert_gone(&Gone { id: hidden.id, version: 0, name: hidden.name, seq, tree: true })?;
            continue;
        };
        leave_box_empty(core, tx, hidden, &cell_box.name)?;
    }
    Ok(())
}

/// Ends an installation that came to nothing: its box is there and empty, what was built goes.
pub(crate) fn leave_box_empty(core: &Core, tx: &Tx<'_>, hidden: Resource, box_name: &str) -> Result<()> {
    let seq = tx.next_seq();
    // The box keeps its number; what was built below it goes to the trash under another.
    let rest = Resource { parent: PARENT_TRASH, name: hidden.name.clone(), id: tx.next_id(), ..hidden.clone() };
    tx.remove_resource(hidden.parent, &hidden.name)?;
    tx.forget_attachments(hidden.id)?;
    tx.insert_resource(&rest)?;
    tx.adopt_children(hidden.id, rest.id)?;
    tx.insert_gone(&Gone { id: rest.id, version: 0, name: rest.name, seq, tree: true })?;
    let ino = empty_box_directory(core, box_name)?;
    tx.insert_resource(&Resource {
        parent: PARENT_BOXES,
        name: box_name.to_owned(),
        kind: Kind::Collection,
        flags: 0,
        children: 0,
        dir_mtime_ns: 0,
        seq,
        placed_seq: seq,
        ino,
        ..hidden
    })?;
    Ok(())
}

/// What a client is told about a job that ended with its process.
const INTERRUPTED: &str = r#"{"code":"PL-BI-1005","message":{"lang":"en","value":"Unknown error(The server stopped during the installation.)."}}"#;

fn empty_box_directory(core: &Core, name: &str) -> Result<i64> {
    let boxes = tree::open_dir(core.dir.as_fd(), "boxes").map_err(Error::errno("open the directory", "boxes"))?;
    if tree::stat_name(boxes.as_fd(), name).map_err(Error::errno("look at", name))?.is_none() {
        core.disk.make_dir(boxes.as_fd(), name).map_err(Error::io("create", name))?;
        core.disk.sync_dir(boxes.as_fd()).map_err(Error::io("sync", "boxes"))?;
    }
    let stat = tree::stat_name(boxes.as_fd(), name).map_err(Error::errno("look at", name))?;
    Ok(stat.map_or(0, |s| s.st_ino as i64))
}

/// Removes what is not in use and no row names. What cannot be removed is no reason to keep the cell closed.
fn clear_staging(core: &Core, view: &View<'_>, in_use: impl Fn(&str) -> Result<bool>) -> Result<()> {
    for name in unnamed(core, view, in_use)? {
        if let Err(e) = core.disk.remove_tree(core.staging.as_fd(), name.as_ref()) {
            tracing::warn!(error = %e, cell = core.name, name, "litter cannot be removed");
        }
    }
    Ok(())
}

/// Names below `staging/` that belong to no row and to no process that lives.
pub(crate) fn litter(core: &Core, view: &View<'_>) -> Result<Vec<String>> {
    unnamed(core, view, |name| core.staged_by_the_living(name))
}

fn unnamed(core: &Core, view: &View<'_>, in_use: impl Fn(&str) -> Result<bool>) -> Result<Vec<String>> {
    let gone = view.all_gone()?;
    let named: HashSet<&str> = gone.iter().map(|g| g.name.as_str()).collect();
    let pending = view.pending()?;
    let operations = pending.iter().flat_map(|batch| &batch.operations);
    let steps: HashSet<&str> =
        operations.flat_map(|p| &p.steps).flat_map(|s| [s.from.as_str(), s.to.as_str()]).collect();
    let mut found = Vec::new();
    for (dir, prefix) in [(&core.staging, ""), (&core.gone, "gone/")] {
        for (name, _) in tree::read_names(dir.as_fd()).map_err(Error::io("read", "staging"))? {
            let below = format!("{prefix}{name}");
            let keep = below == "gone"
                || named.contains(below.as_str())
                || steps.contains(format!("staging/{below}").as_str())
                || in_use(&name)?;
            if !keep {
                found.push(below);
            }
        }
    }
    Ok(found)
}
