//! Which cell a request means and what its answer's URLs look like, as tables.

use std::path::Path;

use http::HeaderValue;

use super::*;
use crate::config::{Config, Sources};

const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const FAR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn urls(toml: &str) -> PublicUrls {
    let mut sources = Sources::default();
    sources.add_toml(&format!("[server]\n{toml}"), Path::new("test.toml")).expect("known keys");
    PublicUrls::new(&Config::load(&sources).expect("a configuration").server)
}

fn both() -> PublicUrls {
    urls("public_url = 'http://unit1.example/'\ncell_urls = 'both'")
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
}

fn resolve(urls: &PublicUrls, host: &'static str, path: &str) -> Result<(Asked, Target), Problem> {
    urls.resolve(LOCAL, &headers(&[("host", host)]), None, path)
}

fn target(cell: &str, rest: &str) -> Target {
    Target { cell: (!cell.is_empty()).then(|| cell.to_owned()), rest: rest.to_owned() }
}

#[test]
fn a_path_names_the_cell() {
    for (path, cell, rest) in [
        ("/", "", ""),
        ("/__ctl/Cell", "", "__ctl/Cell"),
        ("/api/v1/x", "", "api/v1/x"),
        ("/c1", "c1", ""),
        ("/c1/", "c1", ""),
        ("/c1/box1/a%20b/", "c1", "box1/a%20b/"),
        ("//c1//box1", "c1", "box1"),
        ("/%63%31/__", "c1", "__"),
    ] {
        assert_eq!(resolve(&urls(""), "h", path).expect("a target").1, target(cell, rest), "{path}");
    }
    for path in ["/%2e%2e/x", "/a%0ab/", "/%ff/"] {
        assert_eq!(resolve(&urls(""), "h", path).expect_err("a problem").code(), Code::CellNotFound, "{path}");
    }
}

#[test]
fn answers_begin_with_the_host_header() {
    let (asked, _) = resolve(&urls(""), "Unit.Example:8080", "/c1/b").expect("a target");
    assert_eq!(asked.unit(), "http://unit.example:8080/");
    assert_eq!(asked.cell("c1"), "http://unit.example:8080/c1/");
    assert_eq!(asked.cell_box("c1", "b 1"), "http://unit.example:8080/c1/b%201");
    let path = ResourcePath::parse("d/\u{e4}.txt").expect("a path");
    assert_eq!(asked.resource("c1", "b", &path), "http://unit.example:8080/c1/b/d/%C3%A4.txt");
    assert_eq!(resolve(&urls(""), "unit.example:80", "/").expect("a target").0.unit(), "http://unit.example/");
    let (asked, _) = urls("").resolve(LOCAL, &headers(&[("host", "a")]), Some("b:1"), "/").expect("a target");
    assert_eq!(asked.unit(), "http://b:1/");
    assert_eq!(resolve(&urls(""), "<script>", "/").expect("a target").0.unit(), "http://localhost/");
}

#[test]
fn forwarded_headers_count_from_trusted_proxies_alone() {
    let x = headers(&[("host", "inner"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "files.example, b")]);
    let standard =
        headers(&[("host", "inner"), ("forwarded", "for=1.2.3.4;Proto=https;host=\"files.example:443\", host=b")]);
    for headers in [&x, &standard] {
        let unit = |urls: &PublicUrls, peer| urls.resolve(peer, headers, None, "/").expect("a target").0.unit();
        assert_eq!(unit(&urls(""), LOCAL), "https://files.example/");
        assert_eq!(unit(&urls(""), FAR), "http://inner/");
        assert_eq!(unit(&urls("trusted_proxies = ['192.0.2.0/24']"), FAR), "https://files.example/");
        assert_eq!(unit(&urls("public_url = 'https://drive.example/x'"), LOCAL), "https://drive.example/x/");
    }
    let path = headers(&[("x-forwarded-path", "/c1/box?q=1")]);
    assert_eq!(urls("").effective_path(LOCAL, &path, "/other"), "/c1/box");
    assert_eq!(urls("").effective_path(FAR, &path, "/other"), "/other");
}

