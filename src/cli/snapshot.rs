//! `cellar snapshot`: the files of a cell's snapshot area, listed, copied out and in, and removed.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::archives::{SnapshotArgs, SnapshotVerb};
use super::error::Error;
use super::exit::Exit;
use super::interrupt::Interrupt;
use super::meter::{Meter, Reading};
use super::output::{Output, on_file};
use super::printer::Printer;
use super::remote::Remote;
use crate::base::clock::{iso_ms, parse_http_date};
use crate::base::path::{decode_segment, encode_segment};
use crate::base::xml::{DAV, Element, Limits, parse};

/// The code of a cell that is not there, and of a resource.
const NO_CELL: &str = "PR404-DV-0003";
pub(super) const NO_RESOURCE: &str = "PR404-DV-0001";

pub(super) fn run(args: &SnapshotArgs, printer: &Printer) -> Result<Exit, Error> {
    let remote = Remote::open(&args.place)?;
    let json = args.place.json;
    match &args.verb {
        SnapshotVerb::Ls { cell } => list(&remote, cell, json, printer)?,
        SnapshotVerb::Get { cell, name, output } => {
            let output = output.clone().unwrap_or_else(|| PathBuf::from(name));
            let area = Area { remote: &remote, cell, json, printer, interrupt: Interrupt::listen()? };
            let path = area.get(name, &output)?;
            summary(printer, json, "get", cell, &path.display().to_string())?;
        }
        SnapshotVerb::Put { cell, file, name } => {
            let own = || file.file_name().and_then(|name| name.to_str()).map(str::to_owned);
            let name = name.clone().or_else(own).ok_or_else(|| Error::Name(file.display().to_string()))?;
            let area = Area { remote: &remote, cell, json, printer, interrupt: Interrupt::listen()? };
            area.put(file, &name, &[])?;
            summary(printer, json, "put", cell, &name)?;
        }
        SnapshotVerb::Rm { cell, name } => {
            remove(&remote, cell, name)?;
            summary(printer, json, "rm", cell, name)?;
        }
    }
    Ok(Exit::Ok)
}

/// Says what was done: data for programs, nothing to a person who has asked for just that.
fn summary(printer: &Printer, json: bool, verb: &str, cell: &str, result: &str) -> Result<(), Error> {
    if !json {
        return Ok(());
    }
    printer.data(&json!({ "message_type": "summary", "verb": verb, "cell": cell, "result": result }).to_string())
}

/// Says in plain words that a cell is not there.
pub(super) fn in_cell(cell: &str) -> impl Fn(Error) -> Error {
    let cell = cell.to_owned();
    move |e| match e {
        Error::Coded { code, .. } if code == NO_CELL => Error::NoCell(cell.clone()),
        e => e,
    }
}

fn no_file(cell: &str, name: &str) -> impl Fn(Error) -> Error {
    let (in_cell, name) = (in_cell(cell), name.to_owned());
    move |e| match e {
        Error::Coded { code, .. } if code == NO_RESOURCE => Error::NoSnapshot(name.clone()),
        e => in_cell(e),
    }
}

/// The path of the area, or of a file in it.
pub(super) fn path_of(cell: &str, name: &str) -> String {
    let name = if name.is_empty() { String::new() } else { format!("/{}", encode_segment(name)) };
    format!("/{}/__snapshot{name}", encode_segment(cell))
}

fn list(remote: &Remote, cell: &str, as_json: bool, printer: &Printer) -> Result<(), Error> {
    let answer = remote.send("PROPFIND", &path_of(cell, ""), &[("depth", "1")], String::new());
    let answer = answer.map_err(in_cell(cell))?;
    let root = parse(&answer.body, Limits::of(answer.body.len())).map_err(|e| Error::Answer(e.to_string()))?;
    for response in root.children_named(DAV, "response").skip(1) {
        let text = |local: &str| response.find(DAV, local).map(Element::text).unwrap_or_default();
        let name = text("href").trim().rsplit('/').next().and_then(|name| decode_segment(name).ok());
        let Some(name) = name.map(|name| name.to_string()) else { continue };
        let updated = parse_http_date(text("getlastmodified").trim()).map(iso_ms).unwrap_or_default();
        let size: u64 = text("getcontentlength").trim().parse().unwrap_or(0);
        if as_json {
            let content_type = text("getcontenttype");
            let line = json!({
                "message_type": "snapshot", "name": name, "size": size, "updated_at": updated, "type": content_type.trim(),
            });
            printer.data(&line.to_string())?;
        } else {
            printer.data(&format!("{size:>14}  {updated}  {}", name.escape_debug()))?;
        }
    }
    Ok(())
}

pub(super) fn remove(remote: &Remote, cell: &str, name: &str) -> Result<(), Error> {
    remote.send("DELETE", &path_of(cell, name), &[], String::new()).map(drop).map_err(no_file(cell, name))
}

/// Copies files of an area, and shows how far they have come.
pub(super) struct Area<'a> {
    pub(super) remote: &'a Remote,
    pub(super) cell: &'a str,
    pub(super) json: bool,
    pub(super) printer: &'a Printer,
    pub(super) interrupt: Interrupt,
}

impl Area<'_> {
    /// Copies a file out; what is at `to` is replaced when all of it is there.
    pub(super) fn get(&self, name: &str, to: &Path) -> Result<PathBuf, Error> {
        let output = Output::create(to, name)?;
        self.download(&path_of(self.cell, name), &[], &output).map_err(no_file(self.cell, name))?;
        output.keep()
    }

    /// Writes what a path has into a file.
    pub(super) fn download(&self, path: &str, headers: &[(&str, &str)], output: &Output) -> Result<u64, Error> {
        let mut meter = Meter::new(self.printer, self.json, "download");
        self.remote.download(path, headers, output.file(), &mut |bytes, total| {
            self.interrupt.check()?;
            meter.show(Reading::of_bytes(bytes, total))
        })
    }

    /// Copies a file in; nobody sees it before all of it is there.
    pub(super) fn put(&self, from: &Path, name: &str, headers: &[(&str, &str)]) -> Result<(), Error> {
        let content_type = crate::storage::adopt::guess_type(name);
        let headers = [headers, &[("content-type", content_type.as_str())]].concat();
        self.upload(("PUT", &path_of(self.cell, name)), &headers, from).map_err(in_cell(self.cell))
    }

    /// Sends a file as the body of a request.
    #[allow(clippy::disallowed_methods, reason = "the user names the file, it is none of the unit's")]
    pub(super) fn upload(&self, to: (&str, &str), headers: &[(&str, &str)], from: &Path) -> Result<(), Error> {
        let wrong = on_file("read", from);
        let file = File::open(from).map_err(&wrong)?;
        let about = file.metadata().map_err(&wrong)?;
        if !about.is_file() {
            return Err(wrong(std::io::Error::other("it is no file")));
        }
        let mut meter = Meter::new(self.printer, self.json, "upload");
        let sent = self.remote.upload(to, headers, (file, about.len()), &mut |bytes, total| {
            // What is sent whole may count already: only its answer tells.
            if bytes < total {
                self.interrupt.check()?;
            }
            meter.show(Reading::of_bytes(bytes, total))
        });
        sent.map(drop)
    }
}
