//! What a box is and how its installation stands.

use serde_json::{Value, json};

use super::Asked;
use crate::bar::install::{BoxStatus, status_of};
use crate::base::clock::{iso_ms, now_ms};
use crate::storage::Cell;
use crate::storage::database::cell_box::CellBox;
use crate::web::problem::Problem;

/// The metadata document. The status of an installation is told until `retention_s` seconds after its last change.
pub(super) fn document(
    asked: &Asked,
    cell: &Cell,
    cell_box: &CellBox,
    retention_s: u64,
    path_based: bool,
) -> Result<Value, Problem> {
    let schema = if cell_box.is_main() { Some(asked.cell_url.clone()) } else { cell_box.schema.clone() };
    let mut about = json!({
        "name": cell_box.name,
        "url": format!("{}{}/", asked.cell_url, cell_box.name),
        "schema": schema,
    });
    let retention_ms = i64::try_from(retention_s).unwrap_or(i64::MAX / 1000).saturating_mul(1000);
    let status = cell.read(|v| status_of(v, cell_box, retention_ms, now_ms())).map_err(|e| asked.problem(e))?;
    match status {
        BoxStatus::Ready { installed_at } => {
            about["status"] = json!("ready");
            about["installed_at"] = json!(iso_ms(installed_at));
        }
        BoxStatus::InProgress { started_at, progress } => {
            about["status"] = json!("installation in progress");
            about["started_at"] = json!(iso_ms(started_at));
            about["progress"] = json!(format!("{progress}%"));
        }
        BoxStatus::Failed { started_at, progress, message: stored } => {
            about["status"] = json!("installation failed");
            about["started_at"] = json!(iso_ms(started_at));
            about["progress"] = json!(format!("{progress}%"));
            about["message"] = message(&stored);
        }
    }
    Ok(json!({
        "box": about,
        "cell": { "name": asked.named.cell, "url": asked.cell_url },
        "unit": { "url": asked.unit_url, "path_based_cellurl_enabled": path_based },
    }))
}

fn message(stored: &str) -> Value {
    serde_json::from_str(stored)
        .unwrap_or_else(|_| json!({ "code": "PL-BI-1005", "message": { "lang": "en", "value": "Unknown error()." } }))
}
