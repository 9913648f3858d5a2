//! Bytes and rows: the one way to change a cell, and every reader's way to what was acknowledged.
//!
//! Content lies in plain files below `cells/{cell}/boxes/`, everything else in `cells/{cell}/cell.db`. A change is staged,
//! decided and committed by the cell's one writer, and renamed in commit order (`docs/on-disk.md`). This layer and
//! `base` are the only ones that call the file system.

#![allow(clippy::disallowed_methods, reason = "the layer that owns the file system")]

pub mod adopt;
pub mod area;
pub mod build;
pub mod cell;
pub mod changes;
pub mod check;
pub mod database;
pub mod disk;
pub mod error;
pub mod generation;
pub mod holders;
pub mod known;
pub mod lease;
pub mod log;
pub mod operation;
mod private;
mod reap;
pub mod rebuild;
mod reserve;
pub mod sorted;
pub mod space;
mod sparse;
pub mod spool;
pub mod stage;
pub mod tree;
pub mod unit;
pub mod writer;

pub use cell::Cell;
pub use error::{Error, Result};
pub use unit::Unit;

#[cfg(test)]
mod tests;
