//! Files that follow one another over one connection go straight to the writer; nobody must be able to tell, but by the time it
//! takes. The log at level `debug` says which those were.

use crate::client::{Connection, Reply, Request};
use crate::dav::Drive;
use crate::harness::{Server, TOKEN};

const LOG: &[(&str, &str)] = &[("CELLAR_LOG", "cellar=debug")];

fn put(path: &str, body: &[u8]) -> Request {
    Request::new("PUT", path).bearer(TOKEN).body(body)
}

/// How many files went straight to the writer so far.
fn taken(server: &Server) -> usize {
    server.log_up_to_now().lines().filter(|line| line.contains("straight to the writer")).count()
}

/// Puts a file some times: the last time it goes straight to the writer. A connection that dozes has to be warmed anew.
fn warm(connection: &mut Connection) {
    for _ in 0..3 {
        let reply = connection.send(&put("/c/b/warm", b"warm"));
        assert!([201, 204].contains(&reply.status), "{}", reply.text());
    }
}

/// What has to be the same each time.
fn form(reply: &Reply) -> (u16, Vec<(String, String)>) {
    let mut headers = reply.headers.clone();
    headers.retain(|(name, _)| !["date", "etag"].contains(&name.as_str()));
    headers.sort();
    (reply.status, headers)
}

#[test]
fn files_that_follow_are_answered_like_the_first() {
    let drive = Drive::with(LOG);
    drive.mkcol("b/d").expect(201);
    let (mut fresh, mut connection) = (drive.connect(), drive.connect());
    let created = form(&fresh.send(&put("/c/b/one", b"1")).expect(201));
    let replaced = form(&drive.connect().send(&put("/c/b/one", b"2")).expect(204));
    warm(&mut connection);
    for (path, body) in [("two", b"22".as_slice()), ("d/three", b""), ("d/..four", &[7; 5000])] {
        let first = connection.send(&put(&format!("/c/b/{path}"), body));
        assert_eq!(form(&first), created, "{path}");
        let second = connection.send(&put(&format!("/c/b/{path}"), body));
        assert_eq!(form(&second), replaced, "{path}");
        assert_ne!(first.header("etag"), second.header("etag"), "{path}");
        let file = drive.get(&format!("b/{path}")).expect(200);
        assert_eq!((file.body.as_slice(), file.header("etag")), (body, second.header("etag")), "{path}");
    }
    // Some went the usual way: the first, and where time had passed.
    assert!(taken(&drive.server) >= 3);
    assert_eq!(drive.names("b/d"), ["..four", "three"]);
    let listed = drive.propfind("b/d", "1");
    assert_eq!(listed.len(), 3);
}

#[test]
fn what_is_refused_is_refused_as_always() {
    let drive = Drive::with(LOG);
    drive.mkcol("b/d").expect(201);
    drive.put("b/locked", "before").expect(201);
    let lock = "<D:lockinfo xmlns:D='DAV:'><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>";
    drive.xml("LOCK", "b/locked", lock).expect(200);
    let mut connection = drive.connect();
    for path in ["/c/b/none/f", "/c/b/d", "/c/b/locked", "/c/b/warm/below", "/c/none/f", "/none/b/f", "/c/b/a%2fb"] {
        warm(&mut connection);
        let (usual, straight) = (drive.connect().send(&put(path, b"x")), connection.send(&put(path, b"x")));
        assert_eq!(form(&straight), form(&usual), "{path}");
        assert_eq!(straight.text(), usual.text(), "{path}");
    }
    // At least one to be refused in each round had come that far.
    assert!(taken(&drive.server) >= 8);
    drive.delete("b/warm").expect(204);
    connection.send(&put("/c/b/warm", b"anew")).expect(201);
    assert_eq!(drive.text("b/locked"), "before");
}

#[test]
fn requests_that_are_not_alike_or_not_whole_go_the_usual_way() {
    let drive = Drive::with(LOG);
    let mut connection = drive.connect();
    warm(&mut connection);
    connection.send(&put("/c/b/f", b"f").header("X-OC-Mtime", "1000000000")).expect(201);
    connection.send(&put("/c/b/f", b"g").header("If-None-Match", "*")).expect(412);
    connection.send(&put("/c/b/f", b"g").header("Content-Type", "text/x-g")).expect(204);
    connection.send(&put("/c/b/g", &vec![1; 40_000])).expect(201);
    connection.send(&put("/c/b/h", b"chunked").chunked(3)).expect(201);
    connection.send(&Request::new("PUT", "/c/b/i").body("nobody")).expect(401);
    // Two at once, and one in pieces.
    let raw = |name: &str| {
        format!("PUT /c/b/{name} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 2\r\n\r\n")
    };
    connection.write(format!("{}p1{}p2", raw("p1"), raw("p2")).as_bytes()).expect("sent");
    let mut status = || connection.reply("PUT").expect("a reply").status;
    assert_eq!((status(), status()), (201, 201));
    // One at most: the last of those that warmed it.
    assert!(taken(&drive.server) <= 2);
    assert_eq!(drive.get("b/f").expect(200).header("content-type"), Some("text/x-g"));
    assert_eq!(
        (drive.text("b/h"), drive.text("b/p1"), drive.text("b/p2")),
        ("chunked".into(), "p1".into(), "p2".into())
    );
}

#[test]
fn rules_are_told_of_every_file() {
    let drive = Drive::with(LOG);
    let mut connection = drive.connect();
    warm(&mut connection);
    let rule = r#"{"Name":"r","EventType":"davfile.create","Action":"log"}"#;
    drive.server.send(Request::new("POST", "/c/__ctl/Rule").bearer(TOKEN).body(rule)).expect(201);
    for n in 0..20 {
        connection.send(&put(&format!("/c/b/n{n}"), b"n")).expect(201);
    }
    let log = drive.server.admin("GET", "/c/__log/current/default.log").expect(200);
    assert!(log.text().contains("/b/n19"), "the last one at least is told of: {}", log.text());
}
