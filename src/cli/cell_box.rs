//! `cellar box`: boxes in from bar files and out as bar files, in a unit on this machine, also beside a running server.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::args::{BoxVerb, CellPlace};
use super::error::Error;
use super::exit::Exit;
use super::printer::Printer;
use super::snapshot::{failed, on_file, open};
use super::transfer::{bar, interruption, message};
use crate::bar::export::{Archive, ArchiveReader, Request};
use crate::bar::inspect::BarLimits;
use crate::bar::install::{BoxStatus, InstallRequest, Installer, PrepareError, status_of};
use crate::base::{clock, id};
use crate::config::{Config, Sources};
use crate::domain::event::EventLog;
use crate::storage::cell::Limits;
use crate::storage::operation::boxes::DeleteBox;
use crate::storage::unit::Role;
use crate::storage::{Cell, Error as StoreError, Unit};

const LOOK: Duration = Duration::from_millis(100);
/// Bytes that are copied at once.
const PIECE: usize = 1 << 20;

pub(super) fn run(verb: &BoxVerb, printer: &Printer) -> Result<Exit, Error> {
    let (BoxVerb::Install { place, .. } | BoxVerb::Export { place, .. } | BoxVerb::Status { place, .. }) = verb;
    let unit = Arc::new(Unit::open(&place.root, Role::Tool, Limits::default())?);
    let cell = open(&unit, place)?;
    let tool = Tool { place, printer };
    let done = match verb {
        BoxVerb::Install { name, file, .. } => tool.install(&unit, &cell, name, file),
        BoxVerb::Export { name, output, all, .. } => {
            let output = output.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.bar")));
            tool.export(&cell, name, &output, *all)
        }
        BoxVerb::Status { name, .. } => tool.status(&cell, name),
    };
    drop(cell);
    unit.close();
    done.map(|()| Exit::Ok)
}

struct Tool<'a> {
    place: &'a CellPlace,
    printer: &'a Printer,
}

