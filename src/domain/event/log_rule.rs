//! Rules, which events they match, and what becomes of those: a line in the log, a way to another cell, or the word that nothing can
//! become of them here.

use super::line::expanded;
use super::{Event, LOCAL_CELL, Level};
use crate::domain::rule::RuleFields;

const LOCAL_BOX: &str = "personium-localbox:/";

/// What becomes of an event that a rule matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    Line(Level),
    /// The event is told to another cell of the unit, if the URL is that of one.
    Relay {
        target: String,
        /// The URL of the rule.
        rule: String,
    },
    /// The rule asks for an action that this server does not have: services and relays to elsewhere.
    Unsupported {
        action: String,
        /// The URL of the rule.
        rule: String,
    },
}

/// A rule. What it does not say matches everything.
#[derive(Debug, Clone)]
pub(super) struct LogRule {
    pub(super) effect: Effect,
    external: bool,
    subject: Option<String>,
    event_type: Option<String>,
    /// The beginning of the object; what was relative to the box is relative to the cell.
    object: Option<String>,
    info: Option<String>,
    bound: Option<Bound>,
}

/// The box that a rule belongs to.
#[derive(Debug, Clone)]
struct Bound {
    schema: Option<String>,
}

impl LogRule {
    /// The rule of this name with these fields, if it has an action. `bound` is the name and the schema of the box that it belongs to.
    pub(super) fn of(name: &str, fields: RuleFields, bound: Option<(String, Option<String>)>) -> Option<Self> {
        let effect = match fields.action.as_deref()? {
            "log" | "log.info" => Effect::Line(Level::Info),
            "log.warn" => Effect::Line(Level::Warn),
            "log.error" => Effect::Line(Level::Error),
            action => {
                let of_box = bound.as_ref().map_or_else(|| "null".to_owned(), |(name, _)| format!("'{name}'"));
                let rule = format!("{LOCAL_CELL}__ctl/Rule(Name='{name}',_Box.Name={of_box})");
                match (action, fields.target_url) {
                    ("relay.event", Some(target)) => Effect::Relay { target, rule },
                    _ => Effect::Unsupported { action: action.to_owned(), rule },
                }
            }
        };
        let given = |text: Option<String>| text.filter(|t| !t.is_empty());
        let object = given(fields.event_object).map(|object| match (&bound, object.strip_prefix(LOCAL_BOX)) {
            (Some((name, _)), Some(rest)) => format!("{LOCAL_CELL}{name}/{rest}"),
            _ => object,
        });
        Some(Self {
            effect,
            external: fields.event_external,
            subject: given(fields.event_subject),
            event_type: given(fields.event_type),
            object,
            info: given(fields.event_info),
            bound: bound.map(|(_, schema)| Bound { schema }),
        })
    }

    /// Whether it logs.
    pub(super) fn logs(&self) -> bool {
        matches!(self.effect, Effect::Line(_))
    }

    /// Whether it is about what the server does itself.
    pub(super) fn is_internal(&self) -> bool {
        !self.external
    }

    /// Types match by their beginning, or by their end where the rule's begins with a dot; objects and texts by their
    /// beginning; subjects as they are.
    pub(super) fn matches(&self, event: &Event, cell_url: &str) -> bool {
        let begins = |text: &Option<String>, with: &Option<String>| {
            with.as_deref().is_none_or(|with| text.as_deref().is_some_and(|text| text.starts_with(with)))
        };
        let of_type = self.event_type.as_deref().is_none_or(|wanted| {
            event.event_type.starts_with(wanted) || wanted.starts_with('.') && event.event_type.ends_with(wanted)
        });
        let by = self.subject.as_deref().is_none_or(|wanted| {
            event.subject.as_deref().is_some_and(|s| s == wanted || s == expanded(wanted, cell_url))
        });
        let about = self.object.as_deref().is_none_or(|wanted| {
            let wanted = expanded(wanted, cell_url);
            event.object.as_deref().is_some_and(|object| expanded(object, cell_url).starts_with(&wanted))
        });
        event.external == self.external
            && of_type
            && by
            && about
            && begins(&event.info, &self.info)
            && self.bound.as_ref().is_none_or(|bound| bound.schema == event.schema)
    }
}
