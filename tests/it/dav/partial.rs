//! Parts of files: PUT with `Content-Range`, PATCH with `X-Update-Range`.

use cellar::base::path::ResourcePath;

use super::{Drive, on};
use crate::client::{Reply, Request};

fn drive() -> Drive {
    let drive = Drive::new();
    drive.send(on("PUT", "b/f").header("Content-Type", "text/x").body("0123456789")).expect(201);
    drive
}

fn put(drive: &Drive, path: &str, range: &str, body: &str) -> Reply {
    drive.send(on("PUT", path).header("Content-Range", range).body(body))
}

fn patch(path: &str, range: &str, body: &str) -> Request {
    let request = on("PATCH", path).header("Content-Type", "application/x-sabredav-partialupdate");
    request.header("X-Update-Range", range).body(body)
}

#[test]
fn put_with_content_range_writes_a_part() {
    let drive = drive();
    let before = drive.get("b/f").header("etag").map(str::to_owned);
    let reply = put(&drive, "b/f", "bytes 2-4/10", "abc").expect(204);
    assert!(reply.header("etag").is_some() && reply.header("etag") != before.as_deref());
    assert_eq!(drive.text("b/f"), "01abc56789");
    put(&drive, "b/f", "bytes 8-11/*", "WXYZ").expect(204);
    assert_eq!(drive.text("b/f"), "01abc567WXYZ");
    drive.send(on("PUT", "b/f").header("Content-Range", "bytes 12-13/14").body("!!").chunked(1)).expect(204);
    assert_eq!(drive.text("b/f"), "01abc567WXYZ!!");
    put(&drive, "b/new", "bytes 0-1/2", "ab").expect(201);
    assert_eq!(drive.text("b/new"), "ab");
}

#[test]
fn patch_writes_a_part_or_appends() {
    let drive = drive();
    for (range, body, expected) in [
        ("bytes=0-1", "ab", "ab23456789"),
        ("bytes=3-", "XY", "ab2XY56789"),
        ("bytes=-2", "end", "ab2XY567end"),
        ("append", "++", "ab2XY567end++"),
        ("bytes=13-13", "!", "ab2XY567end++!"),
    ] {
        drive.send(patch("b/f", range, body)).expect(204);
        assert_eq!(drive.text("b/f"), expected, "{range}");
        drive.tool(|unit| {
            let path = ResourcePath::decode("f").expect("a path");
            let lookup = unit.cell("c").expect("the cell").lookup("b", &path).expect("a lookup");
            assert_eq!(lookup.nearest().crc, Some(crc32fast::hash(expected.as_bytes())), "{range}");
        });
    }
    assert_eq!(drive.get("b/f").header("content-type"), Some("text/x"));
}

#[test]
fn a_part_that_does_not_fit_is_416_and_changes_nothing() {
    let drive = drive();
    for range in ["bytes 11-12/13", "bytes 0-5/10", "bytes 0-0/10"] {
        assert_eq!(put(&drive, "b/f", range, "abc").problem(), "416 PR416-DV-0001", "{range}");
    }
    assert_eq!(put(&drive, "b/none", "bytes 1-1/2", "a").problem(), "416 PR416-DV-0001");
    let chunked = on("PUT", "b/f").header("Content-Range", "bytes 0-5/10").body("abc").chunked(2);
    assert_eq!(drive.send(chunked).problem(), "416 PR416-DV-0001");
    for range in ["bytes=11-", "bytes=-11", "bytes=0-0"] {
        assert_eq!(drive.send(patch("b/f", range, "abc")).problem(), "416 PR416-DV-0001", "{range}");
    }
    assert_eq!((drive.text("b/f").as_str(), drive.names("b")), ("0123456789", vec!["f".to_owned()]));
}

#[test]
fn parts_that_cannot_be_read_are_refused() {
    let drive = drive();
    assert_eq!(put(&drive, "b/f", "bytes 4-2/10", "abc").problem(), "400 PR400-DV-0009");
    assert_eq!(drive.send(patch("b/f", "lines=1-2", "abc")).problem(), "400 PR400-DV-0009");
    assert_eq!(drive.send(on("PATCH", "b/f").body("abc")).problem(), "415 PR415-MC-0001");
    let none = on("PATCH", "b/f").header("Content-Type", "application/x-sabredav-partialupdate").body("abc");
    assert_eq!(drive.send(none).problem(), "400 PR400-DV-0010");
    assert_eq!(drive.send(patch("b/none", "append", "abc")).problem(), "404 PR404-DV-0001");
    drive.mkcol("b/d").expect(201);
    assert_eq!(drive.send(patch("b/d", "append", "abc")).problem(), "405 PR405-MC-0001");
    let stale = patch("b/f", "append", "abc").header("If-Match", "\"1-1\"");
    assert_eq!(drive.send(stale).problem(), "412 PR412-DV-0001");
    let options = drive.send(on("OPTIONS", "b/f"));
    assert!(options.header("allow").is_some_and(|a| a.contains("PATCH")));
    assert_eq!(options.header("accept-patch"), Some("application/x-sabredav-partialupdate"));
}

#[test]
fn a_file_of_50_gb_that_is_mostly_holes_stays_one() {
    use std::os::unix::fs::{FileExt, MetadataExt};
    const SIZE: u64 = 50_000_000_000;
    let drive = Drive::new();
    let file = std::fs::File::create(drive.on_disk("disk.img")).expect("a file");
    file.set_len(SIZE).expect("its length");
    file.write_all_at(b"partition table", 512).expect("written");
    let blocks = |name: &str| std::fs::metadata(drive.on_disk(name)).expect("a file").blocks();
    let part =
        |path: &str, range: &str| drive.send(on("GET", path).header("Range", range)).expect(206).text().to_owned();
    assert_eq!(drive.propfind("b/disk.img", "0")[0].text("getcontentlength"), Some(SIZE.to_string()));
    assert_eq!(part("b/disk.img", "bytes=512-526"), "partition table");
    let patch = |update: &str, body: &'static str| {
        let request = on("PATCH", "b/disk.img").header("X-Update-Range", update).body(body);
        drive.send(request.header("Content-Type", "application/x-sabredav-partialupdate")).expect(204);
    };
    patch("bytes=25000000000-25000000003", "half");
    patch("append", "end");
    drive.copies("b/disk.img", "b/copy.img").expect(201);
    for path in ["b/disk.img", "b/copy.img"] {
        assert_eq!(part(path, "bytes=512-526"), "partition table");
        assert_eq!(part(path, "bytes=25000000000-25000000003"), "half");
        assert_eq!(part(path, "bytes=-4"), "\0end");
    }
    drive.mkcol("b/d").expect(201);
    drive.moves("b/copy.img", "b/d/copy.img").expect(201);
    drive.copies("b/d", "b/e").expect(201);
    for name in ["disk.img", "d/copy.img", "e/copy.img"] {
        assert!(blocks(name) < 1000, "{name} has {} blocks", blocks(name));
    }
}
