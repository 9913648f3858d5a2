//! PROPFIND.

use cellar::base::path::{ResourcePath, encode_segment};
use cellar::storage::database::Kind;
use cellar::storage::operation::mkcol::Mkcol;
use cellar::storage::operation::no_guard;

use super::{Drive, multistatus, on};
use crate::access::World;
use crate::client::{Reply, Request};
use crate::harness::TOKEN;

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
fn infinite_depth_of_a_file_is_the_file() {
    let drive = tree();
    for request in [on("PROPFIND", "b/a/f"), on("PROPFIND", "b/a/f").header("Depth", "infinity")] {
        let listed = multistatus(&drive.send(request).expect(207));
        assert_eq!(listed.iter().map(|l| l.href.as_str()).collect::<Vec<_>>(), [drive.url("b/a/f")]);
    }
    assert_eq!(drive.send(on("PROPFIND", "b/a/f").header("Depth", "2")).problem(), "400 PR400-DV-0003");
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
    assert!(listed.find("DAV:", "current-user-principal").is_some() && listed.find("DAV:", "sync-token").is_none());
    let collection = &multistatus(&ask(&drive, "b/a", "<D:propname/>").expect(207))[0];
    assert!(collection.find("DAV:", "sync-token").is_some() && collection.find("DAV:", "getcontentlength").is_none());
}

