//! How soon an export of a large box begins, how soon a range of it comes, and what slow clients cost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Result;
use crate::children::Cellar;
use crate::data::Tree;
use crate::export::BAR;
use crate::http::Connection;
use crate::options::Options;
use crate::table::{Row, Unit};

const SLOW_CLIENTS: usize = 8;
/// What a slow client reads at a time, and how long it waits in between: about 1 MB/s.
const SIP: usize = 16 << 10;
const PAUSE: Duration = Duration::from_millis(16);
const SLOW_FOR: Duration = Duration::from_secs(4);

pub fn rows(options: &Options) -> Result<Vec<Row>> {
    let files = options.scaled(100_000);
    let cellar = Cellar::start(&options.dir, "first", &[])?;
    cellar.adopt("b", &Tree::many(files))?;
    let mut connection = cellar.connect()?;
    // Answered 304 once the rows agree with the directories: from here on there is nothing to adopt.
    connection.send("GET", "/c/b", &[BAR, ("If-None-Match", "*")], b"")?;
    // Whoever reads all of it once leaves the checksums of adopted files behind.
    connection.download("GET", "/c/b", &[BAR])?;
    connection.download("GET", "/c/b", &[BAR])?;
    cellar.process.forget_peak();
    let idle = cellar.process.rss();

    let (mut first, mut again, mut middle) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=options.rounds {
        // URLs of the unit are part of an archive: under another name of the host there is none yet.
        let host = format!("round-{round}.example");
        let host = [BAR, ("Host", host.as_str())];
        let (ms, length) = first_byte(&cellar, &host)?;
        first.push(ms);
        again.push(first_byte(&cellar, &host)?.0);
        let range = format!("bytes={}-{}", length / 2, length / 2 + 65_535);
        let mut connection = cellar.connect()?;
        let d = connection.download("GET", "/c/b", &[host[0], host[1], ("Range", &range)])?;
        middle.push(ms_of(d.whole));
    }
    // The first round warmed up.
    for figures in [&mut first, &mut again, &mut middle] {
        figures.remove(0);
    }
    let peak = cellar.process.peak_rss();
    let ms = |what: String, figures| Row::new(what, Unit::Milliseconds, figures);
    let remark = format!("{} MiB before", idle / 1024);
    let mut rows = vec![
        ms(format!("first byte of an export of {files} files, first time"), first)
            .target("< 150 ms")
            .peak(peak)
            .remark(remark),
        ms("the same again".to_owned(), again).target("< 50 ms"),
        ms("64 KiB from the middle of that export".to_owned(), middle).target("< 10 ms"),
    ];
    rows.push(slow_clients(&cellar)?);
    Ok(rows)
}

fn ms_of(d: Duration) -> f64 {
    d.as_secs_f64() * 1e3
}

/// Milliseconds to the first byte of the body, and the length; the rest is not read.
fn first_byte(cellar: &Cellar, headers: &[(&str, &str)]) -> Result<(f64, u64)> {
    let mut connection = cellar.connect()?;
    let begin = Instant::now();
    connection.start("GET", "/c/b", headers, b"")?;
    let head = connection.head()?;
    let length = head.length.ok_or("an export without a length")?;
    connection.need_a_byte()?;
    Ok((ms_of(begin.elapsed()), length))
}

fn slow_clients(cellar: &Cellar) -> Result<Row> {
    cellar.process.forget_peak();
    let before = (cellar.process.rss(), cellar.process.descriptors());
    let done = AtomicBool::new(false);
    let (mut descriptors, mut rss, mut first_byte) = (0, Vec::new(), Vec::new());
    std::thread::scope(|scope| -> Result<()> {
        let clients: Vec<_> = (0..SLOW_CLIENTS)
            .map(|_| {
                scope.spawn(|| -> Result<f64> {
                    let mut connection: Connection = cellar.connect()?;
                    let begin = Instant::now();
                    connection.start("GET", "/c/b", &[BAR], b"")?;
                    connection.head()?;
                    connection.need_a_byte()?;
                    let first = ms_of(begin.elapsed());
                    while !done.load(Ordering::Relaxed) {
                        connection.sip(SIP)?;
                        std::thread::sleep(PAUSE);
                    }
                    Ok(first)
                })
            })
            .collect();
        let begin = Instant::now();
        while begin.elapsed() < SLOW_FOR {
            std::thread::sleep(Duration::from_millis(100));
            descriptors = descriptors.max(cellar.process.descriptors());
            rss.push(cellar.process.rss());
        }
        done.store(true, Ordering::Relaxed);
        for client in clients {
            first_byte.push(client.join().map_err(|_| "a client panicked")??);
        }
        Ok(())
    })?;
    let half = rss.get(rss.len() / 2).copied().unwrap_or(0);
    let remark = format!(
        "RSS {} MiB before, {} half-way, {} at the end; descriptors {} before, at most {descriptors}",
        before.0 / 1024,
        half / 1024,
        rss.last().copied().unwrap_or(0) / 1024,
        before.1,
    );
    let what = format!("first byte for {SLOW_CLIENTS} clients at once, which then read 1 MB/s");
    Ok(Row::new(what, Unit::Milliseconds, first_byte).target("flat").peak(cellar.process.peak_rss()).remark(remark))
}
