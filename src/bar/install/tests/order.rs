//! Failures: what came before them is there, nothing after them.

use super::*;

fn install(bar: &Bar) -> (World, String) {
    let w = World::new();
    w.install("b", &bar.build());
    let failure = w.failure("b");
    assert_eq!(w.log().pop().map(|l| l.starts_with("PL-BI-0001 | @b | Bar installation failed(")), Some(true));
    (w, failure)
}

fn base() -> Bar {
    Bar::v2(None).folder("d")
}

#[test]
fn an_undeclared_member_fails_where_it_stands() {
    let (w, failure) = install(&base().file("d/a", b"a").content("d/m", b"m").file("d/z", b"z"));
    assert_eq!(failure, "PL-BI-1004 Installation failed(Entry is not contained in 90_rootprops.xml.).");
    assert_eq!(w.tree("b"), ["d/", "d/a"]);
    assert_eq!(std::fs::read_dir(w.on_disk("boxes/b/d")).expect("there").count(), 1);
    let BoxStatus::Failed { progress, .. } = w.status("b") else { panic!("not failed") };
    assert_eq!(progress, 75, "root properties, a and m of four files");
    let log = w.log();
    let cause = "Entry is not contained in 90_rootprops.xml.";
    assert_eq!(log[log.len() - 2], format!("PL-BI-1004 | 90_contents/d/m | Installation failed({cause})."));
    assert_eq!(
        log[log.len() - 1],
        format!("PL-BI-0001 | @b | Bar installation failed(Installation failed({cause}).).")
    );
    w.delete("b");
    assert!(matches!(w.install("b", &base().build()), BoxStatus::Ready { .. }));
}

#[test]
fn a_member_that_cannot_be_inflated_is_the_last() {
    let w = World::new();
    let mut bar = base();
    for n in 0..1500 {
        bar = bar.file(&format!("d/f{n:04}"), format!("content {n:04}").as_bytes());
    }
    w.install("b", &bar.build_broken(b"content 1234"));
    assert!(w.failure("b").contains("does not match its checksum"), "{}", w.failure("b"));
    let expected: Vec<String> =
        std::iter::once("d/".to_owned()).chain((0..1234).map(|n| format!("d/f{n:04}"))).collect();
    assert_eq!(w.tree("b"), expected);
    let completed = w.log().iter().filter(|l| l.starts_with("PL-BI-1003 | 90_contents/d/f")).count();
    assert_eq!(completed, 1234);
}

#[test]
fn a_large_member_that_cannot_be_inflated_leaves_nothing() {
    let mut large = vec![0; 3 << 20];
    // Random enough that deflate stores it, so that a byte of it can be found and changed.
    let mut state = 1_u32;
    for b in &mut large {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *b = (state >> 24) as u8;
    }
    let w = World::new();
    let bar = base().file("d/a", b"a").file("d/large", &large);
    w.install("b", &bar.build_broken(&large[1_000_000..1_000_016]));
    assert!(matches!(w.status("b"), BoxStatus::Failed { .. }));
    assert_eq!(w.tree("b"), ["d/", "d/a"]);
    assert_eq!(std::fs::read_dir(w.on_disk("boxes/b/d")).expect("there").count(), 1);
}

