//! Bars as clients make them, installed in real units.

#![allow(clippy::disallowed_methods, reason = "what an installation leaves is looked at on disk")]

mod builder;
mod faults;
mod order;
mod outcome;

use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::Ordering::SeqCst;

use builder::Bar;

use super::*;
use crate::base::clock;
use crate::base::path::ResourcePath;
use crate::storage::cell::Limits;
use crate::storage::database::control::ObjectKind;
use crate::storage::disk::{Disk, FaultPlan};
use crate::storage::log::{CURRENT, LogFolder};
use crate::storage::operation::boxes::DeleteBox;
use crate::storage::unit::Role;

const CELL: &str = "https://c.example/";
const LIMITS: BarLimits = BarLimits { bar_size: 100 << 20, bar_entry_size: 10 << 20, bar_entries: 200_000 };
const RETENTION: i64 = 60_000;

/// A unit with the cell `c`.
struct World {
    installer: Option<Arc<Installer>>,
    dir: tempfile::TempDir,
}

fn at(text: &str) -> ResourcePath {
    ResourcePath::parse(text).expect("a path")
}

impl World {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let w = Self { installer: None, dir }.open(limits, Disk::default());
        w.installer().unit.create_cell("c").expect("a cell");
        w
    }

    fn open(self, limits: Limits, disk: Disk) -> Self {
        let Self { installer, dir } = self;
        drop(installer);
        let unit = Unit::open_on(&dir.path().join("unit"), Role::Server, limits, disk).expect("a unit");
        unit.resume().expect("resumed");
        let installer = Installer::new(Arc::new(unit), Arc::new(EventLog::new(true)), LIMITS);
        Self { installer: Some(installer), dir }
    }

    fn reopen(self) -> Self {
        self.open(Limits::default(), Disk::default())
    }

    fn installer(&self) -> &Arc<Installer> {
        self.installer.as_ref().expect("an installer")
    }

    fn cell(&self) -> Arc<Cell> {
        self.installer().unit.cell("c").expect("the cell")
    }

    fn prepare(&self, name: &str, bar: &[u8]) -> Result<Accepted, PrepareError> {
        let mut file = tempfile::tempfile().expect("a file");
        std::io::Write::write_all(&mut file, bar).expect("written");
        let request = InstallRequest {
            box_name: name.to_owned(),
            bar: file,
            request_key: "k".to_owned(),
            cell_urls: vec![CELL.to_owned()],
        };
        self.installer().prepare(self.cell(), request)
    }

    fn refused(&self, name: &str, bar: &[u8]) -> String {
        match self.prepare(name, bar) {
            Err(PrepareError::Refused(refusal)) => format!("{} {}", refusal.code(), refusal.message()),
            other => panic!("not refused: {other:?}"),
        }
    }

    /// Installs to the end.
    fn install(&self, name: &str, bar: &[u8]) -> BoxStatus {
        self.prepare(name, bar).expect("accepted").run();
        self.status(name)
    }

    fn status(&self, name: &str) -> BoxStatus {
        let read = |v: &crate::storage::database::View<'_>| {
            let cell_box = v.cell_box(name)?.ok_or(storage::Error::BoxMissing)?;
            status_of(v, &cell_box, RETENTION, clock::now_ms())
        };
        self.cell().read(read).expect("a status")
    }

    /// The cause in the message of a box whose installation failed.
    fn failure(&self, name: &str) -> String {
        let BoxStatus::Failed { message, .. } = self.status(name) else { panic!("{:?}", self.status(name)) };
        let message: serde_json::Value = serde_json::from_str(&message).expect("JSON");
        assert_eq!(message["message"]["lang"], "en");
        format!("{} {}", message["code"].as_str().expect("a code"), message["message"]["value"].as_str().expect("text"))
    }

    /// Paths below a box; those of collections end with a slash. Rows and directories have been compared.
    fn tree(&self, name: &str) -> Vec<String> {
        let (mut found, mut todo) = (Vec::new(), vec![String::new()]);
        while let Some(path) = todo.pop() {
            let before = self.cell().lookup(name, &at(&path)).expect("there").nearest().clone();
            let lookup = self.cell().refresh(name, &at(&path)).expect("a collection");
            // A box that was left empty has not been compared yet.
            let known = if before.dir_mtime_ns == 0 { lookup.nearest().dir_mtime_ns } else { before.dir_mtime_ns };
            let before = crate::storage::database::Resource { dir_mtime_ns: known, ..before };
            assert_eq!(before, *lookup.nearest(), "{path}: rows and directory agreed before");
            let rows = self.cell().read(|v| v.all_children(lookup.nearest().id)).expect("children");
            assert_eq!(rows.len() as i64, before.children, "{path}");
            for row in rows {
                let path = format!("{path}{}", row.name);
                if row.is_file() {
                    found.push(path);
                } else {
                    found.push(format!("{path}/"));
                    todo.push(format!("{path}/"));
                }
            }
        }
        found.sort();
        found
    }

    fn get(&self, name: &str, path: &str) -> (Vec<u8>, String) {
        let mut content = self.cell().open_content(name, &at(path)).unwrap_or_else(|e| panic!("{path}: {e:?}"));
        let mut bytes = Vec::new();
        content.file.read_to_end(&mut bytes).expect("readable");
        assert_eq!(content.resource.crc, Some(crc32fast::hash(&bytes)), "{path}");
        (bytes, content.resource.content_type.unwrap_or_default())
    }

    fn names(&self, kind: ObjectKind, name: &str) -> Vec<String> {
        let read = |v: &crate::storage::database::View<'_>| {
            let cell_box = v.cell_box(name)?.ok_or(storage::Error::BoxMissing)?;
            v.objects_of(kind, cell_box.id)
        };
        self.cell().read(read).expect("objects").into_iter().map(|o| o.name).collect()
    }

    /// Type, object and text of each line of the log.
    fn log(&self) -> Vec<String> {
        let mut text = String::new();
        let Some((_, mut file)) = self.cell().open_log(LogFolder::Current, CURRENT).expect("looked for") else {
            return Vec::new();
        };
        file.read_to_string(&mut text).expect("readable");
        let short = |line: &str| {
            let rest = line.split_once("\"k\",\"false\",null,null,").expect("a line of an install").1;
            rest.replace(CELL, "@").replace("\",\"", " | ").trim_matches('"').to_owned()
        };
        text.lines().map(short).collect()
    }

    fn delete(&self, name: &str) {
        let delete = DeleteBox { name: name.to_owned(), recursive: true, guard: Box::new(|_, _| Ok(())) };
        self.cell().change(delete).expect("deleted");
    }

    fn on_disk(&self, rest: &str) -> PathBuf {
        self.dir.path().join("unit/cells/c").join(rest)
    }

    /// Names below `staging/` and `staging/gone/`.
    fn staged(&self) -> Vec<String> {
        let names = |dir: &str| -> Vec<String> {
            let entries = std::fs::read_dir(self.on_disk(dir)).expect("a directory");
            entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
        };
        let mut all = names("staging");
        all.retain(|n| n != "gone");
        all.extend(names("staging/gone"));
        all
    }
}
