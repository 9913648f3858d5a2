//! The moment: everything that rows tell, read in one transaction; most of it lies in a spool until it is packed.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::item::{Content, Item};
use super::{ExportOf, log_name};
use crate::base::clock;
use crate::snapshot::doc::{Doc, DocIds};
use crate::snapshot::drives;
use crate::snapshot::meta::{self, Meta};
use crate::snapshot::objects::{self, BOX, Written};
use crate::snapshot::{
    CELL, CONTENT, EXPORT_VERSION, LISTS, MANIFEST, META, ODATA, OWN, OWN_CELL, OWN_INSTALLS, OWN_OBJECTS, OWN_VERSION,
    WEBDAV, list_entry,
};
use crate::storage::cell::Version;
use crate::storage::database::acl::Acl;
use crate::storage::database::cell_box::{CellBox, MAIN_BOX};
use crate::storage::database::cell_root::CELL_ROOT;
use crate::storage::database::job::JobState;
use crate::storage::database::schema::PARENT_BOXES;
use crate::storage::database::{Resource, View};
use crate::storage::generation::Pin;
use crate::storage::log::LogFolder;
use crate::storage::operation::boxes::AdoptBoxes;
use crate::storage::spool::{Spool, SpoolWriter};
use crate::storage::tree::Identity;
use crate::storage::{Cell, Error, Result};

/// Rows read from a collection at once.
const PAGE: usize = 512;
/// Bytes of the spool read at once.
const READ: usize = 256 << 10;

/// A moment of a cell.
pub(crate) struct Moment {
    _pin: Pin,
    /// Entries before and behind those of the boxes: name and bytes.
    head: Vec<(String, Vec<u8>)>,
    tail: Vec<(String, Vec<u8>)>,
    logs: Vec<Log>,
    plan: Spool,
    /// Bytes and entries.
    weight: (u64, u64),
    mtime: i64,
}

/// A file of the event log, as long as it was then.
struct Log {
    name: String,
    size: u64,
    mtime: i64,
    file: Arc<File>,
}

/// A resource in the spool.
#[derive(Serialize, Deserialize)]
struct Planned {
    /// The folder of its entries in the archive.
    at: String,
    meta: String,
    mtime: i64,
    id: i64,
    stamp: i64,
    file: Option<PlannedFile>,
}

#[derive(Serialize, Deserialize)]
struct PlannedFile {
    /// From the cell's directory.
    disk: String,
    version: i64,
    ino: i64,
    size: i64,
    mtime_ns: i64,
    crc: Option<u32>,
}

/// The entries of the boxes, in order.
pub(super) struct PlannedItems<'m> {
    plan: &'m Spool,
    offset: u64,
    buffer: Vec<u8>,
    used: usize,
    ready: VecDeque<Item>,
}

impl Moment {
    /// Takes the moment. Blocks for a look at every folder and one pass over the rows.
    pub(crate) fn take(cell: &Arc<Cell>, of: &ExportOf) -> Result<Self> {
        // What somebody did by hand belongs to it.
        cell.change(AdoptBoxes)?;
        let names = |v: &View<'_>| Ok(v.boxes()?.into_iter().map(|b| b.name).collect::<Vec<_>>());
        for name in cell.read(names)? {
            match cell.refresh_box(&name) {
                Ok(()) | Err(Error::Busy(_) | Error::BoxMissing) => {}
                Err(e) => return Err(e),
            }
        }
        let pin = Pin::new(cell, CELL_ROOT)?;
        let mut collector = Collector { plan: cell.spool()?, buffer: Vec::new(), weight: (0, 0), last: (0, 0) };
        let (head, mut tail) = cell.read(|v| collector.collect(v, of))?;
        let Collector { plan, mut weight, last, .. } = collector;
        let uuid = &of.record.uuid;
        let own = json!({ "format": OWN_VERSION, "uuid": uuid, "next_id": last.0 + 1, "stamp": last.1 });
        tail.insert(1, (OWN_CELL.to_owned(), own.to_string().into_bytes()));
        let mut logs = Vec::new();
        for (folder, path) in [(LogFolder::Archive, "archive"), (LogFolder::Current, "current")] {
            for log in cell.logs(folder)? {
                if let Some((log, file)) = cell.open_log(folder, &log.name)? {
                    weight = (weight.0 + log.size, weight.1 + 1);
                    let (name, mtime) = (log_name(path, &log.name), log.modified_ms / 1000);
                    logs.push(Log { name, size: log.size, mtime, file: Arc::new(file) });
                }
            }
        }
        for (_, bytes) in head.iter().chain(&tail) {
            weight = (weight.0 + bytes.len() as u64, weight.1 + 1);
        }
        Ok(Self { _pin: pin, head, tail, logs, plan: plan.finish()?, weight, mtime: of.record.created_ms / 1000 })
    }

