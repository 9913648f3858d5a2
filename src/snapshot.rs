//! Snapshots: whole cells as files, out and in.
//!
//! The layout is that of the reference (export version 2), so that its units can read what is written here and the other way
//! round. What it has no place for lies below `90_cellar/`: numbers, stamps, event logs, how installations ended, and the
//! checksums of everything. See `docs/api.md`.

mod doc;
mod drives;
pub mod export;
pub mod failure;
pub mod gate;
pub mod import;
mod meta;
mod objects;
mod progress;
pub mod transfers;

/// The version of the layout.
const EXPORT_VERSION: i64 = 2;
/// The version of what lies below `90_cellar/`.
const OWN_VERSION: i64 = 1;

const MANIFEST: &str = "00_manifest.json";
const ODATA: &str = "10_odata/";
const CELL: &str = "10_odata/00_cell.json";
const WEBDAV: &str = "20_webdav/";
/// What a resource is, beside its content.
const META: &str = ".pmeta";
const CONTENT: &str = "content";
/// What this server adds.
const OWN: &str = "90_cellar/";
const OWN_CELL: &str = "90_cellar/cell.json";
const OWN_OBJECTS: &str = "90_cellar/objects.jsonl";
const OWN_INSTALLS: &str = "90_cellar/installs.jsonl";
const OWN_LOG: &str = "90_cellar/log/";
/// Every other entry with its size and checksum; comes last.
const OWN_ENTRIES: &str = "90_cellar/entries.jsonl";

/// The lists of documents, in the order in which they are restored.
const LISTS: [&str; 16] = [
    "10_box",
    "11_account",
    "12_extcell",
    "20_role",
    "21_rule",
    "22_relation",
    "23_sentmessage",
    "24_receivedmessage",
    "30_extrole",
    "40_entitytype",
    "41_complextype",
    "50_property",
    "51_complextypeproperty",
    "60_associationend",
    "70_userdata",
    "80_link",
];

fn list_entry(list: &str) -> String {
    format!("{ODATA}{list}.pjson")
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests look at the disk as an administrator would")]
mod tests;
