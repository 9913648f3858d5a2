use proptest::prelude::*;

use super::*;
use crate::base::xml::{Limits, parse};

fn acl(text: &str, level: Level) -> Result<AclDocument, AclError> {
    parse_acl(&parse(text.as_bytes(), Limits::of(1 << 16)).expect("XML"), level)
}

fn document(content: &str) -> String {
    format!(
        "<D:acl xmlns:D='DAV:' xmlns:p='urn:x-personium:xmlns' xml:base='https://h.example/c/__role/b/'>{content}</D:acl>"
    )
}

const ALL_READ: &str = "<D:principal><D:all/></D:principal><D:grant><D:privilege><D:read/></D:privilege></D:grant>";

#[test]
fn privileges_form_trees() {
    let role = |held: &[Privilege], needed| held.iter().copied().collect::<Privileges>().grant(needed);
    assert!(role(&[Privilege::All], Privilege::Bind));
    assert!(role(&[Privilege::Write], Privilege::WriteProperties));
    assert!(role(&[Privilege::Read], Privilege::ReadProperties));
    assert!(role(&[Privilege::Root], Privilege::Exec));
    assert!(role(&[Privilege::Root], Privilege::BoxInstall));
    assert!(role(&[Privilege::Box], Privilege::BoxInstall));
    assert!(!role(&[Privilege::BoxRead], Privilege::BoxInstall));
    assert!(!role(&[Privilege::All], Privilege::Root));
    assert!(!role(&[Privilege::All], Privilege::BoxInstall));
    assert!(!role(&[Privilege::Read, Privilege::Write], Privilege::ReadAcl));
    assert!(!role(&[], Privilege::Read));
    let root: Privileges = [Privilege::Root].into_iter().collect();
    assert!(root.grant_to_all(Privilege::BoxInstall) && root.grant_to_all(Privilege::Root));
    assert!(!root.grant_to_all(Privilege::All) && !root.grant_to_all(Privilege::Read));
}

#[test]
fn bits_of_privileges_never_change() {
    let bits: Vec<_> = Privilege::ALL.iter().map(|p| *p as u8).collect();
    assert_eq!(bits, (0..=13).chain(32..=51).collect::<Vec<_>>());
    assert_eq!([Privilege::Read, Privilege::Exec].into_iter().collect::<Privileges>().bits(), 0b100_0000_0010);
    assert_eq!(Privileges::from_bits(u64::MAX).iter().count(), Privilege::ALL.len());
    for privilege in Privilege::ALL {
        assert_eq!(Privilege::of(privilege.name()), Some(*privilege));
    }
}

#[test]
fn reading_is_known_from_writing() {
    assert_eq!(Privilege::LogRead.access(), Access::Read);
    assert_eq!(Privilege::Propfind.access(), Access::Read);
    assert_eq!(Privilege::Root.access(), Access::All);
    assert_eq!(Privilege::Sign.access(), Access::Execute);
    assert_eq!(Privilege::BoxInstall.access(), Access::Write);
}

#[test]
fn a_list_is_read() {
    let text = document(
        "<D:ace><D:principal><D:href> editor </D:href></D:principal><D:grant><D:privilege><D:read/></D:privilege>\
         <D:privilege><p:exec/></D:privilege></D:grant><D:inherited><D:href>x</D:href></D:inherited></D:ace>\
         <D:ace><D:principal><D:all/></D:principal><D:grant><D:privilege><D:write/></D:privilege></D:grant></D:ace>",
    );
    let list = acl(&text, Level::Box).expect("a list");
    assert_eq!(list.base.as_deref(), Some("https://h.example/c/__role/b/"));
    assert_eq!(list.aces.len(), 2);
    assert_eq!(list.aces[0].principal, Principal::Href("editor".to_owned()));
    assert_eq!(list.aces[0].privileges.iter().collect::<Vec<_>>(), [Privilege::Read, Privilege::Exec]);
    assert_eq!(list.aces[1].principal, Principal::All);
    assert_eq!(acl("<acl xmlns='DAV:'/>", Level::Box), Ok(AclDocument::default()));
}

