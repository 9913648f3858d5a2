//! Passwords: hashing, verifying, and how many of that are done at the same time.
//!
//! New hashes are argon2id. Those that came with a cell from elsewhere are scrypt, or SHA-256 with the salt of their unit;
//! they are verified as they are, and the caller renews them. Hashing is slow on purpose, so it has a few slots, a short
//! queue, and an end beyond that: people who are logged in go on working while somebody tries passwords.

use std::sync::{Condvar, Mutex, PoisonError};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::storage::database::account::StoredPassword;

/// The name under which new hashes are stored.
const ARGON2ID: &str = "argon2id";
/// The largest cost of a foreign scrypt hash that is computed, in bytes.
const SCRYPT_BYTES: u64 = 256 << 20;

/// What hashing costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    pub memory_kib: u32,
    pub iterations: u32,
    pub lanes: u32,
}

/// How a password stands to a stored one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    Yes,
    /// It is the password, and its hash should be made anew.
    Renew,
    No,
}

/// More passwords are waiting than can be verified in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being verified")]
pub struct Overload;

/// Why the parameters of argon2 were refused.
#[derive(Debug, thiserror::Error)]
#[error("argon2 cannot work with these parameters: {0}")]
pub struct BadCost(String);

/// Hashes and verifies. Everything here blocks.
pub struct Passwords {
    argon2: Argon2<'static>,
    /// Stands in for the hash of an account that does not exist, so that it takes as long to be told.
    decoy: StoredPassword,
    reference_salt: String,
    slots: Slots,
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords")
    }
}

impl Passwords {
    /// `reference_salt` is that of the unit whose SHA-256 hashes were imported. `at_once` hashes are computed at the same
    /// time, `waiting` more may wait.
    pub fn new(cost: Cost, reference_salt: &str, at_once: usize, waiting: usize) -> Result<Self, BadCost> {
        let bad = |e: argon2::Error| BadCost(e.to_string());
        let params = Params::new(cost.memory_kib, cost.iterations, cost.lanes, None).map_err(bad)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let decoy = hashed(&argon2, &crate::base::id::token());
        let slots = Slots { at_once: at_once.max(1), waiting, state: Mutex::default(), freed: Condvar::new() };
        Ok(Self { argon2, decoy, reference_salt: reference_salt.to_owned(), slots })
    }

    /// The number of hashes that may wait to be computed.
    pub(super) fn most_waiting(&self) -> usize {
        self.slots.waiting
    }

    /// The hash under which a password is stored.
    pub fn hash(&self, password: &str) -> Result<StoredPassword, Overload> {
        let _slot = self.slots.take()?;
        Ok(hashed(&self.argon2, password))
    }

    /// Whether a password is the stored one. Without a stored one the answer is `No`, and takes as long.
    pub fn verify(&self, password: &str, stored: Option<&StoredPassword>) -> Result<Match, Overload> {
        let _slot = self.slots.take()?;
        let Some(stored) = stored else {
            self.argon2id(password, &self.decoy);
            return Ok(Match::No);
        };
        let legacy = |matches| if matches { Match::Renew } else { Match::No };
        Ok(match stored.algorithm.as_str() {
            ARGON2ID => self.argon2id(password, stored),
            "scrypt" => legacy(scrypt_matches(password, &stored.hash)),
            "sha-256" => legacy(self.sha256_matches(password, &stored.hash)),
            other => {
                tracing::warn!(algorithm = other, "a password has a hash of an unknown kind");
                Match::No
            }
        })
    }

    fn argon2id(&self, password: &str, stored: &StoredPassword) -> Match {
        let Ok(hash) = PasswordHash::new(&stored.hash) else { return Match::No };
        if self.argon2.verify_password(password.as_bytes(), &hash).is_err() {
            return Match::No;
        }
        let (made, now) = (Params::try_from(&hash), self.argon2.params());
        let same = made.is_ok_and(|made| {
            (made.m_cost(), made.t_cost(), made.p_cost()) == (now.m_cost(), now.t_cost(), now.p_cost())
        });
        if same { Match::Yes } else { Match::Renew }
    }

    /// Hexadecimal SHA-256 of the password followed by the salt.
    fn sha256_matches(&self, password: &str, hash: &str) -> bool {
        let digest = Sha256::new().chain_update(password).chain_update(&self.reference_salt).finalize();
        hex(&digest).as_bytes().ct_eq(hash.to_ascii_lowercase().as_bytes()).into()
    }
}

fn hashed(argon2: &Argon2<'_>, password: &str) -> StoredPassword {
    let hash = argon2.hash_password(password.as_bytes());
    let hash = hash.expect("invariant: the parameters were checked and the kernel gives random bytes").to_string();
    StoredPassword { algorithm: ARGON2ID.to_owned(), hash, attributes: None }
}

/// `$` hexadecimal of log2 N, r, p (16, 8 and 8 bits) `$` salt `$` key, both in base64.
fn scrypt_matches(password: &str, hash: &str) -> bool {
    let computed = || {
        let mut parts = hash.strip_prefix('$')?.split('$');
        let numbers = u64::from_str_radix(parts.next()?, 16).ok()?;
        let decode = |text: &str| STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok();
        let (salt, key) = (decode(parts.next()?)?, decode(parts.next()?)?);
        let (log_n, r, p) = ((numbers >> 16) & 0xffff, (numbers >> 8) & 0xff, numbers & 0xff);
        let affordable = log_n < 32 && (128 * r * p.max(1)) << log_n <= SCRYPT_BYTES;
        if parts.next().is_some() || !affordable || key.len() < 16 {
            return None;
        }
        let params = scrypt::Params::new(log_n as u8, r as u32, p as u32).ok()?;
        let mut out = vec![0; key.len()];
        scrypt::scrypt(password.as_bytes(), &salt, &params, &mut out).ok()?;
        Some(bool::from(out.ct_eq(&key)))
    };
    computed().unwrap_or(false)
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// SHA-256 in hexadecimal: for secrets that are random themselves.
pub fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret))
}

/// A few slots for slow work, and a queue with an end.
struct Slots {
    at_once: usize,
    waiting: usize,
    state: Mutex<Taken>,
    freed: Condvar,
}

#[derive(Default)]
struct Taken {
    running: usize,
    waiting: usize,
}

struct Slot<'s>(&'s Slots);

impl Slots {
    fn take(&self) -> Result<Slot<'_>, Overload> {
        let mut taken = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.running >= self.at_once {
            if taken.waiting >= self.waiting {
                return Err(Overload);
            }
            taken.waiting += 1;
            while taken.running >= self.at_once {
                taken = self.freed.wait(taken).unwrap_or_else(PoisonError::into_inner);
            }
            taken.waiting -= 1;
        }
        taken.running += 1;
        Ok(Slot(self))
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).running -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests;
