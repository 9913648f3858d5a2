//! A bar becomes a box: from MKCOL to `ready`, beside `ripunzip` unpacking the same zip and a sync of the file system.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::Result;
use crate::children::Cellar;
use crate::data::Tree;
use crate::options::Options;
use crate::programs::ripunzip;
use crate::table::{Row, Unit, in_turns};

/// The limits of a unit that takes everything here.
const LIMITS: &[(&str, &str)] = &[("CELLAR_LIMITS__BAR_SIZE", "4GiB"), ("CELLAR_LIMITS__BAR_ENTRY_SIZE", "1GiB")];

pub fn rows(options: &Options) -> Result<Vec<Row>> {
    Ok(vec![
        row(options, "small", &Tree::small(options.scaled(10_000)))?,
        row(options, "mixed", &Tree::mixed(options.scaled(4600)))?,
    ])
}

fn row(options: &Options, name: &str, tree: &Tree) -> Result<Row> {
    let bar = deflated_bar(options, name, tree)?;
    let cellar = Cellar::start(&options.dir, &format!("install-{name}"), LIMITS)?;
    let out = options.dir.join(format!("ripunzip-{name}"));
    fs::create_dir(&out)?;
    cellar.process.forget_peak();
    let (mut boxes, mut trees) = (0, 0);
    let (a, b) = in_turns(
        options.rounds,
        || {
            boxes += 1;
            install(&cellar, &format!("box{boxes}"), &bar)
        },
        || {
            trees += 1;
            ripunzip(&bar, &out.join(trees.to_string()))
        },
    )?;
    let size = fs::metadata(&bar)?.len() / 1_000_000;
    let what =
        format!("install of {} {name} files, {} MB deflated to {size} MB", tree.files.len(), tree.bytes() / 1_000_000);
    let row = Row::new(what, Unit::Milliseconds, a).beside("ripunzip and sync", b).target("1.0x");
    Ok(row.peak(cellar.process.peak_rss()))
}

/// The export of a box with that content, its members deflated.
fn deflated_bar(options: &Options, name: &str, tree: &Tree) -> Result<PathBuf> {
    let (stored, bar) = (options.dir.join(format!("{name}.zip")), options.dir.join(format!("{name}.bar")));
    let cellar = Cellar::start(&options.dir, &format!("source-{name}"), &[])?;
    cellar.adopt("b", tree)?;
    crate::export::save(&cellar, "b", &stored)?;
    let mut from = ZipArchive::new(BufReader::new(File::open(&stored)?))?;
    let mut to = ZipWriter::new(BufWriter::with_capacity(1 << 20, File::create(&bar)?));
    let deflated =
        SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).compression_level(Some(1));
    for index in 0..from.len() {
        let mut member = from.by_index(index)?;
        let name = member.name()?.into_owned();
        if member.is_dir() {
            to.add_directory(name, SimpleFileOptions::default())?;
        } else {
            to.start_file(name, deflated)?;
            std::io::copy(&mut member, &mut to)?;
        }
    }
    to.finish()?.into_inner()?.sync_all()?;
    Ok(bar)
}

fn install(cellar: &Cellar, box_name: &str, bar: &Path) -> Result<f64> {
    let (target, mut connection) = (format!("/c/{box_name}"), cellar.connect()?);
    let mut file = File::open(bar)?;
    let begin = Instant::now();
    connection.send_file("MKCOL", &target, &[("Content-Type", "application/zip")], &mut file)?;
    loop {
        let (_, body) = connection.send("GET", &target, &[], b"")?;
        let text = String::from_utf8_lossy(&body);
        if text.contains("\"status\":\"ready\"") {
            return Ok(begin.elapsed().as_secs_f64() * 1e3);
        }
        if text.contains("failed") {
            return Err(format!("{target}: {text}").into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
