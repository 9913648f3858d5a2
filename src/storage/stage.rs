//! Content on its way in: a file in `staging/` that nobody sees until an operation takes it.
//!
//! The CRC is computed while the bytes come in; [`Upload::finish`] makes them durable. A staged file that no committed
//! operation took is removed when it is dropped.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::AsFd;
use std::sync::Arc;

use super::adopt::crc_of;
use super::cell::{Cell, Core};
use super::error::{Error, Result};
use super::operation::copy::copy_bytes;
use super::tree::Identity;

/// A file being received.
#[derive(Debug)]
pub struct Upload {
    file: File,
    staged: Staged,
    hasher: crc32fast::Hasher,
    /// The content does not consist of what was hashed alone.
    patched: bool,
}

/// Content that an upload begins with.
#[derive(Debug)]
pub struct Original<'f> {
    pub file: &'f File,
    pub size: u64,
    pub crc: Option<u32>,
}

/// A complete file in `staging/`, durable.
#[derive(Debug)]
pub struct Staged {
    core: Arc<Core>,
    name: String,
    taken: bool,
    pub(crate) identity: Identity,
    pub(crate) crc: u32,
}

impl Cell {
    /// Begins to receive a file.
    pub fn upload(&self) -> Result<Upload> {
        let name = self.core.staging_name();
        let file = self.core.disk.create(self.core.staging.as_fd(), &name).map_err(Error::io("stage", name.clone()))?;
        let identity = Identity { ino: 0, size: 0, mtime_ns: 0 };
        let staged = Staged { core: self.core.clone(), name, taken: false, identity, crc: 0 };
        Ok(Upload { file, staged, hasher: crc32fast::Hasher::new(), patched: false })
    }
}

impl Upload {
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        let core = &self.staged.core;
        core.disk.write_all(&mut self.file, bytes).map_err(Error::io("write", self.staged.name.clone()))?;
        self.staged.identity.size += bytes.len() as i64;
        Ok(())
    }

    /// Begins with a copy of other content; what is written goes over it from `at` on.
    pub fn begin_with(&mut self, original: &Original<'_>, at: u64) -> Result<()> {
        let name = self.staged.name.clone();
        copy_bytes(original.file, &self.file, original.size).map_err(Error::io("copy into", name.clone()))?;
        self.file.seek(SeekFrom::Start(at)).map_err(Error::io("seek in", name))?;
        match original.crc.filter(|_| at == original.size) {
            Some(crc) => self.hasher = crc32fast::Hasher::new_with_initial_len(crc, original.size),
            None => self.patched = true,
        }
        Ok(())
    }

    /// Bytes received so far.
    pub fn size(&self) -> u64 {
        self.staged.identity.size as u64
    }

    /// A second handle of the file, for reading what was received.
    pub fn reader(&self) -> Result<File> {
        self.file.try_clone().map_err(Error::io("open", self.staged.name.clone()))
    }

    /// Ends the upload with a file that has no name any more and is gone once it is closed.
    pub fn into_nameless(self) -> File {
        // The name goes with the staged half.
        self.file
    }

    /// Makes the content durable and ends the upload.
    pub fn finish(self) -> Result<Staged> {
        let Self { mut file, mut staged, hasher, patched } = self;
        staged.core.disk.sync_data(&file).map_err(Error::io("sync", staged.name.clone()))?;
        let stat = rustix::fs::fstat(&file).map_err(Error::errno("look at", staged.name.clone()))?;
        staged.identity = Identity::of(&stat);
        staged.crc = if patched {
            let read = file.rewind().and_then(|()| crc_of(file));
            read.map_err(Error::io("read", staged.name.clone()))?
        } else {
            hasher.finalize()
        };
        Ok(staged)
    }
}

impl Staged {
    /// The path from the cell's directory.
    pub(crate) fn path(&self) -> String {
        format!("staging/{}", self.name)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Says that a commit may have made the file part of the cell.
    pub(crate) fn take(&mut self) {
        self.taken = true;
    }

    pub fn size(&self) -> u64 {
        self.identity.size as u64
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.taken
            && let Err(e) = self.core.disk.remove_file(self.core.staging.as_fd(), &self.name)
        {
            tracing::warn!(error = %e, name = self.name, "a staged file cannot be removed");
        }
    }
}
