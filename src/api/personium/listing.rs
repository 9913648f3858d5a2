//! PROPFIND and PROPPATCH of what is no resource in a box: the unit, cells, and the boxes of a listing (RFC 4918).

use std::io::{self, Write};

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};

use crate::base::clock;
use crate::base::xml::{self, DAV, Element, Limits, PERSONIUM, escape_attribute, escape_text};
use crate::domain::properties::is_protected;
use crate::storage::space::Quota;
use crate::web::problem::{Code, Problem};
use crate::web::{Body, Response, response};

/// How far below a resource a request reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    Zero,
    One,
}

/// The `Depth` of a request. `absent` is what none means; none there means infinity, which is refused.
pub(super) fn depth(headers: &HeaderMap, absent: Option<Depth>) -> Result<Depth, Problem> {
    let infinite = || Err(Problem::new(Code::InfiniteDepth).violating("propfind-finite-depth", Vec::new()));
    let Some(value) = headers.get("depth") else { return absent.map_or_else(infinite, Ok) };
    match value.as_bytes().trim_ascii() {
        b"0" => Ok(Depth::Zero),
        b"1" => Ok(Depth::One),
        value if value.eq_ignore_ascii_case(b"infinity") => infinite(),
        value => Err(Problem::new(Code::DepthHeader).with(String::from_utf8_lossy(value))),
    }
}

/// Which properties a client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// What is told unasked, and what is included besides.
    All(Vec<(String, String)>),
    /// Names without values.
    Names,
    /// Namespaces and local names.
    These(Vec<(String, String)>),
}

impl Wanted {
    /// Reads the body of a PROPFIND; none means all.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        if body.is_empty() {
            return Ok(Self::All(Vec::new()));
        }
        let names = |of: &Element| of.elements().map(|e| (e.ns.clone(), e.local.clone())).collect();
        let root = document(body, "propfind")?;
        if root.child(DAV, "propname").is_some() {
            return Ok(Self::Names);
        }
        match root.child(DAV, "prop") {
            Some(prop) => Ok(Self::These(names(prop))),
            None => Ok(Self::All(root.child(DAV, "include").map(names).unwrap_or_default())),
        }
    }
}

/// Reads a document of `DAV:` whose root has this name.
fn document(body: &[u8], root: &str) -> Result<Element, Problem> {
    let parsed = xml::parse(body, Limits::of(body.len())).map_err(|e| Problem::new(Code::XmlParse).because(e))?;
    if parsed.is(DAV, root) { Ok(parsed) } else { Err(Code::XmlParse.into()) }
}

/// A property with its value: a whole element that declares its namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prop {
    pub(super) ns: String,
    pub(super) local: String,
    pub(super) xml: String,
}

impl Prop {
    pub(super) fn new(ns: &str, local: &str, xml: String) -> Self {
        Self { ns: ns.to_owned(), local: local.to_owned(), xml }
    }

    pub(super) fn dav(local: &str, content: &str) -> Self {
        Self::new(DAV, local, format!("<D:{local} xmlns:D=\"DAV:\">{content}</D:{local}>"))
    }

    pub(super) fn personium(local: &str, text: &str) -> Self {
        let xml = format!("<p:{local} xmlns:p=\"{PERSONIUM}\">{}</p:{local}>", escape_text(text));
        Self::new(PERSONIUM, local, xml)
    }
}

/// What every collection has; without times where nobody need know them.
pub(super) fn collection(times_ms: Option<(i64, i64)>) -> Vec<Prop> {
    let mut props = Vec::new();
    if let Some((created, changed)) = times_ms {
        props.push(Prop::dav("creationdate", &clock::iso_ms(created)));
        props.push(Prop::dav("getlastmodified", &clock::http_date(changed)));
    }
    props.push(Prop::dav("resourcetype", "<D:collection/>"));
    props
}

/// Whether a client asks how much a cell holds. Only who does is told: it costs a look at the disk.
pub(super) fn asks_quota(wanted: &Wanted) -> bool {
    let is_quota = |(ns, local): &(String, String)| ns == DAV && local.starts_with("quota-");
    matches!(wanted, Wanted::These(names) | Wanted::All(names) if names.iter().any(is_quota))
}

/// What RFC 4331 has a collection tell.
pub(super) fn quota(quota: &Quota) -> [Prop; 2] {
    [
        Prop::dav("quota-available-bytes", &quota.available.to_string()),
        Prop::dav("quota-used-bytes", &quota.used.to_string()),
    ]
}

/// What every file has.
pub(super) fn file((created, changed): (i64, i64), size: u64, content_type: &str) -> Vec<Prop> {
    vec![
        Prop::dav("creationdate", &clock::iso_ms(created)),
        Prop::dav("getcontentlength", &size.to_string()),
        Prop::dav("getcontenttype", &escape_text(content_type)),
        Prop::dav("getlastmodified", &clock::http_date(changed)),
        Prop::dav("resourcetype", ""),
    ]
}

