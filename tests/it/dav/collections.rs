//! MKCOL, DELETE, OPTIONS, and what collections answer.

use std::time::{Duration, Instant};

use cellar::base::xml::{DAV, Limits, parse};
use cellar::storage::operation::install::BeginInstall;

use super::{Drive, on};

fn mkcol_body(inner: &str) -> String {
    format!(
        "<D:mkcol xmlns:D=\"DAV:\" xmlns:p=\"urn:x-personium:xmlns\" xmlns:x=\"urn:x\"><D:set><D:prop>{inner}</D:prop></D:set></D:mkcol>"
    )
}

const SERVICE: &str = "<D:resourcetype><D:collection/><p:service/></D:resourcetype>";

#[test]
fn mkcol_makes_a_collection_once() {
    let drive = Drive::new();
    let made = drive.mkcol("b/col").expect(201);
    assert!(made.header("etag").is_some_and(|t| t.starts_with("\"1-")), "{made:?}");
    assert!(drive.on_disk("col").is_dir());
    let refused = drive.mkcol("b/col");
    assert_eq!(refused.problem(), "405 PR405-DV-0001");
    assert!(refused.header("allow").is_some_and(|methods| methods.contains("PROPFIND")), "{refused:?}");
    drive.put("b/f", "x").expect(201);
    assert_eq!(drive.mkcol("b/f").problem(), "405 PR405-MC-0001");
    assert_eq!(drive.mkcol("b/no/col").problem(), "409 PR409-DV-0001");
}

#[test]
fn every_405_says_which_methods_there_are() {
    let drive = Drive::new();
    for (method, path) in
        [("MKCOL", "b"), ("MKCOL", ""), ("MKCOL", "__"), ("DELETE", "__"), ("PUT", "b"), ("POST", "__box")]
    {
        let mut request = on(method, path);
        if method == "PUT" {
            request = request.body("x");
        }
        let refused = drive.send(request).expect(405);
        let methods: Vec<_> = refused.header("allow").expect("a list").split(", ").collect();
        assert!(
            methods.contains(&"OPTIONS") && (path == "b" || !methods.contains(&method) || path.is_empty()),
            "{path}: {methods:?}"
        );
    }
}

/// Something that a client does.
type Change = fn(&Drive);

#[test]
fn a_collection_is_modified_when_names_come_and_go_in_it() {
    let drive = Drive::new();
    drive.mkcol("b/col").expect(201);
    drive.mkcol("b/col/sub").expect(201);
    let time = |path: &str| drive.propfind(path, "0")[0].text("getlastmodified").expect("a time");
    let tag = drive.propfind("b/col", "0")[0].text("getetag");
    let sub = time("b/col/sub");
    // Times have whole seconds, so that only a change in another second shows.
    let changes: [(&str, Change); 5] = [
        ("PUT", |drive| drop(drive.put(&format!("b/col/{}", uuid::Uuid::new_v4()), "x").expect(201))),
        ("MKCOL", |drive| drop(drive.mkcol(&format!("b/col/{}", uuid::Uuid::new_v4())).expect(201))),
        ("MOVE", |drive| {
            drive.put("b/elsewhere", "x").expect(201);
            assert!(drive.moves("b/elsewhere", "b/col/moved").status < 300);
        }),
        ("COPY", |drive| drop(drive.copies("b/col/moved", &format!("b/col/{}", uuid::Uuid::new_v4())).expect(201))),
        ("DELETE", |drive| {
            drive.put("b/col/going", "x").expect(201);
            drive.delete("b/col/going").expect(204);
        }),
    ];
    for (method, change) in changes {
        let before = time("b/col");
        let end = Instant::now() + Duration::from_secs(30);
        while time("b/col") == before {
            assert!(Instant::now() < end, "{method} is no modification");
            change(&drive);
        }
    }
    assert_eq!((time("b/col/sub"), drive.propfind("b/col", "0")[0].text("getetag")), (sub, tag), "these are their own");
}

