//! A box as a bar: one moment of it as a virtual archive, whose length, tag and bytes are known before any is read.
//!
//! Building is one pass over the rows; content is opened when it is read, in the version of that moment, wherever it is by
//! then. Memory does not grow with the box: members and properties lie in spools. Layout of the archive: `docs/api.md`.

mod live;
mod reader;
mod records;

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

pub use live::LiveArchives;
pub use reader::ArchiveReader;
use records::{Content, Record, Records, RecordsWriter};

use super::metadata::{Link, LinkEnd};
use super::pack::{self, RootpropsWriter};
use super::rootprops::{Kind as DeclaredKind, Property as DeclaredProperty};
use crate::archive::{Layout, LayoutBuilder, Member, MemberKind};
use crate::base::clock;
use crate::domain::acl::{AceView, AclView, PrincipalView, Privileges, SchemaAuthz, export_base};
use crate::domain::rule::RuleFields;
use crate::storage::cell::Version;
use crate::storage::database::cell_box::CellBox;
use crate::storage::database::control::{Object, ObjectKind};
use crate::storage::database::{Kind, Resource, View};
use crate::storage::generation::Pin;
use crate::storage::spool::{Spool, SpoolWriter};
use crate::storage::{Cell, Error, Result};

/// The form of what is written here; another one gets other tags.
const FORM: u32 = 1;
/// Rows read from a collection at once.
const PAGE: usize = 512;

/// What an archive is made for. Equal requests on an unchanged box get the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub box_name: String,
    /// With trailing slash: it is part of what is written.
    pub cell_url: String,
    /// Also external roles and links.
    pub everything: bool,
}

/// One moment of a box.
#[derive(Debug)]
pub struct Archive {
    // Dropped before the cell, whose writer releases it.
    _pin: Pin,
    cell: Arc<Cell>,
    box_name: String,
    etag: String,
    layout: Arc<Layout>,
    records: Records,
    fixed: Vec<Vec<u8>>,
    rootprops: Spool,
    /// Checksums that nobody had computed before.
    crcs: Mutex<HashMap<u64, u32>>,
    last_used_ms: AtomicI64,
    /// A member's content is nowhere any more.
    broken: AtomicBool,
}

/// The tag that an archive made now would have, quoted.
fn etag(v: &View<'_>, cell_box: &CellBox, request: &Request) -> Result<String> {
    let incarnation = v.meta_text("incarnation")?.unwrap_or_default();
    let control = v.meta_number("control_seq")?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(request.cell_url.as_bytes());
    hasher.update(request.box_name.as_bytes());
    let base = hasher.finalize();
    let all = if request.everything { "a" } else { "d" };
    Ok(format!("\"{incarnation}-{:x}-{:x}-{control:x}-{base:08x}{all}{FORM}\"", cell_box.id, cell_box.seq))
}

/// The tag of the archive of a box as it is, after a look at what was changed by hand.
pub fn current_etag(cell: &Cell, request: &Request) -> Result<String> {
    cell.refresh_box(&request.box_name)?;
    cell.read(|v| {
        let cell_box = exported(v, request)?;
        etag(v, &cell_box, request)
    })
}

/// The box, if it can be exported: it exists, is not the main box and is not being installed.
fn exported(v: &View<'_>, request: &Request) -> Result<CellBox> {
    let lookup = v.lookup(&request.box_name, &crate::base::path::ResourcePath::root())?;
    if lookup.cell_box.is_main() { Err(Error::BoxMissing) } else { Ok(lookup.cell_box) }
}

