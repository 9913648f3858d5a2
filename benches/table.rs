//! Figures and how they are shown: medians of rounds, ratios of rounds taken in turn, and the table of `docs/benchmarks.md`.

use std::fmt::Write as _;
use std::fs;

use crate::Result;

/// What a figure counts, and with it which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    MegabytesPerSecond,
    PerSecond,
    Milliseconds,
}

/// What was measured in the rounds.
#[derive(Debug, Clone)]
pub struct Row {
    what: String,
    unit: Unit,
    ours: Vec<f64>,
    peer: Option<(String, Vec<f64>)>,
    target: &'static str,
    /// Peak memory of the server, KiB.
    peak: Option<u64>,
    remark: String,
}

impl Row {
    pub fn new(what: impl Into<String>, unit: Unit, ours: Vec<f64>) -> Self {
        Self { what: what.into(), unit, ours, peer: None, target: "", peak: None, remark: String::new() }
    }

    pub fn beside(mut self, peer: impl Into<String>, figures: Vec<f64>) -> Self {
        self.peer = Some((peer.into(), figures));
        self
    }

    pub fn target(mut self, target: &'static str) -> Self {
        self.target = target;
        self
    }

    pub fn peak(mut self, kib: u64) -> Self {
        self.peak = Some(kib);
        self
    }

    pub fn remark(mut self, remark: impl Into<String>) -> Self {
        self.remark = remark.into();
        self
    }

    /// How many times as fast as the peer, in each round.
    fn ratios(&self) -> Vec<f64> {
        let Some((_, peer)) = &self.peer else { return Vec::new() };
        let ratio = |(ours, peer): (&f64, &f64)| match self.unit {
            Unit::Milliseconds => peer / ours,
            Unit::MegabytesPerSecond | Unit::PerSecond => ours / peer,
        };
        self.ours.iter().zip(peer).map(ratio).collect()
    }

    fn cells(&self) -> [String; 7] {
        let ratios = self.ratios();
        let ratio = if ratios.is_empty() { String::new() } else { with_range(&ratios, "x") };
        let unit = match self.unit {
            Unit::MegabytesPerSecond => " MB/s",
            Unit::PerSecond => "/s",
            Unit::Milliseconds => " ms",
        };
        let peer =
            self.peer.as_ref().map_or_else(String::new, |(name, f)| format!("{name}: {}{unit}", short(median(f))));
        [
            self.what.clone(),
            with_range(&self.ours, unit),
            peer,
            ratio,
            self.target.to_owned(),
            self.peak.map_or_else(String::new, |kib| format!("{} MiB", kib / 1024)),
            self.remark.clone(),
        ]
    }
}

pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn short(n: f64) -> String {
    match n {
        n if n >= 100.0 => format!("{n:.0}"),
        n if n >= 10.0 => format!("{n:.1}"),
        n => format!("{n:.2}"),
    }
}

fn with_range(figures: &[f64], unit: &str) -> String {
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let most = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{}{unit} ({}-{})", short(median(figures)), short(least), short(most))
}

const TITLES: [&str; 7] = ["what", "cellar", "peer", "times as fast", "wanted", "peak RSS", "remark"];

pub fn markdown(rows: &[Row]) -> String {
    let mut text = format!("| {} |\n|{}\n", TITLES.join(" | "), "---|".repeat(TITLES.len()));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.cells().join(" | "));
    }
    text
}

/// For a terminal, while the others still run.
pub fn plain(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let [what, rest @ ..] = row.cells();
        let _ = writeln!(text, "  {what}");
        for (title, cell) in TITLES[1..].iter().zip(rest).filter(|(_, cell)| !cell.is_empty()) {
            let _ = writeln!(text, "    {title:14} {cell}");
        }
    }
    text
}

const BEGIN: &str = "<!-- table: written by benches/run --write -->\n";
const END: &str = "<!-- end of table -->";

/// Replaces the table between the marks of a document.
pub fn update(document: &str, table: &str) -> Result<()> {
    let text = fs::read_to_string(document)?;
    let (before, rest) = text.split_once(BEGIN).ok_or_else(|| format!("{document} has no mark for the table"))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| format!("{document} has no mark for the table's end"))?;
    fs::write(document, format!("{before}{BEGIN}{table}{END}{after}"))?;
    Ok(())
}

/// One round without measuring, then the two in turns; their figures.
pub fn in_turns(
    rounds: usize,
    mut ours: impl FnMut() -> Result<f64>,
    mut peer: impl FnMut() -> Result<f64>,
) -> Result<(Vec<f64>, Vec<f64>)> {
    ours()?;
    peer()?;
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        a.push(ours()?);
        b.push(peer()?);
    }
    Ok((a, b))
}
