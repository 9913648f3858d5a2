//! What holds for every request and every answer.

use std::collections::BTreeSet;

use crate::client::Request;
use crate::harness::{Server, TOKEN};

const METHODS: &str = "OPTIONS GET POST PUT DELETE HEAD MERGE MKCOL MOVE PROPFIND PROPPATCH ACL LOCK UNLOCK COPY";

#[test]
fn every_answer_has_version_and_cors_headers() {
    let server = Server::start();
    for (method, target) in
        [("GET", "/"), ("HEAD", "/"), ("GET", "/c/none"), ("DELETE", "/"), ("OPTIONS", "/x"), ("GET", "/%ff")]
    {
        let reply = server.anonymous(method, target);
        assert_eq!(reply.header("x-personium-version"), Some("1.8.4"), "{method} {target}");
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "{method} {target}");
        assert!(reply.header("access-control-expose-headers").is_some_and(|h| h.contains("X-Personium-Version")));
    }
}

#[test]
fn a_preflight_names_its_origin() {
    let server = Server::start();
    let request = Request::new("OPTIONS", "/c/b")
        .header("Origin", "https://a.example")
        .header("Access-Control-Request-Method", "PROPFIND")
        .header("Access-Control-Request-Headers", "authorization,depth");
    let reply = server.send(request).expect(200);
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://a.example"));
    assert_eq!(reply.header("vary"), Some("Origin"));
    assert_eq!(reply.header("access-control-allow-headers"), Some("authorization,depth"));
    assert!(reply.header("access-control-allow-methods").is_some_and(|m| m.contains("PROPFIND")));
}

#[test]
fn options_without_credentials_lists_all_methods_for_any_path() {
    let server = Server::start();
    for target in ["/", "/c/", "/c/b/none/at/all", "/__ctl/Cell", "*"] {
        let reply = server.anonymous("OPTIONS", target).expect(200);
        for header in ["allow", "access-control-allow-methods"] {
            let listed: Vec<&str> = reply.header(header).expect("a list").split(", ").collect();
            assert!(METHODS.split(' ').all(|m| listed.contains(&m)), "{header}: {listed:?}");
        }
        assert_eq!(reply.header("dav"), Some("1, 2, 3, extended-mkcol, access-control, sabredav-partialupdate"));
        assert!(reply.body.is_empty());
    }
    assert_eq!(server.admin("OPTIONS", "/").expect(200).header("allow"), Some("OPTIONS, GET, HEAD, PROPFIND"));
    assert_eq!(server.admin("OPTIONS", "/__none").problem(), "404 PR404-MC-0001");
    assert!(server.admin("OPTIONS", "*").expect(200).header("allow").is_some_and(|all| all.contains("PROPPATCH")));
}

#[test]
fn a_post_can_be_another_method() {
    let server = Server::start();
    let post = |value: &str| server.send(Request::new("POST", "/").header("X-HTTP-Method-Override", value).body(""));
    assert_eq!(post("GET").expect(200).json()["unit"]["url"], server.url());
    assert_eq!(post("HEAD").expect(200).body, b"");
    assert_eq!(post("DELETE").problem(), "405 PR405-MC-0001");
    assert_eq!(post("OPTIONS").expect(200).header("allow"), Some("OPTIONS, GET, HEAD, PROPFIND"));
    let get = server.send(Request::new("GET", "/").header("X-HTTP-Method-Override", "DELETE"));
    get.expect(200);
}

#[test]
fn a_header_can_be_overridden() {
    let server = Server::start();
    let request = Request::new("GET", "/").header("X-Override", "Host: other.example:81");
    assert_eq!(server.send(request).json()["unit"]["url"], "http://other.example:81/");
}

#[test]
fn a_bad_request_key_is_400_before_anything_else() {
    let server = Server::start();
    for (method, key) in [("GET", "a b"), ("OPTIONS", "a.b"), ("PUT", &"k".repeat(129))] {
        let reply = server.send(Request::new(method, "/").header("X-Personium-RequestKey", key));
        assert_eq!(reply.problem(), "400 PR400-EV-0002", "{method} {key}");
    }
    server.send(Request::new("GET", "/").header("X-Personium-RequestKey", "k".repeat(128))).expect(200);
}

#[test]
fn an_accept_that_is_not_ascii_is_400() {
    let server = Server::start();
    let reply = server.send(Request::new("GET", "/").header("Accept", "application/jso\u{f1}"));
    assert_eq!(reply.problem(), "400 PR400-OD-0041");
}

