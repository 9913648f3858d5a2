//! Control objects of a cell.

use serde_json::{Value, json};

use crate::client::{Reply, Request};
use crate::harness::{Server, TOKEN};

/// A server with a cell `c`.
struct Ctl(Server);

impl Ctl {
    fn start() -> Self {
        let server = Server::start();
        server.admin("MKCOL", "/c").expect(201);
        Self(server)
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Reply {
        self.0.send(Request::new(method, &format!("/c/__ctl/{path}")).bearer(TOKEN).body(body.to_string()))
    }

    fn get(&self, path: &str) -> Reply {
        self.0.admin("GET", &format!("/c/__ctl/{path}"))
    }

    fn delete(&self, path: &str) -> Reply {
        self.0.admin("DELETE", &format!("/c/__ctl/{path}"))
    }

    /// The entity at a path.
    fn entity(&self, path: &str) -> Value {
        self.get(path).expect(200).json()["d"]["results"].clone()
    }

    fn make(&self, set: &str, body: &Value) -> Value {
        self.send("POST", set, body).expect(201).json()["d"]["results"].clone()
    }

    fn refused(&self, set: &str, body: &Value) -> String {
        self.send("POST", set, body).problem()
    }

    fn names(&self, path: &str) -> Vec<String> {
        let list = self.entity(path);
        list.as_array().expect("a list").iter().map(|e| e["Name"].as_str().expect("a name").to_owned()).collect()
    }

    fn uri(&self, step: &str) -> String {
        format!("{}c/__ctl/{step}", self.0.url())
    }

    fn link(&self, from: &str, to: &str) -> Reply {
        self.send("POST", from, &json!({ "uri": self.uri(to) }))
    }

    fn links(&self, path: &str) -> Vec<String> {
        let list = self.entity(path);
        list.as_array().expect("a list").iter().map(|l| l["uri"].as_str().expect("a uri").to_owned()).collect()
    }
}

const EXT: &str = "https://other.example/cell/__role/__/boss";

#[test]
fn a_box_is_made_read_and_listed() {
    let ctl = Ctl::start();
    let reply = ctl.send("POST", "Box", &json!({ "Name": "b" })).expect(201);
    assert_eq!(reply.header("location"), Some(ctl.uri("Box('b')").as_str()));
    let made = reply.json()["d"]["results"].clone();
    assert_eq!((&made["Name"], &made["Schema"]), (&json!("b"), &Value::Null));
    assert!(made.get("_Role").is_none());
    let found = ctl.entity("Box('b')");
    assert_eq!(found["__metadata"]["type"], "CellCtl.Box");
    assert_eq!(found["_Role"]["__deferred"]["uri"], ctl.uri("Box('b')/_Role"));
    assert_eq!(ctl.names("Box"), ["b"]);
}

#[test]
fn box_names_that_are_none_are_400_od_0006() {
    let ctl = Ctl::start();
    for name in ["_b", "a/b", "", "__", "a b", "-a", &"b".repeat(129)] {
        assert_eq!(ctl.refused("Box", &json!({ "Name": name })), "400 PR400-OD-0006", "{name}");
    }
    assert_eq!(ctl.refused("Box", &json!({})), "400 PR400-OD-0009");
    assert_eq!(ctl.refused("Box", &json!({ "Name": "b", "Color": 1 })), "400 PR400-OD-0007");
    ctl.make("Box", &json!({ "Name": "b".repeat(128) }));
}

#[test]
fn a_schema_gets_its_slash_or_is_400_od_0050() {
    let ctl = Ctl::start();
    for schema in ["ftp://app.example/", "word", "", "https://app.example/../x/"] {
        assert_eq!(ctl.refused("Box", &json!({ "Name": "b", "Schema": schema })), "400 PR400-OD-0050", "{schema}");
    }
    assert_eq!(ctl.refused("Box", &json!({ "Name": "b", "Schema": 1 })), "400 PR400-OD-0006");
    let made = ctl.make("Box", &json!({ "Name": "b", "Schema": "https://app.example/x" }));
    assert_eq!(made["Schema"], "https://app.example/x/");
}

#[test]
fn a_taken_box_name_or_schema_is_409_od_0003() {
    let ctl = Ctl::start();
    ctl.make("Box", &json!({ "Name": "a", "Schema": "urn:x-app:1" }));
    ctl.make("Box", &json!({ "Name": "b" }));
    ctl.make("Box", &json!({ "Name": "d" }));
    assert_eq!(ctl.refused("Box", &json!({ "Name": "a" })), "409 PR409-OD-0003");
    assert_eq!(ctl.refused("Box", &json!({ "Name": "c", "Schema": "urn:x-app:1" })), "409 PR409-OD-0003");
    for body in [json!({ "Name": "a" }), json!({ "Name": "b", "Schema": "urn:x-app:1" })] {
        assert_eq!(ctl.send("PUT", "Box('b')", &body).problem(), "409 PR409-OD-0003", "{body}");
    }
}

#[test]
fn a_box_is_renamed_by_put_and_by_merge() {
    let ctl = Ctl::start();
    ctl.make("Box", &json!({ "Name": "a" }));
    let schema = json!("https://app.example/");
    ctl.send("PUT", "Box('a')", &json!({ "Name": "b", "Schema": schema })).expect(204);
    ctl.send("MERGE", "Box('b')", &json!({ "Name": "c" })).expect(204);
    assert_eq!(ctl.entity("Box('c')")["Schema"], schema);
    ctl.send("MERGE", "Box('c')", &json!({ "Schema": null })).expect(204);
    assert_eq!(ctl.entity("Box('c')")["Schema"], Value::Null);
    ctl.send("MERGE", "Box('c')", &json!({ "Schema": schema })).expect(204);
    let tag = ctl.send("PUT", "Box('c')", &json!({ "Name": "c" })).expect(204);
    assert!(tag.header("etag").is_some_and(|t| t.starts_with("W/\"6-")), "{tag:?}");
    assert_eq!(ctl.entity("Box('c')")["Schema"], Value::Null);
    assert_eq!(ctl.get("Box('a')").problem(), "404 PR404-OD-0002");
    assert_eq!(ctl.send("MERGE", "Box('a')", &json!({ "Name": "x" })).problem(), "404 PR404-OD-0002");
}

#[test]
fn if_match_guards_boxes_and_roles() {
    let ctl = Ctl::start();
    ctl.make("Box", &json!({ "Name": "x" }));
    ctl.make("Role", &json!({ "Name": "x" }));
    for set in ["Box", "Role"] {
        let path = format!("/c/__ctl/{set}('x')");
        let with = |method: &str, tag: &str| {
            ctl.0.send(Request::new(method, &path).bearer(TOKEN).header("If-Match", tag).body(r#"{"Name":"x"}"#))
        };
        for method in ["PUT", "MERGE", "DELETE"] {
            assert_eq!(with(method, "W/\"9-9\"").problem(), "412 PR412-OD-0002", "{method} {set}");
        }
        let tag = ctl.get(&format!("{set}('x')")).header("etag").expect("a tag").to_owned();
        let tag = with("PUT", &tag).expect(204).header("etag").expect("a tag").to_owned();
        with("DELETE", &tag).expect(204);
    }
}

#[test]
fn a_box_with_something_in_it_is_409_od_0001() {
    let ctl = Ctl::start();
    ctl.make("Box", &json!({ "Name": "b" }));
    ctl.make("Role", &json!({ "Name": "r", "_Box.Name": "b" }));
    assert_eq!(ctl.delete("Box('b')").problem(), "409 PR409-OD-0001");
    ctl.delete("Role(Name='r',_Box.Name='b')").expect(204);
    std::fs::write(ctl.0.root().join("cells/c/boxes/b/by-hand.txt"), "x").expect("a file by hand");
    assert_eq!(ctl.delete("Box('b')").problem(), "409 PR409-OD-0001");
    std::fs::remove_file(ctl.0.root().join("cells/c/boxes/b/by-hand.txt")).expect("removed by hand");
    ctl.delete("Box('b')").expect(204);
    assert!(!ctl.0.root().join("cells/c/boxes/b").exists());
}

#[test]
fn the_main_box_is_no_entity() {
    let ctl = Ctl::start();
    assert!(ctl.names("Box").is_empty());
    assert_eq!(ctl.get("Box('__')").problem(), "404 PR404-OD-0002");
    assert_eq!(ctl.delete("Box('__')").problem(), "404 PR404-OD-0002");
    assert_eq!(ctl.refused("Role", &json!({ "Name": "r", "_Box.Name": "__" })), "400 PR400-OD-0006");
}

#[test]
fn control_objects_want_a_token_of_the_cell() {
    let ctl = Ctl::start();
    let challenge = format!("Bearer realm=\"{}c/\"", ctl.0.url());
    for (method, path) in [("GET", "Box"), ("POST", "Role"), ("GET", ""), ("DELETE", "Box('x')"), ("GET", "Nothing")] {
        let reply = ctl.0.anonymous(method, &format!("/c/__ctl/{path}"));
        assert_eq!(reply.problem(), "401 PR401-AU-0001", "{method} {path}");
        assert_eq!(reply.headers_named("www-authenticate").collect::<Vec<_>>(), [&challenge]);
    }
}

#[test]
fn a_role_of_a_box_needs_the_box_in_its_key() {
    let ctl = Ctl::start();
    ctl.make("Box", &json!({ "Name": "b" }));
    let made = ctl.make("Role", &json!({ "Name": "in", "_Box.Name": "b" }));
    assert_eq!(made["__metadata"]["uri"], ctl.uri("Role(Name='in',_Box.Name='b')"));
    ctl.make("Role", &json!({ "Name": "out", "_Box.Name": null }));
    for path in ["Role('in')", "Role(Name='in')", "Role(Name='in',_Box.Name=null)", "Role(Name='out',_Box.Name='b')"] {
        assert_eq!(ctl.get(path).problem(), "404 PR404-OD-0002", "{path}");
    }
    assert_eq!(ctl.get("Role(Name='in',_Box.Name='none')").problem(), "404 PR404-OD-0002");
    assert_eq!(ctl.entity("Role(_Box.Name='b',Name='in')")["_Box.Name"], "b");
    for path in ["Role('out')", "Role(Name='out')", "Role(Name='out',_Box.Name=null)"] {
        assert_eq!(ctl.entity(path)["_Box.Name"], Value::Null, "{path}");
    }
    for path in ["Role(1)", "Role(Name='a',Other='b')", "Role(_Box.Name='b')", "Role('a','b')"] {
        assert_eq!(ctl.get(path).problem(), "400 PR400-OD-0004", "{path}");
    }
}

#[test]
fn a_role_of_no_such_box_is_400_od_0024() {
    let ctl = Ctl::start();
    let reply = ctl.send("POST", "Role", &json!({ "Name": "r", "_Box.Name": "none" }));
    assert_eq!(reply.json()["message"]["value"], "[none] does not exist.");
    assert_eq!(reply.problem(), "400 PR400-OD-0024");
    assert_eq!(ctl.refused("Role", &json!({ "Name": "r", "_Box.Name": "" })), "400 PR400-OD-0006");
}

#[test]
fn one_name_in_two_boxes_is_two_roles() {
    let ctl = Ctl::start();
    ctl.make("Box", &json!({ "Name": "b" }));
    ctl.make("Role", &json!({ "Name": "r" }));
    ctl.make("Role", &json!({ "Name": "r", "_Box.Name": "b" }));
    assert_eq!(ctl.refused("Role", &json!({ "Name": "r" })), "409 PR409-OD-0003");
    let moved = ctl.send("PUT", "Role('r')", &json!({ "Name": "r", "_Box.Name": "b" }));
    assert_eq!(moved.problem(), "409 PR409-OD-0003");
    let out = ctl.send("PUT", "Role(Name='r',_Box.Name='b')", &json!({ "Name": "s" }));
    out.expect(204);
    assert_eq!(ctl.entity("Role('s')")["_Box.Name"], Value::Null);
}

#[test]
fn a_merge_keeps_what_it_does_not_name() {
    let ctl = Ctl::start();
    ctl.make("Box", &json!({ "Name": "b" }));
    ctl.make("Role", &json!({ "Name": "r", "_Box.Name": "b" }));
    ctl.send("MERGE", "Role(Name='r',_Box.Name='b')", &json!({ "Name": "s" })).expect(204);
    ctl.send("MERGE", "Role(Name='s',_Box.Name='b')", &json!({})).expect(204);
    ctl.send("MERGE", "Role(Name='s',_Box.Name='b')", &json!({ "_Box.Name": null })).expect(204);
    ctl.get("Role('s')").expect(200);
    assert_eq!(ctl.send("PUT", "Role('s')", &json!({})).problem(), "400 PR400-OD-0009");
    assert_eq!(ctl.send("MERGE", "Role('none')", &json!({})).problem(), "404 PR404-OD-0002");
}

#[test]
fn relation_names_have_a_plus() {
    let ctl = Ctl::start();
    ctl.make("Relation", &json!({ "Name": "+friend:x" }));
    ctl.get("Relation('+friend:x')").expect(200);
    assert_eq!(ctl.refused("Relation", &json!({ "Name": ":friend" })), "400 PR400-OD-0006");
    assert_eq!(ctl.refused("Role", &json!({ "Name": "+friend" })), "400 PR400-OD-0006");
}

#[test]
fn an_external_role_needs_its_relation() {
    let ctl = Ctl::start();
    ctl.make("Relation", &json!({ "Name": "friend" }));
    assert_eq!(ctl.refused("ExtRole", &json!({ "ExtRole": EXT })), "400 PR400-OD-0009");
    assert_eq!(ctl.refused("ExtRole", &json!({ "_Relation.Name": "friend" })), "400 PR400-OD-0009");
    let none = json!({ "ExtRole": EXT, "_Relation.Name": "none" });
    assert_eq!(ctl.refused("ExtRole", &none), "400 PR400-OD-0024");
    let word = json!({ "ExtRole": "word", "_Relation.Name": "friend" });
    assert_eq!(ctl.refused("ExtRole", &word), "400 PR400-OD-0006");
    let body = json!({ "ExtRole": EXT, "_Relation.Name": "friend", "_Relation._Box.Name": null });
    let made = ctl.make("ExtRole", &body);
    assert_eq!(ctl.refused("ExtRole", &body), "409 PR409-OD-0003");
    let uri = made["__metadata"]["uri"].as_str().expect("a uri");
    let path = uri.split("/__ctl/").nth(1).expect("a path");
    assert_eq!(ctl.entity(path)["ExtRole"], EXT);
    assert_eq!(ctl.entity(&format!("ExtRole(ExtRole='{EXT}',_Relation.Name='friend')"))["_Relation.Name"], "friend");
    assert_eq!(ctl.delete("Relation('friend')").problem(), "409 PR409-OD-0001");
    ctl.delete(path).expect(204);
    ctl.delete("Relation('friend')").expect(204);
}

#[test]
fn a_rule_is_made_changed_and_checked() {
    let ctl = Ctl::start();
    let made = ctl.make("Rule", &json!({ "EventExternal": true, "EventType": "a", "Action": "log" }));
    assert_eq!(made["Name"].as_str().map(str::len), Some(32));
    ctl.make("Rule", &json!({ "Name": "r", "EventType": "a", "Action": "log" }));
    ctl.send("MERGE", "Rule('r')", &json!({ "EventExternal": true, "EventType": null })).expect(204);
    let rule = ctl.entity("Rule('r')");
    assert_eq!(
        (&rule["EventExternal"], &rule["EventType"], &rule["Action"]),
        (&json!(true), &Value::Null, &json!("log"))
    );
    ctl.send("PUT", "Rule('r')", &json!({ "Action": "log.warn" })).expect(204);
    let rule = ctl.entity("Rule('r')");
    assert_eq!((&rule["EventExternal"], &rule["Action"]), (&json!(false), &json!("log.warn")));
    for (body, code) in [
        (json!({ "Name": "s" }), "400 PR400-OD-0009"),
        (json!({ "Name": "s", "Action": "explode" }), "400 PR400-OD-0006"),
        (json!({ "Name": "s", "Action": "relay" }), "400 PR400-OD-0009"),
        (json!({ "Name": "s", "Action": "log", "EventExternal": "yes" }), "400 PR400-OD-0006"),
        (json!({ "Name": "r", "Action": "log" }), "409 PR409-OD-0003"),
    ] {
        assert_eq!(ctl.refused("Rule", &body), code, "{body}");
    }
    assert_eq!(ctl.send("PUT", "Rule('r')", &json!({ "Action": "exec" })).problem(), "400 PR400-OD-0009");
}

#[test]
fn roles_and_relations_are_linked_once_and_unlinked() {
    let ctl = Ctl::start();
    ctl.make("Role", &json!({ "Name": "r" }));
    ctl.make("Relation", &json!({ "Name": "x" }));
    ctl.link("Relation('x')/$links/_Role", "Role('r')").expect(204);
    assert_eq!(ctl.link("Role('r')/$links/_Relation", "Relation('x')").problem(), "409 PR409-OD-0002");
    assert_eq!(ctl.links("Role('r')/$links/_Relation"), [ctl.uri("Relation('x')")]);
    assert_eq!(ctl.links("Relation('x')/$links/_Role"), [ctl.uri("Role('r')")]);
    assert_eq!(ctl.names("Role('r')/_Relation"), ["x"]);
    ctl.delete("Role('r')/$links/_Relation('x')").expect(204);
    assert_eq!(ctl.delete("Role('r')/$links/_Relation('x')").problem(), "404 PR404-OD-0000");
    assert!(ctl.links("Relation('x')/$links/_Role").is_empty());
}

#[test]
fn links_vanish_with_their_ends() {
    let ctl = Ctl::start();
    ctl.make("Role", &json!({ "Name": "r" }));
    ctl.make("Relation", &json!({ "Name": "x" }));
    ctl.link("Relation('x')/$links/_Role", "Role('r')").expect(204);
    ctl.delete("Role('r')").expect(204);
    ctl.make("Role", &json!({ "Name": "r" }));
    assert!(ctl.links("Relation('x')/$links/_Role").is_empty());
    ctl.delete("Relation('x')").expect(204);
}

#[test]
fn a_role_is_bound_to_one_box_at_a_time() {
    let ctl = Ctl::start();
    for name in ["a", "b"] {
        ctl.make("Box", &json!({ "Name": name }));
    }
    ctl.make("Role", &json!({ "Name": "r" }));
    ctl.link("Box('a')/$links/_Role", "Role('r')").expect(204);
    let bound = "Role(Name='r',_Box.Name='a')";
    assert_eq!(ctl.links("Box('a')/$links/_Role"), [ctl.uri(bound)]);
    assert_eq!(ctl.names("Box('a')/_Role"), ["r"]);
    for cell_box in ["a", "b"] {
        assert_eq!(ctl.link(&format!("Box('{cell_box}')/$links/_Role"), bound).problem(), "409 PR409-OD-0002");
    }
    ctl.make("Role", &json!({ "Name": "r" }));
    assert_eq!(ctl.link("Role('r')/$links/_Box", "Box('a')").problem(), "409 PR409-OD-0005");
    assert_eq!(ctl.delete(&format!("Box('a')/$links/_{bound}")).problem(), "409 PR409-OD-0004");
    ctl.delete("Role('r')").expect(204);
    assert_eq!(ctl.delete(&format!("{bound}/$links/_Box('b')")).problem(), "404 PR404-OD-0000");
    ctl.delete(&format!("{bound}/$links/_Box('a')")).expect(204);
    ctl.get("Role('r')").expect(200);
}

#[test]
fn a_box_that_is_made_through_an_object_is_that_objects() {
    let ctl = Ctl::start();
    for set in ["Role", "Relation"] {
        ctl.make(set, &json!({ "Name": "o" }));
        let name = set.to_lowercase();
        let made = ctl.send("POST", &format!("{set}('o')/_Box"), &json!({ "Name": name })).expect(201).json();
        assert_eq!(made["d"]["results"]["Name"], name.as_str());
        let bound = format!("{set}(Name='o',_Box.Name='{name}')");
        ctl.get(&bound).expect(200);
        let boxes = ctl.get(&format!("{bound}/_Box")).expect(200).json();
        assert_eq!(boxes["d"]["results"][0]["Name"], name.as_str());
        let another = json!({ "Name": "another" });
        assert_eq!(ctl.refused(&format!("{bound}/_Box"), &another), "409 PR409-OD-0002");
        assert_eq!(ctl.refused(&format!("{set}('none')/_Box"), &another), "404 PR404-OD-0002");
        ctl.make(set, &json!({ "Name": "o" }));
        assert_eq!(ctl.refused(&format!("{set}('o')/_Box"), &json!({ "Name": name })), "409 PR409-OD-0003");
        assert_eq!(ctl.get("Box('another')").status, 404);
    }
}

#[test]
fn links_that_are_refused() {
    let ctl = Ctl::start();
    ctl.make("Role", &json!({ "Name": "r" }));
    ctl.make("Relation", &json!({ "Name": "x" }));
    ctl.make("ExtRole", &json!({ "ExtRole": EXT, "_Relation.Name": "x" }));
    let links = "Role('r')/$links/_Relation";
    for uri in ["", "word", "http://other.example/c/__ctl/Relation('x')"] {
        assert_eq!(ctl.refused(links, &json!({ "uri": uri })), "400 PR400-OD-0006", "{uri}");
    }
    for step in ["Relation", "Role('r')", "Relation(1)", "Relation('none')", "Relation('x')/_Role"] {
        assert_eq!(ctl.link(links, step).problem(), "400 PR400-OD-0006", "{step}");
    }
    assert_eq!(ctl.refused(links, &json!({ "uri": null })), "400 PR400-OD-0006");
    assert_eq!(ctl.refused(links, &json!(1)), "400 PR400-OD-0001");
    assert_eq!(ctl.link("Role('none')/$links/_Relation", "Relation('x')").problem(), "404 PR404-OD-0000");
    assert_eq!(ctl.link("Role('r')/$links/_Rule", "Relation('x')").problem(), "400 PR400-OD-0008");
    assert_eq!(ctl.link("Role('r')/$links/_Relation('x')", "Relation('x')").problem(), "400 PR400-OD-0010");
    assert_eq!(ctl.send("PUT", links, &json!({})).problem(), "400 PR400-OD-0011");
    assert_eq!(ctl.send("PUT", "Role('r')/$links/_Relation('x')", &json!({})).problem(), "501 PR501-MC-0001");
    assert_eq!(ctl.delete(links).problem(), "400 PR400-OD-0011");
    assert_eq!(ctl.delete("Role('r')/$links/_Relation('none')").problem(), "404 PR404-OD-0000");
    let ext = format!("ExtRole(ExtRole='{EXT}',_Relation.Name='x')");
    assert_eq!(ctl.link(&format!("{ext}/$links/_Relation"), "Relation('x')").status, 400);
    assert_eq!(ctl.delete(&format!("{ext}/$links/_Relation('x')")).status, 400);
    assert_eq!(ctl.links(&format!("{ext}/$links/_Relation")), [ctl.uri("Relation('x')")]);
}

#[test]
fn objects_are_made_through_navigation_properties() {
    let ctl = Ctl::start();
    ctl.make("Box", &json!({ "Name": "b" }));
    ctl.make("Box('b')/_Role", &json!({ "Name": "r" }));
    let role = "Role(Name='r',_Box.Name='b')";
    ctl.make(&format!("{role}/_Relation"), &json!({ "Name": "x" }));
    assert_eq!(ctl.names(&format!("{role}/_Relation")), ["x"]);
    ctl.make("Relation('x')/_ExtRole", &json!({ "ExtRole": EXT }));
    assert_eq!(ctl.entity("Relation('x')/_ExtRole")[0]["ExtRole"], EXT);
    assert_eq!(ctl.names(&format!("{role}/_Box")), ["b"]);
    assert_eq!(ctl.refused("Role('none')/_Relation", &json!({ "Name": "y" })), "404 PR404-OD-0002");
    assert_eq!(ctl.get("Relation('y')").problem(), "404 PR404-OD-0002");
    assert_eq!(ctl.get("Box('b')/_Nothing").problem(), "404 PR404-OD-0003");
    assert_eq!(ctl.get("Box('none')/_Role").problem(), "404 PR404-OD-0002");
}

#[test]
fn sets_that_come_later_are_404_od_0001() {
    let ctl = Ctl::start();
    for set in ["SentMessage", "ReceivedMessage", "Nothing"] {
        assert_eq!(ctl.get(set).problem(), "404 PR404-OD-0001", "{set}");
    }
}

#[test]
fn a_list_of_roles_is_filtered_and_paged() {
    let ctl = Ctl::start();
    ctl.make("Box", &json!({ "Name": "b" }));
    for name in ["c", "a", "d"] {
        ctl.make("Role", &json!({ "Name": name }));
    }
    ctl.make("Role", &json!({ "Name": "a", "_Box.Name": "b" }));
    assert_eq!(ctl.names("Role?$filter=_Box.Name%20eq%20'b'"), ["a"]);
    assert_eq!(ctl.names("Role?$filter=_Box.Name%20eq%20null&$orderby=Name&$top=2"), ["a", "c"]);
    assert_eq!(
        ctl.names("Role?$filter=Name%20eq%20'a'%20or%20startswith(Name,'c')&$orderby=Name%20desc"),
        ["c", "a", "a"]
    );
    assert_eq!(ctl.names("Role?$filter=not%20(_Box.Name%20ne%20null)%20and%20Name%20gt%20'a'"), ["c", "d"]);
    assert_eq!(ctl.names("Role?$filter=__updated%20gt%20datetime'2999-01-01T00:00:00'"), [""; 0]);
    let page = ctl.get("Role?$filter=Name%20eq%20'a'&$top=1&$inlinecount=allpages").expect(200).json();
    assert_eq!((page["d"]["results"].as_array().map(Vec::len), &page["d"]["__count"]), (Some(1), &json!("2")));
    let selected = ctl.entity("Role('c')?$select=Name");
    assert_eq!(selected.as_object().expect("an object").keys().collect::<Vec<_>>(), ["Name", "__metadata"]);
}

#[test]
fn the_schema_of_control_objects_is_for_everybody() {
    let ctl = Ctl::start();
    let schema = ctl.0.anonymous("GET", "/c/__ctl/$metadata").expect(200);
    let all = ["Box", "Role", "Relation", "ExtRole", "Rule", "Account", "ExtCell", "DrivePassword"];
    for set in all {
        assert!(schema.text().contains(&format!("EntitySet Name=\"{set}\" EntityType=\"CellCtl.{set}\"")), "{set}");
    }
    let sets = ctl.get("?$format=json").expect(200).json();
    assert_eq!(sets["d"]["EntitySets"], json!(all));
}

#[test]
fn roles_made_at_once_under_one_name_are_one() {
    let ctl = Ctl::start();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let make = || ctl.send("POST", "Role", &json!({ "Name": "r" })).status;
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
        threads.into_iter().map(|t| t.join().expect("an answer")).collect()
    });
    assert_eq!(statuses.iter().filter(|s| **s == 201).count(), 1, "{statuses:?}");
    assert_eq!(ctl.names("Role"), ["r"]);
}
