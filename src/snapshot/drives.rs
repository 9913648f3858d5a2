//! Drive passwords in a snapshot: the reference has no place for them, so they are a list below `90_cellar/`.
//!
//! Each line names its account, and its box where it is limited to one, by the identifiers of their documents.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::doc::DocIds;
use super::failure::Failure;
use super::objects::{ACCOUNT, BOX};
use crate::storage::Result;
use crate::storage::database::account::DrivePassword;
use crate::storage::database::control::{Object, ObjectKind};
use crate::storage::database::{Tx, View};

/// The entry that holds them.
pub(super) const ENTRY: &str = "90_cellar/drive_passwords.jsonl";

#[derive(Serialize, Deserialize)]
struct Line {
    name: String,
    account: String,
    #[serde(rename = "box")]
    cell_box: Option<String>,
    digest: String,
    version: i64,
    created_ms: i64,
    updated_ms: i64,
}

/// All drive passwords of a cell, a line each.
pub(super) fn write(v: &View<'_>, ids: &DocIds) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    for drive in v.drive_passwords()? {
        let Some(object) = v.object_by_id(ObjectKind::DrivePassword, drive.id)? else { continue };
        let line = Line {
            name: object.name,
            account: ids.of(ACCOUNT, drive.account),
            cell_box: (drive.cell_box != 0).then(|| ids.of(BOX, drive.cell_box)),
            digest: drive.digest,
            version: object.version,
            created_ms: object.created_ms,
            updated_ms: object.updated_ms,
        };
        lines.extend(serde_json::to_vec(&line).expect("invariant: texts and numbers are JSON"));
        lines.push(b'\n');
    }
    Ok(lines)
}

/// Restores those whose account, and whose box, are there.
pub(super) fn restore(
    tx: &Tx<'_>,
    bytes: &[u8],
    account: impl Fn(&str) -> Option<i64>,
    boxes: &HashMap<String, (i64, String)>,
    mut new_number: impl FnMut() -> i64,
) -> std::result::Result<(), Failure> {
    for line in bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let wrong = || Failure::Damaged(format!("{ENTRY}: a line cannot be read"));
        let line: Line = serde_json::from_slice(line).map_err(|_| wrong())?;
        let cell_box = match &line.cell_box {
            None => Some(0),
            Some(id) => boxes.get(id).map(|(number, _)| *number),
        };
        let (Some(account), Some(cell_box)) = (account(&line.account), cell_box) else { continue };
        let Line { name, digest, version, created_ms, updated_ms, .. } = line;
        let id = new_number();
        let object = Object { id, name, owner: 0, fields: String::new(), version, created_ms, updated_ms };
        let restored = tx.restore_drive_password(&object, &DrivePassword { id, account, cell_box, digest });
        restored.map_err(Failure::machine("restore drive passwords"))?;
    }
    Ok(())
}
