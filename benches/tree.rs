//! Whole trees: moving, listing, deleting.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::Result;
use crate::children::Cellar;
use crate::data::Tree;
use crate::export::BAR;
use crate::http::Connection;
use crate::options::Options;
use crate::table::{Row, Unit, in_turns, median};

/// Taken together for one figure.
const REPEATED: usize = 5;

pub fn rows(options: &Options) -> Result<Vec<Row>> {
    let (tree, flat) = (Tree::small(options.scaled(10_000)), Tree::flat(options.scaled(10_000)));
    let files = tree.files.len();
    let cellar = Cellar::start(&options.dir, "tree", &[])?;
    cellar.adopt("flat", &flat)?;
    let mut connection = cellar.connect()?;
    connection.send("MKCOL", "/c/b", &[], b"")?;
    for n in 0..options.rounds {
        tree.write(&cellar.on_disk("b").join(format!("tree{n}")))?;
    }
    // Answered when the rows agree with the directories.
    for box_name in ["b", "flat"] {
        connection.send("GET", &format!("/c/{box_name}"), &[BAR, ("If-None-Match", "*")], b"")?;
    }
    let moves = (0..options.rounds).map(|_| there_and_back(&mut connection)).collect::<Result<Vec<f64>>>()?;
    cellar.process.forget_peak();
    let directory = cellar.on_disk("flat");
    let (listed, found) = in_turns(options.rounds, || listing(&mut connection), || find(&directory))?;
    let peak = cellar.process.peak_rss();
    let mut deletions = Vec::new();
    for n in 0..options.rounds {
        let begin = Instant::now();
        connection.send("DELETE", &format!("/c/b/tree{n}"), &[], b"")?;
        deletions.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let ms = |what: String, figures| Row::new(what, Unit::Milliseconds, figures);
    Ok(vec![
        ms(format!("MOVE of a tree of {files} files"), moves).target("< 2 ms"),
        ms(format!("PROPFIND of a folder of {} files", flat.files.len()), listed)
            .beside("find -printf", found)
            .peak(peak),
        ms(format!("DELETE of a tree of {files} files, answered"), deletions),
    ])
}

fn there_and_back(connection: &mut Connection) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..REPEATED {
        for (from, to) in [("/c/b/tree0", "/c/b/moved"), ("/c/b/moved", "/c/b/tree0")] {
            let begin = Instant::now();
            connection.send("MOVE", from, &[("Destination", to)], b"")?;
            times.push(begin.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok(median(&times))
}

fn listing(connection: &mut Connection) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..REPEATED {
        let d = connection.download("PROPFIND", "/c/flat/", &[("Depth", "1")])?;
        times.push(d.whole.as_secs_f64() * 1e3);
    }
    Ok(median(&times))
}

fn find(directory: &Path) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..REPEATED {
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
