//! Whole trees: moving and deleting.

use std::time::Instant;

use crate::Result;
use crate::children::Cellar;
use crate::data::Tree;
use crate::export::BAR;
use crate::http::Connection;
use crate::options::Options;
use crate::table::{Row, Unit, median};

/// Taken together for one figure.
const REPEATED: usize = 5;

pub fn rows(options: &Options) -> Result<Vec<Row>> {
    let tree = Tree::small(options.scaled(10_000));
    let files = tree.files.len();
    let cellar = Cellar::start(&options.dir, "tree", &[])?;
    let mut connection = cellar.connect()?;
    connection.send("MKCOL", "/c/b", &[], b"")?;
    for n in 0..options.rounds {
        tree.write(&cellar.on_disk("b").join(format!("tree{n}")))?;
    }
    // Answered when the rows agree with the directories.
    connection.send("GET", "/c/b", &[BAR, ("If-None-Match", "*")], b"")?;
    cellar.process.forget_peak();
    let moves = (0..options.rounds).map(|_| there_and_back(&mut connection)).collect::<Result<Vec<f64>>>()?;
    let moving = cellar.process.peak_rss();
    cellar.process.forget_peak();
    let mut deletions = Vec::new();
    for n in 0..options.rounds {
        let begin = Instant::now();
        connection.send("DELETE", &format!("/c/b/tree{n}"), &[], b"")?;
        deletions.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let deleting = cellar.process.peak_rss();
    let ms = |what: String, figures| Row::new(what, Unit::Milliseconds, figures);
    Ok(vec![
        ms(format!("MOVE of a tree of {files} files"), moves).target("< 2 ms").peak(moving),
        ms(format!("DELETE of a tree of {files} files, answered"), deletions).target("< 5 ms").peak(deleting),
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
