//! Content on its way in: a file in `staging/` that nobody sees until an operation takes it.
//!
//! The CRC is computed while the bytes come in. A few bytes stay in memory: the operation that takes them writes the file, and
//! its pending row has them too, so no sync is needed before the commit. More goes to a file at once, and [`Upload::finish`]
//! makes that durable. A staged file that no committed operation took is removed when it is dropped.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::AsFd;
use std::sync::Arc;

use bytes::Bytes;

use super::cell::{Cell, Core};
use super::error::{Error, Result};
use super::sparse;
use super::tree::Identity;

/// Content of at most so many bytes rides in the pending row.
pub const IN_ROW: usize = 16 * 1024;

/// A file being received.
#[derive(Debug)]
pub struct Upload {
    core: Arc<Core>,
    /// What was received while there is no file.
    gathered: Vec<u8>,
    file: Option<Receiving>,
    hasher: crc32fast::Hasher,
    /// The content does not consist of what was hashed alone.
    patched: bool,
}

/// A file that bytes are written to.
#[derive(Debug)]
struct Receiving {
    file: File,
    staged: Staged,
}

/// Content that an upload begins with.
#[derive(Debug)]
pub struct Original<'f> {
    pub file: &'f File,
    pub size: u64,
    pub crc: Option<u32>,
}

/// Complete content for an operation to take: a durable file in `staging/`, or bytes that become one.
#[derive(Debug)]
pub struct Staged {
    core: Arc<Core>,
    name: String,
    /// A file of this name is there, and goes with this value.
    there: bool,
    pub(crate) identity: Identity,
    pub(crate) crc: u32,
    /// Content that no sync has covered.
    unsynced: Option<Unsynced>,
}

/// Bytes that no sync has covered, and their file once it is written.
#[derive(Debug)]
struct Unsynced {
    bytes: Bytes,
    file: Option<Arc<File>>,
}

/// Content that rides in its operation's pending row until a sync has covered its file. The file is what the operation's last
/// step renames.
#[derive(Debug)]
pub struct Riding {
    /// The version of the resource that this is the content of.
    pub(crate) version: i64,
    pub(crate) crc: u32,
    pub(crate) bytes: Bytes,
    pub(crate) file: Arc<File>,
}

/// Gives up the bytes of a file without a name, so that no sync writes them any more. Who still reads it finds it empty.
pub fn discard(file: &File) {
    if let Err(e) = file.set_len(0) {
        tracing::warn!(error = %e, "a file that is not needed any more keeps its bytes");
    }
}

impl Cell {
    /// Begins to receive a file.
    pub fn upload(&self) -> Upload {
        Upload {
            core: self.core.clone(),
            gathered: Vec::new(),
            file: None,
            hasher: crc32fast::Hasher::new(),
            patched: false,
        }
    }

    /// Content that is there as a whole.
    pub fn stage(&self, bytes: Bytes) -> Result<Staged> {
        if bytes.len() <= IN_ROW {
            let crc = crc32fast::hash(&bytes);
            return Ok(Staged::riding(self.core.clone(), bytes, crc));
        }
        let mut upload = self.upload();
        upload.write(&bytes)?;
        upload.finish()
    }
}

