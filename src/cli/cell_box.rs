//! `cellar box`: boxes in from bar files and out as bar files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::args::archives::{BoxArgs, BoxVerb};
use super::error::Error;
use super::exit::Exit;
use super::interrupt::Interrupt;
use super::meter::Meter;
use super::output::Output;
use super::printer::Printer;
use super::remote::Remote;
use super::snapshot::{Area, in_cell};
use super::transfer::{message, reading};
use crate::base::path::encode_segment;

/// How often the progress is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// The code of a box that is not there.
const NO_BOX: &str = "PR404-DV-0002";
/// Asks a box for itself as a bar.
const BAR: (&str, &str) = ("accept", "application/zip+x-personium-bar");

pub(super) fn run(args: &BoxArgs, printer: &Printer) -> Result<Exit, Error> {
    let (BoxVerb::Install { cell, name, .. } | BoxVerb::Export { cell, name, .. } | BoxVerb::Status { cell, name }) =
        &args.verb;
    if name.is_empty() || name.contains('/') {
        return Err(Error::Name(name.clone()));
    }
    let json = args.place.json;
    // What cannot be written is told before anything is done.
    let output = match &args.verb {
        BoxVerb::Export { output, .. } => {
            let file = format!("{name}.bar");
            Some(Output::create(&output.clone().unwrap_or_else(|| PathBuf::from(&file)), &file)?)
        }
        _ => None,
    };
    let remote = Remote::open(&args.place)?;
    let interrupt = Interrupt::listen()?;
    let tool = Tool { area: Area { remote: &remote, cell, json, printer, interrupt }, name };
    match &args.verb {
        BoxVerb::Install { file, .. } => tool.install(file)?,
        BoxVerb::Export { all, .. } => tool.export(output, *all)?,
        BoxVerb::Status { .. } => tool.status()?,
    }
    Ok(Exit::Ok)
}

struct Tool<'a> {
    area: Area<'a>,
    /// Of the box.
    name: &'a str,
}

impl Tool<'_> {
    fn path(&self) -> String {
        format!("/{}/{}", encode_segment(self.area.cell), encode_segment(self.name))
    }

    /// Says in plain words that the cell or the box is not there.
    fn missing(&self, e: Error) -> Error {
        match e {
            Error::Coded { code, .. } if code == NO_BOX => Error::NoBox(self.name.to_owned()),
            e => in_cell(self.area.cell)(e),
        }
    }

    fn look(&self) -> Result<Value, Error> {
        let answer = self.area.remote.send("GET", &self.path(), &[], String::new());
        Ok(answer.map_err(|e| self.missing(e))?.json()?["box"].take())
    }

    fn install(&self, file: &Path) -> Result<(), Error> {
        let (remote, path) = (self.area.remote, self.path());
        let headers = [remote.as_others_see_it(), vec![("content-type", "application/zip")]].concat();
        self.area.upload(("MKCOL", &path), &headers, file).map_err(|e| self.missing(e))?;
        let mut meter = Meter::new(self.area.printer, self.area.json, "install");
        let mut cancelled = false;
        let ended = loop {
            if self.area.interrupt.came() && !cancelled {
                remote.send("POST", &format!("{path}?cancel"), &[], String::new())?;
                cancelled = true;
            }
            let status = self.look()?;
            if status["status"] != "installation in progress" {
                break status;
            }
            meter.show(reading(&status))?;
            std::thread::sleep(LOOK);
        };
        drop(meter);
        if cancelled {
            remote.send("DELETE", &path, &[("x-personium-recursive", "true")], String::new())?;
            return Err(Error::Interrupted);
        }
        match ended["status"].as_str() {
            Some("installation failed") => Err(Error::Job(message(&ended["message"]))),
            _ => self.summary("install", self.name),
        }
    }

    fn export(&self, output: Option<Output>, everything: bool) -> Result<(), Error> {
        let Some(output) = output else { return Ok(()) };
        let headers = [self.area.remote.as_others_see_it(), vec![BAR]].concat();
        let path = format!("{}{}", self.path(), if everything { "?include=all" } else { "" });
        self.area.download(&path, &headers, &output).map_err(|e| self.missing(e))?;
        let path = output.keep()?;
        self.summary("export", &path.display().to_string())
    }

    fn status(&self) -> Result<(), Error> {
        let status = self.look()?;
        let word = |key: &str| status[key].as_str().unwrap_or_default();
        if self.area.json {
            let picked = ["status", "installed_at", "started_at", "progress", "message"];
            let mut line = json!({ "message_type": "status" });
            for key in picked.iter().filter(|key| !status[**key].is_null()) {
                line[*key] = status[*key].clone();
            }
            return self.area.printer.data(&line.to_string());
        }
        let text = match word("status") {
            "ready" => format!("ready since {}", word("installed_at")),
            "installation in progress" => {
                format!("installation in progress since {}: {}", word("started_at"), word("progress"))
            }
            _ => format!("installation failed at {}: {}", word("progress"), message(&status["message"])),
        };
        self.area.printer.data(&text)
    }

    fn summary(&self, verb: &str, result: &str) -> Result<(), Error> {
        let Area { cell, json, printer, .. } = &self.area;
        if *json {
            let line = json!({ "message_type": "summary", "verb": verb, "cell": cell, "result": result });
            return printer.data(&line.to_string());
        }
        printer.data(result)
    }
}
