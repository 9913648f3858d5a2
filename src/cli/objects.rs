//! Control objects on the command line: keys in paths, lists as columns or JSON.

use serde_json::Value;

use super::error::Error;
use super::printer::Printer;
use super::remote::Remote;
use crate::base::path::encode_segment;

/// Rows that are listed; who has more asks a server.
const ROWS: usize = 10_000;

/// A key as it stands in a path: `('name')`, with a box `(Name='name',_Box.Name='box')`.
pub(super) fn key(name: &str, cell_box: Option<&str>) -> String {
    let quoted = |text: &str| format!("'{}'", encode_segment(&text.replace('\'', "''")));
    match cell_box {
        None => format!("({})", quoted(name)),
        Some(cell_box) => format!("(Name={},_Box.Name={})", quoted(name), quoted(cell_box)),
    }
}

/// The path of the control objects of a cell.
pub(super) fn set(cell: &str, set: &str) -> String {
    format!("/{}/__ctl/{set}", encode_segment(cell))
}

/// Prints some properties of all entities of a set.
pub(super) fn list(remote: &Remote, printer: &Printer, path: &str, columns: &[&str], json: bool) -> Result<(), Error> {
    let answer = remote.send("GET", &format!("{path}?$top={ROWS}"), &[], String::new())?.json()?;
    let rows = answer["d"]["results"].as_array().cloned().unwrap_or_default();
    if json {
        let picked = rows.iter().map(|row| columns.iter().map(|c| ((*c).to_owned(), row[*c].clone())).collect());
        let picked: Vec<serde_json::Map<String, Value>> = picked.collect();
        return printer.data(&serde_json::to_string(&picked).unwrap_or_default());
    }
    for row in &rows {
        let cells = columns.iter().map(|column| row[*column].as_str().unwrap_or("-").to_owned());
        printer.data(&cells.collect::<Vec<_>>().join("\t"))?;
    }
    Ok(())
}

/// Says what was done, as JSON if asked.
pub(super) fn done(printer: &Printer, json: bool, what: &str) -> Result<(), Error> {
    if json {
        return printer.data(&serde_json::json!({ "message_type": "done", "what": what }).to_string());
    }
    printer.say(what);
    Ok(())
}
