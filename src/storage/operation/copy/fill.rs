//! The content and the rows of a copied tree, made by a few threads: each takes some files of one folder, copies them from and into
//! directories that stay open meanwhile, and hands their rows to the writer while it goes on with others.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::oneshot;

use super::originals::{Original, Originals};
use super::{Attachments, lists_of};
use crate::base::id::ResourceId;
use crate::storage::build::{self, BuildTree, NewRow};
use crate::storage::cell::{Cell, received};
use crate::storage::database::acl::Acl;
use crate::storage::database::resource::Resource;
use crate::storage::database::schema::PARENT_HIDDEN;
use crate::storage::error::{Error, Result};
use crate::storage::sparse;

/// Files that a thread takes at once, at most.
const GROUP: usize = 128;
/// Threads that copy.
const THREADS: usize = 2;

/// One tree on its way into another.
pub(super) struct Fill<'f> {
    source: &'f Cell,
    target: &'f Cell,
    tree: &'f BuildTree,
    originals: &'f Originals,
    /// The number of the first folder; the others follow, and then the files.
    first: ResourceId,
    /// A folder, and some of its files.
    groups: Vec<(usize, std::ops::Range<usize>)>,
    next: AtomicUsize,
    /// A thread has failed, so the others need not go on.
    over: AtomicBool,
}

impl<'f> Fill<'f> {
    /// Makes everything below the top of the tree; returns the number of the top. Nothing is durable yet.
    pub(super) fn run(
        source: &'f Cell,
        target: &'f Cell,
        tree: &'f BuildTree,
        originals: &'f Originals,
    ) -> Result<ResourceId> {
        let first = build::reserve_ids(target, originals.count())?;
        let mut groups = Vec::new();
        for (i, folder) in originals.folders.iter().enumerate() {
            let files = folder.files.clone();
            groups.extend(files.clone().step_by(GROUP).map(|at| (i, at..files.end.min(at + GROUP))));
        }
        let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let fill = Self { source, target, tree, originals, first, groups, next, over };
        fill.folders()?;
        let others = THREADS.min(fill.groups.len()).saturating_sub(1);
        std::thread::scope(|scope| {
            let others: Vec<_> = (0..others).map(|_| scope.spawn(|| fill.work())).collect();
            let mine = fill.work();
            others.into_iter().fold(mine, |done, other| {
                let panicked = || Err(Error::Inconsistent("a thread that copies has panicked".to_owned()));
                done.and(other.join().unwrap_or_else(|_| panicked()))
            })
        })?;
        Ok(first)
    }

    fn folders(&self) -> Result<()> {
        let mut rows = Rows::new(self.target);
        for (i, folder) in self.originals.folders.iter().enumerate() {
            let path = self.originals.below(folder);
            let (parent, name, ino) = if i == 0 {
                (PARENT_HIDDEN, self.tree.name().to_owned(), self.tree.look_at_folder("")?.0)
            } else {
                (self.first + folder.parent as i64, folder.row.name.clone(), self.tree.make_folder(&path)?)
            };
            let id = self.first + i as i64;
            let row = Resource { parent, name, id, flags: 0, version: 1, ino, dir_mtime_ns: 0, ..folder.row.clone() };
            rows.add(row, Some(&folder.attachments))?;
        }
        rows.end()
    }

    /// Takes group after group until there are none.
    fn work(&self) -> Result<()> {
        let done = self.groups_of_a_thread();
        if done.is_err() {
            self.over.store(true, Ordering::Relaxed);
        }
        done
    }

    fn groups_of_a_thread(&self) -> Result<()> {
        let mut rows = Rows::new(self.target);
        let mut buffer = Vec::new();
        while !self.over.load(Ordering::Relaxed) {
            let Some((folder, files)) = self.groups.get(self.next.fetch_add(1, Ordering::Relaxed)) else { break };
            self.group(*folder, files.clone(), &mut rows, &mut buffer)?;
        }
        rows.end()
    }

    fn group(
        &self,
        folder: usize,
        files: std::ops::Range<usize>,
        rows: &mut Rows<'_>,
        buffer: &mut Vec<u8>,
    ) -> Result<()> {
        let of = &self.originals.folders[folder];
        // A folder that has been moved away since: each of its files is looked for.
        let from = self.source.folder(&of.path).ok();
        let into = self.tree.folder(&self.originals.below(of))?;
        for at in files {
            let file = &self.originals.files[at];
            let content = self.open(from.as_ref(), &of.path, file)?;
            let copy = self.tree.create_in(&into, &file.name)?;
            sparse::copy_through(&content, copy.file(), file.version.identity.size as u64, buffer)
                .map_err(Error::io("copy", &*file.name))?;
            let parent = self.first + folder as i64;
            let id = self.first + (self.originals.folders.len() + at) as i64;
            rows.add(file.copied(parent, id, copy.finish()?), file.attachments.as_deref())?;
        }
        Ok(())
    }

    /// The content of a file in exactly this version, wherever it is by now.
    fn open(&self, folder: Option<&OwnedFd>, path: &str, file: &Original) -> Result<File> {
        if let Some(content) = folder.and_then(|folder| Cell::open_in(folder, &file.name, &file.version)) {
            return Ok(content);
        }
        let path = format!("{path}/{}", file.name);
        let found = self.source.open_version(&file.version, &path)?;
        found.ok_or_else(|| Error::Inconsistent(format!("{path} was removed by hand")))
    }
}

/// Rows on their way to the writer: some are written while others are gathered.
struct Rows<'f> {
    target: &'f Cell,
    gathered: Vec<NewRow>,
    lists: Vec<(ResourceId, Acl)>,
    written: Option<oneshot::Receiver<Result<()>>>,
}

impl<'f> Rows<'f> {
    fn new(target: &'f Cell) -> Self {
        Self { target, gathered: Vec::new(), lists: Vec::new(), written: None }
    }

    fn add(&mut self, row: Resource, attachments: Option<&Attachments>) -> Result<()> {
        let row = match attachments {
            Some(attachments) => attachments.with(row, &mut self.lists),
            None => NewRow { row, properties: Vec::new() },
        };
        self.gathered.push(row);
        if self.gathered.len() < build::CHUNK { Ok(()) } else { self.submit() }
    }

    fn submit(&mut self) -> Result<()> {
        self.wait()?;
        let (rows, lists) = (std::mem::take(&mut self.gathered), std::mem::take(&mut self.lists));
        self.written = Some(build::submit_rows(self.target, rows, lists_of(lists)));
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        self.written.take().map_or(Ok(()), |written| received(written.blocking_recv()))
    }

    fn end(mut self) -> Result<()> {
        if !self.gathered.is_empty() {
            self.submit()?;
        }
        self.wait()
    }
}
