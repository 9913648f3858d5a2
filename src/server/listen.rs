//! Connections: accepts them, speaks HTTP/1 on each in a task of its own, and ends them when the server ends.
//!
//! Only the head of a request has a time limit; a download may take as long as it likes. After an answer that did not read its
//! request to the end, the rest is read away for a while, because closing at once would take the answer with it.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::middleware::{self, Logged};
use super::request_line::{Noticed, Watched};
use super::shutdown::Signals;
use super::{App, middleware::Answer};

/// How long a client may take for the head of a request, and a kept connection may be idle.
const HEAD_TIME: Duration = Duration::from_mins(1);
const HEAD_SIZE: usize = 64 * 1024;
const HEADERS: usize = 200;

/// How long what a client still sends after its answer is read away, in all and between two reads.
const LINGER: Duration = Duration::from_secs(30);
const LINGER_SILENCE: Duration = Duration::from_secs(3);

/// As the first silence, where the server ends and the client probably has nothing more to say.
const GRACE: Duration = Duration::from_millis(20);

/// How long accepting rests when the process has no descriptor left.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// How the server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every running request was finished.
    Drained,
    /// A second signal came first.
    AtOnce,
}

/// Serves until a signal comes and the running requests are finished.
pub async fn serve(listener: TcpListener, app: Arc<App>, signals: &mut Signals) -> Ended {
    let (closing, _) = watch::channel(false);
    loop {
        tokio::select! {
            () = signals.next() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    tokio::spawn(connection(stream, peer, Arc::clone(&app), closing.subscribe()));
                }
                Err(e) => {
                    tracing::warn!(error = %e, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            },
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

/// Answers the requests of one connection.
struct Requests {
    app: Arc<App>,
    peer: IpAddr,
    noticed: Noticed,
}

impl Service<http::Request<Incoming>> for Requests {
    type Response = http::Response<Logged>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let (app, peer) = (Arc::clone(&self.app), self.peer);
        let target = request.uri().path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        let fragment = self.noticed.is_of(request.method(), target);
        Box::pin(async move { Ok(middleware::answer(app, peer, fragment, request).await) })
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, app: Arc<App>, mut closing: watch::Receiver<bool>) {
    if let Err(e) = stream.set_nodelay(true) {
        tracing::debug!(%peer, error = %e, "cannot set TCP_NODELAY");
    }
    let (stream, noticed) = Watched::new(stream);
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_header_size(HEAD_SIZE)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), Requests { app, peer: peer.ip().to_canonical(), noticed });
    let mut asked_to_close = false;
    let result = loop {
        tokio::select! {
            result = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break result,
            _ = closing.wait_for(|closing| *closing), if !asked_to_close => {
                asked_to_close = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    match result {
        Ok(()) => {
            let stream = connection.into_parts().io.into_inner().into_inner();
            if asked_to_close {
                linger(stream, GRACE).await;
            } else {
                tokio::select! {
                    () = linger(stream, LINGER_SILENCE) => {}
                    _ = closing.wait_for(|closing| *closing) => {}
                }
            }
        }
        Err(e) => tracing::debug!(%peer, error = %e, "a connection broke"),
    }
}

/// Ends our side, then reads away what the client still sends. `first`: how long to wait whether it sends anything.
async fn linger(mut stream: TcpStream, first: Duration) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let end = Instant::now() + LINGER;
    let mut buffer = vec![0; 16 * 1024];
    let read_away = async {
        let mut silence = first;
        while let Ok(Ok(1..)) = timeout(silence, stream.read(&mut buffer)).await {
            silence = LINGER_SILENCE;
        }
    };
    let _ = timeout_at(end, read_away).await;
}
