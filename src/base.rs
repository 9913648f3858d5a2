//! Leaves without dependencies on the rest: names and paths, identifiers, time, a queue for jobs, the few system calls that need `unsafe`.

pub mod clock;
pub mod id;
pub mod path;
pub mod queue;
pub mod sys;
pub mod uri;
pub mod xml;
