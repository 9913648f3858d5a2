//! Personium's API: the unit, cells, boxes, control objects, logs.

pub mod cell;
pub mod cell_box;
pub mod ctl;
pub mod log;
pub mod unit;
