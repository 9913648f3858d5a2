//! The HTTP server: connections, the way of every request through the middleware, and the routes.

use crate::config::Config;
use crate::web::auth::UnitToken;
use crate::web::public_url::PublicUrls;

pub mod listen;
mod middleware;
mod router;
pub mod shutdown;

/// What all requests share.
#[derive(Debug)]
pub struct App {
    pub config: Config,
    pub urls: PublicUrls,
    pub unit_token: UnitToken,
}

impl App {
    pub fn new(config: Config, unit_token: UnitToken) -> Self {
        let urls = PublicUrls::new(&config.server);
        Self { config, urls, unit_token }
    }
}