/// Begins a multistatus.
pub(super) fn begin(out: &mut impl Write) -> io::Result<()> {
    write!(out, "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:multistatus xmlns:D=\"DAV:\">")
}

pub(super) fn end(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "</D:multistatus>")
}

/// Writes what a resource has of what was asked.
pub(super) fn resource(out: &mut impl Write, href: &str, props: &[Prop], wanted: &Wanted) -> io::Result<()> {
    write!(out, "<D:response><D:href>{}</D:href>", escape_text(href))?;
    match wanted {
        Wanted::Names => propstat(out, props.iter().map(|p| empty_element(&p.ns, &p.local)), "200 OK")?,
        Wanted::All(names) | Wanted::These(names) => {
            let find = |(ns, local): &(String, String)| props.iter().find(|p| p.ns == *ns && p.local == *local);
            let all = matches!(wanted, Wanted::All(_));
            let found: Vec<&Prop> = if all { props.iter().collect() } else { names.iter().filter_map(find).collect() };
            let missing: Vec<_> = names.iter().filter(|name| find(name).is_none()).collect();
            if !found.is_empty() || missing.is_empty() {
                propstat(out, found.iter().map(|p| p.xml.clone()), "200 OK")?;
            }
            if !missing.is_empty() {
                propstat(out, missing.iter().map(|(ns, local)| empty_element(ns, local)), "404 Not Found")?;
            }
        }
    }
    write!(out, "</D:response>")
}

fn propstat(out: &mut impl Write, props: impl Iterator<Item = String>, status: &str) -> io::Result<()> {
    propstat_with(out, props, status, "")
}

/// As [`propstat`], with what follows the status.
fn propstat_with(
    out: &mut impl Write,
    props: impl Iterator<Item = String>,
    status: &str,
    rest: &str,
) -> io::Result<()> {
    write!(out, "<D:propstat><D:prop>")?;
    for prop in props {
        write!(out, "{prop}")?;
    }
    write!(out, "</D:prop><D:status>HTTP/1.1 {status}</D:status>{rest}</D:propstat>")
}

fn empty_element(ns: &str, local: &str) -> String {
    format!("<{local} xmlns=\"{}\"/>", escape_attribute(ns))
}

/// 207 with this body.
pub(super) fn multistatus(body: Body) -> Response {
    let mut answer = response::empty(StatusCode::MULTI_STATUS);
    *answer.body_mut() = body;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml; charset=utf-8"));
    answer
}

/// 207 with one response, written at once.
pub(super) fn single(href: &str, props: &[Prop], wanted: &Wanted) -> Response {
    let mut out = Vec::new();
    begin(&mut out)
        .and_then(|()| resource(&mut out, href, props, wanted))
        .and_then(|()| end(&mut out))
        .expect("invariant: a vector takes what is written");
    multistatus(Body::Text(out.into()))
}

/// One instruction of a PROPPATCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Update {
    Set(Prop),
    Remove { ns: String, local: String },
}

impl Update {
    fn name(&self) -> (&str, &str) {
        match self {
            Self::Set(prop) => (&prop.ns, &prop.local),
            Self::Remove { ns, local } => (ns, local),
        }
    }

    /// Whether the server computes the property, so that no client can set it.
    fn is_protected(&self) -> bool {
        let (ns, local) = self.name();
        is_protected(ns, local)
    }
}

/// Reads the body of a PROPPATCH, in the order of its instructions.
pub(super) fn updates(body: &[u8]) -> Result<Vec<Update>, Problem> {
    let root = document(body, "propertyupdate")?;
    let mut updates = Vec::new();
    for instruction in root.elements().filter(|e| e.is(DAV, "set") || e.is(DAV, "remove")) {
        let set = instruction.is(DAV, "set");
        let prop = instruction.child(DAV, "prop").ok_or(Code::XmlContent)?;
        for e in prop.elements() {
            updates.push(if set {
                Update::Set(Prop::new(&e.ns, &e.local, e.to_xml()))
            } else {
                Update::Remove { ns: e.ns.clone(), local: e.local.clone() }
            });
        }
    }
    if updates.is_empty() { Err(Code::XmlContent.into()) } else { Ok(updates) }
}

/// Whether a PROPPATCH touches nothing that only the server sets.
pub(super) fn all_allowed(updates: &[Update]) -> bool {
    !updates.iter().any(Update::is_protected)
}

