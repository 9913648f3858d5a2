//! Accounts and what belongs to them: password hashes, drive passwords, external cells, and tokens that are spent.
//!
//! An account, an external cell and a drive password are also control objects (`control.rs`); what is here is what the others
//! do not have. Hashes and digests are read by the login alone and appear in no other row.

use rusqlite::params;

use super::control::{Object, ObjectKind};
use super::tx::{Tx, View};
use crate::base::id::{ResourceId, random_number};
use crate::storage::error::{Error, Result};

/// The tables, for new cells and for those that were made before there were accounts.
pub const TABLES: &str = "
CREATE TABLE IF NOT EXISTS account(
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, box INTEGER NOT NULL, fields TEXT NOT NULL, version INTEGER NOT NULL,
  created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, hash TEXT, algorithm TEXT, attributes TEXT,
  authenticated_ms INTEGER, failed INTEGER NOT NULL DEFAULT 0, UNIQUE(box, name));
CREATE TABLE IF NOT EXISTS ext_cell(
  id INTEGER PRIMARY KEY, url TEXT NOT NULL, box INTEGER NOT NULL, version INTEGER NOT NULL,
  created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, UNIQUE(box, url));
CREATE TABLE IF NOT EXISTS drive_password(
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, scope INTEGER NOT NULL, account INTEGER NOT NULL,
  box INTEGER NOT NULL, digest TEXT NOT NULL UNIQUE, version INTEGER NOT NULL,
  created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS drive_password_account ON drive_password(account);
CREATE INDEX IF NOT EXISTS drive_password_box ON drive_password(box);
CREATE TABLE IF NOT EXISTS spent_token(id TEXT PRIMARY KEY, expires_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS spent_token_expiry ON spent_token(expires_ms);
";

/// Where the state of everything that decides about access is kept in `meta`.
const ACCESS: &str = "access";

/// A password as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredPassword {
    /// What the hash was made with: `argon2id`, or in cells that came from elsewhere `scrypt` or `sha-256`.
    pub algorithm: String,
    pub hash: String,
    /// Parameters that the hash itself does not tell, as JSON.
    pub attributes: Option<String>,
}

impl std::fmt::Debug for StoredPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.algorithm)
    }
}

/// What a login needs to know about an account.
#[derive(Debug, Clone)]
pub struct LoginRow {
    pub object: Object,
    pub password: Option<StoredPassword>,
    /// When somebody last logged in with the password, in milliseconds since 1970.
    pub authenticated_ms: Option<i64>,
    /// Wrong passwords since then.
    pub failed: i64,
}

/// What a drive password opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrivePassword {
    pub id: i64,
    pub account: i64,
    /// The box that it is limited to; 0 for none.
    pub cell_box: ResourceId,
    /// SHA-256 of the password, hexadecimal.
    pub digest: String,
}

impl View<'_> {
    /// A number that changes with every change of roles, links, accounts, boxes and access control lists.
    pub fn access_state(&self) -> Result<i64> {
        self.meta_number(ACCESS)
    }

    /// What a login by this name needs; none if there is no such account.
    pub fn login_row(&self, name: &str) -> Result<Option<LoginRow>> {
        let Some(object) = self.object(ObjectKind::Account, name, 0)? else { return Ok(None) };
        let query = "SELECT hash, algorithm, attributes, authenticated_ms, failed FROM account WHERE id=?1";
        let id = object.id;
        self.optional("read an account", query, [id], |r| {
            let hash: Option<String> = r.get(0)?;
            let algorithm: Option<String> = r.get(1)?;
            let attributes = r.get(2)?;
            let password = hash.zip(algorithm).map(|(hash, algorithm)| StoredPassword { algorithm, hash, attributes });
            Ok(LoginRow { object, password, authenticated_ms: r.get(3)?, failed: r.get(4)? })
        })
    }

    /// The password of an account, as it is stored.
    pub fn password_of(&self, account: i64) -> Result<Option<StoredPassword>> {
        let query = "SELECT algorithm, hash, attributes FROM account WHERE id=?1 AND hash IS NOT NULL";
        self.optional("read a password", query, [account], |r| {
            Ok(StoredPassword { algorithm: r.get(0)?, hash: r.get(1)?, attributes: r.get(2)? })
        })
    }

    /// All drive passwords.
    pub fn drive_passwords(&self) -> Result<Vec<DrivePassword>> {
        let query = "SELECT id, account, box, digest FROM drive_password ORDER BY id";
        self.all("list drive passwords", query, [], read_drive_password)
    }

    pub fn drive_password(&self, id: i64) -> Result<Option<DrivePassword>> {
        let query = "SELECT id, account, box, digest FROM drive_password WHERE id=?1";
        self.optional("find a drive password", query, [id], read_drive_password)
    }

    /// The drive password with this digest.
    pub fn drive_password_of(&self, digest: &str) -> Result<Option<DrivePassword>> {
        let query = "SELECT id, account, box, digest FROM drive_password WHERE digest=?1";
        self.optional("find a drive password", query, [digest], read_drive_password)
    }

    /// Whether a token may not be used any more although it has not expired.
    pub fn is_spent(&self, id: &str) -> Result<bool> {
        let found = self.optional("find a spent token", "SELECT 1 FROM spent_token WHERE id=?1", [id], |_| Ok(()))?;
        Ok(found.is_some())
    }

    /// The tokens that are spent and have not expired.
    pub fn spent_tokens(&self, now_ms: i64) -> Result<Vec<String>> {
        self.all("list spent tokens", "SELECT id FROM spent_token WHERE expires_ms>?1", [now_ms], |r| r.get(0))
    }
}

