//! The token endpoint, and what its tokens are good for.

use serde_json::{Value, json};

use super::{PASSWORD, World, encoded, outcome, text};
use crate::client::{Reply, Request};
use crate::harness::TOKEN;

#[track_caller]
fn refused(reply: &Reply, code: &str, error: &str) {
    let body = reply.json();
    assert_eq!(text(&body, "error"), error, "{body}");
    assert!(text(&body, "error_description").starts_with(&format!("[{code}] - ")), "{body}");
    assert_eq!(reply.status.to_string(), code[2..5], "{body}");
    assert_eq!(reply.header("www-authenticate").is_some(), reply.status == 401, "{reply:?}");
}

fn refresh(world: &World, token: &str) -> Reply {
    world.grant("c", &[("grant_type", "refresh_token"), ("refresh_token", token)])
}

#[test]
fn a_login_answers_with_everything_that_clients_expect() {
    let world = World::new();
    world.account("a", &[]);
    let first = world.log_in("a", &[]);
    for (name, value) in [
        ("token_type", json!("Bearer")),
        ("expires_in", json!(3600)),
        ("refresh_token_expires_in", json!(86400)),
        ("scope", json!("root")),
        ("last_authenticated", json!(null)),
        ("failed_count", json!(0)),
    ] {
        assert_eq!(first[name], value, "{name}");
    }
    let second = world.log_in("a", &[]);
    assert!(second["last_authenticated"].as_i64().is_some_and(|ms| ms > 1_700_000_000_000), "{second}");
    assert_ne!(first["access_token"], second["access_token"]);
    let form = [("grant_type", "password"), ("username", "a"), ("password", PASSWORD)];
    let reply = world.grant("c", &form).expect(200);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(outcome(&world.server.anonymous("GET", "/c/__token")), "405 PR405-MC-0001");
}

#[test]
fn requests_for_tokens_are_refused_in_their_order() {
    let world = World::new();
    world.account("a", &[]);
    for (form, code, error) in [
        (vec![("p_target", "nowhere"), ("client_id", "x")], "PR400-AN-0002", "invalid_request"),
        (vec![("client_id", "https://app.example/"), ("expires_in", "0")], "PR400-AN-0003", "invalid_client"),
        (vec![("client_assertion_type", "x")], "PR400-AN-0022", "invalid_client"),
        (vec![("expires_in", "0"), ("grant_type", "hoge")], "PR400-AN-0016", "invalid_request"),
        (vec![("refresh_token_expires_in", "86401")], "PR400-AN-0016", "invalid_request"),
        (vec![("expires_in", "x")], "PR400-AN-0016", "invalid_request"),
        (vec![("grant_type", "hoge")], "PR400-AN-0001", "unsupported_grant_type"),
        (vec![], "PR400-AN-0001", "unsupported_grant_type"),
        (vec![("grant_type", "password"), ("password", "x")], "PR400-AN-0016", "invalid_request"),
        (vec![("grant_type", "password"), ("username", "a")], "PR400-AN-0016", "invalid_request"),
        (vec![("grant_type", "refresh_token")], "PR400-AN-0009", "invalid_grant"),
        (vec![("grant_type", "authorization_code"), ("code", "x")], "PR400-AN-0019", "invalid_grant"),
        (vec![("grant_type", "authorization_code"), ("p_owner", "true")], "PR400-AN-0008", "invalid_grant"),
        (
            vec![("grant_type", "password"), ("username", "a"), ("password", PASSWORD), ("p_owner", "true")],
            "PR400-AN-0014",
            "invalid_grant",
        ),
        (vec![("grant_type", "urn:ietf:params:oauth:grant-type:saml2-bearer")], "PR400-AN-0009", "invalid_grant"),
    ] {
        refused(&world.grant("c", &form), code, error);
    }
    let header = Request::new("POST", "/c/__token").bearer(TOKEN).body("grant_type=password");
    refused(&world.send(header), "PR400-AN-0018", "invalid_client");
}

#[test]
fn wrong_passwords_and_unknown_names_look_alike() {
    let world = World::new();
    world.account("a", &[]);
    let bodies: Vec<Value> = [("a", "wrong-word"), ("nobody", "wrong-word")]
        .map(|(name, password)| [("grant_type", "password"), ("username", name), ("password", password)])
        .map(|form| world.grant("c", &form).expect(400).json())
        .to_vec();
    assert_eq!(bodies[0], bodies[1]);
    assert_eq!(text(&bodies[0], "error_description"), "[PR400-AN-0017] - Authentication failed.");
}

