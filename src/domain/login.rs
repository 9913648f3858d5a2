//! Logging in with a password: an account's own, or a drive password; and who has to wait after a failure.
//!
//! Failures are counted by account and client address, so that nobody locks anybody else out. A drive password is random, so its
//! digest is looked up and never hashed slowly. What Basic brought is remembered for a while, under a keyed digest: a drive that
//! sends its password with each request pays for hashing once. Everything here blocks.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use self::turns::{Attempt, Turn, Turns};
use super::account::{AccountFields, Status};
use super::password::{Match, Overload, Passwords, digest};
use crate::base::id::{ResourceId, secret};
use crate::storage::database::account::{LoginRow, StoredPassword};
use crate::storage::database::control::ObjectKind;
use crate::storage::writer::{Change, Context};
use crate::storage::{Cell, Error};

mod turns;

/// How long a login by Basic is remembered.
const REMEMBERED_FOR: Duration = Duration::from_mins(1);
/// Logins, and failures, that are remembered.
const REMEMBERED: usize = 10_000;

/// Who has to wait, and how long.
#[derive(Debug, Clone, Copy)]
pub struct LockRules {
    /// After one failure.
    pub retry: Duration,
    /// Failures in a row after which an account is locked; 0: never.
    pub count: u64,
    /// For how long.
    pub time: Duration,
}

/// Why a login failed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Name or password are wrong, or the account may not log in so.
    #[error("the login failed")]
    Failed,
    /// There was a failure just before, or there were too many.
    #[error("the account is locked for this address")]
    Locked,
    #[error(transparent)]
    Overload(#[from] Overload),
    #[error(transparent)]
    Store(#[from] Error),
}

/// Somebody whose password was right.
#[derive(Debug, Clone)]
pub struct Login {
    pub account: i64,
    pub name: String,
    /// When the login before was, and how many failed since.
    pub before: Option<i64>,
    pub failed: i64,
    pub status: Status,
}

/// What Basic brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BasicLogin {
    pub account: i64,
    /// With a drive password: the box that it is limited to.
    pub drive: Option<Option<ResourceId>>,
}

#[derive(Debug, Clone)]
struct Remembered {
    until: Instant,
    /// The access state of the cell when it was last looked at.
    state: i64,
    login: BasicLogin,
    /// The hash or digest that the password was held against.
    against: String,
}

