//! Programs that are measured beside the server: how long they take, and how much CPU.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;

/// What a program took.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    pub ms: f64,
    pub cpu: Duration,
}

/// Runs a program to its end.
pub fn timed(command: &mut Command) -> Result<Taken> {
    let (begin, before) = (Instant::now(), children_cpu());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() {
        Ok(Taken { ms: begin.elapsed().as_secs_f64() * 1e3, cpu: children_cpu().saturating_sub(before) })
    } else {
        Err(format!("{command:?}: {status}").into())
    }
}

/// CPU time of all children of this process that have ended.
fn children_cpu() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    // The kernel's user-visible tick is 10 ms on every platform that matters here.
    Duration::from_millis((ticks(13) + ticks(14)) * 10)
}

/// Unpacks an archive with `ripunzip`, and syncs what it has written; milliseconds.
pub fn ripunzip(archive: &Path, to: &Path) -> Result<f64> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin/ripunzip");
    let unpacked = timed(Command::new(program).arg("unzip-file").arg("--output-directory").arg(to).arg(archive))?;
    Ok(unpacked.ms + timed(Command::new("sync").arg("-f").arg(to))?.ms)
}
