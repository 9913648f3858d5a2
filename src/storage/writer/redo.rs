//! One pending operation done again after a crash: its renames, and content that never reached the disk.
//!
//! A step names an inode and its old place. If that inode still stands there the rename is done now, else it was done already.
//! Content that rode in its row may be lost with its file: then a new file is made of the row's bytes and takes the lost one's
//! part in all that follows. Contracts: `docs/on-disk.md`.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use rustix::io::Errno;

use crate::base::id::ResourceId;
use crate::storage::cell::Core;
use crate::storage::database::cell_box::disk_path;
use crate::storage::database::pending::{How, Pending, PendingBatch, RowContent, Step};
use crate::storage::database::schema::PARENT_BOXES;
use crate::storage::database::{Resource, View};
use crate::storage::error::{Error, Result};
use crate::storage::tree::{self, Identity};

/// A resource's content that is certain now, and what its file is known by.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) id: ResourceId,
    pub(super) version: i64,
    pub(super) identity: Identity,
    pub(super) file: File,
}

/// The state of one replay.
pub(super) struct Redo<'a> {
    core: &'a Core,
    view: View<'a>,
    /// Inodes that some step still names.
    wanted: HashMap<i64, usize>,
    /// Inodes found at the places that pending rows name.
    present: HashSet<i64>,
    /// Inodes of lost files and of those that were made instead.
    remade: HashMap<i64, i64>,
}

impl<'a> Redo<'a> {
    /// `all` are the pending rows of all owners, whose paths tell where things may be by now.
    pub(super) fn new(core: &'a Core, view: View<'a>, all: &[PendingBatch]) -> Result<Self> {
        let mut redo = Self { core, view, wanted: HashMap::new(), present: HashSet::new(), remade: HashMap::new() };
        for step in all.iter().flat_map(|batch| &batch.operations).flat_map(|p| &p.steps) {
            *redo.wanted.entry(step.ino).or_default() += 1;
            for path in [&step.from, &step.to] {
                redo.present.extend(inode_at(core, path)?);
            }
        }
        Ok(redo)
    }

    /// Does what is left to do of an operation; false when the place it leads to no longer exists.
    pub(super) fn operation(&mut self, p: &Pending, contents: &[u8]) -> Result<bool> {
        let last = p.steps.len().saturating_sub(1);
        for (i, step) in p.steps.iter().enumerate() {
            self.wanted.entry(step.ino).and_modify(|n| *n -= 1);
            let mut step = Step { ino: *self.remade.get(&step.ino).unwrap_or(&step.ino), ..step.clone() };
            if let Some(content) = p.content.as_ref().filter(|_| i == last)
                && self.is_lost(p, content, &step)?
            {
                let (from, ino) = self.make_anew(bytes_of(content, contents)?)?;
                self.remade.insert(step.ino, ino);
                step = Step { from, ino, ..step };
            }
            if !redo(self.core, &step)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the file of a step is nowhere, and something needs it.
    fn is_lost(&self, p: &Pending, content: &RowContent, step: &Step) -> Result<bool> {
        if self.present.contains(&step.ino) {
            return Ok(false);
        }
        let place = self.place_of(p.id, content.version)?;
        if let Some((_, place)) = &place
            && inode_at(self.core, place)? == Some(step.ino)
        {
            return Ok(false);
        }
        Ok(place.is_some() || self.wanted.get(&step.ino).is_some_and(|n| *n > 0))
    }

    /// The row and the place of a resource, if it still has this version and is where somebody can see it.
    fn place_of(&self, id: ResourceId, version: i64) -> Result<Option<(Resource, String)>> {
        let Some((PARENT_BOXES, mut chain)) = self.view.chain(id)? else { return Ok(None) };
        let path = disk_path(&chain);
        Ok(chain.pop().filter(|row| row.version == version).map(|row| (row, path)))
    }

    /// Makes a file in `staging/`; returns its path and inode.
    fn make_anew(&self, bytes: &[u8]) -> Result<(String, i64)> {
        let (disk, name) = (&self.core.disk, self.core.staging_name());
        let made = (|| {
            let mut file = disk.create(self.core.staging.as_fd(), &name)?;
            disk.write_all(&mut file, bytes)?;
            disk.sync_data(&file)?;
            Ok(rustix::fs::fstat(&file)?.st_ino as i64)
        })();
        let ino = made.map_err(Error::io("make again", name.clone()))?;
        Ok((format!("staging/{name}"), ino))
    }

    /// Makes sure that content which a row still describes lies at its place, after all renames; with `anew` in a file that is
    /// written now.
    pub(super) fn settle(&self, p: &Pending, contents: &[u8], anew: bool) -> Result<Option<Settled>> {
        let Some(content) = &p.content else { return Ok(None) };
        let Some((row, path)) = self.place_of(p.id, content.version)? else { return Ok(None) };
        let bytes = bytes_of(content, contents)?;
        let settled = |file: File, identity| Settled { id: row.id, version: row.version, identity, file };
        match tree::open_file(self.core.dir.as_fd(), &path) {
            Ok((file, stat)) if !anew && holds(&file, &stat, bytes) => {
                return Ok(Some(settled(file, Identity::of(&stat))));
            }
            Ok(_) | Err(Errno::NOENT) => {}
            Err(e) => return Err(Error::errno("open", path)(e)),
        }
        let (from, ino) = self.make_anew(bytes)?;
        let step = Step { how: How::Exchange, from: from.clone(), to: path.clone(), ino };
        if !redo(self.core, &step)? {
            return Ok(None);
        }
        self.clear(&from, bytes)?;
        let (file, stat) = tree::open_file(self.core.dir.as_fd(), &path).map_err(Error::errno("open", path))?;
        Ok(Some(settled(file, Identity::of(&stat))))
    }

    /// Removes what stood where acknowledged content belongs, if it is but a part of that; else it is put aside.
    fn clear(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let (dir, name) = tree::split(path);
        let dir = tree::open_dir(self.core.dir.as_fd(), dir).map_err(Error::errno("open the directory", dir))?;
        match tree::open_file(dir.as_fd(), name) {
            Ok((file, stat)) if is_part(&file, stat.st_size, bytes) => {
                self.core.disk.remove_file(dir.as_fd(), name).map_err(Error::io("remove", name))
            }
            Err(Errno::NOENT) if tree::stat_name(dir.as_fd(), name).is_ok_and(|s| s.is_none()) => Ok(()),
            _ => self.core.put_aside(&dir, name),
        }
    }
}

/// The file of an operation's content, where the content is still needed.
pub(super) fn find_content(core: &Core, view: &View<'_>, p: &Pending) -> Result<Option<File>> {
    let (Some(content), Some(step)) = (&p.content, p.steps.last()) else { return Ok(None) };
    let Some((_, chain)) = view.chain(p.id)? else { return Ok(None) };
    if chain.last().is_none_or(|row| row.version != content.version) {
        return Ok(None);
    }
    let is_it = |(file, stat): (File, rustix::fs::Stat)| (stat.st_ino as i64 == step.ino).then_some(file);
    let at = |path: &str| tree::open_file(core.dir.as_fd(), path).ok().and_then(is_it);
    Ok(at(&step.to).or_else(|| at(&disk_path(&chain))))
}

fn bytes_of<'c>(content: &RowContent, contents: &'c [u8]) -> Result<&'c [u8]> {
    let bytes = contents.get(content.at..content.at + content.size);
    let bytes = bytes.filter(|bytes| crc32fast::hash(bytes) == content.crc);
    bytes.ok_or_else(|| Error::Inconsistent("a pending row lacks its contents".to_owned()))
}

