//! A whole app, from its installation to its refusal: app cell, user cell, a bar that grants a role, login, exchange of tokens,
//! reading and writing within the grant.

use std::io::Write as _;

use serde_json::{Value, json};

use super::{PASSWORD, World, encoded, outcome, text};
use crate::client::Request;
use crate::harness::TOKEN;

/// A bar whose box grants its role `editor` reading and writing, to apps of its schema alone.
pub fn bar(schema: &str) -> Vec<u8> {
    let rootprops = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
         <D:multistatus xmlns:D=\"DAV:\" xmlns:p=\"urn:x-personium:xmlns\"><D:response><D:href>personium-localbox:/</D:href><D:propstat><D:prop>\
         <D:resourcetype><D:collection/></D:resourcetype>\
         <D:acl xml:base=\"{schema}__role/__/\" p:requireSchemaAuthz=\"public\"><D:ace><D:principal><D:href>editor</D:href></D:principal>\
         <D:grant><D:privilege><D:read/></D:privilege><D:privilege><D:write/></D:privilege></D:grant></D:ace></D:acl>\
         </D:prop></D:propstat></D:response></D:multistatus>"
    );
    let manifest = json!({ "bar_version": "2", "box_version": "1", "default_path": "notes", "schema": schema });
    let mut out = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for directory in ["00_meta/", "90_contents/"] {
        out.add_directory(directory, options).expect("a directory");
    }
    for (name, content) in [
        ("00_meta/00_manifest.json", manifest.to_string()),
        ("00_meta/20_roles.json", json!({ "Roles": [{ "Name": "editor" }] }).to_string()),
        ("00_meta/90_rootprops.xml", rootprops),
    ] {
        out.start_file(name, options).expect("a member");
        out.write_all(content.as_bytes()).expect("its content");
    }
    out.finish().expect("a bar").into_inner()
}

fn grant(world: &World, cell: &str, form: &[(&str, &str)]) -> Value {
    world.grant(cell, form).expect(200).json()
}

