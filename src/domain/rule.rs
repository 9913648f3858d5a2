//! Rules of the event processor: their fields and what the fields must be.
//!
//! A rule that belongs to a box reacts to events inside the cell only at places that it names relative to box or cell, and
//! runs services of its own box only.

use serde::{Deserialize, Serialize};

use super::names::{FieldError, URL_CHARS, is_event_type};
use crate::base::uri::{Uri, is_clean};

/// Every value that `Action` can have.
pub const ACTIONS: &[&str] =
    &["exec", "relay", "relay.data", "relay.event", "log", "log.info", "log.warn", "log.error"];

const LOCAL_BOX: &str = "personium-localbox:/";
const LOCAL_CELL: &str = "personium-localcell:/";

/// The fields of a rule as a client wrote them. As JSON, they are what the store keeps.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RuleFields {
    /// Whether the rule is about events from outside the server's own processing; false where it is not said.
    pub event_external: bool,
    pub event_subject: Option<String>,
    /// The beginning of the types that match.
    pub event_type: Option<String>,
    /// The beginning of the objects that match.
    pub event_object: Option<String>,
    pub event_info: Option<String>,
    /// Required; one of [`ACTIONS`].
    pub action: Option<String>,
    /// Where `exec` and `relay` go.
    pub target_url: Option<String>,
}

/// A name for a rule that its maker gave none: 32 hexadecimal digits.
pub fn generated_name() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

impl RuleFields {
    /// Reads what [`Self::to_json`] wrote; unreadable fields are as good as none.
    pub fn from_json(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("invariant: these fields have texts as keys")
    }

    /// Checks all fields; the first one that fails is reported.
    pub fn validate(&self, bound_to_box: bool) -> Result<(), FieldError> {
        self.check_event(bound_to_box)?;
        let action = self.action.as_deref().filter(|a| !a.is_empty()).ok_or(FieldError::required("Action"))?;
        if !ACTIONS.contains(&action) {
            return Err(FieldError::format("Action"));
        }
        if action.starts_with("log") {
            return Ok(());
        }
        let target = self.target_url.as_deref().filter(|t| !t.is_empty()).ok_or(FieldError::required("TargetUrl"))?;
        let accepted = match (action, bound_to_box) {
            ("exec", true) => target.starts_with(LOCAL_BOX),
            ("exec", false) => target.starts_with(LOCAL_CELL),
            _ => is_target(target),
        };
        if accepted && is_url_text(target) { Ok(()) } else { Err(FieldError::format("TargetUrl")) }
    }

    fn check_event(&self, bound_to_box: bool) -> Result<(), FieldError> {
        let wrong = |value: &Option<String>, rule: &dyn Fn(&str) -> bool| {
            value.as_deref().is_some_and(|v| !v.is_empty() && !rule(v))
        };
        if wrong(&self.event_subject, &|subject| is_target(subject) && is_url_text(subject)) {
            return Err(FieldError::format("EventSubject"));
        }
        if wrong(&self.event_type, &is_event_type) {
            return Err(FieldError::format("EventType"));
        }
        if wrong(&self.event_object, &|object| self.is_object(object, bound_to_box)) {
            return Err(FieldError::format("EventObject"));
        }
        Ok(())
    }

    fn is_object(&self, object: &str, bound_to_box: bool) -> bool {
        if self.event_external {
            return true;
        }
        if bound_to_box {
            return object.starts_with(LOCAL_BOX) || object.starts_with("personium-localcell:/__");
        }
        object.starts_with(LOCAL_CELL) || is_target(object)
    }
}

fn is_target(url: &str) -> bool {
    let schemes = ["http", "https", "personium-localunit", "personium-localcell", "personium-localbox"];
    Uri::split(url).scheme.is_some_and(|s| schemes.iter().any(|known| s.eq_ignore_ascii_case(known)))
}

fn is_url_text(url: &str) -> bool {
    is_clean(url) && url.chars().count() <= URL_CHARS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(action: &str, object: &str, target: &str) -> RuleFields {
        let text = |t: &str| Some(t.to_owned()).filter(|t| !t.is_empty());
        RuleFields { action: text(action), event_object: text(object), target_url: text(target), ..Default::default() }
    }

    #[test]
    fn the_stored_form_has_the_names_of_the_wire() {
        let stored = rule("exec", "personium-localbox:/o", "personium-localbox:/svc/x").to_json();
        let json: serde_json::Value = serde_json::from_str(&stored).expect("JSON");
        assert_eq!(json["EventExternal"], false);
        assert_eq!((&json["EventObject"], &json["EventInfo"]), (&"personium-localbox:/o".into(), &().into()));
        assert_eq!((&json["Action"], &json["TargetUrl"]), (&"exec".into(), &"personium-localbox:/svc/x".into()));
        assert_eq!(RuleFields::from_json(&stored).to_json(), stored);
        assert_eq!(RuleFields::from_json(""), RuleFields::default());
        assert!(super::super::names::is_rule_name(&generated_name()));
    }

    #[test]
    fn rules_of_a_box() {
        let format = |field| Err(FieldError::format(field));
        for (action, object, target, expected) in [
            ("log", "", "", Ok(())),
            ("log.error", "personium-localcell:/__ctl/", "", Ok(())),
            ("exec", "personium-localbox:/o", "personium-localbox:/svc/x", Ok(())),
            ("relay", "", "https://e.example/x", Ok(())),
            ("relay.data", "", "personium-localunit:c:/x", Ok(())),
            ("", "", "", Err(FieldError::required("Action"))),
            ("explode", "", "", format("Action")),
            ("exec", "", "", Err(FieldError::required("TargetUrl"))),
            ("relay.event", "", "", Err(FieldError::required("TargetUrl"))),
            ("exec", "", "https://e.example/x", format("TargetUrl")),
            ("exec", "", "personium-localcell:/b/x", format("TargetUrl")),
            ("relay", "", "word", format("TargetUrl")),
            ("log", "https://e.example/x", "", format("EventObject")),
            ("log", "personium-localcell:/b/", "", format("EventObject")),
        ] {
            assert_eq!(rule(action, object, target).validate(true), expected, "{action} {object} {target}");
        }
    }

    #[test]
    fn a_subject_is_a_url() {
        let about = |subject: &str| RuleFields { event_subject: Some(subject.to_owned()), ..rule("log", "", "") };
        for subject in ["https://e.example/c/#user", "personium-localunit:c:/#user", ""] {
            assert_eq!(about(subject).validate(false), Ok(()), "{subject}");
        }
        for subject in ["word", "user@e.example", "https://e.example/a b", "/c/#user"] {
            assert_eq!(about(subject).validate(false), Err(FieldError::format("EventSubject")), "{subject}");
        }
    }

    #[test]
    fn rules_of_a_cell() {
        assert_eq!(rule("exec", "", "personium-localcell:/b/svc/x").validate(false), Ok(()));
        assert_eq!(rule("exec", "", "personium-localbox:/x").validate(false), Err(FieldError::format("TargetUrl")));
        assert_eq!(rule("log", "https://e.example/x", "").validate(false), Ok(()));
        assert_eq!(rule("log", "word", "").validate(false), Err(FieldError::format("EventObject")));
    }

    #[test]
    fn external_events_name_any_object() {
        let mut rule = rule("log", "anything", "");
        rule.event_external = true;
        assert_eq!(rule.validate(true), Ok(()));
        rule.event_type = Some("a b".to_owned());
        assert_eq!(rule.validate(true), Err(FieldError::format("EventType")));
    }
}