impl Tool<'_> {
    /// As URLs of the cell begin: where the unit is told to be, else on this machine.
    fn cell_url(&self, config: &Config) -> String {
        let unit =
            config.server.public_url.as_ref().map_or_else(|| "http://localhost/".to_owned(), ToString::to_string);
        format!("{unit}{}/", self.place.cell)
    }

    fn install(&self, unit: &Arc<Unit>, cell: &Arc<Cell>, name: &str, file: &Path) -> Result<(), Error> {
        if !crate::domain::names::is_box_name(name) {
            return Err(Error::Name(name.to_owned()));
        }
        let config = Config::load(&Sources::of_process(None)?)?;
        let limits = BarLimits {
            bar_size: config.limits.bar_size.0,
            bar_entry_size: config.limits.bar_entry_size.0,
            bar_entries: config.limits.bar_entries as usize,
        };
        let installer = Installer::new(unit.clone(), Arc::new(EventLog::new(config.events.log_installs)), limits);
        let request = InstallRequest {
            box_name: name.to_owned(),
            bar: received(cell, file)?,
            request_key: id::request_key(),
            cell_urls: vec![self.cell_url(&config)],
        };
        let accepted = installer.prepare(cell.clone(), request).map_err(|e| match e {
            PrepareError::Refused(refusal) => Error::Job(refusal.message()),
            PrepareError::Store(e) => failed(e),
        })?;
        let (interrupted, over) = (interruption()?, AtomicBool::new(false));
        let began = Instant::now();
        let mut shown = -1;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                accepted.run();
                over.store(true, Ordering::Release);
            });
            while !over.load(Ordering::Acquire) {
                // Told to end, it does so at its next entry.
                if interrupted.load(Ordering::Relaxed) {
                    installer.close();
                } else if let Ok(BoxStatus::InProgress { progress, .. }) = status(cell, name) {
                    self.progress(progress, began, &mut shown);
                }
                std::thread::sleep(LOOK);
            }
        });
        self.end_of_line(shown);
        if interrupted.load(Ordering::Relaxed) {
            let delete = DeleteBox { name: name.to_owned(), recursive: true, guard: Box::new(|_, _| Ok(())) };
            cell.change(delete).map_err(failed)?;
            return Err(Error::Interrupted);
        }
        match status(cell, name)? {
            BoxStatus::Failed { message: text, .. } => Err(Error::Job(message(&text))),
            _ => self.summary("install", name),
        }
    }

    fn export(&self, cell: &Arc<Cell>, name: &str, to: &Path, everything: bool) -> Result<(), Error> {
        let cell_url = self.cell_url(&Config::load(&Sources::of_process(None)?)?);
        let request = Request { box_name: name.to_owned(), cell_url, everything };
        cell.refresh_box(name).map_err(|e| no_box(e, name))?;
        let archive = Arc::new(Archive::build(cell, &request).map_err(|e| no_box(e, name))?);
        let (length, mut reader) = (archive.length(), ArchiveReader::new(archive));
        let folder = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let wrong = on_file("write", to);
        let (interrupted, began) = (interruption()?, Instant::now());
        let mut aside = tempfile::NamedTempFile::new_in(folder).map_err(&wrong)?;
        let (mut buffer, mut at, mut shown) = (vec![0; PIECE], 0, -1);
        while at < length {
            if interrupted.load(Ordering::Relaxed) {
                self.end_of_line(shown);
                return Err(Error::Interrupted);
            }
            let n = reader.read_at(at, &mut buffer).map_err(&wrong)?;
            aside.write_all(&buffer[..n]).map_err(&wrong)?;
            at += n as u64;
            self.progress((u128::from(at) * 100 / u128::from(length)) as i64, began, &mut shown);
        }
        self.end_of_line(shown);
        aside.as_file().sync_all().map_err(&wrong)?;
        aside.persist(to).map_err(|e| wrong(e.error))?;
        self.summary("export", &to.display().to_string())
    }

    fn status(&self, cell: &Cell, name: &str) -> Result<(), Error> {
        let (text, document) = match status(cell, name)? {
            BoxStatus::Ready { installed_at } => {
                let at = clock::iso_ms(installed_at);
                (format!("ready since {at}"), json!({ "status": "ready", "installed_at": at }))
            }
            BoxStatus::InProgress { started_at, progress } => {
                let at = clock::iso_ms(started_at);
                let document = json!({ "status": "installation in progress", "started_at": at, "percent": progress });
                (format!("installation in progress since {at}: {progress} %"), document)
            }
            BoxStatus::Failed { started_at, progress, message: told } => {
                let (at, reason) = (clock::iso_ms(started_at), message(&told));
                let told: Value = serde_json::from_str(&told).unwrap_or_default();
                let document =
                    json!({ "status": "installation failed", "started_at": at, "percent": progress, "message": told });
                (format!("installation failed at {progress} %: {reason}"), document)
            }
        };
        if self.place.json {
            let mut document = document;
            document["message_type"] = json!("status");
            return self.printer.data(&document.to_string());
        }
        self.printer.data(&text)
    }

    fn progress(&self, percent: i64, began: Instant, shown: &mut i64) {
        if percent == *shown {
            return;
        }
        if self.place.json {
            // A reader that has gone away wants no more of it.
            drop(self.printer.data(&json!({ "message_type": "progress", "percent": percent }).to_string()));
        } else if self.printer.interactive() {
            bar(percent, began.elapsed());
        }
        *shown = percent;
    }

    fn end_of_line(&self, shown: i64) {
        if self.printer.interactive() && !self.place.json && shown >= 0 {
            self.printer.say("");
        }
    }

    fn summary(&self, verb: &str, result: &str) -> Result<(), Error> {
        if self.place.json {
            let line = json!({ "message_type": "summary", "verb": verb, "cell": self.place.cell, "result": result });
            return self.printer.data(&line.to_string());
        }
        self.printer.data(result)
    }
}

/// A copy of the bar that is the installation's own.
#[allow(clippy::disallowed_methods, reason = "the user names the file, it is none of the unit's")]
fn received(cell: &Cell, from: &Path) -> Result<File, Error> {
    let wrong = on_file("read", from);
    let mut file = File::open(from).map_err(&wrong)?;
    let (mut upload, mut buffer) = (cell.upload(), vec![0; PIECE]);
    loop {
        match file.read(&mut buffer).map_err(&wrong)? {
            0 => return upload.into_nameless().map_err(failed),
            n => upload.write(&buffer[..n]).map_err(failed)?,
        }
    }
}

fn no_box(e: StoreError, name: &str) -> Error {
    match e {
        StoreError::BoxMissing => Error::NoBox(name.to_owned()),
        e => failed(e),
    }
}

fn status(cell: &Cell, name: &str) -> Result<BoxStatus, Error> {
    let found = cell.find_box(name).map_err(failed)?.ok_or_else(|| Error::NoBox(name.to_owned()))?;
    cell.read(|v| status_of(v, &found, i64::MAX, clock::now_ms())).map_err(failed)
}
