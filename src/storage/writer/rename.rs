//! The renames of a batch, in the order of the decisions, and what is taken back when one fails.

use rustix::fs::fstat;

use super::Plan;
use super::batch::{Done, Planned, Writer, pending_row};
use super::context::Touched;
use crate::storage::database::Tx;
use crate::storage::database::pending::{How, Step};
use crate::storage::error::{Error, Result};
use crate::storage::tree;

impl Writer {
    /// Renames in commit order; what fails is taken back by a second transaction.
    pub(super) fn rename_all(&mut self, planned: Vec<Planned>, done: &mut Done) -> Result<()> {
        let row = pending_row(&planned);
        let mut undone = Vec::new();
        let mut kept = Vec::new();
        let keeps_paths = |p: &Planned| matches!(p.plan.op, "rows" | "put" | "mkcol");
        let all_keep_paths = planned.iter().all(keeps_paths);
        for p in planned {
            if p.plan.steps.is_empty() {
                done.push((p.operation, Ok(())));
                continue;
            }
            match self.rename(&p.plan) {
                Ok(()) => {
                    self.unsettled.add(row, &p.plan, self.core.syncs_whole);
                    kept.push(p.seq);
                    done.push((p.operation, Ok(())));
                }
                Err(e) => undone.push((p, e)),
            }
        }
        if !all_keep_paths || !undone.is_empty() {
            self.directories.borrow_mut().clear();
        }
        if undone.is_empty() {
            return Ok(());
        }
        self.places.borrow_mut().clear();
        let taken_back = (|| -> Result<()> {
            self.conn.execute_batch("BEGIN IMMEDIATE").map_err(Error::database("begin"))?;
            let tx = Tx::new(&self.conn, self.core.lease.owner())?;
            let before = tx.counters();
            for (p, _) in &undone {
                tx.next_seq();
                tx.apply_undo(&p.plan.undo)?;
            }
            let rows = tx.pending()?.into_iter().filter(|batch| batch.seq == row);
            let mut operations: Vec<_> = rows.flat_map(|batch| batch.operations).collect();
            operations.retain(|operation| kept.contains(&operation.seq));
            tx.keep_pending(row, &operations)?;
            tx.save_counters(before)?;
            self.last_seq = tx.seq();
            self.conn.execute_batch("COMMIT").map_err(Error::database("commit"))
        })();
        if let Err(e) = &taken_back {
            tracing::error!(error = e as &dyn std::error::Error, "an operation could not be taken back");
            drop(self.conn.execute_batch("ROLLBACK"));
            self.broken = true;
        }
        for (p, e) in undone {
            done.push((p.operation, Err(e)));
        }
        taken_back
    }

    /// Does the renames of one operation; on failure those already done are taken back.
    pub(super) fn rename(&mut self, plan: &Plan) -> Result<()> {
        let before: Vec<(Touched, i64)> =
            plan.touched.iter().map(|t| (t.clone(), self.directory_mtime(&t.path).unwrap_or(0))).collect();
        for (i, step) in plan.steps.iter().enumerate() {
            if let Err(e) = self.rename_step(step) {
                for back in plan.steps[..i].iter().rev() {
                    let reverse = Step { how: back.how, from: back.to.clone(), to: back.from.clone(), ino: back.ino };
                    if let Err(worse) = self.rename_step(&reverse) {
                        tracing::error!(error = &worse as &dyn std::error::Error, "a rename could not be taken back");
                    }
                }
                if matches!(e, Error::Exists) {
                    // Whatever it is, the rows do not know it.
                    plan.touched.iter().for_each(|t| self.core.remember_mtime(t.id, 0));
                }
                return Err(e);
            }
        }
        for (t, mtime) in before {
            // An earlier operation of this batch may have changed the same directory since this one was decided.
            let agreed = mtime != 0 && mtime == self.core.latest_mtime(t.id).unwrap_or(t.known_mtime_ns);
            let now = if agreed { self.directory_mtime(&t.path).unwrap_or(0) } else { 0 };
            self.core.remember_mtime(t.id, now);
        }
        Ok(())
    }

    fn rename_step(&mut self, step: &Step) -> Result<()> {
        let mut directories = self.directories.borrow_mut();
        let (from_dir, from) = tree::split(&step.from);
        let (to_dir, to) = tree::split(&step.to);
        let from_fd = directories.get(&self.core, from_dir).map_err(Error::errno("open the directory", from_dir))?;
        let to_fd = directories.get(&self.core, to_dir).map_err(Error::errno("open the directory", to_dir))?;
        match step.how {
            How::Move => self.core.disk.rename((&from_fd, from), (&to_fd, to)),
            How::Exchange => self.core.disk.exchange((&from_fd, from), (&to_fd, to)),
        }
        .map_err(|e| match (step.how, e.kind()) {
            // What cannot be served, or was put there by hand a moment ago.
            (How::Move, std::io::ErrorKind::AlreadyExists) => Error::Exists,
            _ => Error::io("rename", step.to.clone())(e),
        })
    }

    fn directory_mtime(&self, path: &str) -> Option<i64> {
        let fd = self.directories.borrow_mut().get(&self.core, path).ok()?;
        fstat(&fd).ok().map(|s| tree::mtime_ns(&s))
    }
}
