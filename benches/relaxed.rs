//! PUT of 4 KiB with `storage.durability = "relaxed"` on a tmpfs, beside nginx's dav module: what the software costs.

use std::fs;
use std::net::SocketAddr;

use crate::Result;
use crate::children::{Cellar, Nginx, Process, RELAXED};
use crate::http::Connection;
use crate::options::{Options, in_memory};
use crate::put::{THREADS, make_folders, with_bodies};
use crate::table::{Row, Unit, in_turns};

pub fn rows(options: &Options) -> Result<Vec<Row>> {
    let memory = in_memory()?;
    let each = options.scaled(400);
    let cellar = Cellar::start(memory.path(), "relaxed", &[RELAXED, ("CELLAR_LOG", "warn")])?;
    let mut connection = cellar.connect()?;
    connection.send("MKCOL", "/c/b", &[], b"")?;
    for folder in 0..THREADS {
        connection.send("MKCOL", &format!("/c/b/f{folder}"), &[], b"")?;
    }
    let served = memory.path().join("relaxed-served");
    fs::create_dir_all(&served)?;
    make_folders(&served)?;
    let nginx = Nginx::with_dav(memory.path(), &served)?;
    let begun = (cellar.process.cpu(), nginx.process.cpu());
    cellar.process.forget_peak();
    let (mut ours, mut theirs) = (0, 0);
    let (a, b) = in_turns(
        options.rounds,
        || {
            ours += 1;
            puts(cellar.address, "/c/b", ours, each)
        },
        || {
            theirs += 1;
            puts(nginx.address, "", theirs, each)
        },
    )?;
    let requests = ((options.rounds + 1) * THREADS * each) as f64;
    let cpu = |process: &Process, begun| process.cpu_since(begun).as_secs_f64() * 1e6 / requests;
    let remark = format!(
        "CPU of a request: {:.1} us, nginx {:.1} us",
        cpu(&cellar.process, begun.0),
        cpu(&nginx.process, begun.1)
    );
    let what = format!("PUT of 4 KiB on a tmpfs, relaxed, over {THREADS} connections");
    let row = Row::new(what, Unit::PerSecond, a).beside("nginx, dav module", b).target("0.8x");
    Ok(vec![row.peak(cellar.process.peak_rss()).remark(remark)])
}

/// New files, in a folder for each connection.
fn puts(address: SocketAddr, base: &'static str, round: usize, each: usize) -> Result<f64> {
    with_bodies(each, |folder| {
        let mut connection = Connection::to(address)?;
        Ok(move |i: usize, body: &[u8]| {
            connection.send("PUT", &format!("{base}/f{folder}/{round}-{i}.bin"), &[], body).map(drop)
        })
    })
}