#[test]
fn forwarded_headers_of_a_trusted_proxy_count() {
    let request =
        || Request::new("GET", "/").header("X-Forwarded-Proto", "https").header("X-Forwarded-Host", "u.example");
    let url = |server: &Server| server.send(request()).json()["unit"]["url"].as_str().map(str::to_owned);
    assert_eq!(url(&Server::start()).as_deref(), Some("https://u.example/"));
    let distrustful = Server::with(&[("CELLAR_SERVER__TRUSTED_PROXIES", "192.0.2.0/24")]);
    assert_eq!(url(&distrustful), Some(distrustful.url()));
    let public = Server::with(&[("CELLAR_SERVER__PUBLIC_URL", "https://drive.example")]);
    assert_eq!(url(&public).as_deref(), Some("https://drive.example/"));
}

#[test]
fn head_has_the_headers_of_get() {
    let server = Server::start();
    let (get, head) = (server.anonymous("GET", "/"), server.anonymous("HEAD", "/"));
    let but_date = |headers: &[(String, String)]| {
        headers.iter().filter(|(name, _)| name != "date").cloned().collect::<BTreeSet<_>>()
    };
    assert_eq!(but_date(&get.headers), but_date(&head.headers));
    assert_eq!(get.header("content-length"), Some(get.body.len().to_string().as_str()));
}

#[test]
fn an_early_answer_reaches_a_client_that_still_sends() {
    let server = Server::start();
    let request = Request::new("PUT", "/__none").body(vec![0; 20_000_000]);
    assert_eq!(server.connect().try_send(&request).expect("an answer").problem(), "404 PR404-MC-0001");
    assert_eq!(server.connect().try_send(&request.chunked(100_000)).expect("an answer").problem(), "404 PR404-MC-0001");
}

#[test]
fn a_connection_is_kept() {
    let server = Server::start();
    let mut connection = server.connect();
    for _ in 0..3 {
        connection.send(&Request::new("GET", "/")).expect(200);
        connection.send(&Request::new("GET", "/__none")).expect(404);
        connection.send(&Request::new("POST", "/").body("ignored")).expect(405);
    }
}

#[test]
fn the_status_says_little() {
    let server = Server::start();
    assert_eq!(server.anonymous("GET", "/__status").expect(200).text(), r#"{"status":"ok"}"#);
}

#[test]
fn a_disk_below_its_reserve_is_for_reading_and_deleting() {
    let server = Server::start();
    for target in ["/c", "/c/b", "/c/b/d"] {
        server.admin("MKCOL", target).expect(201);
    }
    let root = server.root().to_owned();
    let mut server = server;
    server.stop();
    let reserved = Server::at(&root, &[("CELLAR_STORAGE__DISK_RESERVE", "1000000GiB")]);
    for (method, target) in [("PUT", "/c/b/x"), ("MKCOL", "/none/b"), ("POST", "/__ctl/Cell"), ("MOVE", "/c/b/d")] {
        assert_eq!(reserved.admin(method, target).problem(), "503 PR503-SV-0005", "{method}");
    }
    // Who wants to delete has to log in first.
    for target in ["/c/__token", "/c/__token/", "/c/__authz", "/c/__token/revoke"] {
        assert_ne!(reserved.send(Request::new("POST", target).body("grant_type=password")).status, 503, "{target}");
    }
    reserved.admin("GET", "/c/b").expect(200);
    reserved.admin("DELETE", "/c/b/d").expect(204);
}

#[test]
fn a_request_names_its_host_once() {
    let server = Server::start();
    for head in [
        "GET /__status HTTP/1.1\r\n\r\n",
        "GET http://a.example/__status HTTP/1.1\r\n\r\n",
        "GET /__status HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /__status HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
        "GET /__status HTTP/1.1\r\nX-Override: Host: a\r\n\r\n",
        "GET /__status HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
    ] {
        let mut connection = server.connect();
        connection.write(head.as_bytes()).expect("sent");
        assert_eq!(connection.reply("GET").expect("an answer").problem(), "400 PR400-MC-0010", "{head}");
    }
    let mut connection = server.connect();
    connection.write(b"GET /__status HTTP/1.0\r\n\r\n").expect("sent");
    assert_eq!(connection.reply("GET").expect("an answer").status, 200);
}

#[test]
fn a_fragment_in_the_target_is_400() {
    let server = Server::start();
    let mut connection = server.connect();
    for _ in 0..2 {
        let reply = connection.send(&Request::new("GET", "/__status#x").bearer(TOKEN));
        assert_eq!(reply.problem(), "400 PR400-MC-0006");
        assert_ne!(connection.send(&Request::new("GET", "/__status").bearer(TOKEN)).status, 400);
        assert_ne!(connection.send(&Request::new("GET", "/__status%23x").bearer(TOKEN)).status, 400);
    }
}
