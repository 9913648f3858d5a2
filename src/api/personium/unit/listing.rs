//! PROPFIND of the unit: its cells as collections, for the administrator; for a unit user, those that are theirs.

use std::io::{self, Write};

use super::super::call::Call;
use super::super::listing::{self, Depth, Prop, Wanted};
use crate::storage::space::{Quota, Space};
use crate::storage::unit::CellRecord;
use crate::web::auth::{AccessContext, Place};
use crate::web::problem::Problem;
use crate::web::public_url::Asked;
use crate::web::{Body, Response};

/// Cells that are read at once.
const PAGE: usize = 500;

/// Answers a PROPFIND. At Depth 0 any token and any Basic sees that this is a collection: clients walk down from here to what they
/// may see.
pub(super) fn propfind(call: Call) -> std::result::Result<Response, Problem> {
    let depth = listing::depth(&call.headers, None);
    let known = matches!(call.access, AccessContext::Basic(_) | AccessContext::Token(_));
    let walks_down = known && matches!(depth, Ok(Depth::Zero));
    if !walks_down {
        call.require_unit(Place::Open)?;
    }
    let wanted = Wanted::parse(&call.body)?;
    if depth? == Depth::Zero {
        return Ok(listing::single(&call.asked.unit(), &unit_props(&call, &wanted)?, &wanted));
    }
    let unit = unit_props(&call, &wanted)?;
    let first = call.unit.cells_after(0, PAGE, call.limited_to()).map_err(|e| call.failed(e))?;
    let (writer, body) = Body::written();
    tokio::task::spawn_blocking(move || {
        if let Err(e) = write(writer, &call, &unit, first, &wanted) {
            tracing::debug!(error = %e, "a listing of cells ended early");
        }
    });
    Ok(listing::multistatus(body))
}

/// What is told of the unit: to its administrator also the room on its disk, if asked, because no cell has all of it.
fn unit_props(call: &Call, wanted: &Wanted) -> std::result::Result<Vec<Prop>, Problem> {
    let mut props = listing::collection(None);
    if call.access.is_unit_admin() && listing::asks_quota(wanted) {
        let Space { free, total } = call.unit.space().map_err(|e| call.failed(e))?;
        props.extend(listing::quota(&Quota { used: total.saturating_sub(free), available: free }));
    }
    Ok(props)
}

/// Writes the unit and all cells. A failure leaves the body unfinished, so that it cannot pass as whole.
fn write(
    mut out: crate::web::body::BodyWriter,
    call: &Call,
    unit: &[Prop],
    mut page: Vec<CellRecord>,
    wanted: &Wanted,
) -> io::Result<()> {
    listing::begin(&mut out)?;
    listing::resource(&mut out, &call.asked.unit(), unit, wanted)?;
    while let Some(last) = page.last().map(|record| record.number) {
        write_page(&mut out, &call.asked, &page, wanted)?;
        page = call.unit.cells_after(last, PAGE, call.limited_to()).map_err(io::Error::other)?;
    }
    listing::end(&mut out)?;
    out.finish()
}

fn write_page(out: &mut impl Write, asked: &Asked, page: &[CellRecord], wanted: &Wanted) -> io::Result<()> {
    for record in page {
        let url = asked.cell(&record.name);
        let props = listing::collection(Some((record.created_ms, record.updated_ms)));
        listing::resource(out, url.trim_end_matches('/'), &props, wanted)?;
    }
    Ok(())
}
