//! The unit and its cells as entities.

use serde_json::json;

use crate::client::{Reply, Request};
use crate::harness::{Server, TOKEN};

fn send(server: &Server, method: &str, path: &str, body: &serde_json::Value) -> Reply {
    server.send(Request::new(method, &format!("/__ctl/{path}")).bearer(TOKEN).body(body.to_string()))
}

fn create(server: &Server, name: &str) -> Reply {
    send(server, "POST", "Cell", &json!({ "Name": name })).expect(201)
}

fn names(reply: &Reply) -> Vec<String> {
    let json = reply.json();
    let results = json["d"]["results"].as_array().expect("an array");
    results.iter().map(|cell| cell["Name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn a_new_cell_is_201_with_its_entity() {
    let server = Server::start();
    let reply = create(&server, "cell1");
    let uri = format!("{}__ctl/Cell('cell1')", server.url());
    let json = reply.json();
    let entity = &json["d"]["results"];
    assert_eq!(reply.header("location"), Some(uri.as_str()));
    assert_eq!(reply.header("dataserviceversion"), Some("2.0"));
    let tag = reply.header("etag").expect("a tag");
    assert!(tag.starts_with("W/\"1-") && tag.ends_with('"'), "{tag}");
    assert_eq!(entity["__metadata"], json!({ "uri": uri, "etag": tag, "type": "UnitCtl.Cell" }));
    assert_eq!(entity["Name"], "cell1");
    assert!(entity["__published"].as_str().is_some_and(|d| d.starts_with("/Date(") && d.ends_with(")/")));
    let found = server.admin("GET", "/__ctl/Cell('cell1')").expect(200);
    assert_eq!((found.header("etag"), &found.json()["d"]["results"]["Name"]), (Some(tag), &"cell1".into()));
}

#[test]
fn cell_names_that_are_none_are_400_od_0006() {
    let server = Server::start();
    for name in ["Cell", "a_b", "-a", "", "api", "a.b", "é", &"a".repeat(129)] {
        assert_eq!(send(&server, "POST", "Cell", &json!({ "Name": name })).problem(), "400 PR400-OD-0006", "{name}");
    }
    assert_eq!(send(&server, "POST", "Cell", &json!({ "Name": 7 })).problem(), "400 PR400-OD-0006");
    create(&server, &"a".repeat(128));
    create(&server, "0-");
}

#[test]
fn bodies_of_a_new_cell_are_checked() {
    let server = Server::start();
    let post = |body: &str| server.send(Request::new("POST", "/__ctl/Cell").bearer(TOKEN).body(body)).problem();
    for body in ["", "{", "[]", "<Cell/>", "null"] {
        assert_eq!(post(body), "400 PR400-OD-0001", "{body}");
    }
    assert_eq!(post("{}"), "400 PR400-OD-0009");
    assert_eq!(post(r#"{"Name":null}"#), "400 PR400-OD-0009");
    for member in ["Other", "Quota", "__published", "__updated", "__metadata"] {
        assert_eq!(post(&json!({ "Name": "a", member: null }).to_string()), "400 PR400-OD-0007", "{member}");
    }
    let huge = Request::new("POST", "/__ctl/Cell").bearer(TOKEN).body(vec![b' '; 2 << 20]);
    assert_eq!(server.send(huge).problem(), "413 PR413-MC-0001");
}

#[test]
fn a_taken_cell_name_is_409_od_0003() {
    let server = Server::start();
    create(&server, "a");
    assert_eq!(send(&server, "POST", "Cell", &json!({ "Name": "a" })).problem(), "409 PR409-OD-0003");
    create(&server, "b");
    assert_eq!(send(&server, "PUT", "Cell('b')", &json!({ "Name": "a" })).problem(), "409 PR409-OD-0003");
}

#[test]
fn cells_made_at_once_under_one_name_are_one() {
    let server = Server::start();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let make = || send(&server, "POST", "Cell", &json!({ "Name": "a" })).status;
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
        threads.into_iter().map(|t| t.join().expect("an answer")).collect()
    });
    assert_eq!(statuses.iter().filter(|s| **s == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|s| **s == 409).count(), 7, "{statuses:?}");
}

#[test]
fn control_objects_of_the_unit_want_a_token() {
    let server = Server::start();
    let challenge = format!("Bearer realm=\"{}\"", server.url());
    for target in ["/__ctl/Cell", "/__ctl/Cell('a')", "/__ctl/", "/__ctl/Nothing"] {
        let reply = server.anonymous("GET", target);
        assert_eq!(reply.problem(), "401 PR401-AU-0001", "{target}");
        assert_eq!(reply.headers_named("www-authenticate").collect::<Vec<_>>(), [&challenge]);
    }
    for (authorization, code) in [
        ("Bearer nonsense", "401 PR401-AU-0006"),
        ("Digest abc", "401 PR401-AU-0003"),
        ("Basic eDp5", "401 PR401-AU-0011"),
    ] {
        let request = Request::new("GET", "/__ctl/Cell").header("Authorization", authorization);
        assert_eq!(server.send(request).problem(), code);
    }
    server.send(Request::new("GET", "/__ctl/Cell").basic("unit", TOKEN)).expect(200);
}

#[test]
fn keys_of_cells() {
    let server = Server::start();
    create(&server, "a");
    for (target, code) in [
        ("Cell(123)", "400 PR400-OD-0004"),
        ("Cell(a)", "400 PR400-OD-0004"),
        ("Cell()", "400 PR400-OD-0004"),
        ("Cell('a'", "400 PR400-OD-0004"),
        ("Cell(null)", "400 PR400-OD-0016"),
        ("Cell('')", "404 PR404-OD-0002"),
        ("Cell('b')", "404 PR404-OD-0002"),
        ("Cell('%20')", "404 PR404-OD-0002"),
        ("Cell('a%0A')", "404 PR404-OD-0002"),
        ("Cell('..')", "404 PR404-OD-0002"),
        ("Nothing", "404 PR404-OD-0001"),
        ("Cell('a')/_Box", "404 PR404-OD-0003"),
        ("Cell('a')/$links/_Box", "400 PR400-OD-0008"),
    ] {
        assert_eq!(server.admin("GET", &format!("/__ctl/{target}")).problem(), code, "{target}");
    }
    for target in ["Cell('a')", "Cell(%27a%27)", "Cell(Name='a')"] {
        server.admin("GET", &format!("/__ctl/{target}")).expect(200);
    }
    assert_eq!(server.admin("GET", "/__ctlx").problem(), "404 PR404-MC-0001");
}

#[test]
fn methods_that_sets_and_entities_lack_are_405() {
    let server = Server::start();
    create(&server, "a");
    for (method, target) in [("DELETE", "Cell"), ("PUT", "Cell"), ("POST", "Cell('a')"), ("PROPFIND", "Cell")] {
        let reply = server.admin(method, &format!("/__ctl/{target}"));
        assert_eq!(reply.problem(), "405 PR405-MC-0001", "{method} {target}");
        assert!(reply.header("allow").is_some());
    }
    assert_eq!(server.admin("OPTIONS", "/__ctl/Cell").expect(200).header("allow"), Some("OPTIONS, GET, POST"));
}

#[test]
fn if_none_match_of_the_current_tag_is_304() {
    let server = Server::start();
    let tag = create(&server, "a").header("etag").expect("a tag").to_owned();
    let get =
        |tag: &str| server.send(Request::new("GET", "/__ctl/Cell('a')").bearer(TOKEN).header("If-None-Match", tag));
    assert_eq!(get(&tag).expect(304).header("etag"), Some(tag.as_str()));
    get("W/\"9-9\"").expect(200);
}

#[test]
fn if_match_of_another_tag_is_412_od_0002() {
    let server = Server::start();
    let tag = create(&server, "a").header("etag").expect("a tag").to_owned();
    let change = |method: &str, tag: &str, name: &str| {
        let body = json!({ "Name": name }).to_string();
        server.send(Request::new(method, "/__ctl/Cell('a')").bearer(TOKEN).header("If-Match", tag).body(body))
    };
    for method in ["PUT", "MERGE", "DELETE"] {
        assert_eq!(change(method, "W/\"9-9\"", "b").problem(), "412 PR412-OD-0002", "{method}");
    }
    let after = change("PUT", &tag, "a").expect(204);
    assert!(after.header("etag").is_some_and(|t| t.starts_with("W/\"2-")), "{after:?}");
    assert_eq!(change("DELETE", &tag, "").problem(), "412 PR412-OD-0002");
    change("DELETE", "*", "").expect(204);
}

#[test]
fn a_renamed_cell_keeps_what_it_holds() {
    let server = Server::start();
    create(&server, "a");
    server.send(Request::new("POST", "/a/__ctl/Box").bearer(TOKEN).body(r#"{"Name":"b"}"#)).expect(201);
    let uuid = |cell: &str| {
        let request = Request::new("GET", &format!("/{cell}/")).header("Accept", "application/xml");
        let text = server.send(request).expect(200).text().to_owned();
        text.split("<uuid>").nth(1).and_then(|t| t.split('<').next()).expect("a uuid").to_owned()
    };
    let before = uuid("a");
    send(&server, "MERGE", "Cell('a')", &json!({ "Name": "c" })).expect(204);
    assert_eq!(uuid("c"), before);
    server.admin("GET", "/c/__ctl/Box('b')").expect(200);
    assert_eq!(server.admin("GET", "/a/").problem(), "404 PR404-DV-0003");
    assert_eq!(server.admin("GET", "/__ctl/Cell('a')").problem(), "404 PR404-OD-0002");
    send(&server, "MERGE", "Cell('c')", &json!({})).expect(204);
    assert_eq!(send(&server, "PUT", "Cell('c')", &json!({})).problem(), "400 PR400-OD-0009");
    assert_eq!(send(&server, "PUT", "Cell('a')", &json!({ "Name": "d" })).problem(), "404 PR404-OD-0002");
}

#[test]
fn a_cell_that_holds_something_is_409_od_0001() {
    let server = Server::start();
    create(&server, "a");
    for (body, object) in [(r#"{"Name":"b"}"#, "Box"), (r#"{"Name":"b"}"#, "Role"), (r#"{"Name":"b"}"#, "Relation")] {
        server.send(Request::new("POST", &format!("/a/__ctl/{object}")).bearer(TOKEN).body(body)).expect(201);
        assert_eq!(server.admin("DELETE", "/__ctl/Cell('a')").problem(), "409 PR409-OD-0001", "{object}");
        server.admin("DELETE", &format!("/a/__ctl/{object}('b')")).expect(204);
    }
    server.admin("DELETE", "/__ctl/Cell('a')?$top=x").expect(204);
    assert_eq!(server.admin("DELETE", "/__ctl/Cell('a')").problem(), "404 PR404-OD-0002");
    create(&server, "a");
}

#[test]
fn a_list_is_paged_ordered_counted_and_filtered() {
    let server = Server::start();
    for name in ["c", "a", "b"] {
        create(&server, name);
    }
    let list = |query: &str| server.admin("GET", &format!("/__ctl/Cell{query}")).expect(200);
    assert_eq!(names(&list("")), ["c", "a", "b"]);
    assert_eq!(names(&list("?$orderby=Name")), ["a", "b", "c"]);
    assert_eq!(names(&list("?$orderby=Name%20desc&$top=2")), ["c", "b"]);
    assert_eq!(names(&list("?$skip=1&$top=1")), ["a"]);
    let counted = list("?$top=0&$inlinecount=allpages&$format=json");
    assert_eq!(counted.json()["d"], json!({ "results": [], "__count": "3" }));
    assert_eq!(names(&list("?$filter=Name%20eq%20'b'")), ["b"]);
    assert_eq!(names(&list("?$filter=Name+eq+%27x%27")), [""; 0]);
    for (query, code) in [
        ("$top=10001", "400 PR400-OD-0029"),
        ("$skip=-1", "400 PR400-OD-0029"),
        ("$inlinecount=x", "400 PR400-OD-0013"),
        ("$format=csv", "400 PR400-OD-0005"),
        ("$filter=Name%20like%20'a'", "400 PR400-OD-0003"),
        ("$filter=length(Name)%20eq%201", "400 PR400-OD-0044"),
        ("$filter=Size%20eq%20'b'", "400 PR400-OD-0045"),
        ("$orderby=Size", "400 PR400-OD-0015"),
        ("$unknown=1", "400 PR400-OD-0036"),
    ] {
        assert_eq!(server.admin("GET", &format!("/__ctl/Cell?{query}")).problem(), code, "{query}");
    }
    let picture = Request::new("GET", "/__ctl/Cell").bearer(TOKEN).header("Accept", "image/jpeg");
    assert_eq!(server.send(picture).problem(), "406 PR406-OD-0001");
}

#[test]
fn propfind_of_the_unit_lists_cells_for_the_administrator() {
    let server = Server::start();
    let propfind = |depth: &str| Request::new("PROPFIND", "/").header("Depth", depth);
    create(&server, "a");
    create(&server, "b");
    let listed = server.send(propfind("1").bearer(TOKEN)).expect(207);
    for cell in ["a", "b"] {
        assert!(listed.text().contains(&format!("<D:href>{}{cell}</D:href>", server.url())), "{}", listed.text());
    }
    let bare = server.send(propfind("0").bearer(TOKEN)).expect(207);
    assert_eq!(bare.text().matches("<D:response>").count(), 1);
    server.send(propfind("0").basic("anybody", "anything")).expect(207);
    assert_eq!(server.send(propfind("1").basic("anybody", "anything")).problem(), "401 PR401-AU-0011");
    let asked = server.send(propfind("0"));
    assert_eq!(asked.problem(), "401 PR401-AU-0001");
    let schemes: Vec<_> = asked.headers_named("www-authenticate").filter_map(|v| v.split(' ').next()).collect();
    assert_eq!(schemes, ["Bearer", "Basic"]);
}

#[test]
fn propfind_of_the_unit_without_depth_is_refused_as_infinite() {
    let server = Server::start();
    for request in [Request::new("PROPFIND", "/"), Request::new("PROPFIND", "/").header("Depth", "infinity")] {
        let reply = server.send(request.bearer(TOKEN)).expect(403);
        assert!(reply.text().contains("<D:propfind-finite-depth>") && reply.text().contains("PR403-DV-0001"));
    }
    let reply = server.send(Request::new("PROPFIND", "/").bearer(TOKEN).header("Depth", "2"));
    assert_eq!(reply.problem(), "400 PR400-DV-0003");
}

#[test]
fn documents_of_the_unit() {
    let server = Server::start();
    let policy = server.anonymous("GET", "/crossdomain.xml").expect(200);
    assert!(policy.text().contains("<cross-domain-policy>"));
    let metadata = server.anonymous("GET", "/__ctl/$metadata").expect(200);
    assert!(metadata.text().contains("EntitySet Name=\"Cell\""));
    let service = server.admin("GET", "/__ctl/").expect(200);
    assert!(service.text().contains("<collection href=\"Cell\">"));
    assert_eq!(server.admin("GET", "/__ctl/?$format=json").json(), json!({ "d": { "EntitySets": ["Cell"] } }));
}

#[test]
fn a_cell_put_into_the_directory_is_listed() {
    let server = Server::start();
    create(&server, "a");
    let cells = server.root().join("cells");
    server.admin("GET", "/a/__ctl/Box").expect(200);
    send(&server, "PUT", "Cell('a')", &json!({ "Name": "b" })).expect(204);
    std::fs::rename(cells.join("b"), cells.join("c")).expect("a rename by hand");
    server.admin("GET", "/__ctl/Cell('c')").expect(200);
    assert_eq!(names(&server.admin("GET", "/__ctl/Cell").expect(200)), ["c"]);
}

#[test]
fn what_is_left_of_a_deleted_cell_is_removed_after_the_next_start() {
    let mut server = Server::start();
    let root = server.root().to_owned();
    server.stop();
    let left = root.join("staging/7fffffff-left");
    std::fs::create_dir_all(left.join("boxes/b")).expect("a directory");
    std::fs::write(left.join("boxes/b/f"), "x").expect("a file");
    let again = Server::at(&root, &[]);
    while left.exists() {
        again.admin("GET", "/").expect(200);
    }
}
