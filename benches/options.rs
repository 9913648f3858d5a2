//! The command line of the bench program, and the directory that it works in.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Result;

const USAGE: &str = "benches/run [--dir DIR] [--rounds N] [--only SECTION,…] [--scale PERCENT] [--keep] [--write]

  --dir DIR        where units and peers keep their files (target/bench); on a tmpfs it shows the cost of software alone
  --rounds N       measured rounds (3)
  --only SECTION   some of: export, first, get, large, put, relaxed, install, cell, listing, changes, copy, tree
  --scale PERCENT  of the usual number of files (100)
  --keep           leave the files of the last run
  --write          put the table into docs/benchmarks.md";

/// Says that a directory was made here.
const MARK: &str = "cellar-bench";

#[derive(Debug)]
pub struct Options {
    pub dir: PathBuf,
    pub rounds: usize,
    only: Vec<String>,
    scale: usize,
    keep: bool,
    pub write: bool,
}

impl Options {
    pub fn parse<'a>(
        mut arguments: impl Iterator<Item = String>,
        sections: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<Self> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
        let mut options = Self { dir, rounds: 3, only: Vec::new(), scale: 100, keep: false, write: false };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value\n\n{USAGE}"));
            match argument.as_str() {
                "--dir" => options.dir = PathBuf::from(value()?),
                "--rounds" => options.rounds = value()?.parse::<usize>()?.max(1),
                "--scale" => options.scale = value()?.parse::<usize>()?.clamp(1, 100),
                "--only" => {
                    options.only = value()?.split(',').map(str::to_owned).collect();
                    if let Some(unknown) = options.only.iter().find(|o| !sections.clone().any(|s| s == *o)) {
                        return Err(format!("no section {unknown}\n\n{USAGE}").into());
                    }
                }
                "--keep" => options.keep = true,
                "--write" => options.write = true,
                // `cargo bench` adds it.
                "--bench" => {}
                _ => return Err(USAGE.into()),
            }
        }
        if options.write && (!options.only.is_empty() || options.scale != 100) {
            return Err("--write needs the whole table: neither --only nor --scale".into());
        }
        Ok(options)
    }

    pub fn wants(&self, section: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|o| o == section)
    }

    /// That share of `count` that `--scale` asks for.
    pub fn scaled(&self, count: usize) -> usize {
        (count * self.scale / 100).max(1)
    }

    /// Makes an empty directory. One that was not made here is not touched.
    pub fn make_directory(&self) -> Result<()> {
        let mark = self.dir.join(MARK);
        if self.dir.exists() && fs::read_dir(&self.dir)?.next().is_some() {
            if !mark.exists() {
                return Err(format!("{} holds something else", self.dir.display()).into());
            }
            self.empty()?;
        }
        fs::create_dir_all(&self.dir)?;
        fs::write(mark, "")?;
        Ok(())
    }

    pub fn clean_up(&self) -> Result<()> {
        if self.keep { Ok(()) } else { self.empty() }
    }

    /// The mark goes last: a directory that was left half empty is still known.
    fn empty(&self) -> Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name() == MARK {
                continue;
            }
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(fs::remove_file(self.dir.join(MARK))?)
    }
}

/// A directory on a tmpfs for what shows the cost of software alone; it ends with its handle.
pub fn in_memory() -> Result<TempDir> {
    let root = Path::new("/dev/shm");
    tempfile::Builder::new()
        .prefix("cellar-bench-")
        .tempdir_in(root)
        .map_err(|e| format!("{}: {e}", root.display()).into())
}
