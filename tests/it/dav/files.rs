//! PUT, GET and HEAD of files.

use super::{Drive, on};
use crate::client::Request;

#[test]
fn put_of_a_new_file_is_201_and_over_it_204() {
    let drive = Drive::new();
    let one = drive.put("b/f.txt", "one").expect(201);
    assert!(one.body.is_empty());
    let tag = one.header("etag").expect("a tag").to_owned();
    assert!(tag.starts_with("\"1-"), "{tag}");
    assert_eq!(std::fs::read(drive.on_disk("f.txt")).expect("a file"), b"one");
    let two = drive.put("b/f.txt", "two").expect(204);
    assert!(two.header("etag").is_some_and(|t| t.starts_with("\"2-")), "{two:?}");
    assert_eq!(drive.get("b/f.txt").expect(200).header("etag"), two.header("etag"));
    assert_eq!(drive.text("b/f.txt"), "two");
}

#[test]
fn put_keeps_the_declared_type_verbatim_and_guesses_without_one() {
    let drive = Drive::new();
    let odd = "Application/X-Thing ; v=\"1, 2\"";
    drive.send(on("PUT", "b/f").header("Content-Type", odd).body("x")).expect(201);
    assert_eq!(drive.get("b/f").header("content-type"), Some(odd));
    drive.put("b/f", "y").expect(204);
    assert_eq!(drive.get("b/f").header("content-type"), Some(odd));
    drive.put("b/page.html", "z").expect(201);
    assert_eq!(drive.get("b/page.html").header("content-type"), Some("text/html"));
}

#[test]
fn put_with_stale_etag_is_412() {
    let drive = Drive::new();
    let tag = drive.put("b/f", "1").header("etag").expect("a tag").to_owned();
    let put = |tag: &str| drive.send(on("PUT", "b/f").header("If-Match", tag).body("new"));
    put(&tag).expect(204);
    assert_eq!(put(&tag).problem(), "412 PR412-DV-0001");
    put("*").expect(204);
    let weak = format!("W/{}", drive.get("b/f").header("etag").expect("a tag"));
    put(&weak).expect(204);
}

#[test]
fn put_with_if_match_on_a_free_name_is_412() {
    let drive = Drive::new();
    for tag in ["*", "\"1-1\""] {
        let reply = drive.send(on("PUT", "b/f").header("If-Match", tag).body("new"));
        assert_eq!(reply.problem(), "412 PR412-DV-0001");
    }
    drive.get("b/f").expect(404);
}

#[test]
fn put_with_if_none_match_creates_only_once() {
    let drive = Drive::new();
    let put = || drive.send(on("PUT", "b/f").header("If-None-Match", "*").body("new"));
    put().expect(201);
    put().expect(412);
}

#[test]
fn put_unmodified_since_counts() {
    let drive = Drive::new();
    drive.put("b/f", "1").expect(201);
    let put = |date| drive.send(on("PUT", "b/f").header("If-Unmodified-Since", date).body("2"));
    put("Wed, 01 May 2024 10:20:30 GMT").expect(412);
    put("Tue, 01 May 2125 10:20:30 GMT").expect(204);
}

#[test]
fn one_of_many_puts_with_one_tag_wins() {
    let drive = Drive::new();
    let tag = drive.put("b/f", "0").header("etag").expect("a tag").to_owned();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let put = |i: usize| {
            let (drive, tag) = (&drive, &tag);
            move || drive.send(on("PUT", "b/f").header("If-Match", tag.clone()).body(i.to_string())).status
        };
        let running: Vec<_> = (0..8).map(|i| scope.spawn(put(i))).collect();
        running.into_iter().map(|t| t.join().expect("a status")).collect()
    });
    assert_eq!(statuses.iter().filter(|s| **s == 204).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|s| **s == 412).count(), 7, "{statuses:?}");
}

#[test]
fn put_in_chunks_and_put_of_nothing() {
    let drive = Drive::new();
    let bytes: Vec<u8> = (0..700_000_u32).map(|i| (i % 251) as u8).collect();
    drive.send(on("PUT", "b/chunks").body(bytes.clone()).chunked(9_999)).expect(201);
    assert_eq!(drive.get("b/chunks").expect(200).body, bytes);
    drive.put("b/empty", "").expect(201);
    assert_eq!(drive.get("b/empty").expect(200).header("content-length"), Some("0"));
}

