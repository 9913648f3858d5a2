//! The snapshot area: a flat collection of whole files.

use std::fs;
use std::time::{Duration, Instant};

use crate::client::{Reply, Request};
use crate::harness::{Server, TOKEN};

fn admin(method: &str, target: &str) -> Request {
    Request::new(method, target).bearer(TOKEN)
}

fn server() -> Server {
    let server = Server::start();
    server.admin("MKCOL", "/c").expect(201);
    server
}

fn put(server: &Server, name: &str, bytes: &[u8]) -> Reply {
    server.send(admin("PUT", &format!("/c/__snapshot/{name}")).body(bytes))
}

fn tag(reply: &Reply) -> String {
    reply.header("etag").expect("a tag").to_owned()
}

#[test]
fn a_file_comes_and_goes() {
    let server = server();
    let first = put(&server, "a.zip", b"one").expect(201);
    assert!(tag(&first).starts_with("\"1-"), "{first:?}");
    let second =
        server.send(admin("PUT", "/c/__snapshot/a.zip").header("Content-Type", "x/y").body("second")).expect(204);
    assert!(tag(&second).starts_with("\"2-"), "{second:?}");
    let got = server.admin("GET", "/c/__snapshot/a.zip").expect(200);
    assert_eq!((got.text(), got.header("content-type"), tag(&got)), ("second", Some("x/y"), tag(&second)));
    let part = server.send(admin("GET", "/c/__snapshot/a.zip").header("Range", "bytes=1-3")).expect(206);
    assert_eq!(part.text(), "eco");
    let head = server.admin("HEAD", "/c/__snapshot/a.zip").expect(200);
    assert_eq!(head.header("content-length"), Some("6"));
    let weak = format!("\"0-0\", W/{}", tag(&second));
    server.send(admin("GET", "/c/__snapshot/a.zip").header("If-None-Match", weak)).expect(304);
    let stale = server.send(admin("DELETE", "/c/__snapshot/a.zip").header("If-Match", tag(&first)));
    assert_eq!(stale.problem(), "412 PR412-DV-0001");
    server.admin("DELETE", "/c/__snapshot/a.zip").expect(204);
    assert_eq!(server.admin("DELETE", "/c/__snapshot/a.zip").problem(), "404 PR404-DV-0001");
    assert_eq!(server.admin("GET", "/c/__snapshot/a.zip").problem(), "404 PR404-DV-0001");
    let again = put(&server, "a.zip", b"one").expect(201);
    assert_ne!(tag(&again), tag(&first), "a tag is never used twice");
}

#[test]
fn a_decomposed_name_is_the_composed_one() {
    let server = server();
    let (decomposed, composed) = ("Cafe%CC%81.zip", "Caf%C3%A9.zip");
    put(&server, decomposed, b"one").expect(201);
    put(&server, composed, b"two").expect(204);
    for name in [decomposed, composed] {
        let path = format!("/c/__snapshot/{name}");
        assert_eq!(server.admin("GET", &path).expect(200).text(), "two");
        let told = server.send(admin("PROPFIND", &path).header("Depth", "0")).expect(207);
        assert!(told.text().contains(composed), "{}", told.text());
    }
    server.admin("DELETE", &format!("/c/__snapshot/{decomposed}")).expect(204);
    server.admin("GET", &format!("/c/__snapshot/{composed}")).expect(404);
}

#[test]
fn the_area_tells_the_quota_of_its_cell() {
    let server = server();
    let ask =
        "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:quota-used-bytes/><D:quota-available-bytes/></D:prop></D:propfind>";
    for path in ["/c/__snapshot", "/c"] {
        let told = server.send(admin("PROPFIND", path).header("Depth", "1").body(ask)).expect(207);
        assert!(told.text().contains(">0</D:quota-used-bytes>") && !told.text().contains("404"), "{}", told.text());
    }
}

#[test]
fn conditions_hold_for_free_names_too() {
    let server = server();
    let on = |name: &str, header: &str, value: &str| {
        server.send(admin("PUT", &format!("/c/__snapshot/{name}")).header(header, value).body("x"))
    };
    assert_eq!(on("new", "If-Match", "*").problem(), "412 PR412-DV-0001");
    assert_eq!(on("new", "If-Match", "\"1-1\"").problem(), "412 PR412-DV-0001");
    on("new", "If-None-Match", "*").expect(201);
    assert_eq!(on("new", "If-None-Match", "*").problem(), "412 PR412-DV-0001");
    on("new", "If-Match", "*").expect(204);
    assert_eq!(on("new", "Content-Range", "bytes 0-0/2").problem(), "400 PR400-DV-0009");
}

