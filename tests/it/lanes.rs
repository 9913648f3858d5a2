//! Connections that ask for what can be answered again leave the runtime for a lane, and come back with whatever else they say. Nobody
//! must be able to tell.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::{Connection, Request};
use crate::dav::{Drive, on};
use crate::harness::TOKEN;

const LOG: &[(&str, &str)] = &[("CELLAR_LOG", "cellar=debug")];

/// What may pass until something is in a lane.
const PATIENCE: Duration = Duration::from_secs(30);

fn get(path: &str) -> Request {
    Request::new("GET", &format!("/c/{path}")).bearer(TOKEN)
}

/// How many answers have come from lanes.
fn from_lanes(drive: &Drive) -> usize {
    drive.server.log().matches("server::lane: answered again").count()
}

/// Asks until the answers come from a lane; every one has this body.
fn enter(drive: &Drive, connection: &mut Connection, request: &Request, body: &[u8]) {
    let (begun, before) = (Instant::now(), from_lanes(drive));
    while from_lanes(drive) == before {
        assert!(begun.elapsed() < PATIENCE, "it never enters a lane");
        for _ in 0..10 {
            let reply = connection.send(request);
            assert!((reply.status, reply.body.as_slice()) == (200, body), "{}", reply.status);
        }
    }
}

#[test]
fn whatever_is_asked_from_a_lane_is_answered_in_order() {
    let drive = Drive::with(LOG);
    for name in ["one", "two"] {
        drive.put(&format!("b/{name}"), name).expect(201);
    }
    let mut connection = drive.connect();
    let heads: Vec<Vec<u8>> = ["b/one", "b/two"].map(|path| get(path).head("h")).to_vec();
    let (one, two) = (&heads[0][..], &heads[1][..]);
    let cases: &[(&[&[u8]], &[&str])] = &[
        (&[two], &["two"]),
        (&[one, two, one], &["one", "two", "one"]),
        (&[&[one, two, one].concat()], &["one", "two", "one"]),
        (&[&one[..20], &one[20..]], &["one"]),
        (&[&[two, &one[..1]].concat(), &one[1..]], &["two", "one"]),
        (&[&two[..two.len() - 1], &two[two.len() - 1..]], &["two"]),
    ];
    for (pieces, names) in cases {
        enter(&drive, &mut connection, &get("b/one"), b"one");
        for piece in *pieces {
            connection.write(piece).expect("sent");
        }
        for name in *names {
            assert_eq!(connection.reply("GET").expect("an answer").text(), *name);
        }
    }
    enter(&drive, &mut connection, &get("b/one"), b"one");
    assert_eq!(connection.send(&Request::new("HEAD", "/c/b/one").bearer(TOKEN)).expect(200).body, b"");
    assert_eq!(connection.send(&on("PROPFIND", "b/").header("Depth", "1")).status, 207);
    enter(&drive, &mut connection, &get("b/one"), b"one");
    connection.send(&on("PUT", "b/one").body("another")).expect(204);
    enter(&drive, &mut connection, &get("b/one"), b"another");
    connection.write(b"nonsense\r\n\r\n").expect("sent");
    assert_eq!(connection.reply("GET").expect("an answer").status, 400);
    assert!(connection.is_closed());
}

#[test]
fn files_and_ranges_come_whole_from_a_lane_to_whoever_reads_slowly() {
    let drive = Drive::with(LOG);
    let content: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    drive.put("b/f", content.clone()).expect(201);
    let mut connection = Connection::narrow(drive.server.address);
    let range = |first: usize, last: usize| get("b/f").header("Range", format!("bytes={first}-{last}"));
    for round in 0..4 {
        let before = from_lanes(&drive);
        let begun = Instant::now();
        while from_lanes(&drive) == before {
            assert!(begun.elapsed() < PATIENCE, "it never enters a lane");
            for i in 0..20 {
                let (first, last) = (i * 1000 + round, i * 70_000 + 60_000);
                let reply = connection.send(&range(first, last)).expect(206);
                assert!(reply.body == content[first..=last], "{first}-{last}");
            }
        }
        for (first, last) in [(0, 250_000), (7, 2_999_999)] {
            connection.start(&range(first, last)).expect("asked");
            let (status, _) = connection.head().expect("a head");
            let mut got = vec![0; last - first + 1];
            let mut at = 0;
            while at < got.len() {
                let end = got.len().min(at + 10_000);
                at += connection.read(&mut got[at..end]).expect("bytes");
            }
            assert!(status == 206 && got == content[first..=last], "{first}-{last}");
        }
    }
}

#[test]
fn an_edit_is_seen_by_every_request_that_begins_after_it() {
    let drive = Drive::with(&[("CELLAR_LOG", "cellar=warn")]);
    drive.put("b/f", "0000").expect(201);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut connection = drive.connect();
                let mut last = 0;
                while !done.load(Relaxed) {
                    let number: u32 = connection.send(&get("b/f")).expect(200).text().parse().expect("a number");
                    assert!(number >= last, "{number} after {last}");
                    last = number;
                }
            });
        }
        let mut connection = drive.connect();
        let aside = drive.on_disk("aside");
        for number in 1..=100 {
            let text = format!("{number:04}");
            if number % 3 == 0 {
                drive.put("b/f", text.clone()).expect(204);
            } else {
                std::fs::write(&aside, &text).expect("written");
                std::fs::rename(&aside, drive.on_disk("f")).expect("exchanged");
            }
            // Often enough to be in a lane when the next edit comes.
            for _ in 0..20 {
                assert_eq!(connection.send(&get("b/f")).expect(200).text(), text);
            }
        }
        done.store(true, Relaxed);
    });
}

