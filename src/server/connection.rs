//! One connection: TLS where it is configured, then HTTP/1 or HTTP/2, whichever the client begins with, until one side ends it.
//!
//! After an answer that did not read its request to the end, the rest is read away for a while, because closing at once would
//! take the answer with it.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Version};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::App;
use super::lane::Lanes;
use super::middleware::{self, Answer, Logged};
use super::paced::{Paced, Plain};
use super::patience::{Found, Limits, Patience};
use super::recall::{self, Recall};
use super::refusal;
use super::sending::Sending;
use super::taking::Template;
use super::wire::{Notes, Opened, Wire};
use crate::dav::PutAgain;
use crate::web::problem::Code;
use crate::web::pulse::{Exchange, Pulse};
use crate::web::recallable::Recallable;

/// How much of an answer waits in memory for a slow client, and how much of a body is read at once.
const BUFFER: usize = 64 * 1024;

/// How many requests one connection of HTTP/2 may have at a time.
const STREAMS: u32 = 128;

/// How many bytes of one body, and of all bodies of a connection, a client of HTTP/2 may send ahead.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// How long what a client still sends after its answer is read away, in all and between two reads.
const LINGER: Duration = Duration::from_secs(30);
const LINGER_SILENCE: Duration = Duration::from_secs(3);

/// As the first silence, where the server ends and the client probably has nothing more to say.
const GRACE: Duration = Duration::from_millis(20);

/// How long nothing is asked before a connection leaves its lane.
const RIDE: Duration = Duration::from_millis(250);

/// What all connections share.
pub(super) struct Shared {
    pub(super) app: Arc<App>,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) limits: Limits,
    pub(super) head_size: usize,
    pub(super) crowd: Crowd,
    pub(super) recall: Arc<Recall>,
    pub(super) lanes: Lanes,
}

/// How a connection that waits for room asks for that of an idle one.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    waits: AtomicBool,
    /// Wakes the connection that has been idle for longest.
    idle: Notify,
}

impl Crowd {
    /// Asks, until `waited` says that room was found.
    pub(super) fn ask(&self) {
        self.waits.store(true, Relaxed);
        self.idle.notify_one();
    }

    pub(super) fn waited(&self) {
        self.waits.store(false, Relaxed);
    }

    /// Waits until this idle connection is asked to end.
    async fn asks(&self) {
        loop {
            self.idle.notified().await;
            if self.waits.load(Relaxed) {
                return;
            }
        }
    }

    /// Asks the next one.
    fn pass_on(&self) {
        self.idle.notify_one();
    }
}

/// Tells when the server ends.
pub(super) type Closing = watch::Receiver<bool>;

/// Serves one connection to its end.
pub(super) async fn serve(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>, closing: Closing) {
    if let Err(e) = stream.set_nodelay(true) {
        tracing::debug!(%peer, error = %e, "cannot set TCP_NODELAY");
    }
    let pulse = Arc::new(Pulse::default());
    let patience = Patience::new(Arc::clone(&pulse), shared.limits, stream.as_raw_fd());
    let tls = shared.tls.clone();
    let speaker = Speaker { shared, peer, pulse: Arc::clone(&pulse), patience, closing };
    match tls {
        None => speaker.speak(Paced::new(stream, pulse)).await,
        Some(tls) => Box::pin(speaker.speak_tls(tls, stream)).await,
    }
}

/// How the speaking of HTTP came to its end.
enum Ended {
    /// By itself.
    Spoken(hyper::Result<()>),
    /// The head of a request took too long.
    SlowHead,
    /// The connection is dropped as it is.
    Dropped,
    /// Not at all: nothing is asked for a while, and a connection of HTTP/1 can do without its buffers until something is.
    Idle,
    /// Not at all: what a connection of HTTP/1 asks for can be answered elsewhere.
    Steady,
}

struct Speaker {
    shared: Arc<Shared>,
    peer: SocketAddr,
    pulse: Arc<Pulse>,
    patience: Patience,
    closing: Closing,
}

impl Speaker {
    async fn speak_tls(mut self, tls: TlsAcceptor, stream: TcpStream) {
        let (head, pulse) = (self.patience.limits().head, Arc::clone(&self.pulse));
        let handshake = async {
            // A record of TLS that begins a connection has the type 22; a request begins with a letter.
            let mut first = [0];
            if stream.peek(&mut first).await? == 1 && first[0].is_ascii_alphabetic() {
                return Ok(Err(stream));
            }
            tls.accept(Paced::new(stream, pulse)).await.map(Ok)
        };
        let shaken = tokio::select! {
            shaken = timeout(head, handshake) => shaken,
            _ = self.closing.wait_for(|closing| *closing) => return,
        };
        match shaken {
            Ok(Ok(Ok(stream))) => self.speak(stream).await,
            Ok(Ok(Err(plain))) => self.refuse(plain, Code::PlainOnTls).await,
            Ok(Err(e)) => tracing::debug!(peer = %self.peer, error = %e, "no TLS"),
            Err(_) => tracing::debug!(peer = %self.peer, "no TLS in time"),
        }
    }

