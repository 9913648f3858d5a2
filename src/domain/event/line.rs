//! One line of the log: nine fields separated by commas, of which all but time and level are quoted.

use super::{Event, LOCAL_CELL, Level};
use crate::base::clock;

impl Level {
    /// Seven characters.
    const fn text(self) -> &'static str {
        match self {
            Self::Info => "[INFO ]",
            Self::Warn => "[WARN ]",
            Self::Error => "[ERROR]",
        }
    }
}

/// Appends the line of an event, with its newline. What is absent is the bare word `null`.
pub(super) fn write(out: &mut String, ms: i64, level: Level, key: &str, event: &Event, cell_url: &str) {
    out.push_str(&instant(ms));
    out.push(',');
    out.push_str(level.text());
    let external = if event.external { "true" } else { "false" };
    let object = event.object.as_deref().map(|object| expanded(object, cell_url));
    let fields = [
        Some(key),
        Some(external),
        event.schema.as_deref(),
        event.subject.as_deref(),
        Some(event.event_type.as_str()).filter(|text| !text.is_empty()),
        object.as_deref(),
        event.info.as_deref(),
    ];
    for field in fields {
        out.push(',');
        match field {
            Some(text) => quote(out, text),
            None => out.push_str("null"),
        }
    }
    out.push('\n');
}

/// A URL of the cell as the world knows it.
pub(super) fn expanded(object: &str, cell_url: &str) -> String {
    object.strip_prefix(LOCAL_CELL).map_or_else(|| object.to_owned(), |rest| format!("{cell_url}{rest}"))
}

/// The fraction of a second is left out where it is zero.
fn instant(ms: i64) -> String {
    let text = clock::iso_ms(ms);
    text.strip_suffix(".000Z").map_or_else(|| text.clone(), |whole| format!("{whole}Z"))
}

/// A field never spans lines: a line break in it, which could pass for the beginning of a line, becomes a blank.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\"\""),
            '\n' | '\r' => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
}
