//! The records of an archive of ours, as bytes: local headers, central directory records, end records.
//!
//! Nothing follows the content of a member, and the same member gives the same bytes everywhere: times are UTC,
//! the UTF-8 flag is set exactly where a name is not ASCII, and ZIP64 fields appear exactly where a number needs them.
//! The length of each record is known without its bytes, and without a checksum.

use time::OffsetDateTime;
use time::macros::utc_datetime;

use super::fields::{
    CENTRAL_LEN, CENTRAL_SIGNATURE, END_LEN, END_SIGNATURE, END64_LEN, END64_SIGNATURE, FULL_16, FULL_32, LOCAL_LEN,
    LOCAL_SIGNATURE, LOCATOR_LEN, LOCATOR_SIGNATURE, STORED, TIME_EXTRA, UTF8_FLAG, ZIP64_EXTRA,
};
use super::layout::{Member, MemberKind};

/// Unix, and the format version that knows ZIP64.
const MADE_BY: u16 = 0x0300 + 45;
const NEEDED: u16 = 20;
const NEEDED_64: u16 = 45;
const TIME_EXTRA_LEN: u64 = 9;
const LOCAL_ZIP64_LEN: u64 = 20;

const DOS_MIN: i64 = utc_datetime!(1980-01-01 00:00:00).unix_timestamp();
const DOS_MAX: i64 = utc_datetime!(2107-12-31 23:59:58).unix_timestamp();

fn is_large(member: &Member) -> bool {
    member.content_len() >= FULL_32
}

fn time_extra_len(member: &Member) -> u64 {
    time_len(member.mtime)
}

fn time_len(mtime: i64) -> u64 {
    if i32::try_from(mtime).is_ok() { TIME_EXTRA_LEN } else { 0 }
}

/// Length of the local header, which the content follows.
pub(super) fn local_len(member: &Member) -> u64 {
    let zip64 = if is_large(member) { LOCAL_ZIP64_LEN } else { 0 };
    LOCAL_LEN as u64 + member.name.len() as u64 + zip64 + time_extra_len(member)
}

fn central_zip64_len(member: &Member, offset: u64) -> u64 {
    match (is_large(member), offset >= FULL_32) {
        (false, false) => 0,
        (large, far) => 4 + if large { 16 } else { 0 } + if far { 8 } else { 0 },
    }
}

/// Length of the record in the central directory, for a member whose local header is at `offset`.
pub(super) fn central_len(member: &Member, offset: u64) -> u64 {
    CENTRAL_LEN as u64 + member.name.len() as u64 + central_zip64_len(member, offset) + time_extra_len(member)
}

/// A member as its headers describe it, whatever its form in the archive.
pub(super) struct Header<'m> {
    pub(super) name: &'m str,
    pub(super) mtime: i64,
    pub(super) kind: MemberKind,
    pub(super) method: u16,
    pub(super) crc: u32,
    pub(super) size: u64,
    pub(super) compressed: u64,
    /// The local header has room for sizes of 64 bits.
    pub(super) wide: bool,
    /// The time is also told in UTC, and to the second, in a field of its own.
    pub(super) exact_time: bool,
}

impl<'m> Header<'m> {
    fn stored(member: &'m Member, crc: u32) -> Self {
        let size = member.content_len();
        let Member { name, mtime, kind, .. } = member;
        let (method, wide) = (STORED, is_large(member));
        Self { name, mtime: *mtime, kind: *kind, method, crc, size, compressed: size, wide, exact_time: true }
    }

    fn time_len(&self) -> u64 {
        if self.exact_time { time_len(self.mtime) } else { 0 }
    }
}

/// Appends the local header.
pub(super) fn put_local(out: &mut Vec<u8>, member: &Member, crc: u32) {
    put_local_of(out, &Header::stored(member, crc));
}

/// Appends the local header of a member in any form.
pub(super) fn put_local_of(out: &mut Vec<u8>, h: &Header<'_>) {
    let sizes = if h.wide { (FULL_32, FULL_32) } else { (h.size, h.compressed) };
    let zip64 = if h.wide { LOCAL_ZIP64_LEN } else { 0 };
    put32(out, LOCAL_SIGNATURE);
    put_common(out, h, h.wide, sizes);
    put16(out, (zip64 + h.time_len()) as u16);
    out.extend_from_slice(h.name.as_bytes());
    if h.wide {
        put16(out, ZIP64_EXTRA);
        put16(out, 16);
        put64(out, h.size);
        put64(out, h.compressed);
    }
    put_time_extra(out, h);
}

/// Appends the central directory record of a member whose local header is at `offset`.
pub(super) fn put_central(out: &mut Vec<u8>, member: &Member, crc: u32, offset: u64) {
    put_central_of(out, &Header::stored(member, crc), offset);
}

/// Appends the central directory record of a member in any form.
pub(super) fn put_central_of(out: &mut Vec<u8>, h: &Header<'_>, offset: u64) {
    let long: Vec<u64> = [h.size, h.compressed, offset].into_iter().filter(|n| *n >= FULL_32).collect();
    let zip64 = if long.is_empty() { 0 } else { 4 + 8 * long.len() as u64 };
    put32(out, CENTRAL_SIGNATURE);
    put16(out, MADE_BY);
    put_common(out, h, zip64 > 0 || h.wide, (h.size.min(FULL_32), h.compressed.min(FULL_32)));
    put16(out, (zip64 + h.time_len()) as u16);
    out.extend_from_slice(&[0; 6]); // no comment, first disk, binary content
    put32(out, attributes(h.kind));
    put32(out, offset.min(FULL_32) as u32);
    out.extend_from_slice(h.name.as_bytes());
    if zip64 > 0 {
        put16(out, ZIP64_EXTRA);
        put16(out, zip64 as u16 - 4);
        for n in long {
            put64(out, n);
        }
    }
    put_time_extra(out, h);
}

