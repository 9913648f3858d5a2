//! Whole cells out and in, on real units: what comes back, what is refused, what is left when something fails.

mod damage;
mod faults;
mod random;
mod round;

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::export::ExportOf;
use super::transfers::{Asked, Refused, Rules, Status, Transfers};
use crate::base::path::ResourcePath;
use crate::domain::event::EventLog;
use crate::storage::cell::{Cell, Limits};
use crate::storage::database::account::StoredPassword;
use crate::storage::database::acl::{Ace, Acl};
use crate::storage::database::area::TransferKind;
use crate::storage::database::cell_root::CELL_ROOT;
use crate::storage::database::control::ObjectKind;
use crate::storage::database::property::Property;
use crate::storage::database::{Kind, Resource, View};
use crate::storage::disk::{Disk, FaultPlan};
use crate::storage::log::LogFolder;
use crate::storage::operation::boxes::CreateBox;
use crate::storage::operation::mkcol::Mkcol;
use crate::storage::operation::no_guard;
use crate::storage::operation::put::Put;
use crate::storage::unit::{Role, Unit};
use crate::storage::writer::{Change, Context};

const RULES: Rules = Rules { exclusive: false, queue: 10, level: 1 };

/// A unit with the cell `c`.
struct World {
    transfers: Arc<Transfers>,
    unit: Arc<Unit>,
    dir: tempfile::TempDir,
}

/// Everything that can be seen of a cell, by place.
type Portrait = BTreeMap<String, String>;

fn path(text: &str) -> ResourcePath {
    ResourcePath::parse(text).expect("a path")
}

impl World {
    fn new() -> Self {
        let world = Self::on(tempfile::tempdir().expect("a directory"), Disk::default(), RULES);
        world.unit.create_cell("c").expect("a cell");
        world
    }

    fn on(dir: tempfile::TempDir, disk: Disk, rules: Rules) -> Self {
        let unit = Unit::open_on(&dir.path().join("unit"), Role::Server, Limits::default(), disk).expect("a unit");
        let unit = Arc::new(unit);
        let transfers = Transfers::new(unit.clone(), Arc::new(EventLog::new(false)), rules);
        Self { transfers, unit, dir }
    }

    /// Ends everything and opens the unit again.
    fn reopen(self, disk: Disk) -> Self {
        let Self { transfers, unit, dir } = self;
        transfers.close();
        drop(transfers);
        unit.close();
        drop(unit);
        Self::on(dir, disk, RULES)
    }

    fn cell(&self) -> Arc<Cell> {
        self.unit.cell("c").expect("the cell")
    }

    fn begin_export(&self, name: &str) -> Result<(), Refused> {
        let record = self.unit.record("c").expect("looked up").expect("the cell");
        let of = ExportOf { record, unit_url: "http://u/".to_owned(), level: 1 };
        self.transfers.export(self.unit.cell("c")?, name, of, asked())
    }

    fn begin_import(&self, name: &str) -> Result<(), Refused> {
        let record = self.unit.record("c").expect("looked up").expect("the cell");
        self.transfers.import(self.unit.cell("c")?, record, name, asked(), &|_| false)
    }

