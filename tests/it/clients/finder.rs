//! What macOS sends when a drive is mounted in Finder and files are copied to it.

use super::{Replay, noise};
use crate::client::Reply;
use crate::dav::{Drive, multistatus};
use crate::harness::TOKEN;

const STAT: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:propfind xmlns:D=\"DAV:\">\n<D:prop>\n\
                    <D:getlastmodified/>\n<D:getcontentlength/>\n<D:creationdate/>\n<D:resourcetype/>\n</D:prop>\n\
                    </D:propfind>\n";
const QUOTA: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:propfind xmlns:D=\"DAV:\">\n<D:prop>\n\
                     <D:quota-available-bytes/>\n<D:quota-used-bytes/>\n<D:quota/>\n<D:quotaused/>\n</D:prop>\n</D:propfind>\n";
const APPLE_DOUBLE: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:propfind xmlns:D=\"DAV:\">\n<D:prop \
                            xmlns:S=\"http://www.apple.com/webdav_fs/props/\">\n<S:appledoubleheader/>\n</D:prop>\n\
                            </D:propfind>\n";
const TIMES: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:propertyupdate xmlns:D=\"DAV:\" \
                     xmlns:A=\"http://www.apple.com/webdav_fs/props/\">\n<D:set>\n<D:prop>\n<A:created>\
                     2026-05-01T10:00:00Z</A:created>\n</D:prop>\n</D:set>\n</D:propertyupdate>\n";

fn finder(drive: &Drive) -> Replay {
    let agent = "WebDAVFS/3.0.0 (03008000) Darwin/22.6.0 (x86_64)";
    Replay::new(drive, &[("User-Agent", agent), ("Accept", "*/*"), ("Connection", "keep-alive")])
}

impl Replay {
    /// Sends a file as macOS does: no length ahead, but what it expects it to be.
    fn put_chunked(&mut self, path: &str, content: &[u8], expected: usize, token: &str) -> Reply {
        let (expected, condition) = (expected.to_string(), format!("({token})"));
        let headers = [("X-Expected-Entity-Length", expected.as_str()), ("If", condition.as_str())];
        let request = self.request("PUT", path, &headers).body(content).chunked(65_536);
        self.connection.send(&request.basic("unit", TOKEN))
    }

    fn copy_in(&mut self, path: &str, content: &[u8]) {
        self.send("PROPFIND", path, &[("Depth", "0")], Some(STAT.as_bytes())).expect(404);
        let token =
            self.lock(path, 201, &[("Depth", "0"), ("Timeout", "Second-600")], "http://www.apple.com/webdav_fs/");
        let condition = format!("({token})");
        self.send("PUT", path, &[("If", &condition)], Some(b"")).expect(204);
        let listed = self.propfind(path, "0", STAT);
        assert_eq!(listed[0].text("getcontentlength").as_deref(), Some("0"));
        self.put_chunked(path, content, content.len(), &token).expect(204);
        let set = self.send("PROPPATCH", path, &[("If", &condition)], Some(TIMES.as_bytes())).expect(207);
        assert!(multistatus(&set)[0].statuses().iter().all(|(_, status)| *status == 200), "{}", set.text());
        self.send("UNLOCK", path, &[("Lock-Token", &token)], None).expect(204);
        let listed = self.propfind(path, "0", STAT);
        assert_eq!(listed[0].text("getcontentlength"), Some(content.len().to_string()));
    }
}

#[test]
fn finder_mounts_a_box_and_sees_how_much_room_there_is() {
    let drive = Drive::new();
    let mut mac = finder(&drive);
    let options = mac.connection.send(&mac.request("OPTIONS", "/c/b/", &[])).expect(200);
    let classes: Vec<&str> = options.header("dav").expect("DAV").split(',').map(str::trim).collect();
    assert!(["1", "2"].iter().all(|c| classes.contains(c)), "{classes:?}");
    let refused = mac.connection.send(&mac.request("PROPFIND", "/c/b/", &[("Depth", "0")]).body(STAT)).expect(401);
    assert!(refused.headers_named("www-authenticate").any(|v| v.starts_with("Basic realm=")), "{refused:?}");
    let listed = mac.propfind("/c/b/", "0", STAT);
    assert!(!listed[0].find("DAV:", "resourcetype").expect("a type").1.children.is_empty());
    let quota = mac.propfind("/c/b/", "0", QUOTA);
    for property in ["quota-available-bytes", "quota-used-bytes"] {
        assert!(quota[0].text(property).is_some_and(|t| t.parse::<u64>().is_ok()), "{property}");
    }
    assert!(quota[0].statuses().contains(&("quota".to_owned(), 404)));
    for probe in ["/c/b/.metadata_never_index", "/c/b/.Spotlight-V100", "/c/b/._.", "/c/b/.DS_Store", "/c/b/.hidden"] {
        mac.send("PROPFIND", probe, &[("Depth", "0")], Some(STAT.as_bytes())).expect(404);
    }
    let double = mac.propfind("/c/b/", "1", APPLE_DOUBLE);
    assert_eq!(double[0].statuses(), [("appledoubleheader".to_owned(), 404)]);
}

