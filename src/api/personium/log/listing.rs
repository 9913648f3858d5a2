//! PROPFIND of the two folders of the log.

use super::super::call::Call;
use super::super::listing::{self, Depth, Prop, Wanted};
use super::CSV;
use crate::storage::log::{LogFile, LogFolder};
use crate::web::problem::Problem;
use crate::web::{Body, Response};

/// Answers a PROPFIND; a folder is flat, but `Depth` must say how far.
pub(super) fn propfind(call: &Call, folder: LogFolder, name: &str) -> Result<Response, Problem> {
    let wanted = Wanted::parse(&call.body)?;
    let depth = listing::depth(&call.headers, None)?;
    let cell = call.open()?;
    let created_ms = cell.read(|view| view.meta_number("created_ms")).map_err(|e| call.failed(e))?;
    let files = cell.logs(folder).map_err(|e| call.failed(e))?;
    let changed = files.iter().map(|file| file.modified_ms).max().unwrap_or(created_ms);
    let url = format!("{}__log/{name}", call.base_url());
    let mut out = Vec::new();
    let mut write = || {
        listing::begin(&mut out)?;
        listing::resource(&mut out, &url, &listing::collection(Some((created_ms, changed))), &wanted)?;
        for file in files.iter().filter(|_| depth == Depth::One) {
            listing::resource(&mut out, &format!("{url}/{}", file.name), &props(file), &wanted)?;
        }
        listing::end(&mut out)
    };
    write().expect("invariant: a vector takes what is written");
    Ok(listing::multistatus(Body::Text(out.into())))
}

fn props(file: &LogFile) -> Vec<Prop> {
    listing::file((file.modified_ms, file.modified_ms), file.size, CSV)
}
