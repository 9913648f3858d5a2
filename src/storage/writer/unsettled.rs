//! What was renamed and waits for the sync that makes its pending rows superfluous.

use std::collections::HashSet;
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Plan;
use crate::storage::tree;

/// How long a rename may wait.
const SETTLE_AFTER: Duration = Duration::from_millis(50);
/// Files that are synced one by one, at most, where the whole file system can be synced at once.
const FEW: usize = 16;
/// Bytes of contents in pending rows above which nothing more is taken until a sync is through.
const FULL: usize = 32 << 20;

/// The renames of this writer that no sync has covered for sure.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    /// Not yet given to the settler: the keys of their pending rows, and what is to be synced for them.
    rows: Vec<i64>,
    directories: HashSet<String>,
    /// Files whose contents are in the rows; none if they became too many to be synced one by one.
    files: Option<Vec<Arc<File>>>,
    bytes: usize,
    since: Option<Instant>,
    /// Given to the settler, which is not through: bytes of contents.
    under_way: Option<usize>,
}

/// What has to be synced for some pending rows.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) rows: Vec<i64>,
    pub(super) directories: HashSet<String>,
    /// None: the whole file system.
    pub(super) files: Option<Vec<Arc<File>>>,
}

impl Unsettled {
    /// Notes that an operation's renames are done. `whole` tells whether the file system can be synced at once.
    pub(super) fn add(&mut self, row: i64, plan: &Plan, whole: bool) {
        if self.rows.is_empty() {
            self.files = Some(Vec::new());
            self.since = Some(Instant::now());
        }
        if self.rows.last() != Some(&row) {
            self.rows.push(row);
        }
        for path in plan.steps.iter().flat_map(|step| [&step.from, &step.to]) {
            let dir = tree::split(path).0;
            if !self.directories.contains(dir) {
                self.directories.insert(dir.to_owned());
            }
        }
        if let Some(content) = &plan.content {
            self.bytes += content.bytes.len();
            self.files = self.files.take().filter(|files| !whole || files.len() < FEW);
            if let Some(files) = &mut self.files {
                files.push(content.file.clone());
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How long until something should be given to the settler; none while nothing waits or the settler is busy.
    pub(super) fn due_in(&self) -> Option<Duration> {
        let since = self.since.filter(|_| self.under_way.is_none())?;
        Some(SETTLE_AFTER.saturating_sub(since.elapsed()))
    }

    /// Whether so much waits that nothing may be added.
    pub(super) fn is_full(&self) -> bool {
        self.under_way.is_some_and(|bytes| bytes + self.bytes > FULL)
    }

    /// Takes what is to be synced now.
    pub(super) fn take_due(&mut self) -> Option<Due> {
        if self.due_in() != Some(Duration::ZERO) {
            return None;
        }
        self.since = None;
        self.under_way = Some(std::mem::take(&mut self.bytes));
        Some(Due {
            rows: std::mem::take(&mut self.rows),
            directories: std::mem::take(&mut self.directories),
            files: self.files.take(),
        })
    }

    /// What was taken could not be given to the settler: all of it is tried again, so that nothing later is settled before it.
    pub(super) fn put_back(&mut self, due: Due) {
        self.since = Some(Instant::now());
        self.bytes = self.under_way.take().unwrap_or(0);
        (self.rows, self.directories, self.files) = (due.rows, due.directories, due.files);
    }

    /// The settler is through.
    pub(super) fn settled(&mut self) {
        self.under_way = None;
    }
}