#[test]
fn the_client_is_who_stands_before_the_trusted_proxies() {
    let address = |toml: &str, peer: IpAddr, pairs: &[(&'static str, &'static str)]| {
        urls(toml).client_address(peer, &headers(pairs)).to_string()
    };
    for (value, client) in [
        ("192.0.2.7", "192.0.2.7"),
        ("10.0.0.1, 192.0.2.7", "192.0.2.7"),
        ("192.0.2.7, 127.0.0.1", "192.0.2.7"),
        ("192.0.2.7:4711", "192.0.2.7"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("192.0.2.7, unknown", "127.0.0.1"),
        ("", "127.0.0.1"),
    ] {
        assert_eq!(address("", LOCAL, &[("x-forwarded-for", value)]), client, "{value}");
        assert_eq!(address("", FAR, &[("x-forwarded-for", value)]), FAR.to_string(), "nobody trusts that peer");
    }
    for (value, client) in [
        ("for=192.0.2.7;proto=https", "192.0.2.7"),
        ("proto=https; For=\"192.0.2.7:80\"", "192.0.2.7"),
        ("for=10.0.0.1, for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
        ("for=192.0.2.7, for=127.0.0.1", "192.0.2.7"),
        ("for=192.0.2.7, for=_hidden", "127.0.0.1"),
        ("for=192.0.2.7, proto=https", "127.0.0.1"),
        ("host=a", "127.0.0.1"),
    ] {
        assert_eq!(address("", LOCAL, &[("forwarded", value)]), client, "{value}");
        assert_eq!(address("", FAR, &[("forwarded", value)]), FAR.to_string(), "nobody trusts that peer");
        let both = [("forwarded", value), ("x-forwarded-for", "192.0.2.9")];
        assert_eq!(address("", LOCAL, &both), "192.0.2.9", "{value}");
    }
    let lines = [("x-forwarded-for", "10.0.0.1"), ("x-forwarded-for", "192.0.2.7")];
    assert_eq!(address("", LOCAL, &lines), "192.0.2.7");
}

#[test]
fn answers_use_the_form_in_which_they_were_asked() {
    for (host, path, cell, rest, url) in [
        ("cell1.unit1.example", "/box1/a", "cell1", "box1/a", "http://cell1.unit1.example/"),
        ("CELL1.unit1.example:8080", "/", "cell1", "", "http://cell1.unit1.example/"),
        ("unit1.example", "/cell1/box1", "cell1", "box1", "http://unit1.example/cell1/"),
        ("127.0.0.1:8080", "/cell1/box1", "cell1", "box1", "http://unit1.example/cell1/"),
    ] {
        let (asked, found) = resolve(&both(), host, path).expect("a target");
        assert_eq!(found, target(cell, rest), "{host}{path}");
        assert_eq!(asked.cell("cell1"), url);
        assert_eq!(asked.unit(), "http://unit1.example/");
    }
    assert!(both().path_based());
}

#[test]
fn a_cell_is_known_by_all_of_its_urls() {
    let (host, path) = ("http://c.unit1.example/", "http://unit1.example/c/");
    for (asked_host, asked_path, urls) in
        [("c.unit1.example", "/", [host, path]), ("unit1.example", "/c/", [path, host])]
    {
        let (asked, _) = resolve(&both(), asked_host, asked_path).expect("a target");
        assert_eq!(asked.cell_urls("c"), urls);
        assert_eq!(asked.cell_forms("c")[..2], urls);
    }
    let (asked, _) = resolve(&urls(""), "unit", "/c/").expect("a target");
    assert_eq!(asked.cell_urls("c"), ["http://unit/c/"]);
}

#[test]
fn a_unit_with_hosts_alone_refuses_paths() {
    let hosts = urls("public_url = 'https://unit1.example:8443/'\ncell_urls = 'host'");
    assert!(!hosts.path_based());
    assert_eq!(resolve(&hosts, "unit1.example", "/cell1/").expect_err("a problem").code(), Code::PathCellUrl);
    assert_eq!(resolve(&hosts, "other.example", "/cell1/").expect_err("a problem").code(), Code::UrlAuthority);
    let (asked, found) = resolve(&hosts, "unit1.example", "/__ctl/Cell").expect("a target");
    assert_eq!((found, asked.cell("c")), (target("", "__ctl/Cell"), "https://c.unit1.example:8443/".to_owned()));
}

#[test]
fn a_destination_is_located() {
    let (asked, _) = resolve(&urls(""), "unit:8080", "/c1/b/x").expect("a target");
    for reference in ["http://unit:8080/c1/b/y%20z", "https://UNIT:8080/c1/b/y%20z", "/c1/b/y%20z"] {
        assert_eq!(asked.locate(reference), Ok(target("c1", "b/y%20z")), "{reference}");
    }
    for (reference, error) in [
        ("http://unit:9/c1/b", LocateError::Elsewhere),
        ("http://other/c1/b", LocateError::Elsewhere),
        ("ftp://unit:8080/c1/b", LocateError::NotAUrl),
        ("c1/b", LocateError::NotAUrl),
        ("//unit:8080/c1", LocateError::NotAUrl),
        ("http://a@unit:8080/c1", LocateError::NotAUrl),
    ] {
        assert_eq!(asked.locate(reference), Err(error), "{reference}");
    }
    let (asked, _) = resolve(&urls(""), "unit:80", "/c1/b/x").expect("a target");
    assert_eq!(asked.locate("https://unit:443/c1/b"), Ok(target("c1", "b")));
}

#[test]
fn a_destination_may_be_public_or_as_asked() {
    let public = urls("public_url = 'https://drive.example/files/'");
    let (asked, _) = resolve(&public, "127.0.0.1:8080", "/c1/b/x").expect("a target");
    assert_eq!(asked.locate("https://drive.example/files/c1/b/y"), Ok(target("c1", "b/y")));
    assert_eq!(asked.locate("http://127.0.0.1:8080/c1/b/y"), Ok(target("c1", "b/y")));
    assert_eq!(asked.locate("https://drive.example/c1/b/y"), Err(LocateError::Elsewhere));
    assert_eq!(asked.locate("https://drive.example/filesystem"), Err(LocateError::Elsewhere));
    assert_eq!(asked.locate("/files/c1/b/y"), Ok(target("c1", "b/y")), "as the client sees it");
    assert_eq!(asked.locate("/c1/b/y"), Ok(target("c1", "b/y")), "as the proxy sends it");
    assert_eq!(asked.locate("/filesystem/b/y"), Ok(target("filesystem", "b/y")));
    let (asked, _) = resolve(&both(), "cell1.unit1.example", "/b/x").expect("a target");
    assert_eq!(asked.locate("/b/y"), Ok(target("cell1", "b/y")));
    assert_eq!(asked.locate("http://cell2.unit1.example/b/y"), Ok(target("cell2", "b/y")));
    assert_eq!(asked.locate("https://unit1.example/cell2/b/y"), Ok(target("cell2", "b/y")));
}

#[test]
fn the_url_of_a_cell_tells_those_of_its_neighbours() {
    let public = |forms| urls(&format!("public_url = 'https://unit1.example/sub/'\ncell_urls = '{forms}'"));
    for (urls, url, neighbour) in [
        (urls(""), "http://h.example:8080/c%20d/", "http://h.example:8080/n/"),
        (public("path"), "https://unit1.example/sub/c/", "https://unit1.example/sub/n/"),
        (public("host"), "https://c.unit1.example/sub/", "https://n.unit1.example/sub/"),
        (public("both"), "https://c.unit1.example/sub/", "https://n.unit1.example/sub/"),
        (public("both"), "https://unit1.example/sub/c/", "https://unit1.example/sub/n/"),
    ] {
        let asked = urls.of_cell(url).expect("a URL");
        assert_eq!(asked.cell("n"), neighbour, "{url}");
        assert_eq!(asked.cell_of_url(neighbour).as_deref(), Some("n"), "{url}");
        assert_eq!(asked.cell_of_url("https://elsewhere.example/n/"), None, "{url}");
    }
    assert_eq!(urls("").of_cell("personium-localunit:c:/"), None);
}
