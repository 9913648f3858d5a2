//! Compressing members of archives at rest: small ones at once, large ones in pieces that several threads make.
//!
//! The pieces of a member, joined, are one stream ([`super::join`]). A piece knows nothing of what is before it, which costs a
//! tenth of a percent where it has a MiB. The same content at the same level always gives the same bytes.

use super::Method;
use super::join;
pub use super::join::Malformed;

/// Bytes that tell whether the rest is worth the work.
pub const SAMPLE: usize = 64 << 10;
/// The same of members that are shorter than that and look like noise.
const SHORT: usize = 2 << 10;
const SEEN_BITS: u32 = 12;

/// Compresses whole members.
pub struct Compressor {
    deflate: libdeflater::Compressor,
    /// Four bytes of a sample each, at a place that they choose.
    seen: Vec<u32>,
}

impl Compressor {
    /// `level`: 1, the fastest, to 12.
    pub fn new(level: u32) -> Self {
        let level = libdeflater::CompressionLvl::new(level.clamp(1, 12) as i32)
            .expect("invariant: the level was brought into its range");
        Self { deflate: libdeflater::Compressor::new(level), seen: vec![0; 1 << SEEN_BITS] }
    }

    /// Appends content in the shorter of its two forms, and says which that is.
    pub fn pack(&mut self, content: &[u8], out: &mut Vec<u8>) -> Method {
        // Compressing what is compressed already costs as much as compressing what is not.
        let hopeless = if content.len() > SAMPLE {
            !self.shrinks(middle(content, SAMPLE))
        } else {
            content.len() >= 2 * SHORT && is_noise(content) && !self.repeats(middle(content, SHORT))
        };
        if hopeless {
            out.extend_from_slice(content);
            return Method::Stored;
        }
        let start = out.len();
        self.deflate(content, out);
        if out.len() - start < content.len() {
            return Method::Deflated;
        }
        out.truncate(start);
        out.extend_from_slice(content);
        Method::Stored
    }

    /// Appends one piece of a member; unless it is the last, others may follow it.
    pub fn piece(&mut self, content: &[u8], last: bool, out: &mut Vec<u8>) -> Result<(), Malformed> {
        let start = out.len();
        self.deflate(content, out);
        if last { Ok(()) } else { join::leave_open(out, start) }
    }

    fn deflate(&mut self, content: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + self.deflate.deflate_compress_bound(content.len()), 0);
        let packed = self.deflate.deflate_compress(content, &mut out[start..]);
        out.truncate(start + packed.expect("invariant: there is room for the worst"));
    }

    /// Whether a sample says that its member is worth compressing: by 3 % at least.
    pub fn shrinks(&mut self, sample: &[u8]) -> bool {
        let mut out = vec![0; self.deflate.deflate_compress_bound(sample.len())];
        let packed = self.deflate.deflate_compress(sample, &mut out);
        packed.is_ok_and(|n| n < sample.len() - sample.len() / 32)
    }
}

impl Compressor {
    /// Whether one in 32 of its bytes begins a sequence of four that is in the sample before. Tells of bytes that are all equally
    /// frequent, in a tenth of the time that compressing takes, whether there is anything to gain.
    fn repeats(&mut self, sample: &[u8]) -> bool {
        self.seen.fill(0);
        let mut again = 0;
        for four in sample.windows(4) {
            let four = u32::from_le_bytes([four[0], four[1], four[2], four[3]]);
            let place = &mut self.seen[(four.wrapping_mul(0x9E37_79B1) >> (32 - SEEN_BITS)) as usize];
            again += usize::from(*place == four);
            *place = four;
        }
        again >= sample.len() / 32
    }
}

fn middle(content: &[u8], length: usize) -> &[u8] {
    let start = (content.len() - length) / 2;
    &content[start..start + length]
}

/// Whether all bytes are about equally frequent: two of them are the same hardly more often than by chance.
fn is_noise(content: &[u8]) -> bool {
    // Four tables, because counting the same byte twice in a row waits for the first time.
    let mut tables = [[0_u32; 256]; 4];
    let mut chunks = content.chunks_exact(4);
    for chunk in &mut chunks {
        for (table, &byte) in tables.iter_mut().zip(chunk) {
            table[usize::from(byte)] += 1;
        }
    }
    for &byte in chunks.remainder() {
        tables[0][usize::from(byte)] += 1;
    }
    let count = |byte: usize| tables.iter().map(|table| u64::from(table[byte])).sum::<u64>();
    let same: u64 = (0..256).map(count).map(|n| n * n.saturating_sub(1)).sum();
    let n = content.len() as u64;
    // By chance it is one pair in 256.
    same * 256 * 10 < n * (n - 1) * 11
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(n: usize) -> Vec<u8> {
        (0..n).flat_map(|i| format!("line {} of {}\n", i % 977, i / 13).into_bytes()).take(n).collect()
    }

    fn noise(n: usize) -> Vec<u8> {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        (0..n).map(|_| next()).collect()
    }

    fn in_pieces(content: &[u8], size: usize, level: u32) -> Vec<u8> {
        let (mut compressor, mut out) = (Compressor::new(level), Vec::new());
        let mut rest = content;
        loop {
            let (piece, behind) = rest.split_at(size.min(rest.len()));
            compressor.piece(piece, behind.is_empty(), &mut out).expect("compressed");
            if behind.is_empty() {
                return out;
            }
            rest = behind;
        }
    }

    fn inflated(packed: &[u8], size: usize) -> Vec<u8> {
        let mut out = vec![0; size];
        let n = libdeflater::Decompressor::new().deflate_decompress(packed, &mut out).expect("a stream");
        assert_eq!(n, size);
        out
    }

    #[test]
    fn pieces_join_to_one_stream() {
        for content in [Vec::new(), text(10), text(300_000), noise(300_000)] {
            for size in [1000, 40_000, 1 << 20] {
                for level in [1, 6] {
                    let packed = in_pieces(&content, size, level);
                    assert!(inflated(&packed, content.len()) == content, "{} by {size}", content.len());
                }
            }
        }
    }

    #[test]
    fn what_does_not_shrink_is_stored() {
        let mut compressor = Compressor::new(1);
        for (content, method) in [
            (text(10), Method::Stored),
            (text(1000), Method::Deflated),
            (text(200_000), Method::Deflated),
            (noise(1000), Method::Stored),
            (noise(200_000), Method::Stored),
            (noise(9000), Method::Stored),
            // All bytes are equally frequent, and yet there is much to gain.
            ((0..20_000).map(|n| n as u8).collect(), Method::Deflated),
        ] {
            let mut out = b"before".to_vec();
            assert_eq!(compressor.pack(&content, &mut out), method, "{}", content.len());
            let packed = &out[6..];
            assert!(packed.len() <= content.len());
            let back = if method == Method::Stored { packed.to_vec() } else { inflated(packed, content.len()) };
            assert!(back == content);
        }
    }

    proptest! {
        #[test]
        fn any_content_in_any_pieces_comes_back(content in proptest::collection::vec(any::<u8>(), 0..5000), size in 1_usize..6000) {
            let packed = in_pieces(&content, size, 6);
            prop_assert_eq!(inflated(&packed, content.len()), content);
        }
    }
}