#[test]
fn an_app_acts_for_people_within_what_they_granted() {
    let world = World::new();
    for cell in ["app", "friend"] {
        world.admin("MKCOL", &format!("/{cell}")).expect(201);
    }
    let (app, home, friend) = (world.url("app"), world.url("c"), world.url("friend"));
    world.account_in("app", "client", &[]);
    world.account_in("friend", "bob", &[]);
    world.account("alice", &[]);

    // Alice installs the app, and takes its role.
    let owner = world.user("owner", &["installer"]);
    world.allow("", &[("installer", &["box-install", "auth"])]);
    let install = Request::new("MKCOL", "/c/notes").bearer(&owner).header("Content-Type", "application/zip");
    world.send(install.body(bar(&app))).expect(202);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while world.admin("GET", "/c/notes").expect(200).json()["box"]["status"] != "ready" {
        assert!(std::time::Instant::now() < end, "{}", world.admin("GET", "/c/notes").text());
        std::thread::yield_now();
    }
    world.link("c", "Account('alice')/$links/_Role", "Role(Name='editor',_Box.Name='notes')");

    // The app proves who it is; alice's password alone does not open its box.
    let client = [("grant_type", "password"), ("username", "client"), ("password", PASSWORD), ("p_target", &home)];
    let secret = text(&grant(&world, "app", &client), "access_token");
    let person = [("grant_type", "password"), ("username", "alice"), ("password", PASSWORD)];
    let plain = text(&grant(&world, "c", &person), "access_token");
    assert_eq!(outcome(&world.ask(&plain, "GET", "notes")), "403 PR403-AU-0004");
    let as_app = [&person[..], &[("client_id", &app), ("client_secret", &secret)]].concat();
    let answer = grant(&world, "c", &as_app);
    let token = text(&answer, "access_token");
    let put = |token: &str, path: &str| {
        outcome(&world.send(Request::new("PUT", &format!("/c/{path}")).bearer(token).body("note")))
    };
    assert_eq!(put(&token, "notes/one.txt"), "201");
    assert_eq!(world.ask(&token, "GET", "notes/one.txt").expect(200).body, b"note");
    assert_eq!(put(&token, "b/one.txt"), "403 PR403-AU-0002", "another box");
    assert_eq!(outcome(&world.ask(&token, "GET", "__ctl/Role")), "403 PR403-AU-0002");
    assert_eq!(outcome(&world.ask(&token, "DELETE", "notes")), "403 PR403-AU-0002");
    let found = world.ask(&token, "GET", "__box").expect(200).json();
    assert_eq!(found, json!({ "Url": format!("{home}notes/") }));

    // It goes on with the refresh token, still as the app.
    let refresh = text(&answer, "refresh_token");
    let renewed = grant(&world, "c", &[("grant_type", "refresh_token"), ("refresh_token", &refresh)]);
    assert_eq!(put(&text(&renewed, "access_token"), "notes/two.txt"), "201");

    // Bob, of another cell, exchanges his token and has what alice granted his cell.
    let bob = [("grant_type", "password"), ("username", "bob"), ("password", PASSWORD), ("p_target", &home)];
    let abroad = text(&grant(&world, "friend", &bob), "access_token");
    let visit = [("grant_type", "urn:ietf:params:oauth:grant-type:saml2-bearer"), ("assertion", &abroad)];
    let visit = [&visit[..], &[("client_id", &app), ("client_secret", &secret)]].concat();
    let before = text(&grant(&world, "c", &visit), "access_token");
    assert_eq!(outcome(&world.ask(&before, "GET", "notes/one.txt")), "403 PR403-AU-0002", "nothing was granted yet");
    world.make("ExtCell", &json!({ "Url": friend })).expect(201);
    world.make("Relation", &json!({ "Name": "friends" })).expect(201);
    let key = encoded(&[("", &friend)]).replacen('=', "", 1);
    world.link("c", "Relation('friends')/$links/_ExtCell", &format!("ExtCell('{key}')"));
    world.link("c", "Relation('friends')/$links/_Role", "Role(Name='editor',_Box.Name='notes')");
    let visitor = grant(&world, "c", &visit);
    let token = text(&visitor, "access_token");
    assert_eq!(world.ask(&token, "GET", "notes/one.txt").expect(200).body, b"note");
    let renewed = [("grant_type", "refresh_token"), ("refresh_token", &*text(&visitor, "refresh_token"))];
    world.ask(&text(&grant(&world, "c", &renewed), "access_token"), "GET", "notes/one.txt").expect(200);
    // What is taken away is gone with the next token.
    let unlink = format!("Relation('friends')/$links/_ExtCell('{key}')");
    world.send(Request::new("DELETE", &format!("/c/__ctl/{unlink}")).bearer(TOKEN)).expect(204);
    let stale = text(&grant(&world, "c", &renewed), "access_token");
    assert_eq!(outcome(&world.ask(&stale, "GET", "notes/one.txt")), "403 PR403-AU-0002");
    world.link("c", "Relation('friends')/$links/_ExtCell", &format!("ExtCell('{key}')"));
    // With the token for another cell itself he comes without an app.
    assert_eq!(outcome(&world.ask(&abroad, "GET", "notes/one.txt")), "403 PR403-AU-0004");
    assert_eq!(outcome(&world.send(Request::new("GET", "/friend/__").bearer(&abroad))), "401 PR401-AU-0006");
    let elsewhere = [("grant_type", "urn:ietf:params:oauth:grant-type:saml2-bearer"), ("assertion", &*abroad)];
    let refused = world.grant("app", &elsewhere).expect(400).json();
    assert!(text(&refused, "error_description").starts_with("[PR400-AN-0012]"), "{refused}");

    // Taking the role away ends it at once.
    let links = "Account('alice')/$links/_Role(Name='editor',_Box.Name='notes')";
    world.send(Request::new("DELETE", &format!("/c/__ctl/{links}")).bearer(TOKEN)).expect(204);
    let alice = text(&grant(&world, "c", &as_app), "access_token");
    assert_eq!(outcome(&world.ask(&alice, "GET", "notes/one.txt")), "403 PR403-AU-0002");
}

#[test]
fn external_roles_open_what_the_relation_grants() {
    for form in ["", "personium-localunit:friend:/", "personium-localunit:/friend/"] {
        external_roles_by(form);
    }
}

/// `form`: how the URL of the role's cell is written; its http URL if it is empty.
fn external_roles_by(form: &str) {
    let world = World::new();
    world.admin("MKCOL", "/friend").expect(201);
    let (home, friend) = (world.url("c"), world.url("friend"));
    world.account_in("friend", "boss", &["boss"]);
    world.account_in("friend", "clerk", &[]);
    world.make("ExtCell", &json!({ "Url": friend })).expect(201);
    world.make("Relation", &json!({ "Name": "partner" })).expect(201);
    let role = format!("{}__role/__/boss", if form.is_empty() { &friend } else { form });
    world.make("ExtRole", &json!({ "ExtRole": role, "_Relation.Name": "partner" })).expect(201);
    world.make("Role", &json!({ "Name": "reader" })).expect(201);
    world.allow("b", &[("reader", &["read"])]);
    let key = |url: &str| encoded(&[("", url)]).replacen('=', "", 1);
    world.link("c", "Relation('partner')/$links/_ExtCell", &format!("ExtCell('{}')", key(&friend)));
    let ext_role = format!("ExtRole(ExtRole='{}',_Relation.Name='partner')", key(&role));
    world.link("c", &format!("{ext_role}/$links/_Role"), "Role('reader')");
    let visit = |account: &str| {
        let form = [("grant_type", "password"), ("username", account), ("password", PASSWORD), ("p_target", &home)];
        outcome(&world.ask(&text(&grant(&world, "friend", &form), "access_token"), "GET", "b"))
    };
    assert_eq!(visit("boss"), "200");
    assert_eq!(visit("clerk"), "403 PR403-AU-0002");
}
