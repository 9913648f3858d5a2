//! The table of what each method needs, walked with an account for every privilege.

use cellar::domain::access::{Need, On, Place, TABLE};
use cellar::domain::acl::{Level, Privilege, Privileges};

use super::{World, acl, is_denied, outcome};
use crate::client::{Connection, Reply, Request};
use crate::harness::TOKEN;

const SYNC: &str =
    "<D:sync-collection xmlns:D=\"DAV:\"><D:sync-token/><D:sync-level>1</D:sync-level></D:sync-collection>";
const LOCK: &str = "<D:lockinfo xmlns:D=\"DAV:\"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>";
const PROPERTY: &str =
    "<D:propertyupdate xmlns:D=\"DAV:\"><D:set><D:prop><x xmlns=\"x:\">1</x></D:prop></D:set></D:propertyupdate>";

/// Somebody for each privilege, who has that one alone.
struct People {
    world: World,
    connection: std::cell::RefCell<Connection>,
    /// A privilege and the token of an account with a role of its name.
    holders: Vec<(Privilege, String)>,
    /// Somebody without any.
    nobody: String,
}

impl People {
    fn new(privileges: impl Iterator<Item = Privilege>) -> Self {
        Self::living_in(World::new(), privileges)
    }

    fn living_in(world: World, privileges: impl Iterator<Item = Privilege>) -> Self {
        let holders = privileges.map(|p| (p, world.user(p.name(), &[p.name()]))).collect();
        let nobody = world.user("nobody", &[]);
        let schema = serde_json::json!({ "Name": "s", "Schema": "https://app.example/" });
        world.make("Box", &schema).expect(201);
        let connection = std::cell::RefCell::new(world.server.connect());
        let people = Self { world, connection, holders, nobody };
        people.reset();
        people
    }

    fn send(&self, request: &Request) -> Reply {
        self.connection.borrow_mut().send(request)
    }

    fn admin(&self, method: &str, path: &str) -> Reply {
        self.send(&Request::new(method, &format!("/c/{path}")).bearer(TOKEN))
    }

    /// The tree as it was: `b/col` with a file and a collection, and nothing else.
    fn reset(&self) {
        for path in ["b/col", "b/dest"] {
            self.admin("DELETE", path);
        }
        self.send(&Request::new("DELETE", "/c/fresh").bearer(TOKEN).header("X-Personium-Recursive", "true"));
        for path in ["b/col", "b/col/sub"] {
            self.admin("MKCOL", path).expect(201);
        }
        self.send(&Request::new("PUT", "/c/b/col/f").bearer(TOKEN).body("x")).expect(201);
    }

