//! `sync-collection` (RFC 6578): ten changes among a hundred thousand files.

use std::time::Instant;

use crate::Result;
use crate::children::Cellar;
use crate::data::Tree;
use crate::export::BAR;
use crate::http::Connection;
use crate::options::Options;
use crate::table::{Row, Unit, median};

/// Reports with one token, taken together for one figure.
const REPEATED: usize = 20;

/// Files written over, new ones, and removed ones in each round.
const CHANGES: (usize, usize, usize) = (6, 2, 2);

pub fn rows(options: &Options) -> Result<Vec<Row>> {
    let files = options.scaled(100_000);
    let cellar = Cellar::start(&options.dir, "changes", &[("CELLAR_LOG", "warn")])?;
    let trees = [("tree", "infinite", Tree::many(files)), ("flat", "1", Tree::flat(files))];
    let mut rows = Vec::new();
    for (box_name, level, tree) in &trees {
        cellar.adopt(box_name, tree)?;
        // Answered when the rows agree with the directories.
        cellar.connect()?.send("GET", &format!("/c/{box_name}"), &[BAR, ("If-None-Match", "*")], b"")?;
        rows.push(row(options, &cellar, box_name, level, tree)?);
    }
    Ok(rows)
}

fn row(options: &Options, cellar: &Cellar, box_name: &str, level: &str, tree: &Tree) -> Result<Row> {
    let mut connection = cellar.connect()?;
    // All of it, which begins with an empty token.
    let begin = Instant::now();
    let (mut token, everything) = report(&mut connection, box_name, level, "")?;
    let all = begin.elapsed().as_secs_f64() * 1e3;
    if everything < tree.files.len() {
        return Err(format!("{everything} of {} files reported", tree.files.len()).into());
    }
    cellar.process.forget_peak();
    let (mut first, mut figures) = (Vec::new(), Vec::new());
    let needed = (options.rounds + 1) * (CHANGES.0 + CHANGES.2);
    let step = (tree.files.len() / needed).max(1);
    let mut files = tree.files.iter().map(|file| format!("/c/{box_name}/{}", file.path)).step_by(step);
    for round in 0..=options.rounds {
        change(&mut connection, box_name, round, &mut files)?;
        let mut times = Vec::new();
        let mut next = String::new();
        for _ in 0..REPEATED {
            let begin = Instant::now();
            let (new, told) = report(&mut connection, box_name, level, &token)?;
            times.push(begin.elapsed().as_secs_f64() * 1e3);
            if told != CHANGES.0 + CHANGES.1 + CHANGES.2 {
                return Err(format!("{told} changes reported").into());
            }
            next = new;
        }
        token = next;
        first.push(times[0]);
        figures.push(median(&times));
    }
    let what = format!("sync-collection, level {level}, of 10 changes among {} files", tree.files.len());
    // The first round warmed up.
    let remark = format!("the first after the changes: {:.2} ms; all files: {all:.0} ms", median(&first[1..]));
    let row = Row::new(what, Unit::Milliseconds, figures.split_off(1)).target("< 5 ms");
    Ok(row.peak(cellar.process.peak_rss()).remark(remark))
}

fn change(
    connection: &mut Connection,
    box_name: &str,
    round: usize,
    files: &mut impl Iterator<Item = String>,
) -> Result<()> {
    let mut next = || files.next().ok_or("too many rounds for the files");
    for _ in 0..CHANGES.0 {
        connection.send("PUT", &next()?, &[], format!("round {round}").as_bytes())?;
    }
    for i in 0..CHANGES.1 {
        connection.send("PUT", &format!("/c/{box_name}/new-{round}-{i}.txt"), &[], b"new")?;
    }
    for _ in 0..CHANGES.2 {
        connection.send("DELETE", &next()?, &[], b"")?;
    }
    Ok(())
}

/// The new token, and how many members were told of.
fn report(connection: &mut Connection, box_name: &str, level: &str, token: &str) -> Result<(String, usize)> {
    let body = format!(
        "<?xml version=\"1.0\"?><D:sync-collection xmlns:D=\"DAV:\"><D:sync-token>{token}</D:sync-token>\
         <D:sync-level>{level}</D:sync-level><D:prop><D:resourcetype/><D:getetag/><D:getcontentlength/>\
         <D:getlastmodified/></D:prop></D:sync-collection>"
    );
    let headers: &[_] = &[("Depth", "0"), ("Content-Type", "application/xml")];
    let (_, body) = connection.send("REPORT", &format!("/c/{box_name}/"), headers, body.as_bytes())?;
    let text = String::from_utf8_lossy(&body);
    let token = text.rsplit_once("</D:sync-token>").and_then(|(before, _)| before.rsplit_once('>'));
    let (_, token) = token.ok_or_else(|| format!("no token in {}", &text[..text.len().min(300)]))?;
    Ok((token.to_owned(), text.matches("</D:response>").count()))
}
