//! What the state of a whole cell forbids, before anybody is asked who he is: writes while it is imported (or exported, where
//! that is configured), and nearly everything after a failed import, where that is configured.

use http::Method;
use http::header::RETRY_AFTER;
use percent_encoding::percent_decode_str;

use super::App;
use crate::snapshot::gate::Writing;
use crate::storage::database::area::TransferKind;
use crate::storage::database::cell_box::MAIN_BOX;
use crate::web::Request;
use crate::web::blocking::run;
use crate::web::problem::{Code, Problem};

/// Endpoints whose requests write nothing into the cell, or which look for themselves.
const OPEN: &[&str] = &["__export", "__import", "__token", "__authz", "__introspect", "__sign"];

/// Lets a request for something of a cell pass, or refuses it. What is returned is kept until the request has been handled.
/// `first` is the first segment below the cell.
pub(super) async fn enter(app: &App, request: &Request, first: &str) -> Result<Option<Writing>, Problem> {
    let cell = request.target.cell.as_deref().unwrap_or_default();
    if app.config.import.strict_status && !is_open_after_failure(&request.method, first) {
        let (unit, name) = (app.unit.clone(), cell.to_owned());
        let failed = run(move || {
            let Ok(cell) = unit.cell(&name) else { return Ok(false) };
            let last = cell.read(|v| v.transfer(TransferKind::Import));
            Ok(last.is_ok_and(|last| last.is_some_and(|import| import.failed)))
        });
        if failed.await? {
            return Err(Code::CellImportFailed.into());
        }
    }
    if !writes(&request.method) || OPEN.contains(&first) {
        return Ok(None);
    }
    match app.transfers.gates().enter(cell) {
        Ok(writing) => Ok(Some(writing)),
        Err(kind) => refused(app, request, first, kind).await,
    }
}

/// Whether a method can change anything.
fn writes(method: &Method) -> bool {
    !matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS" | "PROPFIND" | "REPORT")
}

/// Whether a request is served in a cell whose import has failed, where the reference's rule holds.
fn is_open_after_failure(method: &Method, first: &str) -> bool {
    matches!(first, "__import" | "__token") || (first.is_empty() && method == Method::DELETE)
}

/// A box that is not there is missing, whatever runs.
async fn refused(app: &App, request: &Request, first: &str, kind: TransferKind) -> Result<Option<Writing>, Problem> {
    let busy = Problem::new(Code::CellBusy).with(kind.label()).header(RETRY_AFTER, "1");
    let is_box = first == MAIN_BOX || !(first.is_empty() || first.starts_with("__"));
    if !is_box || request.method.as_str() == "MKCOL" {
        return Err(busy);
    }
    let (unit, cell) = (app.unit.clone(), request.target.cell.clone().unwrap_or_default());
    let box_name = percent_decode_str(first).decode_utf8_lossy().into_owned();
    let url = request.asked.cell_box(&cell, &box_name);
    let there = run(move || {
        let cell = unit.cell(&cell).map_err(|e| Problem::of_store(e, &url))?;
        match cell.find_box(&box_name) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(Problem::of_store(crate::storage::Error::BoxMissing, &url)),
            Err(e) => Err(Problem::of_store(e, &url)),
        }
    });
    there.await?;
    Err(busy)
}
