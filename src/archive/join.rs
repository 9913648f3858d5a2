//! Joining deflate streams that were made apart: the pieces of a member, each compressed by another thread, become one stream.
//!
//! Raw deflate (RFC 1951) is a row of blocks whose last one says so in one bit of its header, and ends where that block ends, in
//! the midst of a byte. A piece that others follow must not say so, and must end with a byte. Where its last block begins is
//! told nowhere: the blocks are followed code by code, without inflating them, which takes a small part of the time that
//! compressing took. So whole streams of any compressor will do, and none needs to know what came before.

/// What is followed is no deflate stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no deflate stream")]
pub struct Malformed;

/// Bits of the longest code.
const LONGEST: usize = 15;
/// Codes of literals, the end of a block and lengths; of distances; of the lengths of both.
const LITERALS: usize = 288;
const DISTANCES: usize = 32;
const LENGTHS: usize = 19;
/// The order in which the lengths of the last are told.
const ORDER: [usize; LENGTHS] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const END_OF_BLOCK: usize = 256;
/// An empty block that is stored, from its first whole byte.
const EMPTY: [u8; 4] = [0, 0, 0xFF, 0xFF];

/// Turns the whole stream from `start` on, at the end of `out`, into a piece that another may follow. At most five bytes are added.
pub(super) fn leave_open(out: &mut Vec<u8>, start: usize) -> Result<(), Malformed> {
    let (last, end) = Follower::new(&out[start..]).follow()?;
    if end.div_ceil(8) != out.len() - start {
        return Err(Malformed);
    }
    out[start + last / 8] &= !(1 << (last % 8));
    // What is behind the last code is zero, as the three bits of the header of an empty block are.
    match end % 8 {
        0 => return Ok(()),
        1..=5 => {}
        _ => out.push(0),
    }
    out.extend_from_slice(&EMPTY);
    Ok(())
}

/// What codes stand for, as far as it matters here. No code has the bits that stand for nothing.
const NOTHING: u8 = u8::MAX;
const LITERAL: u8 = 0;
const LENGTH: u8 = 1;
const END: u8 = 2;
const DISTANCE: u8 = 3;

/// A code, known by the bits that come next.
#[derive(Clone, Copy)]
struct Step {
    /// Bits of the code, and of what belongs to it.
    bits: u8,
    value: u8,
}

/// The codes of one alphabet, by as many bits as the longest of them has.
struct Codes {
    steps: Vec<Step>,
    mask: u64,
}

impl Codes {
    fn new() -> Self {
        Self { steps: Vec::new(), mask: 0 }
    }

    /// Takes the codes of these lengths; none has more than [`LONGEST`] bits. `meaning` tells how many bits
    /// belong to the code of a symbol, and its value.
    fn set(&mut self, lengths: &[u8], meaning: impl Fn(usize) -> (u8, u8)) -> Result<(), Malformed> {
        let longest = usize::from(lengths.iter().copied().max().unwrap_or(0));
        let size = 1 << longest;
        self.mask = size as u64 - 1;
        self.steps.clear();
        self.steps.resize(size, Step { bits: 0, value: NOTHING });
        let mut next = first_codes(lengths);
        for (symbol, &length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
            let code = next[usize::from(length)];
            next[usize::from(length)] += 1;
            if code >> length != 0 {
                return Err(Malformed);
            }
            let (more, value) = meaning(symbol);
            // A code begins with its highest bit.
            let begin = usize::from(code.reverse_bits() >> (16 - length));
            for at in (begin..size).step_by(1 << length) {
                self.steps[at] = Step { bits: length + more, value };
            }
        }
        Ok(())
    }

    /// The code that these bits begin with.
    fn next(&self, bits: u64) -> Step {
        self.steps[(bits & self.mask) as usize]
    }
}

/// The first code of each length.
fn first_codes(lengths: &[u8]) -> [u16; LONGEST + 1] {
    let mut counts = [0_u16; LONGEST + 1];
    for &length in lengths.iter().filter(|length| **length > 0) {
        counts[usize::from(length)] += 1;
    }
    let mut first = [0_u16; LONGEST + 1];
    for length in 1..=LONGEST {
        first[length] = (first[length - 1].wrapping_add(counts[length - 1])).wrapping_mul(2);
    }
    first
}

/// The meaning of the codes of literals and lengths.
fn literal(symbol: usize) -> (u8, u8) {
    match symbol {
        0..END_OF_BLOCK => (0, LITERAL),
        END_OF_BLOCK => (0, END),
        265..285 => ((symbol as u16 - 261) as u8 / 4, LENGTH),
        257..=285 => (0, LENGTH),
        _ => (0, NOTHING),
    }
}

