//! Basic: an account's own password, and passwords for drives.

use serde_json::json;

use super::{PASSWORD, World, outcome};
use crate::client::{Reply, Request};
use crate::harness::TOKEN;

const BEARER: &str = "Bearer";
const BOTH: &str = "Bearer, Basic";

/// A world with the box `s`, which has a schema; the account `a` may do everything in all boxes.
fn drive() -> World {
    let world = World::new();
    world.make("Box", &json!({ "Name": "s", "Schema": "https://app.example/" })).expect(201);
    world.account("a", &["r"]);
    for path in ["b", "s", "__"] {
        world.allow(path, &[("r", &["all"])]);
    }
    world
}

fn as_user(world: &World, password: &str, method: &str, path: &str) -> Reply {
    world.send(Request::new(method, &format!("/c/{path}")).basic("a", password).header("Depth", "0"))
}

/// The schemes that an answer offers.
fn offers(reply: &Reply) -> String {
    let schemes = reply.headers_named("www-authenticate").map(|v| v.split(' ').next().unwrap_or_default());
    schemes.collect::<Vec<_>>().join(", ")
}

#[test]
fn an_accounts_password_opens_boxes_without_schema() {
    let world = drive();
    for path in ["b/f", "__/f"] {
        as_user(&world, PASSWORD, "PUT", path).expect(201);
        as_user(&world, PASSWORD, "GET", path).expect(200);
        as_user(&world, PASSWORD, "PROPFIND", path).expect(207);
    }
    let refused = as_user(&world, PASSWORD, "GET", "s");
    assert_eq!((outcome(&refused), offers(&refused)), ("401 PR401-AU-0001".to_owned(), BOTH.to_owned()));
    for path in ["__ctl/Box", "__ctl/Account", "__log/current/default.log", "__role"] {
        let refused = as_user(&world, PASSWORD, "GET", path);
        assert_eq!(
            (outcome(&refused), offers(&refused)),
            ("401 PR401-AU-0001".to_owned(), BEARER.to_owned()),
            "{path}"
        );
    }
    let form = Request::new("POST", "/c/__token").basic("a", PASSWORD).body("grant_type=password");
    assert_eq!(world.send(form).status, 400, "it is no client");
}

#[test]
fn wrong_passwords_say_so_and_ask_again() {
    let world = drive();
    for (value, code) in
        [("Basic !!!", "401 PR401-AU-0004"), ("Digest x", "401 PR401-AU-0003"), ("Basic", "401 PR401-AU-0004")]
    {
        let refused = world.send(Request::new("GET", "/c/b").header("Authorization", value));
        assert_eq!((outcome(&refused).as_str(), offers(&refused).as_str()), (code, BOTH), "{value}");
    }
    let refused = as_user(&world, "wrong-word", "GET", "b");
    assert_eq!((outcome(&refused).as_str(), offers(&refused).as_str()), ("401 PR401-AU-0011", BOTH));
    let unknown = world.send(Request::new("GET", "/c/b").basic("nobody", "wrong-word"));
    assert_eq!((outcome(&unknown).as_str(), offers(&unknown).as_str()), ("401 PR401-AU-0011", BOTH));
    let script = Request::new("GET", "/c/s").basic("nobody2", "wrong-word").header("Origin", "https://app.example");
    let refused = world.send(script);
    assert_eq!((outcome(&refused).as_str(), offers(&refused).as_str()), ("401 PR401-AU-0011", BEARER));
}

#[test]
fn explorer_walks_down_and_sees_nothing_on_its_way() {
    let world = drive();
    world.allow("", &[("r", &["auth"])]);
    let token = world.token("a");
    let propfind = |path: &str, depth: &str| Request::new("PROPFIND", path).header("Depth", depth);
    for path in ["/", "/c/"] {
        for request in [propfind(path, "0").bearer(&token), propfind(path, "0").basic("a", PASSWORD)] {
            let shown = world.send(request).expect(207);
            assert_eq!(shown.text().matches("<D:response>").count(), 1);
            assert!(!shown.text().contains("<D:acl") && !shown.text().contains("creationdate"), "{}", shown.text());
        }
        assert_eq!(world.send(propfind(path, "1").bearer(&token)).status, 403, "{path}");
        for request in [propfind(path, "0"), propfind(path, "0").bearer("nonsense")] {
            let refused = world.send(request);
            assert_eq!((refused.status, offers(&refused).as_str()), (401, BOTH), "{path}");
        }
    }
    let wrong = world.send(propfind("/c/", "0").basic("a", "wrong-word"));
    assert_eq!((outcome(&wrong).as_str(), offers(&wrong).as_str()), ("401 PR401-AU-0011", BOTH));
    world.allow("", &[("r", &["propfind"])]);
    world.send(propfind("/c/", "1").header("X-Forwarded-For", "192.0.2.9").basic("a", PASSWORD)).expect(207);
}

