//! The content of one entry: inflated, counted and checked.
//!
//! What comes out is exactly as long as the entry declared and has its checksum, or the read fails: no byte beyond the
//! declared size is ever delivered, and the last bytes are delivered only after the checksum fits.

use std::io::{self, ErrorKind, Read};

use flate2::{Decompress, FlushDecompress, Status};

use super::reader::{Entry, Method};
use super::{ArchiveError, ReadAt};

const INPUT: usize = 64 << 10;

/// The most bytes that one byte of deflate can stand for: 258 for every two bits.
const MAX_RATIO: u64 = 1032;

/// Up to this size, content is inflated in one go.
const WHOLE: u64 = 16 << 20;

/// Streams the content of an entry in bounded memory. After an error every further read fails too.
pub struct EntryReader<'a, R: ?Sized> {
    source: &'a R,
    entry: Entry,
    decoder: Decoder,
    /// What of the compressed bytes has been fetched from the file.
    fetched: u64,
    produced: u64,
    hasher: crc32fast::Hasher,
    state: State,
}

enum Decoder {
    Stored,
    Deflate { inflate: Box<Decompress>, input: Box<[u8]>, used: usize, filled: usize },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Done,
    Failed,
}

impl<'a, R: ReadAt + ?Sized> EntryReader<'a, R> {
    pub(super) fn new(source: &'a R, entry: &Entry) -> Result<Self, ArchiveError> {
        check_claims(entry)?;
        let decoder = if entry.method == Method::Stored {
            Decoder::Stored
        } else {
            let input = vec![0; entry.compressed_size.min(INPUT as u64) as usize].into_boxed_slice();
            Decoder::Deflate { inflate: Box::new(Decompress::new(false)), input, used: 0, filled: 0 }
        };
        let hasher = crc32fast::Hasher::new();
        Ok(Self { source, entry: entry.clone(), decoder, fetched: 0, produced: 0, hasher, state: State::Reading })
    }

    /// Reads some bytes; 0 means that all were delivered, or that `buf` is empty.
    pub fn read_some(&mut self, buf: &mut [u8]) -> Result<usize, ArchiveError> {
        match self.state {
            State::Done => return Ok(0),
            State::Failed => return Err(corrupt(&self.entry)),
            State::Reading if buf.is_empty() && self.entry.size > 0 => return Ok(0),
            State::Reading => self.state = State::Failed,
        }
        let left = self.entry.size - self.produced;
        let room = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let n = self.decode(&mut buf[..room])?;
        if n == 0 && left > 0 {
            return Err(lying(&self.entry));
        }
        self.hasher.update(&buf[..n]);
        self.produced += n as u64;
        self.state = if self.produced == self.entry.size { self.finish()? } else { State::Reading };
        Ok(n)
    }

    /// Everything declared is there: nothing may follow, and the checksum must fit.
    fn finish(&mut self) -> Result<State, ArchiveError> {
        if self.decode(&mut [0])? > 0 {
            return Err(lying(&self.entry));
        }
        if self.hasher.clone().finalize() != self.entry.crc {
            return Err(wrong_crc(&self.entry));
        }
        Ok(State::Done)
    }

    /// Decodes at least one byte where `out` has room and the stream has more.
    fn decode(&mut self, out: &mut [u8]) -> Result<usize, ArchiveError> {
        if out.is_empty() {
            return Ok(0);
        }
        let (source, entry, fetched) = (self.source, &self.entry, &mut self.fetched);
        let Decoder::Deflate { inflate, input, used, filled } = &mut self.decoder else {
            return fetch(source, entry, fetched, out);
        };
        loop {
            if used == filled {
                (*used, *filled) = (0, fetch(source, entry, fetched, input)?);
            }
            let (read, written) = (inflate.total_in(), inflate.total_out());
            let status =
                inflate.decompress(&input[*used..*filled], out, FlushDecompress::None).map_err(|_| corrupt(entry))?;
            let (read, written) = ((inflate.total_in() - read) as usize, (inflate.total_out() - written) as usize);
            *used += read;
            if written > 0 || status == Status::StreamEnd {
                return Ok(written);
            }
            if read == 0 && (used != filled || *fetched == entry.compressed_size) {
                return Err(corrupt(entry));
            }
        }
    }
}

