//! The store as its users see it: real files, real databases, every step made to fail once.

mod ahead;
mod changes;
mod faults;
mod lost;
mod upkeep;
mod verbs;

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use super::cell::{Cell, Limits};
use super::database::lock::Lock;
use super::database::property::Property;
use super::database::{Kind, Resource};
use super::disk::{Disk, FaultPlan};
use super::error::Result;
use super::operation::boxes::CreateBox;
use super::operation::copy::{Extent, copy};
use super::operation::delete::Delete;
use super::operation::lock::{LockOutcome, TakeLock};
use super::operation::mkcol::Mkcol;
use super::operation::move_to::{MoveTo, Place};
use super::operation::no_guard;
use super::operation::put::{Put, PutOutcome};
use super::unit::{Role, Unit};
use super::writer::{ChangeAt, Context, Footprint};
use crate::base::clock::now_ms;
use crate::base::id::urn_uuid;
use crate::base::path::ResourcePath;

/// A unit in a temporary directory with the cell `c` and its box `b`.
struct World {
    // Declared before the directory, so that it is closed first.
    unit: Unit,
    dir: tempfile::TempDir,
}

fn path(text: &str) -> ResourcePath {
    ResourcePath::parse(text).expect("a path")
}

fn place(text: &str) -> Place {
    Place { box_name: "b".to_owned(), path: path(text) }
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let unit = Unit::open(&dir.path().join("unit"), Role::Server, Limits::default()).expect("a unit");
        unit.create_cell("c").expect("a cell");
        let world = Self { unit, dir };
        world.cell().change(CreateBox { name: "b".to_owned(), schema: None }).expect("a box");
        world
    }

    /// Closes the unit and opens it again, with a plan for faults.
    fn reopen(self, plan: Option<Arc<FaultPlan>>) -> Self {
        let Self { unit, dir } = self;
        drop(unit);
        let disk = plan.map_or_else(Disk::default, Disk::with_plan);
        let unit = Unit::open_on(&dir.path().join("unit"), Role::Server, Limits::default(), disk).expect("a unit");
        Self { unit, dir }
    }

    fn cell(&self) -> Arc<Cell> {
        self.unit.cell("c").expect("the cell")
    }

    fn on_disk(&self, rest: &str) -> PathBuf {
        self.dir.path().join("unit/cells/c/boxes/b").join(rest)
    }

    fn put(&self, at: &str, bytes: &[u8]) -> Result<PutOutcome> {
        put(&self.cell(), at, bytes)
    }

    fn mkcol(&self, at: &str) -> Result<Resource> {
        self.cell().change(Mkcol {
            box_name: "b".to_owned(),
            path: path(at),
            kind: Kind::Collection,
            properties: Vec::new(),
            guard: no_guard(),
        })
    }

    fn delete(&self, at: &str) -> Result<Resource> {
        self.cell().change(Delete { box_name: "b".to_owned(), path: path(at), recursive: true, guard: no_guard() })
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let op = MoveTo { from: place(from), to: place(to), overwrite: true, guard: Box::new(|_, _, _| Ok(())) };
        self.cell().change(op).map(drop)
    }

    fn copy(&self, from: &str, to: &str) -> Result<()> {
        let cell = self.cell();
        let source = cell.lookup("b", &path(from))?;
        copy(&cell, &source, &cell, place(to), true, Extent::Tree, no_guard()).map(drop)
    }

    fn set(&self, at: &str, value: &str) -> Result<()> {
        let (at, xml) = (path(at), format!("<p xmlns=\"urn:t\">{value}</p>"));
        self.cell().change(ChangeAt(Footprint::of("b", &at.clone()), move |ctx: &Context<'_>| {
            let lookup = ctx.look("b", &at)?;
            let row = lookup.found().ok_or(super::Error::Missing)?;
            ctx.tx
                .set_property(row.id, &Property { ns: "urn:t".to_owned(), local: "p".to_owned(), xml: xml.clone() })?;
            ctx.tx.flag_properties(row)
        }))
    }

    /// Locks a resource, or a free name with an empty file.
    fn lock(&self, at: &str) -> Result<LockOutcome> {
        let cell = self.cell();
        let lock = Lock {
            token: urn_uuid(),
            id: 0,
            infinite: true,
            shared: false,
            owner: None,
            principal: "me".to_owned(),
            expires_ms: now_ms() + 3_600_000,
        };
        let file = TakeLock::empty_file("b", &path(at), cell.upload().finish()?);
        cell.change(TakeLock { box_name: "b".to_owned(), path: path(at), lock, file: Some(file), guard: no_guard() })
    }

    fn get(&self, at: &str) -> Result<(Vec<u8>, Resource)> {
        get(&self.cell(), at)
    }

    /// Everything below the box as a sorted list: path, content (none for collections), property and locks.
    fn tree(&self) -> Vec<(String, Option<Vec<u8>>, Option<String>)> {
        let cell = self.cell();
        let (mut found, mut todo) = (Vec::new(), vec![String::new()]);
        while let Some(at) = todo.pop() {
            let lookup = cell.refresh("b", &path(&at)).expect("a collection");
            let rows = cell.read(|v| v.all_children(lookup.nearest().id)).expect("children");
            for row in rows {
                let at = format!("{at}/{}", row.name).trim_start_matches('/').to_owned();
                let mut property =
                    cell.read(|v| v.properties(row.id)).expect("properties").first().map(|p| p.xml.clone());
                for _ in cell.read(|v| v.locks_on(row.id, now_ms())).expect("locks") {
                    property.get_or_insert_default().push_str(" locked");
                }
                if row.is_file() {
                    let (bytes, now) = get(&cell, &at).unwrap_or_else(|e| panic!("{at}: {e:?}"));
                    assert_eq!(now.crc.unwrap_or_else(|| crc32fast::hash(&bytes)), crc32fast::hash(&bytes), "{at}");
                    found.push((at, Some(bytes), property));
                } else {
                    found.push((at.clone(), None, property));
                    todo.push(at);
                }
            }
        }
        found.sort();
        let kept =
            "SELECT value=(SELECT coalesce(sum(size),0) FROM resource WHERE kind=2) FROM meta WHERE key='held_bytes'";
        let agrees = cell.read(|v| v.optional("compare sizes", kept, [], |r| r.get::<_, bool>(0))).expect("sizes");
        assert_eq!(agrees, Some(true), "the bytes that are kept are the sum of all sizes");
        found
    }

    /// Names below `staging/` and `staging/gone/`.
    fn staged(&self) -> Vec<String> {
        let staging = self.dir.path().join("unit/cells/c/staging");
        let names = |dir: PathBuf| -> Vec<String> {
            std::fs::read_dir(dir)
                .expect("a directory")
                .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
                .collect()
        };
        let mut all = names(staging.clone());
        all.retain(|n| n != "gone");
        all.extend(names(staging.join("gone")));
        all
    }
}

fn put(cell: &Cell, at: &str, bytes: &[u8]) -> Result<PutOutcome> {
    let mut upload = cell.upload();
    upload.write(bytes)?;
    let staged = upload.finish()?;
    cell.change(Put {
        box_name: "b".to_owned(),
        path: path(at),
        staged,
        content_type: Some("text/plain".to_owned()),
        mtime_ms: None,
        guard: no_guard(),
        properties_of: None,
    })
}

fn get(cell: &Cell, at: &str) -> Result<(Vec<u8>, Resource)> {
    let mut content = cell.open_content("b", &path(at))?;
    let mut bytes = Vec::new();
    content.file.read_to_end(&mut bytes).expect("readable");
    assert_eq!(bytes.len() as i64, content.resource.size, "{at}");
    Ok((bytes, content.resource))
}