#[test]
fn finder_copies_a_file_with_its_fork_under_a_decomposed_name() {
    let drive = Drive::new();
    let mut mac = finder(&drive);
    let (data, fork) = (noise(500_000), noise(4096));
    // macOS decomposes what it sends.
    mac.copy_in("/c/b/Cafe%CC%81%20U%CC%88ber.txt", &data);
    mac.copy_in("/c/b/._Cafe%CC%81%20U%CC%88ber.txt", &fork);
    mac.copy_in("/c/b/.DS_Store", &noise(6148));
    let listed = mac.propfind("/c/b/", "1", STAT);
    let names: Vec<&str> = listed[1..].iter().filter_map(|l| l.href.rsplit('/').next()).collect();
    assert_eq!(names, [".DS_Store", "._Caf%C3%A9%20%C3%9Cber.txt", "Caf%C3%A9%20%C3%9Cber.txt"]);
    for path in ["/c/b/Cafe%CC%81%20U%CC%88ber.txt", "/c/b/Caf%C3%A9%20%C3%9Cber.txt"] {
        let part = mac.send("GET", path, &[("Range", "bytes=4096-8191")], None).expect(206);
        assert_eq!(part.body, data[4096..8192]);
    }
    assert_eq!(std::fs::read(drive.on_disk("Caf\u{e9} \u{dc}ber.txt")).expect("the file"), data);
    // Renamed, and thrown away: always with the fork.
    for name in ["Cafe%CC%81%20U%CC%88ber.txt", "._Cafe%CC%81%20U%CC%88ber.txt"] {
        let new = name.replace("Cafe%CC%81", "Bu%CC%88ro");
        let to = format!("{}c/b/{new}", mac.base);
        mac.send("MOVE", &format!("/c/b/{name}"), &[("Destination", &to), ("Overwrite", "T")], None).expect(201);
        mac.send("DELETE", &format!("/c/b/{new}"), &[], None).expect(204);
    }
    assert_eq!(drive.names("b"), [".DS_Store"]);
}

#[test]
fn finder_makes_a_folder_and_renames_it() {
    let drive = Drive::new();
    let mut mac = finder(&drive);
    mac.send("PROPFIND", "/c/b/untitled%20folder", &[("Depth", "0")], Some(STAT.as_bytes())).expect(404);
    mac.send("MKCOL", "/c/b/untitled%20folder/", &[], None).expect(201);
    mac.copy_in("/c/b/untitled%20folder/f", b"inside");
    let to = format!("{}c/b/Projekte%202026/", mac.base);
    mac.send("MOVE", "/c/b/untitled%20folder/", &[("Destination", &to), ("Overwrite", "F")], None).expect(201);
    assert_eq!(drive.text("b/Projekte%202026/f"), "inside");
}

#[test]
fn an_upload_that_is_not_as_long_as_expected_leaves_the_old_file() {
    let drive = Drive::new();
    let mut mac = finder(&drive);
    mac.copy_in("/c/b/f", b"the old content");
    let token = mac.lock("/c/b/f", 200, &[("Depth", "0")], "http://www.apple.com/webdav_fs/");
    // A proxy that lost the chunks sends an empty body: the expected length tells.
    for (content, expected) in [(vec![], 200_000), (noise(100_000), 200_000), (noise(100_000), 99_999)] {
        let reply = mac.put_chunked("/c/b/f", &content, expected, &token);
        assert_eq!(reply.problem(), "400 PR400-MC-0005", "{expected}");
        assert_eq!(drive.text("b/f"), "the old content");
    }
    let reply =
        mac.send("PUT", "/c/b/f", &[("X-Expected-Entity-Length", "many"), ("If", &format!("({token})"))], Some(b"x"));
    assert_eq!(reply.problem(), "400 PR400-DV-0009");
    mac.put_chunked("/c/b/f", &noise(100_000), 100_000, &token).expect(204);
}

#[test]
fn an_upload_that_will_not_fit_is_refused_by_its_expected_length() {
    let drive = Drive::with(&[("CELLAR_LIMITS__CELL_BYTES", "100000")]);
    let mut mac = finder(&drive);
    let token = mac.lock("/c/b/f", 201, &[("Depth", "0")], "http://www.apple.com/webdav_fs/");
    let condition = format!("({token})");
    let headers = [("X-Expected-Entity-Length", "5000000000"), ("If", condition.as_str()), ("Expect", "100-continue")];
    let request = mac.request("PUT", "/c/b/f", &headers).chunked(65_536).basic("unit", TOKEN);
    mac.connection.start(&request).expect("sent");
    // The answer comes without any of the five gigabytes.
    assert_eq!(mac.connection.reply("PUT").expect("an answer").status, 507);
}
