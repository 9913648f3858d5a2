//! A whole cell out and in: from the request to the status being ready. Beside an export, four programs make a zip of the same
//! tree, at their fastest level and at level 6; beside an import, `ripunzip` unpacks the same file and it is synced. And what
//! small requests notice of an export.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Result;
use crate::children::Cellar;
use crate::data::Tree;
use crate::options::Options;
use crate::programs::{Taken, ripunzip, timed};
use crate::table::{Row, Unit, in_turns, median};

pub fn rows(options: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let trees = [
        ("small", Tree::small(options.scaled(10_000))),
        ("mixed", Tree::mixed(options.scaled(4600))),
        ("prose", Tree::prose(options.scaled(4600))),
    ];
    for (name, tree) in trees {
        let cell = Filled::new(options, name, tree)?;
        rows.push(cell.exports(options, 1, "3.3x")?);
        rows.push(cell.exports(options, 6, "5.0x")?);
        if name != "prose" {
            rows.push(cell.imports(options)?);
        }
        if name == "mixed" {
            rows.push(cell.noticed(options, 1)?);
            rows.push(cell.noticed(options, 16)?);
        }
    }
    Ok(rows)
}

/// The programs, with how they make an archive of the directory that they run in at a level.
const PROGRAMS: [&str; 4] = ["zip", "bsdtar", "7z", "python"];

const PYTHON: &str = "import os, sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED, compresslevel=int(sys.argv[2])) as z:
    for top, _, names in os.walk('.'):
        for name in names:
            z.write(os.path.join(top, name))";

fn command(program: &str, level: u32, to: &Path) -> Command {
    let mut command;
    match program {
        "zip" => {
            command = Command::new("zip");
            command.args(["-q", "-r", &format!("-{level}")]).arg(to).arg(".");
        }
        "bsdtar" => {
            command = Command::new("bsdtar");
            command.args(["--format=zip", &format!("--options=compression-level={level}"), "-cf"]).arg(to).arg(".");
        }
        "7z" => {
            command = Command::new("7z");
            command.args(["a", "-tzip", &format!("-mx={level}"), "-mmt=2", "-bd"]).arg(to).arg(".");
        }
        _ => {
            command = Command::new("python3");
            command.args(["-c", PYTHON]).arg(to).arg(level.to_string());
        }
    }
    command
}

struct Filled {
    cellar: Cellar,
    name: &'static str,
    tree: Tree,
    out: std::path::PathBuf,
}

impl Filled {
    fn new(options: &Options, name: &'static str, tree: Tree) -> Result<Self> {
        let cellar = Cellar::start(&options.dir, &format!("cell-{name}"), &[])?;
        cellar.fill("b", &tree)?;
        let out = options.dir.join(format!("cell-{name}-out"));
        fs::create_dir(&out)?;
        Ok(Self { cellar, name, tree, out })
    }

    fn about(&self) -> String {
        format!("{} {} files, {} MB", self.tree.files.len(), self.name, self.tree.bytes() / 1_000_000)
    }

    fn snapshot(&self, name: &str) -> std::path::PathBuf {
        self.cellar.root.join(format!("cells/c/snapshot/{name}.zip"))
    }

    /// Exports at a level, beside the fastest of the programs in each round.
    fn exports(&self, options: &Options, level: u32, target: &'static str) -> Result<Row> {
        let cellar = &self.cellar;
        cellar.process.forget_peak();
        let (mut exports, mut rounds) = (0, 0);
        let (mut cpu, mut theirs): (Vec<f64>, Vec<Vec<Taken>>) = (Vec::new(), vec![Vec::new(); PROGRAMS.len()]);
        let (ours, fastest) = in_turns(
            options.rounds,
            || {
                exports += 1;
                let before = cellar.process.cpu();
                let took = job(cellar, "__export", &format!("{{\"Name\":\"l{level}-{exports}\",\"Level\":{level}}}"))?;
                cpu.push(cellar.process.cpu_since(before).as_secs_f64());
                Ok(took)
            },
            || {
                rounds += 1;
                let mut fastest = f64::INFINITY;
                for (program, taken) in PROGRAMS.iter().zip(&mut theirs) {
                    let to = self.out.join(format!("{program}-{level}.zip"));
                    if to.exists() {
                        fs::remove_file(&to)?;
                    }
                    let took = timed(command(program, level, &to).current_dir(cellar.on_disk("b")))?;
                    fastest = fastest.min(took.ms);
                    taken.push(took);
                }
                Ok(fastest)
            },
        )?;
        let peak = cellar.process.peak_rss();
        let megabytes = |path: &Path| fs::metadata(path).map_or(0.0, |m| m.len() as f64 / 1e6);
        let each: Vec<String> = PROGRAMS
            .iter()
            .zip(&theirs)
            .map(|(program, taken)| {
                let ms: Vec<f64> = taken[1..].iter().map(|t| t.ms).collect();
                let cpu: Vec<f64> = taken[1..].iter().map(|t| t.cpu.as_secs_f64()).collect();
                let size = megabytes(&self.out.join(format!("{program}-{level}.zip")));
                format!("{program} {:.0} ms, {:.2} s, {size:.1} MB", median(&ms), median(&cpu))
            })
            .collect();
        let size = megabytes(&self.snapshot(&format!("l{level}-1")));
        let remark = format!("CPU {:.2} s, {size:.1} MB; {}", median(&cpu[1..]), each.join("; "));
        let row = Row::new(format!("export of a cell of {}, level {level}", self.about()), Unit::Milliseconds, ours);
        Ok(row.beside("the fastest of zip, bsdtar, 7z, python", fastest).target(target).peak(peak).remark(remark))
    }

