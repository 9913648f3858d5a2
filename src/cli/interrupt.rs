//! Ctrl-C, and being asked to end: the first is noticed by whoever looks, so that nothing half-made is left; the second ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::Error;
use super::exit::Exit;
use crate::server::shutdown::Signals;

/// Whether somebody wants an end.
#[derive(Debug, Clone)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From here on signals no longer end the process by themselves.
    pub(super) fn listen() -> Result<Self, Error> {
        let system = |source| Error::System { op: "listen for signals", source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
        let mut signals = runtime.block_on(async { Signals::listen() }).map_err(system)?;
        let interrupt = Self(Arc::default());
        let told = interrupt.clone();
        let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(signals.next());
            told.0.store(true, Ordering::Relaxed);
            runtime.block_on(signals.next());
            std::process::exit(Exit::Interrupted as i32);
        });
        thread.map_err(system)?;
        Ok(interrupt)
    }

    pub(super) fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error once somebody wants an end.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.came() { Err(Error::Interrupted) } else { Ok(()) }
    }
}
