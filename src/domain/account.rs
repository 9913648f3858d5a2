//! Accounts: their properties, which of their values are good, and from which addresses they may log in.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::names::{FieldError, is_cell_uri};

/// How a person proves to be the account's owner, if nothing else is said: with a password.
pub const BASIC: &str = "basic";

/// Whether an account can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    #[default]
    Active,
    Deactivated,
    /// The password is good for nothing but to change it.
    PasswordChangeRequired,
}

impl Status {
    /// The status of a name, as clients write it.
    pub fn of(text: &str) -> Option<Self> {
        match text {
            "active" => Some(Self::Active),
            "deactivated" => Some(Self::Deactivated),
            "passwordChangeRequired" => Some(Self::PasswordChangeRequired),
            _ => None,
        }
    }
}

/// The properties of an account besides its name, as they are stored and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountFields {
    /// Ways to log in, separated by spaces.
    #[serde(rename = "Type")]
    pub types: String,
    /// A cell of the account's owner.
    #[serde(rename = "Cell")]
    pub cell: Option<String>,
    /// IPv4 addresses and networks, separated by commas; none: any address.
    #[serde(rename = "IPAddressRange")]
    pub addresses: Option<String>,
    #[serde(rename = "Status")]
    pub status: Status,
}

impl Default for AccountFields {
    fn default() -> Self {
        Self { types: BASIC.to_owned(), cell: None, addresses: None, status: Status::Active }
    }
}

impl AccountFields {
    /// Reads what is stored; what cannot be read is the default but deactivated, so that it opens nothing.
    pub fn from_json(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self { status: Status::Deactivated, ..Self::default() })
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("invariant: texts and a name are JSON")
    }

    /// Whether every value has a form that can be accepted.
    pub fn validate(&self) -> Result<(), FieldError> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b"-_:.".contains(&b);
        let ways: Vec<&str> = self.types.split(' ').collect();
        if self.types.len() > 1024 || ways.iter().any(|way| way.is_empty() || !way.bytes().all(word)) {
            return Err(FieldError::format("Type"));
        }
        if self.cell.as_deref().is_some_and(|cell| !is_cell_uri(cell) || !cell.ends_with('/')) {
            return Err(FieldError::format("Cell"));
        }
        if self.addresses.as_deref().is_some_and(|list| networks(list).is_none()) {
            return Err(FieldError::format("IPAddressRange"));
        }
        Ok(())
    }

    /// Whether the account has a password to log in with.
    pub fn has_password_login(&self) -> bool {
        self.types.split(' ').any(|way| way == BASIC)
    }

    /// Whether somebody at this address may log in.
    pub fn admits(&self, address: IpAddr) -> bool {
        let Some(list) = self.addresses.as_deref().filter(|list| !list.is_empty()) else { return true };
        let IpAddr::V4(address) = address.to_canonical() else { return false };
        networks(list).is_some_and(|all| all.iter().any(|(network, mask)| u32::from(address) & mask == *network))
    }
}

/// The networks of a list as address and mask; none if anything in it is no network.
fn networks(list: &str) -> Option<Vec<(u32, u32)>> {
    if list.is_empty() {
        return Some(Vec::new());
    }
    list.split(',')
        .map(|item| {
            let (address, bits) = item.trim().split_once('/').unwrap_or((item.trim(), "32"));
            let address = u32::from(address.parse::<Ipv4Addr>().ok()?);
            let digits = !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
            let bits: u32 = bits.parse().ok().filter(|bits| digits && *bits <= 32)?;
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            Some((address & mask, mask))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut AccountFields)) -> Result<(), &'static str> {
        let mut fields = AccountFields::default();
        change(&mut fields);
        fields.validate().map_err(|e| e.field)
    }

    #[test]
    fn values_are_checked() {
        assert_eq!(with(|_| {}), Ok(()));
        assert_eq!(with(|f| f.types = "basic oidc:google".to_owned()), Ok(()));
        for bad in ["", " ", "basic  oidc:google", "basic,x", "ba\u{e9}"] {
            assert_eq!(with(|f| f.types = bad.to_owned()), Err("Type"), "{bad}");
        }
        assert_eq!(with(|f| f.cell = Some("https://e.example/c/".to_owned())), Ok(()));
        assert_eq!(with(|f| f.cell = Some("https://e.example/c".to_owned())), Err("Cell"));
        assert_eq!(with(|f| f.cell = Some("word/".to_owned())), Err("Cell"));
        for (range, good) in [
            ("10.1.0.0/16,192.0.2.7", true),
            ("", true),
            ("10.1.0.0/33", false),
            ("10.1.0.0/+3", false),
            ("10.1.0", false),
            ("::1", false),
            ("10.1.0.0/16,", false),
        ] {
            let result = with(|f| f.addresses = Some(range.to_owned()));
            assert_eq!(result, if good { Ok(()) } else { Err("IPAddressRange") }, "{range}");
        }
    }

    #[test]
    fn addresses_are_held_against_the_ranges() {
        let fields = AccountFields { addresses: Some("198.51.100.1,10.1.0.0/16".to_owned()), ..Default::default() };
        for (address, admitted) in [
            ("10.1.255.3", true),
            ("::ffff:10.1.0.1", true),
            ("198.51.100.1", true),
            ("198.51.100.2", false),
            ("10.2.0.1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(fields.admits(address.parse().expect("an address")), admitted, "{address}");
        }
        let everywhere = AccountFields { addresses: Some("0.0.0.0/0".to_owned()), ..Default::default() };
        assert!(everywhere.admits("203.0.113.9".parse().expect("an address")));
        assert!(AccountFields::default().admits("2001:db8::1".parse().expect("an address")));
    }

    #[test]
    fn what_is_stored_reads_back_and_trash_opens_nothing() {
        let fields = AccountFields { status: Status::PasswordChangeRequired, ..Default::default() };
        assert_eq!(AccountFields::from_json(&fields.to_json()), fields);
        assert!(fields.to_json().contains("\"Status\":\"passwordChangeRequired\""));
        assert_eq!(AccountFields::from_json("{").status, Status::Deactivated);
        assert_eq!(Status::of("sleeping"), None);
    }
}
