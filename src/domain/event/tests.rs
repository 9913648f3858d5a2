use std::io::Read;

use super::*;
use crate::storage::cell::Limits;
use crate::storage::log::{CURRENT, LogFolder};
use crate::storage::operation::boxes::CreateBox;
use crate::storage::unit::{Role, Unit};
use crate::storage::writer::{Change, Context};

const CELL: &str = "https://c.example/";

fn rule(action: &str) -> RuleFields {
    RuleFields { action: Some(action.to_owned()), ..RuleFields::default() }
}

fn event(event_type: &str) -> Event {
    Event {
        event_type: event_type.to_owned(),
        object: Some("personium-localcell:/b/x".to_owned()),
        info: Some("202".to_owned()),
        ..Event::default()
    }
}

fn matches(rule: RuleFields, event: &Event) -> bool {
    LogRule::of("n", rule, None).expect("a rule that logs").matches(event, CELL)
}

#[test]
fn a_line_has_nine_fields() {
    let mut out = String::new();
    line::write(&mut out, 1_714_558_830_400, Level::Info, "k1", &event("boxinstall"), CELL);
    let odd = Event {
        external: true,
        schema: Some("urn:s".to_owned()),
        subject: Some("say \"hi\"\nand go".to_owned()),
        object: None,
        ..event("t")
    };
    line::write(&mut out, 1_714_558_830_000, Level::Error, "k2", &odd, CELL);
    let expected = concat!(
        "2024-05-01T10:20:30.400Z,[INFO ],\"k1\",\"false\",null,null,\"boxinstall\",\"https://c.example/b/x\",\"202\"\n",
        "2024-05-01T10:20:30Z,[ERROR],\"k2\",\"true\",\"urn:s\",\"say \"\"hi\"\" and go\",\"t\",null,\"202\"\n",
    );
    assert_eq!(out, expected);
}

#[test]
fn rules_match_by_what_they_say() {
    let text = |t: &str| Some(t.to_owned());
    let e = event("cellctl.Role.create");
    assert!(matches(rule("log"), &e));
    assert!(!matches(rule("log"), &Event { external: true, ..e.clone() }));
    assert!(!LogRule::of("n", rule("exec"), None).expect("a rule").logs());
    for (wanted, expected) in [("cellctl.", true), (".create", true), ("create", false), (".delete", false), ("", true)]
    {
        assert_eq!(matches(RuleFields { event_type: text(wanted), ..rule("log") }, &e), expected, "{wanted}");
    }
    for (wanted, expected) in [
        ("personium-localcell:/b", true),
        ("https://c.example/b/", true),
        ("personium-localcell:/c", false),
        ("b/x", false),
    ] {
        assert_eq!(matches(RuleFields { event_object: text(wanted), ..rule("log") }, &e), expected, "{wanted}");
    }
    assert!(matches(RuleFields { event_info: text("20"), ..rule("log") }, &e));
    assert!(!matches(RuleFields { event_info: text("4"), ..rule("log") }, &e));
    let me = Event { subject: text("https://c.example/#me"), ..e.clone() };
    assert!(matches(RuleFields { event_subject: text("personium-localcell:/#me"), ..rule("log") }, &me));
    assert!(!matches(RuleFields { event_subject: text("https://c.example/"), ..rule("log") }, &me));
    assert!(!matches(RuleFields { event_subject: text("https://c.example/#me"), ..rule("log") }, &e));
}

#[test]
fn a_rule_of_a_box_sees_what_its_app_does() {
    let bound = |schema: &str, object: Option<&str>| {
        let fields = RuleFields { event_object: object.map(str::to_owned), ..rule("log.warn") };
        LogRule::of("n", fields, Some(("b".to_owned(), Some(schema.to_owned())))).expect("a rule that logs")
    };
    let e = Event { schema: Some("urn:app".to_owned()), ..event("t") };
    assert!(bound("urn:app", Some("personium-localbox:/x")).matches(&e, CELL));
    assert!(!bound("urn:app", Some("personium-localbox:/y")).matches(&e, CELL));
    assert!(!bound("urn:other", None).matches(&e, CELL));
    assert!(!bound("urn:app", None).matches(&event("t"), CELL));
}

struct World {
    unit: Unit,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let unit = Unit::open(&dir.path().join("unit"), Role::Server, Limits::default()).expect("a unit");
        unit.create_cell("c").expect("a cell");
        Self { unit, _dir: dir }
    }

    fn cell(&self) -> Arc<Cell> {
        self.unit.cell("c").expect("the cell")
    }

    fn add(&self, name: &'static str, owner: i64, fields: &RuleFields) {
        let json = fields.to_json();
        let add = move |ctx: &Context<'_>| ctx.tx.insert_object(ObjectKind::Rule, name, owner, &json).map(drop);
        self.cell().change(Change(add)).expect("a rule");
    }

    /// Level and type of each line.
    fn lines(&self) -> Vec<(String, String)> {
        let mut text = String::new();
        let Some((_, mut file)) = self.cell().open_log(LogFolder::Current, CURRENT).expect("looked for") else {
            return Vec::new();
        };
        file.read_to_string(&mut text).expect("readable");
        let field = |line: &str, n: usize| line.split(',').nth(n).unwrap_or_default().trim_matches('"').to_owned();
        text.lines().map(|line| (field(line, 1), field(line, 6))).collect()
    }
}

#[test]
fn rules_alone_decide_as_soon_as_one_logs() {
    let w = World::new();
    let log = EventLog::new(true);
    assert!(log.installs_everything(&w.cell()).expect("asked"));
    assert!(!EventLog::new(false).installs_everything(&w.cell()).expect("asked"));
    log.publish(&w.cell(), "k", &[event("a"), event("b")], CELL, true);
    log.publish(&w.cell(), "k", &[event("unheard")], CELL, false);
    w.add("relays", 0, &RuleFields { target_url: Some("https://e.example/".to_owned()), ..rule("relay") });
    assert!(log.installs_everything(&w.cell()).expect("asked"));
    w.add("logs", 0, &RuleFields { event_type: Some("b".to_owned()), ..rule("log.warn") });
    assert!(!log.installs_everything(&w.cell()).expect("asked"));
    log.publish(&w.cell(), "k", &[event("a"), event("b")], CELL, false);
    // What cannot be relayed is told of, and is no reason to log the rest.
    let lost = ("[WARN ]", "rule.unsupported");
    let expected = [("[INFO ]", "a"), ("[INFO ]", "b"), lost, lost, ("[WARN ]", "b")];
    assert_eq!(w.lines(), expected.map(|(level, kind)| (level.to_owned(), kind.to_owned())));
}

#[test]
fn rules_know_the_schema_of_their_box() {
    let w = World::new();
    let log = EventLog::new(true);
    let create = CreateBox { name: "b".to_owned(), schema: Some("urn:app".to_owned()) };
    let cell_box = w.cell().change(create).expect("a box");
    w.add("logs", cell_box.id, &rule("log"));
    let of_app = Event { schema: Some("urn:app".to_owned()), ..event("seen") };
    log.publish(&w.cell(), "k", &[event("unseen"), of_app], CELL, false);
    assert_eq!(w.lines(), [("[INFO ]".to_owned(), "seen".to_owned())]);
}