#[test]
fn names_and_methods_are_refused_with_their_codes() {
    let server = server();
    for name in ["a%3Ab", "%2e%2e", "a%2Fb", "a%00b"] {
        assert_eq!(put(&server, name, b"x").problem(), "403 PR403-DV-0004", "{name}");
    }
    assert_eq!(put(&server, "a/b", b"x").problem(), "404 PR404-MC-0001");
    put(&server, "f", b"x").expect(201);
    for method in ["GET", "HEAD", "PUT", "POST", "DELETE", "MKCOL", "MOVE", "COPY", "PROPPATCH", "ACL", "LOCK"] {
        server.admin(method, "/c/__snapshot").expect(405);
    }
    for method in ["POST", "MKCOL", "MOVE", "COPY", "PROPPATCH", "ACL", "LOCK"] {
        assert_eq!(server.admin(method, "/c/__snapshot/f").problem(), "405 PR405-MC-0001", "{method}");
    }
    assert_eq!(server.admin("REPORT", "/c/__snapshot/f").problem(), "501 PR501-MC-0001");
    assert_eq!(server.admin("OPTIONS", "/c/__snapshot/").expect(200).header("allow"), Some("OPTIONS, PROPFIND"));
    assert!(server.admin("OPTIONS", "/c/__snapshot/f").expect(200).header("allow").is_some_and(|m| m.contains("PUT")));
    let anonymous = server.anonymous("GET", "/c/__snapshot/none");
    assert_eq!(anonymous.problem(), "401 PR401-AU-0001", "who may not look learns nothing");
    let schemes: Vec<_> = anonymous.headers_named("www-authenticate").collect();
    assert_eq!(schemes.len(), 2, "{schemes:?}");
}

#[test]
fn the_area_lists_itself_at_any_depth_but_0() {
    let server = server();
    put(&server, "b%20c.zip", b"12").expect(201);
    for (depth, responses) in [(None, 2), (Some("1"), 2), (Some("infinity"), 2), (Some("0"), 1)] {
        let mut request = admin("PROPFIND", "/c/__snapshot");
        if let Some(depth) = depth {
            request = request.header("Depth", depth);
        }
        let listing = server.send(request).expect(207);
        assert_eq!(listing.text().matches("<D:response>").count(), responses, "{depth:?}: {}", listing.text());
        assert!(listing.text().contains(">normal</p:cellstatus>"), "{}", listing.text());
    }
    let wrong = server.send(admin("PROPFIND", "/c/__snapshot").header("Depth", "2"));
    assert_eq!(wrong.problem(), "400 PR400-DV-0003");
    let one = server.send(admin("PROPFIND", "/c/__snapshot/b%20c.zip")).expect(207);
    for part in ["/c/__snapshot/b%20c.zip</D:href>", ">2</D:getcontentlength>", "<D:getetag", "<D:resourcetype"] {
        assert!(one.text().contains(part), "{part} in {}", one.text());
    }
    assert_eq!(server.admin("PROPFIND", "/c/__snapshot/none").problem(), "404 PR404-DV-0001");
}

#[test]
fn a_broken_upload_leaves_nothing() {
    let server = server();
    put(&server, "kept", b"old").expect(201);
    for name in ["kept", "new"] {
        let mut connection = server.connect();
        let head = admin("PUT", &format!("/c/__snapshot/{name}")).header("Content-Length", "1000000");
        connection.start(&head).expect("sent");
        connection.write(&vec![7; 400_000]).expect("sent");
    }
    let staging = server.root().join("cells/c/staging");
    let deadline = Instant::now() + Duration::from_secs(20);
    while fs::read_dir(&staging).expect("a directory").count() > 1 {
        assert!(Instant::now() < deadline, "something stays staged");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(server.admin("GET", "/c/__snapshot/kept").expect(200).text(), "old");
    assert_eq!(server.admin("GET", "/c/__snapshot/new").problem(), "404 PR404-DV-0001");
}

#[test]
fn a_file_put_there_by_hand_is_there() {
    let server = server();
    let path = server.root().join("cells/c/snapshot/by-hand.zip");
    fs::write(&path, b"PK").expect("written");
    let got = server.admin("GET", "/c/__snapshot/by-hand.zip").expect(200);
    assert_eq!((got.text(), got.header("content-type")), ("PK", Some("application/zip")));
    assert_eq!(tag(&server.admin("GET", "/c/__snapshot/by-hand.zip")), tag(&got));
    put(&server, "by-hand.zip", b"new").expect(204);
    fs::write(&path, b"by hand again").expect("written");
    assert_eq!(server.admin("GET", "/c/__snapshot/by-hand.zip").expect(200).text(), "by hand again");
    fs::remove_file(&path).expect("removed");
    server.admin("GET", "/c/__snapshot/by-hand.zip").expect(404);
    put(&server, "by-hand.zip", b"once more").expect(201);
}
