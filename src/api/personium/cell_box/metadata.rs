//! What a box is and how its installation stands.

use serde_json::{Value, json};

use super::Asked;
use crate::base::clock::{iso_ms, now_ms};
use crate::storage::Cell;
use crate::storage::database::cell_box::CellBox;
use crate::storage::database::job::JobState;
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
    let job = cell.read(|v| v.install_of(cell_box.id)).map_err(|e| asked.problem(e))?;
    let expired_before = now_ms() - i64::try_from(retention_s).unwrap_or(i64::MAX / 1000) * 1000;
    let job = job.filter(|j| j.state == JobState::Running || j.ended_ms.is_some_and(|at| at > expired_before));
    match job {
        None => {
            about["status"] = json!("ready");
            about["installed_at"] = json!(iso_ms(cell_box.created_ms));
        }
        Some(job) if job.state == JobState::Done => {
            about["status"] = json!("ready");
            about["installed_at"] = json!(iso_ms(job.started_ms));
        }
        Some(job) => {
            let failed = job.state == JobState::Failed;
            about["status"] = json!(if failed { "installation failed" } else { "installation in progress" });
            about["started_at"] = json!(iso_ms(job.started_ms));
            about["progress"] = json!(format!("{}%", job.progress));
            if failed {
                about["message"] = message(job.message.as_deref());
            }
        }
    }
    Ok(json!({
        "box": about,
        "cell": { "name": asked.named.cell, "url": asked.cell_url },
        "unit": { "url": asked.unit_url, "path_based_cellurl_enabled": path_based },
    }))
}

fn message(stored: Option<&str>) -> Value {
    stored
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_else(|| json!({ "code": "PL-BI-1005", "message": { "lang": "en", "value": "Unknown error()." } }))
}
