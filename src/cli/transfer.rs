//! `cellar cell export` and `cellar cell import`: whole cells out and in, in a unit on this machine.
//!
//! An export works beside a running server; an import needs the cell for itself. Whoever interrupts finds the cell as it was.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::args::CellPlace;
use super::error::Error;
use super::exit::Exit;
use super::printer::Printer;
use super::snapshot::{failed, get, open, put, remove};
use crate::base::{clock, id};
use crate::domain::event::EventLog;
use crate::snapshot::export::ExportOf;
use crate::snapshot::transfers::{Asked, Refused, Rules, Status, Transfers};
use crate::storage::Unit;
use crate::storage::cell::Limits;
use crate::storage::database::area::TransferKind;
use crate::storage::unit::Role;

/// How often the progress is looked at, and how often it is told where no terminal shows it.
const LOOK: Duration = Duration::from_millis(100);
const TELL: Duration = Duration::from_secs(10);
/// Characters of the bar.
const BAR: usize = 30;

/// `cellar cell export`.
pub(super) fn export(
    place: &CellPlace,
    name: Option<&str>,
    output: Option<&Path>,
    level: u32,
    printer: &Printer,
) -> Result<Exit, Error> {
    let unit = Unit::open(&place.root, Role::Tool, Limits::default())?;
    with_job(place, unit, level, printer, |job| job.export(name, output, level))
}

/// `cellar cell import`. It would lose what a server writes meanwhile, so there must be none.
pub(super) fn import(place: &CellPlace, file: &Path, printer: &Printer) -> Result<Exit, Error> {
    // Only what is a unit already is opened as a server opens it.
    drop(Unit::open(&place.root, Role::Tool, Limits::default())?);
    let unit = Unit::open(&place.root, Role::Server, Limits::default())?;
    with_job(place, unit, 1, printer, |job| job.import(file))
}