fn read_drive_password(r: &rusqlite::Row<'_>) -> rusqlite::Result<DrivePassword> {
    Ok(DrivePassword { id: r.get(0)?, account: r.get(1)?, cell_box: r.get(2)?, digest: r.get(3)? })
}

impl Tx<'_> {
    /// Says that something has changed which decides about access.
    pub fn touch_access(&self) -> Result<()> {
        self.set_meta(ACCESS, random_number())
    }

    /// Gives an account a password, or takes it away.
    pub fn set_password(&self, account: i64, password: Option<&StoredPassword>) -> Result<()> {
        let attributes = password.and_then(|p| p.attributes.as_deref());
        self.run(
            "set a password",
            "UPDATE account SET hash=?2, algorithm=?3, attributes=?4 WHERE id=?1",
            params![account, password.map(|p| &p.hash), password.map(|p| &p.algorithm), attributes],
        )?;
        self.touch_access()
    }

    /// Puts a better hash of the same password in the place of `before`; nothing happens if that is not the hash any more.
    pub fn renew_password(&self, account: i64, before: &str, after: &StoredPassword) -> Result<()> {
        self.run(
            "renew a password's hash",
            "UPDATE account SET hash=?3, algorithm=?4, attributes=?5 WHERE id=?1 AND hash=?2",
            params![account, before, after.hash, after.algorithm, after.attributes],
        )?;
        Ok(())
    }

    /// Remembers a login; returns when the one before was, and how many failed since.
    pub fn note_login(&self, account: i64) -> Result<(Option<i64>, i64)> {
        let query = "SELECT authenticated_ms, failed FROM account WHERE id=?1";
        let before = self.optional("read an account", query, [account], |r| Ok((r.get(0)?, r.get(1)?)))?;
        let before = before.ok_or(Error::Missing)?;
        self.run(
            "note a login",
            "UPDATE account SET authenticated_ms=?2, failed=0 WHERE id=?1",
            params![account, self.now_ms()],
        )?;
        Ok(before)
    }

    /// Remembers a wrong password.
    pub fn note_failed_login(&self, account: i64) -> Result<()> {
        self.run("note a failed login", "UPDATE account SET failed=failed+1 WHERE id=?1", [account])?;
        Ok(())
    }

    /// Adds a drive password. `Exists` if its name is taken.
    pub fn insert_drive_password(&self, name: &str, account: i64, cell_box: i64, digest: &str) -> Result<Object> {
        if self.object(ObjectKind::DrivePassword, name, 0)?.is_some() {
            return Err(Error::Exists);
        }
        let (id, now) = (self.next_id(), self.now_ms());
        self.run(
            "insert a drive password",
            "INSERT INTO drive_password(id, name, scope, account, box, digest, version, created_ms, updated_ms) \
             VALUES(?1,?2,0,?3,?4,?5,1,?6,?6)",
            params![id, name, account, cell_box, digest, now],
        )?;
        self.touch_access()?;
        let object = self.object_by_id(ObjectKind::DrivePassword, id)?;
        object.ok_or_else(|| Error::Inconsistent("a drive password that was just added is gone".to_owned()))
    }

    /// Writes a drive password as it was elsewhere.
    pub fn restore_drive_password(&self, object: &Object, drive: &DrivePassword) -> Result<()> {
        let Object { name, version, created_ms, updated_ms, .. } = object;
        self.run(
            "restore a drive password",
            "INSERT INTO drive_password(id, name, scope, account, box, digest, version, created_ms, updated_ms) \
             VALUES(?1,?2,0,?3,?4,?5,?6,?7,?8)",
            params![drive.id, name, drive.account, drive.cell_box, drive.digest, version, created_ms, updated_ms],
        )?;
        self.touch_access()
    }

    /// Removes the drive passwords of an account.
    pub fn remove_drive_passwords(&self, account: i64) -> Result<()> {
        self.run("remove drive passwords", "DELETE FROM drive_password WHERE account=?1", [account])?;
        Ok(())
    }

    /// Marks a token as used up until it expires; false if it is already. Those that have expired are forgotten.
    pub fn spend_token(&self, id: &str, expires_ms: i64) -> Result<bool> {
        self.run("forget spent tokens", "DELETE FROM spent_token WHERE expires_ms<=?1", [self.now_ms()])?;
        let query = "INSERT OR IGNORE INTO spent_token(id, expires_ms) VALUES(?1,?2)";
        let new = self.run("spend a token", query, params![id, expires_ms])? > 0;
        self.touch_access()?;
        Ok(new)
    }
}
