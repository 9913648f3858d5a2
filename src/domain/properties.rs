//! Properties of resources (RFC 4918 section 15): which are live, and which only the server may set.
//!
//! `displayname` and `getcontentlanguage` are live by name, but a client may set them: they are kept like dead ones.

use crate::base::xml::{DAV, PERSONIUM};

/// A property whose value the server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Live {
    CreationDate,
    DisplayName,
    ContentLength,
    ContentType,
    ETag,
    LastModified,
    LockDiscovery,
    ResourceType,
    SupportedLock,
    Acl,
    SupportedReportSet,
    SyncToken,
    QuotaAvailable,
    QuotaUsed,
    CurrentUserPrincipal,
    CurrentUserPrivilegeSet,
    SupportedPrivilegeSet,
    PrincipalCollectionSet,
    AclRestrictions,
    Owner,
    Group,
    InheritedAclSet,
}

impl Live {
    /// Every live property, in the order in which listings have them.
    pub const ALL: [Self; 22] = [
        Self::CreationDate,
        Self::DisplayName,
        Self::ContentLength,
        Self::ContentType,
        Self::ETag,
        Self::LastModified,
        Self::ResourceType,
        Self::SupportedLock,
        Self::LockDiscovery,
        Self::Acl,
        Self::SupportedReportSet,
        Self::SyncToken,
        Self::QuotaAvailable,
        Self::QuotaUsed,
        Self::CurrentUserPrincipal,
        Self::CurrentUserPrivilegeSet,
        Self::SupportedPrivilegeSet,
        Self::PrincipalCollectionSet,
        Self::AclRestrictions,
        Self::Owner,
        Self::Group,
        Self::InheritedAclSet,
    ];

    /// The local name; the namespace is `DAV:`.
    pub const fn local(self) -> &'static str {
        match self {
            Self::CreationDate => "creationdate",
            Self::DisplayName => "displayname",
            Self::ContentLength => "getcontentlength",
            Self::ContentType => "getcontenttype",
            Self::ETag => "getetag",
            Self::LastModified => "getlastmodified",
            Self::LockDiscovery => "lockdiscovery",
            Self::ResourceType => "resourcetype",
            Self::SupportedLock => "supportedlock",
            Self::Acl => "acl",
            Self::SupportedReportSet => "supported-report-set",
            Self::SyncToken => "sync-token",
            Self::QuotaAvailable => "quota-available-bytes",
            Self::QuotaUsed => "quota-used-bytes",
            Self::CurrentUserPrincipal => "current-user-principal",
            Self::CurrentUserPrivilegeSet => "current-user-privilege-set",
            Self::SupportedPrivilegeSet => "supported-privilege-set",
            Self::PrincipalCollectionSet => "principal-collection-set",
            Self::AclRestrictions => "acl-restrictions",
            Self::Owner => "owner",
            Self::Group => "group",
            Self::InheritedAclSet => "inherited-acl-set",
        }
    }

    /// The live property of a name.
    pub fn of(ns: &str, local: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|live| ns == DAV && live.local() == local)
    }

    /// Those that `allprop` tells; the others must be asked for by name.
    pub fn listed() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|live| live.is_listed())
    }

    /// Whether `allprop` tells it.
    pub fn is_listed(self) -> bool {
        !matches!(
            self,
            Self::SupportedReportSet
                | Self::SyncToken
                | Self::QuotaAvailable
                | Self::QuotaUsed
                | Self::CurrentUserPrincipal
                | Self::CurrentUserPrivilegeSet
                | Self::SupportedPrivilegeSet
                | Self::PrincipalCollectionSet
                | Self::AclRestrictions
                | Self::Owner
                | Self::Group
                | Self::InheritedAclSet
        )
    }

    /// Whether files lack it.
    pub fn of_collections_alone(self) -> bool {
        matches!(self, Self::SyncToken | Self::QuotaAvailable | Self::QuotaUsed)
    }

    /// Whether collections lack it.
    pub fn of_files_alone(self) -> bool {
        matches!(self, Self::ContentLength | Self::ContentType)
    }
}

/// Names in `DAV:` that are the server's, besides the live properties: RFC 3744, 4331, 5397 and 6578, and 3253's reports.
const RESERVED: &[&str] = &["supported-method-set"];

/// Whether only the server sets the property.
pub fn is_protected(ns: &str, local: &str) -> bool {
    match ns {
        DAV => Live::of(ns, local).is_some_and(|live| live != Live::DisplayName) || RESERVED.contains(&local),
        PERSONIUM => local == "cellstatus",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_properties_are_protected_and_no_others() {
        for local in ["getetag", "resourcetype", "acl", "quota-used-bytes", "lockdiscovery"] {
            assert!(is_protected(DAV, local), "{local}");
            assert!(!is_protected("urn:x", local), "{local}");
        }
        for local in ["displayname", "getcontentlanguage", "color"] {
            assert!(!is_protected(DAV, local), "{local}");
        }
        assert!(is_protected(PERSONIUM, "cellstatus"));
        assert!(!is_protected("", "getetag"));
    }

    #[test]
    fn every_live_property_is_found_by_its_name() {
        for live in Live::ALL {
            assert_eq!(Live::of(DAV, live.local()), Some(live));
        }
        assert_eq!(Live::of(PERSONIUM, "acl"), None);
    }
}
