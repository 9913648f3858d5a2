//! The login page and the flows of apps.

use super::{PASSWORD, World, encoded, outcome, text};
use crate::client::{Reply, Request};

/// A world with an app, and the URL that it sends people to.
fn app() -> (World, String, String) {
    let world = World::new();
    world.admin("MKCOL", "/app").expect(201);
    world.account_in("app", "client", &[]);
    world.account("a", &["r"]);
    world.allow("b", &[("r", &["read"])]);
    let app = world.url("app");
    let redirect = format!("{app}__/back.html?x=1");
    (world, app, redirect)
}

fn send(world: &World, method: &str, form: &[(&str, &str)]) -> Reply {
    let encoded = encoded(form);
    match method {
        "GET" => world.send(Request::new("GET", &format!("/c/__authz?{encoded}"))),
        _ => world.send(Request::new("POST", "/c/__authz").body(encoded)),
    }
}

/// A parameter of the URL that an answer sends to.
fn parameter(reply: &Reply, name: &str) -> Option<String> {
    let location = reply.header("location")?;
    let pairs = location.split(['?', '&', '#']).skip(1).filter_map(|pair| pair.split_once('='));
    let value = pairs.filter(|(known, _)| *known == name).map(|(_, value)| value).next()?;
    Some(percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned())
}

#[test]
fn a_code_is_exchanged_once_by_the_app_that_it_is_for() {
    let (world, app, redirect) = app();
    let asked = [("response_type", "code"), ("client_id", app.as_str()), ("redirect_uri", &redirect), ("state", "s&1")];
    let page = send(&world, "GET", &asked).expect(200);
    assert!(
        page.text().contains("<label for=\"password\">") && page.text().contains("value=\"s&amp;1\""),
        "{}",
        page.text()
    );
    assert!(page.header("content-security-policy").is_some_and(|p| p.contains("frame-ancestors 'none'")));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let with = |name, password| [&asked[..], &[("username", name), ("password", password)]].concat();
    let wrong = send(&world, "POST", &with("a\"><script>", "wrong-word")).expect(200);
    assert!(wrong.text().contains("role=\"alert\"") && !wrong.text().contains("<script"), "{}", wrong.text());
    assert!(!wrong.text().contains("wrong-word"), "the password does not come back");
    let back = send(&world, "POST", &with("a", PASSWORD)).expect(303);
    assert!(back.header("location").is_some_and(|l| l.starts_with(&format!("{redirect}&code="))), "{back:?}");
    assert_eq!(parameter(&back, "state").as_deref(), Some("s&1"));
    let code = parameter(&back, "code").expect("a code");
    assert_eq!(outcome(&world.ask(&code, "GET", "b")), "401 PR401-AU-0006", "a code opens nothing");

    let client =
        [("grant_type", "password"), ("username", "client"), ("password", PASSWORD), ("p_target", &*world.url("c"))];
    let secret = text(&world.grant("app", &client).expect(200).json(), "access_token");
    let exchange = [("grant_type", "authorization_code"), ("code", code.as_str())];
    let refused = |reply: &Reply| text(&reply.json(), "error_description")[1..14].to_owned();
    assert_eq!(refused(&world.grant("c", &exchange).expect(401)), "PR401-AN-0021");
    let as_app = [&exchange[..], &[("client_id", app.as_str()), ("client_secret", &secret)]].concat();
    let elsewhere = [&as_app[..], &[("redirect_uri", "https://elsewhere.example/")]].concat();
    assert_eq!(refused(&world.grant("c", &elsewhere).expect(400)), "PR400-AN-0019");
    let tokens = world.grant("c", &as_app).expect(200).json();
    world.ask(&text(&tokens, "access_token"), "GET", "b").expect(200);
    assert_eq!(refused(&world.grant("c", &as_app).expect(400)), "PR400-AN-0019", "once");
}

#[test]
fn a_token_comes_back_behind_the_fragment() {
    let (world, app, redirect) = app();
    let form = [
        ("response_type", "token"),
        ("client_id", app.as_str()),
        ("redirect_uri", &redirect),
        ("expires_in", "60"),
        ("username", "a"),
        ("password", PASSWORD),
    ];
    let back = send(&world, "POST", &form).expect(303);
    assert!(back.header("location").is_some_and(|l| l.starts_with(&format!("{redirect}#access_token="))), "{back:?}");
    assert_eq!(parameter(&back, "expires_in").as_deref(), Some("60"));
    world.ask(&parameter(&back, "access_token").expect("a token"), "GET", "b").expect(200);
}

