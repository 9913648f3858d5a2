//! PROPFIND.

use super::{Drive, multistatus, on};
use crate::client::Reply;

fn tree() -> Drive {
    let drive = Drive::new();
    for path in ["b/a", "b/a/b", "b/a/b/c"] {
        drive.mkcol(path).expect(201);
    }
    drive.send(on("PUT", "b/a/f").header("Content-Type", "text/x; a=\"<&>\"").body("12345")).expect(201);
    drive
}

fn ask(drive: &Drive, path: &str, inner: &str) -> Reply {
    let body = format!("<D:propfind xmlns:D=\"DAV:\" xmlns:x=\"urn:x\">{inner}</D:propfind>");
    drive.send(on("PROPFIND", path).header("Depth", "0").body(body))
}

#[test]
fn depth_decides_what_is_listed() {
    let drive = tree();
    assert_eq!(drive.propfind("b/a", "0").len(), 1);
    assert_eq!(drive.names("b/a"), ["b", "f"]);
    assert_eq!(drive.names("b"), ["a"]);
    assert_eq!(drive.propfind("b/a/f", "1").len(), 1);
}

#[test]
fn infinite_depth_is_refused_with_its_condition() {
    let drive = tree();
    for request in [on("PROPFIND", "b").header("Depth", "infinity"), on("PROPFIND", "b")] {
        let reply = drive.send(request.clone()).expect(403);
        assert!(reply.text().contains("<D:propfind-finite-depth>"), "{}", reply.text());
        assert_eq!(drive.send(request.header("Accept", "application/json")).problem(), "403 PR403-DV-0001");
    }
    assert_eq!(drive.send(on("PROPFIND", "b").header("Depth", "2")).problem(), "400 PR400-DV-0003");
    assert_eq!(drive.send(on("PROPFIND", "b").header("Depth", "")).problem(), "400 PR400-DV-0003");
}

#[test]
fn infinite_depth_lists_the_whole_tree_where_it_is_configured() {
    let drive = Drive::with(&[("CELLAR_WEBDAV__INFINITE_DEPTH", "true")]);
    drive.mkcol("b/a").expect(201);
    for i in 0..700 {
        drive.mkcol(&format!("b/a/d{i:03}")).expect(201);
    }
    drive.put("b/a/d007/f", "x").expect(201);
    for request in [on("PROPFIND", "b").header("Depth", "infinity"), on("PROPFIND", "b")] {
        let listed = multistatus(&drive.send(request).expect(207));
        let mut hrefs: Vec<&str> = listed.iter().map(|l| l.href.as_str()).collect();
        assert_eq!(hrefs.len(), 703);
        assert_eq!(hrefs[0], drive.url("b"));
        hrefs.sort_unstable();
        hrefs.dedup();
        assert_eq!(hrefs.len(), 703);
        assert!(hrefs.contains(&drive.url("b/a/d007/f").as_str()));
    }
}

#[test]
fn a_long_listing_is_streamed_whole() {
    let drive = Drive::new();
    let cell = drive.on_disk("many");
    std::fs::create_dir(&cell).expect("a directory");
    for i in 0..2_000 {
        std::fs::write(cell.join(format!("file number {i:05}")), b"x").expect("a file");
    }
    let names = drive.names("b/many");
    assert_eq!(
        (names.len(), names[0].as_str(), names[1999].as_str()),
        (2_000, "file%20number%2000000", "file%20number%2001999")
    );
}

#[test]
fn live_properties_of_files_and_collections() {
    let drive = tree();
    let file = &drive.propfind("b/a/f", "0")[0];
    assert_eq!(file.href, drive.url("b/a/f"));
    let got = drive.get("b/a/f");
    assert_eq!(file.text("getetag").as_deref(), got.header("etag"));
    assert_eq!(file.text("getlastmodified").as_deref(), got.header("last-modified"));
    assert_eq!(file.text("getcontentlength").as_deref(), Some("5"));
    assert_eq!(file.text("getcontenttype").as_deref(), Some("text/x; a=\"<&>\""));
    assert_eq!(file.text("displayname").as_deref(), Some("f"));
    assert_eq!(file.find("DAV:", "resourcetype").expect("a type").1.elements().count(), 0);
    let collection = &drive.propfind("b/a", "0")[0];
    assert!(collection.find("DAV:", "resourcetype").expect("a type").1.child("DAV:", "collection").is_some());
    assert!(collection.find("DAV:", "getcontentlength").is_none());
    for property in ["creationdate", "getetag", "supportedlock", "lockdiscovery", "acl"] {
        assert!(collection.find("DAV:", property).is_some(), "{property}");
    }
    assert_eq!(drive.propfind("b", "0")[0].href, drive.url("b"));
}

