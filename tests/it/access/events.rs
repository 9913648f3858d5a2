//! What administration tells the rules of a cell.

use serde_json::json;

use super::World;
use crate::client::Request;
use crate::harness::{Server, TOKEN};

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

#[test]
fn what_clients_tell_is_logged_where_a_rule_says_so() {
    let server = Server::start();
    let send = |method: &str, target: &str, body: &str| {
        server.send(Request::new(method, target).bearer(TOKEN).body(body).header("X-Personium-RequestKey", "key1"))
    };
    assert_eq!(send("MKCOL", "/c", "").status, 201);
    let rule = r#"{"Name":"r","EventExternal":true,"EventType":"note","Action":"log.warn"}"#;
    assert_eq!(send("POST", "/c/__ctl/Rule", rule).status, 201);
    let told = r#"{"Type":"note.new","Object":"a \"quoted\" thing","Info":"i","Other":1}"#;
    assert_eq!(send("POST", "/c/__event", told).status, 200);
    assert_eq!(send("POST", "/c/__event", r#"{"Type":"other"}"#).status, 200);
    for (body, code) in [
        (r#"{"Type":1}"#, "PR400-EV-0004"),
        (r#"{"Info":["x"]}"#, "PR400-EV-0004"),
        ("{", "PR400-CM-0004"),
        ("[]", "PR400-CM-0004"),
    ] {
        let refused = send("POST", "/c/__event", body);
        assert!(refused.status == 400 && refused.text().contains(code), "{body}: {}", refused.text());
    }
    let long = format!(r#"{{"Object":"{}"}}"#, "x".repeat(51_201));
    assert!(send("POST", "/c/__event", &long).text().contains("[Object]"));
    assert_eq!(send("GET", "/c/__event", "").status, 405);
    assert_eq!(send("PROPFIND", "/c/__event", "").status, 501);
    let anonymous = server.send(Request::new("POST", "/c/__event").body(told));
    assert_eq!(anonymous.status, 401);
    let log = server.admin("GET", "/c/__log/current/default.log");
    let lines: Vec<&str> = log.text().lines().collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let expected = r#",[WARN ],"key1","true",null,null,"note.new","a ""quoted"" thing","i""#;
    assert!(lines[0].ends_with(expected), "{lines:?}");
}

#[test]
fn what_is_done_in_boxes_reaches_the_rules() {
    let world = World::new();
    let token = world.user("a", &["r"]);
    world.allow("b", &[("r", &["all"])]);
    let send = |method: &str, path: &str, body: &str, status: u16| {
        let request = Request::new(method, &format!("/c/{path}")).bearer(&token).body(body);
        let request = if method == "PROPFIND" { request.header("Depth", "0") } else { request };
        world.send(request.header("Destination", "/c/b/col/g")).expect(status);
    };
    // Before there is a rule nothing is told, and that is not remembered for longer than it holds.
    send("PUT", "b/early", "x", 201);
    let get = Request::new("GET", "/c/b/early").bearer(&token);
    world.send(get.clone()).expect(200);
    world.send(get.clone()).expect(200);
    for (name, of) in [("files", "davfile"), ("collections", "webdavcol"), ("boxes", "box")] {
        world.make("Rule", &json!({ "Name": name, "Action": "log", "EventType": of })).expect(201);
    }
    world.send(get.clone()).expect(200);
    world.send(get).expect(200);
    send("MKCOL", "b/col", "", 201);
    send("PUT", "b/col/f", "x", 201);
    send("PUT", "b/col/f", "y", 204);
    send("PUT", "b/none/f", "y", 409);
    send("PROPFIND", "b/col", "", 207);
    send("MOVE", "b/col/f", "", 201);
    send("ACL", "b", &super::acl(&world.url("c"), &[("r", &["all"])], ""), 200);
    send("DELETE", "b/col/g", "", 204);
    send("DELETE", "b/col", "", 204);
    let log = world.admin("GET", "/c/__log/current/default.log").expect(200);
    let lines: Vec<String> = log
        .text()
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.rsplitn(5, ',').collect();
            assert_eq!(fields[3], format!("\"{}#a\"", world.url("c")), "{line}");
            format!("{} {} {}", fields[2], fields[1], fields[0]).replace(['"'], "").replace(&world.url("c"), "")
        })
        .collect();
    let expected = [
        "davfile.get b/early 200",
        "davfile.get b/early 200",
        "webdavcol.create b/col 201",
        "davfile.create b/col/f 201",
        "davfile.update b/col/f 204",
        "webdavcol.propfind b/col 207",
        "davfile.move b/col/f 201",
        "box.acl b 200",
        "davfile.delete b/col/g 204",
        "webdavcol.delete b/col 204",
    ];
    assert_eq!(lines, expected, "{}", log.text());
}

#[test]
fn rules_that_ask_for_what_there_is_not_say_so_in_the_log() {
    let world = World::new();
    for (name, action, target) in [
        ("service", "exec", "personium-localcell:/b/svc/run"),
        ("away", "relay", "https://elsewhere.example/x"),
        ("other", "relay.event", "personium-localunit:/d/"),
    ] {
        let rule = json!({ "Name": name, "Action": action, "TargetUrl": target, "EventType": "davfile.create" });
        world.make("Rule", &rule).expect(201);
    }
    world.send(Request::new("PUT", "/c/b/f").bearer(TOKEN).body("x")).expect(201);
    world.send(Request::new("PUT", "/c/b/f").bearer(TOKEN).body("y")).expect(204);
    let log = world.admin("GET", "/c/__log/current/default.log").expect(200);
    let lines: Vec<&str> = log.text().lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    for (name, action) in [("service", "exec"), ("away", "relay"), ("other", "relay.event")] {
        let told = format!(
            ",null,null,\"rule.unsupported\",\"{}__ctl/Rule(Name='{name}',_Box.Name=null)\",\"`{action}` is not supported by this server; nothing was done for davfile.create\"",
            world.url("c")
        );
        assert!(lines.iter().any(|line| line.contains("[WARN ]") && line.ends_with(&told)), "{told}: {lines:?}");
    }
}

#[test]
fn logins_reach_the_rules_without_what_is_secret() {
    let world = World::new();
    world.account("a", &[]);
    world.account("b", &[]);
    world.make("Rule", &json!({ "Name": "r", "Action": "log", "EventType": "token." })).expect(201);
    let log_in = |name: &str, password: &str| {
        world.grant("c", &[("grant_type", "password"), ("username", name), ("password", password)])
    };
    let got = log_in("a", super::PASSWORD).expect(200).json();
    let refresh = super::text(&got, "refresh_token");
    world.grant("c", &[("grant_type", "refresh_token"), ("refresh_token", &refresh)]).expect(200);
    world.send(Request::new("POST", "/c/__token/revoke").body(super::encoded(&[("token", &refresh)]))).expect(200);
    world.grant("c", &[("grant_type", "refresh_token"), ("refresh_token", &refresh)]).expect(400);
    log_in("a", "not-the-word").expect(400);
    // People type passwords where names go.
    log_in("hunter-2-hunter", super::PASSWORD).expect(400);
    let page = [("client_id", "https://app.example/"), ("redirect_uri", "https://app.example/__/back")];
    for (password, status) in [(super::PASSWORD, 303), ("not-the-word", 200)] {
        let form = [&page[..], &[("response_type", "token"), ("username", "b"), ("password", password)]].concat();
        world.send(Request::new("POST", "/c/__authz").body(super::encoded(&form))).expect(status);
    }

    let log = world.admin("GET", "/c/__log/current/default.log").expect(200).text().to_owned();
    let url = world.url("c");
    let lines: Vec<String> = log
        .lines()
        .map(|line| line.splitn(4, ',').nth(3).unwrap_or_default().replace('"', "").replace(&url, "/"))
        .collect();
    let expected = [
        "false,null,/#a,token.grant,/__token,200",
        "false,null,/#a,token.grant,/__token,200",
        "false,null,/#a,token.revoke,/__token/revoke,200",
        "false,null,null,token.refuse,/__token,400",
        "false,null,/#a,token.refuse,/__token,400",
        "false,null,null,token.refuse,/__token,400",
        "false,https://app.example/,/#b,token.grant,/__authz,200",
        "false,null,/#b,token.refuse,/__authz,400",
    ];
    assert_eq!(lines, expected, "{log}");
    for secret in ["not-the-word", "hunter", super::PASSWORD, &refresh[..12], &super::text(&got, "access_token")[..12]]
    {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}