/// What a PROPPATCH answers: all of it was done, or nothing.
pub(super) fn patched(href: &str, updates: &[Update]) -> Response {
    let mut out = Vec::new();
    let done = all_allowed(updates);
    let group = |protected| {
        updates.iter().filter(move |u| u.is_protected() == protected).map(|u| empty_element(u.name().0, u.name().1))
    };
    let write = |out: &mut Vec<u8>| -> io::Result<()> {
        begin(out)?;
        write!(out, "<D:response><D:href>{}</D:href>", escape_text(href))?;
        if group(false).next().is_some() {
            propstat(out, group(false), if done { "200 OK" } else { "424 Failed Dependency" })?;
        }
        if !done {
            let condition = "<D:error><D:cannot-modify-protected-property/></D:error>";
            propstat_with(out, group(true), "403 Forbidden", condition)?;
        }
        write!(out, "</D:response>")?;
        end(out)
    };
    write(&mut out).expect("invariant: a vector takes what is written");
    multistatus(Body::Text(out.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(props: &[Prop], wanted: &Wanted) -> String {
        let mut out = Vec::new();
        resource(&mut out, "http://u/a&b", props, wanted).expect("written");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn what_was_asked_is_answered_and_the_rest_is_404() {
        let props = [Prop::personium("one", "1<2")];
        let all = text(&props, &Wanted::All(Vec::new()));
        assert!(all.contains("<D:href>http://u/a&amp;b</D:href>") && all.contains(">1&lt;2</p:one>"), "{all}");
        let body = b"<propfind xmlns='DAV:'><prop><one xmlns='urn:x-personium:xmlns'/><two/></prop></propfind>";
        let these = text(&props, &Wanted::parse(body).expect("a body"));
        assert!(these.contains("200 OK") && these.contains("<two xmlns=\"DAV:\"/></D:prop><D:status>HTTP/1.1 404"));
        let names = Wanted::parse(b"<propfind xmlns='DAV:'><propname/></propfind>").expect("a body");
        assert!(text(&props, &names).contains("<one xmlns=\"urn:x-personium:xmlns\"/>"));
        let unasked = Wanted::All(Vec::new());
        assert_eq!(Wanted::parse(b"").expect("no body"), unasked);
        assert_eq!(Wanted::parse(b"<propfind xmlns='DAV:'><allprop/></propfind>").expect("a body"), unasked);
        let more = b"<propfind xmlns='DAV:'><allprop/><include><two/></include></propfind>";
        let more = text(&props, &Wanted::parse(more).expect("a body"));
        assert!(
            more.contains(">1&lt;2</p:one>") && more.contains("<two xmlns=\"DAV:\"/></D:prop><D:status>HTTP/1.1 404")
        );
        for bad in ["<propfind/>", "<a", "x"] {
            assert_eq!(Wanted::parse(bad.as_bytes()).expect_err("a problem").code(), Code::XmlParse, "{bad}");
        }
    }

    #[test]
    fn depths() {
        let of = |value: Option<&'static str>, absent| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert("depth", HeaderValue::from_static(value));
            }
            depth(&headers, absent).map_err(|p| p.code())
        };
        assert_eq!(of(Some("0"), None), Ok(Depth::Zero));
        assert_eq!(of(Some("1"), None), Ok(Depth::One));
        assert_eq!(of(Some("Infinity"), Some(Depth::Zero)), Err(Code::InfiniteDepth));
        assert_eq!(of(None, None), Err(Code::InfiniteDepth));
        assert_eq!(of(None, Some(Depth::Zero)), Ok(Depth::Zero));
        assert_eq!(of(Some("2"), None), Err(Code::DepthHeader));
    }

    #[test]
    fn instructions_keep_their_order() {
        let body = b"<propertyupdate xmlns='DAV:'><set><prop><a xmlns='x:'>1</a></prop></set>\
            <remove><prop><a xmlns='x:'/></prop></remove></propertyupdate>";
        let updates = updates(body).expect("updates");
        assert!(matches!(&updates[0], Update::Set(prop) if prop.xml == "<a xmlns=\"x:\">1</a>"));
        assert_eq!(updates[1], Update::Remove { ns: "x:".to_owned(), local: "a".to_owned() });
    }

    #[test]
    fn updates_without_properties_are_content_errors() {
        for (body, code) in [
            ("", Code::XmlParse),
            ("<x/>", Code::XmlParse),
            ("<propertyupdate xmlns='DAV:'/>", Code::XmlContent),
            ("<propertyupdate xmlns='DAV:'><set/></propertyupdate>", Code::XmlContent),
            ("<propertyupdate xmlns='DAV:'><put><prop><a/></prop></put></propertyupdate>", Code::XmlContent),
        ] {
            assert_eq!(updates(body.as_bytes()).expect_err("a problem").code(), code, "{body}");
        }
    }
}
