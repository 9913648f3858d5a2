//! GET of a file of 4 KiB over kept connections, with a login, beside lighttpd and nginx without one.

use std::fs;
use std::net::SocketAddr;

use crate::Result;
use crate::children::{Cellar, Lighttpd, Nginx, Process};
use crate::crowd::at_once;
use crate::data::Random;
use crate::http::Connection;
use crate::options::Options;
use crate::table::{Row, Unit, in_turns, median};

const SIZE: usize = 4096;

pub fn rows(options: &Options) -> Result<Vec<Row>> {
    let mut random = Random::new(4);
    let content: Vec<u8> = (0..SIZE).map(|_| random.next() as u8).collect();
    let served = options.dir.join("get-served");
    fs::create_dir_all(&served)?;
    fs::write(served.join("small.bin"), &content)?;
    // The log of every request is not what is compared: the peers write none.
    let cellar = Cellar::start(&options.dir, "get", &[("CELLAR_LOG", "warn")])?;
    let mut connection = cellar.connect()?;
    connection.send("MKCOL", "/c/b", &[], b"")?;
    connection.send("PUT", "/c/b/small.bin", &[], &content)?;
    let (lighttpd, nginx) = (Lighttpd::start(&options.dir, &served)?, Nginx::start(&options.dir, &served)?);
    [1, 16, 64].into_iter().map(|connections| row(options, &cellar, &lighttpd, &nginx, connections)).collect()
}

fn row(options: &Options, cellar: &Cellar, lighttpd: &Lighttpd, nginx: &Nginx, connections: usize) -> Result<Row> {
    let each = options.scaled(60_000) / connections;
    let requests = ((options.rounds + 1) * each * connections) as f64;
    let processes = [&cellar.process, &lighttpd.process, &nginx.process];
    let begun = processes.map(Process::cpu);
    cellar.process.forget_peak();
    let mut nginx_rates = Vec::new();
    let (ours, theirs) = in_turns(
        options.rounds,
        || rate(cellar.address, "/c/b/small.bin", connections, each),
        || {
            nginx_rates.push(rate(nginx.address, "/small.bin", connections, each)?);
            rate(lighttpd.address, "/small.bin", connections, each)
        },
    )?;
    let cpu = |i: usize| processes[i].cpu_since(begun[i]).as_secs_f64() * 1e6 / requests;
    let remark = format!(
        "nginx: {:.0}/s; CPU of a request: {:.1} us, lighttpd {:.1} us, nginx {:.1} us",
        median(&nginx_rates[1..]),
        cpu(0),
        cpu(1),
        cpu(2)
    );
    let what = format!("GET of 4 KiB over {connections} connection{}", if connections == 1 { "" } else { "s" });
    let row = Row::new(what, Unit::PerSecond, ours).beside("lighttpd", theirs).target("1.0x");
    Ok(row.peak(cellar.process.peak_rss()).remark(remark))
}

/// Requests in a second, `each` of them over each connection.
fn rate(address: SocketAddr, target: &str, connections: usize, each: usize) -> Result<f64> {
    at_once(connections, each, |_| {
        let mut connection = Connection::to(address)?;
        Ok(move |_| {
            let got = connection.download("GET", target, &[])?;
            if got.bytes == SIZE as u64 { Ok(()) } else { Err(format!("{} bytes", got.bytes).into()) }
        })
    })
}
