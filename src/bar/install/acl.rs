//! Access control lists of a bar: references become roles that exist, or roles that the bar itself brings.

use std::collections::HashMap;

use super::objects::Objects;
use crate::bar::cause::Cause;
use crate::domain::acl::{AclDocument, AclError, Principal, RoleReference, installed_role};
use crate::storage;
use crate::storage::cell::Cell;
use crate::storage::database::acl::{Ace, Acl};
use crate::storage::database::control::ObjectKind;
use crate::storage::writer::Context;

use super::work::Failure;

/// Whom an entry is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Grantee {
    All,
    /// A role of the cell, by its number.
    Existing(i64),
    /// A role that the bar brings.
    Brought(String),
}

/// A list to be written at the end.
#[derive(Debug)]
pub(super) struct PlannedAcl {
    resource: i64,
    require_schema: Option<String>,
    aces: Vec<(Grantee, i64)>,
}

/// Finds roles, each once.
pub(super) struct Roles<'i> {
    cell: &'i Cell,
    cell_urls: &'i [String],
    box_name: &'i str,
    found: HashMap<RoleReference, Grantee>,
}

impl<'i> Roles<'i> {
    pub(super) fn new(cell: &'i Cell, cell_urls: &'i [String], box_name: &'i str) -> Self {
        Self { cell, cell_urls, box_name, found: HashMap::new() }
    }

    /// The list of a resource, with its roles; none if it says nothing, as a new resource has none.
    pub(super) fn resolve(
        &mut self,
        document: &AclDocument,
        resource: i64,
        objects: &Objects,
    ) -> Result<Option<PlannedAcl>, Refused> {
        let mut aces = Vec::with_capacity(document.aces.len());
        for ace in &document.aces {
            let grantee = match &ace.principal {
                Principal::All => Grantee::All,
                Principal::Href(href) => self.grantee(href, objects)?,
            };
            aces.push((grantee, ace.privileges.bits() as i64));
        }
        let require_schema = document.require_schema_authz.map(|authz| authz.name().to_owned());
        let any = !aces.is_empty() || require_schema.is_some();
        Ok(any.then_some(PlannedAcl { resource, require_schema, aces }))
    }

    fn grantee(&mut self, href: &str, objects: &Objects) -> Result<Grantee, Refused> {
        let reference = installed_role(href, self.cell_urls, self.box_name).map_err(Cause::from)?;
        if let Some(known) = self.found.get(&reference) {
            return Ok(known.clone());
        }
        let grantee = match reference.box_name.as_deref() {
            Some(name) if name == self.box_name => {
                if !objects.has_role(&reference.role) {
                    return Err(Cause::from(AclError::Role).into());
                }
                Grantee::Brought(reference.role.clone())
            }
            other => self.existing(other, &reference.role)?,
        };
        self.found.insert(reference, grantee.clone());
        Ok(grantee)
    }

    fn existing(&self, box_name: Option<&str>, role: &str) -> Result<Grantee, Refused> {
        let found = self.cell.read(|v| {
            let owner = match box_name {
                None => Some(0),
                Some(name) => v.cell_box(name)?.map(|b| b.id),
            };
            match owner {
                None => Ok(None),
                Some(owner) => Ok(Some(v.object(ObjectKind::Role, role, owner)?)),
            }
        })?;
        match found {
            Some(Some(role)) => Ok(Grantee::Existing(role.id)),
            Some(None) => Err(Cause::from(AclError::Role).into()),
            None => {
                let cell_url = self.cell_urls.first().map_or("", String::as_str);
                let url = format!("{cell_url}{}", box_name.unwrap_or_default());
                Err(Cause::from(AclError::Box(url)).into())
            }
        }
    }
}

/// Why a list cannot be set.
#[derive(Debug)]
pub(super) enum Refused {
    Cause(Cause),
    Store(storage::Error),
}

impl From<Cause> for Refused {
    fn from(cause: Cause) -> Self {
        Self::Cause(cause)
    }
}

impl From<storage::Error> for Refused {
    fn from(error: storage::Error) -> Self {
        Self::Store(error)
    }
}

impl Refused {
    /// The failure of the entry that is the object of the events.
    pub(super) fn of(self, object: &str) -> Failure {
        match self {
            Self::Cause(cause) => Failure::entry(cause, object),
            Self::Store(error) => Failure::Machine(error),
        }
    }
}

impl PlannedAcl {
    /// Writes the list. A role that has been deleted in the meantime is left out.
    pub(super) fn write(&self, ctx: &Context<'_>, brought: &HashMap<String, i64>) -> storage::Result<()> {
        let Some(row) = ctx.tx.resource(self.resource)? else { return Ok(()) };
        let mut aces = Vec::with_capacity(self.aces.len());
        for (grantee, privileges) in &self.aces {
            let role = match grantee {
                Grantee::All => None,
                Grantee::Existing(id) => match ctx.tx.object_by_id(ObjectKind::Role, *id)? {
                    Some(role) => Some(role.id),
                    None => continue,
                },
                Grantee::Brought(name) => match brought.get(name) {
                    Some(id) => Some(*id),
                    None => continue,
                },
            };
            aces.push(Ace { role, privileges: *privileges });
        }
        ctx.tx.set_resource_acl(&row, &Acl { require_schema: self.require_schema.clone(), aces })
    }
}
