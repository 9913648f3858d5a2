//! What all requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::authority::Authority;
use super::neighbours::UnitCells;
use super::public_url::PublicUrls;
use crate::bar::export::LiveArchives;
use crate::bar::inspect::BarLimits;
use crate::bar::install::Installer;
use crate::config::Config;
use crate::domain::event::EventLog;
use crate::snapshot::transfers::{Rules, Transfers};
use crate::storage::Unit;

/// How long it holds, in microseconds, that the disk had room: of small things not many come in that time, and large ones are
/// looked at by those who write them.
const ROOM_HOLDS: u64 = 5000;

/// The running server as handlers see it.
#[derive(Debug)]
pub struct App {
    pub config: Config,
    pub urls: PublicUrls,
    pub authority: Arc<Authority>,
    pub unit: Arc<Unit>,
    pub archives: Arc<LiveArchives>,
    pub event_log: Arc<EventLog>,
    pub installer: Arc<Installer>,
    /// Exports and imports of whole cells.
    pub transfers: Arc<Transfers>,
    room: Room,
}

/// Until when the disk has room, as far as is known.
#[derive(Debug)]
struct Room {
    origin: Instant,
    /// Microseconds since the origin.
    until: AtomicU64,
}

impl App {
    pub fn new(config: Config, authority: Arc<Authority>, unit: Arc<Unit>) -> Self {
        let urls = PublicUrls::new(&config.server);
        let archives = Arc::new(LiveArchives::new(Duration::from_secs(config.archive.resume_s)));
        let cells = UnitCells { unit: unit.clone(), authority: authority.clone(), urls: urls.clone() };
        let event_log = Arc::new(EventLog::new(config.events.log_installs).among(Arc::new(cells)));
        let limits = BarLimits {
            bar_size: config.limits.bar_size.0,
            bar_entry_size: config.limits.bar_entry_size.0,
            bar_entries: config.limits.bar_entries as usize,
        };
        let installer = Installer::new(unit.clone(), event_log.clone(), limits);
        let rules = Rules {
            exclusive: config.cell_export.exclusive,
            queue: config.cell_export.queue as usize,
            level: config.cell_export.level as u32,
        };
        let transfers = Transfers::new(unit.clone(), event_log.clone(), rules);
        Self {
            config,
            urls,
            authority,
            unit,
            archives,
            event_log,
            installer,
            transfers,
            room: Room { origin: Instant::now(), until: AtomicU64::new(0) },
        }
    }

    /// Whether less room is left on the disk than is kept for deleting.
    pub fn disk_is_almost_full(&self) -> bool {
        let now = u64::try_from(self.room.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        if now < self.room.until.load(Ordering::Relaxed) {
            return false;
        }
        let full = self.looks_almost_full();
        if !full {
            self.room.until.store(now + ROOM_HOLDS, Ordering::Relaxed);
        }
        full
    }

    fn looks_almost_full(&self) -> bool {
        if !self.unit.keeps_reserve() {
            return true;
        }
        match self.unit.space() {
            Ok(space) => space.free < self.config.storage.disk_reserve.of(space.total),
            Err(e) => {
                tracing::warn!(error = &e as &dyn std::error::Error, "cannot tell how full the disk is");
                false
            }
        }
    }
}
