use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits::of(1 << 20);

fn read(text: &str) -> Result<Element, XmlError> {
    parse(text.as_bytes(), LIMITS)
}

fn ok(text: &str) -> Element {
    read(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn namespaces_are_resolved() {
    let root = ok("<D:a xmlns:D='DAV:' xmlns='urn:d' D:x='1' x='2'><b/><c xmlns=''/><D:d xmlns:D='urn:e'/></D:a>");
    assert!(root.is(DAV, "a"));
    assert_eq!((root.attribute(DAV, "x"), root.attribute("", "x")), (Some("1"), Some("2")));
    let names: Vec<_> = root.elements().map(|e| (e.ns.as_str(), e.local.as_str())).collect();
    assert_eq!(names, [("urn:d", "b"), ("", "c"), ("urn:e", "d")]);
}

#[test]
fn a_namespace_ends_with_its_element() {
    assert!(read("<a><p:b xmlns:p='u'/><p:c/></a>").is_err());
    assert!(read("<a><p:b xmlns:p='u'><p:d/></p:b><p:c/></a>").is_err());
    assert_eq!(ok("<a xmlns:p='u'><p:b xmlns:p='v'/><p:c/></a>").children_named("u", "c").count(), 1);
}

#[test]
fn text_keeps_white_space_references_and_cdata() {
    let root = ok(
        "\u{FEFF}<?xml version='1.0' encoding='utf-8'?>\n<a> one\r\ntwo&#13;&amp;<![CDATA[<x> ]]><!-- no -->&#x20;</a>\n",
    );
    assert_eq!(root.text(), " one\ntwo\r&<x>  ");
    assert_eq!(root.children.len(), 1);
}

#[test]
fn language_is_inherited() {
    let root = ok("<a xml:lang='de'><b><c xml:lang='en'/></b></a>");
    let b = root.child("", "b").expect("b");
    assert_eq!(b.lang.as_deref(), Some("de"));
    assert_eq!(b.child("", "c").and_then(|c| c.lang.as_deref()), Some("en"));
    assert_eq!(b.to_xml(), "<b xmlns=\"\" xml:lang=\"de\"><c xml:lang=\"en\"/></b>");
}

#[test]
fn document_types_are_refused() {
    for text in [
        "<!DOCTYPE a><a/>",
        "<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><a>&e;</a>",
        "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY x 'y'>]><a/>",
        "<a><!DOCTYPE a></a>",
    ] {
        assert_eq!(read(text), Err(XmlError::Doctype), "{text}");
    }
}

#[test]
fn what_is_not_well_formed_is_refused() {
    for text in [
        "",
        " ",
        "text",
        "<a>",
        "<a></b>",
        "<a/><b/>",
        "<a/>x",
        "x<a/>",
        "<a>&e;</a>",
        "<a>&#0;</a>",
        "<a>&#xFFFF;</a>",
        "<a>& </a>",
        "<a x='<'/>",
        "<a x='&e;'/>",
        "<a x='&#1;'/>",
        "<a x='1' x='2'/>",
        "<a xmlns:p='u' xmlns:q='u' p:x='1' q:x='2'/>",
        "<a xmlns='u' xmlns='v'/>",
        "<p:a/>",
        "<a p:x='1'/>",
        "<a:b:c xmlns:a='u'/>",
        "<1a/>",
        "<a x=1/>",
        "<a x/>",
        "<a>]]></a>",
        "<a>\u{1}</a>",
        "<a>\u{FFFF}</a>",
        "<a xmlns:p=''/>",
        "<a xmlns:xml='u'/>",
        "<a xmlns:xmlns='u'/>",
        "<a><?xml version='1.0'?></a>",
        " <?xml version='1.0'?><a/>",
        "<?xml version='1.0' encoding='iso-8859-1'?><a/>",
        "<![CDATA[x]]><a/>",
    ] {
        assert!(read(text).is_err(), "{text:?} was read");
    }
    assert_eq!(parse(b"<a>\xff</a>", LIMITS), Err(XmlError::Encoding));
}

#[test]
fn limits_hold() {
    let deep = |n: usize| "<a>".repeat(n) + &"</a>".repeat(n);
    assert!(read(&deep(100)).is_ok());
    assert_eq!(read(&deep(101)), Err(XmlError::TooDeep(100)));
    let small = Limits { bytes: 60, depth: 3, elements: 3, attributes: 2 };
    assert!(parse(b"<a><b/><c/></a>", small).is_ok());
    assert_eq!(parse(b"<a><b/><c/><d/></a>", small), Err(XmlError::TooManyElements(3)));
    assert_eq!(parse(b"<a x='' y='' z=''/>", small), Err(XmlError::TooManyAttributes(2)));
    assert_eq!(parse(&[b' '; 61], small), Err(XmlError::TooLarge(60)));
}

#[test]
fn children_are_read_one_by_one() {
    let mut reader =
        Reader::new(b"<m xmlns='DAV:' v='1'> <r><h/></r> <r/></m>", Limits { elements: 2, ..LIMITS }).expect("m");
    assert!(reader.root().is(DAV, "m"));
    assert_eq!(reader.next_child().expect("r").map(|r| r.children.len()), Some(1));
    assert_eq!(reader.next_child().expect("r").map(|r| r.children.len()), Some(0));
    assert_eq!(reader.next_child().expect("the end"), None);
    assert_eq!(reader.next_child().expect("the end"), None);
}

#[test]
fn fragments_stand_for_themselves() {
    let root = ok(concat!(
        "<prop xmlns='DAV:' xmlns:p='urn:x-personium:xmlns' xmlns:Z='urn:z' xmlns:q='urn:q'>",
        "<p:conf v='1' q:w='a&#10;b'><p:item>x\n y</p:item><q:o/></p:conf><Z:Author>me &amp; you</Z:Author><plain xmlns=''/><getx/></prop>"
    ));
    let written: Vec<_> = root.elements().map(Element::to_xml).collect();
    assert_eq!(
        written,
        [
            concat!(
                "<p:conf xmlns:p=\"urn:x-personium:xmlns\" xmlns:ns1=\"urn:q\" v=\"1\" ns1:w=\"a&#10;b\">",
                "<p:item>x\n y</p:item><q:o xmlns:q=\"urn:q\"/></p:conf>"
            ),
            "<Z:Author xmlns:Z=\"urn:z\">me &amp; you</Z:Author>",
            "<plain xmlns=\"\"/>",
            "<getx xmlns=\"DAV:\"/>",
        ]
    );
    for element in root.elements() {
        assert_eq!(&ok(&element.to_xml()), element);
        let wrapped = ok(&format!("<r xmlns='urn:other'>{}</r>", element.to_xml()));
        assert_eq!(wrapped.elements().next(), Some(element));
    }
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z_é][a-zA-Z0-9._é-]{0,5}".prop_filter("reserved", |n| !n.to_ascii_lowercase().starts_with("xml"))
}

fn text() -> impl Strategy<Value = String> {
    "[ -~\t\n\ré漢😀]{1,8}"
}

fn namespace() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", DAV, PERSONIUM, "urn:a", "urn:b&\"<"]).prop_map(str::to_owned)
}

