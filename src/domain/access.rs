//! Who may do what: the caller of a request, what the lists of a cell grant, and the one table of what each method needs.
//!
//! Nothing here knows HTTP. A caller is made of a login and what the cell says about it at one moment; it is held against lists
//! of the same moment, before a request is worked on and, for changes, again inside the transaction.

mod caller;
mod decision;
mod snapshot;
mod table;
mod unit_user;

pub use caller::{AppSchema, Caller, Means, Reason, Who};
pub use decision::{Denial, Scope};
pub use snapshot::{AccessCache, AccountAccess, At, List};
pub use table::{Need, On, Place, Row, TABLE, need};
pub use unit_user::{Contents, UnitUser};

#[cfg(test)]
mod tests;