fn holds(file: &File, stat: &rustix::fs::Stat, bytes: &[u8]) -> bool {
    let mut there = vec![0; bytes.len()];
    stat.st_size == bytes.len() as i64 && file.read_exact_at(&mut there, 0).is_ok() && there == bytes
}

/// Whether a file holds nothing but some of these bytes at their places: what a power cut leaves of a file that was being written.
fn is_part(file: &File, size: i64, bytes: &[u8]) -> bool {
    if size < 0 || size as usize > bytes.len() {
        return false;
    }
    let mut there = vec![0; size as usize];
    file.read_exact_at(&mut there, 0).is_ok() && there.iter().zip(bytes).all(|(a, b)| *a == 0 || a == b)
}

/// The inode at a path from the cell's directory.
fn inode_at(core: &Core, path: &str) -> Result<Option<i64>> {
    let (dir, name) = tree::split(path);
    match tree::open_dir(core.dir.as_fd(), dir) {
        Ok(fd) => {
            let stat = tree::stat_name(fd.as_fd(), name).map_err(Error::errno("look at", path))?;
            Ok(stat.map(|s| s.st_ino as i64))
        }
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(e) => Err(Error::errno("open the directory", dir)(e)),
    }
}

/// Makes one step done; false when its destination's directory no longer exists, the content being in `found/` then.
fn redo(core: &Core, step: &Step) -> Result<bool> {
    let (from_dir, from) = tree::split(&step.from);
    let (to_dir, to) = tree::split(&step.to);
    let from_fd = match tree::open_dir(core.dir.as_fd(), from_dir) {
        Ok(fd) => fd,
        // Where nothing can stand any more, nothing is left to be renamed.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(true),
        Err(e) => return Err(Error::errno("open the directory", from_dir)(e)),
    };
    let here = tree::stat_name(from_fd.as_fd(), from).map_err(Error::errno("look at", step.from.clone()))?;
    if here.is_none_or(|s| s.st_ino as i64 != step.ino) {
        return Ok(true);
    }
    let to_fd = match tree::open_dir(core.dir.as_fd(), to_dir) {
        Ok(fd) => fd,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
            core.put_aside(&from_fd, from)?;
            return Ok(false);
        }
        Err(e) => return Err(Error::errno("open the directory", to_dir)(e)),
    };
    let there = tree::stat_name(to_fd.as_fd(), to).map_err(Error::errno("look at", step.to.clone()))?;
    match (step.how, there) {
        (How::Exchange, Some(_)) => core.disk.exchange((&from_fd, from), (&to_fd, to)),
        (How::Exchange | How::Move, None) => core.disk.rename((&from_fd, from), (&to_fd, to)),
        (How::Move, Some(_)) => {
            core.put_aside(&to_fd, to)?;
            core.disk.rename((&from_fd, from), (&to_fd, to))
        }
    }
    .map_err(Error::io("rename", step.to.clone()))?;
    Ok(true)
}