    /// How much there is to do: bytes and entries.
    pub(super) fn weight(&self) -> (u64, u64) {
        self.weight
    }

    /// Of what has no time of its own: seconds since 1970.
    pub(super) fn mtime(&self) -> i64 {
        self.mtime
    }

    pub(super) fn head(&self) -> Vec<Item> {
        self.head.iter().map(|(name, bytes)| Item::bytes(name, self.mtime, bytes.clone())).collect()
    }

    pub(super) fn tail(&self) -> Vec<Item> {
        let own = self.tail.iter().map(|(name, bytes)| Item::bytes(name, self.mtime, bytes.clone()));
        let log = |log: &Log| Item {
            name: log.name.clone(),
            mtime: log.mtime,
            content: Content::Open { file: log.file.clone(), size: log.size },
            note: None,
        };
        own.chain(self.logs.iter().map(log)).collect()
    }

    pub(super) fn planned(&self) -> PlannedItems<'_> {
        let (buffer, ready) = (Vec::new(), VecDeque::new());
        PlannedItems { plan: &self.plan, offset: 0, buffer, used: 0, ready }
    }
}

impl PlannedItems<'_> {
    pub(super) fn next(&mut self) -> Result<Option<Item>> {
        if let Some(item) = self.ready.pop_front() {
            return Ok(Some(item));
        }
        let Some(length) = self.bytes(4)? else { return Ok(None) };
        let length = u32::from_le_bytes(length.try_into().expect("invariant: four bytes were cut")) as usize;
        let lost = || Error::Inconsistent("a spool was cut short".to_owned());
        let bytes = self.bytes(length)?.ok_or_else(lost)?;
        let planned: Planned = serde_json::from_slice(bytes).map_err(|_| lost())?;
        let Planned { at, meta, mtime, id, stamp, file } = planned;
        if let Some(f) = file {
            let identity = Identity { ino: f.ino, size: f.size, mtime_ns: f.mtime_ns };
            let version = Version { id, version: f.version, identity };
            let content = Content::File { disk: f.disk, version, crc: f.crc };
            self.ready.push_back(Item { name: format!("{at}{CONTENT}"), mtime, content, note: None });
        }
        let (name, content) = (format!("{at}{META}"), Content::Bytes(meta.into_bytes()));
        Ok(Some(Item { name, mtime, content, note: Some((id, stamp)) }))
    }

    /// The next bytes of the spool; none at its end.
    fn bytes(&mut self, count: usize) -> Result<Option<&[u8]>> {
        if self.buffer.len() - self.used < count {
            self.buffer.drain(..self.used);
            self.used = 0;
            let have = self.buffer.len();
            self.buffer.resize(have + READ.max(count), 0);
            let read = self.plan.read_at(self.offset, &mut self.buffer[have..]);
            let read = read.map_err(Error::io("read", "a spool"))?;
            self.offset += read as u64;
            self.buffer.truncate(have + read);
            if self.buffer.len() < count {
                return Ok(None);
            }
        }
        self.used += count;
        Ok(Some(&self.buffer[self.used - count..self.used]))
    }
}

