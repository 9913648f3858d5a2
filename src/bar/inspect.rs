//! The checks of a bar before its installation is accepted, in their order.
//!
//! The archive is a list of [`Members`], so that nothing here reads a file. The layout is found from the names alone; the two
//! layouts are checked in different orders.

use std::collections::HashSet;

use super::manifest::Manifest;
use super::refusal::{NOT_AN_ARCHIVE, Refusal};
use super::{Layout, MetaFile};
use crate::domain::names::{FieldError, is_box_name, normalize_schema};

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberKind {
    File,
    /// Its name ends with a slash.
    Directory,
    /// A link, a device, or anything else that is no content.
    Other,
}

/// One member, as the directory of the archive describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// The whole name.
    pub name: &'a str,
    /// Bytes when it is inflated, as the archive says.
    pub size: u64,
    pub kind: MemberKind,
    pub encrypted: bool,
    /// Where it lies in the archive; members have this order in a legacy bar.
    pub position: u64,
}

/// Why a member was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("it is larger than {0} bytes")]
    TooLarge(u64),
    /// It cannot be read or inflated, or does not have the size or the checksum that it should have.
    #[error("{0}")]
    Broken(String),
}

/// An archive that is open.
pub trait Members {
    /// How many members there are.
    fn count(&self) -> usize;
    /// One of them; `index` is below the count.
    fn member(&self, index: usize) -> Member<'_>;
    /// The content of one, if it inflates to at most `cap` bytes.
    fn read(&self, index: usize, cap: u64) -> Result<Vec<u8>, ReadError>;
}

/// The limits of bars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarLimits {
    /// Bytes of the archive.
    pub bar_size: u64,
    /// Bytes of one member, inflated.
    pub bar_entry_size: u64,
    /// Members.
    pub bar_entries: usize,
}

impl BarLimits {
    /// Bytes of `90_rootprops.xml`, inflated. It grows with the number of members, which has a limit of its own: a bar of
    /// 200,000 small files must not fail because it says what they are.
    pub fn properties_size(&self) -> u64 {
        self.bar_entry_size.max(self.bar_size)
    }
}

/// What will be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub layout: Layout,
    /// Normalised; none for a box without schema.
    pub schema: Option<String>,
    pub manifest: Manifest,
    /// The files that progress counts: all, without the manifest in a current bar.
    pub files: usize,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop<E> {
    /// The bar is refused.
    Refused(Refusal),
    /// The cell could not be asked.
    Failed(E),
}

