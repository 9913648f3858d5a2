//! PROPPATCH, and how dead properties live.

use super::{Drive, Listed, multistatus};
use cellar::base::xml::Element;

fn file() -> Drive {
    let drive = Drive::new();
    drive.put("b/f", "x").expect(201);
    drive
}

fn statuses(drive: &Drive, inner: &str) -> Vec<(String, u16)> {
    let mut statuses = multistatus(&drive.proppatch("b/f", inner).expect(207))[0].statuses();
    statuses.sort();
    statuses
}

fn value(drive: &Drive, local: &str) -> Option<Element> {
    let listed: Vec<Listed> = drive.propfind("b/f", "0");
    listed[0].find("urn:x", local).map(|(_, p)| p.clone())
}

#[test]
fn properties_are_set_replaced_and_removed() {
    let drive = file();
    let set = "<D:set><D:prop><x:one>1 &amp; &lt;2></x:one><x:two a=\"b\"><x:in>t</x:in></x:two></D:prop></D:set>";
    assert_eq!(statuses(&drive, set), [("one".to_owned(), 200), ("two".to_owned(), 200)]);
    assert_eq!(value(&drive, "one").expect("one").text(), "1 & <2>");
    let two = value(&drive, "two").expect("two");
    assert_eq!(
        (two.attribute("", "a"), two.child("urn:x", "in").map(Element::text)),
        (Some("b"), Some("t".to_owned()))
    );
    let change =
        "<D:set><D:prop><x:one>new</x:one></D:prop></D:set><D:remove><D:prop><x:two/><x:never/></D:prop></D:remove>";
    let expected = ["never", "one", "two"].map(|name| (name.to_owned(), 200));
    assert_eq!(statuses(&drive, change), expected);
    assert_eq!(value(&drive, "one").expect("one").text(), "new");
    assert!(value(&drive, "two").is_none());
}

#[test]
fn instructions_are_done_in_their_order() {
    let drive = file();
    statuses(
        &drive,
        "<D:remove><D:prop><x:a/></D:prop></D:remove><D:set><D:prop><x:a>1</x:a></D:prop></D:set>\
         <D:set><D:prop><x:b>1</x:b></D:prop></D:set><D:remove><D:prop><x:b/></D:prop></D:remove>",
    );
    assert!(value(&drive, "a").is_some() && value(&drive, "b").is_none());
}

#[test]
fn a_protected_property_fails_all_of_them() {
    let drive = file();
    let inner = "<D:set><D:prop><x:a>1</x:a><D:getetag>\"1\"</D:getetag></D:prop></D:set>\
                 <D:remove><D:prop><D:resourcetype/></D:prop></D:remove>";
    let expected = [("a", 424), ("getetag", 403), ("resourcetype", 403)];
    assert_eq!(statuses(&drive, inner), expected.map(|(name, status)| (name.to_owned(), status)));
    assert!(drive.proppatch("b/f", inner).text().contains("cannot-modify-protected-property"));
    assert!(value(&drive, "a").is_none());
}

#[test]
fn a_files_tag_and_time_stay_when_its_properties_change() {
    let drive = file();
    let before = drive.get("b/f");
    let reply = drive.proppatch("b/f", "<D:set><D:prop><x:a>1</x:a></D:prop></D:set>").expect(207);
    let after = drive.get("b/f");
    assert_eq!(reply.header("etag"), before.header("etag"));
    assert_eq!(after.header("etag"), before.header("etag"));
    assert_eq!(after.header("last-modified"), before.header("last-modified"));
}

#[test]
fn a_collection_gets_another_tag_when_its_properties_or_its_list_change() {
    let drive = file();
    drive.mkcol("b/col").expect(201);
    for path in ["b/col", "b"] {
        let told = || drive.propfind(path, "0")[0].text("getetag").expect("a tag");
        let mut seen = vec![told()];
        for change in [
            drive.proppatch(path, "<D:set><D:prop><x:a>1</x:a></D:prop></D:set>").expect(207),
            drive.xml("ACL", path, "<D:acl xmlns:D=\"DAV:\"/>").expect(200),
        ] {
            let tag = change.header("etag").expect("a tag").to_owned();
            assert!(!seen.contains(&tag), "{path}: {tag}, {seen:?}");
            seen.push(tag);
        }
        assert_eq!(seen.last(), Some(&told()));
        assert!(seen[2].starts_with("\"3-"), "{seen:?}");
        let refused = drive.proppatch(path, "<D:set><D:prop><D:getetag>1</D:getetag></D:prop></D:set>").expect(207);
        assert_eq!(refused.header("etag"), seen.last().map(String::as_str), "nothing has changed");
    }
}

#[test]
fn a_display_name_can_be_set_and_removed() {
    let drive = file();
    let name = |drive: &Drive| drive.propfind("b/f", "0")[0].text("displayname");
    assert_eq!(name(&drive).as_deref(), Some("f"));
    statuses(&drive, "<D:set><D:prop><D:displayname>Report &amp; more</D:displayname></D:prop></D:set>");
    assert_eq!(name(&drive).as_deref(), Some("Report & more"));
    statuses(&drive, "<D:remove><D:prop><D:displayname/></D:prop></D:remove>");
    assert_eq!(name(&drive).as_deref(), Some("f"));
}

#[test]
fn proppatch_of_nothing_or_with_nonsense_is_refused() {
    let drive = file();
    for (body, problem) in [
        ("", "400 PR400-DV-0001"),
        ("<x", "400 PR400-DV-0001"),
        ("<x/>", "400 PR400-DV-0001"),
        ("<D:propertyupdate xmlns:D=\"DAV:\"/>", "400 PR400-DV-0002"),
        ("<D:propertyupdate xmlns:D=\"DAV:\"><D:set/></D:propertyupdate>", "400 PR400-DV-0002"),
    ] {
        assert_eq!(drive.xml("PROPPATCH", "b/f", body).problem(), problem, "{body}");
    }
    assert_eq!(drive.proppatch("b/none", "").problem(), "404 PR404-DV-0001");
}

#[test]
fn properties_of_a_new_file_of_that_name_are_new() {
    let drive = file();
    statuses(&drive, "<D:set><D:prop><x:a>1</x:a></D:prop></D:set>");
    drive.put("b/f", "over it").expect(204);
    assert!(value(&drive, "a").is_some());
    drive.delete("b/f").expect(204);
    drive.put("b/f", "again").expect(201);
    assert!(value(&drive, "a").is_none());
}
