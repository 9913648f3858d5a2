//! `cellar role`: roles of a cell.

use serde_json::json;

use super::args::people::{RoleArgs, RoleVerb};
use super::error::Error;
use super::exit::Exit;
use super::objects::{done, key, list, set};
use super::printer::Printer;
use super::remote::Remote;

pub(super) fn run(args: &RoleArgs, printer: &Printer) -> Result<Exit, Error> {
    let remote = Remote::open(&args.place)?;
    let json = args.place.json;
    match &args.verb {
        RoleVerb::Ls { cell } => list(&remote, printer, &set(cell, "Role"), &["Name", "_Box.Name"], json)?,
        RoleVerb::Add { cell, name, cell_box } => {
            let body = json!({ "Name": name, "_Box.Name": cell_box }).to_string();
            remote.send("POST", &set(cell, "Role"), &[], body)?;
            done(printer, json, &format!("{name} is a role of {cell}"))?;
        }
        RoleVerb::Rm { cell, name, cell_box } => {
            let path = format!("{}{}", set(cell, "Role"), key(name, cell_box.as_deref()));
            remote.send("DELETE", &path, &[], String::new())?;
            done(printer, json, &format!("{name} is no role any more"))?;
        }
    }
    Ok(Exit::Ok)
}