fn attributes() -> impl Strategy<Value = Vec<Attribute>> {
    prop::collection::vec((namespace(), name(), text()), 0..4).prop_map(|all| {
        let mut out: Vec<Attribute> = Vec::new();
        for (ns, local, value) in all {
            if !out.iter().any(|a| a.ns == ns && a.local == local) {
                out.push(Attribute { ns, local, value });
            }
        }
        out
    })
}

fn bare() -> impl Strategy<Value = Element> {
    let prefix = prop::sample::select(vec!["", "D", "p", "ns1", "ns2", "x"]);
    (namespace(), name(), prefix, attributes()).prop_map(|(ns, local, prefix, attributes)| Element {
        prefix: if ns.is_empty() { String::new() } else { prefix.to_owned() },
        ns,
        local,
        lang: None,
        attributes,
        children: Vec::new(),
    })
}

fn element() -> impl Strategy<Value = Element> {
    bare().prop_recursive(4, 40, 4, |inner| {
        let node = prop_oneof![inner.prop_map(Node::Element), text().prop_map(Node::Text)];
        (bare(), prop::collection::vec(node, 0..4)).prop_map(|(mut element, nodes)| {
            for node in nodes {
                if !(matches!(node, Node::Text(_)) && matches!(element.children.last(), Some(Node::Text(_)))) {
                    element.children.push(node);
                }
            }
            element
        })
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(element in element()) {
        let written = element.to_xml();
        prop_assert_eq!(read(&written), Ok(element), "{}", written);
    }

    #[test]
    fn noise_never_panics(noise in "[<>/a-c:xmlns='\"&;#!\\[\\]\\-? D0-9\u{0}é]{0,80}") {
        if let Ok(element) = read(&noise) {
            prop_assert!(read(&element.to_xml()).is_ok());
        }
    }

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes, LIMITS);
    }
}

#[test]
fn blanks_between_structural_elements_are_left_out_and_others_kept() {
    let text = b"<r> <a> <b> <c> </c> x </b> </a> </r>";
    let mut reader = Reader::new(text, Limits::of(1000)).expect("a root").without_blanks(1);
    let a = reader.next_child().expect("well-formed").expect("a child");
    assert_eq!(a.children.len(), 1, "the blanks in a are gone: {a:?}");
    let b = a.elements().next().expect("b");
    assert_eq!(b.children.len(), 3, "those in b are not: {b:?}");
    assert_eq!(b.elements().next().expect("c").text(), " ");
}
