//! What a cell holds and may hold (RFC 4331).

use cellar::base::xml::{DAV, Limits, parse};

use super::{Drive, multistatus, on};
use crate::client::{Reply, Request};
use crate::harness::TOKEN;

/// A cell that may hold 1000 bytes.
fn drive() -> Drive {
    Drive::with(&[("CELLAR_LIMITS__CELL_BYTES", "1000")])
}

fn quota(drive: &Drive, path: &str) -> (Option<u64>, Option<u64>) {
    let body =
        "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:quota-used-bytes/><D:quota-available-bytes/></D:prop></D:propfind>";
    let reply = drive.send(on("PROPFIND", path).header("Depth", "0").body(body)).expect(207);
    let listed = multistatus(&reply).remove(0);
    let number = |local: &str| listed.text(local).map(|text| text.parse().expect("a number"));
    (number("quota-used-bytes"), number("quota-available-bytes"))
}

fn used(drive: &Drive) -> u64 {
    quota(drive, "b").0.expect("used bytes")
}

fn set(drive: &Drive, body: &str) -> Reply {
    drive.send(Request::new("MERGE", "/__ctl/Cell('c')").bearer(TOKEN).body(body))
}

#[track_caller]
fn assert_full(reply: &Reply) {
    assert_eq!(reply.status, 507, "{reply:?}");
    let error = parse(&reply.body, Limits::of(1 << 20)).expect("XML");
    assert!(error.child(DAV, "quota-not-exceeded").is_some() && reply.text().contains("PR507-DV-0001"), "{error:?}");
}

#[test]
fn collections_tell_what_the_cell_holds_when_asked() {
    let drive = drive();
    drive.put("b/a", [0; 300]).expect(201);
    drive.mkcol("other/d").expect(201);
    drive.put("other/d/f", [0; 50]).expect(201);
    assert_eq!(quota(&drive, "b"), (Some(350), Some(650)));
    assert_eq!(quota(&drive, "other/d"), (Some(350), Some(650)));
    assert_eq!(quota(&drive, "b/a"), (None, None));
    assert!(drive.propfind("b", "0")[0].find(DAV, "quota-used-bytes").is_none());
}

#[test]
fn every_change_is_counted() {
    let drive = drive();
    drive.put("b/a", [0; 100]).expect(201);
    drive.put("b/a", [0; 30]).expect(204);
    assert_eq!(used(&drive), 30);
    drive.mkcol("b/d").expect(201);
    drive.put("b/d/f", [0; 10]).expect(201);
    drive.copies("b/d", "b/e").expect(201);
    drive.copies("b/a", "b/e/a").expect(201);
    assert_eq!(used(&drive), 80);
    drive.moves("b/e", "b/d").expect(204);
    assert_eq!(used(&drive), 70);
    std::fs::write(drive.on_disk("hand"), [0; 7]).expect("a file");
    drive.names("b");
    assert_eq!(used(&drive), 77);
    std::fs::remove_file(drive.on_disk("hand")).expect("removed");
    drive.names("b");
    drive.delete("b/d").expect(204);
    assert_eq!(used(&drive), 30);
    drive.delete("b/a").expect(204);
    assert_eq!(used(&drive), 0);
}

#[test]
fn what_does_not_fit_is_507_and_changes_nothing() {
    let drive = drive();
    drive.put("b/a", [1; 600]).expect(201);
    assert_full(&drive.put("b/b", [0; 401]));
    assert_full(&drive.send(on("PUT", "b/b").body([0; 401]).chunked(100)));
    assert_full(&drive.send(on("PUT", "b/b").body(vec![0; 200_000])));
    assert_full(&drive.put("b/a", [0; 1001]));
    assert_full(&drive.copies("b/a", "b/copy"));
    drive.mkcol("b/d").expect(201);
    drive.moves("b/a", "b/d/a").expect(201);
    assert_full(&drive.copies("b/d", "b/e"));
    assert_eq!((drive.names("b"), used(&drive)), (vec!["d".to_owned()], 600));
    drive.put("b/b", [0; 400]).expect(201);
    assert_eq!(quota(&drive, "b"), (Some(1000), Some(0)));
    drive.put("b/d/a", [0; 599]).expect(204);
    drive.delete("b/d").expect(204);
    drive.put("b/c", [0; 600]).expect(201);
}

#[test]
fn a_cell_has_a_limit_of_its_own() {
    let drive = drive();
    drive.put("b/a", [0; 600]).expect(201);
    set(&drive, "{\"Quota\":2000}").expect(204);
    assert_eq!(quota(&drive, "b"), (Some(600), Some(1400)));
    drive.put("b/b", [0; 1400]).expect(201);
    set(&drive, "{\"Quota\":500}").expect(204);
    assert_eq!(quota(&drive, "b"), (Some(2000), Some(0)));
    drive.put("b/a", [0; 10]).expect(204);
    assert_full(&drive.put("b/a", [0; 11]));
    set(&drive, "{\"Quota\":null}").expect(204);
    drive.delete("b/b").expect(204);
    assert_eq!(quota(&drive, "b"), (Some(10), Some(990)));
    for bad in ["-1", "\"x\"", "1.5"] {
        assert_eq!(set(&drive, &format!("{{\"Quota\":{bad}}}")).status, 400, "{bad}");
    }
}