#[test]
fn an_aborted_put_leaves_the_old_file() {
    let drive = Drive::new();
    drive.put("b/f", "old").expect(201);
    let begin = |request: &Request, part: &[u8]| {
        let mut connection = drive.connect();
        connection.start(request).expect("sent");
        connection.write(part).expect("sent");
        connection.half_close();
        connection.reply("PUT").map_or(0, |reply| reply.status)
    };
    let long = on("PUT", "b/f").header("Content-Length", "1000000");
    let chunked = on("PUT", "b/f").header("Transfer-Encoding", "chunked");
    let short = on("PUT", "b/f").header("Content-Length", "10");
    for status in [begin(&long, &vec![1; 500_000]), begin(&chunked, b"5\r\nhello\r\n"), begin(&short, b"12345")] {
        assert!(status == 0 || status == 400, "{status}");
    }
    assert_eq!(drive.text("b/f"), "old");
    let long = on("PUT", "b/new").header("Content-Length", "1000000");
    begin(&long, &vec![1; 500_000]);
    drive.get("b/new").expect(404);
    assert_eq!(drive.names("b"), ["f"]);
}

#[test]
fn an_expected_body_is_not_asked_for_where_it_would_be_refused() {
    let drive = Drive::new();
    let mut connection = drive.connect();
    let request = on("PUT", "b/no/f").header("Expect", "100-continue").header("Content-Length", "1000000");
    connection.start(&request).expect("sent");
    let (status, _) = connection.head().expect("an answer");
    assert_eq!(status, 409);
    let mut connection = drive.connect();
    let request = on("PUT", "b/f").header("Expect", "100-continue").header("Content-Length", "3");
    connection.start(&request).expect("sent");
    let (status, _) = connection.head().expect("an answer");
    assert_eq!(status, 100);
    connection.write(b"abc").expect("sent");
    assert_eq!(connection.reply("PUT").expect("an answer").status, 201);
}

#[test]
fn a_body_over_the_limit_is_413() {
    let drive = Drive::with(&[("CELLAR_LIMITS__REQUEST_BODY", "100KiB")]);
    drive.put("b/fits", vec![0; 102_400]).expect(201);
    drive.send(on("PUT", "b/chunks").body(vec![0; 200_000]).chunked(10_000)).expect(413);
    drive.get("b/chunks").expect(404);
}

#[test]
fn put_where_no_file_can_be_is_refused() {
    let drive = Drive::new();
    assert_eq!(drive.put("b/no/f", "x").problem(), "409 PR409-DV-0001");
    drive.put("b/f", "x").expect(201);
    assert_eq!(drive.put("b/f/below", "x").problem(), "409 PR409-DV-0001");
    drive.mkcol("b/col").expect(201);
    for path in ["b/col", "b/col/", "b"] {
        let reply = drive.put(path, "x");
        assert_eq!(reply.problem(), "405 PR405-MC-0001", "{path}");
        assert!(reply.header("allow").is_some_and(|a| a.contains("PROPFIND")), "{reply:?}");
    }
    assert_eq!(drive.put("none/f", "x").problem(), "404 PR404-DV-0002");
    assert_eq!(drive.text("b/f"), "x");
}

#[test]
fn the_missing_parent_is_named_by_its_url() {
    let drive = Drive::new();
    drive.mkcol("b/a").expect(201);
    let reply = drive.put("b/a/no/deeper/f", "x");
    assert!(reply.text().contains(&format!("[{}]", drive.url("b/a/no"))), "{}", reply.text());
}

#[test]
fn x_oc_mtime_sets_the_time() {
    let drive = Drive::new();
    let reply = drive.send(on("PUT", "b/f").header("X-OC-Mtime", "1714558830").body("x")).expect(201);
    assert_eq!(reply.header("x-oc-mtime"), Some("accepted"));
    assert_eq!(drive.get("b/f").header("last-modified"), Some("Wed, 01 May 2024 10:20:30 GMT"));
    for (mtime, told) in [("-1.5", "Wed, 31 Dec 1969 23:59:58 GMT"), ("-1000000000", "Sun, 24 Apr 1938 22:13:20 GMT")] {
        drive.send(on("PUT", "b/f").header("X-OC-Mtime", mtime).body("x")).expect(204);
        assert_eq!(drive.get("b/f").header("last-modified"), Some(told));
        assert_eq!(drive.propfind("b", "1")[1].text("getlastmodified").as_deref(), Some(told));
        drive.send(on("GET", "b/f").header("If-Modified-Since", told)).expect(304);
        drive
            .send(on("PUT", "b/f").header("If-Unmodified-Since", told).header("X-OC-Mtime", mtime).body("x"))
            .expect(204);
    }
    let bar = drive.send(on("GET", "b").header("Accept", "application/zip+x-personium-bar")).expect(200);
    assert!(bar.body.len() > 1000);
    for bad in ["soon", "", "1e300", "-1e300", "NaN"] {
        drive.send(on("PUT", "b/f").header("X-OC-Mtime", bad).body("y")).expect(400);
    }
    assert_eq!(drive.text("b/f"), "x");
}