    /// Waits until a job is over, and tells how it stands.
    fn wait(&self, kind: TransferKind) -> Status {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            // Where faults are injected, opening the cell may meet one.
            let Ok(cell) = self.unit.cell("c") else { continue };
            let status = self.transfers.status(&cell, kind).expect("a status");
            if !matches!(status, Status::Running { .. }) && self.transfers.running(&cell).expect("looked").is_none() {
                return status;
            }
            assert!(Instant::now() < deadline, "the job does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Exports, and returns the file.
    fn export(&self, name: &str) -> Vec<u8> {
        self.begin_export(name).expect("begun");
        assert_eq!(self.wait(TransferKind::Export), Status::Ready);
        self.snapshot(&format!("{name}.zip")).unwrap_or_else(|| panic!("{:?}", self.snapshot(&format!("{name}.error"))))
    }

    fn snapshot(&self, name: &str) -> Option<Vec<u8>> {
        let (file, mut content) = self.cell().open_snapshot(name).expect("looked for")?;
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).expect("read");
        assert_eq!(file.size, bytes.len() as u64);
        Some(bytes)
    }

    fn upload(&self, name: &str, bytes: &[u8]) {
        use crate::base::path::{NewName, Segment};
        use crate::storage::operation::area::PutSnapshot;
        let mut file = self.cell().new_snapshot().expect("begun");
        file.write(bytes).expect("written");
        let staged = file.finish().expect("staged");
        let name = NewName::new(&Segment::new(name).expect("a name")).expect("a name");
        let put = PutSnapshot { name, content_type: None, staged, guard: Box::new(|_| Ok(())) };
        self.cell().change(put).expect("put");
    }

    /// Imports a file; the error is the code with which that failed.
    fn import(&self, bytes: &[u8]) -> Result<(), String> {
        self.upload("in.zip", bytes);
        match self.begin_import("in") {
            Ok(()) => {}
            Err(Refused::Snapshot(failure)) => return Err(failure.code().to_owned()),
            Err(e) => panic!("{e}"),
        }
        match self.wait(TransferKind::Import) {
            Status::Ready => Ok(()),
            Status::Failed { message, name, .. } => {
                assert_eq!(name, "in");
                let message: serde_json::Value = serde_json::from_str(&message).expect("JSON");
                Err(message["code"].as_str().expect("a code").to_owned())
            }
            other @ Status::Running { .. } => panic!("{other:?}"),
        }
    }

    fn make_box(&self, name: &str, schema: Option<&str>) {
        let create = CreateBox { name: name.to_owned(), schema: schema.map(str::to_owned) };
        self.cell().change(create).expect("a box");
    }

    fn put(&self, box_name: &str, at: &str, content_type: &str, bytes: &[u8]) {
        let mut upload = self.cell().upload();
        upload.write(bytes).expect("written");
        let put = Put {
            box_name: box_name.to_owned(),
            path: path(at),
            staged: upload.finish().expect("staged"),
            content_type: Some(content_type.to_owned()),
            mtime_ms: None,
            guard: no_guard(),
            properties_of: None,
        };
        self.cell().change(put).expect("put");
    }

    fn mkcol(&self, box_name: &str, at: &str, kind: Kind) {
        let (box_name, path) = (box_name.to_owned(), path(at));
        let mkcol = Mkcol { box_name, path, kind, properties: Vec::new(), guard: no_guard() };
        self.cell().change(mkcol).expect("a collection");
    }

    /// An object, bound to a box or, if it is an external role, to a relation; returns its number.
    fn object(&self, kind: ObjectKind, name: &str, owner: i64, fields: &str) -> i64 {
        let (name, fields) = (name.to_owned(), fields.to_owned());
        let insert = Change(move |ctx: &Context<'_>| ctx.tx.insert_object(kind, &name, owner, &fields));
        self.cell().change(insert).expect("an object").id
    }

    fn link(&self, a: (ObjectKind, i64), b: (ObjectKind, i64)) {
        self.cell().change(Change(move |ctx: &Context<'_>| ctx.tx.insert_link(a, b))).expect("a link");
    }

    fn box_id(&self, name: &str) -> i64 {
        self.cell().read(|v| v.cell_box(name)).expect("read").expect("the box").id
    }

    fn set_property(&self, box_name: &str, at: &str, local: &str, value: &str) {
        let (box_name, at) = (box_name.to_owned(), path(at));
        let xml = format!("<{local} xmlns=\"urn:t\">{value}</{local}>");
        let property = Property { ns: "urn:t".to_owned(), local: local.to_owned(), xml };
        let set = Change(move |ctx: &Context<'_>| {
            let lookup = ctx.tx.lookup(&box_name, &at)?;
            ctx.tx.set_property(lookup.nearest().id, &property)?;
            ctx.tx.flag_properties(lookup.nearest())
        });
        self.cell().change(set).expect("a property");
    }

    fn set_acl(&self, box_name: &str, at: &str, aces: &[(Option<i64>, i64)]) {
        let (box_name, at) = (box_name.to_owned(), path(at));
        let aces = aces.iter().map(|(role, privileges)| Ace { role: *role, privileges: *privileges }).collect();
        let acl = Acl { require_schema: Some("public".to_owned()), aces };
        let set = Change(move |ctx: &Context<'_>| {
            let lookup = ctx.tx.lookup(&box_name, &at)?;
            ctx.tx.set_resource_acl(lookup.nearest(), &acl)
        });
        self.cell().change(set).expect("a list");
    }

    /// A cell with something of everything.
    fn fill(&self) {
        self.make_box("box1", Some("https://app.example/"));
        self.make_box("box2", None);
        let (box1, box2) = (self.box_id("box1"), self.box_id("box2"));
        let editor = self.object(ObjectKind::Role, "editor", 0, "");
        let viewer = self.object(ObjectKind::Role, "viewer", box2, "");
        let friend = self.object(ObjectKind::Relation, "friend", 0, "");
        let boss = self.object(ObjectKind::ExtRole, "https://other.example/__role/__/boss", friend, "");
        let fields = r#"{"Action":"log","EventExternal":true,"EventType":"note"}"#;
        self.object(ObjectKind::Rule, "rule", box1, fields);
        self.link((ObjectKind::Relation, friend), (ObjectKind::Role, editor));
        self.link((ObjectKind::ExtRole, boss), (ObjectKind::Role, viewer));
        let person = self.object(ObjectKind::Account, "person", 0, r#"{"Type":"basic","Status":"active"}"#);
        self.object(ObjectKind::ExtCell, "https://other.example/", 0, "");
        self.link((ObjectKind::Account, person), (ObjectKind::Role, editor));
        self.cell()
            .change(Change(move |ctx: &Context<'_>| {
                let (algorithm, hash) = ("scrypt".to_owned(), "$e0801$c2FsdA==$a2V5".to_owned());
                let password = StoredPassword { algorithm, hash, attributes: Some("{\"n\":1}".to_owned()) };
                ctx.tx.set_password(person, Some(&password))?;
                ctx.tx.insert_drive_password("laptop", person, 0, "d1")?;
                ctx.tx.insert_drive_password("phone", person, box1, "d2").map(drop)
            }))
            .expect("passwords");
        self.put("__", "main.txt", "text/plain; charset=utf-8", b"in the main box");
        self.put("box1", "a.txt", "text/plain", b"hello world");
        self.mkcol("box1", "docs", Kind::Collection);
        self.mkcol("box1", "docs/deep", Kind::Collection);
        self.put("box1", "docs/\u{e4}-\u{65e5}\u{672c}.bin", "application/x-thing", &noise(3000));
        self.put("box1", "docs/deep/empty", "application/x-empty", b"");
        self.put("box1", "docs/content", "a/b", b"a file that is called content");
        self.put("box1", "docs/.pmeta", "a/b", b"a file that is called .pmeta");
        self.put("box1", "a.txt", "text/plain", b"hello again, second version");
        self.mkcol("box1", "svc", Kind::Service);
        self.set_property("box1", "a.txt", "color", "blue &amp; \u{e4}");
        self.set_property("box1", "docs", "shelf", "<x/>7");
        self.set_acl("box1", "", &[(Some(editor), 3), (Some(viewer), 2)]);
        self.set_acl("box1", "docs", &[(Some(editor), 1), (None, 2)]);
        let cell = self.cell();
        let xml = "<motto xmlns=\"urn:t\">many</motto>".to_owned();
        cell.change(Change(move |ctx: &Context<'_>| {
            let motto = Property { ns: "urn:t".to_owned(), local: "motto".to_owned(), xml: xml.clone() };
            ctx.tx.set_property(CELL_ROOT, &motto)?;
            let aces = vec![Ace { role: Some(editor), privileges: 1 << 34 }];
            ctx.tx.set_acl(CELL_ROOT, &Acl { require_schema: None, aces })?;
            ctx.tx.touch_cell_root()
        }))
        .expect("changed");
        cell.append_log(b"2026-01-01,one line\n", 1 << 20).expect("logged");
    }

    fn portrait(&self) -> Portrait {
        let cell = self.cell();
        let mut out = cell.read(|v| Ok(rows(v))).expect("read");
        cell.read(|v| {
            let person = v.object(ObjectKind::Account, "person", 0)?.map_or(0, |account| account.id);
            let password = v.password_of(person)?.map(|p| (p.algorithm, p.hash, p.attributes));
            out.insert("password".to_owned(), format!("{password:?}"));
            for drive in v.drive_passwords()? {
                let what = format!("{} {:?}", drive.account == person, owner(v, drive.cell_box));
                out.insert(format!("drive password {}", drive.digest), what);
            }
            Ok(())
        })
        .expect("read");
        let names = |v: &View<'_>| Ok(v.boxes()?.into_iter().map(|b| b.name).collect::<Vec<_>>());
        for name in cell.read(names).expect("boxes") {
            let root = cell.refresh(&name, &ResourcePath::root()).expect("the box").nearest().clone();
            tree(&cell, &name, &root, "", &mut out);
        }
        for folder in [LogFolder::Current, LogFolder::Archive] {
            for log in cell.logs(folder).expect("logs") {
                let (_, mut file) = cell.open_log(folder, &log.name).expect("opened").expect("the log");
                let mut text = String::new();
                file.read_to_string(&mut text).expect("text");
                out.insert(format!("log {folder:?} {}", log.name), text);
            }
        }
        out
    }

    /// Names below the unit's and the cell's `staging/`.
    fn staged(&self) -> Vec<String> {
        let mut all = Vec::new();
        for folder in ["unit/staging", "unit/cells/c/staging", "unit/cells/c/staging/gone"] {
            for entry in std::fs::read_dir(self.dir.path().join(folder)).expect("a directory") {
                all.push(entry.expect("an entry").file_name().to_string_lossy().into_owned());
            }
        }
        all.retain(|name| name != "gone");
        all
    }
}

/// A resource and everything below it.
fn tree(cell: &Cell, box_name: &str, row: &Resource, at: &str, out: &mut Portrait) {
    let (properties, acl) = cell.read(|v| Ok((v.properties(row.id)?, named(v, &v.acl(row.id)?)))).expect("read");
    let mut text = format!(
        "{:?} v{} {} {} {} {:?} {} {properties:?} {acl}",
        row.kind, row.version, row.stamp, row.created_ms, row.mtime_ms, row.content_type, row.size
    );
    if row.is_file() {
        let mut content = cell.open_content(box_name, &path(at)).expect("opened");
        let mut bytes = Vec::new();
        content.file.read_to_end(&mut bytes).expect("read");
        assert_eq!(content.resource.crc, Some(crc32fast::hash(&bytes)), "{at}");
        text = format!("{text} {:08x}", crc32fast::hash(&bytes));
    }
    out.insert(format!("{box_name}/{at}"), text);
    if !row.is_file() {
        let children = cell.read(|v| v.all_children(row.id)).expect("children");
        assert_eq!(children.len() as i64, row.children, "{at}");
        for child in children {
            let below = format!("{at}/{}", child.name);
            tree(cell, box_name, &child, below.trim_start_matches('/'), out);
        }
    }
}

fn asked() -> Asked {
    Asked { request_key: "key".to_owned(), cell_url: "http://u/c/".to_owned() }
}

/// A list with the names of its roles.
fn named(v: &View<'_>, acl: &Acl) -> String {
    let name = |role: &Option<i64>| match role {
        None => "everybody".to_owned(),
        Some(id) => {
            let role = v.object_by_id(ObjectKind::Role, *id).expect("read").expect("the role");
            format!("{} {:?}", role.name, owner(v, role.owner))
        }
    };
    let aces: Vec<_> = acl.aces.iter().map(|ace| (name(&ace.role), ace.privileges)).collect();
    format!("{:?} {aces:?}", acl.require_schema)
}

fn owner(v: &View<'_>, id: i64) -> Option<String> {
    let relation = || Some(v.object_by_id(ObjectKind::Relation, id).expect("read")?.name);
    v.cell_box_by_id(id).expect("read").map(|b| b.name).or_else(relation)
}

/// Boxes, objects and links by name, and what the cell itself has.
fn rows(v: &View<'_>) -> Portrait {
    let mut out = Portrait::new();
    for b in v.boxes().expect("boxes") {
        let times = if b.is_main() { (0, 0) } else { (b.created_ms, b.updated_ms) };
        let version = if b.is_main() { 0 } else { b.version };
        let install = v.ended_install_of(b.id).expect("read").map(|job| (job.state, job.message, job.started_ms));
        out.insert(format!("box {}", b.name), format!("{:?} v{version} {times:?} {install:?}", b.schema));
    }
    let shown = |kind: ObjectKind, id: i64| {
        let o = v.object_by_id(kind, id).expect("read").expect("an object");
        format!("{} {} of {:?}", kind.name(), o.name, owner(v, o.owner))
    };
    for kind in ObjectKind::ALL {
        for o in v.objects(kind).expect("objects") {
            let fields: serde_json::Value = serde_json::from_str(&o.fields).unwrap_or_default();
            out.insert(shown(kind, o.id), format!("{fields} v{} {} {}", o.version, o.created_ms, o.updated_ms));
            for other in ObjectKind::ALL {
                let linked: Vec<_> =
                    v.linked(kind, o.id, other).expect("links").into_iter().map(|id| shown(other, id)).collect();
                out.insert(format!("{} with {}", shown(kind, o.id), other.name()), format!("{linked:?}"));
            }
        }
    }
    let properties = v.properties(CELL_ROOT).expect("properties");
    out.insert("cell".to_owned(), format!("{properties:?} {}", named(v, &v.acl(CELL_ROOT).expect("a list"))));
    out
}

/// Bytes that do not compress.
fn noise(n: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

/// The entries of an archive in their order.
fn entries(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).expect("an archive");
    let mut all = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).expect("an entry");
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("content");
        all.push((entry.name().expect("a name").into_owned(), content));
    }
    all
}

/// An archive of entries, as another program writes it.
fn archive(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for (name, content) in entries {
        if name.ends_with('/') {
            zip.add_directory(name.as_str(), options).expect("added");
        } else {
            zip.start_file(name.as_str(), options).expect("added");
            zip.write_all(content).expect("written");
        }
    }
    zip.finish().expect("finished").into_inner()
}

/// As another server would have written it.
fn without_own(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    entries(bytes).into_iter().filter(|(name, _)| !name.starts_with(super::OWN)).collect()
}
