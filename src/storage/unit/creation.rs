//! What a new unit and a new cell consist of on disk: each is made whole, or not at all (docs/on-disk.md).

use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::index::Index;
use super::{OpenError, UNIT_FORMAT, shown};
use crate::base::id;
use crate::storage::database::Tx;
use crate::storage::database::cell_box::{CellBox, MAIN_BOX};
use crate::storage::database::resource::{Kind, Resource};
use crate::storage::database::schema::{self, PARENT_BOXES};
use crate::storage::error::{Error, Result};
use crate::storage::private;

/// The format and the identifier.
pub(super) fn read_manifest(text: &str) -> Option<(i64, String)> {
    let table: toml::Table = text.parse().ok()?;
    Some((table.get("format")?.as_integer()?, table.get("id")?.as_str()?.to_owned()))
}

/// Makes an empty or absent directory a unit.
pub(super) fn initialise(root: &Path) -> Result<(), OpenError> {
    private::create_directory(root).map_err(Error::io("create", shown(root)))?;
    for entry in fs::read_dir(root).map_err(Error::io("read", shown(root)))? {
        let entry = entry.map_err(Error::io("read", shown(root)))?;
        // A file system's own folder, and what an interrupted first start left.
        let own = ["lost+found", "cells", "staging", "exports", "generations", "reserve", "unit.lock"];
        let database = ["unit.db", "unit.db-wal", "unit.db-shm"];
        if !own.iter().chain(&database).any(|name| entry.file_name() == *name) {
            return Err(OpenError::Foreign(root.to_owned()));
        }
    }
    if fs::read_dir(root.join("cells")).is_ok_and(|mut cells| cells.next().is_some()) {
        return Err(OpenError::Headless(root.to_owned()));
    }
    for name in ["cells", "staging", "exports"] {
        private::create_directory(&root.join(name)).map_err(Error::io("create", name))?;
    }
    drop(Index::open(&root.join("unit.db"))?);
    let text = format!(
        "# A Cellar unit. The format is that of docs/on-disk.md.\nformat = {UNIT_FORMAT}\nid = \"{}\"\n",
        id::uuid22()
    );
    write_new(&root.join("unit.toml"), text.as_bytes(), 0o644)?;
    Ok(())
}

/// Writes a small file durably: whole or not at all.
pub(super) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let aside = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        drop(fs::remove_file(&aside));
        let mut file = File::options().write(true).create_new(true).mode(mode).open(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(Error::io("write", shown(path)))
}

pub(super) fn sync_directory(path: &Path) -> Result<()> {
    File::open(path).and_then(|d| d.sync_all()).map_err(Error::io("sync", shown(path)))
}

pub(super) fn rename_new(from: &Path, to: &Path) -> Result<()> {
    let flags = rustix::fs::RenameFlags::NOREPLACE;
    rustix::fs::renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, to, flags)
        .map_err(Error::errno("rename", shown(to)))
}

/// Builds a cell's directory, durable, in a place where nobody looks.
pub(super) fn build_cell(path: &Path, uuid: &str, owner: Option<&str>, now_ms: i64) -> Result<()> {
    let directories = ["boxes", "boxes/__", "snapshot", "log", "log/current", "log/archive", "staging", "staging/gone"];
    let mut private = DirBuilder::new();
    private.mode(private::DIRECTORY);
    private.create(path).map_err(Error::io("create", shown(path)))?;
    for name in directories {
        let made =
            if name.starts_with("boxes") { fs::create_dir(path.join(name)) } else { private.create(path.join(name)) };
        made.map_err(Error::io("create", name))?;
    }
    let main = rustix::fs::stat(path.join("boxes/__")).map_err(Error::errno("look at", "boxes/__"))?;
    schema::create(&path.join("cell.db"), |conn| {
        let fill = || -> Result<()> {
            let tx = Tx::new(conn, 0)?;
            let before = tx.counters();
            tx.set_meta("uuid", uuid)?;
            tx.set_meta("incarnation", id::uuid22())?;
            tx.set_meta("created_ms", now_ms)?;
            if let Some(owner) = owner {
                tx.set_meta("owner", owner)?;
            }
            let (seq, number) = (tx.next_seq(), tx.next_id());
            let stamp = tx.next_stamp();
            tx.insert_box(&CellBox {
                id: number,
                name: MAIN_BOX.to_owned(),
                schema: None,
                version: 1,
                created_ms: now_ms,
                updated_ms: now_ms,
                seq,
            })?;
            tx.insert_resource(&Resource {
                parent: PARENT_BOXES,
                name: MAIN_BOX.to_owned(),
                id: number,
                kind: Kind::Collection,
                flags: 0,
                version: 1,
                stamp,
                created_ms: now_ms,
                mtime_ms: now_ms,
                seq,
                placed_seq: seq,
                size: 0,
                crc: None,
                ino: main.st_ino as i64,
                mtime_ns: 0,
                content_type: None,
                children: 0,
                dir_mtime_ns: crate::storage::tree::mtime_ns(&main),
            })?;
            tx.save_counters(before)
        };
        fill().map_err(|e| match e {
            Error::Database { source, .. } => source,
            _ => rusqlite::Error::InvalidQuery,
        })
    })?;
    let database = File::open(path.join("cell.db")).map_err(Error::io("open", "cell.db"))?;
    database.sync_all().map_err(Error::io("sync", "cell.db"))?;
    for name in directories.iter().rev() {
        sync_directory(&path.join(name))?;
    }
    sync_directory(path)
}
