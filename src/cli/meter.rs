//! How far something has come: a bar on a terminal, now and then a line elsewhere, events for programs.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::json;

use super::error::Error;
use super::printer::Printer;

/// How often a line is written where no terminal shows a bar.
const TELL: Duration = Duration::from_secs(10);
/// How often a bar is drawn, or an event written.
const DRAW: Duration = Duration::from_millis(100);
/// Characters of the bar.
const BAR: usize = 24;
/// A bar with fewer tells nothing.
const LEAST: usize = 5;
/// Columns of a terminal that does not tell.
const COLUMNS: usize = 80;

/// How far it is. What is not known is 0 or empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) percent: u64,
    pub(super) bytes: u64,
    pub(super) bytes_total: u64,
    pub(super) entries: u64,
    pub(super) entries_total: u64,
    /// Who must let go before it goes on.
    pub(super) waiting_for: Vec<String>,
}

impl Reading {
    pub(super) fn of_bytes(bytes: u64, bytes_total: u64) -> Self {
        let percent = (u128::from(bytes) * 100).checked_div(u128::from(bytes_total)).map_or(0, |p| p.min(100) as u64);
        Self { percent, bytes, bytes_total, ..Self::default() }
    }
}

/// Shows one thing that is under way.
pub(super) struct Meter<'p> {
    printer: &'p Printer,
    json: bool,
    /// What is under way, in a word.
    what: &'static str,
    began: Instant,
    /// When something was last shown, and what.
    shown: Option<(Instant, Reading)>,
    drawn: bool,
}

impl<'p> Meter<'p> {
    pub(super) fn new(printer: &'p Printer, json: bool, what: &'static str) -> Self {
        Self { printer, json, what, began: Instant::now(), shown: None, drawn: false }
    }

    /// Shows a reading if it is time for one.
    pub(super) fn show(&mut self, reading: Reading) -> Result<(), Error> {
        let now = Instant::now();
        let pause = if self.json || self.printer.interactive() { DRAW } else { TELL };
        // What takes no longer than a pause needs no line; that somebody is waited for is always told.
        let since = self.shown.as_ref().map_or(self.began, |(at, _)| *at);
        let told = self.shown.as_ref().is_some_and(|(_, last)| last.waiting_for == reading.waiting_for);
        let news = !reading.waiting_for.is_empty() && !told;
        if !news && (now - since < pause || self.shown.as_ref().is_some_and(|(_, last)| *last == reading)) {
            return Ok(());
        }
        let elapsed = self.began.elapsed();
        if self.json {
            self.printer.data(&event(self.what, &reading, elapsed).to_string())?;
        } else if self.printer.interactive() {
            self.drawn = true;
            let mut err = std::io::stderr().lock();
            // Nobody is left to hear that this could not be said.
            let _ = write!(err, "\r{}\x1b[K", line(self.what, &reading, elapsed, columns()));
            let _ = err.flush();
        } else {
            self.printer.say(&text(self.what, &reading, elapsed));
        }
        self.shown = Some((now, reading));
        Ok(())
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        if self.drawn {
            // The line of the bar goes: what has become of it is said on one of its own.
            let mut err = std::io::stderr().lock();
            let _ = write!(err, "\r\x1b[K");
            let _ = err.flush();
        }
    }
}

fn columns() -> usize {
    match rustix::termios::tcgetwinsize(std::io::stderr()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => COLUMNS,
    }
}

/// Bytes in a second, and the seconds that are left.
fn pace(reading: &Reading, elapsed: Duration) -> (u64, Option<u64>) {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let left = match reading.percent {
        0 if reading.bytes == 0 => None,
        percent @ 1..=99 if reading.entries_total > 0 => Some(seconds * (100 - percent) as f64 / percent as f64),
        _ => Some(seconds * reading.bytes_total.saturating_sub(reading.bytes) as f64 / reading.bytes.max(1) as f64),
    };
    ((reading.bytes as f64 / seconds) as u64, left.map(|left| left.ceil() as u64))
}

fn event(what: &str, reading: &Reading, elapsed: Duration) -> serde_json::Value {
    let Reading { percent, bytes, bytes_total, entries, entries_total, waiting_for } = reading;
    let (rate, left) = pace(reading, elapsed);
    json!({
        "message_type": "progress", "what": what, "percent": percent, "bytes": bytes, "bytes_total": bytes_total,
        "entries": entries, "entries_total": entries_total, "bytes_per_second": rate, "seconds_left": left,
        "waiting_for": waiting_for,
    })
}