/// The meaning of the codes of distances.
fn distance(symbol: usize) -> (u8, u8) {
    match symbol {
        0..4 => (0, DISTANCE),
        4..30 => (symbol as u8 / 2 - 1, DISTANCE),
        _ => (0, NOTHING),
    }
}

/// Follows a stream from its first bit to its last.
struct Follower<'s> {
    bytes: &'s [u8],
    /// The next byte that is not in `bits`.
    next: usize,
    bits: u64,
    count: usize,
    literals: Codes,
    distances: Codes,
}

impl<'s> Follower<'s> {
    fn new(bytes: &'s [u8]) -> Self {
        Self { bytes, next: 0, bits: 0, count: 0, literals: Codes::new(), distances: Codes::new() }
    }

    /// Where the header of the last block begins, and where the block ends: bits from the beginning.
    fn follow(mut self) -> Result<(usize, usize), Malformed> {
        loop {
            let begin = self.position();
            self.fill();
            let last = self.take(1)? == 1;
            match self.take(2)? {
                0 => self.stored()?,
                1 => {
                    self.fixed()?;
                    self.codes()?;
                }
                2 => {
                    self.told()?;
                    self.codes()?;
                }
                _ => return Err(Malformed),
            }
            if last {
                return Ok((begin, self.position()));
            }
        }
    }

    fn position(&self) -> usize {
        self.next * 8 - self.count
    }

    /// Makes 56 bits ready, or all that there are.
    fn fill(&mut self) {
        if let Some(eight) = self.bytes[self.next..].first_chunk::<8>() {
            self.bits |= u64::from_le_bytes(*eight) << self.count;
            self.next += (63 - self.count) / 8;
            self.count |= 0b11_1000;
        } else {
            while self.count < 56 && self.next < self.bytes.len() {
                self.bits |= u64::from(self.bytes[self.next]) << self.count;
                self.next += 1;
                self.count += 8;
            }
        }
    }

    /// At most 16 bits.
    fn take(&mut self, count: usize) -> Result<usize, Malformed> {
        let taken = (self.bits & ((1 << count) - 1)) as usize;
        self.skip(count)?;
        Ok(taken)
    }

    fn skip(&mut self, count: usize) -> Result<(), Malformed> {
        self.count = self.count.checked_sub(count).ok_or(Malformed)?;
        self.bits >>= count;
        Ok(())
    }

    fn stored(&mut self) -> Result<(), Malformed> {
        let at = self.position().div_ceil(8);
        let header = self.bytes.get(at..at + 4).ok_or(Malformed)?;
        let length = u16::from_le_bytes([header[0], header[1]]);
        if length != !u16::from_le_bytes([header[2], header[3]]) {
            return Err(Malformed);
        }
        self.next = at + 4 + usize::from(length);
        (self.bits, self.count) = (0, 0);
        if self.next > self.bytes.len() { Err(Malformed) } else { Ok(()) }
    }

    fn fixed(&mut self) -> Result<(), Malformed> {
        let mut lengths = [8; LITERALS];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        self.literals.set(&lengths, literal)?;
        self.distances.set(&[5; DISTANCES], distance)
    }

    /// Takes the codes that a block tells of at its beginning.
    fn told(&mut self) -> Result<(), Malformed> {
        self.fill();
        let literals = 257 + self.take(5)?;
        let all = literals + 1 + self.take(5)?;
        let mut lengths = [0_u8; LENGTHS];
        let count = 4 + self.take(4)?;
        for &symbol in &ORDER[..count] {
            self.fill();
            lengths[symbol] = self.take(3)? as u8;
        }
        let mut codes = Codes::new();
        codes.set(&lengths, |symbol| (0, symbol as u8))?;
        let (mut lengths, mut known) = ([0_u8; LITERALS + DISTANCES], 0);
        while known < all {
            self.fill();
            let step = codes.next(self.bits);
            self.skip(usize::from(step.bits))?;
            let (value, times) = match step.value {
                16 => (*lengths[..known].last().ok_or(Malformed)?, 3 + self.take(2)?),
                17 => (0, 3 + self.take(3)?),
                18 => (0, 11 + self.take(7)?),
                NOTHING => return Err(Malformed),
                length => (length, 1),
            };
            lengths.get_mut(known..known + times).ok_or(Malformed)?.fill(value);
            known += times;
        }
        if known > all || literals > LITERALS {
            return Err(Malformed);
        }
        let (first, second) = lengths[..all].split_at(literals);
        self.literals.set(first, literal)?;
        self.distances.set(second, distance)
    }