/// Logs people in.
#[derive(Debug)]
pub struct Logins {
    pub passwords: Passwords,
    turns: Turns,
    remembered: Mutex<HashMap<[u8; 32], Remembered>>,
    /// Makes the digests of remembered logins useless elsewhere.
    key: [u8; 32],
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Logins {
    pub fn new(passwords: Passwords, rules: LockRules) -> Self {
        let turns = Turns::new(rules, passwords.most_waiting());
        Self { passwords, turns, remembered: Mutex::default(), key: secret() }
    }

    /// A login with an account's own password. All failures but waiting look the same.
    pub fn password(&self, cell: &Cell, name: &str, password: &str, from: IpAddr) -> Result<Login, LoginError> {
        let turn = self.turns.begin(attempt(cell, name, from))?;
        let row = self.verify(cell, name, password, from, turn)?;
        let fields = AccountFields::from_json(&row.object.fields);
        let id = row.object.id;
        Ok(Login {
            account: id,
            name: row.object.name,
            before: row.authenticated_ms,
            failed: row.failed,
            status: fields.status,
        })
    }

    /// Remembers that somebody got in with the account's password.
    pub fn note(&self, cell: &Cell, account: i64) -> Result<(), Error> {
        cell.change(Change(move |ctx: &Context<'_>| ctx.tx.note_login(account).map(drop)))
    }

    /// A login by Basic: with a drive password, or with the account's own.
    pub fn basic(&self, cell: &Cell, name: &str, password: &str, from: IpAddr) -> Result<BasicLogin, LoginError> {
        let key = self.remembered_as(cell, name, password, from);
        if let Some(login) = self.recall(cell, name, from, &key)? {
            return Ok(login);
        }
        let drive = digest(password);
        let found = cell.read(|view| {
            let state = view.access_state()?;
            let Some(found) = view.drive_password_of(&drive)? else { return Ok((state, None)) };
            let account = view.object_by_id(ObjectKind::Account, found.account)?;
            let same = bool::from(found.digest.as_bytes().ct_eq(drive.as_bytes()));
            Ok((state, account.filter(|a| same && a.name == name).map(|account| (account, found.cell_box))))
        })?;
        let (state, drive_password) = found;
        let (login, against) = if let Some((account, limit)) = drive_password {
            let fields = AccountFields::from_json(&account.fields);
            if fields.status == Status::Deactivated || !fields.admits(from) {
                return Err(LoginError::Failed);
            }
            (BasicLogin { account: account.id, drive: Some((limit != 0).then_some(limit)) }, drive)
        } else {
            let turn = self.turns.begin(attempt(cell, name, from))?;
            // Another request of the same client may have been first.
            if let Some(login) = self.recall(cell, name, from, &key)? {
                return Ok(login);
            }
            let row = self.verify(cell, name, password, from, turn)?;
            if AccountFields::from_json(&row.object.fields).status != Status::Active {
                return Err(LoginError::Failed);
            }
            let against = row.password.map(|p| p.hash).unwrap_or_default();
            (BasicLogin { account: row.object.id, drive: None }, against)
        };
        let mut remembered = locked(&self.remembered);
        make_room(&mut remembered, |known| known.until > Instant::now());
        remembered.insert(key, Remembered { until: Instant::now() + REMEMBERED_FOR, state, login, against });
        Ok(login)
    }

    /// A login that is remembered, with the access state of the cell at which it was good. Nothing is looked at.
    pub fn known(&self, cell: &Cell, name: &str, password: &str, from: IpAddr) -> Option<(BasicLogin, i64)> {
        let key = self.remembered_as(cell, name, password, from);
        let remembered = self.remembered.try_lock().ok()?;
        remembered.get(&key).filter(|known| known.until > Instant::now()).map(|known| (known.login, known.state))
    }

    fn remembered_as(&self, cell: &Cell, name: &str, password: &str, from: IpAddr) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.key)
            .chain_update(cell.number().to_le_bytes())
            .chain_update(from.to_canonical().to_string())
            .chain_update([0])
            .chain_update((name.len() as u64).to_le_bytes())
            .chain_update(name)
            .chain_update(password)
            .finalize()
            .into()
    }

    /// A login that is remembered and still good: nothing about access has changed since, or nothing about this password.
    fn recall(&self, cell: &Cell, name: &str, from: IpAddr, key: &[u8; 32]) -> Result<Option<BasicLogin>, Error> {
        let known = locked(&self.remembered).get(key).filter(|known| known.until > Instant::now()).cloned();
        let Some(known) = known else { return Ok(None) };
        let (state, good) = cell.read(|view| {
            let state = view.access_state()?;
            if state == known.state {
                return Ok((state, true));
            }
            let Some(row) = view.login_row(name)?.filter(|row| row.object.id == known.login.account) else {
                return Ok((state, false));
            };
            let fields = AccountFields::from_json(&row.object.fields);
            let status = if fields.admits(from) { fields.status } else { Status::Deactivated };
            Ok((
                state,
                match known.login.drive {
                    Some(_) => status != Status::Deactivated && view.drive_password_of(&known.against)?.is_some(),
                    None => status == Status::Active && row.password.is_some_and(|p| p.hash == known.against),
                },
            ))
        })?;
        let mut remembered = locked(&self.remembered);
        if !good {
            remembered.remove(key);
            return Ok(None);
        }
        if let Some(entry) = remembered.get_mut(key) {
            entry.state = state;
        }
        Ok(Some(known.login))
    }

    /// Holds a password against the account's, in the order in which clients may be told nothing.
    fn verify(
        &self,
        cell: &Cell,
        name: &str,
        password: &str,
        from: IpAddr,
        turn: Turn<'_>,
    ) -> Result<LoginRow, LoginError> {
        let row = cell.read(|view| view.login_row(name))?;
        let fields = row.as_ref().map(|row| AccountFields::from_json(&row.object.fields));
        let admitted = fields.as_ref().is_some_and(|f| f.has_password_login() && f.admits(from));
        let stored = row.as_ref().and_then(|row| row.password.as_ref()).filter(|_| admitted);
        let matches = self.passwords.verify(password, stored)?;
        // Whoever guesses the password of an account that cannot be used does not learn that he did.
        let usable = matches != Match::No && fields.is_some_and(|f| f.status != Status::Deactivated);
        let Some(row) = row.filter(|_| usable) else {
            turn.failed();
            note_failure(cell, name);
            return Err(LoginError::Failed);
        };
        turn.succeeded();
        if matches == Match::Renew {
            self.renew(cell, &row, password);
        }
        Ok(row)
    }

    /// Gives an account the hash of today in the place of one from elsewhere. The login stands, whatever becomes of it.
    fn renew(&self, cell: &Cell, row: &LoginRow, password: &str) {
        let Some(before) = row.password.as_ref().map(|p| p.hash.clone()) else { return };
        let Ok(after) = self.passwords.hash(password) else { return };
        let id = row.object.id;
        let renewed = cell.change(Change(move |ctx: &Context<'_>| {
            let after: &StoredPassword = &after;
            ctx.tx.renew_password(id, &before, after)
        }));
        if let Err(e) = renewed {
            tracing::warn!(error = &e as &dyn std::error::Error, "a password's hash could not be renewed");
        }
    }
}

fn attempt(cell: &Cell, name: &str, from: IpAddr) -> Attempt {
    Attempt { cell: cell.number(), account: name.to_owned(), address: from.to_canonical() }
}

/// Counts a failed login with its account.
fn note_failure(cell: &Cell, name: &str) {
    let name = name.to_owned();
    let noted = cell.change(Change(move |ctx: &Context<'_>| match ctx.tx.object(ObjectKind::Account, &name, 0)? {
        Some(account) => ctx.tx.note_failed_login(account.id),
        None => Ok(()),
    }));
    if let Err(e) = noted {
        tracing::warn!(error = &e as &dyn std::error::Error, "a failed login could not be counted");
    }
}

/// Keeps a map below its bound: what is over goes first, then everything.
fn make_room<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, V>, counts: impl Fn(&V) -> bool) {
    if map.len() >= REMEMBERED {
        map.retain(|_, value| counts(value));
    }
    if map.len() >= REMEMBERED {
        map.clear();
    }
}
