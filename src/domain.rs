//! What cells, boxes and their objects mean, apart from how they are stored and how they travel.

pub mod acl;
pub mod event;
pub mod lock;
pub mod names;
pub mod properties;
pub mod resource;
pub mod rule;
