//! The entity sets of a cell: their keys, their properties, and how they are tied to one another.

use super::super::odata::{Key, Named, Step, quoted};
use crate::domain::access::Place;
use crate::storage::database::control::ObjectKind;
use crate::web::problem::{Code, Problem};

/// An entity set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    Box,
    Object(ObjectKind),
}

/// How entities of two sets are tied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tie {
    /// An object belongs to a box or to none; the box is part of its key.
    Bound,
    /// Any number with any number.
    Linked,
    /// An external role belongs to its relation for ever.
    Mandatory,
}

/// The key of any entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntityKey {
    /// The name; the URL of an external role.
    pub(super) name: String,
    /// The relation of an external role.
    pub(super) relation: Option<String>,
    /// The box that the object, or the relation, is bound to.
    pub(super) box_name: Option<String>,
}

impl Set {
    pub(super) const ALL: [Self; 8] = [
        Self::Box,
        Self::Object(ObjectKind::Role),
        Self::Object(ObjectKind::Relation),
        Self::Object(ObjectKind::ExtRole),
        Self::Object(ObjectKind::Rule),
        Self::Object(ObjectKind::Account),
        Self::Object(ObjectKind::ExtCell),
        Self::Object(ObjectKind::DrivePassword),
    ];

    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.name() == name)
    }

    /// The set behind a navigation property of this one, and how the two are tied.
    pub(super) fn navigation(self, name: &str) -> Option<(Self, Tie)> {
        let other = Self::of(name.strip_prefix('_')?)?;
        Some((other, self.tie(other)?))
    }

    fn tie(self, other: Self) -> Option<Tie> {
        use ObjectKind::{Account, ExtCell, ExtRole, Relation, Role, Rule};
        match (self, other) {
            (Self::Box, Self::Object(Role | Relation | Rule)) | (Self::Object(Role | Relation | Rule), Self::Box) => {
                Some(Tie::Bound)
            }
            (Self::Object(Role), Self::Object(Relation | ExtRole | Account | ExtCell))
            | (Self::Object(Relation | ExtRole | Account | ExtCell), Self::Object(Role))
            | (Self::Object(Relation), Self::Object(ExtCell))
            | (Self::Object(ExtCell), Self::Object(Relation)) => Some(Tie::Linked),
            (Self::Object(Relation), Self::Object(ExtRole)) | (Self::Object(ExtRole), Self::Object(Relation)) => {
                Some(Tie::Mandatory)
            }
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Box => "Box",
            Self::Object(kind) => kind.name(),
        }
    }

    /// What its line of the table of privileges is.
    pub(super) fn place(self) -> Place {
        match self {
            Self::Box => Place::ControlBox,
            Self::Object(ObjectKind::Rule) => Place::ControlRule,
            Self::Object(ObjectKind::Relation | ObjectKind::ExtCell) => Place::ControlSocial,
            Self::Object(_) => Place::ControlAuth,
        }
    }

    pub(super) fn named(self) -> Named {
        use ObjectKind::{Account, DrivePassword, ExtCell, ExtRole, Relation, Role, Rule};
        let (type_name, navigation): (_, &'static [&'static str]) = match self {
            Self::Box => ("CellCtl.Box", &["_Role", "_Relation", "_Rule"]),
            Self::Object(Role) => ("CellCtl.Role", &["_Box", "_Account", "_ExtCell", "_Relation", "_ExtRole"]),
            Self::Object(Relation) => ("CellCtl.Relation", &["_Box", "_ExtCell", "_Role", "_ExtRole"]),
            Self::Object(ExtRole) => ("CellCtl.ExtRole", &["_Role", "_Relation"]),
            Self::Object(Rule) => ("CellCtl.Rule", &["_Box"]),
            Self::Object(Account) => ("CellCtl.Account", &["_Role"]),
            Self::Object(ExtCell) => ("CellCtl.ExtCell", &["_Role", "_Relation"]),
            Self::Object(DrivePassword) => ("CellCtl.DrivePassword", &[]),
        };
        Named { type_name, properties: self.properties(), navigation }
    }

    /// The properties that a body may have.
    pub(super) fn properties(self) -> &'static [&'static str] {
        match self {
            Self::Box => &["Name", "Schema"],
            Self::Object(ObjectKind::Role | ObjectKind::Relation) => &["Name", "_Box.Name"],
            Self::Object(ObjectKind::ExtRole) => &["ExtRole", "_Relation.Name", "_Relation._Box.Name"],
            Self::Object(ObjectKind::Account) => &["Name", "Type", "Cell", "IPAddressRange", "Status"],
            Self::Object(ObjectKind::ExtCell) => &["Url"],
            Self::Object(ObjectKind::DrivePassword) => &["Name", "_Account.Name", "_Box.Name"],
            Self::Object(ObjectKind::Rule) => &[
                "Name",
                "_Box.Name",
                "EventExternal",
                "EventSubject",
                "EventType",
                "EventObject",
                "EventInfo",
                "Action",
                "TargetUrl",
            ],
        }
    }

    /// The key in a step of a URL, which has one.
    pub(super) fn key_of(self, step: &Step) -> Result<EntityKey, Problem> {
        let key = step.key()?.ok_or(Code::ODataKey)?;
        self.key(&key)
    }

    fn key(self, key: &Key) -> Result<EntityKey, Problem> {
        let (name, relation, box_name) = match self {
            Self::Object(ObjectKind::ExtRole) => {
                let [name, relation, box_name] = key.values(["ExtRole", "_Relation.Name", "_Relation._Box.Name"])?;
                (name, relation, box_name)
            }
            Self::Box | Self::Object(ObjectKind::Account | ObjectKind::DrivePassword) => {
                let [name] = key.values(["Name"])?;
                (name, None, None)
            }
            Self::Object(ObjectKind::ExtCell) => {
                let [url] = key.values(["Url"])?;
                (url, None, None)
            }
            Self::Object(_) => {
                let [name, box_name] = key.values(["Name", "_Box.Name"])?;
                (name, None, box_name)
            }
        };
        Ok(EntityKey { name: name.unwrap_or_default(), relation, box_name })
    }

    /// An entity as a step of a URL: `Role('r')`, `Role(Name='r',_Box.Name='b')`.
    pub(super) fn step(self, key: &EntityKey) -> String {
        let mut parts = String::new();
        if let Some(relation) = &key.relation {
            parts = format!("ExtRole={},_Relation.Name={}", quoted(&key.name), quoted(relation));
        }
        match (&key.box_name, parts.is_empty()) {
            (None, true) => parts = quoted(&key.name),
            (None, false) => {}
            (Some(name), true) => parts = format!("Name={},_Box.Name={}", quoted(&key.name), quoted(name)),
            (Some(name), false) => parts = format!("{parts},_Relation._Box.Name={}", quoted(name)),
        }
        format!("{}({parts})", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::odata::steps;
    use super::*;

    #[test]
    fn a_written_step_reads_back() {
        let some = |text: &str| Some(text.to_owned());
        for (set, name, relation, box_name, text) in [
            ("Box", "b", None, None, "Box('b')"),
            ("Role", "r", None, None, "Role('r')"),
            ("Role", "r", None, some("b"), "Role(Name='r',_Box.Name='b')"),
            ("Relation", "+r", None, None, "Relation('+r')"),
            ("ExtRole", "http://e/r", some("x"), None, "ExtRole(ExtRole='http:%2F%2Fe%2Fr',_Relation.Name='x')"),
            (
                "ExtRole",
                "urn:r",
                some("x"),
                some("b"),
                "ExtRole(ExtRole='urn:r',_Relation.Name='x',_Relation._Box.Name='b')",
            ),
        ] {
            let key = EntityKey { name: name.to_owned(), relation, box_name };
            let set = Set::of(set).expect("a set");
            assert_eq!(set.step(&key), text);
            assert_eq!(set.key_of(&steps(text)[0]).expect("a key"), key);
        }
    }

    #[test]
    fn sets_are_tied_both_ways() {
        let tie = |from: &str, to: &str| Set::of(from).and_then(|set| set.navigation(to)).map(|(_, tie)| tie);
        for set in Set::ALL {
            for name in set.named().navigation {
                let (other, tie) = set.navigation(name).expect("an association");
                assert_eq!(other.navigation(&format!("_{}", set.name())), Some((set, tie)), "{set:?} {name}");
            }
        }
        assert_eq!(tie("Box", "_Rule"), Some(Tie::Bound));
        assert_eq!(tie("Box", "_ExtRole"), None);
        assert_eq!(tie("Role", "_Account"), Some(Tie::Linked));
        assert_eq!(tie("Account", "_Box"), None);
        assert_eq!(tie("Account", "_DrivePassword"), None);
        assert_eq!(tie("Role", "Relation"), None);
        assert_eq!(tie("ExtRole", "_Relation"), Some(Tie::Mandatory));
    }
}