    async fn speak<S: AsyncRead + AsyncWrite + Plain + Unpin + Send + 'static>(mut self, stream: S) {
        let mut stream = Opened::new(stream);
        // What has just come has something to say.
        let asked = async {
            sleep(self.patience.next_look(Found::Alive)).await;
            self.shared.crowd.asks().await;
        };
        let begun = tokio::select! {
            begun = timeout(self.patience.limits().idle, stream.begins_as_http2()) => begun,
            _ = self.closing.wait_for(|closing| *closing) => return,
            () = asked => return,
        };
        match begun {
            Ok(Ok(true)) => Box::pin(self.http2(stream)).await,
            Ok(Ok(false)) => self.http1(stream).await,
            // The client went, or never said anything.
            Ok(Err(_)) | Err(_) => {}
        }
    }

    async fn http1<S: AsyncRead + AsyncWrite + Plain + Unpin + Send + 'static>(mut self, stream: Opened<S>) {
        let (recall, peer) = (Arc::clone(&self.shared.recall), self.peer.ip().to_canonical());
        let (mut wire, notes) = Wire::new(stream, Arc::clone(&self.pulse), recall, peer);
        loop {
            let mut connection = http1::Builder::new()
                .header_read_timeout(None)
                .max_header_size(self.shared.head_size)
                .max_buf_size(BUFFER.max(self.shared.head_size + 4096))
                .serve_connection(TokioIo::new(wire), self.requests(Some(Arc::clone(&notes))));
            let ended = self.drive(&mut connection, Some(&notes)).await;
            wire = connection.into_parts().io.into_inner();
            if wire.is_sending() && matches!(ended, Ended::Spoken(Ok(()))) {
                self.drive(&mut Last(&mut wire), Some(&notes)).await;
            }
            if matches!(ended, Ended::Idle) {
                notes.forget();
            }
            match ended {
                Ended::Idle if self.doze(wire.stream()).await => {}
                Ended::Idle => return linger(wire.into_inner(), GRACE).await,
                Ended::Steady => {
                    if !Box::pin(self.ride(&mut wire)).await {
                        return;
                    }
                }
                ended => return self.part(wire.into_inner(), ended, &notes).await,
            }
        }
    }

    /// Lets a lane answer until it cannot, or until nothing is asked for a moment; false if the connection has broken.
    async fn ride<S: AsyncRead + AsyncWrite + Plain + Unpin>(&mut self, wire: &mut Wire<Opened<S>>) -> bool {
        let Some(socket) = wire.stream().plain_mut() else { return true };
        let Some(Ok(stream)) = socket.lend() else { return false };
        let entered = self.shared.lanes.enter(stream, self.peer.ip().to_canonical(), Arc::clone(&self.pulse));
        let ride = match entered {
            Ok(ride) => ride,
            Err(stream) => return socket.take_back(stream).is_ok(),
        };
        tracing::debug!(peer = %self.peer, "a connection enters a lane");
        loop {
            tokio::select! {
                () = ride.over() => break,
                _ = self.closing.wait_for(|closing| *closing) => break,
                () = sleep(RIDE) => {
                    if self.pulse.rest() >= RIDE {
                        break;
                    }
                }
            }
        }
        let (stream, left) = ride.leave();
        socket.take_back(stream).is_ok() && wire.go_on(left)
    }

    /// Waits for the next request with as little memory as possible; false when the connection is to end.
    async fn doze<S: AsyncRead + Unpin>(&mut self, stream: &mut Opened<S>) -> bool {
        tokio::select! {
            woken = timeout(self.patience.idle_left(), stream.wake()) => matches!(woken, Ok(Ok(true))),
            _ = self.closing.wait_for(|closing| *closing) => false,
            () = self.shared.crowd.asks() => false,
        }
    }

    /// Ends a connection of HTTP/1 as it deserves.
    async fn part<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: S, ended: Ended, notes: &Notes) {
        let refusal = match &ended {
            Ended::Spoken(Err(_)) => notes.refused().map(refusal::of_status),
            Ended::SlowHead if notes.is_silent() => Some(Code::RequestTimeout),
            _ => None,
        };
        match (ended, refusal) {
            (_, Some(code)) => self.refuse(stream, code).await,
            (Ended::Spoken(Ok(())), None) if self.patience.is_asked_to_end() => linger(stream, GRACE).await,
            (Ended::Spoken(Ok(())), None) => self.linger(stream).await,
            (Ended::Spoken(Err(e)), None) => tracing::debug!(peer = %self.peer, error = %e, "a connection broke"),
            (Ended::SlowHead | Ended::Dropped | Ended::Idle | Ended::Steady, None) => {}
        }
    }

    async fn http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(mut self, stream: S) {
        self.patience.hears();
        let mut connection = http2::Builder::new(TokioExecutor::new())
            .max_concurrent_streams(STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(BUFFER)
            .max_header_list_size(u32::try_from(self.shared.head_size).unwrap_or(u32::MAX))
            .serve_connection(TokioIo::new(stream), self.requests(None));
        if let Ended::Spoken(Err(e)) = self.drive(&mut connection, None).await {
            tracing::debug!(peer = %self.peer, error = %e, "a connection broke");
        }
    }

    fn requests(&self, notes: Option<Arc<Notes>>) -> Requests {
        let peer = self.peer.ip().to_canonical();
        let (app, recall) = (Arc::clone(&self.shared.app), Arc::clone(&self.shared.recall));
        Requests { app, peer, pulse: Arc::clone(&self.pulse), notes, recall }
    }

    /// Lets the connection speak until it ends, or until patience does. `notes`: those of HTTP/1.
    async fn drive(&mut self, connection: &mut impl Spoken, notes: Option<&Notes>) -> Ended {
        let shared = Arc::clone(&self.shared);
        let (peer, patience) = (self.peer, &mut self.patience);
        let mut look = pin!(sleep(patience.next_look(Found::Alive)));
        // Only who has been idle for a while makes room. The first to wait is the first to be woken.
        let mut room = pin!(shared.crowd.asks());
        let mut makes_room = false;
        loop {
            let head_began = || notes.and_then(Notes::head_began);
            tokio::select! {
                biased;
                ended = poll_fn(|cx| match connection.poll_speak(cx) {
                    Poll::Ready(spoken) => Poll::Ready(Ended::Spoken(spoken)),
                    Poll::Pending if notes.is_some_and(Notes::take_steady) => Poll::Ready(Ended::Steady),
                    Poll::Pending => Poll::Pending,
                }) => return ended,
                _ = self.closing.wait_for(|closing| *closing), if !patience.is_asked_to_end() => {
                    patience.ask_to_end();
                    connection.end();
                    look.as_mut().reset(Instant::now() + patience.next_look(Found::Alive));
                }
                () = room.as_mut(), if makes_room => {
                    makes_room = false;
                    room.set(shared.crowd.asks());
                    if patience.is_idle(head_began()) {
                        patience.ask_to_end();
                        connection.end();
                    } else {
                        shared.crowd.pass_on();
                    }
                }
                () = look.as_mut() => {
                    let found = patience.look(head_began());
                    match found {
                        Found::Idle if notes.is_some_and(Notes::is_silent) => return Ended::Idle,
                        Found::Alive | Found::Idle => {}
                        Found::Unused if patience.is_asked_to_end() => {}
                        Found::Unused => {
                            patience.ask_to_end();
                            connection.end();
                        }
                        Found::SlowHead => {
                            tracing::debug!(%peer, "a request does not come to its end");
                            return Ended::SlowHead;
                        }
                        Found::Stalled => {
                            tracing::info!(%peer, "a client takes nothing any more; the connection is closed");
                            return Ended::Dropped;
                        }
                        Found::Over => return Ended::Dropped,
                    }
                    if makes_room && found != Found::Idle {
                        room.set(shared.crowd.asks());
                    }
                    makes_room = found == Found::Idle;
                    look.as_mut().reset(Instant::now() + patience.next_look(found));
                }
            }
        }
    }

    /// Says what no handler could be asked to say, and ends.
    async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(&mut self, mut stream: S, code: Code) {
        tracing::info!(peer = %self.peer, code = code.as_str(), "what cannot be read as a request was refused");
        let answer = refusal::bytes(code);
        let said = async {
            stream.write_all(&answer).await?;
            stream.flush().await
        };
        if let Ok(Ok(())) = timeout(self.patience.limits().silence, said).await {
            self.linger(stream).await;
        }
    }

    async fn linger<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: S) {
        tokio::select! {
            () = linger(stream, LINGER_SILENCE) => {}
            _ = self.closing.wait_for(|closing| *closing) => {}
        }
    }
}