#[test]
fn bodies_may_be_utf_16() {
    let drive = tree();
    let in_utf_16 = |text: &str, unit: fn(u16) -> [u8; 2], mark: bool| -> Vec<u8> {
        mark.then_some(0xFEFF).into_iter().chain(text.encode_utf16()).flat_map(unit).collect()
    };
    let text = "<?xml version=\"1.0\" encoding=\"UTF-16\"?>\n<D:propertyupdate xmlns:D=\"DAV:\" xmlns:x=\"urn:x\">\
                <D:set><D:prop><x:name>\u{fc}\u{1f4c1}</x:name></D:prop></D:set></D:propertyupdate>";
    for (unit, mark) in
        [(u16::to_le_bytes as fn(u16) -> [u8; 2], true), (u16::to_be_bytes, true), (u16::to_le_bytes, false)]
    {
        drive.send(on("PROPPATCH", "b/a/f").body(in_utf_16(text, unit, mark))).expect(207);
        let told = &drive.propfind("b/a/f", "0")[0];
        assert_eq!(told.find("urn:x", "name").expect("the property").1.text(), "\u{fc}\u{1f4c1}");
        drive.proppatch("b/a/f", "<D:remove><D:prop><x:name/></D:prop></D:remove>").expect(207);
    }
    let ask = "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:getetag/></D:prop></D:propfind>";
    let lies = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>{ask}");
    let says_16 = format!("<?xml version=\"1.0\" encoding=\"utf-16\"?>{ask}").into_bytes();
    for body in
        [in_utf_16(&lies, u16::to_be_bytes, true), says_16, in_utf_16(ask, u16::to_le_bytes, true)[1..].to_vec()]
    {
        let reply = drive.send(on("PROPFIND", "b").header("Depth", "0").body(body));
        assert_eq!(reply.problem(), "400 PR400-DV-0001");
    }
    drive.send(on("PROPFIND", "b").header("Depth", "0").body(in_utf_16(ask, u16::to_be_bytes, true))).expect(207);
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

/// The responses of a multistatus as they stand in it, by their URLs.
fn responses(text: &str) -> Vec<String> {
    text.split("<D:response>").skip(1).map(|r| r.split("</D:response>").next().expect("its end").to_owned()).collect()
}

#[test]
fn a_member_with_something_of_its_own_is_told_as_its_siblings_are() {
    let drive = Drive::new();
    drive.mkcol("b/d").expect(201);
    let names = ["plain.txt", "a & b", "Zürich #1 100%.bin", "x'y"];
    for name in names {
        drive.send(on("PUT", &format!("b/d/{}", encode_segment(name))).body(name)).expect(201);
    }
    drive.mkcol("b/d/folder").expect(201);
    let more = "<D:prop><D:getetag/><D:sync-token/><D:current-user-privilege-set/><D:displayname/><D:resourcetype/>\
                <D:getcontenttype/><D:creationdate/><x:none/></D:prop>";
    for inner in ["<D:allprop/>", "<D:propname/>", more] {
        let body = format!("<D:propfind xmlns:D=\"DAV:\" xmlns:x=\"urn:x\">{inner}</D:propfind>");
        let ask =
            || responses(drive.send(on("PROPFIND", "b/d").header("Depth", "1").body(body.clone())).expect(207).text());
        let before = ask();
        for name in names.iter().map(|name| encode_segment(name)).chain(["folder".to_owned()]) {
            let path = format!("b/d/{name}");
            drive.proppatch(&path, "<D:set><D:prop><x:mark>1</x:mark></D:prop></D:set>").expect(207);
            let alone =
                responses(drive.send(on("PROPFIND", &path).header("Depth", "0").body(body.clone())).expect(207).text());
            let listed = ask();
            let mine = |all: &[String]| {
                all.iter().find(|r| r.contains(&format!("/{}</D:href>", name.replace('&', "&amp;")))).cloned()
            };
            let with_mark = mine(&listed).expect("it is listed");
            assert_eq!(alone, std::slice::from_ref(&with_mark), "{name}");
            assert_ne!(inner == more, with_mark.contains("mark"), "{with_mark}");
            let mark = if inner == "<D:propname/>" {
                "<n:mark xmlns:n=\"urn:x\"/>"
            } else {
                "<x:mark xmlns:x=\"urn:x\">1</x:mark>"
            };
            let without = with_mark.replace(mark, "");
            // Another tag, of the collection, and another token are all that its change leaves.
            let change = |text: &str| {
                let text = if name == "folder" { without_tag(text) } else { text.to_owned() };
                text.split("urn:x-cellar:sync:")
                    .map(|t| t.trim_start_matches(|c| c != '<').to_owned())
                    .collect::<Vec<_>>()
            };
            assert_eq!(change(&without), change(&mine(&before).expect("it was listed")));
            drive.proppatch(&path, "<D:remove><D:prop><x:mark/></D:prop></D:remove>").expect(207);
        }
    }
}

#[test]
fn a_listing_that_was_just_read_tells_what_has_changed_since() {
    let drive = tree();
    let list = || {
        // More than once, because what was just read is answered in another way.
        let listings: Vec<_> =
            (0..3).map(|_| drive.send(on("PROPFIND", "b/a").header("Depth", "1")).expect(207)).collect();
        assert!(
            listings.iter().all(|l| l.text() == listings[0].text() && l.header("etag") == listings[0].header("etag"))
        );
        listings[0].text().to_owned()
    };
    let names = |text: &str| last_names(text);
    let first = list();
    assert_eq!(names(&first), ["a", "b", "f"]);
    drive.put("b/a/g", "new").expect(201);
    assert_eq!(names(&list()), ["a", "b", "f", "g"]);
    drive.delete("b/a/b").expect(204);
    assert_eq!(names(&list()), ["a", "f", "g"]);
    std::fs::write(drive.on_disk("a/by hand"), b"12").expect("written");
    assert_eq!(names(&list()), ["a", "by%20hand", "f", "g"]);
    std::fs::remove_file(drive.on_disk("a/f")).expect("removed");
    assert_eq!(names(&list()), ["a", "by%20hand", "g"]);
    assert!(!list().contains("<D:activelock>"));
    let lock = "<D:lockinfo xmlns:D=\"DAV:\"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>";
    let token = drive.xml("LOCK", "b/a/g", lock).expect(200).header("lock-token").expect("a token").to_owned();
    let locked = drive.send(on("PROPFIND", "b/a").header("Depth", "1")).expect(207).text().to_owned();
    assert_eq!(locked.matches("<D:activelock>").count(), 1);
    drive.send(on("UNLOCK", "b/a/g").header("Lock-Token", token)).expect(204);
    assert!(!list().contains("<D:activelock>"));
    drive.tool(|unit| {
        let path = ResourcePath::parse("a/another process").expect("a path");
        let (box_name, kind, properties) = ("b".to_owned(), Kind::Collection, Vec::new());
        let make = Mkcol { box_name, path, kind, properties, guard: no_guard() };
        unit.cell("c").expect("the cell").change(make).expect("a collection");
    });
    assert_eq!(names(&list()), ["a", "another%20process", "by%20hand", "g"]);
    drive.moves("b/a", "b/z").expect(201);
    drive.send(on("PROPFIND", "b/a").header("Depth", "1")).expect(404);
    drive.send(on("PROPFIND", "b/a").header("Depth", "0")).expect(404);
}

/// The last names of the URLs of a multistatus.
fn last_names(text: &str) -> Vec<String> {
    responses(text)
        .iter()
        .map(|r| r.split("</D:href>").next().and_then(|href| href.rsplit('/').next()).unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn a_listing_that_was_just_read_is_refused_to_who_may_no_longer_read_it() {
    let world = World::new();
    let user = world.user("ann", &["reader"]);
    world.allow("b", &[("reader", &["read", "read-properties"])]);
    let ask = |token: &str| {
        let request = Request::new("PROPFIND", "/c/b").bearer(token).header("Depth", "1");
        world.send(request)
    };
    for _ in 0..3 {
        ask(&user).expect(207);
    }
    let seen = ask(&user).text().to_owned();
    assert_ne!(seen, ask(TOKEN).expect(207).text(), "the administrator sees lists");
    world.allow("b", &[]);
    ask(&user).expect(403);
    world.allow("b", &[("reader", &["read", "read-properties"])]);
    // A collection's tag changes with its list.
    assert_eq!(without_tag(ask(&user).expect(207).text()), without_tag(&seen));
}

/// A response without the value of its first `getetag`.
fn without_tag(text: &str) -> String {
    let Some((before, rest)) = text.split_once("<D:getetag>") else { return text.to_owned() };
    format!("{before}{}", rest.split_once("</D:getetag>").expect("an end").1)
}
