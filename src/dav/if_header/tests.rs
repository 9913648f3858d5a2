//! The grammar by the examples of the RFC, by what is none of it, and by writing and reading again.

use proptest::prelude::*;

use super::*;

fn token(text: &str) -> State {
    State::Token(text.to_owned())
}

fn etag(text: &str) -> State {
    State::ETag(text.to_owned())
}

/// A list as plain data.
type Plain = (Option<String>, Vec<(bool, State)>);

fn parsed(text: &str) -> Vec<Plain> {
    let header = IfHeader::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    header.lists.into_iter().map(|l| (l.tag, l.conditions.into_iter().map(|c| (c.not, c.state)).collect())).collect()
}

#[test]
fn the_examples_of_the_rfc() {
    let urn = "urn:uuid:181d4fae-7d8c-11d0-a765-00a0c91e6bf2";
    assert_eq!(
        parsed(&format!("(<{urn}>\r\n ['I am an ETag']) (['I am another ETag'])").replace('\'', "\"")),
        [
            (None, vec![(false, token(urn)), (false, etag("\"I am an ETag\""))]),
            (None, vec![(false, etag("\"I am another ETag\""))]),
        ]
    );
    assert_eq!(
        parsed(&format!("(Not <{urn}> <urn:uuid:58f202ac-22cf-11d1-b12d-002035b29092>)")),
        [(None, vec![(true, token(urn)), (false, token("urn:uuid:58f202ac-22cf-11d1-b12d-002035b29092"))])]
    );
    assert_eq!(
        parsed(&format!("(<{urn}>) (Not <DAV:no-lock>)")),
        [(None, vec![(false, token(urn))]), (None, vec![(true, token("DAV:no-lock"))])]
    );
    let tag = || Some("/resource1".to_owned());
    assert_eq!(
        parsed(&format!("</resource1> (<{urn}> [W/\"A weak ETag\"]) ([\"strong ETag\"])")),
        [
            (tag(), vec![(false, token(urn)), (false, etag("W/\"A weak ETag\""))]),
            (tag(), vec![(false, etag("\"strong ETag\""))]),
        ]
    );
    assert_eq!(
        parsed("<http://www.example.com/specs/> (<urn:a:b>) <http://x/y> (not[\"4217\"])"),
        [
            (Some("http://www.example.com/specs/".to_owned()), vec![(false, token("urn:a:b"))]),
            (Some("http://x/y".to_owned()), vec![(true, etag("\"4217\""))]),
        ]
    );
}

#[test]
fn what_is_no_header_is_refused() {
    for text in [
        "",
        " ",
        "()",
        "(<>)",
        "(<a:b>",
        "<a:b>",
        "(<a:b>) <x:y>",
        "<x> <y> (<a:b>)",
        "(Not)",
        "(Not Not <a:b>)",
        "(a:b)",
        "([])",
        "([\"x])",
        "([\"x\"y])",
        "(<a b>)",
        "(<a:b>),(<c:d>)",
        "x (<a:b>)",
        "(<a:b>) x",
        "((<a:b>))",
        "(<a:b>))",
    ] {
        assert!(IfHeader::parse(text).is_err(), "{text}");
    }
}

#[test]
fn brackets_and_parentheses_in_tags_are_just_characters() {
    assert_eq!(parsed("([\"a]b)<c>\"])"), [(None, vec![(false, etag("\"a]b)<c>\""))])]);
    assert_eq!(parsed("(<urn:x(y)[z]>)"), [(None, vec![(false, token("urn:x(y)[z]"))])]);
}

#[test]
fn every_token_counts_as_submitted() {
    let header = IfHeader::parse("(<a:1> [\"x\"]) (Not <a:2>) <http://h/> (<a:3>)").expect("a header");
    assert_eq!(header.tokens().collect::<Vec<_>>(), ["a:1", "a:2", "a:3"]);
}

#[test]
fn a_list_holds_as_a_whole() {
    let list = |text: &str| IfHeader::parse(text).expect("a header").lists.remove(0);
    let has = |state: &State| *state == token("a:1") || *state == etag("\"e\"");
    assert!(list("(<a:1> [\"e\"])").holds(has));
    assert!(list("(<a:1> Not <a:2>)").holds(has));
    assert!(!list("(<a:1> [\"f\"])").holds(has));
    assert!(!list("(Not <a:1>)").holds(has));
}

fn states() -> impl Strategy<Value = State> {
    prop_oneof!["[a-z]{1,5}:[!-;=?-~]{1,20}".prop_map(State::Token), "(W/)?\"[ !#-~äé]{0,12}\"".prop_map(State::ETag),]
}

fn lists() -> impl Strategy<Value = (Option<String>, Vec<Condition>)> {
    let condition = (any::<bool>(), states()).prop_map(|(not, state)| Condition { not, state });
    (proptest::option::of("(http://h)?/[!-;=?-~]{0,20}"), proptest::collection::vec(condition, 1..4))
}

proptest! {
    #[test]
    fn what_is_written_is_read(lists in proptest::collection::vec(lists(), 1..5)) {
        // A tag holds until the next one.
        let mut tag = None;
        let lists = lists.into_iter().map(|(new, conditions)| {
            tag = new.or_else(|| tag.take());
            List { tag: tag.clone(), conditions }
        });
        let header = IfHeader { lists: lists.collect() };
        prop_assert_eq!(IfHeader::parse(&header.to_string()), Ok(header));
    }

    #[test]
    fn nothing_makes_the_reader_fail(text in "[<>\\[\\]()\"Not W/a:é ]{0,40}") {
        let _ = IfHeader::parse(&text);
    }
}