#[test]
fn get_answers_ranges() {
    let drive = Drive::new();
    let bytes: Vec<u8> = (0..=255).collect();
    let tag = drive.put("b/f", bytes.clone()).header("etag").expect("a tag").to_owned();
    let range = |value: &str| drive.send(on("GET", "b/f").header("Range", value));
    let part = range("bytes=10-19").expect(206);
    assert_eq!((part.body.as_slice(), part.header("content-range")), (&bytes[10..20], Some("bytes 10-19/256")));
    assert_eq!(range("bytes=-6").expect(206).body, &bytes[250..]);
    assert_eq!(range("bytes=256-").problem(), "416 PR416-DV-0001");
    let several = range("bytes=0-1,250-").expect(206);
    assert!(several.header("content-type").is_some_and(|t| t.starts_with("multipart/byteranges")), "{several:?}");
    let resume = |tag: &str| drive.send(on("GET", "b/f").header("Range", "bytes=10-").header("If-Range", tag));
    resume(&tag).expect(206);
    resume("\"1-1\"").expect(200);
}

#[test]
fn get_of_what_the_client_has_is_304() {
    let drive = Drive::new();
    drive.put("b/f", "x").expect(201);
    let got = drive.get("b/f");
    let (tag, date) = (got.header("etag").expect("a tag"), got.header("last-modified").expect("a date"));
    let same = drive.send(on("GET", "b/f").header("If-None-Match", tag)).expect(304);
    assert_eq!(same.header("etag"), Some(tag));
    drive.send(on("GET", "b/f").header("If-Modified-Since", date)).expect(304);
    drive.send(on("GET", "b/f").header("If-None-Match", "*")).expect(200);
    drive.send(on("GET", "b/f").header("If-Match", "\"0-0\"")).expect(412);
}

#[test]
fn head_says_what_get_would() {
    let drive = Drive::new();
    drive.put("b/f.bin", vec![7; 300_000]).expect(201);
    let (get, head) = (drive.get("b/f.bin"), drive.send(on("HEAD", "b/f.bin")).expect(200));
    for name in ["content-length", "content-type", "etag", "last-modified", "accept-ranges"] {
        assert_eq!(get.header(name), head.header(name), "{name}");
    }
    assert_eq!(get.body.len(), 300_000);
}

#[test]
fn pages_of_users_are_sandboxed() {
    let drive = Drive::new();
    let check = |name: &str, sandboxed| {
        let got = drive.get(&format!("b/{name}"));
        assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(got.header("content-security-policy").is_some(), sandboxed, "{name}");
    };
    for (name, sandboxed) in [("p.html", true), ("p.svg", true), ("p.txt", false), ("p.png", false)] {
        drive.put(&format!("b/{name}"), "x").expect(201);
        check(name, sandboxed);
    }
    for (content_type, sandboxed) in [
        ("text/xsl", true),
        ("Application/XSLT+xml; charset=utf-8", true),
        ("multipart/x-mixed-replace; boundary=b", true),
        ("multipart/related", true),
        ("message/rfc822", true),
        ("application/vnd.wap.xhtml+xml", true),
        ("text/xml", true),
        ("application/json", false),
        ("application/pdf", false),
        ("video/mp4", false),
    ] {
        drive.send(on("PUT", "b/typed").header("Content-Type", content_type).body("x"));
        check("typed", sandboxed);
    }
}

#[test]
fn without_the_token_nothing_is_told_but_what_is_missing() {
    let drive = Drive::new();
    drive.put("b/f", "x").expect(201);
    for (method, path, problem) in [
        ("GET", "/c/b/f", "401 PR401-AU-0001"),
        ("GET", "/c/b/none", "401 PR401-AU-0001"),
        ("PROPFIND", "/c/b", "401 PR401-AU-0001"),
        ("PUT", "/c/b/f", "401 PR401-AU-0001"),
        ("GET", "/c/none/f", "404 PR404-DV-0002"),
        ("GET", "/none/b/f", "404 PR404-DV-0003"),
    ] {
        let reply = drive.server.anonymous(method, path);
        assert_eq!(reply.problem(), problem, "{method} {path}");
        assert_eq!(reply.header("www-authenticate").is_some(), problem.starts_with("401"), "{method} {path}");
    }
    drive.send(Request::new("GET", "/c/b/f").basic("unit", crate::harness::TOKEN)).expect(200);
    assert_eq!(drive.send(Request::new("GET", "/c/b/f").bearer("wrong")).problem(), "401 PR401-AU-0006");
}
