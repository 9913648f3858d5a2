//! `cellar check`: compares the rows of every cell with what lies on disk, and mends them if asked to.

use serde_json::json;

use super::args::CheckArgs;
use super::error::{Error, with_causes};
use super::exit::Exit;
use super::printer::Printer;
use crate::storage::Unit;
use crate::storage::cell::Limits;
use crate::storage::check::{Finding, Mend, Problem, check};
use crate::storage::unit::{OpenError, Role};

/// Cells looked up at once.
const PAGE: usize = 1000;

pub(super) fn run(args: &CheckArgs, printer: &Printer) -> Result<Exit, Error> {
    let unit = Unit::open(&args.root, Role::Tool, Limits::default())?;
    let mend = match (args.adopt, args.repair) {
        (true, _) => Mend::Adopt,
        (false, true) => Mend::Repair,
        (false, false) => Mend::Nothing,
    };
    let (mut cells, mut findings) = (0, Vec::new());
    loop {
        let page = unit.cells(cells, PAGE).map_err(OpenError::from)?;
        if page.is_empty() {
            break;
        }
        for record in page {
            cells += 1;
            findings.extend(check_cell(&unit, &record.name, mend));
        }
    }
    unit.close();
    if args.json {
        let list = serde_json::to_value(&findings).unwrap_or_default();
        printer.data(&json!({ "message_type": "check", "cells": cells, "findings": list }).to_string())?;
    } else {
        for finding in &findings {
            printer.data(&line(finding))?;
        }
        printer.say(&summary(cells, &findings));
    }
    let open = findings.iter().any(|f| !f.problem.is_note() && !f.mended);
    Ok(if open { Exit::Findings } else { Exit::Ok })
}

/// A cell that cannot be read is a finding too: the others are looked at all the same.
fn check_cell(unit: &Unit, name: &str, mend: Mend) -> Vec<Finding> {
    match unit.cell(name).and_then(|cell| check(&cell, mend)) {
        Ok(findings) => findings,
        Err(e) => {
            let path = format!("cell.db: {}", with_causes(&e));
            vec![Finding { problem: Problem::Unreadable, cell: name.to_owned(), path, mended: false }]
        }
    }
}

fn line(finding: &Finding) -> String {
    let mended = if finding.mended { "  (mended)" } else { "" };
    let what = match finding.problem {
        Problem::Missing => "missing",
        Problem::Unknown => "not yet adopted",
        Problem::Changed => "changed by hand",
        Problem::Count => "wrong count",
        Problem::Litter => "litter",
        Problem::NotServed => "not served",
        Problem::Unreadable => "unreadable",
    };
    format!("{what:16} cells/{}/{}{mended}", finding.cell, finding.path.escape_debug())
}

fn summary(cells: usize, findings: &[Finding]) -> String {
    let count = findings.iter().filter(|f| !f.problem.is_note()).count();
    let notes = findings.len() - count;
    let mended = findings.iter().filter(|f| f.mended).count();
    let more = if notes > 0 { format!(", {notes} things that are not served") } else { String::new() };
    let mut text = format!("{cells} cells checked, {count} findings, {mended} mended{more}");
    if count > mended {
        text.push_str("\nhint: `cellar check --repair` lets the rows follow the disk");
    }
    text
}
