//! What a cell says about access at one moment, kept in memory as long as that is the moment that counts.
//!
//! Every change of roles, links, accounts, boxes and lists gives the cell another *access state*, in the same transaction, also
//! when another process makes it. A reader learns the state from the rows that it reads anyway; while it is the same, nothing
//! else is read. So what is known is never older than the rows beside it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::clock;
use crate::base::id::ResourceId;
use crate::domain::account::AccountFields;
use crate::domain::acl::{Privileges, SchemaAuthz};
use crate::storage::Result;
use crate::storage::database::View;
use crate::storage::database::acl::CELL_ACL;
use crate::storage::database::control::ObjectKind;

/// Cells of which something is kept.
const CELLS: usize = 256;
/// Lists, and accounts, that are kept of one cell.
const KEPT: usize = 10_000;

/// The list of one resource, ready to be asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List {
    pub require_schema: Option<SchemaAuthz>,
    /// A role, or everybody, and what is granted.
    pub entries: Vec<(Option<i64>, Privileges)>,
}

/// What an account is and may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountAccess {
    pub name: String,
    pub fields: AccountFields,
    pub roles: Vec<i64>,
}

#[derive(Debug)]
struct Snapshot {
    state: i64,
    /// The UUID of the cell.
    uuid: String,
    owner: Option<String>,
    /// Tokens that are spent.
    spent: HashSet<String>,
    lists: Mutex<HashMap<ResourceId, Arc<List>>>,
    accounts: Mutex<HashMap<i64, Option<Arc<AccountAccess>>>>,
    /// Schemas of boxes by their numbers, of those that drive passwords are limited to.
    schemas: Mutex<HashMap<ResourceId, Option<Arc<str>>>>,
}

/// What is known about cells.
#[derive(Debug, Default)]
pub struct AccessCache {
    cells: Mutex<HashMap<i64, Arc<Snapshot>>>,
}

/// What a cell says at the moment of a view.
pub struct At<'v> {
    view: &'v View<'v>,
    snapshot: Arc<Snapshot>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AccessCache {
    /// The moment of a view on the cell of this number.
    pub fn at<'v>(&self, cell: i64, view: &'v View<'v>) -> Result<At<'v>> {
        let state = view.access_state()?;
        let known = locked(&self.cells).get(&cell).filter(|snapshot| snapshot.state == state).cloned();
        let snapshot = match known {
            Some(snapshot) => snapshot,
            None => self.renew(cell, view, state)?,
        };
        Ok(At { view, snapshot })
    }

    fn renew(&self, cell: i64, view: &View<'_>, state: i64) -> Result<Arc<Snapshot>> {
        let snapshot = Arc::new(Snapshot {
            state,
            uuid: view.meta_text("uuid")?.unwrap_or_default(),
            owner: view.owner()?,
            spent: view.spent_tokens(clock::now_ms())?.into_iter().collect(),
            lists: Mutex::default(),
            accounts: Mutex::default(),
            schemas: Mutex::default(),
        });
        let mut cells = locked(&self.cells);
        if cells.len() >= CELLS && !cells.contains_key(&cell) {
            cells.clear();
        }
        cells.insert(cell, snapshot.clone());
        Ok(snapshot)
    }
}

impl At<'_> {
    pub fn view(&self) -> &View<'_> {
        self.view
    }

    /// The UUID of the cell.
    pub fn uuid(&self) -> &str {
        &self.snapshot.uuid
    }

    /// The unit user whose cell it is.
    pub fn owner(&self) -> Option<&str> {
        self.snapshot.owner.as_deref()
    }

    /// What changes with everything that is asked here.
    pub fn state(&self) -> i64 {
        self.snapshot.state
    }

    /// The schema of the box of a number.
    pub fn schema_of(&self, id: ResourceId) -> Result<Option<Arc<str>>> {
        if let Some(known) = locked(&self.snapshot.schemas).get(&id) {
            return Ok(known.clone());
        }
        let schema: Option<Arc<str>> = self.view.cell_box_by_id(id)?.and_then(|found| found.schema).map(Into::into);
        let mut schemas = locked(&self.snapshot.schemas);
        if schemas.len() >= KEPT {
            schemas.clear();
        }
        schemas.insert(id, schema.clone());
        Ok(schema)
    }

    /// Whether a token was used up or revoked.
    pub fn is_spent(&self, token: &str) -> bool {
        self.snapshot.spent.contains(token)
    }

    /// The list of the cell itself.
    pub fn cell_list(&self) -> Result<Arc<List>> {
        self.list(CELL_ACL)
    }

    /// The list that is kept under a number.
    pub fn list(&self, id: ResourceId) -> Result<Arc<List>> {
        if let Some(known) = locked(&self.snapshot.lists).get(&id) {
            return Ok(known.clone());
        }
        let stored = self.view.acl(id)?;
        let list = Arc::new(List {
            require_schema: stored.require_schema.as_deref().and_then(SchemaAuthz::of),
            entries: stored.aces.iter().map(|ace| (ace.role, Privileges::from_bits(ace.privileges as u64))).collect(),
        });
        let mut lists = locked(&self.snapshot.lists);
        if lists.len() >= KEPT {
            lists.clear();
        }
        lists.insert(id, list.clone());
        Ok(list)
    }

    /// The account of a number.
    pub fn account(&self, id: i64) -> Result<Option<Arc<AccountAccess>>> {
        if let Some(known) = locked(&self.snapshot.accounts).get(&id) {
            return Ok(known.clone());
        }
        let object = self.view.object_by_id(ObjectKind::Account, id)?;
        let account = match object {
            None => None,
            Some(object) => Some(Arc::new(AccountAccess {
                fields: AccountFields::from_json(&object.fields),
                name: object.name,
                roles: self.view.linked(ObjectKind::Account, id, ObjectKind::Role)?,
            })),
        };
        let mut accounts = locked(&self.snapshot.accounts);
        if accounts.len() >= KEPT {
            accounts.clear();
        }
        accounts.insert(id, account.clone());
        Ok(account)
    }

    /// The local roles of somebody whose cell has one of these URLs and who has these roles there: those of the cell, of its
    /// relations, and of external roles of its relations.
    pub fn roles_of_foreign(&self, cell_urls: &[String], role_urls: &[String]) -> Result<Vec<i64>> {
        let mut roles = Vec::new();
        for url in cell_urls {
            let Some(cell) = self.view.object(ObjectKind::ExtCell, url, 0)? else { continue };
            roles.extend(self.view.linked(ObjectKind::ExtCell, cell.id, ObjectKind::Role)?);
            for relation in self.view.linked(ObjectKind::ExtCell, cell.id, ObjectKind::Relation)? {
                roles.extend(self.view.linked(ObjectKind::Relation, relation, ObjectKind::Role)?);
                for role in self.view.objects_of(ObjectKind::ExtRole, relation)? {
                    if role_urls.contains(&role.name) {
                        roles.extend(self.view.linked(ObjectKind::ExtRole, role.id, ObjectKind::Role)?);
                    }
                }
            }
        }
        roles.sort_unstable();
        roles.dedup();
        Ok(roles)
    }
}