#[test]
fn named_properties_are_answered_and_unknown_ones_are_404() {
    let drive = tree();
    drive.proppatch("b/a/f", "<D:set><D:prop><x:one>1</x:one></D:prop></D:set>").expect(207);
    let inner = "<D:prop><D:getetag/><x:one/><x:two/><D:quota/><none xmlns=\"\"/></D:prop>";
    let reply = ask(&drive, "b/a/f", inner).expect(207);
    assert_eq!(reply.header("etag"), drive.get("b/a/f").header("etag"));
    let mut statuses = multistatus(&reply)[0].statuses();
    statuses.sort();
    let expected = [("getetag", 200), ("none", 404), ("one", 200), ("quota", 404), ("two", 404)];
    assert_eq!(statuses, expected.map(|(name, status)| (name.to_owned(), status)));
    let collection = ask(&drive, "b/a", "<D:prop><D:getcontentlength/></D:prop>").expect(207);
    assert_eq!(multistatus(&collection)[0].statuses(), [("getcontentlength".to_owned(), 404)]);
}

#[test]
fn propname_has_names_without_values() {
    let drive = tree();
    drive.proppatch("b/a/f", "<D:set><D:prop><x:one>1</x:one></D:prop></D:set>").expect(207);
    let reply = ask(&drive, "b/a/f", "<D:propname/>").expect(207);
    let listed = &multistatus(&reply)[0];
    assert!(listed.properties.iter().all(|(status, p)| *status == 200 && p.children.is_empty()));
    assert!(listed.find("urn:x", "one").is_some() && listed.find("DAV:", "getetag").is_some());
}

#[test]
fn allprop_may_include_more() {
    let drive = tree();
    let reply = ask(&drive, "b/a/f", "<D:allprop/><D:include><D:getetag/><x:more/></D:include>").expect(207);
    let listed = &multistatus(&reply)[0];
    assert_eq!(listed.find("urn:x", "more").map(|(status, _)| *status), Some(404));
    assert!(listed.text("getetag").is_some());
}

#[test]
fn propfind_of_nothing_and_of_no_xml_is_refused() {
    let drive = tree();
    assert_eq!(drive.send(on("PROPFIND", "b/none").header("Depth", "0")).problem(), "404 PR404-DV-0001");
    for body in ["<D:propfind", "<other/>", "<!DOCTYPE x [<!ENTITY e \"e\">]><x>&e;</x>", "\u{1}"] {
        let reply = drive.send(on("PROPFIND", "b").header("Depth", "0").body(body));
        assert_eq!(reply.problem(), "400 PR400-DV-0001", "{body}");
    }
    let large = format!("<D:propfind xmlns:D=\"DAV:\"><D:prop>{}</D:prop></D:propfind>", "<D:x/>".repeat(200_000));
    assert_eq!(drive.send(on("PROPFIND", "b").header("Depth", "0").body(large)).status, 413);
}

#[test]
fn hrefs_are_encoded_and_lead_back() {
    let drive = Drive::new();
    for name in ["%C3%BC%20b", "f%25.txt", "a&b", "q'q", "semi;colon", "%E6%97%A5"] {
        drive.put(&format!("b/{name}"), "x").expect(201);
    }
    for listed in &drive.propfind("b", "1")[1..] {
        assert!(listed.href.is_ascii() && !listed.href.contains(' ') && !listed.href.ends_with('/'), "{}", listed.href);
        drive.get(listed.href.strip_prefix(&drive.url("")).expect("a URL of the cell")).expect(200);
    }
}

#[test]
fn hrefs_begin_with_the_public_url() {
    let drive = Drive::with(&[("CELLAR_SERVER__PUBLIC_URL", "https://drive.example/")]);
    drive.put("b/f", "x").expect(201);
    assert_eq!(drive.propfind("b", "1")[1].href, "https://drive.example/c/b/f");
    let moved = drive.send(on("MOVE", "b/f").header("Destination", "https://drive.example/c/b/g")).expect(201);
    assert_eq!(moved.header("location"), Some("https://drive.example/c/b/g"));
}
