//! Who may do what: accounts, tokens, passwords for drives, and access control lists, as clients see them.

use serde_json::{Value, json};

use crate::client::{Reply, Request};
use crate::harness::{Server, TOKEN};

mod accounts;
mod authorize;
mod boxes;
mod command_line;
mod drive;
mod events;
mod leaks;
mod principals;
mod programs;
mod relays;
mod scenario;
mod table;
mod tokens;
mod unit_users;

/// The password of every account.
pub const PASSWORD: &str = "pass-word-1";

/// A server with the cell `c` and its box `b`.
pub struct World {
    pub server: Server,
}

impl World {
    pub fn new() -> Self {
        Self::with(&[])
    }

    pub fn with(environment: &[(&str, &str)]) -> Self {
        Self::on(Server::with(environment))
    }

    /// On a root that outlives the server.
    pub fn at(root: &std::path::Path) -> Self {
        Self::on(Server::at(root, &[]))
    }

    fn on(server: Server) -> Self {
        let world = Self { server };
        world.admin("MKCOL", "/c").expect(201);
        world.admin("MKCOL", "/c/b").expect(201);
        world
    }

    pub fn admin(&self, method: &str, target: &str) -> Reply {
        self.server.admin(method, target)
    }

    pub fn send(&self, request: Request) -> Reply {
        self.server.send(request)
    }

    pub fn url(&self, cell: &str) -> String {
        format!("{}{cell}/", self.server.url())
    }

    /// POSTs an entity of the cell `c`.
    pub fn make(&self, set: &str, entity: &Value) -> Reply {
        self.make_in("c", set, entity)
    }

    pub fn make_in(&self, cell: &str, set: &str, entity: &Value) -> Reply {
        let post = Request::new("POST", &format!("/{cell}/__ctl/{set}")).bearer(TOKEN);
        self.send(post.header("X-Personium-Credential", PASSWORD).body(entity.to_string()))
    }

    /// An account of `c`, linked with roles that are made where they are not there yet.
    pub fn account(&self, name: &str, roles: &[&str]) {
        self.account_in("c", name, roles);
    }

    pub fn account_in(&self, cell: &str, name: &str, roles: &[&str]) {
        self.make_in(cell, "Account", &json!({ "Name": name })).expect(201);
        for role in roles {
            self.make_in(cell, "Role", &json!({ "Name": role }));
            self.link(cell, &format!("Account('{name}')/$links/_Role"), &format!("Role('{role}')"));
        }
    }

    pub fn link(&self, cell: &str, from: &str, to: &str) {
        let uri = format!("{}__ctl/{to}", self.url(cell));
        let post = Request::new("POST", &format!("/{cell}/__ctl/{from}")).bearer(TOKEN);
        self.send(post.body(json!({ "uri": uri }).to_string())).expect(204);
    }

    /// POSTs a form to the token endpoint of a cell.
    pub fn grant(&self, cell: &str, form: &[(&str, &str)]) -> Reply {
        self.send(Request::new("POST", &format!("/{cell}/__token")).body(encoded(form)))
    }

    /// The answer to a login with the password of every account.
    pub fn log_in(&self, name: &str, more: &[(&str, &str)]) -> Value {
        let form = [&[("grant_type", "password"), ("username", name), ("password", PASSWORD)], more].concat();
        self.grant("c", &form).expect(200).json()
    }

    /// An access token of an account of `c`.
    pub fn token(&self, name: &str) -> String {
        text(&self.log_in(name, &[]), "access_token")
    }

    /// An account with roles, and a token of it.
    pub fn user(&self, name: &str, roles: &[&str]) -> String {
        self.account(name, roles);
        self.token(name)
    }

    /// Replaces the list of a path below `c`; the empty path is the cell's own. `*` is everybody.
    pub fn allow(&self, path: &str, grants: &[(&str, &[&str])]) {
        self.set_acl("c", path, grants, "").expect(200);
    }

    pub fn set_acl(&self, cell: &str, path: &str, grants: &[(&str, &[&str])], attributes: &str) -> Reply {
        let body = acl(&self.url(cell), grants, attributes);
        self.send(Request::new("ACL", &format!("/{cell}/{path}")).bearer(TOKEN).body(body))
    }

    /// Makes a drive password of an account of `c`; returns it.
    pub fn drive_password(&self, name: &str, account: &str, box_name: Option<&str>) -> String {
        let entity = json!({ "Name": name, "_Account.Name": account, "_Box.Name": box_name });
        text(&self.make("DrivePassword", &entity).expect(201).json()["d"]["results"], "Password")
    }

    /// What an account of `c` gets for a request.
    pub fn ask(&self, token: &str, method: &str, path: &str) -> Reply {
        self.send(Request::new(method, &format!("/c/{path}")).bearer(token))
    }
}

/// An ACL document; roles belong to no box.
pub fn acl(cell_url: &str, grants: &[(&str, &[&str])], attributes: &str) -> String {
    let mut aces = Vec::new();
    for (role, privileges) in grants.iter().filter(|(_, privileges)| !privileges.is_empty()) {
        let principal = if *role == "*" { "<D:all/>".to_owned() } else { format!("<D:href>{role}</D:href>") };
        let granted: Vec<_> = privileges.iter().map(|p| format!("<D:privilege><p:{p}/></D:privilege>")).collect();
        let granted = granted.concat();
        aces.push(format!("<D:ace><D:principal>{principal}</D:principal><D:grant>{granted}</D:grant></D:ace>"));
    }
    let aces = aces.concat();
    format!(
        "<D:acl xmlns:D=\"DAV:\" xmlns:p=\"urn:x-personium:xmlns\" xml:base=\"{cell_url}__role/__/\" {attributes}>{aces}</D:acl>"
    )
}

/// A text of a JSON object.
#[track_caller]
pub fn text(object: &Value, name: &str) -> String {
    object[name].as_str().unwrap_or_else(|| panic!("{name} in {object}")).to_owned()
}

pub fn encoded(form: &[(&str, &str)]) -> String {
    let one = |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    form.iter().map(|(name, value)| format!("{}={}", one(name), one(value))).collect::<Vec<_>>().join("&")
}

/// Status and code of a refusal, in whichever form it comes: `403 PR403-AU-0002`. Only the status of an answer without a code.
pub fn outcome(reply: &Reply) -> String {
    let body = String::from_utf8_lossy(&reply.body);
    let code = body.find("PR").filter(|_| reply.status >= 400).and_then(|at| body.get(at..at + 13));
    match code {
        Some(code) => format!("{} {code}", reply.status),
        None => reply.status.to_string(),
    }
}

/// Whether an answer refuses because of who asks.
pub fn is_denied(reply: &Reply) -> bool {
    let outcome = outcome(reply);
    outcome.contains("PR401-AU") || outcome.contains("PR403-AU") || matches!(outcome.as_str(), "401" | "403")
}