#[test]
fn nobody_is_sent_away_from_the_app() {
    let (world, app, redirect) = app();
    for (client, redirect, code) in [
        ("", redirect.as_str(), "400 PR400-AZ-0002"),
        ("nonsense", &redirect, "400 PR400-AZ-0002"),
        (&app, "", "400 PR400-AZ-0003"),
        (&app, "https://evil.example/", "400 PR400-AZ-0003"),
        (&app, &format!("{app}../evil/"), "400 PR400-AZ-0003"),
        (&app, &format!("{app}%2e%2E/evil/"), "400 PR400-AZ-0003"),
        (&app, &format!("{app}x/%2e./.%2e/evil/"), "400 PR400-AZ-0003"),
        (&app, &format!("{app}x/%2e%2e"), "400 PR400-AZ-0003"),
        (&app, &format!("{app}..%2fevil/"), "400 PR400-AZ-0003"),
        (&app, &format!("{app}..%5Cevil/"), "400 PR400-AZ-0003"),
        (&app, &format!("{app}x#y"), "400 PR400-AZ-0003"),
        (&app, &format!("{app}x\r\nSet-Cookie: a=b"), "400 PR400-AZ-0003"),
    ] {
        let form = [("response_type", "code"), ("client_id", client), ("redirect_uri", redirect)];
        for method in ["GET", "POST"] {
            assert_eq!(outcome(&send(&world, method, &form)), code, "{client} {redirect}");
        }
    }
    for (more, code, error) in [
        (vec![], "PR400-AZ-0004", "invalid_request"),
        (vec![("response_type", "hoge")], "PR400-AZ-0001", "unsupported_response_type"),
        (vec![("response_type", "code"), ("expires_in", "0")], "PR400-AZ-0008", "invalid_request"),
        (vec![("response_type", "code"), ("cancel_flg", "1")], "PR401-AZ-0001", "access_denied"),
    ] {
        let form = [&[("client_id", app.as_str()), ("redirect_uri", &redirect)], &more[..]].concat();
        let back = send(&world, "POST", &form).expect(303);
        assert_eq!(
            (parameter(&back, "code").as_deref(), parameter(&back, "error").as_deref()),
            (Some(code), Some(error))
        );
    }
}

#[test]
fn a_password_in_a_url_logs_nobody_in() {
    let (world, app, redirect) = app();
    for response_type in ["code", "token"] {
        let form = [
            ("response_type", response_type),
            ("client_id", &app),
            ("redirect_uri", &redirect),
            ("username", "a"),
            ("password", PASSWORD),
        ];
        let page = send(&world, "GET", &form).expect(200);
        assert!(page.text().contains("<form") && !page.text().contains(PASSWORD), "{}", page.text());
    }
}

#[test]
fn a_page_tells_what_a_code_means() {
    let world = World::new();
    let page = |query: &str| {
        let reply = world.server.anonymous("GET", &format!("/c/__html/error{query}")).expect(200);
        assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(reply.header("content-security-policy").is_some_and(|p| p.contains("default-src 'none'")));
        reply.text().to_owned()
    };
    assert!(page("?code=PR400-OD-0001").contains("JSON parse error."));
    for query in ["", "?code=", "?code=PR400-XX-9999", "?code=%3Cscript%3E"] {
        let text = page(query);
        assert!(text.contains("undefined") && !text.contains("<script"), "{query}: {text}");
    }
    assert_eq!(outcome(&world.server.anonymous("POST", "/c/__html/error")), "405 PR405-MC-0001");
    assert_eq!(outcome(&world.server.anonymous("GET", "/c/__html/other")), "404 PR404-MC-0001");
    assert_eq!(outcome(&world.server.anonymous("GET", "/none/__html/error")), "404 PR404-DV-0003");
}

#[test]
fn a_redirect_cannot_climb_out_of_the_apps_cell() {
    let (world, app, _) = app();
    for climb in ["../c/__/x", "%2e%2e/c/__/x", "a/.%2E/%2e./c", "a/%2E%2E"] {
        let asked =
            [("response_type", "code"), ("client_id", app.as_str()), ("redirect_uri", &format!("{app}{climb}"))];
        let reply = world.server.anonymous("GET", &format!("/c/__authz?{}", encoded(&asked)));
        assert_eq!(outcome(&reply), "400 PR400-AZ-0003", "{climb}");
    }
}
