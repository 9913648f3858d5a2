//! What every HTTP door shares: errors, authentication, bodies, ranges, conditions and URLs.

pub mod abroad;
pub mod auth;
pub mod authority;
pub mod blocking;
pub mod body;
pub mod conditional;
pub mod file_body;
pub mod headers;
pub mod neighbours;
pub mod problem;
pub mod public_url;
pub mod pulse;
pub mod range;
pub mod recallable;
pub mod representation;
pub mod request;
pub mod request_body;
pub mod response;
pub(crate) mod share;
pub mod state;
pub mod store_problem;
pub mod unit_user;

pub use body::Body;
pub use problem::{Code, Problem};
pub use request::Request;
pub use response::Response;
