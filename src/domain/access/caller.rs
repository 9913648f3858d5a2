//! The caller of a request, as a cell sees it.

use std::sync::Arc;

use super::unit_user::UnitUser;
use crate::base::id::ResourceId;
use crate::domain::acl::{Privilege, Privileges, SchemaAuthz};

/// Why credentials are no good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Expired,
    Scheme,
    BasicFormat,
    Token,
    RefreshToken,
    Seal,
    Cookie,
    /// A failure just before, or too many of them.
    BasicLocked,
    BasicFailed,
    /// They are good elsewhere, or belonged to an account that is no more.
    NotHere,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// The unit's administrator: every privilege everywhere.
    UnitAdmin,
    /// Somebody whom the unit knows, who has no roles in cells.
    UnitUser(Arc<UnitUser>),
    Anonymous,
    Invalid(Reason),
    /// Somebody who has to change the password of an account first.
    PasswordChange(i64),
    /// An account of the cell.
    Account {
        id: i64,
        name: String,
    },
    /// Somebody of another cell, by the URL of the subject.
    Foreign(String),
}

/// How the caller proved it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    Token,
    /// The account's own password, in Basic.
    Password,
    /// A drive password, limited to a box or not.
    Drive(Option<ResourceId>),
}

/// The app that acts for the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppSchema {
    /// Every way to write its URL.
    pub urls: Vec<String>,
    pub level: SchemaAuthz,
}

/// The caller of a request at one moment of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub who: Who,
    pub means: Means,
    /// Numbers of roles of the cell.
    pub roles: Vec<i64>,
    pub app: Option<AppSchema>,
    /// The names of the scopes of a token, separated by spaces.
    pub scope: String,
}

impl Caller {
    pub fn new(who: Who) -> Self {
        Self { who, means: Means::Token, roles: Vec::new(), app: None, scope: String::new() }
    }

    pub fn is_unit_admin(&self) -> bool {
        self.who == Who::UnitAdmin
    }

    /// Whether the scope of the token covers a privilege of cells.
    pub fn covers(&self, privilege: Privilege) -> bool {
        let held: Privileges = self.scope.split(' ').filter_map(Privilege::of).collect();
        held.grant(privilege)
    }

    /// Whether somebody is known by good credentials.
    pub fn is_known(&self) -> bool {
        matches!(self.who, Who::UnitAdmin | Who::UnitUser(_) | Who::Account { .. } | Who::Foreign(_))
    }
}
