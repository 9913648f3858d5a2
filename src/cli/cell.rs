//! `cellar cell`: whole cells out and in, and what an administrator sets for one cell.

use serde_json::json;

use super::args::archives::{CellArgs, CellVerb, QuotaLimit};
use super::args::people::Place;
use super::error::Error;
use super::exit::Exit;
use super::printer::Printer;
use super::remote::Remote;
use super::snapshot::in_cell;
use super::transfer;
use crate::base::path::encode_segment;
use crate::base::xml::{DAV, Limits as XmlLimits, parse};
use crate::storage::cell::Limits;
use crate::storage::unit::{OpenError, Role};
use crate::storage::writer::{Change, Context};
use crate::storage::{Error as StoreError, Unit};

pub(super) fn run(args: &CellArgs, printer: &Printer) -> Result<Exit, Error> {
    let place = &args.place;
    match &args.verb {
        CellVerb::Export(export) => transfer::export(place, export, printer)?,
        CellVerb::Import { cell, file } => transfer::import(place, cell.as_deref(), file, printer)?,
        CellVerb::Quota { cell, limit } => {
            let (used, own) = match place.url {
                Some(_) => quota_of_server(place, cell, *limit)?,
                None => quota(place, cell, *limit)?,
            };
            if place.json {
                let line = json!({ "message_type": "quota", "cell": cell, "used": used, "quota": own });
                printer.data(&line.to_string())?;
            } else {
                let limit = own.map_or_else(|| "no limit of its own".to_owned(), |bytes| format!("of {bytes} bytes"));
                printer.data(&format!("{cell}: {used} bytes used, {limit}"))?;
            }
        }
    }
    Ok(Exit::Ok)
}

fn bytes_of(limit: QuotaLimit) -> Option<i64> {
    match limit {
        QuotaLimit::None => None,
        QuotaLimit::Bytes(bytes) => Some(bytes),
    }
}

/// What a cell holds and may hold, after its limit was set.
fn quota(place: &Place, name: &str, limit: Option<QuotaLimit>) -> Result<(i64, Option<i64>), Error> {
    let unit = Unit::open(&place.root, Role::Tool, Limits::default())?;
    let failed = |e: StoreError| match e {
        StoreError::CellMissing => Error::NoCell(name.to_owned()),
        e => OpenError::from(e).into(),
    };
    let cell = unit.cell(name).map_err(failed)?;
    if let Some(bytes) = limit.map(bytes_of) {
        cell.change(Change(move |ctx: &Context<'_>| ctx.tx.set_quota(bytes))).map_err(failed)?;
    }
    let found = cell.read(|view| Ok((view.used_bytes()?, view.own_quota()?))).map_err(failed)?;
    drop(cell);
    unit.close();
    Ok(found)
}

fn quota_of_server(place: &Place, name: &str, limit: Option<QuotaLimit>) -> Result<(i64, Option<i64>), Error> {
    let remote = Remote::open(place)?;
    let entity = format!("/__ctl/Cell('{}')", encode_segment(&name.replace('\'', "''")));
    if let Some(bytes) = limit.map(bytes_of) {
        remote.send("MERGE", &entity, &[], json!({ "Quota": bytes }).to_string()).map_err(in_cell(name))?;
    }
    let own = remote.send("GET", &entity, &[], String::new()).map_err(in_cell(name))?.json()?;
    let body = "<propfind xmlns=\"DAV:\"><prop><quota-used-bytes/></prop></propfind>".to_owned();
    let answer = remote.send("PROPFIND", &format!("/{}/", encode_segment(name)), &[("depth", "0")], body)?;
    let root = parse(&answer.body, XmlLimits::of(answer.body.len())).map_err(|e| Error::Answer(e.to_string()))?;
    let used = root.find(DAV, "quota-used-bytes").and_then(|used| used.text().trim().parse().ok());
    let used = used.ok_or_else(|| Error::Answer("it does not tell how much is used".to_owned()))?;
    Ok((used, own["d"]["results"]["Quota"].as_i64()))
}
