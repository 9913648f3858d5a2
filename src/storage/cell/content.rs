//! Opening the content of files: exactly the one that a row describes, wherever it is by now.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use super::{Cell, Content, Leave, Version, looked_up};
use crate::base::id::ResourceId;
use crate::base::path::ResourcePath;
use crate::storage::database::cell_box::disk_path;
use crate::storage::database::{View, schema};
use crate::storage::error::{Error, Result};
use crate::storage::tree;
use crate::storage::writer::{Change, Context};

impl Cell {
    /// Opens a file's content. ETag, length, type and bytes of what it returns belong together. `Missing` if the path leads
    /// nowhere, `IsCollection` if it leads to a collection.
    pub fn open_content(&self, box_name: &str, path: &ResourcePath) -> Result<Content> {
        self.open_content_if(box_name, path, &|_, _| Ok(()))
    }

    /// As [`Cell::open_content`], for somebody who may; that is asked first, of the same rows.
    pub fn open_content_if(&self, box_name: &str, path: &ResourcePath, may: Leave<'_>) -> Result<Content> {
        for attempt in 0..8 {
            let moment = self.core.changes.now();
            let lookup = match attempt {
                0 => self.lookup_if(box_name, path, may)?,
                1 => self.read(|v| looked_up(v, box_name, path, may))?,
                _ => self.looked_closely(box_name, path, may)?,
            };
            let Some(resource) = lookup.found().cloned() else {
                if attempt == 1 {
                    continue;
                }
                return Err(Error::Missing);
            };
            if !resource.is_file() {
                return Err(Error::IsCollection);
            }
            if let Some(file) = self.open_exactly(&Version::of(&resource), &lookup.disk_path())? {
                return Ok(Content { lookup, resource, file, moment });
            }
        }
        Err(Error::Inconsistent(format!("{path} changes faster than it can be read")))
    }

    /// The content that the row describes: at its place, or where it is on the way to it or was moved from it.
    fn open_exactly(&self, wanted: &Version, path: &str) -> Result<Option<File>> {
        let expected = wanted.identity;
        let try_at = |path: &str| -> Option<File> {
            let (file, stat) = tree::open_file(self.core.dir.as_fd(), path).ok()?;
            (tree::Identity::of(&stat) == expected).then_some(file)
        };
        if let Some(file) = try_at(path) {
            return Ok(Some(file));
        }
        let (steps, gone) = self.read(|v| Ok((v.steps_under_way(wanted.id)?, v.gone(wanted.id, wanted.version)?)))?;
        Ok(steps
            .iter()
            .flat_map(|s| [s.from.as_str(), s.to.as_str()])
            .find_map(try_at)
            .or_else(|| gone.and_then(|g| try_at(&format!("staging/{}", g.name)))))
    }

    /// Opens the content of a member of a generation: as [`Cell::open_content`], but of a moment in the past.
    pub fn open_version(&self, wanted: &Version, path: &str) -> Result<Option<File>> {
        for _ in 0..4 {
            if let Some(file) = self.open_exactly(wanted, path)? {
                return Ok(Some(file));
            }
            let elsewhere = self.read(|v| where_now(v, wanted.id))?;
            if let Some(place) = elsewhere
                && let Some(file) = self.open_exactly(wanted, &place)?
            {
                return Ok(Some(file));
            }
            // The change that moved it may lie between its commit and its rename: the writer's turn ends that.
            self.change(Change(|_: &Context<'_>| Ok(())))?;
        }
        Ok(None)
    }

    /// A directory of the cell, to open several files in it with [`Self::open_in`].
    pub fn folder(&self, path: &str) -> Result<OwnedFd> {
        tree::open_dir(self.core.dir.as_fd(), path).map_err(Error::errno("open the directory", path))
    }

    /// Whether an open file still has the content that it was opened for.
    pub fn is_still(file: &File, wanted: &Version) -> bool {
        rustix::fs::fstat(file).is_ok_and(|stat| tree::Identity::of(&stat) == wanted.identity)
    }

    /// A file of a directory, if it has this content.
    pub fn open_in(folder: &OwnedFd, name: &str, wanted: &Version) -> Option<File> {
        let (file, stat) = tree::open_file(folder.as_fd(), name).ok()?;
        (tree::Identity::of(&stat) == wanted.identity).then_some(file)
    }
}

/// Where a resource is now: moved elsewhere, or in a tree that was removed.
fn where_now(v: &View<'_>, id: ResourceId) -> Result<Option<String>> {
    let Some((top, chain)) = v.chain(id)? else { return Ok(None) };
    match top {
        schema::PARENT_BOXES => Ok(Some(disk_path(&chain))),
        schema::PARENT_TRASH => {
            let root = &chain[0];
            let found = v.all_gone()?.into_iter().find(|g| g.id == root.id && (g.tree || chain.len() == 1));
            Ok(found.map(|g| {
                let mut path = format!("staging/{}", g.name);
                for r in &chain[1..] {
                    path.push('/');
                    path.push_str(&r.name);
                }
                path
            }))
        }
        _ => Ok(None),
    }
}
