//! Accounts as control objects, and their passwords.

use serde_json::json;

use super::{PASSWORD, World, outcome, text};
use crate::client::Request;
use crate::harness::TOKEN;

fn put(world: &World, path: &str, method: &str, body: &serde_json::Value, password: Option<&str>) -> String {
    let mut request = Request::new(method, &format!("/c/__ctl/{path}")).bearer(TOKEN).body(body.to_string());
    if let Some(password) = password {
        request = request.header("X-Personium-Credential", password);
    }
    outcome(&world.send(request))
}

fn login(world: &World, name: &str, password: &str) -> String {
    let form = [("grant_type", "password"), ("username", name), ("password", password)];
    let reply = world.grant("c", &form);
    if reply.status == 200 { "200".to_owned() } else { text(&reply.json(), "error_description") }
}

const FAILED: &str = "[PR400-AN-0017] - Authentication failed.";

#[test]
fn an_account_is_shown_without_its_password() {
    let world = World::new();
    let made = world.make("Account", &json!({ "Name": "user", "IPAddressRange": "10.0.0.0/8" })).expect(201).json();
    let entity = &made["d"]["results"];
    assert_eq!(
        (&entity["Type"], &entity["Status"], &entity["Cell"]),
        (&json!("basic"), &json!("active"), &json!(null))
    );
    assert_eq!(entity["__metadata"]["type"], "CellCtl.Account");
    for path in ["/c/__ctl/Account('user')", "/c/__ctl/Account"] {
        let shown = world.admin("GET", path).expect(200);
        for secret in [PASSWORD, "argon2", "hash"] {
            assert!(!shown.text().contains(secret), "{}", shown.text());
        }
    }
    let row: String = {
        let path = world.server.root().join("cells/c/cell.db");
        let db = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).expect("rows");
        db.query_row("SELECT hash FROM account WHERE name='user'", [], |r| r.get(0)).expect("a hash")
    };
    assert!(row.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{row}");
}

#[test]
fn values_that_an_account_cannot_have_are_refused() {
    let world = World::new();
    for (body, code) in [
        (json!({ "Name": "_user" }), "400 PR400-OD-0006"),
        (json!({ "Name": "" }), "400 PR400-OD-0006"),
        (json!({}), "400 PR400-OD-0009"),
        (json!({ "Name": "a", "Status": "sleeping" }), "400 PR400-OD-0006"),
        (json!({ "Name": "a", "Type": "" }), "400 PR400-OD-0006"),
        (json!({ "Name": "a", "IPAddressRange": "10.0.0.256" }), "400 PR400-OD-0006"),
        (json!({ "Name": "a", "Cell": "nowhere" }), "400 PR400-OD-0006"),
        (json!({ "Name": "a", "Password": "secret" }), "400 PR400-OD-0007"),
    ] {
        assert_eq!(put(&world, "Account", "POST", &body, Some(PASSWORD)), code, "{body}");
    }
    for password in ["short", &"x".repeat(33), "with space"] {
        assert_eq!(put(&world, "Account", "POST", &json!({ "Name": "a" }), Some(password)), "400 PR400-AU-0001");
    }
    assert_eq!(put(&world, "Account('a')", "MERGE", &json!({}), None), "404 PR404-OD-0002");
    assert_eq!(put(&world, "Account", "POST", &json!({ "Name": "a" }), None), "201");
    assert_eq!(put(&world, "Account", "POST", &json!({ "Name": "a" }), None), "409 PR409-OD-0003");
    assert_eq!(login(&world, "a", PASSWORD), FAILED, "an account without password opens nothing");
}

