//! Holding a caller against lists.
//!
//! In a box the lists count from the resource up to the cell; each only adds. The level of schema authentication is that of
//! the nearest list that says one. Credentials that are no good count as none where everybody is let in, and are told apart
//! only in the refusal.

use super::caller::{Caller, Means, Reason, Who};
use super::snapshot::{At, List};
use super::unit_user::UnitUser;
use crate::domain::acl::{Privilege, SchemaAuthz};
use crate::storage::Result;
use crate::storage::database::Resource;
use crate::storage::database::cell_box::CellBox;

/// Why a caller may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    #[error("nobody has logged in")]
    Anonymous,
    #[error("the credentials are no good")]
    Invalid(Reason),
    #[error("the password must be changed first")]
    PasswordChange,
    #[error("the privilege is lacking")]
    Lacking,
    #[error("the token does not cover the privilege")]
    Scope(Privilege),
    #[error("an app must act")]
    NoSchema,
    #[error("another app must act")]
    OtherSchema,
    #[error("the app must prove more")]
    SchemaLevel,
    #[error("only the unit's own people may")]
    UnitOnly,
    #[error("the cell belongs to somebody else")]
    NotTheOwner,
}

/// Where a decision about a cell is made, which decides what Basic is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Control objects and other endpoints: no Basic.
    Endpoint,
    /// The cell itself: any Basic.
    Cell,
    /// What drive passwords are good for besides: the snapshot area, and changes of the cell.
    Drive,
}

fn granted(list: &List, caller: &Caller, needed: Privilege) -> bool {
    list.entries.iter().any(|(role, privileges)| match role {
        None => privileges.grant_to_all(needed),
        Some(role) => caller.roles.contains(role) && privileges.grant(needed),
    })
}

/// The refusal of somebody to whom no list grants anything.
fn unprivileged(caller: &Caller) -> Denial {
    match caller.who {
        Who::Anonymous => Denial::Anonymous,
        Who::Invalid(reason) => Denial::Invalid(reason),
        _ => Denial::Lacking,
    }
}

impl Caller {
    /// The caller as far as it is good for something here, which depends on how it was proved. What is good elsewhere counts as no
    /// good.
    pub fn at(&self, scope: Scope) -> Self {
        let good = match (self.means, scope) {
            (Means::Token, _) | (_, Scope::Cell) => true,
            (Means::Drive(limit), Scope::Drive) => limit.is_none(),
            (Means::Password | Means::Drive(_), _) => false,
        };
        if good { self.clone() } else { Self::new(Who::Invalid(Reason::NotHere)) }
    }
}

impl At<'_> {
    /// Whether the cell belongs to a unit user.
    pub fn is_owned_by(&self, user: &UnitUser) -> bool {
        user.owns(self.owner())
    }

    /// Whether the unit itself lets a caller do what needs a privilege, whatever lists say.
    fn unit_lets(&self, caller: &Caller, needed: Privilege) -> bool {
        match &caller.who {
            Who::UnitAdmin => true,
            Who::UnitUser(user) => self.is_owned_by(user) && user.may(needed),
            _ => false,
        }
    }

    /// Whether a caller has a privilege on the cell.
    pub fn check_cell(&self, caller: &Caller, needed: Privilege, scope: Scope) -> Result<Option<Denial>> {
        if self.unit_lets(caller, needed) {
            return Ok(None);
        }
        let caller = &caller.at(scope);
        let limited = matches!(caller.means, Means::Drive(Some(_)));
        if limited || !granted(&*self.cell_list()?, caller, needed) {
            return Ok(Some(unprivileged(caller)));
        }
        Ok((!caller.covers(needed)).then_some(Denial::Scope(needed)))
    }

    /// Whether a caller may see the documents that describe a cell's control objects: `read`, granted by the cell's list.
    pub fn check_description(&self, caller: &Caller) -> Result<Option<Denial>> {
        if self.unit_lets(caller, Privilege::Read) {
            return Ok(None);
        }
        let caller = &caller.at(Scope::Endpoint);
        let may = granted(&*self.cell_list()?, caller, Privilege::Read);
        Ok((!may).then(|| unprivileged(caller)))
    }

    /// Whether a caller has a privilege on the last resource of a chain that begins with a box's root.
    pub fn check_box(
        &self,
        caller: &Caller,
        cell_box: &CellBox,
        chain: &[Resource],
        needed: Privilege,
    ) -> Result<Option<Denial>> {
        if self.unit_lets(caller, needed) {
            return Ok(None);
        }
        if matches!(caller.who, Who::PasswordChange(_)) {
            return Ok(Some(Denial::PasswordChange));
        }
        if let Some(denial) = self.check_schema(caller, cell_box, chain)? {
            return Ok(Some(denial));
        }
        let lesser = match caller.means {
            Means::Password if cell_box.schema.is_some() => Some(Caller::new(Who::Invalid(Reason::NotHere))),
            Means::Drive(Some(limit)) if limit != cell_box.id => Some(Caller { roles: Vec::new(), ..caller.clone() }),
            _ => None,
        };
        let caller = lesser.as_ref().unwrap_or(caller);
        for row in chain.iter().rev().filter(|row| row.has_acl()) {
            if granted(&*self.list(row.id)?, caller, needed) {
                return Ok(None);
            }
        }
        let may = granted(&*self.cell_list()?, caller, needed);
        Ok((!may).then(|| unprivileged(caller)))
    }

    /// Whether the caller's app has proved what the lists of a chain ask for.
    pub fn check_schema(&self, caller: &Caller, cell_box: &CellBox, chain: &[Resource]) -> Result<Option<Denial>> {
        if self.unit_lets(caller, Privilege::Read) {
            return Ok(None);
        }
        let mut level = None;
        for row in chain.iter().rev().filter(|row| row.has_acl()) {
            level = self.list(row.id)?.require_schema;
            if level.is_some() {
                break;
            }
        }
        let level = match level {
            Some(level) => level,
            None => self.cell_list()?.require_schema.unwrap_or(SchemaAuthz::None),
        };
        Ok(if level == SchemaAuthz::None { None } else { schema_denial(caller, cell_box, level) })
    }
}

fn schema_denial(caller: &Caller, cell_box: &CellBox, level: SchemaAuthz) -> Option<Denial> {
    match caller.who {
        Who::UnitAdmin => return None,
        Who::Anonymous => return Some(Denial::Anonymous),
        Who::Invalid(reason) => return Some(Denial::Invalid(reason)),
        _ => {}
    }
    let proved = caller.app.as_ref().map_or(SchemaAuthz::None, |app| app.level);
    if let Some(schema) = &cell_box.schema {
        match &caller.app {
            None => return Some(Denial::NoSchema),
            Some(app) if !app.urls.contains(schema) => return Some(Denial::OtherSchema),
            Some(_) => {}
        }
    }
    let enough = match level {
        SchemaAuthz::None => true,
        SchemaAuthz::Public => proved != SchemaAuthz::None,
        SchemaAuthz::Confidential => proved == SchemaAuthz::Confidential,
    };
    (!enough).then_some(Denial::SchemaLevel)
}
