//! PROPFIND of one folder, beside lighttpd's mod_webdav, which asks the disk where we ask rows.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::Result;
use crate::children::{Cellar, Lighttpd};
use crate::data::Tree;
use crate::export::BAR;
use crate::http::Connection;
use crate::options::Options;
use crate::table::{Row, Unit, in_turns, median};

/// What a client needs for a listing; lighttpd has all of them too.
const NAMED: &str = "<?xml version=\"1.0\"?><D:propfind xmlns:D=\"DAV:\"><D:prop><D:resourcetype/><D:getcontentlength/>\
    <D:getlastmodified/><D:getetag/><D:getcontenttype/></D:prop></D:propfind>";

pub fn rows(options: &Options) -> Result<Vec<Row>> {
    let cellar = Cellar::start(&options.dir, "listing", &[("CELLAR_LOG", "warn")])?;
    let sizes = [options.scaled(10_000), options.scaled(100)];
    for files in sizes {
        let box_name = format!("flat{files}");
        cellar.adopt(&box_name, &Tree::flat(files))?;
        // Answered when the rows agree with the directory.
        cellar.connect()?.send("GET", &format!("/c/{box_name}"), &[BAR, ("If-None-Match", "*")], b"")?;
    }
    // Of the same directories.
    let lighttpd = Lighttpd::with_dav(&options.dir, &cellar.root.join("cells/c/boxes"))?;
    let mut rows = Vec::new();
    for (files, repeated, target) in [(sizes[0], 5, "2.0x"), (sizes[1], 200, "1.5x")] {
        for (asked, body) in [("all properties", ""), ("five properties", NAMED)] {
            let what = format!("PROPFIND of a folder of {files} files, {asked}");
            rows.push(row(options, &cellar, &lighttpd, files, repeated, body, what)?.target(target));
        }
    }
    Ok(rows)
}

fn row(
    options: &Options,
    cellar: &Cellar,
    lighttpd: &Lighttpd,
    files: usize,
    repeated: usize,
    body: &str,
    what: String,
) -> Result<Row> {
    let (mut ours, mut theirs) = (cellar.connect()?, Connection::to(lighttpd.address)?);
    let directory = cellar.on_disk(&format!("flat{files}"));
    cellar.process.forget_peak();
    let (mut sizes, mut found) = ((0, 0), Vec::new());
    let (a, b) = in_turns(
        options.rounds,
        || listing(&mut ours, &format!("/c/flat{files}/"), repeated, body, &mut sizes.0),
        || {
            found.push(find(&directory, repeated)?);
            listing(&mut theirs, &format!("/flat{files}/"), repeated, body, &mut sizes.1)
        },
    )?;
    let remark = format!(
        "{:.0} bytes an entry, lighttpd {:.0}; find -printf: {:.2} ms",
        sizes.0 as f64 / files as f64,
        sizes.1 as f64 / files as f64,
        median(&found[1..]),
    );
    let row = Row::new(what, Unit::Milliseconds, a).beside("lighttpd, mod_webdav", b);
    Ok(row.peak(cellar.process.peak_rss()).remark(remark))
}

/// Milliseconds; the length of the answer is noted.
fn listing(connection: &mut Connection, target: &str, repeated: usize, body: &str, size: &mut u64) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..repeated {
        let headers: &[_] = &[("Depth", "1"), ("Content-Type", "application/xml")];
        let d = connection.exchange("PROPFIND", target, headers, body.as_bytes())?;
        *size = d.bytes;
        times.push(d.whole.as_secs_f64() * 1e3);
    }
    Ok(median(&times))
}

fn find(directory: &Path, repeated: usize) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..repeated.min(20) {
        let begin = Instant::now();
        let mut command = Command::new("find");
        command.arg(directory).args(["-maxdepth", "1", "-printf", "%p %y %s %T@ %C@ %i\n"]).stdout(Stdio::null());
        if !command.status()?.success() {
            return Err("find failed".into());
        }
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(&times))
}
