//! MOVE and COPY within a cell.

use std::os::unix::fs::MetadataExt as _;

use super::{Drive, on};

/// `a` and `b` are files, `col` holds `c`.
fn two() -> Drive {
    let drive = Drive::new();
    drive.send(on("PUT", "b/a").header("Content-Type", "text/a").body("A")).expect(201);
    drive.put("b/b", "B").expect(201);
    drive.mkcol("b/col").expect(201);
    drive.put("b/col/c", "C").expect(201);
    drive
}

#[test]
fn move_keeps_content_type_properties_and_tag() {
    let drive = two();
    drive.proppatch("b/a", "<D:set><D:prop><x:color>blue</x:color></D:prop></D:set>").expect(207);
    let tag = drive.get("b/a").header("etag").expect("a tag").to_owned();
    let moved = drive.moves("b/a", "b/new").expect(201);
    assert_eq!(moved.header("location"), Some(drive.url("b/new").as_str()));
    assert_eq!(moved.header("etag"), Some(tag.as_str()));
    let got = drive.get("b/new").expect(200);
    assert_eq!((got.text(), got.header("content-type"), got.header("etag")), ("A", Some("text/a"), Some(tag.as_str())));
    assert_eq!(drive.propfind("b/new", "0")[0].find("urn:x", "color").expect("it").1.text(), "blue");
    drive.get("b/a").expect(404);
    assert!(!drive.on_disk("a").exists() && drive.on_disk("new").exists());
}

#[test]
fn move_replaces_whatever_is_there_unless_told_not_to() {
    let drive = two();
    let careful = on("MOVE", "b/a").header("Destination", drive.url("b/b")).header("Overwrite", "F");
    assert_eq!(drive.send(careful).problem(), "412 PR412-DV-0002");
    assert_eq!(drive.text("b/b"), "B");
    drive.moves("b/a", "b/b").expect(204);
    assert_eq!(drive.text("b/b"), "A");
    drive.moves("b/b", "b/col").expect(204);
    assert_eq!(drive.text("b/col"), "A");
    assert_eq!(drive.names("b"), ["col"]);
}

#[test]
fn move_of_a_collection_over_another_takes_its_place() {
    let drive = two();
    drive.mkcol("b/old").expect(201);
    drive.put("b/old/gone", "x").expect(201);
    drive.moves("b/col", "b/old").expect(204);
    assert_eq!(drive.names("b/old"), ["c"]);
    drive.get("b/col").expect(404);
}

#[test]
fn copy_is_apart_from_its_original() {
    let drive = two();
    drive.proppatch("b/a", "<D:set><D:prop><x:color>blue</x:color></D:prop></D:set>").expect(207);
    let copied = drive.copies("b/a", "b/copy").expect(201);
    assert_eq!(copied.header("location"), Some(drive.url("b/copy").as_str()));
    drive.put("b/copy", "changed").expect(204);
    assert_eq!(drive.text("b/a"), "A");
    assert_eq!(drive.get("b/copy").header("content-type"), Some("text/a"));
    assert_eq!(drive.propfind("b/copy", "0")[0].find("urn:x", "color").expect("it").1.text(), "blue");
    drive.copies("b/col", "b/col2").expect(201);
    assert_eq!((drive.text("b/col2/c"), drive.text("b/col/c")), ("C".to_owned(), "C".to_owned()));
    drive.copies("b/col", "b/a").expect(204);
    assert_eq!(drive.text("b/a/c"), "C");
}

