//! Events that rules pass on to other cells of the unit.

use serde_json::json;

use super::World;
use crate::client::Request;
use crate::harness::TOKEN;

/// The lines of a cell's log, from the fifth field on: schema, subject, type, object and info.
fn lines(world: &World, cell: &str) -> Vec<String> {
    let log = world.admin("GET", &format!("/{cell}/__log/current/default.log")).expect(200);
    let told = |line: &str| line.splitn(5, ',').nth(4).unwrap_or_default().replace('"', "");
    log.text().lines().map(told).collect()
}

/// A rule of a cell that passes on what is told of a type.
fn relay(world: &World, cell: &str, of: (bool, &str), target: &str) {
    let rule = json!({ "Action": "relay.event", "EventExternal": of.0, "EventType": of.1, "TargetUrl": target });
    world.make_in(cell, "Rule", &rule).expect(201);
}

/// Another cell, which logs what it is told.
fn listener(world: &World, cell: &str) {
    world.admin("MKCOL", &format!("/{cell}")).expect(201);
    world.make_in(cell, "Rule", &json!({ "Action": "log", "EventExternal": true })).expect(201);
}

fn tell(world: &World, token: &str, event: &serde_json::Value) {
    let post = Request::new("POST", "/c/__event").bearer(token).header("X-Personium-RequestKey", "key-1");
    world.send(post.body(event.to_string())).expect(200);
}