#[test]
fn a_server_ends_with_connections_in_lanes() {
    let mut drive = Drive::with(LOG);
    drive.put("b/f", "content").expect(201);
    let mut connections: Vec<Connection> = (0..5).map(|_| drive.connect()).collect();
    for connection in &mut connections {
        enter(&drive, connection, &get("b/f"), b"content");
    }
    drive.server.signal(Signal::TERM);
    for connection in &mut connections {
        assert!(connection.is_closed());
    }
    assert!(drive.server.wait().success());
}

#[test]
fn a_connection_in_a_lane_ends_when_nothing_is_asked_for_too_long() {
    let drive = Drive::with(&[("CELLAR_LOG", "cellar=debug"), ("CELLAR_CONNECTIONS__IDLE_S", "1")]);
    drive.put("b/f", "content").expect(201);
    let mut connection = drive.connect();
    enter(&drive, &mut connection, &get("b/f"), b"content");
    let begun = Instant::now();
    assert!(connection.is_closed() && begun.elapsed() < PATIENCE);
    let mut connection = drive.connect();
    enter(&drive, &mut connection, &get("b/f"), b"content");
    connection.half_close();
    assert!(connection.is_closed());
}

#[test]
fn every_answer_from_a_lane_has_its_line_in_the_log() {
    let mut drive = Drive::new();
    drive.put("b/f", "content").expect(201);
    let mut connection = drive.connect();
    for _ in 0..500 {
        connection.send(&get("b/f?secret=1")).expect(200);
    }
    drive.server.stop();
    let log = drive.server.log();
    let lines = log.lines().filter(|line| line.contains("method=GET path=/c/b/f status=200 bytes=7 whole=true"));
    assert_eq!(lines.count(), 500);
    assert!(!log.contains("secret"));
}

/// Asks for a listing until the answer is one that was given again.
fn listed_again(drive: &Drive, connection: &mut Connection, request: &Request) -> Vec<u8> {
    let again = || drive.server.log().matches("answered again").count();
    let (begun, before) = (Instant::now(), again());
    loop {
        assert!(begun.elapsed() < PATIENCE, "it is not answered again");
        let bodies: Vec<Vec<u8>> = (0..5).map(|_| connection.send(request).expect(207).body).collect();
        assert!(bodies.iter().all(|body| *body == bodies[0]));
        if again() > before {
            return bodies[0].clone();
        }
    }
}

#[test]
fn a_listing_given_again_is_like_one_that_is_made() {
    let drive = Drive::with(LOG);
    drive.mkcol("b/d").expect(201);
    for i in 0..20 {
        drive.put(&format!("b/d/{i}"), vec![b'x'; i]).expect(201);
    }
    let prop =
        "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:getetag/><D:resourcetype/><D:getcontentlength/></D:prop></D:propfind>";
    let mut connection = drive.connect();
    let steps: &[(&str, &dyn Fn())] = &[
        ("nothing", &|| ()),
        ("PUT", &|| drop(drive.put("b/d/new", "new").expect(201))),
        ("PUT over", &|| drop(drive.put("b/d/new", "newer").expect(204))),
        ("DELETE", &|| drop(drive.delete("b/d/new").expect(204))),
        ("PROPPATCH", &|| drop(drive.proppatch("b/d/3", "<D:set><D:prop><x>1</x></D:prop></D:set>").expect(207))),
        ("by hand", &|| std::fs::write(drive.on_disk("d/hand"), "by hand").expect("written")),
        ("removed by hand", &|| std::fs::remove_file(drive.on_disk("d/hand")).expect("removed")),
        ("MKCOL", &|| drop(drive.mkcol("b/d/sub").expect(201))),
        ("MOVE", &|| drop(drive.moves("b/d/4", "b/d/sub/4").expect(201))),
    ];
    for (what, step) in steps {
        step();
        for (path, depth, body, encoding) in [
            ("b/d", "1", "", None),
            ("b/d", "1", prop, None),
            ("b/d", "1", prop, Some("gzip")),
            ("b/d", "0", prop, None),
            ("b/d/3", "0", "", None),
        ] {
            let mut request = on("PROPFIND", path).header("Depth", depth);
            if let Some(encoding) = encoding {
                request = request.header("Accept-Encoding", encoding);
            }
            let request = if body.is_empty() { request } else { request.body(body) };
            // No two of these are alike, so none is given again.
            let made = connection.send(&request.clone().header("X-Aside", *what)).expect(207);
            assert!(connection.send(&request).expect(207).body == made.body, "{what}");
            assert!(listed_again(&drive, &mut connection, &request) == made.body, "{what}");
        }
    }
    drive.moves("b/d", "b/e").expect(201);
    let request = on("PROPFIND", "b/d").header("Depth", "1").body(prop);
    assert_eq!(connection.send(&request).status, 404);
}

#[test]
fn listings_with_locks_or_quotas_are_made_each_time() {
    let drive = Drive::with(LOG);
    drive.put("b/f", "content").expect(201);
    let quota = "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:quota-available-bytes/></D:prop></D:propfind>";
    let ask = |body: &str| {
        let mut connection = drive.connect();
        for _ in 0..30 {
            connection.send(&on("PROPFIND", "b/").header("Depth", "1").body(body)).expect(207);
        }
    };
    ask(quota);
    let info = "<D:lockinfo xmlns:D=\"DAV:\"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>";
    drive.send(on("LOCK", "b/f").body(info)).expect(200);
    ask("<D:propfind xmlns:D=\"DAV:\"><D:allprop/></D:propfind>");
    drive.get("b/f").expect(200);
    drive.server.wait_for_log("method=GET path=/c/b/f");
    assert!(!drive.server.log().contains("answered again"));
}
