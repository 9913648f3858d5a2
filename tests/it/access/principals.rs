//! The properties and reports of RFC 3744 about principals and privileges.

use super::World;
use crate::client::{Reply, Request};

fn ask(world: &World, token: &str, method: &str, body: &str) -> Reply {
    world.send(Request::new(method, "/c/b/f").bearer(token).header("Depth", "0").body(body))
}

fn world() -> (World, String) {
    let world = World::new();
    let token = world.user("a", &["reader", "writer"]);
    world.send(Request::new("PUT", "/c/b/f").bearer(crate::harness::TOKEN).body("x")).expect(201);
    (world, token)
}

#[test]
fn people_are_told_what_they_may() {
    let (world, token) = world();
    world.allow("b", &[("reader", &["read", "read-acl"])]);
    world.allow("b/f", &[("writer", &["write-content"])]);
    let body = "<propfind xmlns=\"DAV:\"><prop><current-user-privilege-set/><current-user-principal/>\
                <supported-privilege-set/><principal-collection-set/><acl-restrictions/></prop></propfind>";
    let told = ask(&world, &token, "PROPFIND", body).expect(207);
    let set = told.text().split("current-user-privilege-set>").nth(1).expect("the property");
    let privileges: Vec<&str> = set.split("<D:privilege><").skip(1).filter_map(|part| part.split('/').next()).collect();
    assert_eq!(privileges, ["D:read", "D:read-properties", "D:read-acl", "D:write-content"]);
    let url = world.url("c");
    assert!(told.text().contains(&format!("<D:href>{url}#a</D:href>")), "{}", told.text());
    assert!(told.text().contains(&format!("<D:href>{url}__role/</D:href>")), "{}", told.text());
    assert_eq!(told.text().matches("<D:supported-privilege>").count(), 14, "all privileges of boxes");
    assert!(!told.text().contains("HTTP/1.1 404"), "{}", told.text());
    let all = ask(&world, &token, "PROPFIND", "").expect(207);
    assert!(!all.text().contains("privilege-set"), "they are told when asked for by name");
    world.allow("b", &[("*", &["read"])]);
    let nobody = world.send(Request::new("PROPFIND", "/c/b/f").header("Depth", "0").body(body)).expect(207);
    assert!(nobody.text().contains("<D:unauthenticated/>"), "{}", nobody.text());
}

#[test]
fn reports_tell_principals_by_what_one_may_see() {
    let (world, token) = world();
    world.allow("b", &[("reader", &["read"]), ("writer", &["write"])]);
    world.make("Role", &serde_json::json!({ "Name": "other" })).expect(201);
    let role = |name: &str| format!("<D:href>{}__role/__/{name}</D:href>", world.url("c"));
    let of_list =
        "<D:acl-principal-prop-set xmlns:D=\"DAV:\"><D:prop><D:displayname/><D:x/></D:prop></D:acl-principal-prop-set>";
    assert_eq!(super::outcome(&ask(&world, &token, "REPORT", of_list)), "403 PR403-AU-0002");
    world.allow("b", &[("reader", &["read", "read-acl"]), ("writer", &["write"])]);
    let told = ask(&world, &token, "REPORT", of_list).expect(207);
    assert!(told.text().contains(&role("reader")) && told.text().contains(&role("writer")), "{}", told.text());
    assert!(told.text().contains("<D:displayname>reader</D:displayname>") && !told.text().contains("other"));
    let own = "<D:principal-match xmlns:D=\"DAV:\"><D:self/></D:principal-match>";
    let told = ask(&world, &token, "REPORT", own).expect(207);
    assert_eq!(told.text().matches("<D:response>").count(), 2, "{}", told.text());
    let search = "<D:principal-property-search xmlns:D=\"DAV:\"><D:property-search><D:prop><D:displayname/></D:prop>\
                  <D:match>OTH</D:match></D:property-search><D:prop><D:displayname/></D:prop></D:principal-property-search>";
    assert_eq!(super::outcome(&ask(&world, &token, "REPORT", search)), "403 PR403-AU-0002");
    world.allow("", &[("reader", &["auth-read"])]);
    let told = ask(&world, &token, "REPORT", search).expect(207);
    assert!(told.text().contains(&role("other")), "{}", told.text());
    assert_eq!(told.text().matches("<D:response>").count(), 1, "{}", told.text());
    let set = "<D:principal-search-property-set xmlns:D=\"DAV:\"/>";
    assert!(ask(&world, &token, "REPORT", set).text().contains("<D:displayname/>"));
}
