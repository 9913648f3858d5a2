//! Events of a cell and its log: which events are logged, at which level, and how a line looks.
//!
//! A line is written for each rule of the cell that has a `log` action and matches; `relay.event` tells another cell of the unit, whose
//! rules see to the event in turn; a rule that asks for a service or a relay to elsewhere, which this server does not have, makes a line
//! that says so. Where a cell has no rule that logs, the
//! installation of a box can be logged whole nevertheless: who begins one asks [`EventLog::installs_everything`] and hands
//! the answer to [`EventLog::publish`] until the end. Everything here blocks.

mod line;
mod log_rule;
mod relay;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use log_rule::{Effect, LogRule};
use relay::Journey;
pub use relay::{Admitted, Neighbours, NotAdmitted};

use super::rule::RuleFields;
use crate::storage::cell::Cell;
use crate::storage::database::View;
use crate::storage::database::control::ObjectKind;
use crate::storage::error::Result;
use crate::storage::log::ROTATE_BYTES;

/// What URLs inside the cell begin with in the objects of events.
pub const LOCAL_CELL: &str = "personium-localcell:/";

/// Something that happened in a cell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// Whether a client posted it; false for what the server did itself.
    pub external: bool,
    /// The schema of the app that did it.
    pub schema: Option<String>,
    /// The URL of who did it.
    pub subject: Option<String>,
    /// What happened, such as `cellctl.Role.create`.
    pub event_type: String,
    /// What it happened to; [`LOCAL_CELL`] stands for the URL of the cell.
    pub object: Option<String>,
    pub info: Option<String>,
}

/// The severity of a line. It comes from the rule, not from the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Info,
    Warn,
    Error,
}

/// The rules of a cell, as of a change sequence.
#[derive(Debug)]
struct CachedRules {
    incarnation: String,
    control_seq: i64,
    rules: Vec<LogRule>,
}

/// Cells whose rules are kept in memory.
const CACHED_CELLS: usize = 256;

/// Writes the logs of all cells.
#[derive(Debug)]
pub struct EventLog {
    log_installs: bool,
    rotate_bytes: u64,
    neighbours: Option<Arc<dyn Neighbours>>,
    cache: Mutex<HashMap<i64, Arc<CachedRules>>>,
    /// Cells by name in which no rule is about what the server does itself, and until when that counts.
    quiet: Mutex<HashMap<String, Instant>>,
}

/// For how long it counts that a cell has no such rule.
const QUIET: Duration = Duration::from_secs(1);

impl EventLog {
    /// `log_installs` says whether installations are logged in cells without any rule that logs.
    pub fn new(log_installs: bool) -> Self {
        let (cache, quiet) = (Mutex::default(), Mutex::default());
        Self { log_installs, rotate_bytes: ROTATE_BYTES, neighbours: None, cache, quiet }
    }

    /// With other cells that events can be told to; without, none can.
    pub fn among(self, neighbours: Arc<dyn Neighbours>) -> Self {
        Self { neighbours: Some(neighbours), ..self }
    }

    /// Whether a cell had no rule a moment ago that is about what the server does itself. Costs nothing.
    pub fn is_quiet(&self, cell: &str) -> bool {
        let quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        quiet.get(cell).is_some_and(|until| Instant::now() < *until)
    }

    /// Whether a cell has such a rule now.
    pub fn watches(&self, cell: &Cell) -> Result<bool> {
        let watches = self.rules(cell)?.rules.iter().any(LogRule::is_internal);
        if !watches {
            let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
            if quiet.len() >= CACHED_CELLS {
                quiet.clear();
            }
            quiet.insert(cell.name().to_owned(), Instant::now() + QUIET);
        }
        Ok(watches)
    }

    /// Whether an installation that begins now is to be logged whole.
    pub fn installs_everything(&self, cell: &Cell) -> Result<bool> {
        Ok(self.log_installs && !self.rules(cell)?.rules.iter().any(LogRule::logs))
    }

    /// Writes the lines of some events in their order. `cell_url` ends with a slash. With `everything` each event is a line of
    /// level INFO, and no rule is asked. A log that cannot be written is reported to the operator and to nobody else.
    pub fn publish(&self, cell: &Cell, request_key: &str, events: &[Event], cell_url: &str, everything: bool) {
        let written = if everything {
            self.append(cell, &whole(request_key, events, cell_url))
        } else {
            events.iter().try_for_each(|event| {
                let mut journey = Journey::new();
                self.see_to(cell, request_key, event, cell_url, &mut journey)
            })
        };
        if let Err(e) = written {
            tracing::warn!(error = &e as &dyn std::error::Error, cell = cell.name(), "events are not logged");
        }
    }

