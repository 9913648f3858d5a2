//! The lists of control objects in the metadata of a bar: relations, roles, external roles, rules and links.
//!
//! Each file is an object with one list. No key may be there that is not known, at any level; an absent, null or empty list is
//! accepted. A list is read as a whole and its items are checked one by one when they are created, because what comes before
//! a bad item stays. A byte order mark is skipped.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::error::Category;

use super::cause::Cause;
use super::{Layout, MetaFile};
use crate::domain::names::{FieldError, is_ext_role, is_relation_name, is_role_name};
use crate::domain::rule::RuleFields;

mod links;

pub use links::{Link, LinkEnd, LinkItem};

/// One file, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Metadata {
    Relations(Vec<Named>),
    Roles(Vec<Named>),
    ExtRoles(Vec<ExtRole>),
    Rules(Vec<Rule>),
    Links(Vec<LinkItem>),
}

/// A relation or a role.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    #[serde(default, rename = "Name")]
    pub name: Option<String>,
}

/// An external role, which belongs to a relation of the same box.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtRole {
    #[serde(default, rename = "ExtRole")]
    pub ext_role: Option<String>,
    #[serde(default, rename = "_Relation.Name")]
    pub relation: Option<String>,
}

/// A rule; it gets its name when it is created.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub struct Rule {
    #[serde(default)]
    event_external: Option<bool>,
    #[serde(default)]
    event_subject: Option<String>,
    #[serde(default)]
    event_type: Option<String>,
    #[serde(default)]
    event_object: Option<String>,
    #[serde(default)]
    event_info: Option<String>,
    #[serde(default)]
    action: Option<String>,
    #[serde(default)]
    target_url: Option<String>,
}

impl Named {
    /// The name of a relation.
    pub fn relation(&self, layout: Layout) -> Result<&str, Cause> {
        checked(layout, MetaFile::Relations, "Name", self.name.as_deref(), is_relation_name)
    }

    /// The name of a role.
    pub fn role(&self, layout: Layout) -> Result<&str, Cause> {
        checked(layout, MetaFile::Roles, "Name", self.name.as_deref(), is_role_name)
    }
}

impl ExtRole {
    /// The URL and the name of the relation.
    pub fn check(&self, layout: Layout) -> Result<(&str, &str), Cause> {
        let url = checked(layout, MetaFile::ExtRoles, "ExtRole", self.ext_role.as_deref(), is_ext_role)?;
        let relation =
            checked(layout, MetaFile::ExtRoles, "_Relation.Name", self.relation.as_deref(), is_relation_name)?;
        Ok((url, relation))
    }
}

impl Rule {
    /// The fields of a rule of a box.
    pub fn check(&self, layout: Layout) -> Result<RuleFields, Cause> {
        if layout == Layout::V1 && self.action.is_none() {
            return Err(format_error(MetaFile::Rules));
        }
        let rule = self.clone();
        let fields = RuleFields {
            event_external: rule.event_external.unwrap_or(false),
            event_subject: rule.event_subject,
            event_type: rule.event_type,
            event_object: rule.event_object,
            event_info: rule.event_info,
            action: rule.action,
            target_url: rule.target_url,
        };
        fields.validate(true)?;
        Ok(fields)
    }
}

/// A mandatory value with its format.
fn checked<'a>(
    layout: Layout,
    file: MetaFile,
    field: &'static str,
    value: Option<&'a str>,
    rule: fn(&str) -> bool,
) -> Result<&'a str, Cause> {
    match value {
        None if layout == Layout::V1 => Err(format_error(file)),
        None => Err(FieldError::required(field).into()),
        Some(value) if rule(value) => Ok(value),
        Some(_) => Err(FieldError::format(field).into()),
    }
}

fn format_error(file: MetaFile) -> Cause {
    Cause::Format(file.file_name().to_owned())
}

/// Reads one file. `file` is one of the five that are lists.
pub fn parse(file: MetaFile, layout: Layout, bytes: &[u8]) -> Result<Metadata, Cause> {
    match file {
        MetaFile::Relations => list::<Relations>(file, layout, bytes).map(|l| Metadata::Relations(items(l.relations))),
        MetaFile::Roles => list::<Roles>(file, layout, bytes).map(|l| Metadata::Roles(items(l.roles))),
        MetaFile::ExtRoles => list::<ExtRoles>(file, layout, bytes).map(|l| Metadata::ExtRoles(items(l.ext_roles))),
        MetaFile::Rules => list::<Rules>(file, layout, bytes).map(|l| Metadata::Rules(items(l.rules))),
        MetaFile::Links => list::<Links>(file, layout, bytes).map(|l| Metadata::Links(items(l.links))),
        MetaFile::Manifest | MetaFile::Rootprops => Err(Cause::Structure),
    }
}

macro_rules! lists {
    ($($name:ident $field:ident $item:ty;)*) => {
        $(
            #[derive(Deserialize)]
            #[serde(deny_unknown_fields, rename_all = "PascalCase")]
            struct $name {
                #[serde(default)]
                $field: Option<Vec<Object<$item>>>,
            }
        )*
    };
}

lists! {
    Relations relations Named;
    Roles roles Named;
    ExtRoles ext_roles ExtRole;
    Rules rules Rule;
    Links links LinkItem;
}

fn items<T>(list: Option<Vec<Object<T>>>) -> Vec<T> {
    list.unwrap_or_default().into_iter().map(|Object(item)| item).collect()
}

fn list<T: for<'de> Deserialize<'de>>(file: MetaFile, layout: Layout, bytes: &[u8]) -> Result<T, Cause> {
    let bytes = without_mark(bytes);
    match serde_json::from_slice::<Object<T>>(bytes) {
        Ok(Object(list)) => Ok(list),
        Err(_) if layout == Layout::V2 => Err(format_error(file)),
        Err(e) if e.classify() != Category::Data => Err(Cause::Parse),
        Err(_) if is_list(file, bytes) => Err(Cause::Definition),
        Err(_) => Err(format_error(file)),
    }
}

/// Whether a file that could not be read has at least the form of one: the list under its key, and objects in it.
fn is_list(file: MetaFile, bytes: &[u8]) -> bool {
    let key = match file {
        MetaFile::Relations => "Relations",
        MetaFile::Roles => "Roles",
        MetaFile::ExtRoles => "ExtRoles",
        MetaFile::Rules => "Rules",
        _ => "Links",
    };
    let value: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
    value.get(key).and_then(|list| list.as_array()).is_some_and(|list| list.iter().all(serde_json::Value::is_object))
}

/// The bytes without the mark that some editors put in front of UTF-8.
pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(bytes)
}

/// A value that must be written as a JSON object, where an array of the fields in order would otherwise do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfMap<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OfMap<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(OfMap(PhantomData))
    }
}

#[cfg(test)]
mod tests;
