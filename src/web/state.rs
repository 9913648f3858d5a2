//! What all requests share.

use std::sync::Arc;
use std::time::Duration;

use super::auth::UnitToken;
use super::public_url::PublicUrls;
use crate::bar::export::LiveArchives;
use crate::config::Config;
use crate::storage::Unit;

/// The running server as handlers see it.
#[derive(Debug)]
pub struct App {
    pub config: Config,
    pub urls: PublicUrls,
    pub unit_token: UnitToken,
    pub unit: Arc<Unit>,
    pub archives: Arc<LiveArchives>,
}

impl App {
    pub fn new(config: Config, unit_token: UnitToken, unit: Arc<Unit>) -> Self {
        let urls = PublicUrls::new(&config.server);
        let archives = Arc::new(LiveArchives::new(Duration::from_secs(config.archive.resume_s)));
        Self { config, urls, unit_token, unit, archives }
    }
}