#[test]
fn without_a_limit_the_disk_is_one() {
    let drive = Drive::new();
    let (used, available) = quota(&drive, "b");
    assert_eq!(used, Some(0));
    assert!(available.is_some_and(|bytes| bytes > 1 << 20), "{available:?}");
}

#[test]
fn the_entity_of_a_cell_tells_its_own_limit() {
    let drive = drive();
    let entity = || drive.server.admin("GET", "/__ctl/Cell('c')").expect(200).json()["d"]["results"].clone();
    assert_eq!(entity()["Quota"], serde_json::Value::Null);
    set(&drive, "{\"Quota\":2000}").expect(204);
    assert_eq!((&entity()["Quota"], &entity()["Name"]), (&2000.into(), &"c".into()));
    let chosen = drive.server.admin("GET", "/__ctl/Cell('c')?$select=Quota").expect(200).json();
    assert_eq!(chosen["d"]["results"]["Quota"], 2000);
}

#[test]
fn a_cell_and_its_boxes_tell_what_the_cell_holds() {
    let drive = drive();
    drive.put("b/a", [0; 300]).expect(201);
    assert_eq!(quota(&drive, ""), (Some(300), Some(700)));
    let body = "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:quota-used-bytes/></D:prop></D:propfind>";
    let listed = multistatus(&drive.send(on("PROPFIND", "").header("Depth", "1").body(body)).expect(207));
    let told = |name: &str| listed.iter().find(|l| l.href.ends_with(name)).and_then(|l| l.text("quota-used-bytes"));
    assert_eq!((told("/c/b"), told("/c/other")), (Some("300".to_owned()), Some("300".to_owned())));
    let all = drive.send(on("PROPFIND", "").header("Depth", "0")).expect(207);
    assert!(!all.text().contains("quota"), "{}", all.text());
}

#[test]
fn the_unit_tells_its_administrator_the_room_on_the_disk() {
    let drive = drive();
    let ask = |request: Request, depth: &str| {
        let body = "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:quota-used-bytes/><D:quota-available-bytes/></D:prop></D:propfind>";
        let listed = multistatus(&drive.send(request.header("Depth", depth).body(body)).expect(207)).remove(0);
        ["quota-used-bytes", "quota-available-bytes"]
            .map(|name| listed.text(name).map(|n| n.parse::<u64>().expect("a number")))
    };
    for depth in ["0", "1"] {
        let told = ask(Request::new("PROPFIND", "/").bearer(TOKEN), depth);
        assert!(told.iter().all(|bytes| bytes.is_some_and(|bytes| bytes > 0)), "{told:?}");
    }
    let others = ask(Request::new("PROPFIND", "/").basic("somebody", "else"), "0");
    assert_eq!(others, [None, None], "nobody else");
}

#[test]
fn the_command_line_shows_and_sets_a_cells_limit() {
    use crate::harness::run;
    let drive = drive();
    drive.put("b/a", [0; 600]).expect(201);
    let root = drive.server.root().to_str().expect("a path").to_owned();
    let quota = |more: &[&str]| {
        let output = run(&[&["cell", "quota", "--root", &root, "c"], more].concat(), &[]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    assert_eq!(quota(&[]), "c: 600 bytes used, no limit of its own\n");
    assert_eq!(quota(&["1KiB"]), "c: 600 bytes used, of 1024 bytes\n");
    // The running server holds what comes in against it.
    assert_full(&drive.put("b/b", [0; 425]));
    drive.put("b/b", [0; 424]).expect(201);
    assert_eq!(quota(&["none"]), "c: 1024 bytes used, no limit of its own\n");
    let json: serde_json::Value = serde_json::from_str(&quota(&["5000", "--json"])).expect("JSON");
    assert_eq!(json, serde_json::json!({ "message_type": "quota", "cell": "c", "used": 1024, "quota": 5000 }));
    for (arguments, text) in
        [(["nobody", "5"], "there is no cell `nobody`"), (["c", "much"], "such as 10485760 or 10MiB")]
    {
        let output = run(&[&["cell", "quota", "--root", &root][..], &arguments].concat(), &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(text), "{output:?}");
    }
}

#[test]
fn a_bar_that_does_not_fit_is_507_and_makes_no_box() {
    let drive = drive();
    let bar = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/bars/hello.bar")).expect("the sample");
    let install = || drive.send(on("MKCOL", "new").header("Content-Type", "application/zip").body(bar.clone()));
    set(&drive, "{\"Quota\":1}").expect(204);
    assert_full(&install());
    drive.get("new").expect(404);
    set(&drive, "{\"Quota\":1000000}").expect(204);
    install().expect(202);
}

#[test]
fn a_cell_that_cannot_be_renamed_keeps_its_limit() {
    let drive = drive();
    drive.server.admin("MKCOL", "/taken").expect(201);
    set(&drive, "{\"Name\":\"taken\",\"Quota\":5}").expect(409);
    drive.put("b/a", [0; 600]).expect(201);
    set(&drive, "{\"Name\":\"d\",\"Quota\":600}").expect(204);
    let entity = drive.server.admin("GET", "/__ctl/Cell('d')").expect(200).json()["d"]["results"].clone();
    assert_eq!((&entity["Quota"], &entity["Name"]), (&600.into(), &"d".into()));
}
