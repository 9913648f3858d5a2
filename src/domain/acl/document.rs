//! ACL documents as clients send them and as bars carry them, checked for their form.
//!
//! `inherited` is ignored, `protected` too. `deny` and `invert` are not supported: an entry that has one is refused rather
//! than understood as less than it says.

use super::privilege::{Level, Privilege, Privileges};
use crate::base::xml::{DAV, Element, PERSONIUM, XML};

/// How an app must have proved its schema to reach a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaAuthz {
    None,
    Public,
    Confidential,
}

impl SchemaAuthz {
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Public => "public",
            Self::Confidential => "confidential",
        }
    }

    pub fn of(name: &str) -> Option<Self> {
        [Self::None, Self::Public, Self::Confidential].into_iter().find(|authz| authz.name() == name)
    }
}

/// Whom an entry is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    All,
    /// A reference to a role, not empty, to be resolved against the base of the document.
    Href(String),
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AceDocument {
    pub principal: Principal,
    /// Never empty.
    pub privileges: Privileges,
}

/// A whole list. Without entries it clears what was granted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AclDocument {
    /// The value of `xml:base`, if it is there and not empty.
    pub base: Option<String>,
    /// None where the document leaves it to the collections above.
    pub require_schema_authz: Option<SchemaAuthz>,
    pub aces: Vec<AceDocument>,
}

/// Why a list was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AclError {
    /// The root is no ACL.
    #[error("XML content error.")]
    Content,
    /// The content is not what an ACL may have.
    #[error("XML validate error. Cause:[{0}].")]
    Invalid(String),
    /// What RFC 3744 has and this server does not, by the name of the precondition that says so.
    #[error("XML validate error. Cause:[{cause}].")]
    Unsupported { cause: String, condition: &'static str },
    /// The role does not exist, or the reference leads out of the cell.
    #[error("Role not found.")]
    Role,
    /// The box that the reference names does not exist.
    #[error("Box not found url:[{0}].")]
    Box(String),
}

impl AclError {
    /// The code of the refusal.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Content => "PR400-DV-0002",
            Self::Role => "PR400-DV-0004",
            Self::Box(_) => "PR400-DV-0005",
            Self::Invalid(_) | Self::Unsupported { .. } => "PR400-DV-0006",
        }
    }

    /// The precondition of the method ACL (RFC 3744 section 8.1.1) that the list violates.
    pub const fn condition(&self) -> Option<&'static str> {
        match self {
            Self::Content | Self::Invalid(_) => None,
            Self::Role | Self::Box(_) => Some("recognized-principal"),
            Self::Unsupported { condition, .. } => Some(condition),
        }
    }

    fn unsupported(cause: impl Into<String>, condition: &'static str) -> Self {
        Self::Unsupported { cause: cause.into(), condition }
    }

    fn invalid(cause: &str) -> Self {
        Self::Invalid(cause.to_owned())
    }
}

/// Reads the element `acl` of `DAV:`.
pub fn parse_acl(root: &Element, level: Level) -> Result<AclDocument, AclError> {
    if !root.is(DAV, "acl") {
        return Err(AclError::Content);
    }
    let require_schema_authz = match root.attribute(PERSONIUM, "requireSchemaAuthz") {
        None | Some("") => None,
        Some(value) => Some(
            SchemaAuthz::of(value)
                .ok_or_else(|| AclError::Invalid(format!("Value [{value}] for requireSchemaAuthz is invalid")))?,
        ),
    };
    let aces = root.children_named(DAV, "ace").map(|ace| parse_ace(ace, level)).collect::<Result<_, _>>()?;
    let base = root.attribute(XML, "base").map(str::trim).filter(|base| !base.is_empty()).map(str::to_owned);
    Ok(AclDocument { base, require_schema_authz, aces })
}

fn parse_ace(ace: &Element, level: Level) -> Result<AceDocument, AclError> {
    if ace.child(DAV, "deny").is_some() {
        return Err(AclError::unsupported("Can not read grant", "grant-only"));
    }
    let grant = only(ace, "grant").ok_or_else(|| AclError::invalid("Can not read grant"))?;
    if ace.child(DAV, "invert").is_some() {
        return Err(AclError::unsupported("Can not read principal", "no-invert"));
    }
    let principal = only(ace, "principal").ok_or_else(|| AclError::invalid("Can not read principal"))?;
    let privileges = parse_privileges(grant, level)?;
    Ok(AceDocument { principal: parse_principal(principal)?, privileges })
}

fn parse_privileges(grant: &Element, level: Level) -> Result<Privileges, AclError> {
    let mut privileges = Privileges::default();
    for element in grant.children_named(DAV, "privilege") {
        if element.elements().next().is_none() {
            return Err(AclError::invalid("Privilege is empty"));
        }
        for named in element.elements() {
            let privilege = Privilege::of(&named.local).filter(|p| p.settable(level));
            privileges.insert(privilege.ok_or_else(|| {
                let cause = format!("[{{{}}}{}] that can not be set in privilege", named.ns, named.local);
                AclError::unsupported(cause, "not-supported-privilege")
            })?);
        }
    }
    if privileges.is_empty() { Err(AclError::invalid("Can not read privilege")) } else { Ok(privileges) }
}

fn parse_principal(principal: &Element) -> Result<Principal, AclError> {
    let neither = || AclError::unsupported("Principal is neither href nor all", "allowed-principal");
    let mut elements = principal.elements();
    let (Some(element), None) = (elements.next(), elements.next()) else { return Err(neither()) };
    if element.is(DAV, "all") {
        return Ok(Principal::All);
    }
    if !element.is(DAV, "href") {
        return Err(neither());
    }
    match element.text().trim() {
        "" => Err(AclError::invalid("href in principal is empty")),
        href => Ok(Principal::Href(href.to_owned())),
    }
}

/// The child of a name, if there is exactly one.
fn only<'a>(parent: &'a Element, local: &'a str) -> Option<&'a Element> {
    let mut children = parent.children_named(DAV, local);
    children.next().filter(|_| children.next().is_none())
}