impl<R: ReadAt + ?Sized> Read for EntryReader<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.read_some(buf)?)
    }
}

/// The next compressed bytes of an entry: as many as `buf` holds, fewer only at the end.
fn fetch<R: ReadAt + ?Sized>(
    source: &R,
    entry: &Entry,
    fetched: &mut u64,
    buf: &mut [u8],
) -> Result<usize, ArchiveError> {
    let n = buf.len().min(usize::try_from(entry.compressed_size - *fetched).unwrap_or(usize::MAX));
    source.read_exact_at(entry.data_offset + *fetched, &mut buf[..n]).map_err(|error| failed(entry, error))?;
    *fetched += n as u64;
    Ok(n)
}

/// The whole content of an entry of at most `limit` bytes.
pub(super) fn read_whole<R: ReadAt + ?Sized>(source: &R, entry: &Entry, limit: u64) -> Result<Vec<u8>, ArchiveError> {
    if entry.size > limit {
        return Err(ArchiveError::TooLarge { name: entry.shown_name(), size: entry.size, limit });
    }
    check_claims(entry)?;
    if let Some(content) = inflate_whole(source, entry)? {
        return Ok(content);
    }
    let mut content = Vec::new();
    let mut reader = EntryReader::new(source, entry)?;
    let mut buf = vec![0; entry.size.clamp(1, INPUT as u64) as usize];
    loop {
        match reader.read_some(&mut buf)? {
            0 => return Ok(content),
            n => content.extend_from_slice(&buf[..n]),
        }
    }
}

/// The fast way for deflated content of ordinary size. Nothing where it does not apply or anything is wrong: then the
/// stream is to say what.
fn inflate_whole<R: ReadAt + ?Sized>(source: &R, entry: &Entry) -> Result<Option<Vec<u8>>, ArchiveError> {
    let (size, packed) = (entry.size, entry.compressed_size);
    if entry.method != Method::Deflated || size > WHOLE || packed > size + size / 8 + 4096 {
        return Ok(None);
    }
    let mut input = vec![0; packed as usize];
    fetch(source, entry, &mut 0, &mut input)?;
    let mut content = vec![0; size as usize];
    let inflated = libdeflater::Decompressor::new().deflate_decompress(&input, &mut content);
    let right = inflated.is_ok_and(|n| n as u64 == size) && crc32fast::hash(&content) == entry.crc;
    Ok(right.then_some(content))
}

/// Refuses what can be refused without reading: an unknown method, and sizes that cannot both be true.
fn check_claims(entry: &Entry) -> Result<(), ArchiveError> {
    let possible = match entry.method {
        Method::Stored => entry.size == entry.compressed_size,
        Method::Deflated => entry.size / MAX_RATIO <= entry.compressed_size,
        Method::Other(method) => {
            return Err(ArchiveError::UnsupportedMethod { name: entry.shown_name(), method });
        }
    };
    if possible { Ok(()) } else { Err(lying(entry)) }
}

fn lying(entry: &Entry) -> ArchiveError {
    ArchiveError::LyingSize { name: entry.shown_name(), declared: entry.size }
}

fn wrong_crc(entry: &Entry) -> ArchiveError {
    ArchiveError::WrongCrc { name: entry.shown_name() }
}

fn corrupt(entry: &Entry) -> ArchiveError {
    ArchiveError::Corrupt { name: entry.shown_name() }
}

/// A file that ends before its entry does was cut after it had been opened.
fn failed(entry: &Entry, error: io::Error) -> ArchiveError {
    if error.kind() == ErrorKind::UnexpectedEof { corrupt(entry) } else { ArchiveError::Read(error) }
}
