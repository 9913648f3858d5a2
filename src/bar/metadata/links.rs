//! Links between control objects of the box that is installed: relations with roles, and roles with external roles.

use serde::Deserialize;

use super::{Object, format_error};
use crate::bar::MetaFile;
use crate::bar::cause::Cause;

/// A link as the file has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub struct LinkItem {
    #[serde(default)]
    from_type: Option<String>,
    #[serde(default)]
    from_name: Option<Object<Key>>,
    #[serde(default)]
    to_type: Option<String>,
    #[serde(default)]
    to_name: Option<Object<Key>>,
}

/// The keys that an end can have, depending on its type.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    #[serde(default, rename = "Name")]
    name: Option<String>,
    #[serde(default, rename = "ExtRole")]
    ext_role: Option<String>,
    #[serde(default, rename = "_Relation.Name")]
    relation: Option<String>,
}

/// One end of a link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkEnd {
    Relation(String),
    Role(String),
    ExtRole { url: String, relation: String },
}

impl LinkEnd {
    /// The name of the entity set.
    pub const fn set(&self) -> &'static str {
        match self {
            Self::Relation(_) => "Relation",
            Self::Role(_) => "Role",
            Self::ExtRole { .. } => "ExtRole",
        }
    }
}

/// A link between two objects of the box.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    pub from: LinkEnd,
    pub to: LinkEnd,
}

impl LinkItem {
    /// The link, if both ends are whole and their types can be linked. A relation and an external role cannot: the one is
    /// given when the other is created.
    pub fn check(&self) -> Result<Link, Cause> {
        let end = |kind: &Option<String>, key: &Option<Object<Key>>| end(kind.as_deref()?, &key.as_ref()?.0);
        let link = end(&self.from_type, &self.from_name)
            .zip(end(&self.to_type, &self.to_name))
            .map(|(from, to)| Link { from, to });
        link.filter(is_possible).ok_or_else(|| format_error(MetaFile::Links))
    }
}

fn end(kind: &str, key: &Key) -> Option<LinkEnd> {
    match (kind, key.name.clone(), key.ext_role.clone(), key.relation.clone()) {
        ("Relation", Some(name), None, None) => Some(LinkEnd::Relation(name)),
        ("Role", Some(name), None, None) => Some(LinkEnd::Role(name)),
        ("ExtRole", None, Some(url), Some(relation)) => Some(LinkEnd::ExtRole { url, relation }),
        _ => None,
    }
}

fn is_possible(link: &Link) -> bool {
    use LinkEnd::{ExtRole, Relation, Role};
    matches!((&link.from, &link.to), (Relation(_) | ExtRole { .. }, Role(_)) | (Role(_), Relation(_) | ExtRole { .. }))
}
