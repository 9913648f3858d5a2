//! People whom the unit itself knows: unit users, to whom cells belong, and those who may administer every cell.

use crate::domain::acl::{Access, Privilege};

/// What a unit user may do with what is in cells that are theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contents {
    /// Nothing: they make cells, look at them from outside, and remove them.
    Nothing,
    Read,
    All,
}

/// A unit user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitUser {
    /// The URL of the subject, as owners of cells are kept.
    pub subject: String,
    /// Whether every cell counts as theirs.
    pub admin: bool,
    pub contents: Contents,
}

impl UnitUser {
    /// Whether a cell of this owner is theirs.
    pub fn owns(&self, owner: Option<&str>) -> bool {
        self.admin || owner == Some(&self.subject)
    }

    /// Whether what they may do with contents includes what needs a privilege.
    pub fn may(&self, needed: Privilege) -> bool {
        match self.contents {
            Contents::Nothing => false,
            Contents::Read => needed.access() == Access::Read,
            Contents::All => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_and_what_is_in_them_are_two_things() {
        let user = |admin, contents| UnitUser { subject: "s".to_owned(), admin, contents };
        let plain = user(false, Contents::Nothing);
        assert!(plain.owns(Some("s")) && !plain.owns(Some("t")) && !plain.owns(None));
        let admin = user(true, Contents::Nothing);
        assert!(admin.owns(None) && !admin.may(Privilege::Read));
        for (needed, reader) in [
            (Privilege::Read, true),
            (Privilege::AuthRead, true),
            (Privilege::Propfind, true),
            (Privilege::Write, false),
            (Privilege::Exec, false),
            (Privilege::Root, false),
        ] {
            assert_eq!(user(false, Contents::Read).may(needed), reader, "{needed:?}");
            assert!(user(false, Contents::All).may(needed), "{needed:?}");
        }
    }
}