#[test]
fn a_drive_password_is_told_once_and_opens_every_box() {
    let world = drive();
    let entity = json!({ "Name": "laptop", "_Account.Name": "a" });
    let made = world.make("DrivePassword", &entity).expect(201);
    let secret = super::text(&made.json()["d"]["results"], "Password");
    assert!(secret.len() >= 40, "{secret}");
    assert_eq!(made.header("cache-control"), Some("no-store"));
    for path in ["/c/__ctl/DrivePassword", "/c/__ctl/DrivePassword('laptop')"] {
        let shown = world.admin("GET", path).expect(200);
        assert!(
            !shown.text().contains(&secret) && shown.text().contains("\"_Account.Name\":\"a\""),
            "{}",
            shown.text()
        );
    }
    assert_eq!(outcome(&world.make("DrivePassword", &entity)), "409 PR409-OD-0003");
    for path in ["b/f", "s/f", "__/f"] {
        as_user(&world, &secret, "PUT", path).expect(201);
    }
    as_user(&world, &secret, "PROPFIND", "").expect(207);
    for path in ["__ctl/Box", "__ctl/DrivePassword", "__role"] {
        let refused = as_user(&world, &secret, "GET", path);
        assert_eq!((outcome(&refused).as_str(), offers(&refused).as_str()), ("401 PR401-AU-0001", BEARER), "{path}");
    }
    let grant = [("grant_type", "password"), ("username", "a"), ("password", secret.as_str())];
    assert_eq!(world.grant("c", &grant).status, 400);
    let other = world.send(Request::new("GET", "/c/b/f").basic("b", &secret));
    assert_eq!(outcome(&other), "401 PR401-AU-0011", "it is the account's");
    world.allow("s", &[("r", &["read"])]);
    assert_eq!(outcome(&as_user(&world, &secret, "PUT", "s/f")), "403 PR403-AU-0002", "no more than the account");
    world.admin("DELETE", "/c/__ctl/DrivePassword('laptop')").expect(204);
    assert_eq!(outcome(&as_user(&world, &secret, "GET", "b/f")), "401 PR401-AU-0010", "at once; one login has failed");
    let elsewhere = Request::new("GET", "/c/b/f").basic("a", &secret).header("X-Forwarded-For", "192.0.2.9");
    assert_eq!(outcome(&world.send(elsewhere)), "401 PR401-AU-0011");
}

#[test]
fn a_drive_password_for_a_box_opens_that_box_as_its_app_would() {
    let world = drive();
    let secret = world.drive_password("laptop", "a", Some("s"));
    as_user(&world, &secret, "PUT", "s/f").expect(201);
    for path in ["b/f", "__/f"] {
        assert_eq!(outcome(&as_user(&world, &secret, "PUT", path)), "403 PR403-AU-0002", "{path}");
        let copy = Request::new("COPY", "/c/s/f").basic("a", &secret).header("Destination", format!("/c/{path}"));
        assert_eq!(outcome(&world.send(copy)), "403 PR403-AU-0002", "{path}");
    }
    let everywhere = world.drive_password("desk", "a", None);
    for (level, limited, unlimited) in [
        ("none", "200", "200"),
        ("public", "200", "403 PR403-AU-0004"),
        ("confidential", "403 PR403-AU-0006", "403 PR403-AU-0004"),
    ] {
        let attributes = format!("p:requireSchemaAuthz=\"{level}\"");
        world.set_acl("c", "s", &[("r", &["all"])], &attributes).expect(200);
        assert_eq!(outcome(&as_user(&world, &secret, "GET", "s/f")), limited, "{level}");
        assert_eq!(outcome(&as_user(&world, &everywhere, "GET", "s/f")), unlimited, "{level}");
    }
}

#[test]
fn a_drive_password_ends_with_its_account_or_its_box_and_sleeps_with_the_account() {
    let world = drive();
    let (free, boxed) = (world.drive_password("free", "a", None), world.drive_password("boxed", "a", Some("s")));
    let get = |password: &str| as_user(&world, password, "PROPFIND", "s").status;
    assert_eq!((get(&free), get(&boxed)), (207, 207));
    let status = |status: &str| {
        let body = json!({ "Status": status }).to_string();
        world.send(Request::new("MERGE", "/c/__ctl/Account('a')").bearer(TOKEN).body(body)).expect(204);
    };
    status("deactivated");
    assert_eq!((get(&free), get(&boxed)), (401, 401));
    status("active");
    assert_eq!((get(&free), get(&boxed)), (207, 207));
    world.send(Request::new("DELETE", "/c/s").bearer(TOKEN).header("X-Personium-Recursive", "true")).expect(204);
    world.make("Box", &json!({ "Name": "s" })).expect(201);
    world.allow("s", &[("r", &["all"])]);
    assert_eq!((get(&free), get(&boxed)), (207, 401));
    world.admin("DELETE", "/c/__ctl/Account('a')").expect(204);
    world.account("a", &["r"]);
    assert_eq!(get(&free), 401);
}