    /// The list that grants everybody of a level what the name of their role says.
    fn list(&self) -> Vec<(&'static str, [&'static str; 1])> {
        self.holders.iter().map(|(p, _)| (p.name(), [p.name()])).collect()
    }

    fn document(&self) -> String {
        let list = self.list();
        let grants: Vec<(&str, &[&str])> = list.iter().map(|(role, names)| (*role, names.as_slice())).collect();
        acl(&self.world.url("c"), &grants, "")
    }

    fn grant_on(&self, path: &str) {
        self.send(&Request::new("ACL", &format!("/c/{path}")).bearer(TOKEN).body(self.document())).expect(200);
    }

    /// A request for a place, with everything that it needs to get as far as its privileges and, mostly, to succeed.
    fn request(&self, place: Place, method: &str) -> Request {
        let path = match place {
            Place::Unit => "/".to_owned(),
            Place::UnitControl => match method {
                "GET" | "HEAD" | "POST" => "/__ctl/Cell".to_owned(),
                _ => "/__ctl/Cell('none')".to_owned(),
            },
            Place::Cell => "/c/".to_owned(),
            Place::Description => "/c/__ctl/".to_owned(),
            Place::Metadata => "/c/__ctl/$metadata".to_owned(),
            Place::ControlBox => control("Box", method),
            Place::ControlAuth => control("Account", method),
            Place::ControlSocial => control("ExtCell", method),
            Place::ControlRule => control("Rule", method),
            Place::RoleUrl => "/c/__role".to_owned(),
            Place::BoxUrl => "/c/__box?schema=https%3A%2F%2Fapp.example%2F".to_owned(),
            Place::Log => match method {
                "PROPFIND" => "/c/__log/current".to_owned(),
                "DELETE" => "/c/__log/archive/default.log.1".to_owned(),
                _ => "/c/__log/current/default.log".to_owned(),
            },
            // Without a name no import begins.
            Place::Transfer => if method == "POST" { "/c/__import" } else { "/c/__export" }.to_owned(),
            Place::Snapshot => if method == "PROPFIND" { "/c/__snapshot" } else { "/c/__snapshot/f.zip" }.to_owned(),
            Place::Event => "/c/__event".to_owned(),
            Place::Login => "/c/__token".to_owned(),
            Place::MyPassword => "/c/__mypassword".to_owned(),
            Place::FreeBox => "/c/fresh".to_owned(),
            Place::BoxRoot | Place::BoxArchive => "/c/b".to_owned(),
            Place::Collection => "/c/b/col/sub".to_owned(),
            Place::File => "/c/b/col/f".to_owned(),
            Place::Free => "/c/b/col/none".to_owned(),
        };
        let mut request = Request::new(method, &path);
        if place == Place::BoxArchive {
            request = request.header("Accept", "application/zip+x-personium-bar");
        } else {
            request = request.header("Accept", "application/json");
        }
        match method {
            "PROPFIND" => request.header("Depth", "1"),
            "REPORT" => request.header("Depth", "0").body(SYNC),
            "PROPPATCH" => request.body(PROPERTY),
            "ACL" if place == Place::Cell || place == Place::BoxRoot => request.body(self.document()),
            "ACL" => request.body("<D:acl xmlns:D=\"DAV:\"/>"),
            "LOCK" => request.header("Depth", "0").body(LOCK),
            "UNLOCK" => request.header("Lock-Token", "<urn:uuid:0>"),
            "PUT" if place == Place::MyPassword => request.header("X-Personium-Credential", "bad"),
            "PUT" => request.body("y"),
            "PATCH" => request
                .header("Content-Type", "application/x-sabredav-partialupdate")
                .header("X-Update-Range", "append")
                .body("y"),
            "MOVE" | "COPY" => request.header("Destination", "/c/b/dest"),
            "DELETE" if place == Place::Cell => request.header("X-Personium-Recursive", "true"),
            "POST" | "MERGE" => request.body("{}"),
            _ => request,
        }
    }

    /// Sends a request as somebody, and makes good what it did.
    fn try_as(&self, request: &Request, token: Option<&str>) -> Reply {
        let asked = token.map_or_else(|| request.clone(), |token| request.clone().bearer(token));
        let reply = self.send(&asked);
        if let (Some(lock), Some(token)) = (reply.header("lock-token"), token) {
            let unlock = request.clone().with_method("UNLOCK").header("Lock-Token", lock).without_body();
            self.send(&unlock.bearer(token)).expect(204);
        }
        if reply.status < 300 && !request.is_read() {
            self.reset();
        }
        reply
    }
}

fn control(set: &str, method: &str) -> String {
    match (method, set) {
        ("GET" | "HEAD" | "POST", _) => format!("/c/__ctl/{set}"),
        (_, "ExtCell") => format!("/c/__ctl/{set}(Url='https:%2F%2Fnone.example%2F')"),
        _ => format!("/c/__ctl/{set}('none')"),
    }
}

/// The privileges that a request for a free destination needs in the list of the box.
fn in_box(privileges: &[(Privilege, On)]) -> impl Iterator<Item = Privilege> + '_ {
    privileges.iter().filter(|(_, on)| *on != On::DestinationTaken).map(|(p, _)| *p)
}

fn holds(held: Privilege, needed: impl Iterator<Item = Privilege>) -> bool {
    let held: Privileges = [held].into_iter().collect();
    let mut needed = needed;
    needed.all(|needed| held.grant(needed))
}

#[track_caller]
fn expect_denied(reply: &Reply, code: &str, what: &str) {
    let outcome = outcome(reply);
    // HEAD has no body to tell the code.
    assert!(outcome == code || outcome == code[..3], "{what}: expected {code}, got {outcome}");
}