#[test]
fn the_level_decides_what_may_be_granted() {
    let install = document(&format!("<D:ace>{}</D:ace>", ALL_READ.replace("D:read", "p:box-install")));
    assert!(acl(&install, Level::Cell).is_ok());
    assert_eq!(
        acl(&install, Level::Box),
        Err(AclError::Unsupported {
            cause: "[{urn:x-personium:xmlns}box-install] that can not be set in privilege".to_owned(),
            condition: "not-supported-privilege"
        })
    );
    assert!(acl(&document(&format!("<D:ace>{ALL_READ}</D:ace>")), Level::Cell).is_ok());
}

/// Why a list is refused as invalid.
fn cause_of(text: &str) -> String {
    let error = acl(text, Level::Box).expect_err("a refusal");
    assert_eq!(error.code(), "PR400-DV-0006");
    let told = error.to_string();
    let cause = told.strip_prefix("XML validate error. Cause:[").and_then(|rest| rest.strip_suffix("]."));
    cause.expect("the form of such messages").to_owned()
}

#[test]
fn lists_with_defects_are_refused() {
    for (content, cause) in [
        ("<D:ace><D:principal><D:all/></D:principal></D:ace>", "Can not read grant"),
        ("<D:ace><D:principal><D:all/></D:principal><D:deny/></D:ace>", "Can not read grant"),
        ("<D:ace/>", "Can not read grant"),
        ("<D:ace><D:grant><D:privilege><D:read/></D:privilege></D:grant></D:ace>", "Can not read principal"),
        ("<D:ace><D:principal><D:all/></D:principal><D:grant/></D:ace>", "Can not read privilege"),
        ("<D:ace><D:principal><D:all/></D:principal><D:grant><D:privilege/></D:grant></D:ace>", "Privilege is empty"),
    ] {
        assert_eq!(cause_of(&document(content)), cause, "{content}");
    }
    for (from, to, cause) in [
        ("D:all", "D:self", "Principal is neither href nor all"),
        ("<D:all/>", "", "Principal is neither href nor all"),
        ("<D:all/>", "<D:all/><D:href>r</D:href>", "Principal is neither href nor all"),
        ("<D:all/>", "<D:href> </D:href>", "href in principal is empty"),
        ("D:read", "D:fly", "[{DAV:}fly] that can not be set in privilege"),
    ] {
        let text = document(&format!("<D:ace>{}</D:ace>", ALL_READ.replace(from, to)));
        assert_eq!(cause_of(&text), cause, "{to}");
    }
    assert_eq!(acl("<x xmlns='DAV:'/>", Level::Box), Err(AclError::Content));
    assert_eq!(acl("<acl/>", Level::Box), Err(AclError::Content));
}

#[test]
fn schema_authz_has_three_values() {
    let list = |value: &str| {
        acl(&format!("<acl xmlns='DAV:' xmlns:p='urn:x-personium:xmlns' p:requireSchemaAuthz='{value}'/>"), Level::Box)
            .map(|list| list.require_schema_authz)
    };
    assert_eq!(list("public"), Ok(Some(SchemaAuthz::Public)));
    assert_eq!(list("none"), Ok(Some(SchemaAuthz::None)));
    assert_eq!(list(""), Ok(None));
    let error = list("sometimes").expect_err("a refusal");
    assert_eq!(error.to_string(), "XML validate error. Cause:[Value [sometimes] for requireSchemaAuthz is invalid].");
    assert_eq!(error.code(), "PR400-DV-0006");
}

