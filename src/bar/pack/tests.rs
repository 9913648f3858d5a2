use super::*;
use crate::bar::manifest::Manifest;
use crate::bar::metadata::{Metadata, parse};
use crate::bar::rootprops::{self, Kind, Property};
use crate::bar::{Layout, MetaFile};
use crate::domain::acl::{AceView, AclView, Principal, PrincipalView, Privilege, SchemaAuthz};

fn text(bytes: Option<Vec<u8>>) -> String {
    String::from_utf8(bytes.expect("a file")).expect("text")
}

#[test]
fn manifests_have_their_keys_in_order() {
    let bytes = manifest("b1", Some("https://app.example/"));
    let expected = r#"{"bar_version":"2","box_version":"1","default_path":"b1","schema":"https://app.example/"}"#;
    assert_eq!(String::from_utf8(bytes.clone()).expect("text"), expected);
    assert_eq!(Manifest::parse_v2(&bytes).expect("a manifest").default_path.as_deref(), Some("b1"));
    assert!(String::from_utf8(manifest("b", None)).expect("text").ends_with("\"schema\":null}"));
}

#[test]
fn lists_are_sorted() {
    let names = ["zz", "aa", "+m"].map(str::to_owned);
    assert_eq!(text(roles(&names)), r#"{"Roles":[{"Name":"+m"},{"Name":"aa"},{"Name":"zz"}]}"#);
    assert_eq!(text(relations(&names[..1])), r#"{"Relations":[{"Name":"zz"}]}"#);
    assert_eq!(roles(&[]), None);
    let ext = [("https://e/r".to_owned(), "rel".to_owned())];
    assert_eq!(text(ext_roles(&ext)), r#"{"ExtRoles":[{"ExtRole":"https://e/r","_Relation.Name":"rel"}]}"#);
}

#[test]
fn rules_lose_their_names_and_nulls() {
    let rule = |action: &str, target: Option<&str>| RuleFields {
        action: Some(action.to_owned()),
        target_url: target.map(str::to_owned),
        event_object: target.map(|_| "personium-localbox:/o".to_owned()),
        ..RuleFields::default()
    };
    let all = [("b".to_owned(), rule("log", None)), ("a".to_owned(), rule("exec", Some("personium-localbox:/s/x")))];
    assert_eq!(
        text(super::rules(&all)),
        concat!(
            r#"{"Rules":[{"EventExternal":false,"EventObject":"personium-localbox:/o","Action":"exec","TargetUrl":"personium-localbox:/s/x"},"#,
            r#"{"EventExternal":false,"Action":"log"}]}"#
        )
    );
}

#[test]
fn what_is_written_can_be_installed() {
    let ext = LinkEnd::ExtRole { url: "https://e/r".to_owned(), relation: "rel".to_owned() };
    let role = LinkEnd::Role("r".to_owned());
    let all = [Link { from: role.clone(), to: ext }, Link { from: LinkEnd::Relation("rel".to_owned()), to: role }];
    let Ok(Metadata::Links(items)) = parse(MetaFile::Links, Layout::V2, text(links(&all)).as_bytes()) else {
        panic!("no links")
    };
    let read: Vec<Link> = items.iter().map(|item| item.check().expect("a link")).collect();
    assert_eq!(read, [all[1].clone(), all[0].clone()]);
}

fn resource<'a>(path: &'a str, kind: Kind, own: &'a [AceView<'a>], properties: &'a [Property]) -> Resource<'a> {
    let acl = AclView {
        base: "https://app.example/__role/__/",
        box_name: Some("b1"),
        require_schema_authz: (kind == Kind::Service).then_some(SchemaAuthz::Public),
        own,
        inherited: &[],
    };
    let ms = 1_714_558_830_400;
    Resource {
        path,
        kind,
        created_ms: ms,
        modified_ms: ms,
        length: 5,
        content_type: Some("text/plain"),
        acl,
        properties,
    }
}

#[test]
fn root_properties_have_fixed_bytes() {
    let mut out = Vec::new();
    let mut writer = RootpropsWriter::default();
    writer.begin(&mut out);
    writer.response(&mut out, &resource("a&b c.txt", Kind::File, &[], &[]));
    writer.end(&mut out);
    let expected = r#"<multistatus xmlns="DAV:">
    <response>
        <href>personium-localbox:/a&amp;b c.txt</href>
        <propstat>
            <prop>
                <creationdate>2024-05-01T10:20:30.400+0000</creationdate>
                <getcontentlength>5</getcontentlength>
                <getcontenttype>text/plain</getcontenttype>
                <getlastmodified>Wed, 01 May 2024 10:20:30 GMT</getlastmodified>
                <resourcetype/>
                <acl xmlns="DAV:" xmlns:p="urn:x-personium:xmlns" xml:base="https://app.example/__role/__/"/>
            </prop>
            <status>HTTP/1.1 200 OK</status>
        </propstat>
    </response>
</multistatus>
"#;
    assert_eq!(String::from_utf8(out).expect("text"), expected);
}

#[test]
fn root_properties_can_be_installed() {
    let property = |ns: &str, local: &str, xml: &str| Property { ns: ns.into(), local: local.into(), xml: xml.into() };
    let properties = [
        property("urn:z", "b", "<b xmlns=\"urn:z\">one\n two</b>"),
        property("", "plain", "<plain xmlns=\"\"/>"),
        property("urn:z", "a", "<q:a xmlns:q=\"urn:z\"><q:i v=\"1\"/></q:a>"),
    ];
    let read = [Privilege::Read, Privilege::Exec].into_iter().collect();
    let own = [
        AceView { principal: PrincipalView::Role { box_name: Some("b1"), role: "r" }, privileges: read },
        AceView { principal: PrincipalView::Role { box_name: None, role: "r" }, privileges: read },
        AceView { principal: PrincipalView::All, privileges: read },
    ];
    let mut out = Vec::new();
    let mut writer = RootpropsWriter::default();
    writer.begin(&mut out);
    for (path, kind) in [
        ("", Kind::Collection),
        ("s", Kind::Service),
        ("s/__src", Kind::Collection),
        ("s/__src/x <1>.js", Kind::File),
        ("o", Kind::OData),
    ] {
        writer.response(&mut out, &resource(path, kind, &own, &properties));
    }
    writer.end(&mut out);
    let read_back = rootprops::parse(&out, Layout::V2);
    assert!(matches!(read_back, Err(rootprops_cause) if rootprops_cause.to_string().contains("invalid: x <1>.js")));
    let out = String::from_utf8(out).expect("text").replace("x &lt;1&gt;.js", "x &amp; 1.js");
    let resources = rootprops::parse(out.as_bytes(), Layout::V2).expect("declarations");
    assert_eq!(resources.len(), 5);
    assert_eq!(resources[3].path, ["s", "__src", "x & 1.js"]);
    for resource in &resources {
        let order = [&properties[1], &properties[2], &properties[0]];
        assert_eq!(resource.properties.iter().collect::<Vec<_>>(), order);
        let acl = resource.acl.clone().expect("a list").expect("a list");
        let principals: Vec<_> = acl.aces.iter().map(|ace| ace.principal.clone()).collect();
        let href = |text: &str| Principal::Href(text.to_owned());
        assert_eq!(principals, [href("r"), href("../__/r"), Principal::All]);
        assert_eq!(acl.require_schema_authz, (resource.kind == Kind::Service).then_some(SchemaAuthz::Public));
    }
}
