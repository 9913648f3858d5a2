//! What control objects need of OData: keys in URLs, query options, JSON bodies and the JSON envelope of answers.

mod body;
mod entity;
mod key;
mod query;

pub(super) use body::{Fields, field_problem, link_uri};
pub(super) use entity::{Entity, Named, created, found, listed, updated, uris, write_allowed};
pub(super) use key::{Key, Literal, Step, quoted, steps};
pub(super) use query::Options;
