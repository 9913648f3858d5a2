//! PROPFIND and PROPPATCH of a cell.

use http::{HeaderMap, StatusCode};

use super::super::call::Call;
use super::super::listing::{self, Depth, Prop, Update, Wanted};
use super::{acl, tagged};
use crate::base::path::ResourcePath;
use crate::base::xml::DAV;
use crate::domain::access::{Place, Scope};
use crate::domain::acl::Privilege;
use crate::storage::database::View;
use crate::storage::database::area::TransferKind;
use crate::storage::database::cell_box::CellBox;
use crate::storage::database::cell_root::{CELL_ROOT, CellRoot};
use crate::storage::database::property::Property;
use crate::storage::space::Quota;
use crate::storage::writer::{Change, Context};
use crate::web::authority::Access;
use crate::web::problem::Problem;
use crate::web::{Body, Response};

/// What a PROPFIND shows of a cell, read at one moment.
pub(super) struct Shown {
    pub(super) root: CellRoot,
    properties: Vec<Property>,
    /// None for those who may not see it.
    acl: Option<String>,
    /// Those that the caller may look into.
    boxes: Vec<CellBox>,
    /// Where it was asked for.
    pub(super) quota: Option<Quota>,
    /// Whether the snapshot area is shown.
    snapshots: bool,
    /// The last import of the cell came to nothing.
    import_failed: bool,
}

impl Shown {
    /// What one who asks may see.
    pub(super) fn read(view: &View<'_>, access: &Access, url: &str, depth: Depth) -> crate::storage::Result<Self> {
        let may = |privilege, scope| access.permit_cell(view, privilege, scope).is_ok();
        Ok(Self {
            root: view.cell_root()?,
            properties: view.properties(CELL_ROOT)?,
            acl: if may(Privilege::AclRead, Scope::Cell) { Some(acl::show(view, url)?) } else { None },
            boxes: if depth == Depth::One { boxes_for(view, access)? } else { Vec::new() },
            quota: None,
            snapshots: may(Privilege::Root, Scope::Drive),
            import_failed: view.transfer(TransferKind::Import)?.is_some_and(|t| t.failed),
        })
    }
}

/// Answers a PROPFIND: the cell; at Depth 1 its boxes and the snapshot area too. Without `Depth` it is the cell alone.
pub(super) fn propfind(call: &Call) -> Result<Response, Problem> {
    let asked_depth = listing::depth(&call.headers, Some(Depth::Zero));
    let url = call.base_url();
    if let Err(refusal) = call.permit(Place::Cell) {
        // Clients walk down from here to what they may see.
        if !matches!(asked_depth, Ok(Depth::Zero)) || refusal.status() != StatusCode::FORBIDDEN {
            return Err(refusal);
        }
        let wanted = Wanted::parse(&call.body)?;
        return Ok(listing::single(url.trim_end_matches('/'), &listing::collection(None), &wanted));
    }
    let wanted = Wanted::parse(&call.body)?;
    let depth = asked_depth?;
    let cell = call.open()?;
    let access = call.access_in(&cell)?;
    let shown = cell.read(|view| {
        let quota = if listing::asks_quota(&wanted) { Some(cell.quota(view)?) } else { None };
        Ok(Shown { quota, ..Shown::read(view, access, &url, depth)? })
    });
    let shown = shown.map_err(|e| call.failed(e))?;
    let mut out = Vec::new();
    let mut write = || {
        listing::begin(&mut out)?;
        listing::resource(&mut out, url.trim_end_matches('/'), &cell_props(&shown), &wanted)?;
        if depth == Depth::One {
            for cell_box in &shown.boxes {
                let href = call.asked.resource(&call.cell, &cell_box.name, &ResourcePath::root());
                let mut props = listing::collection(Some((cell_box.created_ms, cell_box.updated_ms)));
                props.extend(shown.quota.iter().flat_map(listing::quota));
                listing::resource(&mut out, &href, &props, &wanted)?;
            }
        }
        if depth == Depth::One && shown.snapshots {
            let mut area = listing::collection(Some((shown.root.created_ms, shown.root.updated_ms)));
            area.extend(shown.quota.iter().flat_map(listing::quota));
            listing::resource(&mut out, &format!("{url}__snapshot"), &area, &wanted)?;
        }
        listing::end(&mut out)
    };
    write().expect("invariant: a vector takes what is written");
    Ok(tagged(listing::multistatus(Body::Text(out.into())), &shown.root))
}

/// The boxes that a caller may look into; all for those who may read about boxes.
fn boxes_for(view: &View<'_>, access: &Access) -> crate::storage::Result<Vec<CellBox>> {
    let mut boxes = view.boxes()?;
    if access.is_unit_admin() || access.permit_cell(view, Privilege::BoxRead, Scope::Cell).is_ok() {
        return Ok(boxes);
    }
    let at = access.at(view)?;
    let caller = access.caller(&at)?;
    let mut seen = Vec::new();
    for cell_box in boxes.drain(..) {
        let Some(root) = view.resource(cell_box.id)? else { continue };
        if at.check_box(&caller, &cell_box, &[root], Privilege::ReadProperties)?.is_none() {
            seen.push(cell_box);
        }
    }
    Ok(seen)
}

pub(super) fn cell_props(shown: &Shown) -> Vec<Prop> {
    let mut props = listing::collection(Some((shown.root.created_ms, shown.root.updated_ms)));
    props.extend(shown.quota.iter().flat_map(listing::quota));
    props.push(Prop::personium("cellstatus", if shown.import_failed { "import failed" } else { "normal" }));
    props.extend(shown.acl.iter().map(|acl| Prop::new(DAV, "acl", acl.clone())));
    props.extend(shown.properties.iter().map(|p| Prop::new(&p.ns, &p.local, p.xml.clone())));
    props
}

/// Answers a PROPPATCH: all instructions or none.
pub(super) fn proppatch(call: &Call) -> Result<Response, Problem> {
    call.permit(Place::Cell)?;
    let updates = listing::updates(&call.body)?;
    let cell = call.open()?;
    let answer = listing::patched(call.base_url().trim_end_matches('/'), &updates);
    let conditions = call.headers.clone();
    let permission = call.permission(&[Place::Cell])?;
    let unchanged = |view: &View<'_>| view.cell_root();
    let root = if listing::all_allowed(&updates) {
        cell.change(Change(move |ctx: &Context<'_>| {
            permission.ask(ctx.tx)?;
            check(&conditions, ctx.tx)?;
            for update in &updates {
                match update {
                    Update::Set(Prop { ns, local, xml }) => {
                        let property = Property { ns: ns.clone(), local: local.clone(), xml: xml.clone() };
                        ctx.tx.set_property(CELL_ROOT, &property)?;
                    }
                    Update::Remove { ns, local } => drop(ctx.tx.remove_property(CELL_ROOT, ns, local)?),
                }
            }
            ctx.tx.touch_cell_root()
        }))
    } else {
        cell.read(unchanged)
    };
    Ok(tagged(answer, &root.map_err(|e| call.failed(e))?))
}

/// Holds a change of the cell's root against the conditions of its request.
pub(super) fn check(request: &HeaderMap, view: &View<'_>) -> crate::storage::Result<()> {
    use crate::storage::Error;
    use crate::web::conditional::{Conditions, Current, Verdict};
    let root = view.cell_root()?;
    let tag = root.etag().to_string();
    match Conditions::of(request).evaluate(false, Current::of(&tag, Some(root.updated_ms))) {
        Verdict::Proceed => Ok(()),
        _ => Err(Error::Precondition),
    }
}
