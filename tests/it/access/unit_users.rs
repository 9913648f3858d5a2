//! Unit users: people whom the unit itself knows, and the cells that belong to them.

use serde_json::json;

use super::{PASSWORD, World, outcome, text};
use crate::client::{Reply, Request};
use crate::harness::TOKEN;

const ISSUERS: [(&str, &str); 1] = [("CELLAR_AUTH__UNIT_USER_ISSUERS", "personium-localunit:people:/")];

/// A request of the administrator in the name of a unit user.
fn acting(user: &str, method: &str, target: &str) -> Request {
    Request::new(method, target).bearer(TOKEN).header("X-Personium-Unit-User", user)
}

fn make_cell(request: Request, name: &str) -> Request {
    request.body(json!({ "Name": name }).to_string())
}

const ANNE: &str = "https://users.example/#anne";
const BEN: &str = "https://users.example/#ben";

/// The names of cells in a list.
fn names(reply: &Reply) -> Vec<String> {
    let json = reply.json();
    let rows = json["d"]["results"].as_array().expect("a list");
    rows.iter().map(|row| text(row, "Name")).collect()
}

#[test]
fn cells_belong_to_the_unit_user_in_whose_name_they_are_made() {
    let world = World::new();
    let send = |request: Request| world.send(request);
    send(make_cell(acting(ANNE, "POST", "/__ctl/Cell"), "hers")).expect(201);
    send(acting(ANNE, "MKCOL", "/hers-too")).expect(201);
    send(make_cell(acting(BEN, "POST", "/__ctl/Cell"), "his")).expect(201);

    let list = |user: &str| {
        send(acting(user, "GET", "/__ctl/Cell?$inlinecount=allpages").header("Accept", "application/json"))
    };
    assert_eq!(names(&list(ANNE)), ["hers", "hers-too"]);
    assert_eq!(list(ANNE).json()["d"]["__count"], "2");
    assert_eq!(names(&list(BEN)), ["his"]);
    assert_eq!(names(&world.admin("GET", "/__ctl/Cell")), ["c", "hers", "hers-too", "his"]);
    let by_name = |user, name| names(&send(acting(user, "GET", &format!("/__ctl/Cell?$filter=Name%20eq%20'{name}'"))));
    assert_eq!((by_name(BEN, "his").len(), by_name(BEN, "hers").len()), (1, 0));
    let filtered =
        |filter: &str| names(&world.admin("GET", &format!("/__ctl/Cell?$filter={filter}&$orderby=Name%20desc&$top=2")));
    assert_eq!(filtered("startswith(Name,'h')"), ["his", "hers-too"]);
    assert_eq!(filtered("substringof('too',Name)%20or%20Name%20eq%20'c'"), ["hers-too", "c"]);
    assert_eq!(names(&send(acting(BEN, "GET", "/__ctl/Cell?$filter=Name%20ne%20'x'"))), ["his"]);
    let seen = send(acting(BEN, "PROPFIND", "/").header("Depth", "1")).expect(207).text().to_owned();
    assert!(seen.contains("/his<") && !seen.contains("/hers<") && !seen.contains("/c<"), "{seen}");

    for (user, cell, expected) in
        [(BEN, "hers", "403 PR403-AU-0003"), (BEN, "c", "403 PR403-AU-0003"), (BEN, "his", "200")]
    {
        assert_eq!(outcome(&send(acting(user, "GET", &format!("/__ctl/Cell('{cell}')")))), expected, "{user} {cell}");
    }
    let rename = |user, body| send(acting(user, "MERGE", "/__ctl/Cell('hers')").body(body));
    assert_eq!(outcome(&rename(BEN, r#"{"Name":"mine"}"#)), "403 PR403-AU-0003");
    assert_eq!(outcome(&rename(ANNE, r#"{"Quota":1099511627776}"#)), "403 PR403-AU-0002", "room is the unit's to give");
    assert_eq!(outcome(&send(acting(BEN, "DELETE", "/__ctl/Cell('hers-too')"))), "403 PR403-AU-0003");
    send(acting(ANNE, "DELETE", "/__ctl/Cell('hers-too')")).expect(204);
    rename(ANNE, r#"{"Name":"still-hers"}"#).expect(204);
    assert_eq!(names(&list(ANNE)), ["still-hers"]);

    for bad in ["", "anne", "https://users.example/ anne", "ftp://users.example/#anne"] {
        let reply = send(acting(bad, "GET", "/__ctl/Cell"));
        assert_eq!(outcome(&reply), "400 PR400-OD-0041", "{bad:?}");
    }
    // Nobody else names a unit user.
    let user = world.user("a", &[]);
    let tried = Request::new("GET", "/__ctl/Cell").bearer(&user).header("X-Personium-Unit-User", ANNE);
    assert_eq!(outcome(&send(tried)), "403 PR403-AU-0001");
    let tried = Request::new("GET", "/__ctl/Cell").header("X-Personium-Unit-User", ANNE);
    assert_eq!(outcome(&send(tried)), "401 PR401-AU-0001");
}

#[test]
fn an_owner_administers_a_cell_but_not_what_is_in_it() {
    let world = World::new();
    world.send(acting(ANNE, "MKCOL", "/hers")).expect(201);
    let patch =
        "<D:propertyupdate xmlns:D=\"DAV:\"><D:set><D:prop><x xmlns=\"u\">1</x></D:prop></D:set></D:propertyupdate>";
    let patched = |user: &str, cell: &str| outcome(&world.send(acting(user, "PROPPATCH", cell).body(patch)));
    assert_eq!(patched(ANNE, "/hers"), "207");
    assert_eq!(patched(BEN, "/hers"), "403 PR403-AU-0003");
    assert_eq!(patched(ANNE, "/c"), "403 PR403-AU-0003");
    for (method, target) in
        [("GET", "/hers/__ctl/Role"), ("PROPFIND", "/hers/__"), ("PUT", "/hers/__/f"), ("GET", "/hers/__export")]
    {
        assert_eq!(
            outcome(&world.send(acting(ANNE, method, target).body("x"))),
            "403 PR403-AU-0002",
            "{method} {target}"
        );
    }
    let delete = |user: &str| world.send(acting(user, "DELETE", "/hers").header("X-Personium-Recursive", "true"));
    assert_eq!(outcome(&delete(BEN)), "403 PR403-AU-0003");
    delete(ANNE).expect(204);
}

#[test]
fn owners_stay_with_their_cells() {
    let folder = tempfile::tempdir().expect("a directory");
    let root = folder.path().join("unit");
    let mut world = World::at(&root);
    world.send(acting(ANNE, "MKCOL", "/hers")).expect(201);
    world.server.restart(rustix::process::Signal::TERM);
    assert_eq!(names(&world.send(acting(ANNE, "GET", "/__ctl/Cell"))), ["hers"]);

    // Another unit adopts the directory.
    world.server.stop();
    let other = World::new();
    std::fs::rename(root.join("cells/hers"), other.server.root().join("cells/hers")).expect("the same file system");
    assert_eq!(names(&other.send(acting(ANNE, "GET", "/__ctl/Cell"))), ["hers"]);
    assert_eq!(outcome(&other.send(acting(BEN, "GET", "/__ctl/Cell('hers')"))), "403 PR403-AU-0003");

    // An import replaces what is in a cell, not whose it is.
    let job = |target: &str| {
        let post = Request::new("POST", target).bearer(TOKEN).body(r#"{"Name":"all"}"#);
        other.send(post).expect(202);
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while other.admin("GET", target).expect(200).json()["status"] != "ready" {
            assert!(std::time::Instant::now() < end, "{}", other.admin("GET", target).text());
            std::thread::yield_now();
        }
    };
    job("/c/__export");
    let snapshot = other.admin("GET", "/c/__snapshot/all.zip").expect(200).body;
    other.send(Request::new("PUT", "/hers/__snapshot/all.zip").bearer(TOKEN).body(snapshot)).expect(201);
    job("/hers/__import");
    assert_eq!(other.admin("GET", "/hers/b").expect(200).json()["box"]["name"], "b");
    assert_eq!(names(&other.send(acting(ANNE, "GET", "/__ctl/Cell"))), ["hers"]);
    other.send(acting(ANNE, "DELETE", "/hers").header("X-Personium-Recursive", "true")).expect(204);
}

/// A world whose cell `people` issues tokens for the unit, with these roles for `eve`.
pub fn people(roles: &[&str]) -> (World, String) {
    let world = World::with(&ISSUERS);
    for cell in ["people", "strangers"] {
        world.admin("MKCOL", &format!("/{cell}")).expect(201);
    }
    world.account_in("people", "eve", roles);
    let token = for_the_unit(&world, "people", "eve");
    (world, token)
}

fn for_the_unit(world: &World, cell: &str, name: &str) -> String {
    let unit = world.server.url();
    let form = [("grant_type", "password"), ("username", name), ("password", PASSWORD), ("p_target", &unit)];
    text(&world.grant(cell, &form).expect(200).json(), "access_token")
}

#[test]
fn a_trusted_cell_issues_tokens_of_unit_users() {
    let (world, eve) = people(&[]);
    let send = |token: &str, method: &str, target: &str| world.send(Request::new(method, target).bearer(token));
    world.send(make_cell(Request::new("POST", "/__ctl/Cell").bearer(&eve), "eves")).expect(201);
    assert_eq!(names(&send(&eve, "GET", "/__ctl/Cell")), ["eves"]);
    assert_eq!(outcome(&send(&eve, "GET", "/__ctl/Cell('c')")), "403 PR403-AU-0003");
    assert_eq!(outcome(&send(&eve, "GET", "/eves/__ctl/Role")), "403 PR403-AU-0002", "no role for contents");
    let subject = format!("{}#eve", world.url("people"));
    assert_eq!(names(&world.send(acting(&subject, "GET", "/__ctl/Cell"))), ["eves"], "the same person by name");
    // The header is the administrators'.
    let tried = Request::new("GET", "/__ctl/Cell").bearer(&eve).header("X-Personium-Unit-User", ANNE);
    assert_eq!(names(&world.send(tried)), ["eves"]);

    // A cell that is not trusted issues nothing for the unit.
    world.account_in("strangers", "eve", &["UnitAdmin"]);
    let stranger = for_the_unit(&world, "strangers", "eve");
    assert_eq!(outcome(&send(&stranger, "GET", "/__ctl/Cell")), "403 PR403-AU-0001");
    assert_eq!(outcome(&send(&stranger, "GET", "/eves/__ctl/Role")), "401 PR401-AU-0006");
    // A token for another cell is none for the unit.
    let home = world.url("c");
    let form = [("grant_type", "password"), ("username", "eve"), ("password", PASSWORD), ("p_target", &home)];
    let abroad = text(&world.grant("people", &form).expect(200).json(), "access_token");
    assert_eq!(outcome(&send(&abroad, "GET", "/__ctl/Cell")), "403 PR403-AU-0001");
}

#[test]
fn roles_in_the_trusted_cell_say_what_a_unit_user_may() {
    for (roles, others, read, write) in [
        (&[][..], "403 PR403-AU-0003", "403 PR403-AU-0002", "403 PR403-AU-0002"),
        (&["CellContentsReader"], "403 PR403-AU-0003", "200", "403 PR403-AU-0002"),
        (&["CellContentsAdmin"], "403 PR403-AU-0003", "200", "201"),
        (&["UnitAdmin"], "200", "403 PR403-AU-0002", "403 PR403-AU-0002"),
        (&["UnitAdmin", "CellContentsAdmin"], "200", "200", "201"),
    ] {
        let (world, eve) = people(roles);
        let send = |method: &str, target: &str| {
            let request = Request::new(method, target).bearer(&eve);
            outcome(&world.send(if method == "GET" { request } else { request.body(r#"{"Name":"r"}"#) }))
        };
        assert_eq!(send("MKCOL", "/eves").split(' ').next(), Some("415"), "a body is none of a cell's");
        world.send(Request::new("MKCOL", "/eves").bearer(&eve)).expect(201);
        assert_eq!(send("GET", "/__ctl/Cell('c')"), others, "{roles:?}");
        assert_eq!(send("GET", "/eves/__ctl/Role"), read, "{roles:?}");
        assert_eq!(send("POST", "/eves/__ctl/Role"), write, "{roles:?}");
        assert_eq!(send("PUT", "/eves/__/f"), write, "{roles:?}");
        let export = send("GET", "/eves/__export");
        assert_eq!(export == "200", write == "201", "{roles:?}: a reader does not export: {export}");
        let everywhere = roles.contains(&"UnitAdmin") && write == "201";
        assert_eq!(send("GET", "/c/__ctl/Role") == "200", everywhere, "{roles:?}");
        assert_eq!(send("GET", "/c/b") == "200", everywhere, "{roles:?}");
        if roles.contains(&"UnitAdmin") {
            let named = Request::new("MKCOL", "/annes").bearer(&eve).header("X-Personium-Unit-User", ANNE);
            world.send(named).expect(201);
            assert_eq!(names(&world.send(acting(ANNE, "GET", "/__ctl/Cell"))), ["annes"]);
        }
    }
}

#[test]
fn a_unit_users_token_ends_with_its_account_and_its_login() {
    for end in ["revoked", "deactivated", "removed", "renamed"] {
        let (world, eve) = people(&["UnitAdmin"]);
        let list = || outcome(&world.send(Request::new("GET", "/__ctl/Cell").bearer(&eve)));
        assert_eq!(list(), "200");
        let account = Request::new("MERGE", "/people/__ctl/Account('eve')").bearer(TOKEN);
        let reply = match end {
            "revoked" => {
                let form = super::encoded(&[("token", &eve)]);
                world.send(Request::new("POST", "/people/__token/revoke").body(form)).expect(200)
            }
            "deactivated" => world.send(account.body(r#"{"Name":"eve","Status":"deactivated"}"#)).expect(204),
            "renamed" => world.send(account.body(r#"{"Name":"adam"}"#)).expect(204),
            _ => world.admin("DELETE", "/people/__ctl/Account('eve')").expect(204),
        };
        assert!(reply.status < 300);
        let expected = if end == "revoked" { "401 PR401-AU-0002" } else { "401 PR401-AU-0001" };
        assert_eq!(list(), expected, "{end}");
    }
}

#[test]
fn an_account_speaks_for_the_owner_where_the_cell_says_so() {
    let world = World::new();
    world.send(acting(ANNE, "MKCOL", "/hers")).expect(201);
    world.send(acting(ANNE, "MKCOL", "/hers-too")).expect(201);
    world.send(acting(BEN, "MKCOL", "/his")).expect(201);
    for cell in ["hers", "c"] {
        world.account_in(cell, "agent", &[]);
        world.account_in(cell, "other", &[]);
        let patch = "<D:propertyupdate xmlns:D=\"DAV:\" xmlns:p=\"urn:x-personium:xmlns\"><D:set><D:prop>\
             <p:ownerRepresentativeAccounts><p:account>agent</p:account></p:ownerRepresentativeAccounts>\
             </D:prop></D:set></D:propertyupdate>";
        let patch = Request::new("PROPPATCH", &format!("/{cell}")).bearer(TOKEN).body(patch);
        world.send(patch).expect(207);
    }
    let ask = |cell: &str, name: &str| {
        let form = [("grant_type", "password"), ("username", name), ("password", PASSWORD), ("p_owner", "true")];
        world.grant(cell, &form)
    };
    assert!(ask("hers", "other").expect(400).text().contains("PR400-AN-0014"));
    assert!(ask("c", "agent").expect(400).text().contains("PR400-AN-0015"), "that cell belongs to nobody");
    let answer = ask("hers", "agent").expect(200).json();
    let token = text(&answer, "access_token");
    assert!(token.starts_with("AU~") && answer["refresh_token"].is_null(), "{answer}");
    let send = |method: &str, target: &str| world.send(Request::new(method, target).bearer(&token));
    assert_eq!(names(&send("GET", "/__ctl/Cell")), ["hers", "hers-too"]);
    assert_eq!(outcome(&send("GET", "/__ctl/Cell('his')")), "403 PR403-AU-0003");
    assert_eq!(outcome(&send("GET", "/hers/__ctl/Role")), "403 PR403-AU-0002");
    send("MKCOL", "/hers-three").expect(201);
    assert_eq!(names(&world.send(acting(ANNE, "GET", "/__ctl/Cell"))), ["hers", "hers-too", "hers-three"]);
    world.admin("DELETE", "/hers/__ctl/Account('agent')").expect(204);
    assert_eq!(outcome(&send("GET", "/__ctl/Cell")), "401 PR401-AU-0001");
}
