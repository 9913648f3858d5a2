use super::*;

fn resource(path: &str, kind: Kind) -> ResourceDeclaration {
    let path = path.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect();
    ResourceDeclaration { path, kind, content_type: None, acl: Ok(None), properties: Vec::new() }
}

fn declared() -> Vec<ResourceDeclaration> {
    vec![
        resource("", Kind::Collection),
        resource("d", Kind::Collection),
        resource("d/日本.txt", Kind::File),
        resource("s", Kind::Service),
        resource("s/__src", Kind::Collection),
        resource("s/__src/x.js", Kind::File),
        resource("s/__src/lib", Kind::Collection),
        resource("d/o", Kind::OData),
    ]
}

fn action(resources: &[ResourceDeclaration], name: &str, layout: Layout) -> Result<Action, Cause> {
    let kind = if name.ends_with('/') { MemberKind::Directory } else { MemberKind::File };
    let name = format!("{}{name}", layout.contents());
    let kind = if name.ends_with("90_contents/") { MemberKind::Directory } else { kind };
    let member = Member { name: &name, size: 0, kind, encrypted: false, position: 0 };
    Contents::new(resources, layout).action(&member)
}

#[test]
fn members_meet_their_declarations() {
    let resources = declared();
    for (name, expected) in [
        ("", Ok(Action::Collection(0))),
        ("d/", Ok(Action::Collection(1))),
        ("d/日本.txt", Ok(Action::StoreFile(2))),
        ("s/", Ok(Action::Collection(3))),
        ("s/__src/", Ok(Action::Collection(4))),
        ("s/__src/x.js", Ok(Action::StoreFile(5))),
        ("s/x.js", Ok(Action::StoreFile(5))),
        ("s/lib/", Ok(Action::Collection(6))),
        ("s/y.js", Err(Cause::ContentType)),
        ("s/other/", Err(Cause::NotDeclared)),
        ("s/__src/y.js", Err(Cause::NotDeclared)),
        ("s/__src/lib/y.js", Err(Cause::NotDeclared)),
        ("d/x.txt", Err(Cause::NotDeclared)),
        ("e/", Err(Cause::NotDeclared)),
        ("e/x", Err(Cause::NotDeclared)),
        ("d", Err(Cause::NotDeclared)),
        ("d/日本.txt/", Err(Cause::NotDeclared)),
        ("d/日本.txt/x", Err(Cause::NotDeclared)),
        ("d//", Err(Cause::NotDeclared)),
        ("..\\..\\x", Err(Cause::NotDeclared)),
        ("C:/x", Err(Cause::NotDeclared)),
    ] {
        assert_eq!(action(&resources, name, Layout::V2), expected, "{name}");
        assert_eq!(action(&resources, name, Layout::V1), expected, "{name}");
    }
}

#[test]
fn odata_collections_have_a_fixed_structure() {
    let resources = declared();
    let of = |part| Ok(Action::OData(7, part));
    for (name, expected) in [
        ("d/o/", Ok(Action::Collection(7))),
        ("d/o/00_$metadata.xml", of(ODataPart::Schema)),
        ("d/o/10_odatarelations.json", of(ODataPart::Links)),
        ("d/o/90_data/", of(ODataPart::Directory)),
        ("d/o/90_data/e1/", of(ODataPart::Directory)),
        ("d/o/90_data/e1/000000001.json", of(ODataPart::Record)),
        ("d/o/90_data/e1/a.json", Err(Cause::Structure)),
        ("d/o/90_data/e1/.json", Err(Cause::Structure)),
        ("d/o/90_data/1.json", Err(Cause::Structure)),
        ("d/o/10_odatarelation.json", Err(Cause::Structure)),
        ("d/o/readme.txt", Err(Cause::Structure)),
        ("d/o/more/", Err(Cause::Structure)),
    ] {
        assert_eq!(action(&resources, name, Layout::V2), expected, "{name}");
    }
}

#[test]
fn content_types_have_a_type_and_a_subtype() {
    let of = |text: &str| {
        let mut file = resource("f", Kind::File);
        file.content_type = Some(text.to_owned());
        content_type(&file).is_ok()
    };
    for good in ["text/plan", "application/x-deep; v=1", "text/plain;charset=UTF-8", "a/b; c=\"d;\\\" e\"; f=g", "a/b;"]
    {
        assert!(of(good), "{good}");
    }
    for bad in [
        "abc",
        "nonsense",
        "/",
        "a/",
        "/b",
        "a/b/c",
        "a b/c",
        "a/b; c",
        "a/b; c=",
        "a/b; c=\"d",
        "a/b\r\nX: y",
        "a/é",
        "a/b; c=\"é\"",
    ] {
        assert!(!of(bad), "{bad}");
    }
    assert_eq!(content_type(&resource("f", Kind::File)), Err(Cause::ContentType));
}
