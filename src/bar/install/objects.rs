//! Relations, roles, external roles, rules and links of a bar: checked in their order, written together at the end.
//!
//! The box is new and nobody else can bind anything to it, so an object conflicts with those of the same bar alone.

use std::collections::{HashMap, HashSet};

use super::report::created;
use crate::bar::cause::Cause;
use crate::bar::metadata::{Link, LinkEnd, Metadata, parse};
use crate::bar::{Layout, MetaFile};
use crate::base::id;
use crate::domain::event::Event;
use crate::storage::Result;
use crate::storage::database::control::ObjectKind;
use crate::storage::error::Error;
use crate::storage::writer::Context;

/// What is to be created, without duplicates, in order.
#[derive(Debug, Default)]
pub(super) struct Objects {
    known: HashSet<LinkEnd>,
    named: Vec<LinkEnd>,
    /// Names and JSON of the fields.
    rules: Vec<(String, String)>,
    links: Vec<Link>,
    linked: HashSet<(LinkEnd, LinkEnd)>,
}

impl Objects {
    /// Takes the objects of one file, up to the first that cannot be created; `each` gets the event of every one. Returns
    /// whether the list had any.
    pub(super) fn add(
        &mut self,
        file: MetaFile,
        layout: Layout,
        bytes: &[u8],
        box_name: &str,
        mut each: impl FnMut(Event),
    ) -> Result<bool, Cause> {
        let key = |end: &LinkEnd| key(end, box_name);
        match parse(file, layout, bytes)? {
            Metadata::Relations(items) => {
                for item in &items {
                    each(self.insert(LinkEnd::Relation(item.relation(layout)?.to_owned()), &key)?);
                }
                Ok(!items.is_empty())
            }
            Metadata::Roles(items) => {
                for item in &items {
                    each(self.insert(LinkEnd::Role(item.role(layout)?.to_owned()), &key)?);
                }
                Ok(!items.is_empty())
            }
            Metadata::ExtRoles(items) => {
                for item in &items {
                    let (url, relation) = item.check(layout)?;
                    let (url, relation) = (url.to_owned(), relation.to_owned());
                    if !self.known.contains(&LinkEnd::Relation(relation.clone())) {
                        return Err(Cause::NoSuchEntity);
                    }
                    each(self.insert(LinkEnd::ExtRole { url, relation }, &key)?);
                }
                Ok(!items.is_empty())
            }
            Metadata::Rules(items) => {
                for item in &items {
                    let name = id::uuid22().replace(['-', '_'], "0");
                    let fields = item.check(layout)?.to_json();
                    each(created("Rule", &format!("Rule(Name='{name}',_Box.Name='{box_name}')")));
                    self.rules.push((name, fields));
                }
                Ok(!items.is_empty())
            }
            Metadata::Links(items) => {
                for item in &items {
                    each(self.link(item.check()?, &key)?);
                }
                Ok(!items.is_empty())
            }
        }
    }

    fn insert(&mut self, object: LinkEnd, key: &dyn Fn(&LinkEnd) -> String) -> Result<Event, Cause> {
        if !self.known.insert(object.clone()) {
            return Err(Cause::EntityExists);
        }
        let event = created(object.set(), &format!("{}({})", object.set(), key(&object)));
        self.named.push(object);
        Ok(event)
    }

    fn link(&mut self, link: Link, key: &dyn Fn(&LinkEnd) -> String) -> Result<Event, Cause> {
        let Link { from, to } = &link;
        if !self.known.contains(from) || !self.known.contains(to) {
            return Err(Cause::NoSuchEntity);
        }
        let (a, b) = if from.set() <= to.set() { (from, to) } else { (to, from) };
        if !self.linked.insert((a.clone(), b.clone())) {
            return Err(Cause::LinkExists);
        }
        let what = format!("{}.links.{}", a.set(), b.set());
        let path = format!("{}({})/$links/_{}({})", from.set(), key(from), to.set(), key(to));
        self.links.push(link);
        Ok(created(&what, &path))
    }

    /// Whether the box gets a role of this name.
    pub(super) fn has_role(&self, name: &str) -> bool {
        self.known.contains(&LinkEnd::Role(name.to_owned()))
    }

    /// Writes everything; returns the numbers of the roles by name.
    pub(super) fn write(&self, ctx: &Context<'_>, cell_box: i64) -> Result<HashMap<String, i64>> {
        let mut numbers: HashMap<&LinkEnd, (ObjectKind, i64)> = HashMap::new();
        let mut roles = HashMap::new();
        for object in &self.named {
            let (kind, name, owner) = match object {
                LinkEnd::Relation(name) => (ObjectKind::Relation, name, cell_box),
                LinkEnd::Role(name) => (ObjectKind::Role, name, cell_box),
                LinkEnd::ExtRole { url, relation } => {
                    let owner = numbers.get(&LinkEnd::Relation(relation.clone())).map(|(_, id)| *id);
                    (ObjectKind::ExtRole, url, owner.ok_or(Error::Missing)?)
                }
            };
            let id = match ctx.tx.object(kind, name, owner)? {
                // Somebody who knew the name was faster.
                Some(there) => there.id,
                None => ctx.tx.insert_object(kind, name, owner, "")?.id,
            };
            if kind == ObjectKind::Role {
                roles.insert(name.clone(), id);
            }
            numbers.insert(object, (kind, id));
        }
        for (name, fields) in &self.rules {
            ctx.tx.insert_object(ObjectKind::Rule, name, cell_box, fields)?;
        }
        for Link { from, to } in &self.links {
            let (Some(from), Some(to)) = (numbers.get(from), numbers.get(to)) else { return Err(Error::Missing) };
            match ctx.tx.insert_link(*from, *to) {
                Ok(()) | Err(Error::Exists) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(roles)
    }
}

/// The key of an object as it stands in a URL.
fn key(object: &LinkEnd, box_name: &str) -> String {
    let quoted = |text: &str| text.replace('\'', "''");
    match object {
        LinkEnd::Relation(name) | LinkEnd::Role(name) => format!("Name='{}',_Box.Name='{box_name}'", quoted(name)),
        LinkEnd::ExtRole { url, relation } => {
            format!("ExtRole='{}',_Relation.Name='{}',_Relation._Box.Name='{box_name}'", quoted(url), quoted(relation))
        }
    }
}