/// The fields that both headers have, from the version up to the length of the name.
fn put_common(out: &mut Vec<u8>, h: &Header<'_>, zip64: bool, (size, compressed): (u64, u64)) {
    let (date, time) = dos_time(h.mtime);
    put16(out, if zip64 { NEEDED_64 } else { NEEDED });
    put16(out, if h.name.is_ascii() { 0 } else { UTF8_FLAG });
    put16(out, h.method);
    put16(out, time);
    put16(out, date);
    put32(out, h.crc);
    put32(out, compressed as u32);
    put32(out, size as u32);
    put16(out, h.name.len() as u16);
}

fn put_time_extra(out: &mut Vec<u8>, h: &Header<'_>) {
    if let (true, Ok(mtime)) = (h.exact_time, i32::try_from(h.mtime)) {
        put16(out, TIME_EXTRA);
        put16(out, 5);
        out.push(1);
        put32(out, mtime as u32);
    }
}

/// Unix mode in the upper half, the DOS directory flag in the lower one.
fn attributes(kind: MemberKind) -> u32 {
    match kind {
        MemberKind::File => 0o100_644 << 16,
        MemberKind::Directory => 0o040_755 << 16 | 0x10,
    }
}

/// Date and time as DOS has them, in UTC, two seconds fine, clamped to the years that there are.
fn dos_time(mtime: i64) -> (u16, u16) {
    let at =
        OffsetDateTime::from_unix_timestamp(mtime.clamp(DOS_MIN, DOS_MAX)).expect("invariant: clamped to 1980..=2107");
    let date = (at.year() as u16 - 1980) << 9 | u16::from(u8::from(at.month())) << 5 | u16::from(at.day());
    let time = u16::from(at.hour()) << 11 | u16::from(at.minute()) << 5 | u16::from(at.second() / 2);
    (date, time)
}

fn needs_end64(count: u64, offset: u64, size: u64) -> bool {
    count >= FULL_16 || offset >= FULL_32 || size >= FULL_32
}

/// Length of what follows a central directory of `count` records and `size` bytes at `offset`.
pub(super) fn end_len(count: u64, offset: u64, size: u64) -> u64 {
    let zip64 = if needs_end64(count, offset, size) { END64_LEN + LOCATOR_LEN } else { 0 };
    (zip64 + END_LEN) as u64
}

/// Appends what follows the central directory.
pub(super) fn put_end(out: &mut Vec<u8>, count: u64, offset: u64, size: u64) {
    if needs_end64(count, offset, size) {
        put32(out, END64_SIGNATURE);
        put64(out, END64_LEN as u64 - 12);
        put16(out, MADE_BY);
        put16(out, NEEDED_64);
        put64(out, 0); // this disk, and the disk of the directory
        put64(out, count);
        put64(out, count);
        put64(out, size);
        put64(out, offset);
        put32(out, LOCATOR_SIGNATURE);
        put32(out, 0);
        put64(out, offset + size);
        put32(out, 1);
    }
    put32(out, END_SIGNATURE);
    put32(out, 0);
    put16(out, count.min(FULL_16) as u16);
    put16(out, count.min(FULL_16) as u16);
    put32(out, size.min(FULL_32) as u32);
    put32(out, offset.min(FULL_32) as u32);
    put16(out, 0);
}

fn put16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(size: u64, mtime: i64) -> Member {
        Member { name: "é/x".into(), size, mtime, kind: MemberKind::File }
    }

    #[test]
    fn lengths_are_those_of_the_bytes() {
        for size in [0, 1, FULL_32 - 1, FULL_32, FULL_32 + 1] {
            for mtime in [i64::MIN, -1, 0, i64::from(i32::MAX), i64::from(i32::MAX) + 1, i64::MAX] {
                for offset in [0, FULL_32 - 1, FULL_32, u64::MAX] {
                    let (mut local, mut central) = (Vec::new(), Vec::new());
                    put_local(&mut local, &member(size, mtime), 7);
                    put_central(&mut central, &member(size, mtime), 7, offset);
                    assert_eq!(local.len() as u64, local_len(&member(size, mtime)));
                    assert_eq!(central.len() as u64, central_len(&member(size, mtime), offset));
                }
            }
        }
        for (count, offset, size) in [(0, 0, 0), (65_534, 9, 9), (65_535, 9, 9), (1, FULL_32, 9), (1, 9, FULL_32)] {
            let mut end = Vec::new();
            put_end(&mut end, count, offset, size);
            assert_eq!(end.len() as u64, end_len(count, offset, size));
        }
    }

    #[test]
    fn dos_times_are_utc_and_clamped() {
        assert_eq!(dos_time(1_714_558_831), ((44 << 9) + (5 << 5) + 1, (10 << 11) + (20 << 5) + 15));
        assert_eq!(dos_time(i64::MIN), (1 << 5 | 1, 0));
        assert_eq!(dos_time(i64::MAX), ((127 << 9) + (12 << 5) + 31, (23 << 11) + (59 << 5) + 29));
    }
}