#[test]
fn put_replaces_merge_keeps_and_the_password_stays_without_the_header() {
    let world = World::new();
    world.make("Account", &json!({ "Name": "a", "IPAddressRange": "127.0.0.1" })).expect(201);
    assert_eq!(put(&world, "Account('a')", "MERGE", &json!({ "Status": "deactivated" }), None), "204");
    let shown = world.admin("GET", "/c/__ctl/Account('a')").expect(200).json();
    assert_eq!(shown["d"]["results"]["IPAddressRange"], "127.0.0.1");
    assert_eq!(login(&world, "a", PASSWORD), FAILED);
    assert_eq!(put(&world, "Account('a')", "PUT", &json!({ "Name": "b" }), None), "204");
    let shown = world.admin("GET", "/c/__ctl/Account('b')").expect(200).json();
    assert_eq!(shown["d"]["results"]["IPAddressRange"], json!(null));
    assert_eq!(login(&world, "b", PASSWORD), "200");
    assert_eq!(put(&world, "Account('b')", "MERGE", &json!({}), Some("other-word")), "204");
    assert_eq!(login(&world, "b", "other-word"), "200");
    assert_eq!(login(&world, "b", PASSWORD), FAILED);
    let stale = Request::new("MERGE", "/c/__ctl/Account('b')").bearer(TOKEN).header("If-Match", "W/\"1-1\"");
    assert_eq!(outcome(&world.send(stale.body("{}"))), "412 PR412-OD-0002");
}

