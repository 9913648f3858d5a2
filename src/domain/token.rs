//! Tokens: what they say, and how they are sealed.
//!
//! A token is a prefix that names its kind, then base64url of key number, nonce and ciphertext (XChaCha20-Poly1305; the prefix is
//! authenticated too). Clients can read nothing in it and change nothing. The keys are the unit's and follow one another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};

use crate::base::{clock, id};
use crate::storage::unit::TokenKey;

const KEY_BYTES: usize = 4;
const NONCE_BYTES: usize = 24;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An account of the cell.
    Access,
    Refresh,
    /// Somebody of another cell, with roles that were found when the token was issued.
    VisitorAccess,
    VisitorRefresh,
    /// A person of one cell for another cell.
    Transcell,
    /// Somebody who speaks for the owner of the cell, at the unit: its target is the cell itself.
    UnitLocal,
    /// Changing a password, nothing else.
    PasswordChange,
    /// The code of an authorization, exchanged once.
    Code,
    /// The cookie that stands for an access token.
    Cookie,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Access,
        Self::Refresh,
        Self::VisitorAccess,
        Self::VisitorRefresh,
        Self::Transcell,
        Self::UnitLocal,
        Self::PasswordChange,
        Self::Code,
        Self::Cookie,
    ];

    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Access => "AR~",
            Self::Refresh => "RR~",
            Self::VisitorAccess => "AV~",
            Self::VisitorRefresh => "RV~",
            Self::Transcell => "TC~",
            Self::UnitLocal => "AU~",
            Self::PasswordChange => "AP~",
            Self::Code => "GC~",
            Self::Cookie => "CK~",
        }
    }

    /// Whether it is good for nothing but to get new tokens.
    pub const fn is_refresh(self) -> bool {
        matches!(self, Self::Refresh | Self::VisitorRefresh)
    }
}

/// Whom a token speaks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// An account of the issuing cell, by number and by the name that it had.
    #[serde(rename = "a")]
    Account(i64, String),
    /// Somebody of another cell: the URL of the subject, the URL of the cell, and roles: URLs in a token for another cell,
    /// numbers of local roles in a visitor's.
    #[serde(rename = "f")]
    Foreign { subject: String, issuer: String, roles: Vec<String>, local: Vec<i64> },
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Random, to tell tokens apart.
    #[serde(rename = "i")]
    pub id: String,
    /// The UUID of the cell that issued it.
    #[serde(rename = "c")]
    pub cell: String,
    #[serde(rename = "s")]
    pub subject: Subject,
    #[serde(rename = "b")]
    pub issued_ms: i64,
    #[serde(rename = "e")]
    pub expires_ms: i64,
    /// The schema of the app; `#c` at its end says that the app keeps its secret.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Names separated by spaces.
    #[serde(rename = "o", default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// The URL of the cell that a token for another cell is meant for.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What else must come along: the peer of a cookie, the redirect URI of a code.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub with: Option<String>,
    /// The access token in a cookie.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub wrapped: Option<String>,
}

impl Claims {
    /// Claims of a new token that lives for `seconds`.
    pub fn new(cell: &str, subject: Subject, seconds: i64) -> Self {
        let now = clock::now_ms();
        Self {
            id: id::uuid22(),
            cell: cell.to_owned(),
            subject,
            issued_ms: now,
            expires_ms: now + seconds * 1000,
            schema: None,
            scope: String::new(),
            target: None,
            with: None,
            wrapped: None,
        }
    }

    pub fn is_expired(&self) -> bool {
        clock::now_ms() >= self.expires_ms
    }
}

/// Why a token cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("it is no token of this unit")]
    Form,
    #[error("it was not sealed with the key that it names")]
    Seal,
}

/// Tokens that were opened last are not opened anew, as long as the keys are the same; so many of them.
const OPENED: usize = 4096;

/// Seals and opens tokens with the unit's keys.
pub struct Sealer {
    keys: RwLock<Arc<Vec<(u32, XChaCha20Poly1305)>>>,
    opened: Mutex<HashMap<String, Arc<(Kind, Claims)>>>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

fn ciphers(keys: &[TokenKey]) -> Arc<Vec<(u32, XChaCha20Poly1305)>> {
    Arc::new(keys.iter().map(|key| (key.id, XChaCha20Poly1305::new(&key.secret.into()))).collect())
}

impl Sealer {
    /// `keys`: the newest first, not none.
    pub fn new(keys: &[TokenKey]) -> Self {
        assert!(!keys.is_empty(), "invariant: a unit has a key");
        Self { keys: RwLock::new(ciphers(keys)), opened: Mutex::default() }
    }

