//! What cells, boxes and their objects mean, apart from how they are stored and how they travel.

pub mod access;
pub mod account;
pub mod acl;
pub mod event;
pub mod lock;
pub mod login;
pub mod names;
pub mod password;
pub mod properties;
pub mod resource;
pub mod rule;
pub mod token;
