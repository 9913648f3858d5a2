//! Leaves without dependencies on the rest: names and paths, identifiers, time, the few system calls that need `unsafe`.

pub mod clock;
pub mod id;
pub mod path;
pub mod sys;
pub mod uri;
pub mod xml;
