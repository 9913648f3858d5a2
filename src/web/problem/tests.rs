//! The table itself, and the two forms of an error's body.

use std::collections::HashSet;

use super::*;

fn body(problem: Problem, accept: Option<&'static str>) -> (String, String) {
    let mut request = HeaderMap::new();
    if let Some(accept) = accept {
        request.insert(ACCEPT, HeaderValue::from_static(accept));
    }
    let response = problem.respond(&request);
    let mime = response.headers()[CONTENT_TYPE].to_str().expect("a type").to_owned();
    let Body::Text(text) = response.into_body() else { panic!("a text") };
    (mime, String::from_utf8(text.to_vec()).expect("UTF-8"))
}

#[test]
fn the_status_of_every_code_is_its_digits() {
    let mut seen = HashSet::new();
    for code in Code::ALL {
        let text = code.as_str();
        assert_eq!((text.len(), &text[..2], &text[5..6], &text[8..9]), (13, "PR", "-", "-"), "{text}");
        assert_eq!(code.status().as_str(), &text[2..5]);
        assert!(code.status().is_client_error() || code.status().is_server_error(), "{text}");
        assert!(seen.insert(text), "{text} twice");
        assert!(!code.template().is_empty());
    }
}

#[test]
fn messages_take_their_parameters() {
    let problem = Problem::new(Code::HeaderValue).with("Overwrite").with("{0}");
    assert_eq!(problem.message(), "Request header Overwrite value is invalid [{0}].");
    assert_eq!(
        Problem::new(Code::CellBusy).with("cell export").to_string(),
        "PR409-CM-0002 Because [cell export] is being executed, writing to cell can not be done."
    );
    assert_eq!(Problem::new(Code::Locked).message(), "Locked.");
    assert_eq!(Problem::new(Code::ResourceNotFound).message(), "Resource not found. [].");
}

#[test]
fn an_error_is_json() {
    let (mime, text) = body(Problem::new(Code::ResourceName).with("a\u{1}\"b"), None);
    assert_eq!(mime, "application/json");
    assert_eq!(
        text,
        r#"{"code":"PR403-DV-0004","message":{"lang":"en","value":"Resource name is invalid [a\u0001\"b]."}}"#
    );
}

#[test]
fn a_violated_condition_is_xml_unless_json_is_asked_for() {
    let locked = || Problem::new(Code::Locked).violating("lock-token-submitted", vec!["/c/b/<a>&\u{7}".to_owned()]);
    let (mime, text) = body(locked(), Some("*/*"));
    assert_eq!(mime, "application/xml; charset=utf-8");
    assert!(
        text.contains("<D:lock-token-submitted><D:href>/c/b/&lt;a&gt;&amp;\\u0007</D:href></D:lock-token-submitted>"),
        "{text}"
    );
    assert!(text.contains("<p:code>PR423-DV-0001</p:code><p:message>Locked.</p:message>"), "{text}");
    let (mime, text) = body(locked(), Some("text/html, application/json;q=0.9"));
    assert_eq!((mime.as_str(), text.starts_with('{')), ("application/json", true));
}

#[test]
fn an_internal_failure_says_nothing_but_a_number() {
    let problem = Problem::internal("cannot read /secret/path");
    assert_eq!(problem.cause(), Some("cannot read /secret/path"));
    let (_, text) = body(problem, None);
    assert!(
        text.starts_with(r#"{"code":"PR500-SV-9999","message":{"lang":"en_US","value":"Unknown Exception ["#),
        "{text}"
    );
    assert!(!text.contains("secret"));
}

#[test]
fn headers_come_along() {
    let problem =
        Problem::new(Code::CellBusy).header(http::header::RETRY_AFTER, "1").header(http::header::ALLOW, "a\nb");
    let response = problem.respond(&HeaderMap::new());
    assert_eq!(response.headers()[http::header::RETRY_AFTER], "1");
    assert!(!response.headers().contains_key(http::header::ALLOW));
}

#[test]
fn numbers_are_grouped_where_asked() {
    assert_eq!([0, 999, 1024, 104_857_600].map(grouped), ["0", "999", "1,024", "104,857,600"]);
}

#[test]
fn texts_of_snapshots_are_those_of_the_table() {
    use crate::snapshot::failure::Failure;
    for (failure, params) in [
        (Failure::NotZip, vec![]),
        (Failure::Missing("x".to_owned()), vec!["x"]),
        (Failure::Version("3".to_owned()), vec!["2", "3"]),
        (Failure::Damaged("x".to_owned()), vec!["x"]),
        (Failure::Json("x".to_owned()), vec!["x"]),
        (Failure::Unsupported("x".to_owned()), vec!["x"]),
        (Failure::TooMany, vec![]),
        (Failure::Full, vec![]),
        (Failure::Accessed, vec![]),
        (Failure::Unknown, vec![]),
    ] {
        let code = Code::of(failure.code()).expect("a code of the table");
        let params: Vec<String> = params.into_iter().map(str::to_owned).collect();
        assert_eq!(failure.to_string(), code.message(&params));
    }
}
