//! What nobody must find anywhere: passwords, tokens and keys; and what must not stop the server.

use proptest::prelude::*;

use super::{PASSWORD, World, encoded, outcome, text};
use crate::client::Request;
use crate::harness::TOKEN;

/// Every file of a directory tree, as bytes.
fn bytes_below(path: &std::path::Path, found: &mut Vec<(std::path::PathBuf, Vec<u8>)>) {
    for entry in std::fs::read_dir(path).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            bytes_below(&path, found);
        } else {
            let bytes = std::fs::read(&path).expect("a file");
            found.push((path, bytes));
        }
    }
}

#[test]
fn secrets_are_neither_in_logs_nor_in_answers_nor_on_disk() {
    let mut world = World::with(&[("CELLAR_LOG", "trace")]);
    world.make("Rule", &serde_json::json!({ "Name": "all", "Action": "log" })).expect(201);
    world.account("a", &["r"]);
    world.allow("b", &[("r", &["read"])]);
    let login = world.log_in("a", &[("p_cookie", "true")]);
    let drive = world.drive_password("laptop", "a", None);
    let (access, refresh) = (text(&login, "access_token"), text(&login, "refresh_token"));
    let wrong = "a-wrong-password-9";
    for request in [
        Request::new("GET", "/c/b").bearer(&access),
        Request::new("GET", "/c/b").basic("a", PASSWORD),
        Request::new("GET", "/c/b").basic("a", wrong),
        Request::new("PROPFIND", "/c/b").basic("a", &drive),
        Request::new("GET", "/c/b/none").bearer(&refresh),
        Request::new("PUT", "/c/__mypassword").bearer(&access).header("X-Personium-Credential", wrong),
        Request::new("GET", &format!("/c/b?p_cookie_peer={}", text(&login, "p_cookie_peer"))),
        Request::new("POST", "/c/__token")
            .body(encoded(&[("grant_type", "refresh_token"), ("refresh_token", &refresh)])),
        Request::new("POST", "/c/__token").body(encoded(&[("grant_type", wrong), ("password", PASSWORD)])),
    ] {
        let reply = world.send(request.header("X-Personium-RequestKey", "key"));
        let body = String::from_utf8_lossy(&reply.body).into_owned();
        for secret in [PASSWORD, &drive, &access] {
            assert!(!body.contains(secret), "{body}");
        }
    }
    world.server.stop();
    let keys = std::fs::read_to_string(world.server.root().join("token.keys")).expect("the keys");
    let key = keys.split([' ', '\n']).nth(2).expect("a key").to_owned();
    let mut files = Vec::new();
    bytes_below(world.server.root(), &mut files);
    files.push(("the log".into(), world.server.log().into_bytes()));
    let secrets = [PASSWORD, wrong, TOKEN, &drive, &access, &refresh, &key, &text(&login, "p_cookie_peer")];
    for (path, bytes) in &files {
        for secret in secrets {
            let there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!there || (path.ends_with("token.keys") && secret == key), "{secret} in {}", path.display());
        }
    }
    assert!(files.len() > 5 && world.server.log().contains("/c/__token"), "there was something to look at");
}

#[test]
fn the_keys_of_tokens_survive_a_restart_and_are_for_nobody_else() {
    let dir = tempfile::TempDir::new().expect("a directory");
    let root = dir.path().join("unit");
    let mut world = World::at(&root);
    let token = world.user("a", &["r"]);
    world.allow("b", &[("r", &["read"])]);
    world.server.stop();
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(root.join("token.keys")).expect("the keys").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    world.server = crate::harness::Server::at(&root, &[]);
    world.ask(&token, "GET", "b").expect(200);
    world.server.stop();
    std::fs::remove_file(root.join("token.keys")).expect("the keys");
    world.server = crate::harness::Server::at(&root, &[]);
    assert_eq!(outcome(&world.ask(&token, "GET", "b")), "401 PR401-AU-0006");
}

#[test]
fn keys_follow_one_another_while_tokens_live() {
    let dir = tempfile::TempDir::new().expect("a directory");
    let root = dir.path().join("unit");
    let mut world = World::at(&root);
    let token = world.user("a", &["r"]);
    world.allow("b", &[("r", &["read"])]);
    world.server.stop();
    let lines = || std::fs::read_to_string(root.join("token.keys")).expect("the keys").lines().count();
    assert_eq!(lines(), 1);
    world.server = crate::harness::Server::at(&root, &[("CELLAR_AUTH__KEY_ROTATION_S", "0")]);
    assert!(lines() >= 2, "a new key is there");
    world.ask(&token, "GET", "b").expect(200);
    world.ask(&world.token("a"), "GET", "b").expect(200);
}

#[test]
fn broken_bodies_and_credentials_are_refused_and_nothing_else() {
    let world = World::new();
    let token = world.user("a", &["r"]);
    world.allow("", &[("r", &["root"])]);
    let connection = std::cell::RefCell::new(world.server.connect());
    let send = |request: &Request| {
        let reply = connection.borrow_mut().send(request);
        assert!(reply.status < 500, "{request:?}: {reply:?}");
        reply.status
    };
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let body = prop_oneof![
        "[ -~]{0,60}",
        "(\\{\"(Name|Status|Type|Cell|IPAddressRange|_Account.Name|uri)\":(\"[ -~]{0,20}\"|null|1|\\[\\]|\\{\\})\\}){1,2}",
        "<D:(acl|ace|propfind) xmlns:D=\"DAV:\">(<D:(ace|principal|grant|privilege|href|all|read)/?>){0,8}",
        "(grant_type|username|password|refresh_token|client_id|assertion|code|scope|p_target)=[!-~]{0,40}(&[!-~]{0,30}){0,3}",
    ];
    runner
        .run(&(body, 0..7_usize, "[!-~]{0,40}"), |(body, door, trash)| {
            let request = match door {
                0 => Request::new("POST", "/c/__token").body(body),
                1 => Request::new("POST", "/c/__ctl/Account").bearer(&token).body(body),
                2 => Request::new("POST", "/c/__ctl/DrivePassword").bearer(&token).body(body),
                3 => Request::new("ACL", "/c/b").bearer(&token).body(body),
                4 => Request::new("POST", "/c/__introspect").bearer(&token).body(body),
                5 => Request::new("GET", "/c/b").header("Authorization", format!("Basic {trash}")),
                _ => Request::new("GET", "/c/b").header("Authorization", format!("Bearer AR~{trash}")),
            };
            send(&request);
            Ok(())
        })
        .expect("no request fails the server");
    assert_eq!(send(&Request::new("GET", "/c/b").bearer(&token)), 200);
}
