use proptest::prelude::*;

use super::*;
use crate::domain::acl::Principal;

const COLLECTION: &str = "<collection/>";
const ODATA: &str = "<collection/><p:odata/>";
const SERVICE: &str = "<collection/><p:service/>";

fn document(responses: &[String]) -> String {
    format!("<multistatus xmlns=\"DAV:\" xmlns:p=\"urn:x-personium:xmlns\">\n{}\n</multistatus>", responses.concat())
}

fn response(href: &str, kind: &str, props: &str) -> String {
    format!(
        "<response><href>{href}</href><propstat><prop><resourcetype>{kind}</resourcetype>{props}</prop></propstat></response>"
    )
}

fn of(path: &str, kind: &str) -> String {
    response(&format!("personium-localbox:{path}"), kind, "")
}

fn with_root(responses: &[String]) -> Result<Vec<ResourceDeclaration>, Cause> {
    let mut all = vec![of("/", COLLECTION)];
    all.extend_from_slice(responses);
    parse(document(&all).as_bytes(), Layout::V2)
}

fn fails(responses: &[String]) -> String {
    with_root(responses).expect_err("a cause").to_string()
}

#[test]
fn resources_are_declared_in_order() {
    let resources = with_root(&[
        of("/my files/", COLLECTION),
        response("\n  personium-localbox:/my files/日本 a.txt\n  ", "", "<getcontenttype> text/plan </getcontenttype>"),
        of("/s", SERVICE),
        of("/s/__src", COLLECTION),
        of("/o", "<collection/><q:odata xmlns:q='urn:x-personium:xmlns'/>"),
        "<response><href>personium-localbox:/bare</href></response>".to_owned(),
        of("/trailing ", ""),
    ])
    .expect("declarations");
    let found: Vec<_> = resources.iter().map(|r| (r.path.join("/"), r.kind)).collect();
    let expected = [
        ("", Kind::Collection),
        ("my files", Kind::Collection),
        ("my files/日本 a.txt", Kind::File),
        ("s", Kind::Service),
        ("s/__src", Kind::Collection),
        ("o", Kind::OData),
        ("bare", Kind::Collection),
        ("trailing ", Kind::File),
    ];
    assert_eq!(found, expected.map(|(path, kind)| (path.to_owned(), kind)));
    assert_eq!(resources[2].content_type.as_deref(), Some("text/plan"));
    assert_eq!(resources[1].content_type, None);
}

#[test]
fn the_box_may_be_written_without_slash_and_legacy_bars_have_their_scheme() {
    let text = document(&[response("dcbox:", COLLECTION, ""), response("dcbox:/a", "", "")]);
    assert_eq!(parse(text.as_bytes(), Layout::V1).expect("declarations").len(), 2);
    assert!(parse(text.as_bytes(), Layout::V2).is_err());
}

#[test]
fn each_response_has_one_reference_into_the_box() {
    let collection = of("/d", COLLECTION);
    let two = collection.replace("</href>", "</href><href>personium-localbox:/e</href>");
    let none = collection.replace("<href>personium-localbox:/d</href>", "");
    let start = "href element value does not start with 'personium-localbox:': ";
    for (response, text) in [
        (none, "href tag does not exist.".to_owned()),
        (two, "href tag does not exist.".to_owned()),
        (response("", COLLECTION, ""), "href element value is empty.".to_owned()),
        (response(" \n ", COLLECTION, ""), "href element value is empty.".to_owned()),
        (response("dcbox:/d", COLLECTION, ""), format!("{start}dcbox:/d")),
        (response("/d", COLLECTION, ""), format!("{start}/d")),
        (response("http://x.example/d", COLLECTION, ""), format!("{start}http://x.example/d")),
        (response("personium-localcell:/d", COLLECTION, ""), format!("{start}personium-localcell:/d")),
        (response("personium-localbox:d", COLLECTION, ""), format!("{start}personium-localbox:d")),
        (of("/d", "<collection/><p:fancy/>"), "Unexpected tag: p:fancy".to_owned()),
        (of("/d", "<collection/><p:stream/>"), "Unexpected tag: p:stream".to_owned()),
        (of("/d", "<collection/><odata/>"), "Unexpected tag: odata".to_owned()),
        (of("/d", "<collection/><p:odata/><p:service/>"), "Unexpected tag: p:service".to_owned()),
    ] {
        assert_eq!(fails(std::slice::from_ref(&response)), text, "{response}");
    }
}

