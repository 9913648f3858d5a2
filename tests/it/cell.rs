//! The root of a cell.

use serde_json::json;

use crate::client::{Reply, Request};
use crate::harness::{Server, TOKEN};

/// A server with a cell `c`.
fn with_cell() -> Server {
    let server = Server::start();
    server.admin("MKCOL", "/c").expect(201);
    server
}

fn admin(server: &Server, method: &str, target: &str, body: &str) -> Reply {
    server.send(Request::new(method, target).bearer(TOKEN).body(body))
}

fn propfind(server: &Server, depth: &str) -> String {
    let request = Request::new("PROPFIND", "/c/").bearer(TOKEN).header("Depth", depth);
    server.send(request).expect(207).text().to_owned()
}

fn patch(instructions: &str) -> String {
    format!("<D:propertyupdate xmlns:D='DAV:' xmlns:p='urn:x-personium:xmlns'>{instructions}</D:propertyupdate>")
}

fn acl(aces: &str) -> String {
    format!(
        "<D:acl xmlns:D='DAV:' xmlns:p='urn:x-personium:xmlns' xml:base='personium-localcell:/__role/__/'>{aces}</D:acl>"
    )
}

fn ace(principal: &str, privilege: &str) -> String {
    format!(
        "<D:ace><D:principal>{principal}</D:principal><D:grant><D:privilege><{privilege}/></D:privilege></D:grant></D:ace>"
    )
}

#[test]
fn mkcol_makes_a_cell_once() {
    let server = Server::start();
    assert_eq!(server.anonymous("MKCOL", "/c").problem(), "401 PR401-AU-0001");
    server.admin("MKCOL", "/c").expect(201);
    assert_eq!(server.admin("MKCOL", "/c/").problem(), "405 PR405-DV-0001");
    server.admin("GET", "/__ctl/Cell('c')").expect(200);
}

#[test]
fn mkcol_of_a_bad_cell_name_is_400_od_0006() {
    let server = Server::start();
    for name in ["C", "a_b", "a%20b", "-a"] {
        assert_eq!(server.admin("MKCOL", &format!("/{name}")).problem(), "400 PR400-OD-0006", "{name}");
    }
    assert_eq!(admin(&server, "MKCOL", "/c", "<x/>").problem(), "415 PR415-MC-0001");
    assert_eq!(server.admin("MKCOL", "/api").status, 404);
}

#[test]
fn an_absent_cell_is_404_dv_0003_for_everybody() {
    let server = Server::start();
    for method in ["GET", "HEAD", "PROPFIND", "PROPPATCH", "ACL", "DELETE", "POST", "PUT"] {
        if method != "HEAD" {
            assert_eq!(server.anonymous(method, "/none/").problem(), "404 PR404-DV-0003", "{method}");
        }
        server.admin(method, "/none").expect(404);
    }
    assert_eq!(server.anonymous("GET", "/none/__ctl/Box").problem(), "404 PR404-DV-0003");
}

#[test]
fn a_cell_tells_what_it_is() {
    let server = with_cell();
    let get = |accept: &str| server.send(Request::new("GET", "/c").header("Accept", accept));
    let json = get("application/json").expect(200).json();
    let unit = server.url();
    assert_eq!(
        json,
        json!({
            "cell": { "name": "c", "url": format!("{unit}c/") },
            "unit": { "url": unit, "path_based_cellurl_enabled": true },
        })
    );
    let xml = get("application/xml").expect(200);
    assert!(xml.text().contains(&format!("<ctl>{unit}c/__ctl/</ctl></cell>")), "{}", xml.text());
    let uuid = xml.text().split("<uuid>").nth(1).and_then(|t| t.split('<').next()).map(str::len);
    assert_eq!(uuid, Some(22));
}