#[test]
fn delete_of_a_collection_takes_all_of_it_or_is_refused() {
    let drive = Drive::new();
    drive.mkcol("b/col").expect(201);
    drive.put("b/col/f", "x").expect(201);
    let delete = |path: &str, depth: &str| drive.send(on("DELETE", path).header("Depth", depth));
    for depth in ["0", "1", "2", ""] {
        assert_eq!(delete("b/col", depth).problem(), "400 PR400-DV-0003", "{depth}");
    }
    assert_eq!(drive.text("b/col/f"), "x");
    delete("b/col/f", "0").expect(204);
    delete("b/col", "Infinity").expect(204);
    assert_eq!(delete("b/col", "0").problem(), "404 PR404-DV-0001");
}

#[test]
fn get_of_a_collection_heeds_conditions() {
    let drive = Drive::new();
    drive.mkcol("b/col").expect(201);
    let tag = drive.get("b/col").expect(200).header("etag").expect("a tag").to_owned();
    let with = |name: &str, value: &str| drive.send(on("GET", "b/col").header(name, value));
    let same = with("If-None-Match", &tag).expect(304);
    assert_eq!((same.header("etag"), same.body.len()), (Some(tag.as_str()), 0));
    with("If-None-Match", "\"other\"").expect(200);
    with("If-Match", &tag).expect(200);
    assert_eq!(with("If-Match", "\"other\"").problem(), "412 PR412-DV-0001");
}

#[test]
fn mkcol_with_a_body_of_another_type_is_415() {
    let drive = Drive::new();
    let reply = drive.send(on("MKCOL", "b/col").header("Content-Type", "xzy-foo/bar-512").body("afafafaf"));
    assert_eq!(reply.problem(), "415 PR415-MC-0001");
    assert_eq!(drive.xml("MKCOL", "b/col", "<D:mkcol").problem(), "400 PR400-DV-0001");
    drive.get("b/col").expect(404);
}

#[test]
fn mkcol_with_properties_sets_them() {
    let drive = Drive::new();
    let inner = "<D:resourcetype><D:collection/></D:resourcetype><D:displayname>Photos</D:displayname><x:a>1</x:a>";
    drive.xml("MKCOL", "b/col", &mkcol_body(inner)).expect(201);
    let listed = &drive.propfind("b/col", "0")[0];
    assert_eq!(listed.text("displayname").as_deref(), Some("Photos"));
    assert_eq!(listed.find("urn:x", "a").expect("the property").1.text(), "1");
}

#[test]
fn mkcol_that_asks_for_the_impossible_explains_itself() {
    let drive = Drive::new();
    let twice = "<D:resourcetype><D:collection/><p:odata/><p:service/></D:resourcetype>";
    for (inner, condition) in [
        ("", "valid-resourcetype"),
        ("<D:resourcetype/>", "valid-resourcetype"),
        ("<D:resourcetype><D:collection/><x:a/></D:resourcetype>", "valid-resourcetype"),
        (twice, "valid-resourcetype"),
        (
            "<D:resourcetype><D:collection/></D:resourcetype><D:getetag>x</D:getetag>",
            "cannot-modify-protected-property",
        ),
    ] {
        let reply = drive.xml("MKCOL", "b/col", &mkcol_body(inner)).expect(403);
        assert!(reply.text().contains("<D:mkcol-response") && reply.text().contains(condition), "{}", reply.text());
        drive.get("b/col").expect(404);
    }
    let unknown = "<D:resourcetype><D:collection/><x:a/></D:resourcetype><D:displayname>Photos</D:displayname>";
    let reply = drive.xml("MKCOL", "b/col", &mkcol_body(unknown)).expect(403);
    let root = parse(&reply.body, Limits::of(4096)).expect("XML");
    let told: Vec<_> = root
        .children_named(DAV, "propstat")
        .map(|propstat| {
            let child = |name| propstat.child(DAV, name).expect("an element");
            let prop = child("prop").elements().next().expect("a property").clone();
            (child("status").text(), prop.local.clone(), prop.elements().map(|e| e.local.clone()).collect::<Vec<_>>())
        })
        .collect();
    let told: Vec<_> =
        told.iter().map(|(status, name, inner)| (status.as_str(), name.as_str(), inner.join(" "))).collect();
    assert_eq!(
        told,
        [
            ("HTTP/1.1 403 Forbidden", "resourcetype", "collection a".to_owned()),
            ("HTTP/1.1 424 Failed Dependency", "displayname", String::new()),
        ]
    );
    let odata = "<D:resourcetype><D:collection/><p:odata/></D:resourcetype>";
    assert_eq!(drive.xml("MKCOL", "b/col", &mkcol_body(odata)).problem(), "501 PR501-MC-0002");
}

