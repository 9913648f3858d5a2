//! One file of 1 GiB: all of it, 64 KiB from anywhere in it, and as an upload.

use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::Result;
use crate::children::{Cellar, Lighttpd, Nginx, Process, RELAXED, flush};
use crate::crowd::at_once;
use crate::data::Random;
use crate::http::Connection;
use crate::options::{Options, in_memory};
use crate::table::{Row, Unit, in_turns, median};

const RANGE: usize = 64 << 10;
const MIB: usize = 1 << 20;

pub fn rows(options: &Options) -> Result<Vec<Row>> {
    let mut rows = reading(options)?;
    rows.push(uploading(options, &options.dir, "on disk")?);
    let memory = in_memory()?;
    rows.push(uploading(options, memory.path(), "on a tmpfs")?);
    Ok(rows)
}

/// Noise; a megabyte of it again and again.
fn make(path: &Path, mebibytes: usize) -> Result<()> {
    let mut random = Random::new(5);
    let block: Vec<u8> = (0..MIB / 8).flat_map(|_| random.next().to_le_bytes()).collect();
    let mut file = File::create(path)?;
    for _ in 0..mebibytes {
        file.write_all(&block)?;
    }
    Ok(file.sync_all()?)
}

fn reading(options: &Options) -> Result<Vec<Row>> {
    let mebibytes = options.scaled(1024);
    let served = options.dir.join("large-served");
    fs::create_dir_all(&served)?;
    make(&served.join("large.bin"), mebibytes)?;
    let cellar = Cellar::start(&options.dir, "large", &[("CELLAR_LOG", "warn")])?;
    let mut connection = cellar.connect()?;
    connection.send("MKCOL", "/c/b", &[], b"")?;
    connection.send_file("PUT", "/c/b/large.bin", &[], &mut File::open(served.join("large.bin"))?)?;
    let (lighttpd, nginx) = (Lighttpd::start(&options.dir, &served)?, Nginx::start(&options.dir, &served)?);
    let mut rows = vec![whole(options, &cellar, &lighttpd, &nginx, mebibytes)?];
    for connections in [1, 16] {
        rows.push(ranges(options, &cellar, &lighttpd, &nginx, connections, mebibytes)?);
    }
    Ok(rows)
}

fn whole(options: &Options, cellar: &Cellar, lighttpd: &Lighttpd, nginx: &Nginx, mebibytes: usize) -> Result<Row> {
    let processes = [&cellar.process, &lighttpd.process, &nginx.process];
    let begun = processes.map(Process::cpu);
    cellar.process.forget_peak();
    let mut ours = cellar.connect()?;
    let (mut theirs, mut others) = (Connection::to(lighttpd.address)?, Connection::to(nginx.address)?);
    let rate = |connection: &mut Connection, target: &str| -> Result<f64> {
        let got = connection.download("GET", target, &[])?;
        if got.bytes != (mebibytes * MIB) as u64 {
            return Err(format!("{target}: {} bytes", got.bytes).into());
        }
        Ok(got.bytes as f64 / 1e6 / got.whole.as_secs_f64())
    };
    let mut nginx_rates = Vec::new();
    let (a, b) = in_turns(
        options.rounds,
        || rate(&mut ours, "/c/b/large.bin"),
        || {
            nginx_rates.push(rate(&mut others, "/large.bin")?);
            rate(&mut theirs, "/large.bin")
        },
    )?;
    let cpu = |i: usize| processes[i].cpu_since(begun[i]).as_millis() / (options.rounds as u128 + 1);
    let remark = format!(
        "nginx: {:.0} MB/s; CPU for one: {} ms, lighttpd {} ms, nginx {} ms",
        median(&nginx_rates[1..]),
        cpu(0),
        cpu(1),
        cpu(2)
    );
    let row = Row::new(format!("GET of {mebibytes} MiB"), Unit::MegabytesPerSecond, a).beside("lighttpd", b);
    Ok(row.target("1.0x").peak(cellar.process.peak_rss()).remark(remark))
}

