//! What is asked again is answered from memory, or from the file without a detour; nobody must be able to tell, but by the time
//! it takes. The log at level `debug` says which answers those were.

use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::access::World;
use crate::client::{Connection, Reply, Request};
use crate::dav::Drive;
use crate::harness::{Server, TOKEN};

const LOG: &[(&str, &str)] = &[("CELLAR_LOG", "cellar=debug")];

fn get(path: &str) -> Request {
    Request::new("GET", path).bearer(TOKEN)
}

/// How many answers were given again so far.
fn again(server: &Server) -> usize {
    server.log_up_to_now().lines().filter(|line| line.contains("answered again")).count()
}

/// Asks until the answer is one that was given again; all must be alike but for their date.
fn warm(connection: &mut Connection, request: &Request) -> Reply {
    let mut replies: Vec<Reply> = (0..4).map(|_| connection.send(request)).collect();
    for reply in &mut replies {
        reply.headers.retain(|(name, _)| name != "date");
        reply.headers.sort();
    }
    let last = replies.pop().expect("four");
    for reply in replies {
        assert_eq!((reply.status, &reply.headers), (last.status, &last.headers));
        assert!(reply.body == last.body, "{} and {} bytes", reply.body.len(), last.body.len());
    }
    last
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i % 251) as u8).collect()
}

#[test]
fn answers_given_again_are_like_the_first() {
    let drive = Drive::with(LOG);
    let mut connection = drive.connect();
    for (name, length) in [("empty", 0), ("small.txt", 4096), ("middle.html", 40_000), ("large", 3_000_000)] {
        drive.put(&format!("b/{name}"), content(length)).expect(201);
        let before = again(&drive.server);
        let begun = Instant::now();
        // While the upload is still being written down nothing is kept.
        while again(&drive.server) < before + 2 {
            assert!(begun.elapsed() < Duration::from_secs(20), "{name} is not answered again");
            let reply = warm(&mut connection, &get(&format!("/c/b/{name}"))).expect(200);
            assert!(reply.body == content(length), "{name}");
            assert_eq!(reply.header("content-length"), Some(length.to_string().as_str()));
            assert!(reply.header("access-control-allow-origin").is_some());
            assert!(reply.header("x-personium-version").is_some());
        }
    }
}

#[test]
fn ranges_of_a_known_file_are_those_of_an_unknown_one() {
    let drive = Drive::with(LOG);
    let whole = content(2_000_000);
    drive.put("b/f", whole.clone()).expect(201);
    let tag = drive.get("b/f").header("etag").expect("a tag").to_owned();
    let mut connection = drive.connect();
    warm(&mut connection, &get("/c/b/f"));
    let mut ask = |range: &str| connection.send(&get("/c/b/f").header("Range", range));
    for (range, first, last) in
        [("bytes=0-0", 0, 0), ("bytes=5-70000", 5, 70_000), ("bytes=1999999-9999999", 1_999_999, 1_999_999)]
    {
        let part = ask(range).expect(206);
        assert_eq!(part.header("content-range"), Some(format!("bytes {first}-{last}/2000000").as_str()));
        assert_eq!(part.header("etag"), Some(tag.as_str()));
        assert!(part.body == whole[first..=last], "{range}");
    }
    assert!(again(&drive.server) >= 3);
    assert_eq!(ask("bytes=-5").expect(206).body, &whole[1_999_995..]);
    assert_eq!(ask("bytes=1999990-").expect(206).body, &whole[1_999_990..]);
    assert_eq!(ask("bytes=2000000-2000001").expect(416).header("content-range"), Some("bytes */2000000"));
    assert!(
        ask("bytes=0-1,5-6").expect(206).header("content-type").expect("a type").starts_with("multipart/byteranges")
    );
    assert_eq!(ask("bytes=7-6").expect(200).body.len(), 2_000_000);
    let mut if_range = |tag: &str| {
        let request = get("/c/b/f").header("Range", "bytes=1-3").header("If-Range", tag);
        warm(&mut connection, &request).status
    };
    assert_eq!((if_range(&tag), if_range("\"other\"")), (206, 200));
    let unchanged = get("/c/b/f").header("If-None-Match", tag.as_str());
    assert_eq!(warm(&mut connection, &unchanged).status, 304);
}

