//! `cellar cell`: what an administrator sets for one cell. `cellar cell quota` shows how much it holds and may hold.

use serde_json::json;

use super::args::{CellVerb, QuotaArgs, QuotaLimit};
use super::error::Error;
use super::exit::Exit;
use super::printer::Printer;
use super::transfer;
use crate::storage::cell::Limits;
use crate::storage::unit::{OpenError, Role};
use crate::storage::writer::{Change, Context};
use crate::storage::{Error as StoreError, Unit};

pub(super) fn run(verb: &CellVerb, printer: &Printer) -> Result<Exit, Error> {
    match verb {
        CellVerb::Quota(args) => quota(args, printer),
        CellVerb::Export { place, name, output, level } => {
            transfer::export(place, name.as_deref(), output.as_deref(), *level, printer)
        }
        CellVerb::Import { place, file } => transfer::import(place, file, printer),
    }
}

fn quota(args: &QuotaArgs, printer: &Printer) -> Result<Exit, Error> {
    let unit = Unit::open(&args.root, Role::Tool, Limits::default())?;
    let failed = |e: StoreError| match e {
        StoreError::CellMissing => Error::NoCell(args.name.clone()),
        e => OpenError::from(e).into(),
    };
    let cell = unit.cell(&args.name).map_err(failed)?;
    if let Some(limit) = &args.limit {
        let bytes = match limit {
            QuotaLimit::None => None,
            QuotaLimit::Bytes(bytes) => Some(*bytes),
        };
        cell.change(Change(move |ctx: &Context<'_>| ctx.tx.set_quota(bytes))).map_err(failed)?;
    }
    let (used, own) = cell.read(|view| Ok((view.used_bytes()?, view.own_quota()?))).map_err(failed)?;
    drop(cell);
    unit.close();
    if args.json {
        let line = json!({ "message_type": "quota", "cell": args.name, "used": used, "quota": own });
        printer.data(&line.to_string())?;
    } else {
        let limit = own.map_or_else(|| "no limit of its own".to_owned(), |bytes| format!("of {bytes} bytes"));
        printer.data(&format!("{}: {used} bytes used, {limit}", args.name))?;
    }
    Ok(Exit::Ok)
}
