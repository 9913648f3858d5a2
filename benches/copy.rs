//! COPY of a whole tree, beside `cp -r`: answered when the system has it, and when the disk has it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::Result;
use crate::children::{Cellar, RELAXED, flush};
use crate::data::Tree;
use crate::export::BAR;
use crate::options::Options;
use crate::table::{Row, Unit, in_turns};

pub fn rows(options: &Options) -> Result<Vec<Row>> {
    Ok(vec![row(options, true)?, row(options, false)?])
}

fn row(options: &Options, relaxed: bool) -> Result<Row> {
    let tree = Tree::small(options.scaled(10_000));
    let name = if relaxed { "copy-relaxed" } else { "copy" };
    let cellar = Cellar::start(&options.dir, name, if relaxed { &[RELAXED] } else { &[] })?;
    let mut connection = cellar.connect()?;
    connection.send("MKCOL", "/c/b", &[], b"")?;
    tree.write(&cellar.on_disk("b").join("tree"))?;
    // Answered when the rows agree with the directories.
    connection.send("GET", "/c/b", &[BAR, ("If-None-Match", "*")], b"")?;
    let (source, beside) = (cellar.on_disk("b").join("tree"), options.dir.join(format!("{name}-beside")));
    std::fs::create_dir(&beside)?;
    let (mut ours, mut theirs) = (0, 0);
    let begun = cellar.process.cpu();
    cellar.process.forget_peak();
    let (a, b) = in_turns(
        options.rounds,
        || {
            ours += 1;
            flush(&options.dir)?;
            let begin = Instant::now();
            connection.send("COPY", "/c/b/tree", &[("Destination", &format!("/c/b/copy{ours}"))], b"")?;
            Ok(begin.elapsed().as_secs_f64() * 1e3)
        },
        || {
            theirs += 1;
            flush(&options.dir)?;
            cp(&source, &beside.join(theirs.to_string()), !relaxed)
        },
    )?;
    let cpu = cellar.process.cpu_since(begun).as_millis() / (options.rounds as u128 + 1);
    let (how, peer) = if relaxed { (", relaxed", "cp -r") } else { (", durable", "cp -r and sync") };
    let what = format!("COPY of a tree of {} files, {} MB{how}", tree.files.len(), tree.bytes() / 1_000_000);
    let row = Row::new(what, Unit::Milliseconds, a).beside(peer, b).target("1.0x");
    Ok(row.peak(cellar.process.peak_rss()).remark(format!("CPU of the server: {cpu} ms")))
}

fn cp(from: &Path, to: &Path, durable: bool) -> Result<f64> {
    let begin = Instant::now();
    let status = Command::new("cp").arg("-r").arg(from).arg(to).stdin(Stdio::null()).status()?;
    if !status.success() {
        return Err("cp -r failed".into());
    }
    if durable {
        flush(to)?;
    }
    Ok(begin.elapsed().as_secs_f64() * 1e3)
}