    fn append(&self, cell: &Cell, lines: &str) -> Result<()> {
        if lines.is_empty() { Ok(()) } else { cell.append_log(lines.as_bytes(), self.rotate_bytes) }
    }

    /// Does what the rules of a cell say about an event that arrives there.
    fn see_to(&self, cell: &Cell, key: &str, event: &Event, cell_url: &str, journey: &mut Journey) -> Result<()> {
        let now = crate::base::clock::now_ms();
        let mut lines = String::new();
        for rule in self.rules(cell)?.rules.iter().filter(|rule| rule.matches(event, cell_url)) {
            let (level, told) = match &rule.effect {
                Effect::Line(level) => (*level, None),
                Effect::Unsupported { action, rule } => (Level::Warn, Some(unsupported(action, rule, event))),
                Effect::Relay { target, rule } => match self.relay(cell, key, event, cell_url, target, journey) {
                    Ok(()) => continue,
                    Err(NotAdmitted::NoNeighbour) => (Level::Warn, Some(unsupported("relay.event", rule, event))),
                    Err(refused) => (Level::Warn, Some(relay::refusal(&refused, target, rule, event))),
                },
            };
            line::write(&mut lines, now, level, key, told.as_ref().unwrap_or(event), cell_url);
        }
        self.append(cell, &lines)
    }

    /// Tells another cell of an event, on behalf of who caused it.
    fn relay(
        &self,
        from: &Cell,
        key: &str,
        event: &Event,
        from_url: &str,
        target: &str,
        journey: &mut Journey,
    ) -> std::result::Result<(), NotAdmitted> {
        let neighbours = self.neighbours.as_ref().ok_or(NotAdmitted::NoNeighbour)?;
        let Admitted { cell, url } = neighbours.admit(from, from_url, target, event)?;
        journey.step(from.number(), cell.number())?;
        let seen_to = self.see_to(&cell, key, &relay::relayed(event, from_url), &url, journey);
        journey.back();
        seen_to.map_err(NotAdmitted::Failed)
    }

    fn rules(&self, cell: &Cell) -> Result<Arc<CachedRules>> {
        let cache = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let known = cache().get(&cell.number()).cloned();
        let fresh = cell.read(|v| {
            let (incarnation, control_seq) =
                (v.meta_text("incarnation")?.unwrap_or_default(), v.meta_number("control_seq")?);
            if let Some(known) = known.filter(|k| k.control_seq == control_seq && k.incarnation == incarnation) {
                return Ok(known);
            }
            Ok(Arc::new(CachedRules { incarnation, control_seq, rules: read_rules(v)? }))
        })?;
        let mut cache = cache();
        if cache.len() >= CACHED_CELLS && !cache.contains_key(&cell.number()) {
            cache.clear();
        }
        cache.insert(cell.number(), fresh.clone());
        if fresh.rules.iter().any(LogRule::is_internal) {
            self.quiet.lock().unwrap_or_else(PoisonError::into_inner).remove(cell.name());
        }
        Ok(fresh)
    }
}

/// A line for each event.
fn whole(key: &str, events: &[Event], cell_url: &str) -> String {
    let now = crate::base::clock::now_ms();
    let mut lines = String::new();
    for event in events {
        line::write(&mut lines, now, Level::Info, key, event, cell_url);
    }
    lines
}

/// What the log says where a rule asks for what cannot be done.
fn unsupported(action: &str, rule: &str, event: &Event) -> Event {
    Event {
        event_type: "rule.unsupported".to_owned(),
        object: Some(rule.to_owned()),
        info: Some(format!("`{action}` is not supported by this server; nothing was done for {}", event.event_type)),
        ..Event::default()
    }
}

fn read_rules(view: &View<'_>) -> Result<Vec<LogRule>> {
    let mut rules = Vec::new();
    for object in view.objects(ObjectKind::Rule)? {
        let bound = if object.owner == 0 { None } else { view.cell_box_by_id(object.owner)? };
        rules.extend(LogRule::of(
            &object.name,
            RuleFields::from_json(&object.fields),
            bound.map(|b| (b.name, b.schema)),
        ));
    }
    Ok(rules)
}

#[cfg(test)]
mod tests;
