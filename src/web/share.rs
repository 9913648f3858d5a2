//! Memory of bodies that are on their way: the more of them there are, the less each may hold.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// What the buffers of one kind of all bodies together should hold, as long as none of them falls below [`LEAST`].
const ALL: usize = 4 << 20;

/// The smallest buffer that is worth a visit to the disk.
const LEAST: usize = 16 << 10;

static BODIES: AtomicUsize = AtomicUsize::new(0);

/// A body that is on its way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share(());

impl Share {
    pub(crate) fn take() -> Self {
        BODIES.fetch_add(1, Relaxed);
        Self(())
    }

    /// The size of one of its buffers: `most` while there are few bodies.
    #[allow(clippy::unused_self, reason = "whoever asks is one of them")]
    pub(crate) fn of(&self, most: usize) -> usize {
        size(BODIES.load(Relaxed), most)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        BODIES.fetch_sub(1, Relaxed);
    }
}

fn size(bodies: usize, most: usize) -> usize {
    (ALL / bodies.max(1)).clamp(LEAST.min(most), most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_bodies_get_what_they_want_and_many_get_little() {
        assert_eq!(size(0, 256 << 10), 256 << 10);
        assert_eq!(size(16, 256 << 10), 256 << 10);
        assert_eq!(size(32, 256 << 10), 128 << 10);
        assert_eq!(size(100_000, 256 << 10), LEAST);
        assert_eq!(size(100_000, 4096), 4096);
    }
}
