//! References to roles: `{cell}__role/{box or __}/{role}`, absolute or relative to a base.

use super::document::AclError;
use crate::base::uri::resolve;

/// A role of a cell, by names. Whether it exists is for the caller to see.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoleReference {
    /// None for a role that belongs to no box.
    pub box_name: Option<String>,
    pub role: String,
}

/// The role that `href` names against `base`. `cell_urls` are all URLs of the cell itself, each with its trailing slash: a
/// role of any other cell, and a URL that is no role's, is [`AclError::Role`].
pub fn resolve_role<S: AsRef<str>>(href: &str, base: Option<&str>, cell_urls: &[S]) -> Result<RoleReference, AclError> {
    let url = resolve(base, href).ok_or(AclError::Role)?;
    let path = cell_urls.iter().find_map(|cell| below(&url, cell.as_ref())).ok_or(AclError::Role)?;
    let mut parts = path.strip_prefix("__role/").ok_or(AclError::Role)?.split('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(box_name), Some(role), None) if !box_name.is_empty() && !role.is_empty() => {
            Ok(RoleReference { box_name: Some(box_name.to_owned()).filter(|name| name != "__"), role: role.to_owned() })
        }
        _ => Err(AclError::Role),
    }
}

/// The role that `href` names in the bar that becomes the box `box_name`: the base of the bar is replaced by that of the box.
pub fn installed_role<S: AsRef<str>>(href: &str, cell_urls: &[S], box_name: &str) -> Result<RoleReference, AclError> {
    let base = cell_urls.first().map(|cell| super::role_base(cell.as_ref(), Some(box_name)));
    resolve_role(href, base.as_deref(), cell_urls)
}

/// What of `url` lies below `cell`. Scheme and host compare without case.
fn below<'a>(url: &'a str, cell: &str) -> Option<&'a str> {
    let host = cell.find("://").and_then(|at| cell[at + 3..].find('/').map(|end| at + 3 + end)).unwrap_or(0);
    let (head, tail) = (url.get(..host)?, url.get(host..)?);
    if head.eq_ignore_ascii_case(&cell[..host]) { tail.strip_prefix(&cell[host..]) } else { None }
}
