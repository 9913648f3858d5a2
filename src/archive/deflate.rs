//! Compressing members of archives at rest: small ones at once, large ones in pieces that several threads make.
//!
//! The pieces of a member, joined, are one stream (`join.rs`). A piece knows nothing of what is before it, which costs a
//! tenth of a percent where it has a MiB. The same content at the same level always gives the same bytes.

use super::Method;
use super::join;
pub use super::join::Malformed;

/// Bytes that tell whether the rest is worth the work.
pub const SAMPLE: usize = 64 << 10;
/// The same of members that are shorter than that and look like noise.
const SHORT: usize = 2 << 10;
const SEEN_BITS: u32 = 12;
/// Bytes that are no more uneven than this look like noise; those that are more uneven than that shrink, whatever they are.
const EVEN: f64 = 1.1;
const SKEWED: f64 = 4.0;

/// Compresses whole members.
pub struct Compressor {
    deflate: libdeflater::Compressor,
    /// Room for what comes out, kept: new memory costs more than a copy.
    room: Vec<u8>,
    /// Four bytes of a sample each, at a place that they choose.
    seen: Vec<u32>,
}

impl Compressor {
    /// `level`: 1, the fastest, to 12.
    pub fn new(level: u32) -> Self {
        let level = libdeflater::CompressionLvl::new(level.clamp(1, 12) as i32)
            .expect("invariant: the level was brought into its range");
        let deflate = libdeflater::Compressor::new(level);
        Self { deflate, room: Vec::new(), seen: vec![0; 1 << SEEN_BITS] }
    }

    /// Appends content in the shorter of its two forms, and says which that is.
    pub fn pack(&mut self, content: &[u8], out: &mut Vec<u8>) -> Method {
        // Compressing what is compressed already costs as much as compressing what is not.
        let sample = middle(content, content.len().min(SAMPLE));
        let evenness = evenness(sample);
        let hopeless = if evenness > SKEWED {
            false
        } else if content.len() > SAMPLE {
            !self.shrinks(sample)
        } else {
            content.len() >= 2 * SHORT && evenness < EVEN && !self.repeats(middle(content, SHORT))
        };
        if hopeless {
            out.extend_from_slice(content);
            return Method::Stored;
        }
        let packed = self.deflate(content);
        let (method, bytes) =
            if packed.len() < content.len() { (Method::Deflated, packed) } else { (Method::Stored, content) };
        out.extend_from_slice(bytes);
        method
    }

    /// Appends one piece of a member; unless it is the last, others may follow it.
    pub fn piece(&mut self, content: &[u8], last: bool, out: &mut Vec<u8>) -> Result<(), Malformed> {
        let start = out.len();
        out.extend_from_slice(self.deflate(content));
        if last { Ok(()) } else { join::leave_open(out, start) }
    }

    /// A whole stream.
    fn deflate(&mut self, content: &[u8]) -> &[u8] {
        let bound = self.deflate.deflate_compress_bound(content.len());
        if self.room.len() < bound {
            self.room.resize(bound, 0);
        }
        let packed = self.deflate.deflate_compress(content, &mut self.room);
        &self.room[..packed.expect("invariant: there is room for the worst")]
    }

    /// Whether a sample says that its member is worth compressing: by 3 % at least.
    pub fn shrinks(&mut self, sample: &[u8]) -> bool {
        self.deflate(sample).len() < sample.len() - sample.len() / 32
    }

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

/// How often two bytes of a content are the same, beside how often they are by chance: 1 where all are equally frequent, 256 where
/// all are the same.
fn evenness(content: &[u8]) -> f64 {
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
    let pairs = content.len() as u64 * (content.len() as u64).saturating_sub(1);
    // By chance it is one pair in 256.
    (same * 256) as f64 / pairs.max(1) as f64
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
