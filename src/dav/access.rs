//! Who may do what to the resources of a box: the one place that asks.

use super::subject::DavRequest;
use crate::storage::database::cell_box::CellBox;
use crate::web::auth::{Challenge, Place};
use crate::web::problem::Problem;

/// Lets a request on or below a box pass, or refuses it with the box's challenge.
pub(super) fn authorize(request: &DavRequest, cell_box: &CellBox) -> Result<(), Problem> {
    if request.access.is_unit_admin() {
        return Ok(());
    }
    let place = if cell_box.schema.is_some() { Place::SchemaBox } else { Place::Open };
    let realm = request.asked.cell(&request.named.cell);
    request.access.require_unit(&Challenge::new(place, realm, &request.headers))
}

/// Who asks, as locks remember it.
pub(super) fn principal(request: &DavRequest) -> &'static str {
    if request.access.is_unit_admin() { "unit" } else { "anonymous" }
}
