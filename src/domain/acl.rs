//! Access control lists: privileges, the documents that clients send, the roles they name, and how lists are written.
//!
//! Nothing here looks up a role or a box: documents are checked for their form, and references become names.

mod document;
mod privilege;
mod render;
mod role;

pub use document::{AceDocument, AclDocument, AclError, Principal, SchemaAuthz, parse_acl};
pub use privilege::{Access, Level, Privilege, Privileges};
pub use render::{AceView, AclView, Form, Inherited, PrincipalView, acl_xml, export_base, role_base, role_href};
pub use role::{RoleReference, installed_role, resolve_role};

#[cfg(test)]
mod tests;