impl<E> From<Refusal> for Stop<E> {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Checks an archive of `bar_bytes` bytes that shall become the box `box_name`. `schema_taken` says whether a box of the cell
/// has a schema, `name_taken` whether one has the name; they are asked once at most, and not before it is their turn.
pub fn inspect<M: Members, E>(
    members: &M,
    bar_bytes: u64,
    box_name: &str,
    limits: &BarLimits,
    schema_taken: impl FnOnce(&str) -> Result<bool, E>,
    name_taken: impl FnOnce() -> Result<bool, E>,
) -> Result<Plan, Stop<E>> {
    let manifest_v2 = index_of(members, &MetaFile::Manifest.member_name(Layout::V2));
    let layout = if manifest_v2.is_some() { Layout::V2 } else { Layout::V1 };
    let manifest = if let Some(index) = manifest_v2 {
        check_archive(members, limits)?;
        let manifest = read_manifest_v2(members, index, limits)?;
        check_bar_size(bar_bytes, limits)?;
        Some(manifest)
    } else {
        check_bar_size(bar_bytes, limits)?;
        check_archive(members, limits)?;
        walk_v1(members, limits)?
    };
    check_required(members, layout)?;
    let schema = manifest.as_ref().and_then(|m| m.schema.as_deref()).map(normalize_schema).transpose();
    if let Ok(Some(schema)) = &schema
        && schema_taken(schema).map_err(Stop::Failed)?
    {
        return Err(Refusal::SchemaTaken { schema: schema.clone() }.into());
    }
    if name_taken().map_err(Stop::Failed)? {
        return Err(Refusal::NameTaken { name: box_name.to_owned() }.into());
    }
    if layout == Layout::V2 {
        (0..members.count()).try_for_each(|index| check_entry_size(members.member(index), layout, limits))?;
    }
    if !is_box_name(box_name) {
        return Err(Refusal::Box(FieldError::format("Name")).into());
    }
    let schema = schema.map_err(Refusal::Box)?;
    let files = (0..members.count()).filter(|index| members.member(*index).kind == MemberKind::File).count();
    let manifest = manifest.unwrap_or_default();
    Ok(Plan { layout, schema, manifest, files: files - usize::from(layout == Layout::V2) })
}

fn index_of<M: Members>(members: &M, name: &str) -> Option<usize> {
    (0..members.count()).find(|index| members.member(*index).name == name)
}

/// What makes an archive one that is not opened at all.
fn check_archive<M: Members>(members: &M, limits: &BarLimits) -> Result<(), Refusal> {
    let count = members.count();
    if count > limits.bar_entries {
        return Err(Refusal::TooManyEntries { members: count, limit: limits.bar_entries });
    }
    let mut names = HashSet::with_capacity(count);
    for index in 0..count {
        let Member { name, kind, encrypted, .. } = members.member(index);
        let defect = if encrypted {
            "is encrypted"
        } else if kind == MemberKind::Other {
            "is no file and no directory"
        } else if name.is_empty() || name.starts_with('/') || name.split('/').any(|s| s == "." || s == "..") {
            "has a name that is no path in an archive"
        } else if !names.insert(name) {
            "is there twice"
        } else {
            continue;
        };
        return Err(Refusal::not_zip(format!("{NOT_AN_ARCHIVE}: the member {} {defect}", shown(name))));
    }
    Ok(())
}

/// A name for a message: not all of a very long one, and no control characters.
fn shown(name: &str) -> String {
    name.chars().take(200).map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

fn check_bar_size(bytes: u64, limits: &BarLimits) -> Result<(), Refusal> {
    if bytes > limits.bar_size { Err(Refusal::BarTooLarge { bytes }) } else { Ok(()) }
}

fn check_entry_size(member: Member<'_>, layout: Layout, limits: &BarLimits) -> Result<(), Refusal> {
    let properties = member.name == MetaFile::Rootprops.member_name(layout);
    if member.size <= if properties { limits.properties_size() } else { limits.bar_entry_size } {
        return Ok(());
    }
    let path = member.name.strip_suffix('/').unwrap_or(member.name);
    let name = match layout {
        Layout::V1 => member.name,
        Layout::V2 => path.rsplit_once('/').map_or(path, |(_, last)| last),
    };
    Err(Refusal::EntryTooLarge { name: shown(name), bytes: member.size })
}

fn read_manifest_v2<M: Members>(members: &M, index: usize, limits: &BarLimits) -> Result<Manifest, Refusal> {
    let bytes = members
        .read(index, limits.bar_entry_size)
        .map_err(|e| Refusal::Manifest { detail: format!("{}: {e}", MetaFile::Manifest.file_name()) })?;
    Manifest::parse_v2(&bytes)
}

/// Sizes and manifests, member by member. The manifest that counts is the one at its place.
fn walk_v1<M: Members>(members: &M, limits: &BarLimits) -> Result<Option<Manifest>, Refusal> {
    let place = MetaFile::Manifest.member_name(Layout::V1);
    let mut found = None;
    for index in 0..members.count() {
        let member = members.member(index);
        check_entry_size(member, Layout::V1, limits)?;
        if member.name.ends_with("/00_manifest.json") {
            let unreadable = || Refusal::ManifestUnreadable { entry: shown(member.name) };
            let bytes = members.read(index, limits.bar_entry_size).map_err(|_| unreadable())?;
            let manifest = Manifest::parse_v1(&bytes, &shown(member.name))?;
            if member.name == place {
                found = Some(manifest);
            }
        }
    }
    Ok(found)
}

fn check_required<M: Members>(members: &M, layout: Layout) -> Result<(), Refusal> {
    let required = match layout {
        Layout::V1 => vec![
            Layout::V1.root().to_owned(),
            Layout::V1.meta().to_owned(),
            MetaFile::Manifest.member_name(Layout::V1),
            MetaFile::Rootprops.member_name(Layout::V1),
        ],
        Layout::V2 => vec![MetaFile::Rootprops.member_name(Layout::V2)],
    };
    let missing: Vec<&str> =
        required.iter().filter(|name| index_of(members, name).is_none()).map(String::as_str).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let items = match layout {
        Layout::V1 => missing.join(" "),
        Layout::V2 => MetaFile::Rootprops.file_name().to_owned(),
    };
    Err(Refusal::MissingItem { items })
}

#[cfg(test)]
pub(super) mod tests;