impl Archive {
    /// Takes the moment. Blocks for one pass over the rows of the box.
    pub fn build(cell: &Arc<Cell>, request: &Request) -> Result<Self> {
        let id = cell.read(|v| exported(v, request))?.id;
        let pin = Pin::new(cell, id)?;
        let mut builder = Builder {
            records: RecordsWriter::new(cell)?,
            contents: RecordsWriter::new(cell)?,
            rootprops: cell.spool()?,
            fixed: Vec::new(),
            buffer: Vec::new(),
            mtime: 0,
        };
        let etag = cell.read(|v| builder.collect(v, request))?;
        let (records, layout, rootprops, fixed) = builder.finish()?;
        Ok(Self {
            cell: cell.clone(),
            box_name: request.box_name.clone(),
            etag,
            layout: Arc::new(layout),
            records,
            fixed,
            rootprops,
            crcs: Mutex::default(),
            last_used_ms: AtomicI64::new(clock::now_ms()),
            broken: AtomicBool::new(false),
            _pin: pin,
        })
    }

    /// Quoted and strong.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// Whether some of its bytes can no longer be read, because somebody wrote into a file by hand.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Bytes.
    pub fn length(&self) -> u64 {
        self.layout.len()
    }

    fn touch(&self) {
        self.last_used_ms.store(clock::now_ms(), Ordering::Relaxed);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Roles by number: name and box.
type Roles = HashMap<i64, (String, Option<String>)>;

struct Builder {
    /// Members of metadata; those of contents wait, because the properties come before them and are written last.
    records: RecordsWriter,
    contents: RecordsWriter,
    rootprops: SpoolWriter,
    fixed: Vec<Vec<u8>>,
    buffer: Vec<u8>,
    /// Of the metadata: seconds since 1970, the same each time.
    mtime: i64,
}

/// A collection whose members are being read, page by page.
struct Frame {
    id: i64,
    path: String,
    after: String,
    page: VecDeque<Resource>,
    last: bool,
}

impl Builder {
    /// Reads the box from one transaction; returns the tag of what was read.
    fn collect(&mut self, v: &View<'_>, request: &Request) -> Result<String> {
        let cell_box = exported(v, request)?;
        let tag = etag(v, &cell_box, request)?;
        self.metadata(v, &cell_box, request.everything)?;
        let base = export_base(cell_box.schema.as_deref(), &request.cell_url, &cell_box.name);
        let writer = RootpropsWriter::default();
        let mut writer = Properties { base: &base, cell_box: &cell_box, roles: roles(v)?, writer };
        self.with_buffer(|out| writer.writer.begin(out))?;
        let root = v.resource(cell_box.id)?.ok_or(Error::BoxMissing)?;
        self.with_buffer(|out| writer.response(v, out, &root, ""))??;
        self.tree(v, &mut writer, root.id)?;
        self.with_buffer(|out| writer.writer.end(out))?;
        Ok(tag)
    }

    /// What is known before the tree is read.
    fn metadata(&mut self, v: &View<'_>, cell_box: &CellBox, everything: bool) -> Result<()> {
        let mtime = cell_box.created_ms / 1000;
        self.mtime = mtime;
        for name in ["00_meta/", "90_contents/"] {
            self.records.push(&directory(name.to_owned(), mtime))?;
        }
        let names = |kind| -> Result<Vec<String>> {
            Ok(v.objects_of(kind, cell_box.id)?.into_iter().map(|o| o.name).collect())
        };
        let rules: Vec<(String, RuleFields)> = v
            .objects_of(ObjectKind::Rule, cell_box.id)?
            .into_iter()
            .map(|o| (o.name, RuleFields::from_json(&o.fields)))
            .collect();
        let mut members = vec![
            ("00_manifest.json", Some(pack::manifest(&cell_box.name, cell_box.schema.as_deref()))),
            ("10_relations.json", pack::relations(&names(ObjectKind::Relation)?)),
            ("20_roles.json", pack::roles(&names(ObjectKind::Role)?)),
        ];
        if everything {
            let (ext_roles, links) = beyond_the_reference(v, cell_box)?;
            members.push(("30_extroles.json", pack::ext_roles(&ext_roles)));
            members.push(("50_rules.json", pack::rules(&rules)));
            members.push(("70_$links.json", pack::links(&links)));
        } else {
            members.push(("50_rules.json", pack::rules(&rules)));
        }
        for (name, bytes) in members {
            let Some(bytes) = bytes else { continue };
            self.records.push(&Record {
                name: format!("00_meta/{name}"),
                size: bytes.len() as u64,
                mtime,
                crc: Some(crc32fast::hash(&bytes)),
                content: Content::Fixed(self.fixed.len()),
            })?;
            self.fixed.push(bytes);
        }
        Ok(())
    }

    /// Depth first, siblings in the order of their names' bytes.
    fn tree(&mut self, v: &View<'_>, writer: &mut Properties<'_>, root: i64) -> Result<()> {
        let mut stack = vec![Frame::new(root, String::new())];
        while let Some(frame) = stack.last_mut() {
            let Some(row) = frame.next(v)? else {
                stack.pop();
                continue;
            };
            let path = if frame.path.is_empty() { row.name.clone() } else { format!("{}/{}", frame.path, row.name) };
            self.with_buffer(|out| writer.response(v, out, &row, &path))??;
            match row.kind {
                Kind::File => self.contents.push(&Record {
                    name: format!("90_contents/{path}"),
                    size: row.size as u64,
                    mtime: row.mtime_ms / 1000,
                    crc: row.crc,
                    content: Content::File(Version::of(&row)),
                })?,
                Kind::Stream => {}
                Kind::Collection | Kind::Service | Kind::OData => {
                    self.contents.push(&directory(format!("90_contents/{path}/"), row.mtime_ms / 1000))?;
                    stack.push(Frame::new(row.id, path));
                }
            }
        }
        Ok(())
    }

    /// Appends what `write` writes to the properties.
    fn with_buffer<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> Result<T> {
        self.buffer.clear();
        let result = write(&mut self.buffer);
        self.rootprops.append(&self.buffer)?;
        Ok(result)
    }

    /// Lays the members out: metadata, the properties, contents.
    fn finish(self) -> Result<(Records, Layout, Spool, Vec<Vec<u8>>)> {
        let Self { mut records, contents, rootprops, fixed, .. } = self;
        let rootprops = rootprops.finish()?;
        let failed = |source| Error::Io { op: "read", path: "a spool".to_owned(), source };
        records.push(&Record {
            name: "00_meta/90_rootprops.xml".to_owned(),
            size: rootprops.len(),
            mtime: self.mtime,
            crc: Some(crc_of(&rootprops).map_err(failed)?),
            content: Content::Rootprops,
        })?;
        let records = records.finish()?.followed_by(contents.finish()?);
        let mut layout = LayoutBuilder::new();
        records.each(|r| layout.push(&member(r)).map(drop).map_err(std::io::Error::from)).map_err(failed)?;
        Ok((records, layout.finish(), rootprops, fixed))
    }
}

/// The CRC-32 of a whole spool.
fn crc_of(spool: &Spool) -> std::io::Result<u32> {
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    let mut at = 0;
    loop {
        match spool.read_at(at, &mut buffer)? {
            0 => return Ok(hasher.finalize()),
            n => {
                hasher.update(&buffer[..n]);
                at += n as u64;
            }
        }
    }
}

fn directory(name: String, mtime: i64) -> Record {
    Record { name, size: 0, mtime, crc: None, content: Content::Directory }
}

fn member(r: &Record) -> Member {
    let kind = if r.content == Content::Directory { MemberKind::Directory } else { MemberKind::File };
    Member { name: r.name.clone(), size: r.size, mtime: r.mtime, kind }
}

impl Frame {
    fn new(id: i64, path: String) -> Self {
        Self { id, path, after: String::new(), page: VecDeque::new(), last: false }
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

/// Names of all roles of the cell with their boxes.
fn roles(v: &View<'_>) -> Result<Roles> {
    let boxes: HashMap<i64, String> = v.boxes()?.into_iter().map(|b| (b.id, b.name)).collect();
    let all = v.objects(ObjectKind::Role)?;
    Ok(all.into_iter().map(|o| (o.id, (o.name, boxes.get(&o.owner).cloned()))).collect())
}

/// External roles with their relations, and links.
type Beyond = (Vec<(String, String)>, Vec<Link>);

/// External roles of the box's relations, and the links between what is bound to the box.
fn beyond_the_reference(v: &View<'_>, cell_box: &CellBox) -> Result<Beyond> {
    let relations = v.objects_of(ObjectKind::Relation, cell_box.id)?;
    let roles: HashMap<i64, Object> =
        v.objects_of(ObjectKind::Role, cell_box.id)?.into_iter().map(|o| (o.id, o)).collect();
    let (mut ext_roles, mut links) = (Vec::new(), Vec::new());
    for relation in &relations {
        for id in v.linked(ObjectKind::Relation, relation.id, ObjectKind::Role)? {
            if let Some(role) = roles.get(&id) {
                let to = LinkEnd::Role(role.name.clone());
                links.push(Link { from: LinkEnd::Relation(relation.name.clone()), to });
            }
        }
        for ext in v.objects_of(ObjectKind::ExtRole, relation.id)? {
            for id in v.linked(ObjectKind::ExtRole, ext.id, ObjectKind::Role)? {
                if let Some(role) = roles.get(&id) {
                    let to = LinkEnd::ExtRole { url: ext.name.clone(), relation: relation.name.clone() };
                    links.push(Link { from: LinkEnd::Role(role.name.clone()), to });
                }
            }
            ext_roles.push((ext.name, relation.name.clone()));
        }
    }
    Ok((ext_roles, links))
}

/// Writes responses of `90_rootprops.xml`.
struct Properties<'a> {
    base: &'a str,
    cell_box: &'a CellBox,
    roles: Roles,
    writer: RootpropsWriter,
}

impl Properties<'_> {
    fn response(&mut self, v: &View<'_>, out: &mut Vec<u8>, row: &Resource, path: &str) -> Result<()> {
        let acl = if row.has_acl() { v.acl(row.id)? } else { crate::storage::database::acl::Acl::default() };
        let aces: Vec<AceView<'_>> = acl
            .aces
            .iter()
            .filter_map(|ace| {
                let principal = match ace.role {
                    None => PrincipalView::All,
                    Some(id) => {
                        let (role, box_name) = self.roles.get(&id)?;
                        PrincipalView::Role { box_name: box_name.as_deref(), role }
                    }
                };
                Some(AceView { principal, privileges: Privileges::from_bits(ace.privileges as u64) })
            })
            .collect();
        let properties: Vec<DeclaredProperty> = if row.has_properties() {
            let rows = v.properties(row.id)?;
            rows.into_iter().map(|p| DeclaredProperty { ns: p.ns, local: p.local, xml: p.xml }).collect()
        } else {
            Vec::new()
        };
        let resource = pack::Resource {
            path,
            kind: declared(row.kind),
            created_ms: row.created_ms,
            modified_ms: row.mtime_ms,
            length: row.size as u64,
            content_type: row.content_type.as_deref(),
            acl: AclView {
                base: self.base,
                box_name: Some(&self.cell_box.name),
                require_schema_authz: acl.require_schema.as_deref().and_then(SchemaAuthz::of),
                own: &aces,
                inherited: &[],
            },
            properties: &properties,
        };
        self.writer.response(out, &resource);
        Ok(())
    }
}

fn declared(kind: Kind) -> DeclaredKind {
    match kind {
        Kind::File => DeclaredKind::File,
        Kind::Collection => DeclaredKind::Collection,
        Kind::OData => DeclaredKind::OData,
        Kind::Service => DeclaredKind::Service,
        Kind::Stream => DeclaredKind::Stream,
    }
}

#[cfg(test)]
mod tests;