    /// Follows a block to its end.
    fn codes(&mut self) -> Result<(), Malformed> {
        loop {
            self.fill();
            let step = self.literals.next(self.bits);
            self.skip(usize::from(step.bits))?;
            match step.value {
                LITERAL => {}
                LENGTH => {
                    // At most 20 bits are gone, and at most 28 are needed.
                    let step = self.distances.next(self.bits);
                    if step.value == NOTHING {
                        return Err(Malformed);
                    }
                    self.skip(usize::from(step.bits))?;
                }
                END => return Ok(()),
                _ => return Err(Malformed),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use proptest::prelude::*;

    use super::*;

    /// Compressed by libdeflate (1 to 12), or by zlib (13 to 22: levels 0 to 9).
    fn stream(content: &[u8], level: u32) -> Vec<u8> {
        if let Some(level) = level.checked_sub(13) {
            let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(level));
            deflate.write_all(content).expect("compressed");
            return deflate.finish().expect("compressed");
        }
        let level = libdeflater::CompressionLvl::new(level as i32).expect("a level");
        let mut deflate = libdeflater::Compressor::new(level);
        let mut out = vec![0; deflate.deflate_compress_bound(content.len())];
        let n = deflate.deflate_compress(content, &mut out).expect("compressed");
        out.truncate(n);
        out
    }

    fn joined(pieces: &[(&[u8], u32)]) -> Vec<u8> {
        let mut out = b"before".to_vec();
        for (n, (content, level)) in pieces.iter().enumerate() {
            let start = out.len();
            out.extend(stream(content, *level));
            if n + 1 < pieces.len() {
                leave_open(&mut out, start).expect("a stream");
            }
        }
        out.split_off(6)
    }

    fn assert_is(joined: &[u8], content: &[u8]) {
        let mut out = vec![0; content.len()];
        let n = libdeflater::Decompressor::new().deflate_decompress(joined, &mut out).expect("one stream");
        assert!(n == content.len() && out == content, "libdeflate");
        let mut inflate = flate2::bufread::DeflateDecoder::new(joined);
        let mut out = Vec::new();
        inflate.read_to_end(&mut out).expect("one stream");
        assert!(out == content, "zlib");
        assert_eq!(inflate.total_in(), joined.len() as u64, "zlib stops before the end");
    }

    fn text(n: usize) -> Vec<u8> {
        (0..n).flat_map(|i| format!("line {} of {}\n", i * 7919 % 977, i / 13).into_bytes()).take(n).collect()
    }

    fn noise(n: usize) -> Vec<u8> {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..n).map(|_| next()).collect()
    }

    #[test]
    fn pieces_of_every_level_are_one_stream() {
        // Empty, fixed codes, many blocks, blocks of every kind beside each other, stored blocks of full length.
        let mut changing = text(400_000);
        changing.extend(noise(300_000));
        changing.extend(vec![7; 500_000]);
        changing.extend(text(90));
        for content in [Vec::new(), b"a".to_vec(), text(60), vec![0; 70_000], noise(200_000), changing] {
            for level in 1..=22 {
                let pieces = [(&content[..], level), (&content[..content.len() / 3], 6), (&[], level), (&content, 1)];
                let whole: Vec<u8> = pieces.iter().flat_map(|(piece, _)| piece.iter().copied()).collect();
                assert_is(&joined(&pieces), &whole);
            }
        }
    }

    #[test]
    fn what_is_no_stream_is_malformed() {
        let whole = stream(&text(5000), 6);
        assert_eq!(leave_open(&mut whole.clone(), 0), Ok(()));
        for cut in 0..whole.len() {
            assert_eq!(leave_open(&mut whole[..cut].to_vec(), 0), Err(Malformed), "{cut}");
        }
        let mut longer = whole;
        longer.push(0);
        assert_eq!(leave_open(&mut longer, 0), Err(Malformed));
        // A block of the third kind; a stored one whose length is not told twice.
        assert_eq!(leave_open(&mut vec![0b111, 0, 0], 0), Err(Malformed));
        assert_eq!(leave_open(&mut vec![1, 1, 0, 0, 0, 7], 0), Err(Malformed));
    }

    proptest! {
        #[test]
        fn any_pieces_are_one_stream(
            pieces in proptest::collection::vec(
                (prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..3000),
                    proptest::collection::vec(97_u8..101, 0..20_000),
                    (any::<u8>(), 0_usize..70_000).prop_map(|(byte, n)| vec![byte; n]),
                ], 1_u32..=22),
                1..6,
            ),
        ) {
            let whole: Vec<u8> = pieces.iter().flat_map(|(piece, _)| piece.iter().copied()).collect();
            let pieces: Vec<(&[u8], u32)> = pieces.iter().map(|(piece, level)| (&piece[..], *level)).collect();
            assert_is(&joined(&pieces), &whole);
        }

        #[test]
        fn no_bytes_are_too_wild(mut bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = leave_open(&mut bytes, 0);
        }
    }
}
