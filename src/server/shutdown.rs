//! The signals that end the server: the first drains, the second ends at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// What ends a server: SIGTERM and SIGINT, or its owner.
#[derive(Debug)]
pub enum Signals {
    OfProcess { terminate: Signal, interrupt: Signal },
    OfOwner(Receiver<()>),
}

impl Signals {
    /// From here on the signals no longer end the process by themselves.
    pub fn listen() -> io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self::OfProcess { terminate, interrupt })
    }

    /// For a server within another program: sending something is a signal.
    pub fn of_owner() -> (Sender<()>, Self) {
        let (sender, receiver) = channel(1);
        (sender, Self::OfOwner(receiver))
    }

    /// Waits for the next of them.
    pub async fn next(&mut self) {
        match self {
            Self::OfProcess { terminate, interrupt } => tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            },
            Self::OfOwner(signals) => {
                if signals.recv().await.is_none() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}
