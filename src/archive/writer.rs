//! The headers of an archive at rest, whose members are compressed before or while they are written.
//!
//! The writer of the file asks for a local header, writes it and the content behind it, and says where that was; at the end
//! it gets the directory. A member of which only the size is known yet gets its header twice: both are equally long.

use super::Method;
use super::fields::{DEFLATED, FULL_32, STORED};
use super::layout::MemberKind;
use super::record::{self, Header};

/// A member of this size, in bytes, could become larger than 32 bits can tell.
const WIDE: u64 = FULL_32 - (256 << 20);

/// A member in the form that it has in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// A directory's ends with a slash.
    pub name: String,
    /// Seconds since 1970; told in UTC, two seconds fine.
    pub mtime: i64,
    pub method: Method,
    pub crc: u32,
    /// Bytes of content.
    pub size: u64,
    /// Bytes in the archive.
    pub compressed: u64,
}

impl Packed {
    fn header(&self) -> Header<'_> {
        Header {
            name: &self.name,
            mtime: self.mtime,
            kind: if self.name.ends_with('/') { MemberKind::Directory } else { MemberKind::File },
            method: match self.method {
                Method::Stored => STORED,
                Method::Deflated => DEFLATED,
                Method::Other(method) => method,
            },
            crc: self.crc,
            size: self.size,
            compressed: self.compressed,
            wide: self.size >= WIDE,
            // Eighteen bytes a member, and who made the archive has better times in it.
            exact_time: false,
        }
    }

    /// Appends the local header, which the content follows.
    pub fn put_local(&self, out: &mut Vec<u8>) {
        record::put_local_of(out, &self.header());
    }
}

/// Counts what the end of an archive tells.
#[derive(Debug, Default)]
pub struct Writer {
    count: u64,
    directory: u64,
}

impl Writer {
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the directory record of the next member, whose local header is at `offset` in the archive.
    pub fn put_central(&mut self, out: &mut Vec<u8>, member: &Packed, offset: u64) {
        let before = out.len();
        record::put_central_of(out, &member.header(), offset);
        self.count += 1;
        self.directory += (out.len() - before) as u64;
    }

    /// Members so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Appends what follows the directory, which begins at `offset`.
    pub fn put_end(&self, out: &mut Vec<u8>, offset: u64) {
        record::put_end(out, self.count, offset, self.directory);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::archive::deflate::Compressor;
    use crate::archive::{Archive, Limits};

    fn archive(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let (mut out, mut central, mut writer) = (Vec::new(), Vec::new(), Writer::new());
        let mut compressor = Compressor::new(6);
        for (name, content) in members {
            let mut data = Vec::new();
            let method = compressor.pack(content, &mut data);
            let member = Packed {
                name: (*name).to_owned(),
                mtime: 1_714_558_830,
                method,
                crc: crc32fast::hash(content),
                size: content.len() as u64,
                compressed: data.len() as u64,
            };
            let offset = out.len() as u64;
            member.put_local(&mut out);
            out.extend_from_slice(&data);
            writer.put_central(&mut central, &member, offset);
        }
        let offset = out.len() as u64;
        out.extend_from_slice(&central);
        writer.put_end(&mut out, offset);
        out
    }

    #[test]
    fn other_readers_read_it() {
        let members =
            [("d/", Vec::new()), ("d/ä", b"short".to_vec()), ("d/long", vec![b'a'; 100_000]), ("empty", Vec::new())];
        let bytes = archive(&members);
        let mut theirs = zip::ZipArchive::new(std::io::Cursor::new(&bytes)).expect("an archive");
        let ours = Archive::open(&bytes[..], Limits::default()).expect("an archive");
        assert_eq!((theirs.len(), ours.entries().len()), (4, 4));
        for (name, content) in &members {
            let mut read = Vec::new();
            theirs.by_name(name).expect("a member").read_to_end(&mut read).expect("read");
            assert_eq!(&read, content, "{name}");
            let entry = ours.find(name).expect("an entry");
            assert_eq!(&ours.read_entry(entry, 1 << 20).expect("read"), content, "{name}");
        }
        assert!(bytes.len() < 1500, "{} bytes", bytes.len());
    }

    #[test]
    fn a_header_is_as_long_before_the_sizes_are_known_as_after() {
        for size in [0, 1, WIDE - 1, WIDE, FULL_32, FULL_32 + 1] {
            let mut member =
                Packed { name: "n".to_owned(), mtime: 0, method: Method::Deflated, crc: 0, size, compressed: 0 };
            let (mut before, mut after) = (Vec::new(), Vec::new());
            member.put_local(&mut before);
            (member.crc, member.compressed) = (7, size + size / 1000);
            member.put_local(&mut after);
            assert_eq!(before.len(), after.len(), "{size}");
        }
    }
}
