//! ACL, and the property that shows lists.

use cellar::base::xml::{DAV, Element};

use super::{Drive, multistatus, on};
use crate::client::{Reply, Request};
use crate::harness::TOKEN;

fn with_roles() -> Drive {
    let drive = Drive::new();
    drive.role("reader", None);
    drive.role("editor", Some("b"));
    drive.mkcol("b/col").expect(201);
    drive.put("b/col/f", "x").expect(201);
    drive
}

fn ace(principal: &str, privilege: &str) -> String {
    format!(
        "<D:ace><D:principal>{principal}</D:principal><D:grant><D:privilege><D:{privilege}/></D:privilege></D:grant></D:ace>"
    )
}

fn href(reference: &str) -> String {
    format!("<D:href>{reference}</D:href>")
}

fn set(drive: &Drive, path: &str, base: &str, aces: &str) -> Reply {
    let body = format!("<D:acl xmlns:D=\"DAV:\" xmlns:p=\"urn:x-personium:xmlns\" xml:base=\"{base}\">{aces}</D:acl>");
    drive.xml("ACL", path, &body)
}

/// Principal, privileges and where it was inherited from, of each entry.
fn shown(drive: &Drive, path: &str) -> Vec<(String, String, Option<String>)> {
    let listed = &drive.propfind(path, "0")[0];
    let acl = &listed.find(DAV, "acl").expect("a list").1;
    assert_eq!(acl.attribute("http://www.w3.org/XML/1998/namespace", "base"), Some(drive.url("__role/b/").as_str()));
    acl.children_named(DAV, "ace").map(entry).collect()
}

fn entry(ace: &Element) -> (String, String, Option<String>) {
    let principal = ace.child(DAV, "principal").expect("a principal");
    let principal = principal.child(DAV, "href").map_or_else(|| "all".to_owned(), Element::text);
    let grant = ace.child(DAV, "grant").expect("a grant");
    let privileges: Vec<&str> =
        grant.children_named(DAV, "privilege").flat_map(Element::elements).map(|p| p.local.as_str()).collect();
    let inherited = ace.child(DAV, "inherited").and_then(|i| i.child(DAV, "href")).map(Element::text);
    (principal, privileges.join(" "), inherited)
}

#[test]
fn a_list_is_shown_as_it_was_set_with_what_is_inherited() {
    let drive = with_roles();
    let base = drive.url("__role/b/");
    let tag = set(&drive, "b", &base, &ace(&href("editor"), "write")).expect(200).header("etag").map(str::to_owned);
    assert!(tag.is_some());
    let aces = ace(&href("../__/reader"), "read") + &ace("<D:all/>", "read-properties");
    set(&drive, "b/col", &base, &aces).expect(200);
    let own = |principal: &str, privilege: &str| (principal.to_owned(), privilege.to_owned(), None);
    let from = |principal: &str, privilege: &str, path: &str| {
        (principal.to_owned(), privilege.to_owned(), Some(drive.url(path)))
    };
    assert_eq!(shown(&drive, "b"), [own("editor", "write")]);
    assert_eq!(
        shown(&drive, "b/col"),
        [own("../__/reader", "read"), own("all", "read-properties"), from("editor", "write", "b")]
    );
    assert_eq!(
        shown(&drive, "b/col/f"),
        [from("../__/reader", "read", "b/col"), from("all", "read-properties", "b/col"), from("editor", "write", "b")]
    );
    let members = drive.propfind("b/col", "1");
    let acl = &members[1].find(DAV, "acl").expect("a list").1;
    assert_eq!(acl.children_named(DAV, "ace").map(entry).collect::<Vec<_>>(), shown(&drive, "b/col/f"));
}

#[test]
fn a_resource_tells_whose_it_is_and_which_lists_hold_for_it() {
    let drive = with_roles();
    let user = "https://people.example/#ann";
    let making = Request::new("MKCOL", "/hers").bearer(TOKEN).header("X-Personium-Unit-User", user);
    drive.send(making).expect(201);
    drive.send(Request::new("MKCOL", "/hers/b").bearer(TOKEN)).expect(201);
    let ask = |target: &str| {
        let names = "<D:owner/><D:group/><D:inherited-acl-set/>";
        let body = format!("<D:propfind xmlns:D=\"DAV:\"><D:prop>{names}</D:prop></D:propfind>");
        let request = Request::new("PROPFIND", target).bearer(TOKEN).header("Depth", "0").body(body);
        let listed = multistatus(&drive.send(request).expect(207)).remove(0);
        ["owner", "group", "inherited-acl-set"].map(|name| {
            let (status, property) = listed.find(DAV, name).expect("it was asked for");
            assert_eq!(*status, 200, "{name}");
            property.children_named(DAV, "href").map(Element::text).collect::<Vec<_>>()
        })
    };
    let base = drive.url("__role/__/");
    let readers = ace(&href("reader"), "read");
    assert!(ask("/c/b/col/f").iter().all(Vec::is_empty));
    set(&drive, "b", &base, &readers).expect(200);
    set(&drive, "b/col/f", &base, &readers).expect(200);
    assert_eq!(ask("/c/b/col/f"), [vec![], vec![], vec![drive.url("b")]]);
    set(&drive, "b/col", &base, &readers).expect(200);
    assert_eq!(ask("/c/b/col/f"), [vec![], vec![], vec![drive.url("b"), drive.url("b/col")]]);
    assert_eq!(ask("/hers/b"), [vec![user.to_owned()], vec![], vec![]]);
    let taken = "<D:set><D:prop><D:owner><D:href>https://me.example/</D:href></D:owner></D:prop></D:set>";
    assert!(drive.proppatch("b/col/f", taken).expect(207).text().contains("cannot-modify-protected-property"));
}