#[test]
fn a_drive_password_needs_an_account_and_a_box_that_are_there() {
    let world = drive();
    for (entity, code) in [
        (json!({ "Name": "x" }), "400 PR400-OD-0009"),
        (json!({ "Name": "x", "_Account.Name": "nobody" }), "400 PR400-OD-0024"),
        (json!({ "Name": "x", "_Account.Name": "a", "_Box.Name": "none" }), "400 PR400-OD-0024"),
        (json!({ "Name": "x", "_Account.Name": "a", "_Box.Name": "" }), "400 PR400-OD-0006"),
        (json!({ "Name": "a/b", "_Account.Name": "a" }), "400 PR400-OD-0006"),
        (json!({ "Name": "x", "_Account.Name": "a", "Password": "mine" }), "400 PR400-OD-0007"),
    ] {
        assert_eq!(outcome(&world.make("DrivePassword", &entity)), code, "{entity}");
    }
    world.drive_password("x", "a", None);
    let put = Request::new("PUT", "/c/__ctl/DrivePassword('x')").bearer(TOKEN).body("{}");
    assert_eq!(outcome(&world.send(put)), "405 PR405-MC-0001");
}

#[test]
fn a_remembered_login_ends_when_the_password_changes() {
    let world = drive();
    as_user(&world, PASSWORD, "GET", "b").expect(200);
    // Lists may change without that.
    world.allow("b", &[("r", &["read"])]);
    as_user(&world, PASSWORD, "GET", "b").expect(200);
    let change = Request::new("MERGE", "/c/__ctl/Account('a')").bearer(TOKEN).body("{}");
    world.send(change.header("X-Personium-Credential", "new-word")).expect(204);
    assert_eq!(outcome(&as_user(&world, PASSWORD, "GET", "b")), "401 PR401-AU-0011");
    let right = Request::new("GET", "/c/b").basic("a", "new-word").header("X-Forwarded-For", "192.0.2.9");
    world.send(right).expect(200);
}

#[test]
fn an_address_range_holds_for_drives_too() {
    let world = drive();
    let drive = world.drive_password("laptop", "a", None);
    let from = |password: &str, address: &str| {
        world.send(Request::new("GET", "/c/b").basic("a", password).header("X-Forwarded-For", address)).status
    };
    for password in [PASSWORD, &drive] {
        assert_eq!((from(password, "192.0.2.1"), from(password, "192.0.2.2")), (200, 200));
    }
    let merge = Request::new("MERGE", "/c/__ctl/Account('a')").bearer(TOKEN).body(r#"{"IPAddressRange":"192.0.2.1"}"#);
    world.send(merge).expect(204);
    for password in [PASSWORD, &drive] {
        assert_eq!((from(password, "192.0.2.1"), from(password, "192.0.2.2")), (200, 401), "remembered or not");
    }
}

#[test]
fn a_lock_belongs_to_the_account_that_took_it() {
    let world = drive();
    world.account("x", &["r"]);
    let (mine, theirs) = (world.drive_password("one", "a", None), world.drive_password("two", "x", None));
    as_user(&world, &mine, "PUT", "b/f").expect(201);
    let info = "<D:lockinfo xmlns:D=\"DAV:\"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>";
    let lock = world.send(Request::new("LOCK", "/c/b/f").basic("a", &mine).body(info)).expect(200);
    let token = lock.header("lock-token").expect("a token").to_owned();
    let put = |user: &str, password: &str| {
        let request = Request::new("PUT", "/c/b/f").basic(user, password).header("If", format!("({token})"));
        world.send(request.body("y")).status
    };
    assert_eq!(put("x", &theirs), 423);
    assert_eq!(put("a", &mine), 204);
    let unlock = |user: &str, password: &str| {
        world.send(Request::new("UNLOCK", "/c/b/f").basic(user, password).header("Lock-Token", token.clone())).status
    };
    assert_eq!(unlock("x", &theirs), 403);
    assert_eq!(unlock("a", &mine), 204);
}

#[test]
fn the_administrator_takes_a_lock_away_that_somebody_has_left_behind() {
    let world = drive();
    let mine = world.drive_password("one", "a", None);
    as_user(&world, &mine, "PUT", "b/f").expect(201);
    let info = "<D:lockinfo xmlns:D=\"DAV:\"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>";
    let lock = world.send(Request::new("LOCK", "/c/b/f").basic("a", &mine).body(info)).expect(200);
    let token = lock.header("lock-token").expect("a token").to_owned();
    let put =
        || world.send(Request::new("PUT", "/c/b/f").bearer(TOKEN).header("If", format!("({token})")).body("y")).status;
    assert_eq!(put(), 423, "the lock is not the administrator's");
    world.send(Request::new("UNLOCK", "/c/b/f").bearer(TOKEN).header("Lock-Token", token.clone())).expect(204);
    world.send(Request::new("PUT", "/c/b/f").bearer(TOKEN).body("y")).expect(204);
}