#[test]
fn privileges_in_a_box_open_what_the_table_says_and_nothing_else() {
    let people = People::new(Privilege::ALL.iter().copied().filter(|p| p.level() == Level::Box));
    people.grant_on("b");
    people.grant_on("s");
    for row in TABLE {
        let Need::Box(needed) = row.need else { continue };
        for method in row.methods {
            let request = people.request(row.place, method);
            let what = format!("{:?} {method}", row.place);
            for (held, token) in &people.holders {
                let reply = people.try_as(&request, Some(token));
                let what = format!("{what} with {}", held.name());
                if holds(*held, in_box(needed)) {
                    assert!(!is_denied(&reply), "{what}: {}", outcome(&reply));
                } else {
                    expect_denied(&reply, "403 PR403-AU-0002", &what);
                }
            }
            expect_denied(&people.try_as(&request, None), "401 PR401-AU-0001", &what);
            expect_denied(&people.try_as(&request, Some("nonsense")), "401 PR401-AU-0006", &what);
            expect_denied(&people.try_as(&request, Some(&people.nobody)), "403 PR403-AU-0002", &what);
            let admin = people.try_as(&request, Some(TOKEN));
            assert!(!is_denied(&admin), "{what}: {}", outcome(&admin));
        }
    }
}

#[test]
fn privileges_on_a_cell_open_what_the_table_says_and_nothing_else() {
    let people = People::new(Privilege::ALL.iter().copied());
    people.grant_on("");
    for row in TABLE {
        for method in row.methods {
            let request = people.request(row.place, method);
            let what = format!("{:?} {method}", row.place);
            for (held, token) in &people.holders {
                let what = format!("{what} with {}", held.name());
                let reply = people.try_as(&request, Some(token));
                let allowed = match row.need {
                    Need::Nothing => true,
                    Need::Login => {
                        assert_eq!(
                            outcome(&reply),
                            "400 PR400-AU-0001",
                            "{what}: the password is refused, not the person"
                        );
                        continue;
                    }
                    Need::Unit => {
                        expect_denied(&reply, "403 PR403-AU-0001", &what);
                        continue;
                    }
                    Need::Cell(needed) | Need::Description(needed) => holds(*held, std::iter::once(needed)),
                    // What boxes know may be granted on the cell, and then holds in all of them.
                    Need::Box(needed) => holds(*held, in_box(needed)),
                };
                if allowed {
                    assert!(!is_denied(&reply), "{what}: {}", outcome(&reply));
                } else {
                    expect_denied(&reply, "403 PR403-AU-0002", &what);
                }
            }
            let stranger = people.try_as(&request, None);
            if row.need == Need::Nothing {
                assert!(!is_denied(&stranger), "{what}: {}", outcome(&stranger));
            } else {
                expect_denied(&stranger, "401 PR401-AU-0001", &what);
                expect_denied(&people.try_as(&request, Some("nonsense")), "401 PR401-AU-0006", &what);
            }
            if !(row.place == Place::Cell && *method == "DELETE" || row.need == Need::Login) {
                let admin = people.try_as(&request, Some(TOKEN));
                assert!(!is_denied(&admin), "{what}: {}", outcome(&admin));
            }
        }
    }
    people.try_as(&Request::new("PUT", "/c/__mypassword"), Some(TOKEN)).expect(403);
    let deletion = people.request(Place::Cell, "DELETE").bearer(TOKEN);
    people.send(&deletion).expect(204);
}

/// What a role of a unit user opens in a cell of theirs.
#[derive(Clone, Copy, PartialEq)]
enum Contents {
    Nothing,
    Read,
    All,
}

impl Contents {
    fn open(self, needed: Privilege) -> bool {
        let name = needed.name();
        match self {
            Self::Nothing => false,
            Self::Read => {
                name.ends_with("-read")
                    || ["read", "read-properties", "read-acl", "propfind", "stream-receive"].contains(&name)
            }
            Self::All => true,
        }
    }
}

