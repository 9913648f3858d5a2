//! A whole cell out and in: from the request to the status being ready. Beside an export, the faster of `bsdtar` and `7z` at
//! their fastest level makes a zip of the same tree; beside an import, `ripunzip` unpacks the same file and it is synced.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;
use crate::children::Cellar;
use crate::data::Tree;
use crate::options::Options;
use crate::table::{Row, Unit, in_turns};

pub fn rows(options: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, tree) in [("small", Tree::small(options.scaled(10_000))), ("mixed", Tree::mixed(options.scaled(4600)))] {
        rows.extend(pair(options, name, &tree)?);
    }
    Ok(rows)
}

fn pair(options: &Options, name: &str, tree: &Tree) -> Result<[Row; 2]> {
    let cellar = Cellar::start(&options.dir, &format!("cell-{name}"), &[])?;
    cellar.fill("b", tree)?;
    let source = cellar.on_disk("b");
    let out = options.dir.join(format!("cell-{name}-out"));
    fs::create_dir(&out)?;
    cellar.process.forget_peak();
    let (mut exports, mut zips) = (0, 0);
    let (ours, theirs) = in_turns(
        options.rounds,
        || {
            exports += 1;
            job(&cellar, "__export", &format!("e{exports}"))
        },
        || {
            zips += 1;
            let bsdtar = ["--format=zip", "--options=compression-level=1", "-cf"];
            let tar = timed(
                Command::new("bsdtar")
                    .args(bsdtar)
                    .arg(out.join(format!("t{zips}.zip")))
                    .arg("-C")
                    .arg(&source)
                    .arg("."),
            )?;
            let seven = ["a", "-tzip", "-mx=1", "-mmt=2", "-bd"];
            let zip = timed(Command::new("7z").args(seven).arg(out.join(format!("s{zips}.zip"))).arg(&source))?;
            Ok(tar.min(zip))
        },
    )?;
    let peak = cellar.process.peak_rss();
    let file = cellar.root.join("cells/c/snapshot/e1.zip");
    let size = |path: &Path| fs::metadata(path).map_or(0, |m| m.len() / 1_000_000);
    let smallest = size(&out.join("t1.zip")).min(size(&out.join("s1.zip")));
    let what = format!("export of a cell of {} {name} files, {} MB", tree.files.len(), tree.bytes() / 1_000_000);
    let remark = format!("{} MB; the smaller of theirs {smallest} MB", size(&file));
    let export = Row::new(what, Unit::Milliseconds, ours).beside("bsdtar or 7z, fastest", theirs);
    let export = export.target("3.3x").peak(peak).remark(remark);

    cellar.process.forget_peak();
    let mut trees = 0;
    let (ours, theirs) = in_turns(
        options.rounds,
        || job(&cellar, "__import", "e1"),
        || {
            trees += 1;
            let target = out.join(trees.to_string());
            let ripunzip = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin/ripunzip");
            let unpacked =
                timed(Command::new(ripunzip).arg("unzip-file").arg("--output-directory").arg(&target).arg(&file))?;
            Ok(unpacked + timed(Command::new("sync").arg("-f").arg(&target))?)
        },
    )?;
    let what = format!("import of a cell of {} {name} files", tree.files.len());
    let import = Row::new(what, Unit::Milliseconds, ours).beside("ripunzip and sync", theirs);
    Ok([export, import.target("1.0x").peak(cellar.process.peak_rss())])
}

/// Milliseconds from the request until nothing is in progress.
fn job(cellar: &Cellar, endpoint: &str, name: &str) -> Result<f64> {
    let (target, mut connection) = (format!("/c/{endpoint}"), cellar.connect()?);
    let begin = Instant::now();
    connection.send("POST", &target, &[], format!("{{\"Name\":\"{name}\"}}").as_bytes())?;
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

/// Milliseconds that a program takes.
fn timed(command: &mut Command) -> Result<f64> {
    let begin = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() {
        Ok(begin.elapsed().as_secs_f64() * 1e3)
    } else {
        Err(format!("{command:?}: {status}").into())
    }
}
