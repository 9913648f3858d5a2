//! The HTTP server: connections, the way of every request through the middleware, and the routes.

pub mod listen;
mod middleware;
mod request_line;
mod router;
pub mod shutdown;

pub use crate::web::state::App;
