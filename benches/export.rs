//! A whole box as one archive over one connection, beside nginx sending the same bytes from a file with sendfile.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use crate::children::{Cellar, Nginx, Process};
use crate::data::Tree;
use crate::options::Options;
use crate::table::{Row, Unit, in_turns};
use crate::{Result, http};

/// What asks for an export.
pub const BAR: (&str, &str) = ("Accept", "application/zip+x-personium-bar");

pub fn rows(options: &Options) -> Result<Vec<Row>> {
    Ok(vec![
        row(options, "mixed", &Tree::mixed(options.scaled(4600)), "0.95x")?,
        row(options, "small", &Tree::small(options.scaled(10_000)), "0.6x")?,
    ])
}

fn row(options: &Options, name: &str, tree: &Tree, target: &'static str) -> Result<Row> {
    let cellar = Cellar::start(&options.dir, &format!("export-{name}"), &[])?;
    cellar.fill("b", tree)?;
    let served = options.dir.join("served");
    fs::create_dir_all(&served)?;
    save(&cellar, "b", &served.join(name))?;
    let nginx = Nginx::start(&options.dir, &served)?;
    cellar.process.forget_peak();
    let (mut ours, mut theirs) = (cellar.connect()?, http::Connection::to(nginx.address)?);
    let begun = (cellar.process.cpu(), nginx.process.cpu());
    let (a, b) = in_turns(
        options.rounds,
        || ours.download("GET", "/c/b", &[BAR]).map(|d| rate(&d)),
        || theirs.download("GET", &format!("/{name}"), &[]).map(|d| rate(&d)),
    )?;
    let runs = options.rounds as u32 + 1;
    let cpu = |process: &Process, begun: Duration| process.cpu_since(begun).as_millis() / u128::from(runs);
    let what = format!("export of {} {name} files, {} MB", tree.files.len(), tree.bytes() / 1_000_000);
    let remark = format!(
        "CPU of the server for one: {} ms, nginx {} ms (peak {} MiB)",
        cpu(&cellar.process, begun.0),
        cpu(&nginx.process, begun.1),
        nginx.process.peak_rss() / 1024,
    );
    let peak = cellar.process.peak_rss();
    Ok(Row::new(what, Unit::MegabytesPerSecond, a)
        .beside("nginx, ready zip", b)
        .target(target)
        .peak(peak)
        .remark(remark))
}

fn rate(d: &http::Download) -> f64 {
    d.bytes as f64 / 1e6 / d.whole.as_secs_f64()
}

/// Exports a box into a file.
pub fn save(cellar: &Cellar, box_name: &str, to: &Path) -> Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, fs::File::create(to)?);
    let mut connection = cellar.connect()?;
    connection.start("GET", &format!("/c/{box_name}"), &[BAR], b"")?;
    let head = connection.head()?;
    if head.status != 200 {
        return Err(format!("export of {box_name}: {}", head.status).into());
    }
    let mut written = Ok(());
    connection.each_piece(&head, |piece| {
        if written.is_ok() {
            written = file.write_all(piece);
        }
    })?;
    written?;
    Ok(file.into_inner()?.sync_all()?)
}
