//! Who somebody of a cell is to the other cells: with URLs in place of names, roles among them.

use super::public_url::{Asked, local_cell};
use crate::domain::token::Subject;
use crate::storage::Result;
use crate::storage::database::View;
use crate::storage::database::control::ObjectKind;

/// The subject of a cell as other cells know it. What is of this unit is said so, whatever it is called.
pub fn abroad(view: &View<'_>, asked: &Asked, cell: &str, subject: &Subject) -> Result<Subject> {
    let url = local_cell(cell);
    let (name, roles) = match subject {
        Subject::Account(id, name) => {
            (format!("{url}#{name}"), view.linked(ObjectKind::Account, *id, ObjectKind::Role)?)
        }
        Subject::Foreign { subject, local, .. } => (subject.clone(), local.clone()),
    };
    let mut urls = Vec::with_capacity(roles.len());
    for id in roles {
        let Some(role) = view.object_by_id(ObjectKind::Role, id)? else { continue };
        let cell_box = if role.owner == 0 { None } else { view.cell_box_by_id(role.owner)? };
        urls.push(match cell_box {
            None => format!("{url}__role/__/{}", role.name),
            // Apps mean the same by a role of their box, whichever cell it is in.
            Some(b) => match b.schema.filter(|schema| schema.ends_with('/')) {
                Some(schema) => format!("{}__role/__/{}", asked.local(&schema), role.name),
                None => format!("{url}__role/{}/{}", b.name, role.name),
            },
        });
    }
    Ok(Subject::Foreign { subject: name, issuer: url, roles: urls, local: Vec::new() })
}