#[test]
fn a_service_collection_holds_its_sources_and_nothing_else() {
    let drive = Drive::new();
    drive.xml("MKCOL", "b/svc", &mkcol_body(SERVICE)).expect(201);
    assert_eq!(drive.names("b/svc"), ["__src"]);
    assert_eq!(drive.get("b/svc").problem(), "405 PR405-MC-0001");
    assert_eq!(drive.mkcol("b/svc/sub").problem(), "405 PR405-MC-0001");
    let refused = drive.put("b/svc/f", "x");
    assert_eq!(refused.problem(), "405 PR405-MC-0001");
    let allowed: Vec<_> = refused.header("allow").expect("a list").split(", ").collect();
    assert!(!allowed.contains(&"PUT") && !allowed.contains(&"MKCOL") && allowed.contains(&"GET"), "{allowed:?}");
    drive.put("b/svc/__src/a.js", "one").expect(201);
    drive.put("b/svc/__src/a.js", "two").expect(204);
    assert_eq!(drive.text("b/svc/__src/a.js"), "two");
    assert_eq!(drive.mkcol("b/svc/__src/sub").problem(), "405 PR405-MC-0001");
    assert_eq!(drive.delete("b/svc/__src").problem(), "405 PR405-MC-0001");
    assert_eq!(drive.xml("ACL", "b/svc/__src", "<D:acl xmlns:D=\"DAV:\"/>").problem(), "405 PR405-MC-0001");
    drive.delete("b/svc").expect(204);
    drive.get("b/svc/__src/a.js").expect(404);
}

#[test]
fn collections_are_nested_as_deep_as_configured() {
    let drive = Drive::new();
    let mut path = "b".to_owned();
    for _ in 0..50 {
        path.push_str("/d");
        drive.mkcol(&path).expect(201);
    }
    assert_eq!(drive.mkcol(&format!("{path}/d")).problem(), "400 PR400-DV-0008");
    drive.put(&format!("{path}/f"), "deep").expect(201);
    assert_eq!(drive.text(&format!("{path}/f")), "deep");
}

#[test]
fn delete_takes_what_a_collection_holds_unless_asked_not_to() {
    let drive = Drive::new();
    drive.mkcol("b/col").expect(201);
    drive.put("b/col/f", "x").expect(201);
    let delete = |value: &str| drive.send(on("DELETE", "b/col").header("X-Personium-Recursive", value));
    assert_eq!(delete("false").problem(), "403 PR403-DV-0003");
    assert_eq!(delete("foo").problem(), "400 PR400-DV-0009");
    assert_eq!(drive.text("b/col/f"), "x");
    drive.delete("b/col").expect(204);
    drive.get("b/col/f").expect(404);
    assert!(!drive.on_disk("col").exists());
    drive.mkcol("b/col").expect(201);
    delete("False").expect(204);
    assert_eq!(drive.delete("b/col").problem(), "404 PR404-DV-0001");
}

