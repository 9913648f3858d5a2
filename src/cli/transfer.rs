//! `cellar cell export` and `cellar cell import`: whole cells out and in.
//!
//! Exports work beside a running server too; an import of a directory needs it for itself. Who interrupts finds the cell as it was,
//! and nothing else.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::args::archives::ExportArgs;
use super::args::people::Place;
use super::error::Error;
use super::interrupt::Interrupt;
use super::meter::{Meter, Reading};
use super::output::{Output, on_file};
use super::printer::Printer;
use super::remote::Remote;
use super::snapshot::{Area, NO_RESOURCE, in_cell, path_of, remove};
use crate::base::clock;
use crate::base::path::encode_segment;
use crate::snapshot::import::named_cell;

/// How often the progress is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long a server that does not answer is asked how a job stands.
const PATIENCE: Duration = Duration::from_secs(30);

/// The two kinds of jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Export,
    Import,
}

impl Kind {
    fn endpoint(self) -> &'static str {
        match self {
            Self::Export => "__export",
            Self::Import => "__import",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::Import => "import",
        }
    }
}

/// A job in a cell, seen from outside.
struct Job<'a> {
    area: Area<'a>,
    kind: Kind,
}

/// `cellar cell export`.
pub(super) fn export(place: &Place, args: &ExportArgs, printer: &Printer) -> Result<(), Error> {
    let name = match &args.name {
        Some(name) => name.clone(),
        None => format!("{}_{}", args.cell, clock::compact(clock::now_ms())),
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if name.is_empty() || name.len() > 192 || !name.bytes().all(plain) {
        return Err(Error::Name(name));
    }
    let file = format!("{name}.zip");
    // What cannot be written is told before anything is done.
    let output = args.output.as_deref().map(|to| Output::create(to, &file)).transpose()?;
    let remote = Remote::open(place)?;
    let interrupt = Interrupt::listen()?;
    let area = Area { remote: &remote, cell: &args.cell, json: place.json, printer, interrupt };
    let job = Job { area, kind: Kind::Export };
    job.begin(&json!({ "Name": name, "Level": args.level }))?;
    job.watch().inspect_err(|_| {
        // Its end may have come first.
        drop(remove(&remote, &args.cell, &file));
    })?;
    job.outcome(&name)?;
    let result = match output {
        Some(output) => match job.area.download(&path_of(&args.cell, &file), &[], &output) {
            Ok(_) => {
                let path = output.keep()?;
                remove(&remote, &args.cell, &file)?;
                path.display().to_string()
            }
            Err(Error::Interrupted) => {
                remove(&remote, &args.cell, &file)?;
                return Err(Error::Interrupted);
            }
            Err(e) => {
                printer.say(&format!("the file is kept: `cellar snapshot get {} {file}`", args.cell));
                return Err(e);
            }
        },
        None if remote.is_own() => {
            let path = place.root.join("cells").join(&args.cell).join("snapshot").join(&file);
            path.display().to_string()
        }
        None => format!("{}__snapshot/{file}", remote.cell(&encode_segment(&args.cell))),
    };
    job.summary(&result)
}

/// `cellar cell import`. On a directory it would lose what a server writes meanwhile, so there must be none.
pub(super) fn import(place: &Place, cell: Option<&str>, file: &Path, printer: &Printer) -> Result<(), Error> {
    let cell = match cell {
        Some(cell) => cell.to_owned(),
        None => name_in(file)?,
    };
    let remote = Remote::open_alone(place)?;
    let interrupt = Interrupt::listen()?;
    let area = Area { remote: &remote, cell: &cell, json: place.json, printer, interrupt };
    let job = Job { area, kind: Kind::Import };
    let made = job.make_cell()?;
    let done = job.import(file);
    if done.is_err() && made {
        let path = format!("/{}", encode_segment(&cell));
        drop(remote.send("DELETE", &path, &[("x-personium-recursive", "true")], String::new()));
    }
    done?;
    job.summary(&cell)
}

/// The cell that a snapshot file was made of.
#[allow(clippy::disallowed_methods, reason = "the user names the file, it is none of the unit's")]
fn name_in(file: &Path) -> Result<String, Error> {
    let opened = std::fs::File::open(file).map_err(on_file("read", file))?;
    named_cell(opened).map_err(|failure| Error::Job(failure.to_string()))
}

impl Job<'_> {
    fn path(&self, query: &str) -> String {
        format!("/{}/{}{query}", encode_segment(self.area.cell), self.kind.endpoint())
    }

    fn begin(&self, body: &Value) -> Result<(), Error> {
        let remote = self.area.remote;
        let begun = remote.send("POST", &self.path(""), &remote.as_others_see_it(), body.to_string());
        begun.map(drop).map_err(in_cell(self.area.cell))
    }

    fn status(&self) -> Result<Value, Error> {
        self.area.remote.send("GET", &self.path("?detail"), &[], String::new()).map_err(in_cell(self.area.cell))?.json()
    }

    /// Makes the cell if it is not there; tells whether it was not.
    fn make_cell(&self) -> Result<bool, Error> {
        match self.status() {
            Err(Error::NoCell(cell)) => {
                self.area.remote.send("MKCOL", &format!("/{}", encode_segment(&cell)), &[], String::new())?;
                Ok(true)
            }
            other => other.map(|_| false),
        }
    }

    fn import(&self, file: &Path) -> Result<(), Error> {
        let name = format!("import-{}-{}", clock::compact(clock::now_ms()), std::process::id());
        let kept = format!("{name}.zip");
        self.area.put(file, &kept, &[("if-none-match", "*")])?;
        let begun = self.area.interrupt.check().and_then(|()| self.begin(&json!({ "Name": name })));
        let done = begun.and_then(|()| self.watch());
        drop(remove(self.area.remote, self.area.cell, &kept));
        let status = done?;
        match status["status"].as_str() {
            Some("import failed") => Err(Error::Job(message(&status["message"]))),
            _ => Ok(()),
        }
    }

    /// Shows how far the job has come, until it is over; cancels it if somebody wants an end.
    fn watch(&self) -> Result<Value, Error> {
        let mut meter = Meter::new(self.area.printer, self.area.json, self.kind.word());
        let (mut answered, mut cancelled) = (Instant::now(), false);
        loop {
            if self.area.interrupt.came() && !cancelled {
                self.area.remote.send("POST", &self.path("?cancel"), &[], String::new())?;
                cancelled = true;
            }
            let status = match self.status() {
                Ok(status) => status,
                // A server that is started anew finds the job again, or how it ended.
                Err(Error::System { .. } | Error::Answer(_)) if answered.elapsed() < PATIENCE => {
                    std::thread::sleep(LOOK);
                    continue;
                }
                Err(e) => return Err(e),
            };
            answered = Instant::now();
            if !status["status"].as_str().is_some_and(|status| status.ends_with("in progress")) {
                return if cancelled { Err(Error::Interrupted) } else { Ok(status) };
            }
            meter.show(reading(&status))?;
            std::thread::sleep(LOOK);
        }
    }

    /// Whether an export that is over has brought a file.
    fn outcome(&self, name: &str) -> Result<(), Error> {
        let (cell, remote) = (self.area.cell, self.area.remote);
        match remote.send("PROPFIND", &path_of(cell, &format!("{name}.zip")), &[("depth", "0")], String::new()) {
            Err(Error::Coded { code, .. }) if code == NO_RESOURCE => {
                let told = remote.send("GET", &path_of(cell, &format!("{name}.error")), &[], String::new());
                Err(Error::Job(message(&told?.json()?)))
            }
            other => other.map(drop),
        }
    }

    fn summary(&self, result: &str) -> Result<(), Error> {
        let Area { cell, json, printer, .. } = &self.area;
        if *json {
            let verb = self.kind.word();
            let line = json!({ "message_type": "summary", "verb": verb, "cell": cell, "result": result });
            return printer.data(&line.to_string());
        }
        printer.data(result)
    }
}

/// What a status says about how far something has come.
pub(super) fn reading(status: &Value) -> Reading {
    let percent = status["progress"].as_str().and_then(|p| p.trim_end_matches('%').parse().ok());
    let detail = &status["detail"];
    let number = |key: &str| detail[key].as_u64().unwrap_or(0);
    let holders = detail["waiting_for"].as_array().into_iter().flatten();
    Reading {
        percent: percent.unwrap_or(0),
        bytes: number("bytes"),
        bytes_total: number("bytes_total"),
        entries: number("entries"),
        entries_total: number("entries_total"),
        waiting_for: holders.filter_map(|holder| holder.as_str().map(str::to_owned)).collect(),
    }
}

/// The text in a document of an error.
pub(super) fn message(document: &Value) -> String {
    let text = document["message"]["value"].as_str().map(str::to_owned);
    text.unwrap_or_else(|| "it came to nothing; the log says why".to_owned())
}