#[test]
fn unit_users_do_what_the_table_says_for_their_role_and_cell() {
    for (role, contents, own) in [
        (&[][..], Contents::Nothing, true),
        (&["CellContentsReader"], Contents::Read, true),
        (&["CellContentsAdmin"], Contents::All, true),
        (&["CellContentsAdmin"], Contents::Nothing, false),
    ] {
        let (world, eve) = super::unit_users::people(role);
        if own {
            let delete = Request::new("DELETE", "/c").bearer(TOKEN).header("X-Personium-Recursive", "true");
            world.send(delete).expect(204);
            world.send(Request::new("MKCOL", "/c").bearer(&eve)).expect(201);
            world.admin("MKCOL", "/c/b").expect(201);
        }
        let people = People::living_in(world, std::iter::empty());
        for row in TABLE {
            for method in row.methods {
                if row.place == Place::Cell && *method == "DELETE" {
                    continue;
                }
                let what = format!("{:?} {method} as {role:?}, own: {own}", row.place);
                let reply = people.try_as(&people.request(row.place, method), Some(&eve));
                let (allowed, refusal) = match row.need {
                    Need::Nothing => (true, ""),
                    // A unit user has no password in the cell.
                    Need::Login => (false, "403 PR403-AU-0002"),
                    // Every unit user may make a cell, were there none of the name.
                    Need::Unit if *method == "MKCOL" => (true, ""),
                    Need::Unit => (own || row.place != Place::Cell, "403 PR403-AU-0003"),
                    Need::Cell(needed) | Need::Description(needed) => (contents.open(needed), "403 PR403-AU-0002"),
                    Need::Box(needed) => (in_box(needed).all(|needed| contents.open(needed)), "403 PR403-AU-0002"),
                };
                if allowed {
                    assert!(!is_denied(&reply), "{what}: {}", outcome(&reply));
                } else {
                    expect_denied(&reply, refusal, &what);
                }
            }
        }
        let deletion = people.send(&people.request(Place::Cell, "DELETE").bearer(&eve));
        assert_eq!(outcome(&deletion), if own { "204" } else { "403 PR403-AU-0003" }, "{role:?}");
    }
}

#[test]
fn what_is_needed_on_the_collection_is_not_enough_on_the_member() {
    let people = People::new([Privilege::Unbind, Privilege::Bind].into_iter());
    let (unbind, bind) = (&people.holders[0].1, &people.holders[1].1);
    people.grant_on("b/col/f");
    let delete = Request::new("DELETE", "/c/b/col/f");
    expect_denied(&people.try_as(&delete, Some(unbind)), "403 PR403-AU-0002", "unbind on the file alone");
    people.grant_on("b/col/sub");
    let new = Request::new("PUT", "/c/b/col/new").body("x");
    expect_denied(&people.try_as(&new, Some(bind)), "403 PR403-AU-0002", "bind on a sibling");
    people.try_as(&Request::new("PUT", "/c/b/col/sub/new").body("x"), Some(bind)).expect(201);
    people.grant_on("b/col");
    people.try_as(&delete, Some(unbind)).expect(204);
}

#[test]
fn whoever_may_not_read_does_not_learn_what_is_there() {
    let people = People::new(std::iter::empty());
    for method in
        ["GET", "HEAD", "PUT", "DELETE", "MKCOL", "PROPFIND", "PROPPATCH", "ACL", "MOVE", "COPY", "LOCK", "REPORT"]
    {
        for token in [None, Some(people.nobody.as_str()), Some("nonsense")] {
            let outcomes: Vec<String> = ["/c/b/col/f", "/c/b/col/sub", "/c/b/col/none", "/c/b/none/none/none"]
                .map(|path| Request::new(method, path).header("Depth", "0").header("Destination", "/c/b/x"))
                .map(|request| people.try_as(&request, token))
                .map(|reply| outcome(&reply))
                .to_vec();
            assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{method} {token:?}: {outcomes:?}");
            assert!(outcomes[0].starts_with("40"), "{method} {token:?}: {outcomes:?}");
        }
    }
    let options = |path| people.send(&Request::new("OPTIONS", path).bearer(&people.nobody)).expect(200);
    assert_eq!(options("/c/b/col/f").header("allow"), options("/c/b/col/none").header("allow"));
}
