//! Personium's API: the unit, cells, boxes, control objects, logs, and where one logs in.

pub mod authz;
mod call;
pub mod cell;
pub mod cell_box;
pub mod ctl;
pub mod event;
mod form;
pub mod html;
pub mod introspect;
mod listing;
pub mod log;
pub mod mypassword;
mod odata;
pub mod role;
pub mod token;
pub mod unit;

/// Keys, paths, query options and bodies of control objects never panic; a filter that was read can be held against an entity.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn fuzz_odata(data: &[u8]) {
    odata::fuzz(data);
}