    /// Takes other keys from now on.
    pub fn replace(&self, keys: &[TokenKey]) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = ciphers(keys);
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn keys(&self) -> Arc<Vec<(u32, XChaCha20Poly1305)>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn seal(&self, kind: Kind, claims: &Claims) -> String {
        let keys = self.keys();
        let (key_id, cipher) = keys.first().expect("invariant: a unit has a key");
        let nonce: [u8; NONCE_BYTES] =
            id::secret()[..NONCE_BYTES].try_into().expect("invariant: a secret is longer than a nonce");
        let text = serde_json::to_vec(claims).expect("invariant: texts and numbers are JSON");
        let payload = Payload { msg: &text, aad: kind.prefix().as_bytes() };
        let sealed = cipher.encrypt(&XNonce::from(nonce), payload).expect("invariant: claims are not that long");
        let mut bytes = Vec::with_capacity(KEY_BYTES + NONCE_BYTES + sealed.len());
        bytes.extend_from_slice(&key_id.to_be_bytes());
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        format!("{}{}", kind.prefix(), URL_SAFE_NO_PAD.encode(bytes))
    }

    /// As [`Self::open`]; what was opened before is remembered.
    pub fn open_again(&self, token: &str) -> Result<Arc<(Kind, Claims)>, OpenError> {
        let opened = || self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = opened().get(token) {
            return Ok(known.clone());
        }
        let keys = self.keys();
        let said = Arc::new(self.open(token)?);
        let mut opened = opened();
        // Keys that were replaced meanwhile may not have opened it.
        if Arc::ptr_eq(&keys, &self.keys()) {
            if opened.len() >= OPENED {
                opened.clear();
            }
            opened.insert(token.to_owned(), said.clone());
        }
        Ok(said)
    }

    /// What a token says, whether it has expired or not.
    pub fn open(&self, token: &str) -> Result<(Kind, Claims), OpenError> {
        let kind = Kind::ALL.into_iter().find(|kind| token.starts_with(kind.prefix())).ok_or(OpenError::Form)?;
        let bytes = URL_SAFE_NO_PAD.decode(&token[kind.prefix().len()..]).map_err(|_| OpenError::Form)?;
        let (key_id, rest) = bytes.split_first_chunk::<KEY_BYTES>().ok_or(OpenError::Form)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError::Form)?;
        let keys = self.keys();
        let key_id = u32::from_be_bytes(*key_id);
        let (_, cipher) = keys.iter().find(|(id, _)| *id == key_id).ok_or(OpenError::Form)?;
        let payload = Payload { msg: sealed, aad: kind.prefix().as_bytes() };
        let text = cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| OpenError::Seal)?;
        Ok((kind, serde_json::from_slice(&text).map_err(|_| OpenError::Form)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u32) -> TokenKey {
        TokenKey { id, created_ms: 0, secret: id::secret() }
    }

    fn claims() -> Claims {
        Claims { scope: "root".to_owned(), ..Claims::new("cell", Subject::Account(7, "user".to_owned()), 60) }
    }

    #[test]
    fn a_sealed_token_opens_and_says_the_same() {
        let sealer = Sealer::new(&[key(1)]);
        for kind in Kind::ALL {
            let token = sealer.seal(kind, &claims());
            assert!(token.starts_with(kind.prefix()) && !token.contains("user"), "{token}");
        }
        let said = claims();
        assert_eq!(sealer.open(&sealer.seal(Kind::Access, &said)), Ok((Kind::Access, said.clone())));
        assert!(!said.is_expired() && Claims::new("c", said.subject, 0).is_expired());
        assert!(!format!("{sealer:?} {:?}", key(1)).contains("secret"));
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let sealer = Sealer::new(&[key(1)]);
        let token = sealer.seal(Kind::Access, &claims());
        for at in 3..token.len() {
            let mut other = token.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).expect("ASCII");
            assert!(sealer.open(&other).is_err(), "{at}");
        }
        let refresh = token.replacen("AR~", "RR~", 1);
        assert_eq!(sealer.open(&refresh), Err(OpenError::Seal), "the kind is sealed too");
        for trash in ["", "AR~", "AR~AAAA", "nonsense", "ar~x", &token[..token.len() - 4], "AR~\u{e9}"] {
            assert!(sealer.open(trash).is_err(), "{trash}");
        }
    }

    #[test]
    fn old_keys_open_until_they_go() {
        let (first, second) = (key(1), key(2));
        let sealer = Sealer::new(std::slice::from_ref(&first));
        let token = sealer.seal(Kind::Access, &claims());
        sealer.replace(&[second.clone(), first]);
        assert!(sealer.open(&token).is_ok());
        assert_eq!(sealer.open_again(&token), sealer.open_again(&token), "opened, then remembered");
        let newer = sealer.seal(Kind::Access, &claims());
        sealer.replace(&[second]);
        assert_eq!(sealer.open(&token), Err(OpenError::Form));
        assert_eq!(sealer.open_again(&token), Err(OpenError::Form));
        assert!(sealer.open(&newer).is_ok());
    }
}
