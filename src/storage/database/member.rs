//! What a listing tells of a resource, borrowed from its row: of a member that is written at once nothing is copied, and what
//! nobody asks for is not read.

use rusqlite::Row;
use rusqlite::types::{FromSqlError, ValueRef};

use super::resource::{HAS_ACL, HAS_PROPERTIES, Kind, Resource};
use super::tx::{View, sql};
use crate::base::id::{ETag, ResourceId};
use crate::storage::error::{Error, Result};

/// Some columns of a row of `resource`, read when they are asked for; they mean what those of [`Resource`] mean.
#[derive(Clone, Copy)]
pub struct Member<'r> {
    pub name: &'r str,
    pub kind: Kind,
    pub flags: i64,
    source: Source<'r>,
}

#[derive(Clone, Copy)]
enum Source<'r> {
    Row(&'r Row<'r>),
    Resource(&'r Resource),
}

impl<'r> From<&'r Resource> for Member<'r> {
    fn from(row: &'r Resource) -> Self {
        Self { name: &row.name, kind: row.kind, flags: row.flags, source: Source::Resource(row) }
    }
}

/// The columns of a member, in the order of the places below.
const COLUMNS: &str = "name, kind, flags, id, version, stamp, created_ms, mtime_ms, size, type";

impl<'r> Member<'r> {
    fn from_row(row: &'r Row<'r>) -> rusqlite::Result<Self> {
        Ok(Self {
            name: row.get_ref(0)?.as_str().map_err(|e| unread(0, e))?,
            kind: Kind::from_column(number(row, 1)?),
            flags: number(row, 2)?,
            source: Source::Row(row),
        })
    }

    fn number(&self, column: usize, of: impl FnOnce(&Resource) -> i64) -> Result<i64> {
        match self.source {
            Source::Row(row) => number(row, column).map_err(Error::database("read a member")),
            Source::Resource(resource) => Ok(of(resource)),
        }
    }

    pub fn id(&self) -> Result<ResourceId> {
        self.number(3, |r| r.id)
    }

    pub fn etag(&self) -> Result<ETag> {
        Ok(ETag { version: self.number(4, |r| r.version)?, stamp: self.number(5, |r| r.stamp)? })
    }

    pub fn created_ms(&self) -> Result<i64> {
        self.number(6, |r| r.created_ms)
    }

    pub fn mtime_ms(&self) -> Result<i64> {
        self.number(7, |r| r.mtime_ms)
    }

    pub fn size(&self) -> Result<i64> {
        self.number(8, |r| r.size)
    }

    pub fn content_type(&self) -> Result<Option<&'r str>> {
        match self.source {
            Source::Row(row) => {
                let value = row.get_ref(9).and_then(|value| value.as_str_or_null().map_err(|e| unread(9, e)));
                value.map_err(Error::database("read a member"))
            }
            Source::Resource(resource) => Ok(resource.content_type.as_deref()),
        }
    }

    pub fn is_file(&self) -> bool {
        self.kind.is_file()
    }

    pub fn has_properties(&self) -> bool {
        self.flags & HAS_PROPERTIES != 0
    }

    pub fn has_acl(&self) -> bool {
        self.flags & HAS_ACL != 0
    }
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<i64> {
    match row.get_ref(column)? {
        ValueRef::Integer(number) => Ok(number),
        _ => Err(unread(column, FromSqlError::InvalidType)),
    }
}

fn unread(column: usize, error: FromSqlError) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}

impl View<'_> {
    /// Calls `each` for the members of a collection in the order of their names' bytes.
    pub fn members(&self, parent: ResourceId, mut each: impl FnMut(&Member<'_>) -> Result<()>) -> Result<()> {
        let query = sql!("SELECT ", COLUMNS, " FROM resource WHERE parent = ?1 ORDER BY name");
        self.each("list members", query, [parent], |row| Ok(each(&Member::from_row(row)?)))
    }
}
