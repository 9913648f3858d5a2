//! Personium's API: the unit, cells, boxes, control objects, logs.

mod call;
pub mod cell;
pub mod cell_box;
pub mod ctl;
mod listing;
pub mod log;
mod odata;
pub mod unit;