/// A connection that speaks one version of HTTP.
trait Spoken {
    fn poll_speak(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>>;

    /// Asks it to end once what runs is answered.
    fn end(&mut self);
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Spoken for http1::Connection<TokioIo<S>, Requests> {
    fn poll_speak(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.poll_without_shutdown(cx)
    }

    fn end(&mut self) {
        Pin::new(self).graceful_shutdown();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Spoken
    for http2::Connection<TokioIo<S>, Requests, TokioExecutor>
{
    fn poll_speak(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        Pin::new(self).poll(cx)
    }

    fn end(&mut self) {
        Pin::new(self).graceful_shutdown();
    }
}

/// A connection that was to end while an answer was given that its parser does not know of.
struct Last<'w, S>(&'w mut Wire<S>);

impl<S: AsyncWrite + Plain + Unpin> Spoken for Last<'_, S> {
    fn poll_speak(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_sending(cx).map(|sent| {
            if let Err(e) = sent {
                tracing::debug!(error = %e, "a connection broke");
            }
            Ok(())
        })
    }

    fn end(&mut self) {}
}

/// Answers the requests of one connection.
struct Requests {
    app: Arc<App>,
    peer: IpAddr,
    pulse: Arc<Pulse>,
    /// None with HTTP/2.
    notes: Option<Arc<Notes>>,
    recall: Arc<Recall>,
}

impl Service<http::Request<Incoming>> for Requests {
    type Response = http::Response<Logged>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let (app, peer) = (Arc::clone(&self.app), self.peer);
        let exchange = Exchange::begin(Arc::clone(&self.pulse));
        let target = request.uri().path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        let fragment = self.notes.as_ref().is_some_and(|notes| notes.begin(request.method(), target));
        debug_assert!(self.notes.is_some() || request.version() == Version::HTTP_2);
        // Where a failed import closes a cell, more is asked than what the cell says.
        let head = self.notes.as_ref().and_then(|notes| notes.take_head());
        if let (Some(head), Some(notes), &Method::PUT) = (&head, &self.notes, request.method()) {
            let (head, notes) = (head.clone(), Arc::clone(notes));
            return Box::pin(async move {
                let mut answer = middleware::answer(Arc::clone(&app), peer, fragment, exchange, request).await;
                keep_template(&app, &head, &notes, &mut answer);
                Ok(answer)
            });
        }
        let head = head.filter(|_| recall::may_be_kept(&request) && !app.config.import.strict_status);
        let Some(head) = head else {
            return Box::pin(async move { Ok(middleware::answer(app, peer, fragment, exchange, request).await) });
        };
        let (recall, notes) = (Arc::clone(&self.recall), self.notes.clone());
        Box::pin(async move {
            let answer = middleware::answer(app, peer, fragment, exchange, request).await;
            Ok(keep(&recall, peer, &head, notes.as_deref(), answer))
        })
    }
}

/// Keeps what further files may have in common with one that was put.
fn keep_template(app: &Arc<App>, head: &[u8], notes: &Notes, answer: &mut Answer) {
    let Some(put) = answer.extensions_mut().remove::<Arc<PutAgain>>() else { return };
    let path = answer.body().line().map(|line| line.path().to_owned()).unwrap_or_default();
    if let Some(template) = Template::of(app, head, put, answer.headers(), &path) {
        notes.keep_template(template);
    }
}

/// Keeps an answer that may be given again. If it comes out of a file, it is given again already, by a shorter way, and the parser
/// gets an empty one, which nobody will see.
fn keep(recall: &Recall, peer: IpAddr, head: &[u8], notes: Option<&Notes>, mut answer: Answer) -> Answer {
    let Some(what) = answer.extensions_mut().remove::<Arc<Recallable>>() else { return answer };
    let (parts, mut body) = answer.into_parts();
    if let Some(line) = body.line() {
        recall.keep(peer, head, &parts, body.bytes(), what, line);
    }
    let again = notes.filter(|notes| body.is_stream() && notes.sends_files());
    if let Some(notes) = again
        && let Some(recalled) = recall.find(peer, head, true)
        && let Some((line, exchange)) = body.take()
    {
        notes.send_instead(Sending::new(recalled, line, exchange));
        return Answer::new(body);
    }
    Answer::from_parts(parts, body)
}

/// Ends our side, then reads away what the client still sends. `first`: how long to wait whether it sends anything.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, first: Duration) {
    if !matches!(timeout(LINGER_SILENCE, stream.shutdown()).await, Ok(Ok(()))) {
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