#[test]
fn resources_form_a_tree() {
    let dup = "Duplicated paths are detected in href elements: personium-localbox:/d";
    for (responses, text) in [
        (vec![of("/d", COLLECTION), of("/d", COLLECTION)], dup),
        (vec![of("/d", COLLECTION), of("/d/", COLLECTION)], dup),
        (vec![of("", COLLECTION)], "Duplicated paths are detected in href elements: personium-localbox:/"),
        (vec![of("/d/e", COLLECTION)], "Collection path is not defined: personium-localbox:/d/e"),
        (
            vec![of("/d//e", COLLECTION), of("/d", COLLECTION)],
            "Collection path is not defined: personium-localbox:/d//e",
        ),
        (
            vec![of("/o", ODATA), of("/o/d", COLLECTION)],
            "Another resource exists under the OData collection: personium-localbox:/o/d",
        ),
        (
            vec![of("/s", SERVICE), of("/s/__src", COLLECTION), of("/s/d", COLLECTION)],
            "Another resource exists under the Service collection: personium-localbox:/s/d",
        ),
        (
            vec![of("/s", SERVICE), of("/s/__src", ODATA)],
            "Service collection must contain '__src' collection: personium-localbox:/s",
        ),
        (vec![of("/s", SERVICE)], "Service collection must contain '__src' collection: personium-localbox:/s"),
        (vec![of("/f", ""), of("/f/x", "")], "Another resource exists under the WebDAV File: personium-localbox:/f/x"),
        (vec![of("/f/", "")], "Collection path is not defined: personium-localbox:/f/"),
    ] {
        assert_eq!(fails(&responses), text);
    }
    let src_first = [of("/s/__src", ODATA), of("/s", SERVICE)];
    assert_eq!(fails(&src_first), "Another resource exists under the Service collection: personium-localbox:/s/__src");
    let without_root = document(&[of("/d", COLLECTION)]);
    assert!(matches!(parse(without_root.as_bytes(), Layout::V2), Err(Cause::NoParent(_))));
    assert!(with_root(&[of("/d/e", COLLECTION), of("/d", COLLECTION)]).is_ok(), "the order counts later");
}

#[test]
fn two_spellings_of_one_name_are_one() {
    assert!(matches!(with_root(&[of("/e\u{301}", ""), of("/\u{e9}", "")]), Err(Cause::Duplicate(_))));
}

#[test]
fn names_are_those_that_can_be_created() {
    let long = "n".repeat(256);
    for name in ["a:b", "a*b", "a?b", "a|b", "a\"b", "a\\b", "..", ".", &long] {
        assert_eq!(fails(&[of(&format!("/{name}"), COLLECTION)]), format!("Resource name is invalid: {name}"));
    }
    assert!(with_root(&[of("/a b  c", COLLECTION), of("/_x", "")]).is_ok());
    assert!(with_root(&[of("/d", COLLECTION), of("/d/../../victim", COLLECTION)]).is_err());
}

#[test]
fn properties_are_kept_as_fragments() {
    let props = "<creationdate>2001</creationdate><getlastmodified>x</getlastmodified><getcontentlength>9</getcontentlength>\
        <getetag>e</getetag><p:lines>one\ntwo</p:lines><Z:Author xmlns:Z='urn:z'>me</Z:Author><plain xmlns=''/>\
        <p:lines>three\nfour</p:lines><displayname>n</displayname></prop></propstat><propstat><prop><p:more v='1'/>";
    let resources = with_root(&[response("personium-localbox:/d", COLLECTION, props)]).expect("declarations");
    let found: Vec<_> = resources[1].properties.iter().map(|p| p.xml.as_str()).collect();
    assert_eq!(
        found,
        [
            "<Z:Author xmlns:Z=\"urn:z\">me</Z:Author>",
            "<plain xmlns=\"\"/>",
            "<p:lines xmlns:p=\"urn:x-personium:xmlns\">three\nfour</p:lines>",
            "<displayname xmlns=\"DAV:\">n</displayname>",
            "<p:more xmlns:p=\"urn:x-personium:xmlns\" v=\"1\"/>",
        ]
    );
    assert_eq!(
        (resources[1].properties[0].ns.as_str(), resources[1].properties[0].local.as_str()),
        ("urn:z", "Author")
    );
}