#[test]
fn lists_fail_at_their_first_bad_item() {
    let relations = |items: &str| base().meta("10_relations.json", &format!("{{\"Relations\":[{items}]}}"));
    let (w, failure) = install(&relations(r#"{"Name":"a"},{"Name":"b"},{"Name":"a"},{"Name":"c"}"#));
    assert_eq!(failure, "PL-BI-1004 Installation failed(The entity already exists.).");
    assert_eq!(w.names(ObjectKind::Relation, "b"), ["a", "b"]);
    assert!(w.tree("b").is_empty());
    let log = w.log();
    assert_eq!(log[log.len() - 2], "PL-BI-1004 |  | Installation failed(The entity already exists.).");
    assert_eq!(log[log.len() - 1], "PL-BI-0001 | @b | Bar installation failed(The entity already exists.).");
    for (file, text, cause) in [
        ("20_roles.json", r#"{"Roles":[{"Name":"a b"}]}"#, "request body format error. field [Name]"),
        ("20_roles.json", "{", "[20_roles.json] file format error."),
        ("30_extroles.json", r#"{"ExtRoles":[{"ExtRole":"https://e/","_Relation.Name":"nobody"}]}"#, "No such entity."),
        (
            "70_$links.json",
            r#"{"Links":[{"FromType":"Role","FromName":{"Name":"x"},"ToType":"Relation","ToName":{"Name":"y"}}]}"#,
            "No such entity.",
        ),
    ] {
        let (_, failure) = install(&base().meta(file, text));
        assert_eq!(failure, format!("PL-BI-1004 Installation failed({cause})."), "{file}");
    }
}

#[test]
fn a_link_comes_once_whichever_end_is_first() {
    let link = |a: &str, b: &str| {
        format!(r#"{{"FromType":"{a}","FromName":{{"Name":"x"}},"ToType":"{b}","ToName":{{"Name":"x"}}}}"#)
    };
    let bar = base()
        .meta("10_relations.json", r#"{"Relations":[{"Name":"x"}]}"#)
        .meta("20_roles.json", r#"{"Roles":[{"Name":"x"}]}"#)
        .meta("70_$links.json", &format!("{{\"Links\":[{},{}]}}", link("Relation", "Role"), link("Role", "Relation")));
    assert_eq!(install(&bar).1, "PL-BI-1004 Installation failed(Links exists already.).");
}

#[test]
fn declarations_are_made_up_to_the_first_bad_one() {
    let acl = |href: &str| {
        format!(
            "<acl xml:base=\"https://x/__role/__/\"><ace><principal><href>{href}</href></principal>\
             <grant><privilege><read/></privilege></grant></ace></acl>"
        )
    };
    for (path, props, cause) in [
        ("m", acl("nobody"), "Role not found.".to_owned()),
        ("m", acl("../__/nobody"), "Role not found.".to_owned()),
        ("m", acl("../nowhere/role"), format!("Box not found url:[{CELL}nowhere].")),
        ("m", "<acl xml:base=\"urn:x\"/>".to_owned(), "[90_rootprops.xml] file format error.".to_owned()),
    ] {
        let (w, failure) = install(&base().declare(path, "<collection/>", &props).folder("z"));
        assert_eq!(failure, format!("PL-BI-1004 Installation failed({cause})."));
        assert_eq!(w.tree("b"), ["d/", "m/"]);
    }
    let (w, failure) = install(&base().declare("c/e", "<collection/>", "").folder("c"));
    assert_eq!(failure, "PL-BI-1004 Installation failed([90_contents/c/e/] file format error.).");
    assert_eq!(w.tree("b"), ["d/"]);
    let (w, failure) = install(&base().declare("o", "<collection/><p:odata/>", ""));
    assert_eq!(failure, "PL-BI-1004 Installation failed(OData collections are not supported yet.).");
    assert_eq!(w.tree("b"), ["d/"]);
    let (w, _) = install(&base().declare("nowhere/x", "<collection/>", ""));
    assert!(w.tree("b").is_empty(), "the document is checked as a whole first");
}

#[test]
fn files_need_a_content_type_and_services_their_declarations() {
    let (w, failure) = install(&base().file("d/a", b"a").declare("d/m", "", "").content("d/m", b"m"));
    assert_eq!(failure, "PL-BI-1004 Installation failed(WebDAV file registration error. Invalid Content-Type.).");
    assert_eq!(w.tree("b"), ["d/", "d/a"]);
    let service = base().declare("s", "<collection/><p:service/>", "").declare("s/__src", "<collection/>", "");
    let (w, failure) = install(&service.clone().content("s/x.js", b"x"));
    assert!(failure.contains("Invalid Content-Type"), "{failure}");
    assert_eq!(w.tree("b"), ["d/", "s/", "s/__src/"]);
    let js = service.declare("s/__src/x.js", "", "<getcontenttype>text/javascript</getcontenttype>");
    let (_, failure) = install(&js.content("s/x.js", b"x").content("s/__src/x.js", b"y"));
    assert!(failure.contains("Invalid structure"), "{failure}");
}

#[test]
fn limits_hold_inside_a_bar() {
    let limits = Limits { children: 3, depth: 2, cell_bytes: 0, relaxed: false };
    let files = |n: usize| (0..n).fold(base(), |bar, n| bar.file(&format!("d/{n}"), b"x"));
    let folders = |n: usize| (0..n).fold(base(), |bar, n| bar.folder(&format!("d/{n}")));
    let w = World::with(limits);
    for (name, bar, cause) in [
        ("b1", files(3), None),
        ("b2", files(4), Some("Cannot add any more child resources.")),
        ("b3", folders(3), None),
        ("b4", folders(4), Some("Cannot add any more child resources.")),
        ("b5", base().folder("d/e").file("d/e/f", b"x"), None),
        ("b6", base().folder("d/e").folder("d/e/f"), Some("Hierarchy of the collection is too deep.")),
    ] {
        let status = w.install(name, &bar.build());
        match cause {
            None => assert!(matches!(status, BoxStatus::Ready { .. }), "{name}: {status:?}"),
            Some(cause) => assert_eq!(w.failure(name), format!("PL-BI-1004 Installation failed({cause}).")),
        }
    }
    assert_eq!(w.tree("b2"), ["d/", "d/0", "d/1", "d/2"]);
}

#[test]
fn names_that_leave_the_box_are_refused() {
    let w = World::new();
    for name in ["../x", "d/../../x", "./x"] {
        assert!(w.refused("b", &base().content(name, b"x").build()).starts_with("PR400-BI-0007 "), "{name}");
    }
}
