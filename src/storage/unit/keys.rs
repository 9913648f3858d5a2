//! `token.keys`: the secrets with which the unit seals its tokens, the newest first.
//!
//! A line is `{id} {created_ms} {key}`: 8 hexadecimal digits, milliseconds since 1970, 32 bytes in base64url. Only the server
//! makes new keys; a key that may still have living tokens is kept.

use std::fmt::{self, Write as _};
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::creation::write_new;
use super::{Unit, shown};
use crate::base::{clock, id};
use crate::storage::error::{Error, Result};

/// The name of the file.
pub(super) const FILE: &str = "token.keys";

/// One key.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenKey {
    /// Stands in every token, so that its key is found.
    pub id: u32,
    pub created_ms: i64,
    pub secret: [u8; 32],
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({:08x})", self.id)
    }
}

/// How keys follow one another, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Rotation {
    /// The age at which a key gets a successor.
    pub every_ms: i64,
    /// How long the tokens of a key live after that.
    pub tokens_live_ms: i64,
}

impl Unit {
    /// The keys as they are, without making any; none where no server has run yet.
    pub fn known_token_keys(&self) -> Result<Vec<TokenKey>> {
        let path = self.root().join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let keys: Option<Vec<TokenKey>> = text.lines().filter(|line| !line.is_empty()).map(parse).collect();
                keys.ok_or_else(|| Error::Inconsistent(format!("{} cannot be read as keys", shown(&path))))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(Error::io("read", shown(&path))(e)),
        }
    }

    /// The keys, the newest first and never none: made on first use, and followed by a new one when the newest is old.
    pub fn token_keys(&self, rotation: Rotation) -> Result<Vec<TokenKey>> {
        let mut keys = self.known_token_keys()?;
        let now = clock::now_ms();
        if keys.first().is_some_and(|newest| now - newest.created_ms < rotation.every_ms) {
            return Ok(keys);
        }
        // A key is in use until its successor came.
        let mut successor_ms = now;
        keys.retain(|key| {
            let living = now - successor_ms < rotation.tokens_live_ms;
            successor_ms = key.created_ms;
            living
        });
        keys.insert(0, TokenKey { id: id::random_number() as u32, created_ms: now, secret: id::secret() });
        let mut text = String::new();
        for key in &keys {
            let _ = writeln!(text, "{:08x} {} {}", key.id, key.created_ms, URL_SAFE_NO_PAD.encode(key.secret));
        }
        write_new(&self.root().join(FILE), text.as_bytes(), 0o600)?;
        Ok(keys)
    }
}

fn parse(line: &str) -> Option<TokenKey> {
    let mut words = line.split(' ');
    let id = u32::from_str_radix(words.next()?, 16).ok()?;
    let created_ms = words.next()?.parse().ok()?;
    let secret = URL_SAFE_NO_PAD.decode(words.next()?).ok()?.try_into().ok()?;
    words.next().is_none().then_some(TokenKey { id, created_ms, secret })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::cell::Limits;
    use crate::storage::unit::Role;

    #[test]
    fn keys_are_made_kept_and_followed_by_new_ones() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("unit");
        let unit = Unit::open(&root, Role::Server, Limits::default()).expect("a unit");
        assert_eq!(unit.known_token_keys().expect("no keys"), []);
        let month = Rotation { every_ms: 1 << 31, tokens_live_ms: 1 << 26 };
        let first = unit.token_keys(month).expect("a key");
        assert_eq!(first.len(), 1);
        assert_eq!(unit.token_keys(month).expect("the same"), first);
        let now = Rotation { every_ms: 0, tokens_live_ms: 1 << 26 };
        let second = unit.token_keys(now).expect("two keys");
        assert_eq!((second.len(), &second[1]), (2, &first[0]));
        let forgetting = Rotation { every_ms: 0, tokens_live_ms: 0 };
        let third = unit.token_keys(forgetting).expect("a key");
        assert_eq!(third.len(), 1, "{third:?}");
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(root.join(FILE)).expect("a file").permissions());
        assert_eq!(mode & 0o777, 0o600);
        assert!(!format!("{first:?}").contains(&URL_SAFE_NO_PAD.encode(first[0].secret)));
    }
}