    fn imports(&self, options: &Options) -> Result<Row> {
        let cellar = &self.cellar;
        cellar.process.forget_peak();
        let mut trees = 0;
        let (ours, theirs) = in_turns(
            options.rounds,
            || job(cellar, "__import", "{\"Name\":\"l1-1\"}"),
            || {
                trees += 1;
                ripunzip(&self.snapshot("l1-1"), &self.out.join(trees.to_string()))
            },
        )?;
        let row = Row::new(format!("import of a cell of {}", self.about()), Unit::Milliseconds, ours);
        Ok(row.beside("ripunzip and sync", theirs).target("1.0x").peak(cellar.process.peak_rss()))
    }

    /// The slowest hundredth of small GETs, while nothing else happens and while the cell is exported.
    fn noticed(&self, options: &Options, connections: usize) -> Result<Row> {
        let cellar = &self.cellar;
        cellar.connect()?.send("PUT", "/c/b/noticed", &[], &[7; 4096])?;
        let mut exports = 0;
        let (during, idle) = in_turns(
            options.rounds,
            || {
                exports += 1;
                let over = AtomicBool::new(false);
                std::thread::scope(|scope| {
                    let export = scope.spawn(|| {
                        let done = job(cellar, "__export", &format!("{{\"Name\":\"n{connections}-{exports}\"}}"));
                        over.store(true, Ordering::Relaxed);
                        done
                    });
                    let latency = slowest_hundredth(cellar, connections, || over.load(Ordering::Relaxed))?;
                    export.join().map_err(|_| "a panic")??;
                    Ok(latency)
                })
            },
            || {
                let begin = Instant::now();
                slowest_hundredth(cellar, connections, || begin.elapsed() > Duration::from_secs(3))
            },
        )?;
        let over = if connections == 1 { "1 connection".to_owned() } else { format!("{connections} connections") };
        let row = Row::new(
            format!("p99 of GET of 4 KiB over {over} while that cell is exported"),
            Unit::Milliseconds,
            during,
        );
        Ok(row.beside("idle", idle).target("0.5x"))
    }
}

/// Milliseconds that all but one in a hundred requests stay below.
fn slowest_hundredth(cellar: &Cellar, connections: usize, over: impl Fn() -> bool + Sync) -> Result<f64> {
    let one = || -> Result<Vec<f64>> {
        let (mut connection, mut times) = (cellar.connect()?, Vec::new());
        while !over() || times.len() < 100 {
            let begin = Instant::now();
            connection.send("GET", "/c/b/noticed", &[], b"")?;
            times.push(begin.elapsed().as_secs_f64() * 1e3);
            // As people ask: now and then.
            std::thread::sleep(Duration::from_micros(500) * connections as u32);
        }
        Ok(times)
    };
    let mut times = std::thread::scope(|scope| -> Result<Vec<f64>> {
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(one)).collect();
        let mut times = Vec::new();
        for thread in threads {
            times.extend(thread.join().map_err(|_| "a panic")??);
        }
        Ok(times)
    })?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() * 99 / 100])
}

/// Milliseconds from the request until nothing is in progress. An export's file is looked for on disk before its status is
/// asked, since a hundred questions a second take a part of the cores that the peers have for themselves.
fn job(cellar: &Cellar, endpoint: &str, body: &str) -> Result<f64> {
    let (target, mut connection) = (format!("/c/{endpoint}"), cellar.connect()?);
    let named = body.split('"').nth(3).filter(|_| endpoint == "__export");
    let file = named.map(|name| cellar.root.join(format!("cells/c/snapshot/{name}.zip")));
    let begin = Instant::now();
    connection.send("POST", &target, &[], body.as_bytes())?;
    while let Some(file) = &file
        && !file.exists()
        && begin.elapsed() < Duration::from_mins(10)
    {
        std::thread::sleep(Duration::from_millis(1));
    }
    loop {
        let (_, body) = connection.send("GET", &target, &[], b"")?;
        let text = String::from_utf8_lossy(&body);
        if text.contains("\"status\":\"ready\"") {
            return Ok(begin.elapsed().as_secs_f64() * 1e3);
        }
        if text.contains("failed") {
            return Err(format!("{target}: {text}").into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