#[test]
fn a_change_is_seen_by_the_next_request() {
    let drive = Drive::with(LOG);
    let mut connection = drive.connect();
    let mut check = |path: &str, status: u16, body: &[u8]| {
        let reply = warm(&mut connection, &get(&format!("/c/{path}")));
        assert_eq!(reply.status, status, "{path}");
        assert!(status != 200 || reply.body == body, "{path}");
    };
    for (i, length) in [10, 100_000, 10, 300_000].into_iter().enumerate() {
        let body = vec![b'a' + i as u8; length];
        assert!(drive.put("b/d.txt", body.clone()).status < 300);
        check("b/d.txt", 200, &body);
    }
    let body = vec![b'd'; 300_000];
    drive.mkcol("b/sub").expect(201);
    drive.moves("b/d.txt", "b/sub/e.txt").expect(201);
    check("b/d.txt", 404, b"");
    check("b/sub/e.txt", 200, &body);
    drive.moves("b/sub", "b/other").expect(201);
    check("b/sub/e.txt", 404, b"");
    check("b/other/e.txt", 200, &body);
    drive.delete("b/other").expect(204);
    check("b/other/e.txt", 404, b"");
    drive.mkcol("b/other").expect(201);
    drive.put("b/other/e.txt", "again").expect(201);
    check("b/other/e.txt", 200, b"again");
    drive.send(Request::new("DELETE", "/c/b").bearer(TOKEN).header("X-Personium-Recursive", "true")).expect(204);
    check("b/other/e.txt", 404, b"");
    assert!(again(&drive.server) > 8);
}

#[test]
fn an_edit_by_hand_is_seen_even_if_it_restores_the_time() {
    let drive = Drive::with(LOG);
    let mut connection = drive.connect();
    for length in [100, 200_000] {
        drive.put("b/f", vec![b'x'; length]);
        assert!(warm(&mut connection, &get("/c/b/f")).body == vec![b'x'; length]);
        let before = std::fs::metadata(drive.on_disk("f")).expect("the file");
        let file = std::fs::OpenOptions::new().write(true).open(drive.on_disk("f")).expect("the file");
        file.write_all_at(b"y", 50).expect("written");
        file.set_modified(before.modified().expect("a time")).expect("the time is restored");
        drop(file);
        let after = std::fs::metadata(drive.on_disk("f")).expect("the file");
        assert_eq!((before.ino(), before.len(), before.mtime_nsec()), (after.ino(), after.len(), after.mtime_nsec()));
        let mut edited = vec![b'x'; length];
        edited[50] = b'y';
        assert!(connection.send(&get("/c/b/f")).expect(200).body == edited, "{length}");
        std::fs::remove_file(drive.on_disk("f")).expect("removed");
        assert_eq!(connection.send(&get("/c/b/f")).status, 404);
    }
}

#[test]
fn whoever_may_no_longer_is_refused_at_once() {
    let world = World::with(LOG);
    let token = world.user("a", &["r"]);
    world.send(Request::new("PUT", "/c/b/f").bearer(TOKEN).body("content")).expect(201);
    let mut connection = world.server.connect();
    let mut status = |token: &str| {
        let listed = Request::new("PROPFIND", "/c/b").header("Depth", "1").bearer(token);
        let (status, listed) = (
            warm(&mut connection, &Request::new("GET", "/c/b/f").bearer(token)).status,
            warm(&mut connection, &listed),
        );
        assert_eq!(if listed.status == 207 { 200 } else { listed.status }, status);
        status
    };
    let before = again(&world.server);
    for round in 0..20 {
        world.allow("b", &[("r", &["read"])]);
        assert_eq!(status(&token), 200, "{round}");
        assert_eq!(status("nonsense"), 401, "{round}");
        world.allow("b", &[("r", &["write"])]);
        assert_eq!(status(&token), 403, "{round}");
    }
    world.allow("", &[("r", &["all"])]);
    assert_eq!(status(&token), 200);
    world.admin("DELETE", "/c/__ctl/Account('a')").expect(204);
    assert_eq!(status(&token), 401);
    assert!(again(&world.server) >= before + 40);
}

#[test]
fn a_token_ends_when_it_ends() {
    let world = World::with(LOG);
    world.user("a", &["r"]);
    world.allow("b", &[("r", &["all"])]);
    world.send(Request::new("PUT", "/c/b/f").bearer(TOKEN).body("content")).expect(201);
    let login = world.log_in("a", &[("expires_in", "2")]);
    let token = login["access_token"].as_str().expect("a token");
    let mut connection = world.server.connect();
    let request = Request::new("GET", "/c/b/f").bearer(token);
    let began = Instant::now();
    let mut answered = 0;
    while connection.send(&request).status == 200 {
        answered += 1;
        assert!(began.elapsed().as_secs() < 20, "it never ends");
    }
    assert!(answered > 3 && began.elapsed().as_millis() >= 900, "{answered} in {:?}", began.elapsed());
    assert_eq!(connection.send(&request).problem(), "401 PR401-AU-0002");
    assert!(again(&world.server) > 1);
}

