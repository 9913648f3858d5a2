//! Trees of files that are the same in every run: sizes, names and content come from a fixed seed.

use std::fs;
use std::path::Path;

use crate::Result;

/// Marsaglia's xorshift64*.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// In `from..to`.
    pub fn between(&mut self, from: usize, to: usize) -> usize {
        from + (self.next() % (to - from) as u64) as usize
    }
}

/// A file to be made.
#[derive(Debug, Clone)]
pub struct File {
    /// Relative, with slashes.
    pub path: String,
    pub size: usize,
    seed: u64,
    kind: Kind,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Sixteen words, all equally frequent: it deflates well, but slowly, because every few letters have been there very often.
    Words,
    /// Four thousand words, as frequent as those of a language.
    Prose,
    Noise,
}

/// Directories, parents first, and the files in them.
#[derive(Debug, Default)]
pub struct Tree {
    pub directories: Vec<String>,
    pub files: Vec<File>,
}

impl Tree {
    /// 10,000 files of 1 to 16 KiB in 220 directories below the root.
    pub fn small(files: usize) -> Self {
        let mut tree = Self::default();
        let mut random = Random::new(1);
        tree.spread(files, 20, 10, || random.between(1 << 10, 16 << 10));
        tree
    }

    /// About 4,600 files: many small ones, some of hundreds of KiB, 40 of 16 MiB; 1 GiB in all.
    pub fn mixed(files: usize) -> Self {
        let mut tree = Self::default();
        let mut random = Random::new(2);
        let mut n = 0;
        tree.spread(files, 10, 5, || {
            n += 1;
            match n % 115 {
                0 => 16 << 20,
                1..15 => random.between(64 << 10, 1 << 20),
                _ => random.between(1 << 10, 64 << 10),
            }
        });
        tree
    }

    /// The same with prose in the place of words.
    pub fn prose(files: usize) -> Self {
        let mut tree = Self::mixed(files);
        for file in tree.files.iter_mut().filter(|f| f.kind == Kind::Words) {
            file.kind = Kind::Prose;
        }
        tree
    }

    /// Files of up to 1 KiB, a thousand in a directory.
    pub fn many(files: usize) -> Self {
        let mut tree = Self::default();
        let mut random = Random::new(3);
        tree.spread(files, 10, files.div_ceil(10_000), || random.between(64, 1 << 10));
        tree
    }

    /// Files in one directory.
    pub fn flat(files: usize) -> Self {
        let mut tree = Self::default();
        let mut random = Random::new(4);
        tree.files = (0..files)
            .map(|i| File {
                path: format!("file-{i:05}.txt"),
                size: random.between(64, 256),
                seed: i as u64,
                kind: Kind::Words,
            })
            .collect();
        tree
    }

    fn spread(&mut self, files: usize, upper: usize, lower: usize, mut size: impl FnMut() -> usize) {
        for u in 0..upper {
            self.directories.push(format!("d{u:02}"));
            self.directories.extend((0..lower).map(|l| format!("d{u:02}/e{l:02}")));
        }
        for i in 0..files {
            let (u, l) = (i % upper, i / upper % lower);
            let text = i / 2 % 2 == 0;
            let extension = if text { "txt" } else { "bin" };
            let path = format!("d{u:02}/e{l:02}/file-{i:06}.{extension}");
            let kind = if text { Kind::Words } else { Kind::Noise };
            self.files.push(File { path, size: size(), seed: i as u64, kind });
        }
    }

    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.size as u64).sum()
    }

    /// Makes the tree below a directory.
    pub fn write(&self, root: &Path) -> Result<()> {
        fs::create_dir_all(root)?;
        for directory in &self.directories {
            fs::create_dir(root.join(directory))?;
        }
        let mut buffer = Vec::new();
        for file in &self.files {
            file.content(&mut buffer);
            fs::write(root.join(&file.path), &buffer)?;
        }
        Ok(())
    }
}

impl File {
    /// Replaces what is in the buffer.
    pub fn content(&self, buffer: &mut Vec<u8>) {
        buffer.clear();
        buffer.reserve(self.size + 16);
        let mut random = Random::new(self.seed + 7);
        match self.kind {
            Kind::Words => {
                const WORDS: [&str; 16] = [
                    "the ",
                    "cell ",
                    "box ",
                    "holds ",
                    "a ",
                    "file ",
                    "of ",
                    "somebody ",
                    "and ",
                    "data ",
                    "moves ",
                    "in ",
                    "out, ",
                    "as ",
                    "archive\n",
                    "people ",
                ];
                while buffer.len() < self.size {
                    let mut bits = random.next();
                    for _ in 0..16 {
                        buffer.extend_from_slice(WORDS[(bits & 15) as usize].as_bytes());
                        bits >>= 4;
                    }
                }
            }
            Kind::Prose => {
                while buffer.len() < self.size {
                    let rank = 4096_f64.powf((random.next() >> 11) as f64 / (1_u64 << 53) as f64) as u64;
                    put_word(buffer, rank);
                    buffer.push(if random.next().is_multiple_of(12) { b'\n' } else { b' ' });
                }
            }
            Kind::Noise => {
                while buffer.len() < self.size {
                    buffer.extend_from_slice(&random.next().to_le_bytes());
                }
            }
        }
        buffer.truncate(self.size);
    }
}

/// The word of a rank: the more frequent, the shorter.
fn put_word(buffer: &mut Vec<u8>, rank: u64) {
    const LETTERS: &[u8] = b"eeeeettttaaaoooiiinnnssshhrrddlluccmfwypvbgk";
    let mut random = Random::new(rank);
    let length = 1 + rank.ilog2() as usize / 2 + random.between(0, 3);
    for _ in 0..length {
        buffer.push(LETTERS[random.between(0, LETTERS.len())]);
    }
}
