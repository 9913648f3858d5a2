//! The HTTP server: connections, the way of every request through the middleware, and the routes.

mod cell_gate;
mod connection;
mod framing;
mod lane;
pub mod listen;
mod middleware;
mod paced;
mod patience;
mod recall;
mod refusal;
mod router;
mod sending;
pub mod shutdown;
mod taking;
pub mod tls;
mod told;
mod wire;

pub use crate::web::state::App;
