//! `cellar snapshot`: the files of a cell's snapshot area, listed, copied out and in, and removed.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::args::{CellPlace, SnapshotVerb};
use super::error::Error;
use super::exit::Exit;
use super::printer::Printer;
use crate::base::clock::iso_ms;
use crate::base::path::{NewName, Segment};
use crate::storage::cell::Limits;
use crate::storage::operation::area::{DeleteSnapshot, PutSnapshot};
use crate::storage::unit::{OpenError, Role};
use crate::storage::{Cell, Error as StoreError, Unit};

/// Bytes that are copied at once.
const PIECE: usize = 1 << 20;

pub(super) fn run(verb: &SnapshotVerb, printer: &Printer) -> Result<Exit, Error> {
    let (SnapshotVerb::Ls { place }
    | SnapshotVerb::Get { place, .. }
    | SnapshotVerb::Put { place, .. }
    | SnapshotVerb::Rm { place, .. }) = verb;
    let unit = Unit::open(&place.root, Role::Tool, Limits::default())?;
    let cell = open(&unit, place)?;
    match verb {
        SnapshotVerb::Ls { .. } => list(&cell, place, printer)?,
        SnapshotVerb::Get { name, output, .. } => {
            let output = output.clone().unwrap_or_else(|| PathBuf::from(name));
            get(&cell, name, &output)?;
        }
        SnapshotVerb::Put { file, name, .. } => put(&cell, file, &name_of(file, name.as_deref())?)?,
        SnapshotVerb::Rm { name, .. } => remove(&cell, name)?,
    }
    drop(cell);
    unit.close();
    Ok(Exit::Ok)
}

/// The cell that a verb is about.
pub(super) fn open(unit: &Unit, place: &CellPlace) -> Result<Arc<Cell>, Error> {
    unit.cell(&place.cell).map_err(|e| match e {
        StoreError::CellMissing => Error::NoCell(place.cell.clone()),
        e => failed(e),
    })
}

pub(super) fn failed(e: StoreError) -> Error {
    OpenError::from(e).into()
}

fn list(cell: &Cell, place: &CellPlace, printer: &Printer) -> Result<(), Error> {
    for file in cell.snapshots().map_err(failed)? {
        let updated = iso_ms(file.updated_ms);
        if place.json {
            let line = json!({
                "message_type": "snapshot", "name": file.name, "size": file.size, "updated_at": updated, "type": file.content_type,
            });
            printer.data(&line.to_string())?;
        } else {
            printer.data(&format!("{:>14}  {updated}  {}", file.size, file.name.escape_debug()))?;
        }
    }
    Ok(())
}

pub(super) fn on_file(op: &'static str, path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |source| Error::File { op, path: path.clone(), source }
}

/// Copies a file out; what is at `to` is replaced when all of it is there.
#[allow(clippy::disallowed_methods, reason = "the user names the file, it is none of the unit's")]
pub(super) fn get(cell: &Cell, name: &str, to: &Path) -> Result<(), Error> {
    let missing = || Error::NoSnapshot(name.to_owned());
    let (_, mut content) = cell.open_snapshot(name).map_err(failed)?.ok_or_else(missing)?;
    let folder = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let wrong = on_file("write", to);
    let mut aside = tempfile::NamedTempFile::new_in(folder).map_err(&wrong)?;
    let mut buffer = vec![0; PIECE];
    loop {
        match content.read(&mut buffer).map_err(&wrong)? {
            0 => break,
            n => aside.write_all(&buffer[..n]).map_err(&wrong)?,
        }
    }
    aside.as_file().sync_all().map_err(&wrong)?;
    aside.persist(to).map_err(|e| wrong(e.error))?;
    Ok(())
}

/// Copies a file in.
#[allow(clippy::disallowed_methods, reason = "the user names the file, it is none of the unit's")]
pub(super) fn put(cell: &Cell, from: &Path, name: &str) -> Result<(), Error> {
    let wrong = on_file("read", from);
    let mut file = File::open(from).map_err(&wrong)?;
    let taken = Segment::new(name).and_then(|name| NewName::new(&name)).map_err(|_| Error::Name(name.to_owned()))?;
    let mut incoming = cell.new_snapshot().map_err(failed)?;
    let mut buffer = vec![0; PIECE];
    loop {
        match file.read(&mut buffer).map_err(&wrong)? {
            0 => break,
            n => incoming.write(&buffer[..n]).map_err(failed)?,
        }
    }
    let staged = incoming.finish().map_err(failed)?;
    let content_type = Some(crate::storage::adopt::guess_type(name));
    let put = PutSnapshot { name: taken, content_type, staged, guard: Box::new(|_| Ok(())) };
    cell.change(put).map(drop).map_err(failed)
}

pub(super) fn remove(cell: &Cell, name: &str) -> Result<(), Error> {
    let delete = DeleteSnapshot { name: name.to_owned(), guard: Box::new(|_| Ok(())) };
    cell.change(delete).map_err(|e| match e {
        StoreError::Missing => Error::NoSnapshot(name.to_owned()),
        e => failed(e),
    })
}

fn name_of(file: &Path, name: Option<&str>) -> Result<String, Error> {
    let own = || file.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    name.map(str::to_owned).or_else(own).ok_or_else(|| Error::Name(file.display().to_string()))
}