#[test]
fn a_copied_tree_has_everything_that_the_original_has() {
    let drive = Drive::new();
    let content = |i: usize| format!("{i} ").repeat(i % 50 * 40).into_bytes();
    let mut names = Vec::new();
    for folder in ["t", "t/one", "t/one/deep", "t/two", "t/empty"] {
        std::fs::create_dir(drive.on_disk(folder)).expect("a directory");
        for i in (0..300).filter(|_| folder != "t/empty") {
            let name = format!("{folder}/file {i:03}.txt");
            std::fs::write(drive.on_disk(&name), content(i)).expect("a file");
            names.push((name, content(i)));
        }
    }
    let holes = std::fs::File::create(drive.on_disk("t/two/holes")).expect("a file");
    holes.set_len(50_000_000).expect("its length");
    std::fs::write(drive.on_disk("t/large"), vec![7; 3_000_000]).expect("a file");
    let set = "<D:set><D:prop><x:color>blue</x:color></D:prop></D:set>";
    drive.proppatch("b/t/one/deep/file%20007.txt", set).expect(207);
    drive.proppatch("b/t/two", set).expect(207);
    drive.copies("b/t", "b/copy").expect(201);
    for (name, content) in &names {
        let copy = drive.on_disk(&name.replacen('t', "copy", 1));
        assert!(std::fs::read(&copy).expect("a copy") == *content, "{name}");
    }
    let holes = std::fs::metadata(drive.on_disk("copy/two/holes")).expect("a copy");
    assert_eq!((holes.len(), holes.blocks()), (50_000_000, 0));
    assert_eq!(std::fs::read(drive.on_disk("copy/large")).expect("a copy"), vec![7; 3_000_000]);
    for folder in ["", "/one", "/one/deep", "/two", "/empty"] {
        let told = |top: &str| -> Vec<_> {
            let listed = drive.propfind(&format!("b/{top}{folder}"), "1");
            let color = |l: &super::Listed| l.find("urn:x", "color").map(|(_, p)| p.text());
            let name = |l: &super::Listed| l.href.rsplit_once('/').map(|(_, name)| name.to_owned());
            listed[1..]
                .iter()
                .map(|l| (name(l), l.text("getcontentlength"), l.text("getcontenttype"), color(l)))
                .collect()
        };
        assert_eq!(told("t"), told("copy"), "{folder}");
    }
    assert_eq!(drive.propfind("b/copy/two", "0")[0].find("urn:x", "color").expect("it").1.text(), "blue");
    let staged = std::fs::read_dir(drive.server.root().join("cells/c/staging")).expect("a directory");
    assert_eq!(staged.filter(|e| e.as_ref().expect("an entry").file_name() != "gone").count(), 0);
}

#[test]
fn copy_with_depth_0_leaves_the_members() {
    let drive = two();
    let copy = |depth: &str, to: &str| {
        drive.send(on("COPY", "b/col").header("Destination", drive.url(to)).header("Depth", depth))
    };
    copy("0", "b/bare").expect(201);
    assert!(drive.names("b/bare").is_empty());
    drive.send(on("DELETE", "b/bare").header("X-Personium-Recursive", "false")).expect(204);
    assert_eq!(copy("1", "b/x").problem(), "400 PR400-DV-0003");
    copy("Infinity", "b/x").expect(201);
}

#[test]
fn move_and_copy_reach_other_boxes() {
    let drive = two();
    drive.copies("b/col", "other/col").expect(201);
    assert_eq!(drive.text("other/col/c"), "C");
    drive.moves("b/a", "other/a").expect(201);
    assert_eq!(drive.text("other/a"), "A");
    drive.get("b/a").expect(404);
    drive.moves("other/col", "b/col").expect(204);
    assert_eq!(drive.names("other"), ["a"]);
}

#[test]
fn destination_may_be_a_path_or_local() {
    let drive = two();
    for (i, destination) in [
        "/c/b/x0".to_owned(),
        drive.url("b/x1/"),
        drive.url("b/x2").replace("http:", "https:"),
        "personium-localunit:/c/b/x3".to_owned(),
        "personium-localunit:c:/b/x4".to_owned(),
        "personium-localcell:/b/x5".to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        let reply = drive.send(on("COPY", "b/a").header("Destination", destination)).expect(201);
        assert_eq!(reply.header("location"), Some(drive.url(&format!("b/x{i}")).as_str()));
        assert_eq!(drive.text(&format!("b/x{i}")), "A");
    }
}

