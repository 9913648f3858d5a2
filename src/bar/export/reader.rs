//! Reading an archive of a box at any offset: a cursor over its layout, and the members' bytes from where they are now.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::records::{Content, Record, Window};
use super::{Archive, member};
use crate::archive::{Cursor, Layout, Member, Source};
use crate::storage::Cell;
use crate::storage::cell::Version;

/// One reader; several may read the same archive.
pub struct ArchiveReader {
    cursor: Cursor<Arc<Layout>>,
    members: Members,
}

/// The members of the archive and the file that was read last.
struct Members {
    archive: Arc<Archive>,
    window: Window,
    open: Option<(u64, File)>,
    /// The directory of the file that was read last, by its path: the next one is probably beside it.
    folder: Option<(String, OwnedFd)>,
}

impl ArchiveReader {
    pub fn new(archive: Arc<Archive>) -> Self {
        let cursor = Cursor::new(archive.layout.clone(), 0);
        Self { cursor, members: Members { archive, window: Window::default(), open: None, folder: None } }
    }

    /// Fills as much of `buf` as there is from `offset` on. Fails where a member is no longer what it was; never mixes.
    pub fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        if self.cursor.position() != offset {
            self.cursor.seek(offset);
        }
        self.members.archive.touch();
        self.cursor.read(buf, &mut self.members)
    }
}

impl Drop for ArchiveReader {
    fn drop(&mut self) {
        self.members.archive.touch();
    }
}

impl Members {
    fn record(&mut self, index: u64) -> io::Result<&Record> {
        self.window.get(&self.archive.records, index)
    }

    /// The file of a member, in its version.
    fn file(&mut self, index: u64) -> io::Result<&File> {
        if self.open.as_ref().is_none_or(|(at, _)| *at != index) {
            self.open = None;
            let archive = self.archive.clone();
            let record = self.record(index)?;
            let Content::File(version) = record.content else { return Err(io::ErrorKind::InvalidInput.into()) };
            let below = record.name.strip_prefix("90_contents/").unwrap_or_default();
            let path = format!("boxes/{}/{below}", archive.box_name);
            let file = match self.open_beside(&path, &version) {
                Some(file) => Some(file),
                None => archive.cell.open_version(&version, &path).map_err(io::Error::other)?,
            };
            let Some(file) = file else {
                // Nobody can finish this archive; with the row put right, the next one holds what is there now.
                archive.broken.store(true, Ordering::Relaxed);
                archive.cell.notice(version.id).map_err(io::Error::other)?;
                return Err(io::Error::other(format!("{path} was changed by hand")));
            };
            self.open = Some((index, file));
        }
        Ok(&self.open.as_ref().expect("invariant: it was just opened").1)
    }

    /// The file in its directory, if that is its place and it is what it was.
    fn open_beside(&mut self, path: &str, version: &Version) -> Option<File> {
        let (folder, name) = path.rsplit_once('/')?;
        if self.folder.as_ref().is_none_or(|(at, _)| at != folder) {
            self.folder = Some((folder.to_owned(), self.archive.cell.folder(folder).ok()?));
        }
        let (_, fd) = self.folder.as_ref()?;
        Cell::open_in(fd, name, version)
    }

    fn compute_crc(&mut self, index: u64) -> io::Result<u32> {
        let mut hasher = crc32fast::Hasher::new();
        let size = self.record(index)?.size;
        let mut buffer = vec![0; size.clamp(1, 256 << 10) as usize];
        let mut at = 0;
        while at < size {
            let n = buffer.len().min((size - at) as usize);
            self.content(index, at, &mut buffer[..n])?;
            hasher.update(&buffer[..n]);
            at += n as u64;
        }
        Ok(hasher.finalize())
    }
}

impl Source for Members {
    fn member(&mut self, index: u64) -> io::Result<Member> {
        self.record(index).map(member)
    }

    fn crc(&mut self, index: u64) -> io::Result<u32> {
        let record = self.record(index)?;
        if let Some(crc) = record.crc {
            return Ok(crc);
        }
        if record.size == 0 {
            return Ok(0);
        }
        if let Some(crc) = super::locked(&self.archive.crcs).get(&index) {
            return Ok(*crc);
        }
        let crc = self.compute_crc(index)?;
        super::locked(&self.archive.crcs).insert(index, crc);
        if let Content::File(version) = self.record(index)?.content {
            self.archive.cell.keep_crc(&version, crc);
        }
        Ok(crc)
    }

    fn content(&mut self, index: u64, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        match self.record(index)?.content {
            Content::Directory => return Err(io::ErrorKind::InvalidInput.into()),
            Content::Fixed(n) => {
                let bytes = self.archive.fixed.get(n).ok_or(io::ErrorKind::InvalidInput)?;
                let end = offset as usize + buf.len();
                buf.copy_from_slice(bytes.get(offset as usize..end).ok_or(io::ErrorKind::UnexpectedEof)?);
            }
            Content::Rootprops => self.archive.rootprops.read_exact_at(offset, buf)?,
            Content::File(_) => self.file(index)?.read_exact_at(buf, offset)?,
        }
        Ok(buf.len())
    }
}