#[test]
fn without_a_page_a_browser_gets_412_ui_0001() {
    let server = with_cell();
    for accept in ["text/html,application/xml;q=0.9,*/*;q=0.8", "*/*"] {
        let reply = server.send(Request::new("GET", "/c/").header("Accept", accept));
        assert_eq!(reply.problem(), "412 PR412-UI-0001");
    }
    assert_eq!(server.anonymous("GET", "/c/").problem(), "412 PR412-UI-0001");
    let page = patch("<D:set><D:prop><p:relayhtmlurl>no url</p:relayhtmlurl></D:prop></D:set>");
    admin(&server, "PROPPATCH", "/c/", &page).expect(207);
    assert_eq!(server.anonymous("GET", "/c/").problem(), "412 PR412-UI-0002");
}

#[test]
fn a_cell_is_deleted_only_with_the_exact_header() {
    let server = with_cell();
    let delete = |value: &str| Request::new("DELETE", "/c").header("X-Personium-Recursive", value);
    assert_eq!(server.anonymous("DELETE", "/c").problem(), "412 PR412-MC-0001");
    for value in ["TRUE", "false", " true x", ""] {
        assert_eq!(server.send(delete(value).bearer(TOKEN)).problem(), "412 PR412-MC-0001", "{value}");
    }
    assert_eq!(server.send(delete("true")).problem(), "401 PR401-AU-0001");
    admin(&server, "POST", "/c/__ctl/Box", r#"{"Name":"b"}"#).expect(201);
    server.send(delete("true").bearer(TOKEN)).expect(204);
    assert_eq!(server.admin("GET", "/c/").problem(), "404 PR404-DV-0003");
    server.admin("MKCOL", "/c").expect(201);
    assert_eq!(server.admin("GET", "/c/__ctl/Box('b')").problem(), "404 PR404-OD-0002");
}

#[test]
fn propfind_without_depth_is_the_cell_alone() {
    let server = with_cell();
    let reply = server.admin("PROPFIND", "/c/").expect(207);
    let text = reply.text();
    assert_eq!(text.matches("<D:response>").count(), 1);
    assert!(text.contains(&format!("<D:href>{}c</D:href>", server.url())), "{text}");
    assert!(text.contains("<p:cellstatus xmlns:p=\"urn:x-personium:xmlns\">normal</p:cellstatus>"));
    assert!(text.contains("<D:collection/>") && text.contains("acl"));
    assert!(reply.header("etag").is_some_and(|tag| tag.starts_with("\"1-")));
    assert_eq!(reply.header("content-type"), Some("application/xml; charset=utf-8"));
}

#[test]
fn propfind_with_depth_1_lists_boxes_and_snapshots() {
    let server = with_cell();
    admin(&server, "POST", "/c/__ctl/Box", r#"{"Name":"box1"}"#).expect(201);
    let text = propfind(&server, "1");
    for name in ["c", "c/__", "c/box1", "c/__snapshot"] {
        assert!(text.contains(&format!("<D:href>{}{name}</D:href>", server.url())), "{name}: {text}");
    }
    let request = |depth: &str| Request::new("PROPFIND", "/c/").bearer(TOKEN).header("Depth", depth);
    let infinite = server.send(request("infinity")).expect(403);
    assert!(infinite.text().contains("propfind-finite-depth"));
    assert_eq!(server.send(request("5")).problem(), "400 PR400-DV-0003");
    assert_eq!(admin(&server, "PROPFIND", "/c/", "<a").problem(), "400 PR400-DV-0001");
}

#[test]
fn propfind_of_a_cell_asks_for_a_login_of_either_kind() {
    let server = with_cell();
    let reply = server.anonymous("PROPFIND", "/c/");
    assert_eq!(reply.problem(), "401 PR401-AU-0001");
    let challenges: Vec<_> = reply.headers_named("www-authenticate").collect();
    let realm = format!("realm=\"{}c/\"", server.url());
    assert!(challenges.len() == 2 && challenges.iter().all(|c| c.contains(&realm)), "{challenges:?}");
}

#[test]
fn properties_of_a_cell_are_set_replaced_and_removed() {
    let server = with_cell();
    let first = "<D:set><D:prop><p:one>1</p:one><p:two><p:x a='b'/></p:two></D:prop></D:set>";
    let reply = admin(&server, "PROPPATCH", "/c/", &patch(first)).expect(207);
    assert!(reply.header("etag").is_some_and(|tag| tag.starts_with("\"2-")), "{reply:?}");
    let second = "<D:set><D:prop><p:one>eins</p:one></D:prop></D:set>\
        <D:remove><D:prop><p:two/><p:never/></D:prop></D:remove>";
    let reply = admin(&server, "PROPPATCH", "/c/", &patch(second)).expect(207);
    assert!(!reply.text().contains("404") && reply.text().contains("200 OK"), "{}", reply.text());
    let text = propfind(&server, "0");
    assert!(text.contains(">eins</") && !text.contains("two"), "{text}");
    let body = "<propfind xmlns='DAV:'><prop><one xmlns='urn:x-personium:xmlns'/><two/></prop></propfind>";
    let asked = admin(&server, "PROPFIND", "/c/", body).expect(207);
    assert!(asked.text().contains(">eins</") && asked.text().contains("404 Not Found"));
    assert!(!asked.text().contains("cellstatus"));
}

#[test]
fn a_proppatch_is_done_whole_or_not() {
    let server = with_cell();
    let mixed = "<D:set><D:prop><p:one>1</p:one><D:getlastmodified>x</D:getlastmodified></D:prop></D:set>";
    let reply = admin(&server, "PROPPATCH", "/c/", &patch(mixed)).expect(207);
    assert!(reply.text().contains("403 Forbidden") && reply.text().contains("424 Failed Dependency"));
    assert!(reply.text().contains("cannot-modify-protected-property"), "{}", reply.text());
    assert!(!propfind(&server, "0").contains("<p:one"));
    assert_eq!(admin(&server, "PROPPATCH", "/c/", "").problem(), "400 PR400-DV-0001");
    assert_eq!(admin(&server, "PROPPATCH", "/c/", &patch("<D:set/>")).problem(), "400 PR400-DV-0002");
    assert_eq!(server.anonymous("PROPPATCH", "/c/").problem(), "401 PR401-AU-0001");
}

#[test]
fn allprop_of_a_cell_may_include_its_quota() {
    let server = with_cell();
    let ask = |inner: &str| {
        let body = format!("<D:propfind xmlns:D='DAV:'>{inner}</D:propfind>");
        let request = Request::new("PROPFIND", "/c/").bearer(TOKEN).header("Depth", "0").body(body);
        server.send(request).expect(207).text().to_owned()
    };
    assert!(!ask("<D:allprop/>").contains("quota-"));
    let told = ask("<D:allprop/><D:include><D:quota-used-bytes/><D:never/></D:include>");
    assert!(told.contains(">0</D:quota-used-bytes>") && told.contains("creationdate"), "{told}");
    assert!(told.contains("<never xmlns=\"DAV:\"/></D:prop><D:status>HTTP/1.1 404"), "{told}");
}

#[test]
fn the_list_of_a_cell_is_replaced_and_shown() {
    let server = with_cell();
    admin(&server, "POST", "/c/__ctl/Box", r#"{"Name":"b"}"#).expect(201);
    admin(&server, "POST", "/c/__ctl/Role", r#"{"Name":"r"}"#).expect(201);
    admin(&server, "POST", "/c/__ctl/Role", r#"{"Name":"in","_Box.Name":"b"}"#).expect(201);
    let all = ace("<D:all/>", "D:read");
    let bound = ace("<D:href>../b/in</D:href>", "p:propfind");
    let list = acl(&(ace("<D:href>r</D:href>", "p:root") + &bound + &all));
    let reply = admin(&server, "ACL", "/c/", &list).expect(200);
    assert!(reply.body.is_empty() && reply.header("etag").is_some());
    let text = propfind(&server, "0");
    assert!(text.contains(&format!("xml:base=\"{}c/__role/__/\"", server.url())), "{text}");
    assert!(text.contains("<D:href>r</D:href>") && text.contains("<D:href>../b/in</D:href>"), "{text}");
    assert!(text.contains("<p:root/>") && text.contains("<p:propfind/>") && text.contains("<D:all/>"));
    admin(&server, "ACL", "/c/", &acl("")).expect(200);
    assert!(!propfind(&server, "0").contains("<D:ace>"));
}

#[test]
fn a_grant_follows_its_role_and_dies_with_it() {
    let server = with_cell();
    admin(&server, "POST", "/c/__ctl/Role", r#"{"Name":"old"}"#).expect(201);
    admin(&server, "ACL", "/c/", &acl(&ace("<D:href>old</D:href>", "p:root"))).expect(200);
    admin(&server, "PUT", "/c/__ctl/Role('old')", r#"{"Name":"new"}"#).expect(204);
    assert!(propfind(&server, "0").contains("<D:href>new</D:href>"));
    server.admin("DELETE", "/c/__ctl/Role('new')").expect(204);
    admin(&server, "POST", "/c/__ctl/Role", r#"{"Name":"new"}"#).expect(201);
    assert!(!propfind(&server, "0").contains("<D:ace>"));
}

#[test]
fn lists_that_are_refused() {
    let server = with_cell();
    let send = |list: &str| {
        let request = Request::new("ACL", "/c/").bearer(TOKEN).header("Accept", "application/json").body(list);
        server.send(request).problem()
    };
    for (list, code) in [
        (String::new(), "400 PR400-DV-0002"),
        ("<a".to_owned(), "400 PR400-DV-0002"),
        ("<D:prop xmlns:D='DAV:'/>".to_owned(), "400 PR400-DV-0002"),
        (acl("<D:ace/>"), "400 PR400-DV-0006"),
        (acl(&ace("<D:all/>", "p:no-such")), "400 PR400-DV-0006"),
        (acl(&ace("<D:href>none</D:href>", "D:read")), "400 PR400-DV-0004"),
        (acl(&ace("<D:href>https://other.example/__role/__/r</D:href>", "D:read")), "400 PR400-DV-0004"),
        (acl(&ace("<D:href>../none/r</D:href>", "D:read")), "400 PR400-DV-0005"),
    ] {
        assert_eq!(send(&list), code, "{list}");
    }
    assert_eq!(server.anonymous("ACL", "/c/").problem(), "401 PR401-AU-0001");
}

#[test]
fn methods_that_a_cell_lacks_are_405() {
    let server = with_cell();
    for method in ["POST", "PUT", "LOCK", "COPY", "MOVE", "REPORT"] {
        assert_eq!(server.admin(method, "/c/").problem(), "405 PR405-MC-0001", "{method}");
    }
    let options = server.admin("OPTIONS", "/c/").expect(200);
    assert!(options.header("allow").is_some_and(|m| m.contains("PROPFIND")) && options.header("dav").is_some());
}

#[test]
fn what_a_cell_says_survives_a_restart() {
    let dir = tempfile::TempDir::new().expect("a directory");
    let root = dir.path().join("unit");
    let mut server = Server::at(&root, &[]);
    server.admin("MKCOL", "/c").expect(201);
    admin(&server, "PROPPATCH", "/c/", &patch("<D:set><D:prop><p:one>1</p:one></D:prop></D:set>")).expect(207);
    admin(&server, "POST", "/c/__ctl/Role", r#"{"Name":"r"}"#).expect(201);
    assert!(server.stop().success());
    let server = Server::at(&root, &[]);
    assert!(propfind(&server, "0").contains(">1</"));
    server.admin("GET", "/c/__ctl/Role('r')").expect(200);
}
