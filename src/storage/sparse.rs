//! Files with holes: copied with them, and their checksums told without reading them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use rustix::fs::SeekFrom as Seeking;
use rustix::io::Errno;

/// Reads are of this many bytes.
const PIECE: usize = 256 << 10;

/// Files of at most so many bytes are copied through a buffer.
const SMALL: u64 = 128 << 10;

/// Whether fewer bytes are on disk than the file has.
fn has_holes(file: &File) -> io::Result<bool> {
    let stat = rustix::fs::fstat(file)?;
    Ok(stat.st_blocks.saturating_mul(512) < stat.st_size)
}

/// The first bytes from `at` on that are no hole; none if there are none before `size`. Moves the file's offset.
fn next_data(file: &File, at: u64, size: u64) -> io::Result<Option<Range<u64>>> {
    if at >= size {
        return Ok(None);
    }
    let start = match rustix::fs::seek(file, Seeking::Data(at)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        // A file system that knows no holes.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some(at..size)),
        Err(e) => return Err(e.into()),
    };
    let end = rustix::fs::seek(file, Seeking::Hole(start))?;
    Ok(Some(start..end.min(size)).filter(|range| range.start < range.end))
}

/// Copies the first `size` bytes inside the kernel, sharing them where the file system can. Holes stay holes.
pub(crate) fn copy(from: &File, to: &File, size: u64) -> io::Result<()> {
    if !has_holes(from)? {
        return copy_range(from, to, 0..size);
    }
    if rustix::fs::fstat(from)?.st_size < size as i64 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut at = 0;
    while let Some(range) = next_data(from, at, size)? {
        at = range.end;
        copy_range(from, to, range)?;
    }
    Ok(rustix::fs::ftruncate(to, size)?)
}

/// As [`copy`], a small file through a buffer: that is cheaper than the way inside the kernel.
pub(crate) fn copy_through(from: &File, to: &File, size: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
    if size > SMALL || has_holes(from)? {
        return copy(from, to, size);
    }
    if buffer.len() < size as usize {
        buffer.resize(size as usize, 0);
    }
    let buffer = &mut buffer[..size as usize];
    from.read_exact_at(buffer, 0)?;
    to.write_all_at(buffer, 0)
}

