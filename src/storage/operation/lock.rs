//! LOCK and UNLOCK: a lock is taken, prolonged and released by rows; one on a free name makes an empty file with it.

use super::Guard;
use super::put::Put;
use crate::base::path::ResourcePath;
use crate::storage::database::View;
use crate::storage::database::cell_box::Lookup;
use crate::storage::database::lock::Lock;
use crate::storage::error::{Error, Result};
use crate::storage::stage::Staged;
use crate::storage::writer::{Context, Decision, Footprint, Operation};

/// Takes a lock.
pub struct TakeLock {
    pub box_name: String,
    pub path: ResourcePath,
    /// Its number is that of the resource; it is set here.
    pub lock: Lock,
    /// The empty file for a free name. Without one a free name is `Missing`.
    pub file: Option<Put>,
    pub guard: Guard,
}

/// What LOCK did.
#[derive(Debug, Clone)]
pub struct LockOutcome {
    /// The name was free.
    pub created: bool,
    /// What the path leads to now.
    pub lookup: Lookup,
    /// The locks that cover it now.
    pub locks: Vec<Lock>,
}

impl TakeLock {
    /// The file that takes a free name: empty, its type guessed from the name.
    pub fn empty_file(box_name: &str, path: &ResourcePath, staged: Staged) -> Put {
        Put {
            box_name: box_name.to_owned(),
            path: path.clone(),
            staged,
            content_type: None,
            mtime_ms: None,
            guard: super::no_guard(),
            properties_of: None,
        }
    }
}

impl Operation for TakeLock {
    type Output = LockOutcome;

    fn footprint(&self) -> Footprint {
        Footprint::of(&self.box_name, &self.path)
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<LockOutcome>> {
        let mut lookup = ctx.resolve(&self.box_name, &self.path)?;
        (self.guard)(ctx.tx, &lookup)?;
        let created = lookup.missing > 0;
        let mut decision = Decision::rows(());
        if created {
            let put = self.file.as_mut().ok_or(Error::Missing)?.decide(ctx)?;
            lookup.chain.push(put.output.resource.clone());
            lookup.missing = 0;
            decision = put.with(());
        } else {
            // What was staged for a free name goes; it must not pass for taken.
            self.file = None;
        }
        self.lock.id = lookup.nearest().id;
        ctx.tx.forget_expired_locks()?;
        ctx.tx.insert_lock(&self.lock)?;
        let locks = ctx.tx.locks_over(&lookup.chain, ctx.tx.now_ms())?;
        Ok(decision.with(LockOutcome { created, lookup, locks }))
    }

    fn committed(&mut self) {
        if let Some(file) = &mut self.file {
            file.committed();
        }
    }
}

/// Chooses a lock among those that cover what a path leads to; an error where it is none of them.
pub type Choose = Box<dyn FnMut(&View<'_>, &Lookup, &[Lock]) -> Result<Lock> + Send>;

/// What becomes of a lock that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockChange {
    /// It holds until this moment, in milliseconds since 1970.
    Until(i64),
    Release,
}

/// Prolongs or releases a lock that covers what a path leads to.
pub struct ChangeLock {
    pub box_name: String,
    pub path: ResourcePath,
    pub choose: Choose,
    pub change: LockChange,
}

impl Operation for ChangeLock {
    type Output = LockOutcome;

    fn footprint(&self) -> Footprint {
        Footprint::of(&self.box_name, &self.path)
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<LockOutcome>> {
        let lookup = ctx.resolve(&self.box_name, &self.path)?;
        if lookup.missing > 0 {
            return Err(Error::Missing);
        }
        let now_ms = ctx.tx.now_ms();
        let locks = ctx.tx.locks_over(&lookup.chain, now_ms)?;
        let chosen = (self.choose)(ctx.tx, &lookup, &locks)?;
        match self.change {
            LockChange::Until(expires_ms) => ctx.tx.extend_lock(&chosen.token, expires_ms)?,
            LockChange::Release => ctx.tx.remove_lock(&chosen.token)?,
        }
        let locks = ctx.tx.locks_over(&lookup.chain, now_ms)?;
        Ok(Decision::rows(LockOutcome { created: false, lookup, locks }))
    }
}
