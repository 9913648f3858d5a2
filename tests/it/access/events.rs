//! What administration tells the rules of a cell.

use serde_json::json;

use super::World;
use crate::client::Request;

#[test]
fn changes_of_control_objects_and_lists_reach_the_log() {
    let world = World::new();
    let token = world.user("admin", &["r"]);
    world.allow("", &[("r", &["auth", "acl", "propfind"])]);
    world.make("Rule", &json!({ "Name": "all", "Action": "log.warn", "EventType": "cell" })).expect(201);
    let send = |method: &str, path: &str, body: &str| {
        let request =
            Request::new(method, &format!("/c/{path}")).bearer(&token).header("X-Personium-RequestKey", "key");
        world.send(request.header("X-Personium-Credential", "pass-word-2").body(body)).status
    };
    assert_eq!(send("POST", "__ctl/Account", r#"{"Name":"new"}"#), 201);
    assert_eq!(send("MERGE", "__ctl/Account('new')", r#"{"Status":"deactivated"}"#), 204);
    let uri = format!(r#"{{"uri":"{}__ctl/Role('r')"}}"#, world.url("c"));
    assert_eq!(send("POST", "__ctl/Account('new')/$links/_Role", &uri), 204);
    assert_eq!(send("DELETE", "__ctl/Account('none')", ""), 404);
    assert_eq!(send("DELETE", "__ctl/Account('new')", ""), 204);
    let list = super::acl(&world.url("c"), &[("r", &["root"])], "");
    assert_eq!(send("ACL", "", &list), 200);
    let log = world.admin("GET", "/c/__log/current/default.log").expect(200);
    let subject = format!("{}#admin", world.url("c"));
    let lines: Vec<String> = log
        .text()
        .lines()
        .filter(|line| line.contains(&subject))
        .map(|line| line.rsplitn(4, ',').take(3).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join(","))
        .collect();
    let object = |path: &str| format!("{}{path}", world.url("c"));
    assert_eq!(
        lines,
        [
            format!("\"cellctl.Account.create\",\"{}\",\"201\"", object("__ctl/Account('new')")),
            format!("\"cellctl.Account.merge\",\"{}\",\"204\"", object("__ctl/Account('new')")),
            format!(
                "\"cellctl.Account.links.Role.create\",\"{}\",\"204\"",
                object("__ctl/Account('new')/$links/_Role")
            ),
            format!("\"cellctl.Account.delete\",\"{}\",\"204\"", object("__ctl/Account('new')")),
            format!("\"cell.acl\",\"{}\",\"200\"", object("")),
        ],
        "{}",
        log.text()
    );
    assert!(!log.text().contains("pass-word") && log.text().contains("[WARN ]"), "{}", log.text());
}