fn copy_range(from: &File, to: &File, range: Range<u64>) -> io::Result<()> {
    let (mut read, mut written) = (range.start, range.start);
    while written < range.end {
        let rest = (range.end - written) as usize;
        let n = match rustix::fs::copy_file_range(from, Some(&mut read), to, Some(&mut written), rest) {
            Err(Errno::XDEV | Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => {
                return copy_by_hand(from, to, written..range.end);
            }
            other => other?,
        };
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

fn copy_by_hand(from: &File, to: &File, range: Range<u64>) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    let mut at = range.start;
    while at < range.end {
        let wanted = PIECE.min((range.end - at) as usize);
        let n = from.read_at(&mut buffer[..wanted], at)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to.write_all_at(&buffer[..n], at)?;
        at += n as u64;
    }
    Ok(())
}

/// The CRC-32 of everything a file holds.
pub(crate) fn crc_of(mut file: File) -> io::Result<u32> {
    file.rewind()?;
    let mut hasher = crc32fast::Hasher::new();
    if !has_holes(&file)? {
        read_into(&mut hasher, &mut file)?;
        return Ok(hasher.finalize());
    }
    let size = file.metadata()?.len();
    let mut at = 0;
    while let Some(range) = next_data(&file, at, size)? {
        hasher.combine(&zeros(range.start - at));
        file.seek(SeekFrom::Start(range.start))?;
        let length = range.end - range.start;
        if read_into(&mut hasher, &mut (&file).take(length))? != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        at = range.end;
    }
    hasher.combine(&zeros(size - at));
    Ok(hasher.finalize())
}

/// Reads to the end; how many bytes there were.
fn read_into(hasher: &mut crc32fast::Hasher, from: &mut impl Read) -> io::Result<u64> {
    let mut buffer = vec![0; PIECE];
    let mut total = 0;
    loop {
        let n = from.read(&mut buffer)?;
        if n == 0 {
            return Ok(total);
        }
        hasher.update(&buffer[..n]);
        total += n as u64;
    }
}

/// What so many zeros come to, in as many steps as their number has digits.
fn zeros(count: u64) -> crc32fast::Hasher {
    const BLOCK: u64 = 4096;
    let mut total = crc32fast::Hasher::new();
    total.update(&vec![0; (count % BLOCK) as usize]);
    let mut block = crc32fast::Hasher::new();
    block.update(&[0; BLOCK as usize]);
    let mut blocks = count / BLOCK;
    while blocks > 0 {
        if blocks % 2 == 1 {
            total.combine(&block);
        }
        let half = block.clone();
        block.combine(&half);
        blocks /= 2;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with data at these places, and holes between and behind them.
    fn file(size: u64, data: &[(u64, &[u8])]) -> File {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(size).expect("its length");
        for (at, bytes) in data {
            file.write_all_at(bytes, *at).expect("written");
        }
        file
    }

    #[test]
    fn a_checksum_is_the_same_with_and_without_holes() {
        for (size, data) in [
            (0, vec![]),
            (1, vec![]),
            (5_000_000, vec![]),
            (5_000_000, vec![(0, &b"begin"[..])]),
            (5_000_000, vec![(4_999_997, &b"end"[..])]),
            (5_000_001, vec![(1_000_000, &b"middle"[..]), (3_000_000, &[7; 10_000][..])]),
        ] {
            let holed = file(size, &data);
            let mut whole = vec![0; size as usize];
            for (at, bytes) in data {
                whole[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
            }
            assert_eq!(crc_of(holed).expect("read"), crc32fast::hash(&whole), "{size}");
        }
    }

    #[test]
    fn a_copy_keeps_bytes_and_holes() {
        let from = file(50_000_000_000, &[(0, b"begin"), (20_000_000_000, &[7; 10_000]), (49_999_999_997, b"end")]);
        let to = tempfile::tempfile().expect("a file");
        copy(&from, &to, 50_000_000_000).expect("copied");
        let stat = rustix::fs::fstat(&to).expect("its status");
        assert_eq!(stat.st_size, 50_000_000_000);
        assert!(stat.st_blocks * 512 < 10_000_000, "{} blocks", stat.st_blocks);
        assert_eq!(crc_of(to).expect("read"), crc_of(from).expect("read"));
    }

    #[test]
    fn a_small_file_is_copied_through_a_buffer_unless_it_has_holes() {
        let mut buffer = Vec::new();
        for (size, data) in [
            (0, vec![]),
            (5, vec![(0, &b"12345"[..])]),
            (100_000, vec![(0, &[7; 100_000][..])]),
            (100_000, vec![(50_000, &b"between holes"[..])]),
            (3, vec![(0, &b"abc"[..])]),
            (200_000, vec![(0, &[9; 200_000][..])]),
        ] {
            let from = file(size, &data);
            let to = tempfile::tempfile().expect("a file");
            copy_through(&from, &to, size, &mut buffer).expect("copied");
            let blocks = |file: &File| rustix::fs::fstat(file).expect("its status").st_blocks;
            assert!(blocks(&to) <= blocks(&from), "{size}");
            assert_eq!(to.metadata().expect("its status").len(), size);
            assert_eq!(crc_of(to).expect("read"), crc_of(from).expect("read"), "{size}");
        }
        let short = file(10, &[(0, b"0123456789")]);
        assert!(copy_through(&short, &tempfile::tempfile().expect("a file"), 11, &mut buffer).is_err());
    }

    #[test]
    fn a_copy_of_a_part_ends_where_it_is_to_end() {
        let from = file(1_000_000, &[(0, b"begin"), (500_000, b"middle")]);
        let to = tempfile::tempfile().expect("a file");
        copy(&from, &to, 500_003).expect("copied");
        assert_eq!(to.metadata().expect("its status").len(), 500_003);
        assert!(copy(&from, &to, 1_000_001).is_err());
    }
}