#[test]
fn requests_in_one_piece_and_in_many_are_answered_in_order() {
    let drive = Drive::with(LOG);
    for name in ["one", "two"] {
        drive.put(&format!("b/{name}"), name).expect(201);
    }
    let mut connection = drive.connect();
    let heads: Vec<Vec<u8>> = ["one", "two"].iter().map(|name| get(&format!("/c/b/{name}")).head("h")).collect();
    let mut expect = |bytes: &[&[u8]], names: &[&str]| {
        for piece in bytes {
            connection.write(piece).expect("sent");
        }
        for name in names {
            assert_eq!(connection.reply("GET").expect("an answer").text(), *name);
        }
    };
    for _ in 0..4 {
        expect(&[&heads[0]], &["one"]);
        expect(&[&heads[1]], &["two"]);
    }
    expect(&[&[heads[0].clone(), heads[1].clone(), heads[0].clone()].concat()], &["one", "two", "one"]);
    let (begin, end) = heads[0].split_at(20);
    expect(&[begin, end], &["one"]);
    expect(&[&heads[1]], &["two"]);
    expect(&[&[heads[1].clone(), begin.to_vec()].concat(), end], &["two", "one"]);
    expect(&[&heads[0]], &["one"]);
    assert!(again(&drive.server) > 5);
}

#[test]
fn a_connection_that_is_to_end_ends_after_its_answer() {
    let drive = Drive::new();
    drive.put("b/f", content(500_000)).expect(201);
    for request in [get("/c/b/f"), get("/c/b/f").header("Connection", "close")] {
        for _ in 0..3 {
            let mut connection = drive.connect();
            assert!(connection.send(&request).body == content(500_000));
        }
    }
    let mut connection = drive.connect();
    connection.send(&get("/c/b/f").header("Connection", "close")).expect(200);
    assert!(connection.is_closed());
    let mut connection = drive.connect();
    let head = String::from_utf8(get("/c/b/f").head("h")).expect("text").replace("HTTP/1.1", "HTTP/1.0");
    connection.write(head.as_bytes()).expect("sent");
    assert!(connection.reply("GET").expect("an answer").body == content(500_000));
    assert!(connection.is_closed());
}

#[test]
fn a_server_that_ends_finishes_what_it_sends() {
    let mut drive = Drive::with(LOG);
    drive.put("b/f", content(30_000_000)).expect(201);
    let whole = content(30_000_000);
    let mut connections: Vec<Connection> = (0..3).map(|_| drive.connect()).collect();
    for connection in &mut connections {
        connection.start(&get("/c/b/f")).expect("asked");
        let (status, _) = connection.head().expect("a head");
        assert_eq!(status, 200);
    }
    drive.server.signal(Signal::TERM);
    drive.server.wait_for_log("finishing running requests");
    for connection in &mut connections {
        let mut body = vec![0; whole.len()];
        let mut got = 0;
        while got < body.len() {
            let n = connection.read(&mut body[got..]).expect("bytes");
            assert!(n > 0, "it broke off after {got} bytes");
            got += n;
        }
        assert!(body == whole && connection.is_closed());
    }
    assert!(drive.server.wait().success());
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_breaks_the_connection() {
    let drive = Drive::with(LOG);
    drive.put("b/f", content(50_000_000)).expect(201);
    let mut connection = drive.connect();
    connection.start(&get("/c/b/f")).expect("asked");
    connection.head().expect("a head");
    let mut file = std::fs::OpenOptions::new().write(true).open(drive.on_disk("f")).expect("the file");
    file.set_len(1_000_000).expect("cut");
    file.flush().expect("cut");
    let mut got = 0;
    let mut buffer = vec![0; 1 << 20];
    while let Ok(n @ 1..) = connection.read(&mut buffer) {
        got += n;
    }
    assert!(got < 50_000_000, "{got}");
}

#[test]
fn the_log_has_a_line_for_each() {
    let drive = Drive::with(LOG);
    drive.put("b/f", content(100_000)).expect(201);
    let mut connection = drive.connect();
    for _ in 0..5 {
        connection.send(&get("/c/b/f?secret=1").header("Range", "bytes=1-77")).expect(206);
        connection.send(&get("/c/b/f?secret=1")).expect(200);
    }
    assert!(again(&drive.server) >= 7);
    let log = drive.server.log();
    let lines = |bytes: &str| {
        let has = |line: &&str| {
            line.contains("method=GET path=/c/b/f ") && line.contains(bytes) && line.contains("whole=true")
        };
        log.lines().filter(has).count()
    };
    assert_eq!((lines("status=206 bytes=77 "), lines("status=200 bytes=100000 ")), (5, 5), "{log}");
    assert!(!log.contains("secret="));
}