fn with_job(
    place: &CellPlace,
    unit: Unit,
    level: u32,
    printer: &Printer,
    run: impl FnOnce(&Job<'_>) -> Result<(), Error>,
) -> Result<Exit, Error> {
    let unit = Arc::new(unit);
    let rules = Rules { exclusive: false, queue: 1, level };
    let transfers = Transfers::new(unit.clone(), Arc::new(EventLog::new(false)), rules);
    let done = run(&Job { place, unit: &unit, transfers: &transfers, printer, interrupted: interruption()? });
    transfers.close();
    unit.close();
    done.map(|()| Exit::Ok)
}

/// Becomes true when somebody presses Ctrl-C or the process is asked to end.
pub(super) fn interruption() -> Result<Arc<AtomicBool>, Error> {
    let system = |source| Error::System { op: "listen for signals", source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
    let mut signals = runtime.block_on(async { crate::server::shutdown::Signals::listen() }).map_err(system)?;
    let flag = Arc::new(AtomicBool::new(false));
    let told = flag.clone();
    std::thread::spawn(move || {
        runtime.block_on(signals.next());
        told.store(true, Ordering::Relaxed);
    });
    Ok(flag)
}

struct Job<'a> {
    place: &'a CellPlace,
    unit: &'a Arc<Unit>,
    transfers: &'a Arc<Transfers>,
    printer: &'a Printer,
    interrupted: Arc<AtomicBool>,
}

impl Job<'_> {
    fn asked(&self) -> Asked {
        Asked { request_key: id::request_key(), cell_url: format!("personium-localunit:/{}/", self.place.cell) }
    }

    fn export(&self, name: Option<&str>, output: Option<&Path>, level: u32) -> Result<(), Error> {
        let cell = open(self.unit, self.place)?;
        let record = self.unit.record(cell.name()).map_err(failed)?;
        let record = record.ok_or_else(|| Error::NoCell(self.place.cell.clone()))?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let name = match name {
            Some(name) if name.is_empty() || name.len() > 192 || !name.bytes().all(plain) => {
                return Err(Error::Name(name.to_owned()));
            }
            Some(name) => name.to_owned(),
            None => format!("{}_{}", cell.name(), clock::compact(clock::now_ms())),
        };
        let of = ExportOf { record, unit_url: "personium-localunit:/".to_owned(), level };
        self.transfers.export(cell.clone(), &name, of, self.asked()).map_err(|e| refused(e, &name))?;
        let ended = self.watch(TransferKind::Export);
        let (file, error) = (format!("{name}.zip"), format!("{name}.error"));
        if ended.is_err() {
            // Neither a file nor an error that nobody will ask for.
            drop(remove(&cell, &file));
            drop(remove(&cell, &error));
            return ended.map(drop);
        }
        if cell.open_snapshot(&file).map_err(failed)?.is_none() {
            let told = cell.open_snapshot(&error).map_err(failed)?;
            let mut text = String::new();
            if let Some((_, mut content)) = told {
                drop(std::io::Read::read_to_string(&mut content, &mut text));
            }
            return Err(Error::Job(message(&text)));
        }
        let path = match output {
            Some(to) => {
                get(&cell, &file, to)?;
                remove(&cell, &file)?;
                to.display().to_string()
            }
            None => cell.path().join("snapshot").join(&file).display().to_string(),
        };
        self.summary("export", &path)
    }

    fn import(&self, file: &Path) -> Result<(), Error> {
        let cell = open(self.unit, self.place)?;
        let name = format!("import-{}", clock::compact(clock::now_ms()));
        let kept = format!("{name}.zip");
        put(&cell, file, &kept)?;
        let record = self.unit.record(cell.name()).map_err(failed)?;
        let record = record.ok_or_else(|| Error::NoCell(self.place.cell.clone()))?;
        let begun = self.transfers.import(cell.clone(), record, &name, self.asked(), &|_| false);
        drop(cell);
        let ended = begun.map_err(|e| refused(e, &name)).and_then(|()| self.watch(TransferKind::Import));
        drop(remove(&*open(self.unit, self.place)?, &kept));
        match ended? {
            Status::Failed { message: text, .. } => Err(Error::Job(message(&text))),
            _ => self.summary("import", &self.place.cell),
        }
    }

    /// Shows how far the job has come, until it is over.
    fn watch(&self, kind: TransferKind) -> Result<Status, Error> {
        let (began, mut told) = (Instant::now(), Instant::now());
        let mut shown = -1;
        let result = loop {
            if self.interrupted.load(Ordering::Relaxed) {
                self.transfers.close();
                break Err(Error::Interrupted);
            }
            let cell = open(self.unit, self.place)?;
            let status = self.transfers.status(&cell, kind).map_err(failed)?;
            drop(cell);
            let Status::Running { progress, .. } = status else { break Ok(status) };
            if self.place.json {
                if progress != shown {
                    self.printer.data(&json!({ "message_type": "progress", "percent": progress }).to_string())?;
                }
            } else if self.printer.interactive() {
                bar(progress, began.elapsed());
            } else if told.elapsed() >= TELL {
                told = Instant::now();
                self.printer.say(&format!("{progress} %"));
            }
            shown = progress;
            std::thread::sleep(LOOK);
        };
        if self.printer.interactive() && !self.place.json && shown >= 0 {
            self.printer.say("");
        }
        result
    }

    fn summary(&self, what: &str, result: &str) -> Result<(), Error> {
        if self.place.json {
            let cell = &self.place.cell;
            return self
                .printer
                .data(&json!({ "message_type": "summary", "verb": what, "cell": cell, "result": result }).to_string());
        }
        self.printer.data(result)
    }
}

/// Percent and what is left of the time, on one line that is written over.
pub(super) fn bar(percent: i64, elapsed: Duration) {
    let done = (percent.clamp(0, 100) as usize) * BAR / 100;
    let left = match percent {
        1..=99 => format!("{} s left", elapsed.as_secs() * (100 - percent) as u64 / percent as u64),
        _ => String::new(),
    };
    let mut err = std::io::stderr().lock();
    let _ = write!(err, "\r[{}{}] {percent:3} %  {left:12}", "#".repeat(done), " ".repeat(BAR - done));
    let _ = err.flush();
}

fn refused(refused: Refused, name: &str) -> Error {
    match refused {
        Refused::Busy(kind) => Error::Job(format!("{} is being executed", kind.label())),
        Refused::Exists => Error::Job(format!("there is a snapshot {name}.zip already")),
        Refused::Accessed => Error::Job("the cell is being written to".to_owned()),
        Refused::Missing => Error::NoSnapshot(format!("{name}.zip")),
        Refused::Snapshot(failure) => Error::Job(failure.to_string()),
        Refused::Store(e) => failed(e),
    }
}

/// The text in a document of an error.
pub(super) fn message(document: &str) -> String {
    let parsed: Value = serde_json::from_str(document).unwrap_or_default();
    let text = parsed["message"]["value"].as_str().map(str::to_owned);
    text.unwrap_or_else(|| "it came to nothing; the log says why".to_owned())
}
