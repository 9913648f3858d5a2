//! The response of a resource without anything of its own: no dead properties, no list, no lock.
//!
//! Those of the members of a collection differ in a few values alone, so one is written in the usual way with marks in their
//! places, and the others are put together from its pieces.

use crate::domain::properties::Live;

/// Where a value goes. No XML can hold it.
pub(super) const MARK: char = '\0';

/// What is the same in many responses.
#[derive(Debug)]
pub(super) struct Template {
    /// What comes before the URL.
    begin: String,
    /// A text, and the property whose value follows; none at the end.
    parts: Vec<(String, Option<Live>)>,
}

impl Template {
    /// Takes a response to pieces: the first mark in it is the URL, the others these properties.
    pub(super) fn of(response: &str, marked: &[Live]) -> Self {
        let mut pieces = response.split(MARK).map(str::to_owned);
        let begin = pieces.next().unwrap_or_default();
        let values = marked.iter().copied().map(Some).chain([None]);
        Self { begin, parts: pieces.zip(values).collect() }
    }

    pub(super) fn begin(&self) -> &str {
        &self.begin
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = (&str, Option<Live>)> {
        self.parts.iter().map(|(text, live)| (text.as_str(), *live))
    }
}
