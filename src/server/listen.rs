//! The listening socket: accepts connections as long as there is room for them, and ends them when the server ends.
//!
//! Where there is no room, the connection that has been idle for longest makes some; where none is idle, new ones wait in the
//! backlog of the system until one ends. Those that live are never disturbed.

use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, lookup_host};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use super::App;
use super::connection::{self, Crowd, Shared};
use super::lane::Lanes;
use super::patience::Limits;
use super::shutdown::Signals;
use super::tls::Tls;

/// How many connections the system keeps until they are accepted; it may allow fewer.
const BACKLOG: u32 = 4096;

/// How long accepting rests when the process has no descriptor left.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// How often the log says that there is no room.
const FULL_AGAIN: Duration = Duration::from_mins(1);

/// How the server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every running request was finished.
    Drained,
    /// A second signal came first.
    AtOnce,
}

/// Listens on the first address of `HOST:PORT` that can be had.
pub async fn bind(address: &str) -> io::Result<TcpListener> {
    let mut failure = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
    for address in lookup_host(address).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let listener = socket.and_then(|socket| {
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        });
        match listener {
            Ok(listener) => return Ok(listener),
            Err(e) => failure = e,
        }
    }
    Err(failure)
}

/// Serves until a signal comes and the running requests are finished. `most`: how many connections there may be.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    tls: Option<Tls>,
    most: usize,
    signals: &mut Signals,
) -> Ended {
    let (closing, _) = watch::channel(false);
    let recall = Arc::default();
    let shared = Arc::new(Shared {
        lanes: Lanes::new(available_parallelism().map_or(1, NonZero::get), &recall),
        recall,
        tls: tls.as_ref().map(Tls::acceptor),
        limits: Limits::of(&app.config.connections),
        head_size: app.config.connections.head_size.0 as usize,
        crowd: Crowd::default(),
        app,
    });
    if let Some(tls) = tls {
        tokio::spawn(tls.follow());
    }
    let mut room = Room { places: Arc::new(Semaphore::new(most)), most, told: None };
    loop {
        let accepted = tokio::select! {
            () = signals.next() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let place = tokio::select! {
                    () = signals.next() => break,
                    place = room.take(&shared.crowd) => place,
                };
                let (shared, closing) = (Arc::clone(&shared), closing.subscribe());
                tokio::spawn(async move {
                    connection::serve(stream, peer, shared, closing).await;
                    drop(place);
                });
            }
            // The client has gone again.
            Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(e) => {
                tracing::warn!(error = %e, "cannot accept a connection");
                shared.crowd.ask();
                tokio::time::sleep(ACCEPT_REST).await;
                shared.crowd.waited();
            }
        }
    }
    drop(listener);
    closing.send_replace(true);
    tracing::info!(connections = closing.receiver_count(), "finishing running requests");
    tokio::select! {
        () = closing.closed() => Ended::Drained,
        () = signals.next() => Ended::AtOnce,
    }
}

/// Places for connections.
struct Room {
    places: Arc<Semaphore>,
    most: usize,
    /// When the log last said that there is no room.
    told: Option<Instant>,
}

impl Room {
    /// Waits for a place; asks an idle connection for its own if there is none.
    async fn take(&mut self, crowd: &Crowd) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        if self.told.is_none_or(|told| told.elapsed() >= FULL_AGAIN) {
            tracing::warn!(connections = self.most, "no room for more connections: idle ones end, new ones wait");
            self.told = Some(Instant::now());
        }
        crowd.ask();
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        crowd.waited();
        place
    }
}
