//! Identifiers: numbers of cells and resources, entity tags, random tokens and request keys.

use std::cell::RefCell;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A resource's number, never used again within its cell. A box has the number of its root collection.
pub type ResourceId = i64;

/// A process's number while it lives: a byte in the unit's lock file that it keeps locked.
pub type OwnerId = i64;

/// The strong entity tag of a resource: `"{version}-{stamp}"`, the stamp in microseconds, one for each content of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ETag {
    pub version: i64,
    pub stamp: i64,
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}-{}\"", self.version, self.stamp)
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("invariant: the kernel gives random bytes");
    bytes
}

thread_local! {
    /// Random bytes for what need not be secret, and how many of them are left.
    static SPARE: RefCell<([u8; 1024], usize)> = const { RefCell::new(([0; 1024], 0)) };
}

/// As `random`, with one visit to the kernel for many of them. For what is no secret.
fn random_cheaply<const N: usize>() -> [u8; N] {
    SPARE.with_borrow_mut(|(bytes, left)| {
        if *left < N {
            (*bytes, *left) = (random(), bytes.len());
        }
        *left -= N;
        bytes[*left..][..N].try_into().expect("invariant: the range has that length")
    })
}

/// 256 random bits as 43 characters of base64url.
pub fn token() -> String {
    URL_SAFE_NO_PAD.encode(random::<32>())
}

/// 256 random bits.
pub fn secret() -> [u8; 32] {
    random()
}

/// A random UUID as 22 characters of base64url, the form in which cells are identified.
pub fn uuid22() -> String {
    URL_SAFE_NO_PAD.encode(uuid::Uuid::new_v4().as_bytes())
}

/// A new absolute URI: `urn:uuid:…`, random.
pub fn urn_uuid() -> String {
    uuid::Uuid::new_v4().urn().to_string()
}

/// A generated request key: four characters, an underscore, eighteen more.
pub fn request_key() -> String {
    let id = uuid::Builder::from_random_bytes(random_cheaply()).into_uuid();
    let mut text = URL_SAFE_NO_PAD.encode(id.as_bytes());
    text.insert(4, '_');
    text
}

/// A random number in `1..2^62`.
pub fn random_number() -> i64 {
    (i64::from_le_bytes(random::<8>()) & ((1 << 62) - 1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_key_has_the_documented_shape() {
        let key = request_key();
        assert_eq!((key.len(), key.as_bytes()[4]), (23, b'_'));
        assert!(key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
        assert_ne!(key, request_key());
    }
}
