//! The property `acl`: a resource's own entries, then those of the collections above it up to the box.
//!
//! Siblings without entries of their own have the same value, so it is written once.

use std::collections::HashMap;

use crate::base::id::ResourceId;
use crate::domain::acl::{
    AceView, AclView, Form, Inherited, PrincipalView, Privileges, SchemaAuthz, acl_xml, role_base,
};
use crate::storage::Result;
use crate::storage::database::cell_box::CellBox;
use crate::storage::database::control::ObjectKind;
use crate::storage::database::{Member, Resource, View};

/// One entry with the name that its role has now.
struct Entry {
    /// None for `all`.
    role: Option<(Option<String>, String)>,
    privileges: Privileges,
}

impl Entry {
    fn view(&self) -> AceView<'_> {
        let principal = match &self.role {
            None => PrincipalView::All,
            Some((box_name, role)) => PrincipalView::Role { box_name: box_name.as_deref(), role },
        };
        AceView { principal, privileges: self.privileges }
    }
}

/// What the collections around a resource give it.
pub(super) struct Lists<'v> {
    view: &'v View<'v>,
    /// Whether the caller may see lists.
    pub shown: bool,
    base: String,
    box_name: Option<String>,
    /// The box of a role and its name, by its number; none for a role that is no more.
    roles: HashMap<i64, Option<(Option<String>, String)>>,
    /// The URL and the entries of each collection above, from the box down.
    above: Vec<(String, Vec<Entry>)>,
    /// The value for a resource without entries of its own.
    plain: Option<String>,
}

impl<'v> Lists<'v> {
    pub(super) fn new(view: &'v View<'v>, cell_url: &str, cell_box: &CellBox, shown: bool) -> Self {
        let box_name = Some(cell_box.name.clone()).filter(|_| !cell_box.is_main());
        let base = role_base(cell_url, box_name.as_deref());
        Self { view, shown, base, box_name, roles: HashMap::new(), above: Vec::new(), plain: None }
    }

    /// Goes down into a collection.
    pub(super) fn enter(&mut self, url: String, collection: &Resource) -> Result<()> {
        let entries = if collection.has_acl() { self.own(collection.id)?.1 } else { Vec::new() };
        self.above.push((url, entries));
        self.plain = None;
        Ok(())
    }

    /// Goes up until `depth` collections are left above.
    pub(super) fn leave_to(&mut self, depth: usize) {
        if self.above.len() > depth {
            self.above.truncate(depth);
            self.plain = None;
        }
    }

    /// The element `acl` of a resource in the collection that was entered last.
    pub(super) fn write(&mut self, out: &mut String, row: &Member<'_>) -> Result<()> {
        if row.has_acl() {
            let (authz, entries) = self.own(row.id()?)?;
            out.push_str(&self.render(authz, &entries));
            return Ok(());
        }
        if self.plain.is_none() {
            self.plain = Some(self.render(None, &[]));
        }
        out.push_str(self.plain.as_deref().unwrap_or_default());
        Ok(())
    }

    fn render(&self, authz: Option<SchemaAuthz>, own: &[Entry]) -> String {
        let own: Vec<AceView<'_>> = own.iter().map(Entry::view).collect();
        let above: Vec<(&str, Vec<AceView<'_>>)> = self
            .above
            .iter()
            .rev()
            .map(|(url, entries)| (url.as_str(), entries.iter().map(Entry::view).collect()))
            .collect();
        let inherited: Vec<Inherited<'_>> = above.iter().map(|(href, aces)| Inherited { href, aces }).collect();
        let acl = AclView {
            base: &self.base,
            box_name: self.box_name.as_deref(),
            require_schema_authz: authz,
            own: &own,
            inherited: &inherited,
        };
        acl_xml(&acl, Form::Prefixed)
    }

    fn own(&mut self, id: ResourceId) -> Result<(Option<SchemaAuthz>, Vec<Entry>)> {
        let acl = self.view.acl(id)?;
        let mut entries = Vec::with_capacity(acl.aces.len());
        for ace in acl.aces {
            let privileges = Privileges::from_bits(ace.privileges as u64);
            let role = match ace.role {
                None => None,
                Some(id) => match self.role(id)? {
                    Some(role) => Some(role),
                    None => continue,
                },
            };
            entries.push(Entry { role, privileges });
        }
        Ok((acl.require_schema.as_deref().and_then(SchemaAuthz::of), entries))
    }

    fn role(&mut self, id: ResourceId) -> Result<Option<(Option<String>, String)>> {
        if let Some(known) = self.roles.get(&id) {
            return Ok(known.clone());
        }
        let found = match self.view.object_by_id(ObjectKind::Role, id)? {
            None => None,
            Some(role) if role.owner == 0 => Some((None, role.name)),
            Some(role) => self.view.cell_box_by_id(role.owner)?.map(|b| (Some(b.name), role.name)),
        };
        self.roles.insert(id, found.clone());
        Ok(found)
    }
}