#[test]
fn a_list_replaces_the_one_before() {
    let drive = with_roles();
    let base = drive.url("__role/__/");
    set(&drive, "b/col", &base, &ace(&href("reader"), "read")).expect(200);
    set(&drive, "b/col", &base, &ace("<D:all/>", "read")).expect(200);
    assert_eq!(shown(&drive, "b/col").len(), 1);
    set(&drive, "b/col", &base, "").expect(200);
    assert!(shown(&drive, "b/col").is_empty());
}

#[test]
fn roles_are_found_by_every_form_of_url() {
    let drive = with_roles();
    for (base, reference) in [
        (drive.url("__role/__/"), "reader".to_owned()),
        (String::new(), drive.url("__role/__/reader")),
        (String::new(), "personium-localunit:c:/__role/__/reader".to_owned()),
        (String::new(), "personium-localunit:/c/__role/__/reader".to_owned()),
        (String::new(), "personium-localcell:/__role/__/reader".to_owned()),
        ("personium-localunit:c:/__role/b/".to_owned(), "../__/reader".to_owned()),
    ] {
        set(&drive, "b/col", &base, &ace(&href(&reference), "read")).expect(200);
        assert_eq!(shown(&drive, "b/col")[0].0, "../__/reader", "{base} {reference}");
    }
}

#[test]
fn lists_that_mean_nothing_are_refused() {
    let drive = with_roles();
    let base = drive.url("__role/__/");
    let deny = ace("<D:all/>", "read").replace("D:grant", "D:deny");
    let invert = ace("<D:all/>", "read");
    let invert = invert
        .replace("<D:principal>", "<D:invert><D:principal>")
        .replace("</D:principal>", "</D:principal></D:invert>");
    for (aces, problem, condition) in [
        (ace(&href("none"), "read"), "400 PR400-DV-0004", "recognized-principal"),
        (ace(&href("../nobox/reader"), "read"), "400 PR400-DV-0005", "recognized-principal"),
        (
            ace(&href("http://elsewhere.example/c/__role/__/reader"), "read"),
            "400 PR400-DV-0004",
            "recognized-principal",
        ),
        (ace(&href("reader"), "root"), "400 PR400-DV-0006", "not-supported-privilege"),
        (ace("<D:self/>", "read"), "400 PR400-DV-0006", "allowed-principal"),
        (deny, "400 PR400-DV-0006", "grant-only"),
        (invert, "400 PR400-DV-0006", "no-invert"),
        (ace(&href(""), "read"), "400 PR400-DV-0006", ""),
        ("<D:ace><D:principal><D:all/></D:principal></D:ace>".to_owned(), "400 PR400-DV-0006", ""),
    ] {
        let body = format!("<D:acl xmlns:D=\"DAV:\" xml:base=\"{base}\">{aces}</D:acl>");
        let asked = |accept: &str| drive.send(on("ACL", "b/col").header("Accept", accept).body(body.clone()));
        assert_eq!(asked("application/json").problem(), problem, "{aces}");
        let told = asked("*/*");
        assert_eq!(told.status, 400);
        let expected = format!("<D:{condition}></D:{condition}>");
        assert!(condition.is_empty() || told.text().contains(&expected), "{aces}: {}", told.text());
        assert!(told.text().contains(&problem[4..]), "{}", told.text());
    }
    assert_eq!(drive.xml("ACL", "b/col", "<D:acl").problem(), "400 PR400-DV-0002");
    assert_eq!(drive.xml("ACL", "b/col", "<x/>").problem(), "400 PR400-DV-0002");
    assert_eq!(set(&drive, "b/none", &base, "").problem(), "404 PR404-DV-0001");
    assert!(shown(&drive, "b/col").is_empty());
}

#[test]
fn a_list_moves_along_and_is_not_copied() {
    let drive = with_roles();
    set(&drive, "b/col", &drive.url("__role/b/"), &ace(&href("editor"), "read")).expect(200);
    drive.copies("b/col", "b/copy").expect(201);
    assert!(shown(&drive, "b/copy").is_empty());
    drive.moves("b/col", "b/moved").expect(201);
    assert_eq!(shown(&drive, "b/moved")[0].0, "editor");
    let stale = on("ACL", "b/moved").header("If-Match", "\"0-0\"").body("<D:acl xmlns:D=\"DAV:\"/>");
    assert_eq!(drive.send(stale).problem(), "412 PR412-DV-0001");
}

#[test]
fn what_apps_must_prove_is_kept() {
    let drive = with_roles();
    let body = "<D:acl xmlns:D=\"DAV:\" xmlns:p=\"urn:x-personium:xmlns\" p:requireSchemaAuthz=\"confidential\"/>";
    drive.xml("ACL", "b/col", body).expect(200);
    let listed = &drive.propfind("b/col", "0")[0];
    let acl = &listed.find(DAV, "acl").expect("a list").1;
    assert_eq!(acl.attribute("urn:x-personium:xmlns", "requireSchemaAuthz"), Some("confidential"));
}
