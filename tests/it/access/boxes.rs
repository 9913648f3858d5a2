//! What lists grant in boxes: inheritance, everybody, levels of schema authentication, both ends of MOVE and COPY, listings.

use serde_json::json;

use super::{PASSWORD, World, encoded, outcome, text};
use crate::client::{Reply, Request};
use crate::harness::TOKEN;

/// A world with `b/col/f` and `b/col/sub/g`.
fn tree() -> World {
    grown(World::new())
}

fn tree_at(root: &std::path::Path) -> World {
    grown(World::at(root))
}

fn grown(world: World) -> World {
    for path in ["b/col", "b/col/sub"] {
        world.admin("MKCOL", &format!("/c/{path}")).expect(201);
    }
    for path in ["b/col/f", "b/col/sub/g"] {
        world.send(Request::new("PUT", &format!("/c/{path}")).bearer(TOKEN).body("x")).expect(201);
    }
    world
}

fn names(reply: &Reply) -> Vec<String> {
    let text = reply.text();
    let hrefs = text.split("<D:response><D:href>").skip(1).map(|part| part.split('<').next().unwrap_or_default());
    hrefs.map(|href| href.rsplit('/').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn grants_hold_below_and_every_list_only_adds() {
    let world = tree();
    let token = world.user("a", &["r"]);
    let get = |path: &str| outcome(&world.ask(&token, "GET", path));
    for (list, grants) in
        [("b/col/sub/g", "read"), ("b/col/sub", "all"), ("b/col", "read"), ("b", "read"), ("", "root")]
    {
        world.allow(list, &[("r", &[grants])]);
        assert_eq!(get("b/col/sub/g"), "200", "{grants} on {list:?}");
        world.allow(list, &[("r", &["write"])]);
        assert_eq!(get("b/col/sub/g"), "403 PR403-AU-0002", "write on {list:?}");
        world.allow(list, &[]);
    }
    world.allow("", &[("r", &["auth", "box", "social"])]);
    assert_eq!(get("b/col/f"), "403 PR403-AU-0002", "what cells know does not reach into boxes");
}

#[test]
fn everybody_may_what_all_is_granted_but_root_for_all_stays_at_the_cell() {
    let world = tree();
    let token = world.user("a", &[]);
    world.allow("b/col", &[("*", &["read"])]);
    for request in [
        Request::new("GET", "/c/b/col/f"),
        Request::new("GET", "/c/b/col/f").bearer("nonsense"),
        Request::new("GET", "/c/b/col/f").basic("nobody", "wrong-word"),
        Request::new("GET", "/c/b/col/f").bearer(&token),
    ] {
        world.send(request).expect(200);
    }
    assert_eq!(outcome(&world.server.anonymous("GET", "/c/b")), "401 PR401-AU-0001");
    assert_eq!(outcome(&world.server.anonymous("PUT", "/c/b/col/f")), "401 PR401-AU-0001");
    world.allow("b/col", &[]);
    world.allow("", &[("*", &["root"])]);
    assert_eq!(outcome(&world.ask(&token, "GET", "b/col/f")), "403 PR403-AU-0002");
    world.ask(&token, "GET", "__ctl/Role").expect(200);
}

#[test]
fn a_change_counts_for_the_next_request_whoever_made_it() {
    let world = tree();
    let token = world.user("a", &["r"]);
    let mut connection = world.server.connect();
    let mut get = || connection.send(&Request::new("GET", "/c/b/col/f").bearer(&token)).status;
    for _ in 0..50 {
        world.allow("b", &[("r", &["read"])]);
        assert_eq!(get(), 200);
        world.allow("b", &[]);
        assert_eq!(get(), 403);
    }
    world.allow("b", &[("r", &["read"])]);
    world.admin("DELETE", "/c/__ctl/Account('a')/$links/_Role('r')").expect(204);
    assert_eq!(get(), 403);
    world.link("c", "Role('r')/$links/_Account", "Account('a')");
    assert_eq!(get(), 200);
    world.admin("DELETE", "/c/__ctl/Role('r')").expect(204);
    assert_eq!(get(), 403);
    world.make("Role", &json!({ "Name": "r" })).expect(201);
    world.link("c", "Role('r')/$links/_Account", "Account('a')");
    assert_eq!(get(), 403, "a new role of the name is another role");
}

/// Flips of `another_process_changes_lists_and_no_answer_is_stale`.
const FLIPS: usize = 10_000;

/// The server is one process, this test another, both on one root; half of the flips are of the list, half of the role. The root
/// is in memory where that is possible: what is shown is order, not durability.
#[test]
fn another_process_changes_lists_and_no_answer_is_stale() {
    use cellar::domain::acl::{Privilege, Privileges};
    use cellar::storage::Unit;
    use cellar::storage::cell::Limits;
    use cellar::storage::database::acl::{Ace, Acl};
    use cellar::storage::database::control::ObjectKind;
    use cellar::storage::unit::Role;
    use cellar::storage::writer::{Change, Context};

    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory");
    let world = tree_at(&folder.path().join("unit"));
    let token = world.user("a", &["r"]);
    let drive = world.drive_password("laptop", "a", None);
    world.allow("b/col", &[("r", &["read-properties"])]);
    let unit = Unit::open(world.server.root(), Role::Tool, Limits::default()).expect("the unit");
    let cell = unit.cell("c").expect("the cell");
    let mut connection = world.server.connect();
    let get = Request::new("GET", "/c/b/col/f");
    let requests = [get.clone().bearer(&token), get.basic("a", &drive)];
    let (mut listed, mut linked) = (false, true);
    for round in 0..FLIPS {
        // Each flip turns the answer.
        let of_the_list = matches!(round % 4, 0 | 3);
        if of_the_list {
            listed = !listed;
        } else {
            linked = !linked;
        }
        let flip = Change(move |ctx: &Context<'_>| {
            let role = ctx.tx.object(ObjectKind::Role, "r", 0)?.expect("the role");
            let account = ctx.tx.object(ObjectKind::Account, "a", 0)?.expect("the account");
            let link = ((ObjectKind::Account, account.id), (ObjectKind::Role, role.id));
            if !of_the_list {
                return if linked { ctx.tx.insert_link(link.0, link.1) } else { ctx.tx.remove_link(link.0, link.1) };
            }
            let privilege = if listed { Privilege::Read } else { Privilege::Exec };
            let privileges: Privileges = [privilege].into_iter().collect();
            let ace = Ace { role: Some(role.id), privileges: privileges.bits() as i64 };
            let collection = ctx.tx.cell_box("b")?.expect("the box").id;
            let row = ctx.tx.resource(collection)?.expect("its root");
            ctx.tx.set_resource_acl(&row, &Acl { require_schema: None, aces: vec![ace] })
        });
        cell.change(flip).expect("a change");
        let expected = if listed && linked { 200 } else { 403 };
        for request in &requests {
            assert_eq!(connection.send(request).status, expected, "round {round}: {request:?}");
        }
    }
}

const LACKING: &str = "403 PR403-AU-0002";

#[test]
fn both_ends_of_move_and_copy_are_asked() {
    let world = tree();
    let token = world.user("a", &["r"]);
    let transfer = |method: &str, to: &str| {
        let request = Request::new(method, "/c/b/col/f").bearer(&token).header("Destination", to);
        let reply = world.send(request);
        if reply.status < 300 && method == "MOVE" {
            world.send(Request::new("MOVE", to).bearer(TOKEN).header("Destination", "/c/b/col/f")).expect(201);
        }
        outcome(&reply)
    };
    for (here, there, moved, copied) in [
        (&["unbind"][..], &[][..], LACKING, LACKING),
        (&["bind"], &["bind"], LACKING, LACKING),
        (&["unbind"], &["unbind"], LACKING, LACKING),
        (&["read"], &["bind"], LACKING, "201"),
        (&["unbind"], &["bind"], "201", LACKING),
    ] {
        world.allow("b/col", &[("r", here)]);
        world.allow("b/col/sub", &[("r", there)]);
        assert_eq!(transfer("MOVE", "/c/b/col/sub/new"), moved, "MOVE {here:?} {there:?}");
        assert_eq!(transfer("COPY", "/c/b/col/sub/new"), copied, "COPY {here:?} {there:?}");
        world.admin("DELETE", "/c/b/col/sub/new");
    }
    // Replacing takes away what was there.
    world.allow("b/col", &[("r", &["read"])]);
    world.allow("b/col/sub", &[("r", &["bind"])]);
    assert_eq!(transfer("COPY", "/c/b/col/sub/g"), LACKING);
    world.allow("b/col/sub", &[("r", &["bind", "unbind"])]);
    assert_eq!(transfer("COPY", "/c/b/col/sub/g"), "204");
}

#[test]
fn a_token_of_one_cell_carries_nothing_into_another() {
    let world = tree();
    world.admin("MKCOL", "/d").expect(201);
    let token = world.user("a", &["r"]);
    world.allow("", &[("r", &["root"])]);
    for method in ["MOVE", "COPY"] {
        let request = Request::new(method, "/c/b/col/f").bearer(&token).header("Destination", "/d/__/f");
        assert_eq!(outcome(&world.send(request)), "401 PR401-AU-0006", "{method}");
    }
    world.ask(&token, "GET", "b/col/f").expect(200);
    world.admin("GET", "/d/__/f").expect(404);
}

#[test]
fn a_copy_does_not_lead_around_what_a_list_asks_of_apps() {
    let world = tree();
    let token = world.user("a", &["r"]);
    world.allow("b", &[("r", &["all"])]);
    world.set_acl("c", "b/col/sub", &[], "p:requireSchemaAuthz=\"confidential\"").expect(200);
    world.admin("MKCOL", "/d").expect(201);
    let copy =
        |from: &str| outcome(&world.send(Request::new("COPY", from).bearer(&token).header("Destination", "/c/b/copy")));
    assert_eq!(copy("/c/b/col/sub/g"), "403 PR403-AU-0006");
    assert_eq!(copy("/c/b/col"), "403 PR403-AU-0006");
    assert_eq!(copy("/c/b/col/f"), "201");
}

#[test]
fn a_copy_takes_no_list_along_and_a_move_does() {
    let world = tree();
    let token = world.user("a", &["r"]);
    world.allow("b/col/f", &[("r", &["read"])]);
    let to = |method: &str, from: &str, to: &str| {
        world.send(Request::new(method, from).bearer(TOKEN).header("Destination", to)).expect(201);
    };
    to("COPY", "/c/b/col/f", "/c/b/copy");
    to("MOVE", "/c/b/col/f", "/c/b/moved");
    assert_eq!(outcome(&world.ask(&token, "GET", "b/copy")), "403 PR403-AU-0002");
    world.ask(&token, "GET", "b/moved").expect(200);
}

#[test]
fn a_box_may_ask_for_its_app() {
    let world = World::new();
    for cell in ["app", "other"] {
        world.admin("MKCOL", &format!("/{cell}")).expect(201);
        world.account_in(cell, "client", &["confidentialClient"]);
        world.account_in(cell, "public", &[]);
    }
    let schema = world.url("app");
    world.make("Box", &json!({ "Name": "s", "Schema": schema })).expect(201);
    world.account("a", &["r"]);
    let secret = |app: &str, account: &str| {
        let form =
            [("grant_type", "password"), ("username", account), ("password", PASSWORD), ("p_target", &world.url("c"))];
        text(&world.grant(app, &form).expect(200).json(), "access_token")
    };
    let as_app = |app: &str, account: &str| {
        let (id, secret) = (world.url(app), secret(app, account));
        text(&world.log_in("a", &[("client_id", &id), ("client_secret", &secret)]), "access_token")
    };
    let tokens = [world.token("a"), as_app("other", "client"), as_app("app", "public"), as_app("app", "client")];
    let level = |level: &str| {
        let attributes = format!("p:requireSchemaAuthz=\"{level}\"");
        world.set_acl("c", "s", &[("r", &["read"])], &attributes).expect(200);
    };
    for (asked, outcomes) in [
        ("none", ["200", "200", "200", "200"]),
        ("public", ["403 PR403-AU-0004", "403 PR403-AU-0005", "200", "200"]),
        ("confidential", ["403 PR403-AU-0004", "403 PR403-AU-0005", "403 PR403-AU-0006", "200"]),
    ] {
        level(asked);
        for (token, expected) in tokens.iter().zip(outcomes) {
            assert_eq!(outcome(&world.ask(token, "GET", "s")), expected, "{asked}");
        }
        assert_eq!(outcome(&world.server.anonymous("GET", "/c/s")), "401 PR401-AU-0001");
        assert_eq!(outcome(&world.ask("nonsense", "GET", "s")), "401 PR401-AU-0006");
        world.admin("GET", "/c/s").expect(200);
    }
    // The app of the box finds it, and needs no role for that.
    world.set_acl("c", "s", &[], "").expect(200);
    let found = world.ask(&tokens[2], "GET", "__box").expect(200).json();
    assert_eq!(found, json!({ "Url": format!("{}s/", world.url("c")) }));
    assert_eq!(outcome(&world.ask(&tokens[1], "GET", "__box")), "403 PR403-AU-0002");
    let by_query = encoded(&[("schema", &schema)]);
    assert_eq!(outcome(&world.ask(&tokens[0], "GET", &format!("__box?{by_query}"))), "403 PR403-AU-0002");
    // Without a schema anywhere there is no such box.
    assert_eq!(outcome(&world.ask(&world.token("a"), "GET", "__box")), "403 PR403-AU-0002");
    assert_eq!(outcome(&world.send(Request::new("GET", "/c/__box"))), "403 PR403-AU-0002");
    assert_eq!(outcome(&world.ask(TOKEN, "GET", "__box")), "403 PR403-AU-0002");
    assert_eq!(outcome(&world.ask("nonsense", "GET", "__box")), "401 PR401-AU-0006");
    assert_eq!(outcome(&world.ask(TOKEN, "GET", "__box?schema=")), "400 PR400-OD-0029");
}

#[test]
fn a_schema_is_the_same_however_it_is_written() {
    let world = World::new();
    world.admin("MKCOL", "/app").expect(201);
    let forms = [world.url("app"), "personium-localunit:app:/".to_owned(), "personium-localunit:/app/".to_owned()];
    let merge = |name: &str, schema: &str| {
        let body = json!({ "Schema": schema }).to_string();
        outcome(&world.send(Request::new("MERGE", &format!("/c/__ctl/Box('{name}')")).bearer(TOKEN).body(body)))
    };
    for first in &forms {
        world.make("Box", &json!({ "Name": "one", "Schema": first })).expect(201);
        for second in &forms {
            let made = world.make("Box", &json!({ "Name": "two", "Schema": second }));
            assert_eq!(outcome(&made), "409 PR409-OD-0003", "{first} {second}");
            assert_eq!(merge("b", second), "409 PR409-OD-0003", "{first} {second}");
            assert_eq!(merge("one", second), "204", "its own, {first} {second}");
        }
        world.admin("DELETE", "/c/__ctl/Box('one')").expect(204);
    }
}

#[test]
fn lists_name_roles_by_any_url_of_their_cell() {
    let world =
        World::with(&[("CELLAR_SERVER__PUBLIC_URL", "http://unit1.example/"), ("CELLAR_SERVER__CELL_URLS", "both")]);
    world.make("Role", &json!({ "Name": "r" })).expect(201);
    for url in ["http://c.unit1.example/", "http://unit1.example/c/", "personium-localunit:c:/"] {
        let body = super::acl(url, &[("r", &["read"])], "");
        for (host, path) in [("unit1.example", "/c/b"), ("unit1.example", "/c/"), ("c.unit1.example", "/b")] {
            let request = Request::new("ACL", path).header("Host", host).bearer(TOKEN).body(body.clone());
            assert_eq!(world.send(request).status, 200, "{url} at {host}{path}");
        }
    }
    let elsewhere = super::acl("http://d.unit1.example/", &[("r", &["read"])], "");
    assert_eq!(world.send(Request::new("ACL", "/c/b").bearer(TOKEN).body(elsewhere)).status, 400);
}

#[test]
fn clients_prove_who_they_are() {
    let world = World::new();
    world.admin("MKCOL", "/app").expect(201);
    world.account_in("app", "client", &[]);
    world.account("a", &[]);
    let secret = |target: &str, more: &[(&str, &str)]| {
        let form =
            [&[("grant_type", "password"), ("username", "client"), ("password", PASSWORD), ("p_target", target)], more];
        let answer = world.grant("app", &form.concat()).expect(200);
        assert_eq!(answer.header("location"), Some(format!("{target}__token").as_str()));
        text(&answer.json(), "access_token")
    };
    let log_in = |id: &str, secret: &str| {
        let form = [
            ("grant_type", "password"),
            ("username", "a"),
            ("password", PASSWORD),
            ("client_id", id),
            ("client_secret", secret),
        ];
        let reply = world.grant("c", &form);
        if reply.status == 200 { "200".to_owned() } else { text(&reply.json(), "error_description")[1..14].to_owned() }
    };
    let (app, cell) = (world.url("app"), world.url("c"));
    let good = secret(&cell, &[]);
    assert_eq!(log_in(&app, &good), "200");
    assert_eq!(log_in(&app, ""), "PR400-AN-0003");
    assert_eq!(log_in(&app, &good[..good.len() - 3]), "PR400-AN-0005");
    assert_eq!(log_in(&world.url("c"), &good), "PR400-AN-0006");
    assert_eq!(log_in(&app, &secret("https://elsewhere.example/c/", &[])), "PR400-AN-0007");
    assert_eq!(log_in(&app, &secret(&app, &[])), "PR400-AN-0007");
    let form = encoded(&[("grant_type", "password"), ("username", "a"), ("password", PASSWORD)]);
    for id in [app.clone(), app.replace(':', "%3A").replace('/', "%2F")] {
        world.send(Request::new("POST", "/c/__token").basic(&id, &good).body(form.clone())).expect(200);
    }
    let assertion = encoded(&[
        ("grant_type", "password"),
        ("username", "a"),
        ("password", PASSWORD),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"),
        ("client_assertion", &good),
    ]);
    world.send(Request::new("POST", "/c/__token").body(assertion)).expect(200);
}

#[test]
fn listings_show_what_may_be_read() {
    let world = tree();
    world.admin("MKCOL", "/c/other").expect(201);
    let token = world.user("a", &["r"]);
    let list =
        |path: &str| world.send(Request::new("PROPFIND", &format!("/c/{path}")).bearer(&token).header("Depth", "1"));
    world.allow("", &[("r", &["propfind"])]);
    world.allow("other", &[("r", &["read"])]);
    assert_eq!(names(&list("").expect(207)), ["c", "other"]);
    world.allow("", &[("r", &["propfind", "box-read"])]);
    assert_eq!(names(&list("").expect(207)), ["c", "__", "b", "other"]);
    world.allow("", &[("r", &["root"])]);
    assert_eq!(names(&list("").expect(207)), ["c", "__", "b", "other", "__snapshot"]);
    world.allow("", &[]);
    world.allow("b", &[("r", &["read-properties"])]);
    world.set_acl("c", "b/col/sub", &[], "p:requireSchemaAuthz=\"public\"").expect(200);
    assert_eq!(names(&list("b/col").expect(207)), ["col", "f"]);
    assert_eq!(outcome(&list("b/col/sub")), "403 PR403-AU-0006");
    let sync = "<D:sync-collection xmlns:D=\"DAV:\"><D:sync-token/><D:sync-level>1</D:sync-level><D:prop/></D:sync-collection>";
    let report = Request::new("REPORT", "/c/b/col").bearer(&token).header("Depth", "0").body(sync);
    assert_eq!(names(&world.send(report).expect(207)), ["f"]);
}

#[test]
fn lists_are_shown_to_those_who_may_see_them() {
    let world = tree();
    let token = world.user("a", &["r"]);
    let propfind = |path: &str, body: &str| {
        world.send(Request::new("PROPFIND", &format!("/c/{path}")).bearer(&token).header("Depth", "0").body(body))
    };
    world.allow("", &[("r", &["propfind"])]);
    world.allow("b/col/f", &[("r", &["read-properties"])]);
    let by_name = "<propfind xmlns=\"DAV:\"><prop><acl/><getetag/></prop></propfind>";
    assert!(!propfind("b/col/f", "").expect(207).text().contains("<D:acl"));
    let named = propfind("b/col/f", by_name).expect(207);
    assert!(named.text().contains("<D:acl/></D:prop><D:status>HTTP/1.1 403 Forbidden"), "{}", named.text());
    assert!(!propfind("", "").expect(207).text().contains("<D:acl"));
    world.allow("", &[("r", &["propfind", "acl-read"])]);
    world.allow("b/col/f", &[("r", &["read-properties", "read-acl"])]);
    assert!(propfind("b/col/f", "").expect(207).text().contains("<D:read-acl/>"));
    assert!(propfind("", "").expect(207).text().contains("<p:acl-read/>"));
}

#[test]
fn who_loses_the_privilege_while_a_bar_comes_in_installs_nothing() {
    let world = World::new();
    let user = world.user("a", &["installer"]);
    world.allow("", &[("installer", &["box-install"])]);
    let bar = super::scenario::bar(&world.url("app"));
    let install = Request::new("MKCOL", "/c/notes").bearer(&user).header("Content-Type", "application/zip");
    let install = install.header("Expect", "100-continue").body(bar.clone());
    let mut connection = world.server.connect();
    connection.start(&install).expect("sent");
    assert_eq!(connection.head().expect("an interim answer").0, 100, "the request was let in");
    world.allow("", &[("installer", &["box-read"])]);
    connection.write(&bar).expect("sent");
    let reply = connection.reply("MKCOL").expect("an answer");
    assert_eq!(outcome(&reply), "403 PR403-AU-0002");
    assert_eq!(outcome(&world.admin("GET", "/c/notes")), "404 PR404-DV-0002");
    world.allow("", &[("installer", &["box-install"])]);
    world.send(install).expect(202);
}