impl Upload {
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        if self.file.is_none() && self.gathered.len() + bytes.len() <= IN_ROW {
            self.gathered.extend_from_slice(bytes);
            return Ok(());
        }
        self.receiving()?.write(bytes)
    }

    /// The file; from now on there is one.
    fn receiving(&mut self) -> Result<&mut Receiving> {
        let receiving = if let Some(receiving) = self.file.take() {
            receiving
        } else {
            let mut receiving = Receiving::begin(&self.core)?;
            receiving.write(&std::mem::take(&mut self.gathered))?;
            receiving
        };
        Ok(self.file.insert(receiving))
    }

    /// Begins with a copy of other content; what is written goes over it from `at` on.
    pub fn begin_with(&mut self, original: &Original<'_>, at: u64) -> Result<()> {
        let Receiving { file, staged } = self.receiving()?;
        sparse::copy(original.file, file, original.size).map_err(Error::io("copy into", staged.name.clone()))?;
        file.seek(SeekFrom::Start(at)).map_err(Error::io("seek in", staged.name.clone()))?;
        match original.crc.filter(|_| at == original.size) {
            Some(crc) => self.hasher = crc32fast::Hasher::new_with_initial_len(crc, original.size),
            None => self.patched = true,
        }
        Ok(())
    }

    /// Bytes received so far.
    pub fn size(&self) -> u64 {
        self.file.as_ref().map_or(self.gathered.len() as u64, |receiving| receiving.staged.size())
    }

    /// A second handle of the file, for reading what was received.
    pub fn reader(&mut self) -> Result<File> {
        let Receiving { file, staged } = self.receiving()?;
        file.try_clone().map_err(Error::io("open", staged.name.clone()))
    }

    /// Ends the upload with a file that has no name any more and is gone once it is closed.
    pub fn into_nameless(mut self) -> Result<File> {
        // The name goes with the staged half.
        self.receiving()?;
        let receiving = self.file.take().ok_or_else(|| Error::Inconsistent("an upload without a file".to_owned()))?;
        Ok(receiving.file)
    }

    /// Ends the upload; its content is durable once an operation that takes it is.
    pub fn finish(self) -> Result<Staged> {
        let Self { core, gathered, file, hasher, patched } = self;
        let Some(Receiving { file, mut staged }) = file else {
            return Ok(Staged::riding(core, gathered.into(), hasher.finalize()));
        };
        core.disk.sync_data(&file).map_err(Error::io("sync", staged.name.clone()))?;
        let stat = rustix::fs::fstat(&file).map_err(Error::errno("look at", staged.name.clone()))?;
        staged.identity = Identity::of(&stat);
        staged.crc = if patched {
            sparse::crc_of(file).map_err(Error::io("read", staged.name.clone()))?
        } else {
            hasher.finalize()
        };
        Ok(staged)
    }
}

impl Receiving {
    fn begin(core: &Arc<Core>) -> Result<Self> {
        let name = core.staging_name();
        let file = core.disk.create(core.staging.as_fd(), &name).map_err(Error::io("stage", name.clone()))?;
        let identity = Identity { ino: 0, size: 0, mtime_ns: 0 };
        let staged = Staged { core: core.clone(), name, there: true, identity, crc: 0, unsynced: None };
        Ok(Self { file, staged })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Self { file, staged } = self;
        staged.core.disk.write_all(file, bytes).map_err(Error::io("write", staged.name.clone()))?;
        staged.identity.size += bytes.len() as i64;
        Ok(())
    }
}

impl Staged {
    fn riding(core: Arc<Core>, bytes: Bytes, crc: u32) -> Self {
        let identity = Identity { ino: 0, size: bytes.len() as i64, mtime_ns: 0 };
        let name = core.staging_name();
        Self { core, name, there: false, identity, crc, unsynced: Some(Unsynced { bytes, file: None }) }
    }

    /// Makes sure that there is a file; for operations that have decided to take the content.
    pub(crate) fn write_out(&mut self) -> Result<()> {
        let Some(unsynced) = &mut self.unsynced else { return Ok(()) };
        let disk = &self.core.disk;
        let mut file =
            disk.create(self.core.staging.as_fd(), &self.name).map_err(Error::io("stage", self.name.clone()))?;
        self.there = true;
        disk.write_all(&mut file, &unsynced.bytes).map_err(Error::io("write", self.name.clone()))?;
        let stat = rustix::fs::fstat(&file).map_err(Error::errno("look at", self.name.clone()))?;
        self.identity = Identity::of(&stat);
        unsynced.file = Some(Arc::new(file));
        Ok(())
    }

    /// What must ride in the pending row, being the content of this version of a resource.
    pub(crate) fn riding_as(&self, version: i64) -> Option<Riding> {
        let Unsynced { bytes, file } = self.unsynced.as_ref().filter(|_| !self.core.volatile)?;
        Some(Riding { version, crc: self.crc, bytes: bytes.clone(), file: file.clone()? })
    }

    /// The path from the cell's directory.
    pub(crate) fn path(&self) -> String {
        format!("staging/{}", self.name)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Says that a commit may have made the file part of the cell.
    pub(crate) fn take(&mut self) {
        self.there = false;
    }

    pub fn size(&self) -> u64 {
        self.identity.size as u64
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if self.there
            && let Err(e) = self.core.disk.remove_file(self.core.staging.as_fd(), &self.name)
        {
            tracing::warn!(error = %e, name = self.name, "a staged file cannot be removed");
        }
    }
}