#[test]
fn deleting_an_account_ends_its_tokens_and_links() {
    let world = World::new();
    let token = world.user("a", &["r"]);
    world.allow("b", &[("r", &["read"])]);
    world.ask(&token, "GET", "b").expect(200);
    world.admin("DELETE", "/c/__ctl/Account('a')").expect(204);
    assert_eq!(outcome(&world.ask(&token, "GET", "b")), "401 PR401-AU-0001");
    world.account("a", &["r"]);
    assert_eq!(outcome(&world.ask(&token, "GET", "b")), "401 PR401-AU-0001", "another account of that name");
    let links = world.admin("GET", "/c/__ctl/Role('r')/$links/_Account").expect(200).json();
    assert_eq!(links["d"]["results"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_cell_with_an_account_is_not_empty() {
    let world = World::new();
    world.admin("MKCOL", "/d").expect(201);
    world.account_in("d", "a", &[]);
    assert_eq!(outcome(&world.admin("DELETE", "/__ctl/Cell('d')")), "409 PR409-OD-0001");
}

#[test]
fn people_change_their_own_password() {
    let world = World::new();
    let token = world.user("a", &[]);
    let change = |token: &str, password: Option<&str>| {
        let mut request = Request::new("PUT", "/c/__mypassword").bearer(token);
        if let Some(password) = password {
            request = request.header("X-Personium-Credential", password);
        }
        outcome(&world.send(request))
    };
    assert_eq!(change(&token, None), "400 PR400-AU-0003");
    assert_eq!(change(&token, Some("short")), "400 PR400-AU-0001");
    assert_eq!(change("nonsense", Some("new-word")), "401 PR401-AU-0006");
    assert_eq!(change(TOKEN, Some("new-word")), "403 PR403-AU-0002");
    let narrow = text(&world.log_in("a", &[("scope", "auth-read")]), "access_token");
    assert_eq!(change(&narrow, Some("new-word")), "403 PR403-AU-0007");
    let basic =
        Request::new("PUT", "/c/__mypassword").basic("a", PASSWORD).header("X-Personium-Credential", "new-word");
    assert_eq!(outcome(&world.send(basic)), "401 PR401-AU-0001");
    assert_eq!(change(&token, Some("new-word")), "204");
    assert_eq!(login(&world, "a", "new-word"), "200");
}

#[test]
fn a_password_that_must_be_changed_is_good_for_that_alone() {
    let world = World::new();
    world.make("Account", &json!({ "Name": "a", "Status": "passwordChangeRequired" })).expect(201);
    let form = [("grant_type", "password"), ("username", "a"), ("password", PASSWORD)];
    let reply = world.grant("c", &form).expect(401);
    let body = reply.json();
    assert_eq!(text(&body, "error_description"), "[PR401-AN-0023] - The password should be changed.");
    assert_eq!(text(&body, "url"), format!("{}__mypassword", world.url("c")));
    assert_eq!((&body["last_authenticated"], &body["failed_count"]), (&json!(null), &json!(0)));
    let token = text(&body, "access_token");
    assert_eq!(outcome(&world.ask(&token, "GET", "b")), "401 PR401-AU-0012");
    assert_eq!(outcome(&world.ask(&token, "GET", "__ctl/Box")), "403 PR403-AU-0002");
    let change = Request::new("PUT", "/c/__mypassword").bearer(&token).header("X-Personium-Credential", "new-word");
    world.send(change).expect(204);
    assert_eq!(login(&world, "a", "new-word"), "200");
    let shown = world.admin("GET", "/c/__ctl/Account('a')").expect(200).json();
    assert_eq!(shown["d"]["results"]["Status"], "active");
}

#[test]
fn hashes_that_came_from_elsewhere_are_verified_and_renewed() {
    let world = World::with(&[("CELLAR_AUTH__REFERENCE_SALT", "the-salt")]);
    world.account("sha", &[]);
    world.account("scrypt", &[]);
    let path = world.server.root().join("cells/c/cell.db");
    let db = rusqlite::Connection::open(path).expect("rows");
    // SHA-256 of `old-password` and the salt; scrypt of `old-password` with N=16, r=1, p=1 and the salt `NaCl`.
    let sha = cellar::domain::password::digest("old-passwordthe-salt");
    let update = "UPDATE account SET hash=?2, algorithm=?3 WHERE name=?1";
    db.execute(update, ["sha", sha.as_str(), "sha-256"]).expect("a row");
    db.execute(update, ["scrypt", SCRYPT, "scrypt"]).expect("a row");
    for name in ["sha", "scrypt"] {
        assert_eq!(login(&world, name, "old-password"), "200", "{name}");
        let now: (String, String) = db
            .query_row("SELECT algorithm, hash FROM account WHERE name=?1", [name], |r| Ok((r.get(0)?, r.get(1)?)))
            .expect("a row");
        assert_eq!(now.0, "argon2id");
        assert!(now.1.starts_with("$argon2id$"), "{now:?}");
        assert_eq!(login(&world, name, "old-password"), "200", "{name} after its renewal");
    }
}

/// Made with another implementation of scrypt (N=16, r=1, p=1, salt `NaCl`, 32 bytes).
const SCRYPT: &str = "$40101$TmFDbA==$NivSn/JczXsXEBjU/dfNDRWRQFC9O1HCSeoCps9kIU8=";

#[test]
fn failures_lock_an_account_for_the_address_that_made_them() {
    let world = World::with(&[
        ("CELLAR_AUTH__RETRY_INTERVAL_MS", "0"),
        ("CELLAR_AUTH__LOCK_COUNT", "3"),
        ("CELLAR_AUTH__LOCK_TIME_S", "600"),
    ]);
    world.account("a", &[]);
    let from = |address: &str, password: &str| {
        let form = super::encoded(&[("grant_type", "password"), ("username", "a"), ("password", password)]);
        let request = Request::new("POST", "/c/__token").header("X-Forwarded-For", address).body(form);
        world.send(request).status
    };
    for _ in 0..3 {
        assert_eq!(from("192.0.2.1", "wrong-word"), 400);
    }
    assert_eq!(from("192.0.2.1", PASSWORD), 400, "locked");
    assert_eq!(from("192.0.2.2", PASSWORD), 200, "from elsewhere it is not");
    assert_eq!(from("192.0.2.1, 192.0.2.2", PASSWORD), 200, "the last address is the one that the proxy saw");
}

#[test]
fn guesses_at_the_same_time_do_not_pass_the_lock() {
    let world = World::with(&[
        ("CELLAR_AUTH__RETRY_INTERVAL_MS", "0"),
        ("CELLAR_AUTH__LOCK_COUNT", "3"),
        ("CELLAR_AUTH__LOCK_TIME_S", "600"),
    ]);
    world.account("a", &[]);
    std::thread::scope(|scope| {
        let guess = |i: usize| assert_eq!(login(&world, "a", &format!("wrong-{i}")), FAILED);
        for i in 0..24 {
            scope.spawn(move || guess(i));
        }
    });
    assert_eq!(login(&world, "a", PASSWORD), FAILED, "locked");
    let form = super::encoded(&[("grant_type", "password"), ("username", "a"), ("password", PASSWORD)]);
    let elsewhere = Request::new("POST", "/c/__token").header("X-Forwarded-For", "192.0.2.2").body(form);
    assert_eq!(world.send(elsewhere).expect(200).json()["failed_count"], 3, "no others were verified");
}

#[test]
fn a_deactivated_account_does_not_tell_a_right_password() {
    let world = World::with(&[("CELLAR_AUTH__RETRY_INTERVAL_MS", "600000")]);
    world.make("Account", &json!({ "Name": "a", "Status": "deactivated" })).expect(201);
    for (password, first) in [(PASSWORD, "192.0.2.1"), ("wrong-word", "192.0.2.2")] {
        let basic = || Request::new("GET", "/c/b").basic("a", password).header("X-Forwarded-For", first);
        let outcomes = [outcome(&world.send(basic())), outcome(&world.send(basic()))];
        assert_eq!(outcomes, ["401 PR401-AU-0011", "401 PR401-AU-0010"], "{password}");
    }
}

#[test]
fn a_failure_lets_the_address_wait() {
    let world = World::with(&[("CELLAR_AUTH__RETRY_INTERVAL_MS", "600000")]);
    world.account("a", &[]);
    assert_eq!(login(&world, "a", "wrong-word"), FAILED);
    assert_eq!(login(&world, "a", PASSWORD), FAILED);
    let basic = Request::new("GET", "/c/b").basic("a", PASSWORD);
    assert_eq!(outcome(&world.send(basic)), "401 PR401-AU-0010");
    let other = Request::new("GET", "/c/b").basic("a", PASSWORD).header("X-Forwarded-For", "192.0.2.2");
    assert_eq!(outcome(&world.send(other)), "403 PR403-AU-0002", "the password is right");
}

#[test]
fn logins_beyond_what_can_be_hashed_are_429() {
    // One slow hash at a time, and nobody may wait.
    let world = World::with(&[
        ("CELLAR_AUTH__HASHES_AT_ONCE", "1"),
        ("CELLAR_AUTH__HASHES_WAITING", "0"),
        ("CELLAR_AUTH__ARGON2_MEMORY", "32MiB"),
        ("CELLAR_AUTH__ARGON2_ITERATIONS", "4"),
        ("CELLAR_AUTH__RETRY_INTERVAL_MS", "0"),
    ]);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let attempt = |i: usize| {
            let name = format!("nobody{i}");
            let form = [("grant_type", "password"), ("username", name.as_str()), ("password", "wrong-word")];
            let reply = world.grant("c", &form);
            if reply.status == 429 {
                assert_eq!((reply.header("retry-after"), outcome(&reply).as_str()), (Some("1"), "429 PR429-MC-0001"));
            }
            reply.status
        };
        let threads: Vec<_> = (0..12).map(|i| scope.spawn(move || attempt(i))).collect();
        world.admin("GET", "/c/b").expect(200);
        threads.into_iter().map(|t| t.join().expect("an answer")).collect()
    });
    assert!(statuses.contains(&429) && statuses.contains(&400), "{statuses:?}");
}

#[test]
fn nobody_chooses_his_own_address() {
    let world = World::new();
    world.make("Account", &json!({ "Name": "a", "IPAddressRange": "192.0.2.0/24" })).expect(201);
    let form = super::encoded(&[("grant_type", "password"), ("username", "a"), ("password", PASSWORD)]);
    let from = |name: &str, value: &str, more: Option<&str>| {
        let mut request = Request::new("POST", "/c/__token").header(name, value).body(form.clone());
        if let Some(more) = more {
            request = request.header("X-Override", more);
        }
        world.send(request).status
    };
    // A wrong address is a failure, so that each of them has another.
    assert_eq!(from("X-Forwarded-For", "198.51.100.1", Some("X-Forwarded-For: 192.0.2.1")), 400);
    assert_eq!(from("X-Forwarded-For", "198.51.100.2", Some("Forwarded: for=192.0.2.1")), 400);
    assert_eq!(from("Forwarded", "for=192.0.2.1, for=198.51.100.3", None), 400);
    assert_eq!(from("Forwarded", "for=192.0.2.1, for=198.51.100.4", Some("X-Forwarded-For: 192.0.2.1")), 400);
    assert_eq!(from("Forwarded", "for=198.51.100.5, for=192.0.2.1", None), 200);
    assert_eq!(from("X-Forwarded-For", "198.51.100.6, 192.0.2.2", None), 200);
}
