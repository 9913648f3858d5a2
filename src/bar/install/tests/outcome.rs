//! What an installation leaves: files, rows, lines of the log.

use super::*;
use crate::base::queue::Job as _;
use crate::storage::database::acl::Ace;

const SCHEMA: &str = "https://app.example/";
const BASE: &str = "xml:base=\"https://elsewhere.example/x/__role/__/\"";

fn ace(principal: &str, privilege: &str) -> String {
    format!("<ace><principal>{principal}</principal><grant><privilege><{privilege}/></privilege></grant></ace>")
}

/// A bar with something of everything.
fn full() -> Bar {
    let acl = format!("<acl {BASE}>{}{}</acl>", ace("<href>role1</href>", "read"), ace("<all/>", "read-properties"));
    Bar::v2(Some(SCHEMA))
        .meta("10_relations.json", r#"{"Relations":[{"Name":"rel"}]}"#)
        .meta("20_roles.json", r#"{"Roles":[{"Name":"role1"},{"Name":"role2"}]}"#)
        .meta("30_extroles.json", r#"{"ExtRoles":[{"ExtRole":"https://e.example/__role/__/r","_Relation.Name":"rel"}]}"#)
        .meta("50_rules.json", r#"{"Rules":[{"Action":"log","EventType":"PL-BI-"}]}"#)
        .meta(
            "70_$links.json",
            r#"{"Links":[{"FromType":"Relation","FromName":{"Name":"rel"},"ToType":"Role","ToName":{"Name":"role1"}}]}"#,
        )
        .declare_box(&format!("<Z:author xmlns:Z=\"urn:z\">me</Z:author>{acl}"))
        .folder("d")
        .file("d/a.txt", b"a")
        .file("d/empty", b"")
        .file("d/large.bin", &vec![7; 3 << 20])
        .declare("d/not-there", "", "")
        .declare("e\u{301}", "", "<getcontenttype>text/plan; x=y</getcontenttype><Z:p xmlns:Z=\"urn:z\">1</Z:p>")
        .content("e\u{301}", b"nfd")
        .declare("svc", "<collection/><p:service/>", "")
        .declare("svc/__src", "<collection/>", "")
        .declare("svc/__src/x.js", "", "<getcontenttype>text/javascript</getcontenttype>")
        .content("svc/x.js", b"code")
}

#[test]
fn a_current_bar_becomes_a_box() {
    let w = World::new();
    let status = w.install("b", &full().build());
    let BoxStatus::Ready { installed_at } = status else { panic!("{status:?}") };
    assert!((clock::now_ms() - installed_at) < 60_000);
    let expected = ["d/", "d/a.txt", "d/empty", "d/large.bin", "svc/", "svc/__src/", "svc/__src/x.js", "\u{e9}"];
    assert_eq!(w.tree("b"), expected);
    assert_eq!(w.get("b", "d/a.txt"), (b"a".to_vec(), "text/plain".to_owned()));
    assert_eq!(w.get("b", "d/large.bin").0.len(), 3 << 20);
    assert_eq!(w.get("b", "e\u{301}"), (b"nfd".to_vec(), "text/plan; x=y".to_owned()));
    assert_eq!(w.get("b", "svc/__src/x.js"), (b"code".to_vec(), "text/javascript".to_owned()));
    assert_eq!(std::fs::read(w.on_disk("boxes/b/d/a.txt")).expect("a plain file"), b"a");
    assert_eq!(w.names(ObjectKind::Role, "b"), ["role1", "role2"]);
    assert_eq!(w.names(ObjectKind::Relation, "b"), ["rel"]);
    assert_eq!(w.names(ObjectKind::Rule, "b").len(), 1);
    let cell = w.cell();
    let (cell_box, acl, properties, linked, ext_roles) = cell
        .read(|v| {
            let cell_box = v.cell_box("b")?.expect("the box");
            let role = v.object(ObjectKind::Role, "role1", cell_box.id)?.expect("the role");
            let relation = v.object(ObjectKind::Relation, "rel", cell_box.id)?.expect("the relation");
            let linked = v.linked(ObjectKind::Relation, relation.id, ObjectKind::Role)? == [role.id];
            let ext_roles = v.objects_of(ObjectKind::ExtRole, relation.id)?.len();
            let acl = v.acl(cell_box.id)?;
            assert_eq!(acl.aces[0].role, Some(role.id));
            Ok((cell_box.clone(), acl, v.properties(cell_box.id)?, linked, ext_roles))
        })
        .expect("rows");
    assert_eq!(cell_box.schema.as_deref(), Some(SCHEMA));
    assert!(matches!(acl.aces[..], [Ace { role: Some(_), .. }, Ace { role: None, .. }]));
    assert_eq!(properties.iter().map(|p| p.local.as_str()).collect::<Vec<_>>(), ["author"]);
    assert!(linked);
    assert_eq!(ext_roles, 1);
    let nfc = cell.lookup("b", &at("\u{e9}")).expect("there").nearest().clone();
    assert!(nfc.has_properties() && nfc.mtime_ms > 0 && nfc.stamp > 0);
    assert!(!w.installer().is_busy(cell.number()));
    drop(cell);
    let w = w.reopen();
    assert_eq!(w.tree("b"), expected);
    assert_eq!(w.staged(), Vec::<String>::new());
}

#[test]
fn the_log_tells_every_entry_in_order() {
    let w = World::new();
    let bar = Bar::v2(Some(SCHEMA))
        .meta("10_relations.json", r#"{"Relations":[]}"#)
        .meta("20_roles.json", r#"{"Roles":[{"Name":"r"}]}"#)
        .folder("d")
        .file("d/a", b"a");
    w.install("b", &bar.build());
    let both = |object: &str| {
        [
            format!("PL-BI-1001 | {object} | Installation started."),
            format!("PL-BI-1003 | {object} | Installation completed."),
        ]
    };
    let mut expected = vec![
        "PL-BI-1000 | @b | Bar installation started.".to_owned(),
        "cellctl.Box.create | @__ctl/Box('b') | box install".to_owned(),
        "PL-BI-1001 | 10_relations.json | Installation started.".to_owned(),
        "PL-BI-1001 | 20_roles.json | Installation started.".to_owned(),
        "cellctl.Role.create | @__ctl/Role(Name='r',_Box.Name='b') | box install".to_owned(),
        "PL-BI-1003 | 20_roles.json | Installation completed.".to_owned(),
    ];
    for object in ["00_meta/90_rootprops.xml", "90_contents/", "90_contents/d/", "90_contents/d/a"] {
        expected.extend(both(object));
    }
    expected.push("PL-BI-0000 | @b | Bar installation completed.".to_owned());
    assert_eq!(w.log(), expected);
}

#[test]
fn a_legacy_bar_becomes_a_box_and_logs_its_manifest() {
    let w = World::new();
    let bar = Bar::v1(SCHEMA).meta("20_roles.json", r#"{"Roles":[{"Name":"r"}]}"#).folder("d").file("d/a", b"a");
    assert!(matches!(w.install("b", &bar.build()), BoxStatus::Ready { .. }));
    assert_eq!(w.tree("b"), ["d/", "d/a"]);
    assert_eq!(w.names(ObjectKind::Role, "b"), ["r"]);
    let log = w.log();
    assert_eq!(log[1], "PL-BI-1001 | bar/00_meta/00_manifest.json | Installation started.");
    assert!(log.contains(&"PL-BI-1003 | bar/90_contents/d/a | Installation completed.".to_owned()));
}

#[test]
fn a_legacy_bar_out_of_order_keeps_what_came_first() {
    let w = World::new();
    let bar = Bar::v1(SCHEMA).meta("20_roles.json", r#"{"Roles":[{"Name":"r"}]}"#).meta("10_relations.json", "{}");
    w.install("b", &bar.build());
    assert_eq!(w.failure("b"), "PL-BI-1004 Installation failed(Invalid structure of bar file or empty.).");
    assert_eq!(w.names(ObjectKind::Role, "b"), ["r"]);
    let last = w.log().pop();
    let expected = "PL-BI-0001 | @b | Bar installation failed(Invalid structure of bar file or empty.).";
    assert_eq!(last.as_deref(), Some(expected));
}

#[test]
fn nothing_is_visible_before_the_end() {
    let w = World::new();
    let accepted = w.prepare("b", &full().build()).expect("accepted");
    assert_eq!(accepted.cell_box().name, "b");
    assert!(accepted.logs_everything());
    assert!(matches!(w.status("b"), BoxStatus::InProgress { progress: 0, .. }));
    assert!(matches!(w.cell().lookup("b", &at("")), Err(storage::Error::Busy(_))));
    assert!(std::fs::read_dir(w.on_disk("boxes/b")).expect("there").next().is_none());
    assert!(w.installer().is_busy(w.cell().number()));
    assert!(w.refused("other", &full().build()).starts_with("PR400-BI-0004 "));
    assert!(w.refused("b", &Bar::v2(None).build()).starts_with("PR405-BI-0001 "));
    accepted.run();
    assert!(matches!(w.status("b"), BoxStatus::Ready { .. }));
}

#[test]
fn what_is_no_bar_is_refused_and_leaves_no_box() {
    let w = World::new();
    assert_eq!(w.refused("b", b""), "PR400-BI-0007 Cannot open bar file [archive is not a ZIP archive].");
    let whole = full().build();
    assert!(w.refused("b", &whole[..whole.len() - 30]).starts_with("PR400-BI-0007 "));
    assert!(w.refused("-b", &full().build()).starts_with("PR400-OD-0006 "));
    assert!(w.refused("b", &Bar::v2(Some("word")).build()).starts_with("PR400-OD-0050 "));
    let huge = Bar::v2(None).file("huge", &vec![0; (10 << 20) + 1]).build();
    assert!(w.refused("b", &huge).starts_with("PR400-BI-0003 "));
    assert!(w.cell().read(|v| v.cell_box("b")).expect("read").is_none());
    assert_eq!(w.log(), Vec::<String>::new());
}

#[test]
fn how_it_ended_is_forgotten_after_a_while() {
    let w = World::new();
    w.install("b", &Bar::v2(None).content("undeclared", b"x").build());
    let read = |retention| {
        let cell_box = w.cell().read(|v| v.cell_box("b")).expect("read").expect("the box");
        w.cell().read(|v| status_of(v, &cell_box, retention, clock::now_ms())).expect("a status")
    };
    assert!(matches!(read(RETENTION), BoxStatus::Failed { .. }));
    assert!(matches!(read(0), BoxStatus::Ready { .. }));
}

#[test]
fn progress_never_goes_back() {
    let w = World::new();
    let bar = (0..4000).fold(Bar::v2(None).folder("d"), |bar, n| bar.file(&format!("d/{n}"), b"x"));
    let accepted = w.prepare("b", &bar.build()).expect("accepted");
    w.installer().enqueue(accepted);
    let mut seen = vec![0];
    while let BoxStatus::InProgress { progress, .. } = w.status("b") {
        seen.push(progress);
        std::thread::yield_now();
    }
    assert!(seen.is_sorted(), "{seen:?}");
    assert!(seen.iter().all(|p| (0..=100).contains(p)), "{seen:?}");
    assert_eq!(w.tree("b").len(), 4001);
}

#[test]
fn the_request_is_an_event_too() {
    let event = request_event("b", 202, (None, Some("https://c.example/#me".to_owned())));
    assert_eq!((event.event_type.as_str(), event.info.as_deref()), ("boxinstall", Some("202")));
    assert_eq!(event.object.as_deref(), Some("personium-localcell:/b"));
}

#[test]
fn a_bar_that_does_not_fit_is_refused_before_anything_is_there() {
    let w = World::with(Limits { cell_bytes: 1000, ..Limits::default() });
    let bar = |size: usize| Bar::v2(None).file("a", &vec![7; size]).file("b", &vec![7; 400]).build();
    assert!(matches!(w.prepare("b", &bar(601)), Err(PrepareError::Store(storage::Error::OverQuota))));
    assert!(w.cell().read(|v| v.cell_box("b")).expect("read").is_none());
    assert!(matches!(w.install("b", &bar(600)), BoxStatus::Ready { .. }));
    assert!(matches!(w.prepare("c", &bar(0)), Err(PrepareError::Store(storage::Error::OverQuota))));
    assert!(matches!(w.install("c", &Bar::v2(None).folder("d").build()), BoxStatus::Ready { .. }));
}

#[test]
fn a_cell_that_is_full_by_the_time_fails_the_installation() {
    let w = World::with(Limits { cell_bytes: 1000, ..Limits::default() });
    let accepted = w.prepare("b", &Bar::v2(None).file("a", &[7; 900]).build()).expect("accepted");
    assert!(matches!(w.install("other", &Bar::v2(None).file("a", &[7; 200]).build()), BoxStatus::Ready { .. }));
    accepted.run();
    assert_eq!(w.failure("b"), "PL-BI-1004 Installation failed(Not enough space in the cell.).");
    assert!(w.tree("b").is_empty());
    let log = w.log().join("\n");
    assert!(log.contains("PL-BI-1004") && log.contains("Installation failed(Not enough space in the cell.)."), "{log}");
    let used = |view: &storage::database::View<'_>| -> storage::Result<_> { view.used_bytes() };
    assert_eq!(w.cell().read(used).expect("bytes"), 200);
}
