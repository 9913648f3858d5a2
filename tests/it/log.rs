//! The event log of a cell.

use crate::client::Request;
use crate::harness::{Server, TOKEN};

fn with_cell() -> Server {
    let server = Server::start();
    server.admin("MKCOL", "/c").expect(201);
    server
}

/// Puts a file into the folder of the log as if it had been rotated there, or written.
fn put(server: &Server, name: &str, content: &str) {
    std::fs::write(server.root().join("cells/c/log").join(name), content).expect("a log");
}

#[test]
fn the_log_of_a_fresh_cell_is_empty() {
    let server = with_cell();
    for method in ["GET", "HEAD"] {
        let reply = server.admin(method, "/c/__log/current/default.log").expect(200);
        assert_eq!((reply.header("content-type"), reply.body.len()), (Some("text/csv"), 0));
    }
}

#[test]
fn a_log_is_read_whole_or_in_parts() {
    let server = with_cell();
    put(&server, "current/default.log", "one\ntwo\n");
    let whole = server.admin("GET", "/c/__log/current/default.log").expect(200);
    assert_eq!((whole.text(), whole.header("content-type")), ("one\ntwo\n", Some("text/csv")));
    let request = Request::new("GET", "/c/__log/current/default.log").bearer(TOKEN);
    assert_eq!(server.send(request.header("Range", "bytes=4-")).expect(206).text(), "two\n");
}

#[test]
fn the_current_log_is_not_deleted() {
    let server = with_cell();
    assert_eq!(server.admin("DELETE", "/c/__log/current/default.log").problem(), "400 PR400-EV-0005");
    assert_eq!(server.admin("DELETE", "/c/__log/current/other.log").problem(), "404 PR404-DV-0001");
}

#[test]
fn a_rotated_log_is_read_listed_and_deleted() {
    let server = with_cell();
    put(&server, "archive/default.log.1714558830400", "old\n");
    let target = "/c/__log/archive/default.log.1714558830400";
    assert_eq!(server.admin("GET", target).expect(200).text(), "old\n");
    let list = |folder: &str, depth: &str| {
        let request = Request::new("PROPFIND", &format!("/c/__log/{folder}")).bearer(TOKEN).header("Depth", depth);
        server.send(request).expect(207).text().to_owned()
    };
    let text = list("archive", "1");
    assert!(text.contains(target) && text.contains(">4</D:getcontentlength>") && text.contains("text/csv"), "{text}");
    assert_eq!(list("archive", "0").matches("<D:response>").count(), 1);
    assert_eq!(list("current", "1").matches("<D:response>").count(), 1);
    server.admin("DELETE", target).expect(204);
    for method in ["GET", "DELETE"] {
        assert_eq!(server.admin(method, target).problem(), "404 PR404-DV-0001", "{method}");
    }
}

#[test]
fn what_is_no_log_is_404() {
    let server = with_cell();
    for (target, code) in [
        ("/c/__log", "404 PR404-MC-0001"),
        ("/c/__log/other", "404 PR404-MC-0001"),
        ("/c/__log/other/default.log", "404 PR404-MC-0001"),
        ("/c/__log/current/default.log/x", "404 PR404-MC-0001"),
        ("/c/__log/current/other.log", "404 PR404-DV-0001"),
        ("/c/__log/archive/default.log", "404 PR404-DV-0001"),
        ("/c/__log/archive/..", "404 PR404-DV-0001"),
        ("/c/__log/archive/%2e%2e%2f%2e%2e%2fcell.db", "404 PR404-DV-0001"),
        ("/none/__log/current", "404 PR404-DV-0003"),
    ] {
        assert_eq!(server.admin("GET", target).problem(), code, "{target}");
    }
}

#[test]
fn methods_and_credentials_of_the_log() {
    let server = with_cell();
    for (method, target) in [("GET", "current"), ("DELETE", "archive"), ("PUT", "current/default.log")] {
        assert_eq!(server.admin(method, &format!("/c/__log/{target}")).problem(), "405 PR405-MC-0001", "{target}");
    }
    let reply = server.anonymous("GET", "/c/__log/current/default.log");
    assert_eq!(reply.problem(), "401 PR401-AU-0001");
    assert_eq!(reply.headers_named("www-authenticate").count(), 1);
    let depth = |value: &str| {
        let request = Request::new("PROPFIND", "/c/__log/current").bearer(TOKEN).header("Depth", value);
        server.send(request)
    };
    assert!(depth("infinity").expect(403).text().contains("PR403-DV-0001"));
    assert_eq!(depth("2").problem(), "400 PR400-DV-0003");
}
