//! Durable PUTs of 4 KiB into 64 folders at once: over HTTP, through the library, and the bare system calls.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use cellar::base::path::ResourcePath;
use cellar::storage::Unit as StoreUnit;
use cellar::storage::cell::Limits;
use cellar::storage::database::Kind;
use cellar::storage::operation::boxes::CreateBox;
use cellar::storage::operation::mkcol::Mkcol;
use cellar::storage::operation::no_guard;
use cellar::storage::operation::put::Put;
use cellar::storage::unit::Role;

use crate::Result;
use crate::children::Cellar;
use crate::crowd::at_once;
use crate::data::Random;
use crate::options::Options;
use crate::table::{Row, Unit, in_turns};

pub const THREADS: usize = 64;
const SIZE: usize = 4096;

pub fn rows(options: &Options) -> Result<Vec<Row>> {
    let each = options.scaled(100);
    Ok(vec![over_http(options, each)?, through_the_library(options, each)?])
}

fn over_http(options: &Options, each: usize) -> Result<Row> {
    let cellar = Cellar::start(&options.dir, "put", &[])?;
    let mut connection = cellar.connect()?;
    connection.send("MKCOL", "/c/b", &[], b"")?;
    for folder in 0..THREADS {
        connection.send("MKCOL", &format!("/c/b/f{folder}"), &[], b"")?;
    }
    let bare = make_folders(&options.dir.join("put-bare"))?;
    let (mut ours, mut theirs) = (0, 0);
    cellar.process.forget_peak();
    let cpu = cellar.process.cpu();
    let (a, b) = in_turns(
        options.rounds,
        || {
            ours += 1;
            with_bodies(each, |folder| {
                let mut connection = cellar.connect()?;
                Ok(move |i: usize, body: &[u8]| {
                    connection.send("PUT", &format!("/c/b/f{folder}/{ours}-{i}.bin"), &[], body).map(drop)
                })
            })
        },
        || {
            theirs += 1;
            bare_round(&bare, theirs, each)
        },
    )?;
    let requests = (options.rounds + 1) * THREADS * each;
    let remark = format!("CPU of the server: {} us each", cellar.process.cpu_since(cpu).as_micros() / requests as u128);
    let row = Row::new("durable PUT of 4 KiB over 64 connections", Unit::PerSecond, a).beside("bare loop", b);
    Ok(row.target("1.0x").peak(cellar.process.peak_rss()).remark(remark))
}

fn through_the_library(options: &Options, each: usize) -> Result<Row> {
    let unit = StoreUnit::open(&options.dir.join("put-library"), Role::Server, Limits::default())?;
    unit.create_cell("c")?;
    let cell = unit.cell("c")?;
    cell.change(CreateBox { name: "b".to_owned(), schema: None })?;
    for folder in 0..THREADS {
        cell.change(Mkcol {
            box_name: "b".to_owned(),
            path: ResourcePath::parse(&format!("f{folder}"))?,
            kind: Kind::Collection,
            properties: Vec::new(),
            guard: no_guard(),
        })?;
    }
    let bare = make_folders(&options.dir.join("put-bare-again"))?;
    let (mut ours, mut theirs) = (0, 0);
    let (a, b) = in_turns(
        options.rounds,
        || {
            ours += 1;
            let cell = &cell;
            with_bodies(each, |folder| {
                Ok(move |i: usize, body: &[u8]| {
                    let mut upload = cell.upload();
                    upload.write(body)?;
                    cell.change(Put {
                        box_name: "b".to_owned(),
                        path: ResourcePath::parse(&format!("f{folder}/{ours}-{i}.bin"))?,
                        staged: upload.finish()?,
                        content_type: None,
                        mtime_ms: None,
                        guard: no_guard(),
                        properties_of: None,
                    })?;
                    Ok(())
                })
            })
        },
        || {
            theirs += 1;
            bare_round(&bare, theirs, each)
        },
    )?;
    Ok(Row::new("the same through the library, without HTTP", Unit::PerSecond, a).beside("bare loop", b).target("1.0x"))
}

pub fn make_folders(root: &Path) -> Result<std::path::PathBuf> {
    for folder in 0..THREADS {
        fs::create_dir_all(root.join(format!("f{folder}")))?;
    }
    Ok(root.to_owned())
}

/// Write, fsync, rename, fsync of the folder.
fn bare_round(root: &Path, round: usize, each: usize) -> Result<f64> {
    with_bodies(each, |folder| {
        let path = root.join(format!("f{folder}"));
        let directory = File::open(&path)?;
        Ok(move |i: usize, body: &[u8]| {
            let temporary = path.join(".new");
            let mut file = File::create(&temporary)?;
            file.write_all(body)?;
            file.sync_data()?;
            fs::rename(&temporary, path.join(format!("{round}-{i}.bin")))?;
            directory.sync_all()?;
            Ok(())
        })
    })
}

/// Runs `each` operations in each of 64 threads, every thread with its own 4 KiB; how many were done in a second.
pub fn with_bodies<F: FnMut(usize, &[u8]) -> Result<()>>(
    each: usize,
    begin: impl Fn(usize) -> Result<F> + Sync,
) -> Result<f64> {
    at_once(THREADS, each, |folder| {
        let mut random = Random::new(folder as u64);
        let body: Vec<u8> = (0..SIZE).map(|_| random.next() as u8).collect();
        let mut one = begin(folder)?;
        Ok(move |i| one(i, &body))
    })
}
