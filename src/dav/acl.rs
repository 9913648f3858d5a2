//! ACL (RFC 3744 section 8.1): the list of a resource is replaced. Roles are stored by number, so a renamed role keeps its
//! grants.

use std::collections::HashMap;

use http::StatusCode;

use super::allow::not_allowed;
use super::gate::Gate;
use super::subject::{DavRequest, Subject, change};
use super::xml::{self, tagged};
use crate::base::xml::{Limits, parse};
use crate::domain::acl::{AclDocument, AclError, Level, Principal, RoleReference, parse_acl, resolve_role, role_base};
use crate::domain::lock::Reach;
use crate::domain::resource::is_of_sources;
use crate::storage::database::View;
use crate::storage::database::acl::{Ace, Acl};
use crate::storage::database::control::ObjectKind;
use crate::storage::operation::set_acl::SetAcl;
use crate::web::problem::{Code, Problem};
use crate::web::request_body::RequestBody;
use crate::web::{Response, response};

pub(super) async fn acl(request: DavRequest, body: RequestBody) -> Result<Response, Problem> {
    let body = xml::read(body, request.body_limit).await?;
    let (_, resource) = change(move || {
        let subject = request.admit()?;
        let (lookup, _) = subject.existing()?;
        if is_of_sources(&lookup) {
            return Err(not_allowed(&lookup));
        }
        let wished = Wished::read(&subject, &body)?;
        let guard = Gate::of(&request, &subject)?.guard_existing(Reach::Itself, |lookup| {
            if is_of_sources(lookup) { Err(not_allowed(lookup)) } else { Ok(()) }
        });
        let operation = SetAcl {
            box_name: subject.box_name.clone(),
            path: subject.path.clone(),
            guard,
            acl: Box::new(move |view| wished.resolve(view)),
        };
        Ok((subject, operation))
    })
    .await?;
    Ok(tagged(response::empty(StatusCode::OK), &resource))
}

/// A list with its roles as names.
struct Wished {
    document: AclDocument,
    /// The role of each entry; none for `all`.
    roles: Vec<Option<RoleReference>>,
    cell_url: String,
}

impl Wished {
    fn read(subject: &Subject, body: &[u8]) -> Result<Self, Problem> {
        let root = parse(body, Limits::of(body.len())).map_err(|e| Problem::new(Code::XmlContent).because(e))?;
        let document = parse_acl(&root, Level::Box).map_err(refusal)?;
        let name = subject.cell.name();
        let cell_url = subject.asked.cell(name);
        let forms = subject.asked.cell_forms(name);
        let role = |principal: &Principal| match principal {
            Principal::All => Ok(None),
            Principal::Href(href) => resolve_role(href, document.base.as_deref(), &forms).map(Some),
        };
        let roles = document.aces.iter().map(|ace| role(&ace.principal)).collect::<Result<_, _>>().map_err(refusal)?;
        Ok(Self { document, roles, cell_url })
    }

    /// Finds the numbers of the roles.
    fn resolve(&self, view: &View<'_>) -> crate::storage::Result<Acl> {
        let mut known: HashMap<&RoleReference, i64> = HashMap::new();
        let mut aces = Vec::with_capacity(self.roles.len());
        for (ace, role) in self.document.aces.iter().zip(&self.roles) {
            let role = match role {
                None => None,
                Some(reference) => Some(match known.get(reference) {
                    Some(id) => *id,
                    None => *known.entry(reference).or_insert(self.find(view, reference)?),
                }),
            };
            aces.push(Ace { role, privileges: ace.privileges.bits() as i64 });
        }
        Ok(Acl { require_schema: self.document.require_schema_authz.map(|a| a.name().to_owned()), aces })
    }

    fn find(&self, view: &View<'_>, reference: &RoleReference) -> crate::storage::Result<i64> {
        let owner = match &reference.box_name {
            None => 0,
            Some(name) => {
                let url = || format!("{}{}", role_base(&self.cell_url, Some(name)), reference.role);
                view.cell_box(name)?.ok_or_else(|| refusal(AclError::Box(url())))?.id
            }
        };
        match view.object(ObjectKind::Role, &reference.role, owner)? {
            Some(role) => Ok(role.id),
            None => Err(refusal(AclError::Role).into()),
        }
    }
}

/// What a client hears of a list that is refused.
pub(crate) fn refusal(error: AclError) -> Problem {
    let condition = error.condition();
    let problem = match error {
        AclError::Content => Code::XmlContent.into(),
        AclError::Invalid(cause) | AclError::Unsupported { cause, .. } => Problem::new(Code::XmlValidate).with(cause),
        AclError::Role => Code::RoleNotFound.into(),
        AclError::Box(url) => Problem::new(Code::BoxOfUrlNotFound).with(url),
    };
    match condition {
        Some(element) => problem.violating(element, Vec::new()),
        None => problem,
    }
}