#[test]
fn refresh_tokens_give_new_pairs_and_open_nothing() {
    let world = World::new();
    world.account("a", &["r"]);
    world.allow("b", &[("r", &["read"])]);
    let first = world.log_in("a", &[("scope", "auth-read")]);
    let (access, token) = (text(&first, "access_token"), text(&first, "refresh_token"));
    assert_eq!(outcome(&world.ask(&token, "GET", "b")), "401 PR401-AU-0007");
    let second = refresh(&world, &token).expect(200).json();
    assert_eq!((second.get("last_authenticated"), &second["scope"]), (None, &json!("auth-read")));
    world.ask(&text(&second, "access_token"), "GET", "b").expect(200);
    refused(&refresh(&world, &access), "PR400-AN-0013", "invalid_grant");
    refused(&refresh(&world, "RR~nonsense"), "PR400-AN-0009", "invalid_grant");
    refused(&refresh(&world, &token[..token.len() - 2]), "PR400-AN-0009", "invalid_grant");
    world.admin("MKCOL", "/d").expect(201);
    let elsewhere = world.grant("d", &[("grant_type", "refresh_token"), ("refresh_token", &token)]);
    refused(&elsewhere, "PR400-AN-0009", "invalid_grant");
    let merge = Request::new("MERGE", "/c/__ctl/Account('a')").bearer(TOKEN).body(r#"{"Status":"deactivated"}"#);
    world.send(merge).expect(204);
    refused(&refresh(&world, &token), "PR400-AN-0010", "invalid_grant");
    assert_eq!(outcome(&world.ask(&access, "GET", "b")), "401 PR401-AU-0001", "a deactivated account opens nothing");
}

#[test]
fn tokens_of_another_cell_or_changed_ones_are_refused() {
    let world = World::new();
    world.admin("MKCOL", "/d").expect(201);
    world.account_in("d", "a", &["r"]);
    world.account("a", &["r"]);
    world.allow("b", &[("r", &["read"])]);
    let form = [("grant_type", "password"), ("username", "a"), ("password", PASSWORD)];
    let foreign = text(&world.grant("d", &form).expect(200).json(), "access_token");
    assert_eq!(outcome(&world.ask(&foreign, "GET", "b")), "401 PR401-AU-0006");
    let own = world.token("a");
    world.ask(&own, "GET", "b").expect(200);
    for at in [3, 10, 50, own.len() - 2] {
        let mut changed = own.clone().into_bytes();
        changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
        let changed = String::from_utf8(changed).expect("ASCII");
        assert_eq!(outcome(&world.ask(&changed, "GET", "b")), "401 PR401-AU-0006", "{at}");
    }
    let other = World::new();
    assert_eq!(outcome(&other.ask(&own, "GET", "b")), "401 PR401-AU-0006", "another unit");
}

#[test]
fn a_token_expires() {
    let world = World::new();
    world.account("a", &["r"]);
    world.allow("b", &[("r", &["read"])]);
    let token = text(&world.log_in("a", &[("expires_in", "1")]), "access_token");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let mut last = outcome(&world.ask(&token, "GET", "b"));
    while last == "200" && std::time::Instant::now() < end {
        std::thread::yield_now();
        last = outcome(&world.ask(&token, "GET", "b"));
    }
    assert_eq!(last, "401 PR401-AU-0002");
}

#[test]
fn a_scope_narrows_what_a_token_opens_on_the_cell() {
    let world = World::new();
    world.account("a", &["r"]);
    world.allow("", &[("r", &["root"])]);
    let token = text(&world.log_in("a", &[("scope", "auth-read")]), "access_token");
    world.ask(&token, "GET", "__ctl/Account").expect(200);
    let post = Request::new("POST", "/c/__ctl/Account").bearer(&token).body(r#"{"Name":"x"}"#);
    let reply = world.send(post);
    assert_eq!(outcome(&reply), "403 PR403-AU-0007");
    assert!(reply.text().contains("[auth] Privilege is required."), "{}", reply.text());
    world.ask(&token, "GET", "b").expect(200);
}

#[test]
fn anonymous_callers_have_no_scope() {
    let world = World::new();
    world.allow("", &[("*", &["auth-read", "read"])]);
    assert_eq!(outcome(&world.server.anonymous("GET", "/c/__ctl/Account")), "403 PR403-AU-0007");
    world.server.anonymous("GET", "/c/b").expect(200);
}

#[test]
fn revoking_ends_all_that_came_of_a_login() {
    let world = World::new();
    world.account("a", &["r"]);
    world.allow("b", &[("r", &["read"])]);
    let (one, other) = (world.log_in("a", &[]), world.log_in("a", &[]));
    let renewed = refresh(&world, &text(&one, "refresh_token")).expect(200).json();
    let revoke = |token: &str| {
        let post = Request::new("POST", "/c/__token/revoke").body(encoded(&[("token", token)]));
        world.send(post).expect(200);
    };
    revoke("nonsense");
    revoke(&text(&renewed, "refresh_token"));
    for token in [&one, &renewed] {
        assert_eq!(outcome(&world.ask(&text(token, "access_token"), "GET", "b")), "401 PR401-AU-0002");
        refused(&refresh(&world, &text(token, "refresh_token")), "PR400-AN-0010", "invalid_grant");
    }
    world.ask(&text(&other, "access_token"), "GET", "b").expect(200);
}

#[test]
fn introspection_tells_people_of_the_cell_about_its_tokens() {
    let world = World::new();
    let token = world.user("a", &["r"]);
    let ask = |by: Option<&str>, token: &str| {
        let post = Request::new("POST", "/c/__introspect").body(encoded(&[("token", token)]));
        world.send(if let Some(by) = by { post.bearer(by) } else { post })
    };
    let known = ask(Some(TOKEN), &token).expect(200).json();
    assert_eq!((&known["active"], &known["username"], &known["scope"]), (&json!(true), &json!("a"), &json!("root")));
    assert_eq!(known["sub"], format!("{}#a", world.url("c")));
    assert_eq!(known["p_roles"], json!(["r"]));
    assert_eq!(ask(Some(&token), "nonsense").expect(200).json(), json!({ "active": false }));
    assert_eq!(outcome(&ask(None, &token)), "401 PR401-AU-0001");
    let basic = Request::new("POST", "/c/__introspect").basic("a", PASSWORD).body(encoded(&[("token", &token)]));
    assert_eq!(outcome(&world.send(basic)), "401 PR401-AU-0001");
    world.admin("DELETE", "/c/__ctl/Account('a')").expect(204);
    assert_eq!(ask(Some(TOKEN), &token).expect(200).json(), json!({ "active": false }));
}

#[test]
fn a_cookie_opens_with_its_peer() {
    let world = World::new();
    world.account("a", &["r"]);
    world.allow("b", &[("r", &["read"])]);
    let form = [("grant_type", "password"), ("username", "a"), ("password", PASSWORD), ("p_cookie", "true")];
    let reply = world.grant("c", &form).expect(200);
    let peer = text(&reply.json(), "p_cookie_peer");
    let set = reply.header("set-cookie").expect("a cookie");
    assert!(set.contains("; Path=/c/;") && set.contains("HttpOnly"), "{set}");
    let cookie = set.split(';').next().expect("a value");
    let ask = |query: &str, cookie: &str| {
        outcome(&world.send(Request::new("GET", &format!("/c/b{query}")).header("Cookie", cookie)))
    };
    assert_eq!(ask(&format!("?p_cookie_peer={peer}"), cookie), "200");
    assert_eq!(ask("?p_cookie_peer=other", cookie), "401 PR401-AU-0009");
    assert_eq!(ask("", cookie), "401 PR401-AU-0001");
}

#[test]
fn a_token_for_a_cell_of_another_unit_is_none_for_the_cell_of_that_name_here() {
    let world = World::new();
    world.admin("MKCOL", "/home").expect(201);
    world.account_in("home", "bob", &[]);
    world.make("ExtCell", &json!({ "Url": world.url("home") })).expect(201);
    world.make("Role", &json!({ "Name": "friend" })).expect(201);
    let key = percent_encoding::utf8_percent_encode(&world.url("home"), percent_encoding::NON_ALPHANUMERIC).to_string();
    world.link("c", &format!("ExtCell('{key}')/$links/_Role"), "Role('friend')");
    world.allow("b", &[("friend", &["read"])]);
    let token = |target: &str| {
        let form = [("grant_type", "password"), ("username", "bob"), ("password", PASSWORD), ("p_target", target)];
        text(&world.grant("home", &form).expect(200).json(), "access_token")
    };
    let read =
        |token: &str, host: &str| outcome(&world.send(Request::new("GET", "/c/b").bearer(token).header("Host", host)));
    let own = world.server.address.to_string();
    assert_eq!(read(&token(&world.url("c")), &own), "200");
    // Whoever got it keeps it and comes here under the name that it says.
    let foreign = token("http://elsewhere.example/c/");
    assert_eq!(read(&foreign, &own), "401 PR401-AU-0006");
    assert_eq!(read(&foreign, "elsewhere.example"), "401 PR401-AU-0006");
    let visit = [("grant_type", "urn:ietf:params:oauth:grant-type:saml2-bearer"), ("assertion", foreign.as_str())];
    let visit = Request::new("POST", "/c/__token").header("Host", "elsewhere.example").body(encoded(&visit));
    refused(&world.send(visit), "PR400-AN-0012", "invalid_grant");
}