#[test]
fn roles_are_resolved() {
    let cells = ["https://h.example/c/", "personium-localunit:c:/"];
    let of = |box_name: Option<&str>| Ok(RoleReference { box_name: box_name.map(str::to_owned), role: "r".to_owned() });
    let base = Some("https://H.example/c/__role/b/");
    for (href, base, expected) in [
        ("r", base, of(Some("b"))),
        ("../__/r", base, of(None)),
        ("../other/r", base, of(Some("other"))),
        ("https://h.example/c/__role/__/r", None, of(None)),
        ("personium-localunit:c:/__role/b/r", base, of(Some("b"))),
        ("r", Some("personium-localunit:c:/__role/b/"), of(Some("b"))),
        ("r", None, Err(AclError::Role)),
        ("r", Some("https://h.example/other/__role/b/"), Err(AclError::Role)),
        ("https://other.example/c/__role/b/r", base, Err(AclError::Role)),
        ("../../../c2/__role/b/r", base, Err(AclError::Role)),
        ("../r", base, Err(AclError::Role)),
        ("b/c/r", base, Err(AclError::Role)),
        (".", base, Err(AclError::Role)),
        ("../../box/r", base, Err(AclError::Role)),
    ] {
        assert_eq!(resolve_role(href, base, &cells), expected, "{href}");
    }
    assert_eq!(installed_role("r", &cells, "new"), of(Some("new")));
    assert_eq!(installed_role("../__/r", &cells, "new"), of(None));
    assert_eq!(installed_role("https://elsewhere.example/c/__role/b/r", &cells, "new"), Err(AclError::Role));
}

#[test]
fn lists_are_written_relative_to_their_base() {
    let read: Privileges = [Privilege::Exec, Privilege::Read].into_iter().collect();
    let role = |box_name, role| AceView { principal: PrincipalView::Role { box_name, role }, privileges: read };
    let own = [role(Some("b"), "r"), role(None, "r"), role(Some("o"), "r")];
    let all = [AceView { principal: PrincipalView::All, privileges: read }];
    let inherited = [Inherited { href: "https://h.example/c/b", aces: &all }];
    let view = AclView {
        base: "https://h.example/c/__role/b/",
        box_name: Some("b"),
        require_schema_authz: Some(SchemaAuthz::Public),
        own: &own,
        inherited: &inherited,
    };
    let text = acl_xml(&view, Form::Prefixed);
    for part in ["<D:href>r</D:href>", "<D:href>../__/r</D:href>", "<D:href>../o/r</D:href>", "<D:all/>"] {
        assert_eq!(text.matches(part).count(), 1, "{part} in {text}");
    }
    assert!(
        text.ends_with("<D:inherited><D:href>https://h.example/c/b</D:href></D:inherited></D:ace></D:acl>"),
        "{text}"
    );
    let read_back = acl(&text, Level::Box).expect("a list");
    assert_eq!(read_back.require_schema_authz, Some(SchemaAuthz::Public));
    assert_eq!(read_back.aces.len(), 4);
    assert!(read_back.aces.iter().all(|ace| ace.privileges == read));
    assert_eq!(acl(&acl_xml(&view, Form::Indented(2)), Level::Box), Ok(read_back));
}

#[test]
fn an_empty_list_still_has_its_base() {
    let view = AclView { base: "https://h/?a&b", box_name: None, require_schema_authz: None, own: &[], inherited: &[] };
    assert_eq!(
        acl_xml(&view, Form::Indented(1)),
        "    <acl xmlns=\"DAV:\" xmlns:p=\"urn:x-personium:xmlns\" xml:base=\"https://h/?a&amp;b\"/>\n"
    );
}

#[test]
fn exports_have_a_base_that_can_be_installed() {
    for (schema, expected) in [
        (Some("https://app.example/"), "https://app.example/__role/__/"),
        (Some("urn:app"), "https://h/c/__role/b/"),
        (None, "https://h/c/__role/b/"),
    ] {
        assert_eq!(export_base(schema, "https://h/c/", "b"), expected);
    }
}

proptest! {
    #[test]
    fn references_never_panic(href in "[a-c:/._?#é ]{0,20}", base in "[a-c:/._é]{0,20}") {
        let _ = resolve_role(&href, Some(&base), &["https://h/c/", ""]);
    }
}
