//! `cell.db`: everything about a cell that is not a user's byte. One file a family of tables; SQL appears nowhere else.

pub mod account;
pub mod acl;
pub mod alias;
pub mod area;
pub mod cell_box;
pub mod cell_root;
pub mod changes;
pub mod control;
pub mod job;
pub mod lock;
pub mod member;
pub mod migration;
pub mod pending;
pub mod property;
pub mod quota;
pub mod resource;
pub mod schema;
pub mod taken;
pub mod tx;

pub use member::Member;
pub use resource::{Kind, Resource};
pub use tx::{Tx, View};