/// What a reading says, in parts.
fn parts(reading: &Reading, elapsed: Duration) -> Vec<String> {
    let (rate, left) = pace(reading, elapsed);
    let mut parts = vec![format!("{:3} %", reading.percent)];
    if reading.bytes_total > 0 {
        parts.push(format!("{}/{}", size(reading.bytes), size(reading.bytes_total)));
    }
    if reading.entries_total > 0 {
        parts.push(format!("{}/{} entries", reading.entries, reading.entries_total));
    }
    if reading.bytes > 0 {
        parts.push(format!("{}/s", size(rate)));
    }
    if let Some(left) = left.filter(|_| reading.percent < 100) {
        parts.push(format!("{} left", time(left)));
    }
    parts
}

/// A line of its own.
fn text(what: &str, reading: &Reading, elapsed: Duration) -> String {
    if !reading.waiting_for.is_empty() {
        return format!("{what}: waiting for {} to let go of the cell", reading.waiting_for.join(", "));
    }
    format!("{what} {}", parts(reading, elapsed).join(", "))
}

/// A line that is written over, with a bar as wide as there is room for.
fn line(what: &str, reading: &Reading, elapsed: Duration, columns: usize) -> String {
    let all = if reading.waiting_for.is_empty() {
        let told = parts(reading, elapsed).join("  ");
        let room = columns.saturating_sub(what.len() + told.len() + 5).min(BAR);
        let done = reading.percent.min(100) as usize * room / 100;
        match room {
            0..LEAST => format!("{what} {told}"),
            _ => format!("{what} [{}{}] {told}", "#".repeat(done), " ".repeat(room - done)),
        }
    } else {
        text(what, reading, elapsed)
    };
    all.chars().take(columns.saturating_sub(1)).collect()
}

/// Bytes for people.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value >= 100.0 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// Seconds for people.
fn time(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{}:{:02} h", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half() -> Reading {
        let (bytes, bytes_total) = (600 << 20, 1200 << 20);
        Reading { percent: 50, bytes, bytes_total, entries: 10, entries_total: 20, waiting_for: Vec::new() }
    }

    #[test]
    fn a_reading_tells_bytes_entries_rate_and_what_is_left() {
        let told = text("export", &half(), Duration::from_mins(1));
        assert_eq!(told, "export  50 %, 600 MiB/1.2 GiB, 10/20 entries, 10.0 MiB/s, 1:00 min left");
        let told = line("export", &half(), Duration::from_mins(1), 120);
        assert!(told.starts_with("export [############            ]  50 %"), "{told}");
        let told = line("export", &half(), Duration::from_mins(1), COLUMNS);
        assert!(told.contains("[##") && told.ends_with("left") && told.len() < COLUMNS, "{told}");
        assert_eq!(line("export", &half(), Duration::from_mins(1), 40).chars().count(), 39);
        let event = event("export", &half(), Duration::from_mins(1));
        assert_eq!((event["bytes_per_second"].as_u64(), event["seconds_left"].as_u64()), (Some(10 << 20), Some(60)));
    }

    #[test]
    fn nothing_is_said_of_what_is_not_known() {
        assert_eq!(text("upload", &Reading::default(), Duration::ZERO), "upload   0 %");
        assert_eq!(Reading::of_bytes(5, 0).percent, 0);
        assert_eq!(Reading::of_bytes(5, 10).percent, 50);
        let waiting = Reading { waiting_for: vec!["process 7 (x)".to_owned()], ..half() };
        assert_eq!(text("import", &waiting, Duration::ZERO), "import: waiting for process 7 (x) to let go of the cell");
    }

    #[test]
    fn sizes_and_times_for_people() {
        for (bytes, shown) in
            [(0, "0 B"), (999, "999 B"), (1000, "1.0 KiB"), (1 << 20, "1.0 MiB"), (5 << 40, "5.0 TiB")]
        {
            assert_eq!(size(bytes), shown);
        }
        for (seconds, shown) in [(5, "5 s"), (65, "1:05 min"), (7260, "2:01 h")] {
            assert_eq!(time(seconds), shown);
        }
    }
}