struct Collector {
    plan: SpoolWriter,
    buffer: Vec<u8>,
    /// Bytes and entries.
    weight: (u64, u64),
    /// The greatest number and the greatest stamp.
    last: (i64, i64),
}

/// A collection whose members are being read, page by page.
struct Frame {
    id: i64,
    at: String,
    disk: String,
    after: String,
    page: VecDeque<Resource>,
    last: bool,
}

type Fixed = Vec<(String, Vec<u8>)>;

impl Collector {
    fn collect(&mut self, v: &View<'_>, of: &ExportOf) -> Result<(Fixed, Fixed)> {
        let ids = DocIds::new(of.record.uuid.clone());
        // A box that is being installed is not there yet.
        let mut boxes = Vec::new();
        for cell_box in v.boxes()? {
            if let Some(root) = v.child(PARENT_BOXES, &cell_box.name)? {
                boxes.push((cell_box, root));
            }
        }
        let exported: Vec<CellBox> = boxes.iter().map(|(cell_box, _)| cell_box.clone()).collect();
        let written = objects::write_all(v, &ids, &exported)?;
        for extra in written.iter().filter_map(|w| w.extra.as_ref()) {
            self.last.0 = self.last.0.max(extra.number);
        }
        let mut head = head(of, &ids, &written);
        head.push((format!("{WEBDAV}{META}"), cell_meta(v)?.write(&of.record.uuid, &ids)));
        for (cell_box, root) in &boxes {
            let folder = if cell_box.is_main() { MAIN_BOX.to_owned() } else { ids.of(BOX, cell_box.id) };
            let (at, disk) = (format!("{WEBDAV}{folder}/"), format!("boxes/{}", cell_box.name));
            self.resource(v, &ids, root, &at, &disk, meta::BOX)?;
            self.tree(v, &ids, Frame::new(root.id, at, disk))?;
        }
        let mut extras = Vec::new();
        for extra in written.iter().filter_map(|w| w.extra.as_ref()) {
            extras.extend(serde_json::to_vec(extra).expect("invariant: plain data"));
            extras.push(b'\n');
        }
        let tail = vec![
            (OWN.to_owned(), Vec::new()),
            (OWN_OBJECTS.to_owned(), extras),
            (OWN_INSTALLS.to_owned(), installs(v, &ids, &exported)?),
            (drives::ENTRY.to_owned(), drives::write(v, &ids)?),
        ];
        Ok((head, tail))
    }

    /// Depth first, siblings in the order of their names' bytes.
    fn tree(&mut self, v: &View<'_>, ids: &DocIds, top: Frame) -> Result<()> {
        let mut stack = vec![top];
        while let Some(frame) = stack.last_mut() {
            let Some(row) = frame.next(v)? else {
                stack.pop();
                continue;
            };
            let (at, disk) = (format!("{}{}/", frame.at, row.name), format!("{}/{}", frame.disk, row.name));
            self.resource(v, ids, &row, &at, &disk, meta::kind_name(row.kind))?;
            if !row.is_file() {
                stack.push(Frame::new(row.id, at, disk));
            }
        }
        Ok(())
    }