fn ranges(
    options: &Options,
    cellar: &Cellar,
    lighttpd: &Lighttpd,
    nginx: &Nginx,
    connections: usize,
    mebibytes: usize,
) -> Result<Row> {
    let each = options.scaled(16_000) / connections;
    let requests = ((options.rounds + 1) * each * connections) as f64;
    let processes = [&cellar.process, &nginx.process, &lighttpd.process];
    let begun = processes.map(Process::cpu);
    cellar.process.forget_peak();
    let last = mebibytes * MIB - RANGE;
    let rate = |address: SocketAddr, target: &'static str| {
        at_once(connections, each, |thread| {
            let (mut connection, mut random) = (Connection::to(address)?, Random::new(thread as u64));
            Ok(move |_| {
                let from = random.between(0, last);
                let range = format!("bytes={from}-{}", from + RANGE - 1);
                let got = connection.download("GET", target, &[("Range", &range)])?;
                if got.bytes == RANGE as u64 { Ok(()) } else { Err(format!("{} bytes", got.bytes).into()) }
            })
        })
    };
    let mut lighttpd_rates = Vec::new();
    let (a, b) = in_turns(
        options.rounds,
        || rate(cellar.address, "/c/b/large.bin"),
        || {
            lighttpd_rates.push(rate(lighttpd.address, "/large.bin")?);
            rate(nginx.address, "/large.bin")
        },
    )?;
    let cpu = |i: usize| processes[i].cpu_since(begun[i]).as_secs_f64() * 1e6 / requests;
    let remark = format!(
        "lighttpd: {:.0}/s; CPU of a request: {:.1} us, nginx {:.1} us, lighttpd {:.1} us",
        median(&lighttpd_rates[1..]),
        cpu(0),
        cpu(1),
        cpu(2)
    );
    let s = if connections == 1 { "" } else { "s" };
    let what = format!("Range of 64 KiB from anywhere in it over {connections} connection{s}");
    let row = Row::new(what, Unit::PerSecond, a).beside("nginx", b).target("1.0x");
    Ok(row.peak(cellar.process.peak_rss()).remark(remark))
}

/// Over the same name each time; what earlier turns left to be written is on disk before the next begins.
fn uploading(options: &Options, dir: &Path, place: &str) -> Result<Row> {
    let mebibytes = options.scaled(1024);
    let (source, served) = (dir.join("upload.bin"), dir.join("upload-served"));
    fs::create_dir_all(&served)?;
    make(&source, mebibytes)?;
    let cellar = Cellar::start(dir, "upload", &[RELAXED, ("CELLAR_LOG", "warn")])?;
    let mut ours = cellar.connect()?;
    ours.send("MKCOL", "/c/b", &[], b"")?;
    let lighttpd = Lighttpd::with_dav(dir, &served)?;
    let mut theirs = Connection::to(lighttpd.address)?;
    let begun = (cellar.process.cpu(), lighttpd.process.cpu());
    cellar.process.forget_peak();
    let rate = |upload: &mut dyn FnMut() -> Result<()>| -> Result<f64> {
        flush(dir)?;
        let begin = Instant::now();
        upload()?;
        Ok((mebibytes * MIB) as f64 / 1e6 / begin.elapsed().as_secs_f64())
    };
    let put = |connection: &mut Connection, target: &str| -> Result<()> {
        connection.send_file("PUT", target, &[], &mut File::open(&source)?).map(drop)
    };
    let mut copies = Vec::new();
    let (a, b) = in_turns(
        options.rounds,
        || rate(&mut || put(&mut ours, "/c/b/large.bin")),
        || {
            copies.push(rate(&mut || cp(&source, &served.join("copy.bin")))?);
            rate(&mut || put(&mut theirs, "/large.bin"))
        },
    )?;
    let cpu = |process: &Process, begun| process.cpu_since(begun).as_millis() / (options.rounds as u128 + 1);
    let remark = format!(
        "cp: {:.0} MB/s; CPU of the server for one: {} ms, lighttpd {} ms",
        median(&copies[1..]),
        cpu(&cellar.process, begun.0),
        cpu(&lighttpd.process, begun.1),
    );
    let what = format!("PUT of {mebibytes} MiB {place}, relaxed");
    let row = Row::new(what, Unit::MegabytesPerSecond, a).beside("lighttpd, mod_webdav", b);
    Ok(row.target("1.0x").peak(cellar.process.peak_rss()).remark(remark))
}

fn cp(from: &Path, to: &PathBuf) -> Result<()> {
    let status = Command::new("cp").arg("--remove-destination").arg(from).arg(to).stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err("cp failed".into()) }
}