#[test]
fn delete_with_stale_etag_is_412() {
    let drive = Drive::new();
    let tag = drive.put("b/f", "1").header("etag").expect("a tag").to_owned();
    drive.put("b/f", "2").expect(204);
    let delete = |tag: &str| drive.send(on("DELETE", "b/f").header("If-Match", tag));
    assert_eq!(delete(&tag).problem(), "412 PR412-DV-0001");
    let tag = drive.get("b/f").header("etag").expect("a tag").to_owned();
    delete(&tag).expect(204);
    assert_eq!(drive.send(on("DELETE", "b/f").header("If-Match", "*")).problem(), "404 PR404-DV-0001");
}

#[test]
fn get_of_a_collection_is_its_url() {
    let drive = Drive::new();
    drive.mkcol("b/col").expect(201);
    let got = drive.get("b/col/").expect(200);
    assert_eq!(got.text(), format!("URL : {}\n", drive.url("b/col")));
    assert_eq!(drive.get("b/none").problem(), "404 PR404-DV-0001");
}

#[test]
fn options_lists_what_a_resource_answers() {
    let drive = Drive::new();
    drive.mkcol("b/col").expect(201);
    drive.put("b/f", "x").expect(201);
    for (path, has, lacks) in
        [("b", "MKCOL", "MOVE"), ("b/col", "MKCOL", "POST"), ("b/f", "PUT", "MKCOL"), ("b/none", "PUT", "MOVE")]
    {
        let reply = drive.send(on("OPTIONS", path)).expect(200);
        let allowed: Vec<&str> = reply.header("allow").expect("a list").split(", ").collect();
        assert!(allowed.contains(&has) && !allowed.contains(&lacks), "{path}: {allowed:?}");
        assert!(allowed.contains(&"PROPFIND") && reply.header("dav").is_some(), "{path}");
    }
}

#[test]
fn unknown_methods_are_405_with_the_methods_there_are() {
    let drive = Drive::new();
    drive.put("b/f", "x").expect(201);
    for method in ["POST", "SEARCH"] {
        let reply = drive.send(on(method, "b/f"));
        assert_eq!(reply.problem(), "405 PR405-MC-0001", "{method}");
        assert!(reply.header("allow").is_some_and(|a| a.contains("PUT")), "{method}");
    }
}

#[test]
fn the_main_box_is_a_box() {
    let drive = Drive::new();
    drive.put("__/f", "main").expect(201);
    assert_eq!(drive.text("__/f"), "main");
    assert_eq!(drive.names("__"), ["f"]);
}

#[test]
fn a_box_in_installation_shows_its_root_and_nothing_else() {
    let drive = Drive::new();
    drive.put("b/f", "x").expect(201);
    drive.tool(|unit| {
        let (name, request_key) = ("new".to_owned(), "key".to_owned());
        unit.cell("c").expect("the cell").change(BeginInstall { name, schema: None, request_key }).expect("begun");
        for (method, path) in [
            ("GET", "new/f"),
            ("PUT", "new/f"),
            ("MKCOL", "new/d"),
            ("DELETE", "new/f"),
            ("ACL", "new"),
            ("POST", "new/f"),
        ] {
            let reply = drive.send(on(method, path));
            assert_eq!(reply.problem(), "409 PR409-CM-0002", "{method} {path}");
            assert!(reply.header("retry-after").is_some(), "{method} {path}");
        }
        for depth in ["1", "infinity"] {
            let reply = drive.send(on("PROPFIND", "new").header("Depth", depth));
            assert_eq!(reply.problem(), "409 PR409-CM-0002", "{depth}");
        }
        assert_eq!(drive.copies("b/f", "new/f").problem(), "409 PR409-CM-0002");
        assert_eq!(drive.moves("b/f", "new/f").problem(), "409 PR409-CM-0002");
        drive.send(on("OPTIONS", "new")).expect(200);
        let root = &drive.propfind("new", "0")[0];
        assert_eq!(root.href, drive.url("new"));
        assert_eq!(root.text("displayname").as_deref(), Some("new"));
    });
}