    fn resource(
        &mut self,
        v: &View<'_>,
        ids: &DocIds,
        row: &Resource,
        at: &str,
        disk: &str,
        kind: &'static str,
    ) -> Result<()> {
        let meta = Meta {
            kind,
            acl: if row.has_acl() { v.acl(row.id)? } else { Acl::default() },
            properties: if row.has_properties() { v.properties(row.id)? } else { Vec::new() },
            created_ms: row.created_ms,
            updated_ms: row.mtime_ms,
            version: row.version,
            content_type: row.content_type.clone(),
            size: row.size,
        };
        let meta = String::from_utf8(meta.write(&ids.of("Resource", row.id), ids)).expect("invariant: JSON is UTF-8");
        self.last = (self.last.0.max(row.id), self.last.1.max(row.stamp));
        self.weight = (self.weight.0 + meta.len() as u64, self.weight.1 + 1);
        let file = row.is_file().then(|| PlannedFile {
            disk: disk.to_owned(),
            version: row.version,
            ino: row.ino,
            size: row.size,
            mtime_ns: row.mtime_ns,
            crc: row.crc,
        });
        if let Some(file) = &file {
            self.weight = (self.weight.0 + file.size as u64, self.weight.1 + 1);
        }
        let (id, stamp) = (row.id, row.stamp);
        let planned = Planned { at: at.to_owned(), meta, mtime: row.mtime_ms / 1000, id, stamp, file };
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, &planned).expect("invariant: a vector takes plain data");
        self.plan.append(&(self.buffer.len() as u32).to_le_bytes())?;
        self.plan.append(&self.buffer)?;
        Ok(())
    }
}

/// Everything before the boxes.
fn head(of: &ExportOf, ids: &DocIds, written: &[Written]) -> Fixed {
    let manifest = json!({ "export_version": EXPORT_VERSION, "unit_url": of.unit_url, "create_date": clock::now_ms() })
        .to_string();
    let mut declared = serde_json::Map::new();
    declared.insert("Name".to_owned(), json!(of.record.name));
    let hidden = of.record.owner.iter().map(|owner| ("Owner".to_owned(), json!(owner))).collect();
    let doc =
        Doc { declared, hidden, created_ms: of.record.created_ms, updated_ms: of.record.updated_ms, ..Doc::default() };
    let mut cell = doc.line(ids, "Cell", &of.record.uuid);
    cell["_index"] = json!("u0_ad");
    cell["_source"]["a"] = json!({});
    if let Some(source) = cell["_source"].as_object_mut() {
        source.remove("c");
    }
    let mut head = vec![
        (MANIFEST.to_owned(), manifest.into_bytes()),
        (ODATA.to_owned(), Vec::new()),
        (CELL.to_owned(), cell.to_string().into_bytes()),
    ];
    for list in LISTS {
        let mut lines = Vec::new();
        for doc in written.iter().filter(|doc| doc.list == list) {
            lines.extend_from_slice(doc.line.as_bytes());
            lines.push(b'\n');
        }
        head.push((list_entry(list), lines));
    }
    head.push((WEBDAV.to_owned(), Vec::new()));
    head
}

fn cell_meta(v: &View<'_>) -> Result<Meta> {
    let root = v.cell_root()?;
    Ok(Meta {
        kind: meta::CELL,
        acl: v.acl(CELL_ROOT)?,
        properties: v.properties(CELL_ROOT)?,
        created_ms: root.created_ms,
        updated_ms: root.updated_ms,
        version: root.version,
        content_type: None,
        size: 0,
    })
}

/// How the installations of the boxes ended.
fn installs(v: &View<'_>, ids: &DocIds, boxes: &[CellBox]) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    for cell_box in boxes {
        let Some(job) = v.ended_install_of(cell_box.id)? else { continue };
        let line = json!({
            "box": ids.of(BOX, cell_box.id), "failed": job.state == JobState::Failed, "started_ms": job.started_ms,
            "ended_ms": job.ended_ms, "progress": job.progress, "message": job.message,
        });
        lines.extend_from_slice(line.to_string().as_bytes());
        lines.push(b'\n');
    }
    Ok(lines)
}

impl Frame {
    fn new(id: i64, at: String, disk: String) -> Self {
        Self { id, at, disk, after: String::new(), page: VecDeque::new(), last: false }
    }

    fn next(&mut self, v: &View<'_>) -> Result<Option<Resource>> {
        if self.page.is_empty() && !self.last {
            self.page = v.children_after(self.id, &self.after, PAGE)?.into();
            self.last = self.page.len() < PAGE;
            if let Some(row) = self.page.back() {
                self.after.clone_from(&row.name);
            }
        }
        Ok(self.page.pop_front())
    }
}