#[test]
fn destinations_that_are_none_are_refused() {
    let drive = two();
    for (destination, problem) in [
        (drive.url("b/a"), "403 PR403-DV-0005"),
        (drive.url("b/a/"), "403 PR403-DV-0005"),
        (drive.url("b"), "400 PR400-DV-0009"),
        (drive.url(""), "400 PR400-DV-0009"),
        (drive.url("__ctl/Box"), "400 PR400-DV-0009"),
        ("ftp://x/c/b/x".to_owned(), "400 PR400-DV-0009"),
        ("x".to_owned(), "400 PR400-DV-0009"),
        (drive.url("b/no/x"), "409 PR409-DV-0001"),
        (drive.url("none/x"), "409 PR409-DV-0001"),
        (format!("{}none/b/x", drive.server.url()), "409 PR409-DV-0001"),
        ("http://elsewhere.example/c/b/x".to_owned(), "502 PR502-DV-0001"),
        (drive.url("b/b/x"), "400 PR400-DV-0014"),
        (drive.url("b/q%3Aq"), "403 PR403-DV-0004"),
        (drive.url("b/../x"), "403 PR403-DV-0004"),
        (drive.url("b/b#1"), "400 PR400-DV-0009"),
    ] {
        for method in ["MOVE", "COPY"] {
            let reply = drive.send(on(method, "b/a").header("Destination", destination.clone()));
            assert_eq!(reply.problem(), problem, "{method} {destination}");
        }
    }
    assert_eq!(drive.names("b"), ["a", "b", "col"]);
}

#[test]
fn headers_of_a_move_are_checked() {
    let drive = two();
    let to = |path: &str| on("MOVE", "b/col").header("Destination", drive.url(path));
    assert_eq!(drive.send(on("MOVE", "b/col")).problem(), "400 PR400-DV-0010");
    assert_eq!(drive.send(to("b/x").header("Overwrite", "maybe")).problem(), "400 PR400-DV-0009");
    assert_eq!(drive.send(to("b/x").header("Depth", "0")).problem(), "400 PR400-DV-0003");
    assert_eq!(drive.send(to("b/x").header("If-Match", "\"0-0\"")).problem(), "412 PR412-DV-0001");
    assert_eq!(drive.moves("b/none", "b/x").problem(), "404 PR404-DV-0001");
    assert_eq!(drive.moves("b", "other/x").problem(), "400 PR400-DV-0015");
    drive.send(to("b/x").header("Overwrite", "t").header("Depth", "INFINITY")).expect(201);
}

#[test]
fn a_collection_goes_neither_into_itself_nor_over_what_holds_it() {
    let drive = two();
    drive.mkcol("b/col/in").expect(201);
    for refused in
        [drive.moves("b/col", "b/col/in/x"), drive.moves("b/col/in", "b/col"), drive.copies("b/col/in", "b/col")]
    {
        assert_eq!(refused.problem(), "403 PR403-DV-0005");
    }
    let told = drive.moves("b/col", "b/col/in/x");
    assert!(told.text().contains(&drive.url("b/col/in/x")), "the destination is named: {}", told.text());
    drive.copies("b/col", "b/col/in/x").expect(201);
    assert_eq!(drive.names("b/col/in/x"), ["c", "in"]);
}

#[test]
fn services_and_their_sources_have_rules_of_their_own() {
    let drive = two();
    let body = "<D:mkcol xmlns:D=\"DAV:\" xmlns:p=\"urn:x-personium:xmlns\"><D:set><D:prop><D:resourcetype><D:collection/>\
                <p:service/></D:resourcetype></D:prop></D:set></D:mkcol>";
    drive.xml("MKCOL", "b/svc", body).expect(201);
    for (from, to, problem) in [
        ("b/svc/__src", "b/x", "400 PR400-DV-0011"),
        ("b/a", "b/svc/__src", "400 PR400-DV-0017"),
        ("b/a", "b/svc/x", "400 PR400-DV-0016"),
        ("b/col", "b/svc/__src/x", "400 PR400-DV-0018"),
    ] {
        assert_eq!(drive.moves(from, to).problem(), problem, "{from} to {to}");
    }
    drive.moves("b/a", "b/svc/__src/a.js").expect(201);
    drive.moves("b/svc", "b/svc2").expect(201);
    assert_eq!(drive.text("b/svc2/__src/a.js"), "A");
    drive.copies("b/svc2", "b/svc3").expect(201);
    assert_eq!(drive.text("b/svc3/__src/a.js"), "A");
}
