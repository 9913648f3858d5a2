//! The way of an event to other cells of the unit: who lets it in, what it is there, and where it ends.
//!
//! An event visits no cell twice on one way, makes at most [`HOPS`] steps, and is told to other cells at most [`RELAYS`] times in all.

use std::sync::Arc;

use super::Event;
use super::line::expanded;
use crate::storage::cell::Cell;
use crate::storage::error::Error;

/// The steps of the longest way.
const HOPS: usize = 10;

/// How often one event is told to other cells in all.
const RELAYS: usize = 64;

/// The other cells of the unit.
pub trait Neighbours: std::fmt::Debug + Send + Sync {
    /// Finds the cell of a URL and asks whether it lets the subject of an event, as one who comes from the cell `from`, tell it of events.
    /// Where an event has no subject, the cell itself comes. URLs of cells end with a slash.
    fn admit(&self, from: &Cell, from_url: &str, target: &str, event: &Event) -> Result<Admitted, NotAdmitted>;
}

/// A cell that lets an event in, and its URL.
#[derive(Debug)]
pub struct Admitted {
    pub cell: Arc<Cell>,
    pub url: String,
}

/// Why a cell is not told of an event.
#[derive(Debug, thiserror::Error)]
pub enum NotAdmitted {
    #[error("no cell of this unit")]
    NoNeighbour,
    /// Says who may not.
    #[error("the cell does not let {0} tell it of events")]
    Denied(String),
    #[error("the event has been there before")]
    Circle,
    #[error("the event was passed on too often")]
    TooOften,
    #[error("the cell cannot be told now")]
    Failed(#[source] Error),
}

/// Where an event has been.
#[derive(Debug)]
pub(super) struct Journey {
    /// The numbers of the cells that it left for others.
    passed: Vec<i64>,
    left: usize,
}

impl Journey {
    pub(super) const fn new() -> Self {
        Self { passed: Vec::new(), left: RELAYS }
    }

    /// Goes from a cell to another, if it may.
    pub(super) fn step(&mut self, from: i64, to: i64) -> Result<(), NotAdmitted> {
        if to == from || self.passed.contains(&to) {
            return Err(NotAdmitted::Circle);
        }
        if self.left == 0 || self.passed.len() == HOPS {
            return Err(NotAdmitted::TooOften);
        }
        self.left -= 1;
        self.passed.push(from);
        Ok(())
    }

    /// Goes back to where the last step began.
    pub(super) fn back(&mut self) {
        self.passed.pop();
    }
}

/// An event as another cell is told of it: external, and by its type one that was passed on.
pub(super) fn relayed(event: &Event, from_url: &str) -> Event {
    let event_type = match event.event_type.as_str() {
        passed if passed.starts_with("relay.") => passed.to_owned(),
        told if event.external => format!("relay.ext.{told}"),
        done => format!("relay.{done}"),
    };
    Event {
        external: true,
        event_type,
        object: event.object.as_deref().map(|object| expanded(object, from_url)),
        ..event.clone()
    }
}

/// What the log says where another cell was not told.
pub(super) fn refusal(why: &NotAdmitted, target: &str, rule: &str, event: &Event) -> Event {
    if let NotAdmitted::Failed(e) = why {
        tracing::warn!(error = e as &dyn std::error::Error, rule, target, "an event is not passed on");
    }
    Event {
        event_type: "rule.refused".to_owned(),
        object: Some(rule.to_owned()),
        info: Some(format!("`relay.event` to {target}: {why}; nothing was done for {}", event.event_type)),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journey_ends() {
        let mut journey = Journey::new();
        for cell in 0..10 {
            journey.step(cell, cell + 1).expect("a step");
        }
        assert!(matches!(journey.step(10, 11), Err(NotAdmitted::TooOften)));
        assert!(matches!(journey.step(10, 3), Err(NotAdmitted::Circle)));
        for _ in 0..10 {
            journey.back();
        }
        for cell in 10..RELAYS {
            let to = i64::try_from(cell).expect("small") + 1;
            journey.step(0, to).expect("a step");
            journey.back();
        }
        assert!(matches!(journey.step(0, 1), Err(NotAdmitted::TooOften)));
    }

    #[test]
    fn a_type_says_once_that_it_was_passed_on() {
        let told = |external, kind: &str| {
            relayed(&Event { external, event_type: kind.to_owned(), ..Event::default() }, "https://c.example/")
        };
        for (external, kind, expected) in [
            (false, "davfile.create", "relay.davfile.create"),
            (true, "note", "relay.ext.note"),
            (true, "relay.davfile.create", "relay.davfile.create"),
            (true, "", "relay.ext."),
        ] {
            let event = told(external, kind);
            assert_eq!((event.external, event.event_type.as_str()), (true, expected));
        }
    }
}
