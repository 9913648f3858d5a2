//! `cellar config`: what is in force, and why.

use serde_json::json;

use super::args::ConfigArgs;
use super::error::Error;
use super::exit::Exit;
use super::printer::Printer;
use crate::config::{Config, Setting, Sources};

pub(super) fn run(args: &ConfigArgs, printer: &Printer) -> Result<Exit, Error> {
    let config = Config::load(&Sources::of_process(args.config.as_deref())?)?;
    let text = if args.json { as_json(config.settings()) } else { as_table(config.settings()) };
    printer.data(&text)?;
    Ok(Exit::Ok)
}

fn as_json(settings: &[Setting]) -> String {
    let key = |s: &Setting| {
        json!({
            "key": s.key.name, "value": s.value, "default": s.key.default,
            "source": s.source.to_string(), "about": s.key.about,
        })
    };
    json!({ "message_type": "config", "keys": settings.iter().map(key).collect::<Vec<_>>() }).to_string()
}

fn as_table(settings: &[Setting]) -> String {
    let dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let mut rows = vec![["key", "value", "default", "source"].map(str::to_owned)];
    rows.extend(
        settings.iter().map(|s| [s.key.name.to_owned(), dash(&s.value), dash(s.key.default), s.source.to_string()]),
    );
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (key, value, default) = (width(0), width(1), width(2));
    let line = |row: &[String; 4]| format!("{:key$}  {:value$}  {:default$}  {}", row[0], row[1], row[2], row[3]);
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