fn acl_of(acl: &str) -> Result<Option<AclDocument>, Cause> {
    let resources = with_root(&[response("personium-localbox:/d", COLLECTION, acl)]).expect("declarations");
    resources[1].acl.clone()
}

#[test]
fn lists_need_a_base_of_roles() {
    let ace = "<ace><principal><href>r</href></principal><grant><privilege><read/></privilege></grant></ace>";
    let with_base = |base: &str| acl_of(&format!("<acl xml:base=\"{base}\">{ace}</acl>"));
    assert_eq!(acl_of(&format!("<acl>{ace}</acl>")), Ok(None));
    assert_eq!(with_base(""), Ok(None));
    for good in ["https://h.example/c/__role/__/", "http://h/__role/b", "https://x.example/y/__role/wrong box/"] {
        let list = with_base(good).expect("a list").expect("a list");
        assert_eq!(list.aces[0].principal, Principal::Href("r".to_owned()));
        assert_eq!(list.base, None);
    }
    let long = format!("https://h/__role/{}/", "b".repeat(129));
    for bad in [
        "urn:x:__role/__/",
        "https://h.example/c/",
        "https://__role/b/",
        "https://h/__role/",
        "ftp://h/__role/b/",
        &long,
    ] {
        assert_eq!(
            with_base(bad).map_err(|e| e.to_string()),
            Err("[90_rootprops.xml] file format error.".to_owned()),
            "{bad}"
        );
    }
    assert!(acl_of("<D:acl xmlns:D='DAV:' xml:base='https://h/__role/b/'/>").expect("a list").is_some());
}

#[test]
fn defects_of_lists_stay_with_their_resource() {
    let good = "<ace><principal><all/></principal><grant><privilege><read/></privilege></grant></ace>";
    for (from, to, cause) in [
        ("<read/>", "<fly/>", "[{DAV:}fly] that can not be set in privilege"),
        ("<read/>", "<p:box-install/>", "[{urn:x-personium:xmlns}box-install] that can not be set in privilege"),
        ("<grant><privilege><read/></privilege></grant>", "", "Can not read grant"),
        ("<principal><all/></principal>", "", "Can not read principal"),
        ("<read/>", "", "Privilege is empty"),
        ("<all/>", "<self/>", "Principal is neither href nor all"),
        ("<all/>", "<href></href>", "href in principal is empty"),
    ] {
        let acl = format!("<acl xml:base='https://h/__role/b/'>{}</acl>", good.replace(from, to));
        let text = acl_of(&acl).expect_err("a cause").to_string();
        assert_eq!(text, format!("XML validate error. Cause:[{cause}]."));
    }
    let authz = "<acl xml:base='https://h/__role/b/' p:requireSchemaAuthz='sometimes'/>";
    assert!(acl_of(authz).is_err());
}

#[test]
fn documents_that_are_none_fail() {
    for text in [
        "",
        "<multistatus xmlns=\"DAV:\"><response>",
        "<multistatus/>",
        "<x xmlns=\"DAV:\"/>",
        "<!DOCTYPE multistatus [<!ENTITY e 'x'>]><multistatus xmlns=\"DAV:\">&e;</multistatus>",
    ] {
        assert!(parse(text.as_bytes(), Layout::V2).is_err(), "{text}");
    }
    assert!(parse(b"<multistatus xmlns=\"DAV:\">\xff\xfe</multistatus>", Layout::V2).is_err());
}

proptest! {
    #[test]
    fn references_never_panic(href in "(personium-localbox:)?[/a .:\u{e9}]{0,12}", kind in "(<collection/>)?(<p:(odata|service)/>)?") {
        let _ = with_root(&[response(&href, &kind, ""), of("/a", COLLECTION)]);
    }
}