#[test]
fn relayed_events_reach_the_cell_that_lets_their_subject_tell() {
    let world = World::new();
    let token = world.user("a", &["teller"]);
    world.allow("", &[("teller", &["event"])]);
    world.allow("b", &[("teller", &["all"])]);
    listener(&world, "d");
    relay(&world, "c", (true, "note"), &world.url("d"));
    relay(&world, "c", (false, "davfile."), "personium-localunit:d:/");

    // A cell listens only to whom it has given the privilege.
    tell(&world, &token, &json!({ "Type": "note.new", "Object": "o", "Info": "i" }));
    assert_eq!(lines(&world, "d"), [""; 0]);
    let refused = lines(&world, "c");
    let said = format!(
        "`relay.event` to {}: the cell does not let {}#a tell it of events; nothing was done for note.new",
        world.url("d"),
        world.url("c")
    );
    assert!(refused.len() == 1 && refused[0].ends_with(&said), "{refused:?}");
    assert!(refused[0].contains("null,rule.refused,"), "{refused:?}");

    world.make_in("d", "ExtCell", &json!({ "Url": world.url("c") })).expect(201);
    world.make_in("d", "Role", &json!({ "Name": "neighbour" })).expect(201);
    let ext_cell = super::encoded(&[("", &world.url("c"))]);
    world.link("d", &format!("ExtCell('{}')/$links/_Role", &ext_cell[1..]), "Role('neighbour')");
    world.set_acl("d", "", &[("neighbour", &["event"])], "").expect(200);
    tell(&world, &token, &json!({ "Type": "note.new", "Object": "o", "Info": "i" }));
    world.send(Request::new("PUT", "/c/b/f").bearer(&token).body("x")).expect(201);
    let url = world.url("c");
    let expected =
        [format!("null,{url}#a,relay.ext.note.new,o,i"), format!("null,{url}#a,relay.davfile.create,{url}b/f,201")];
    assert_eq!(lines(&world, "d"), expected);
    let log = world.admin("GET", "/d/__log/current/default.log").expect(200);
    assert!(log.text().lines().next().is_some_and(|line| line.contains(r#","key-1","true","#)), "{}", log.text());
    assert_eq!(lines(&world, "c"), refused, "nothing more was refused");
}

#[test]
fn roles_of_the_subject_count_in_the_cell_that_is_told() {
    let world = World::new();
    let (teller, other) = (world.user("a", &["teller"]), world.user("o", &["other"]));
    world.allow("", &[("teller", &["event"]), ("other", &["event"])]);
    listener(&world, "d");
    relay(&world, "c", (true, "note"), "personium-localunit:/d/");
    world.make_in("d", "Role", &json!({ "Name": "neighbour" })).expect(201);
    world.make_in("d", "Relation", &json!({ "Name": "friend" })).expect(201);
    let role = format!("{}__role/__/teller", world.url("c"));
    world.make_in("d", "ExtRole", &json!({ "ExtRole": role, "_Relation.Name": "friend" })).expect(201);
    world.make_in("d", "ExtCell", &json!({ "Url": world.url("c") })).expect(201);
    let encoded = |text: &str| super::encoded(&[("", text)])[1..].to_owned();
    let ext_cell = format!("ExtCell('{}')", encoded(&world.url("c")));
    world.link("d", &format!("{ext_cell}/$links/_Relation"), "Relation('friend')");
    let ext_role = format!("ExtRole(ExtRole='{}',_Relation.Name='friend',_Relation._Box.Name=null)", encoded(&role));
    world.link("d", &format!("{ext_role}/$links/_Role"), "Role('neighbour')");
    world.set_acl("d", "", &[("neighbour", &["event"])], "").expect(200);
    for (token, kind) in [(&teller, "note.yes"), (&other, "note.no"), (&TOKEN.to_owned(), "note.unit")] {
        tell(&world, token, &json!({ "Type": kind }));
    }
    let heard = lines(&world, "d");
    assert!(heard.len() == 1 && heard[0].contains("#a,relay.ext.note.yes,"), "{heard:?}");
    // What the unit's administrator does, the cell tells itself, and is no more there than a visitor.
    let refused = lines(&world, "c");
    let itself = format!("does not let {} tell", world.url("c"));
    assert!(refused.len() == 2 && refused[1].contains(&itself), "{refused:?}");
    world.set_acl("d", "", &[("*", &["event"])], "").expect(200);
    tell(&world, TOKEN, &json!({ "Type": "note.unit" }));
    assert!(lines(&world, "d")[1].starts_with("null,null,relay.ext.note.unit,"), "{:?}", lines(&world, "d"));
}

#[test]
fn events_do_not_go_round_in_circles() {
    let world = World::new();
    for cell in ["d", "e"] {
        listener(&world, cell);
        world.set_acl(cell, "", &[("*", &["event"])], "").expect(200);
    }
    world.set_acl("c", "", &[("*", &["event"])], "").expect(200);
    for (from, to) in [("c", "d"), ("d", "e"), ("e", "c"), ("c", "c")] {
        relay(&world, from, (true, ""), &world.url(to));
    }
    tell(&world, TOKEN, &json!({ "Type": "spin" }));
    // The beginning of the type tells once that it was passed on.
    for cell in ["d", "e"] {
        let heard: Vec<String> = lines(&world, cell).into_iter().filter(|line| line.contains("relay.ext.")).collect();
        assert_eq!(heard.iter().filter(|line| line.contains(",relay.ext.spin,")).count(), 1, "{cell}: {heard:?}");
    }
    let circle = |cell: &str| lines(&world, cell).iter().filter(|line| line.contains("has been there before")).count();
    assert_eq!((circle("c"), circle("d"), circle("e")), (1, 0, 1));
}

#[test]
fn one_event_is_passed_on_a_bounded_number_of_times() {
    let world = World::new();
    listener(&world, "d");
    world.set_acl("d", "", &[("*", &["event"])], "").expect(200);
    for _ in 0..70 {
        relay(&world, "c", (true, "many"), "personium-localunit:d:/");
    }
    tell(&world, TOKEN, &json!({ "Type": "many" }));
    assert_eq!(lines(&world, "d").len(), 64);
    let refused = lines(&world, "c");
    assert_eq!(refused.iter().filter(|line| line.contains("passed on too often")).count(), 6, "{refused:?}");
    // Each event is counted by itself.
    tell(&world, TOKEN, &json!({ "Type": "many" }));
    assert_eq!(lines(&world, "d").len(), 128);
}
