//! The bytes of a connection on their way between the socket and the speaker of HTTP.
//!
//! `Paced` (`server/paced.rs`) lies on the socket itself, below TLS. `Wire` lies between an HTTP/1 connection and its
//! parser: it follows the framing of requests, and holds back what the parser says by itself about a head that it cannot
//! read, so that this answer looks like all others. What can be answered again as it was (`server/recall.rs`) it answers itself, while
//! nothing else is under way, and the parser never hears of it.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Method;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::{Framing, Marked};
use super::lane::Left;
use super::paced::{Paced, Plain};
use super::recall::{self, Recall};
use super::sending::Sending;
use super::taking::{Taken, Taking, Template};
use crate::web::pulse::{Exchange, Pulse};

/// The first bytes that every client of HTTP/2 sends.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much is read of what comes first, or after a rest: most heads of requests are shorter.
const FIRST: usize = 2048;

/// A stream of which the first bytes have been looked at.
#[derive(Debug)]
pub(super) struct Opened<S> {
    stream: S,
    /// What has been read and not been read again: `first[begin..]`. It takes no room while nothing comes.
    first: Vec<u8>,
    begin: usize,
}

impl<S: AsyncRead + Unpin> Opened<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, first: Vec::new(), begin: 0 }
    }

    /// Waits for the first bytes and tells whether they are those of HTTP/2. The end of the stream is an error.
    pub(super) async fn begins_as_http2(&mut self) -> io::Result<bool> {
        while self.first.len() < PREFACE.len() {
            if self.read_more().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let seen = self.first.len().min(PREFACE.len());
            if self.first[..seen] != PREFACE[..seen] {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits for bytes without a buffer for them; false at the end of the stream.
    pub(super) async fn wake(&mut self) -> io::Result<bool> {
        Ok(self.begin < self.first.len() || self.read_more().await? > 0)
    }

    /// Makes what was read elsewhere come first. Nothing may be there yet.
    fn put_first(&mut self, read: Vec<u8>) {
        (self.first, self.begin) = (read, 0);
    }

    async fn read_more(&mut self) -> io::Result<usize> {
        poll_fn(|cx| {
            let mut bytes = [0; FIRST];
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            self.first.extend_from_slice(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
        .await
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opened<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let n = buffer.remaining().min(self.first.len() - self.begin);
        buffer.put_slice(&self.first[self.begin..self.begin + n]);
        self.begin += n;
        if self.begin == self.first.len() {
            (self.first, self.begin) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opened<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: Plain> Plain for Opened<S> {
    fn plain(&self) -> Option<&Paced> {
        self.stream.plain()
    }

    fn plain_mut(&mut self) -> Option<&mut Paced> {
        self.stream.plain_mut()
    }
}

/// What a wire, its requests and its time limits know of each other.
#[derive(Debug)]
pub(super) struct Notes {
    pulse: Arc<Pulse>,
    /// Requests that were handed to us.
    requests: AtomicU64,
    /// Whether an answer of ours may still be on its way to the wire.
    answering: AtomicBool,
    /// The status that the parser wanted to answer by itself; 0 is none.
    refused: AtomicU16,
    /// When the head began that has not ended, plus one; 0 if there is none.
    head_began: AtomicU64,
    has_marked: AtomicBool,
    marked: Mutex<Marked>,
    /// The head of the request that comes next, if it may be asked again.
    head: Mutex<Option<Vec<u8>>>,
    /// Whether files can go to the socket without passing through memory.
    sends_files: bool,
    /// What is to be sent in the place of the next answer of the parser.
    instead: Mutex<Option<Sending>>,
    has_instead: AtomicBool,
    /// What files that are put may have in common.
    template: Mutex<Option<Arc<Template>>>,
    /// Whether the last requests could all be answered again, and nothing has come since.
    steady: AtomicBool,
}

impl Notes {
    /// Notes a request that the parser has read; tells whether its target has a `#`.
    pub(super) fn begin(&self, method: &Method, target: &str) -> bool {
        self.answering.store(true, Relaxed);
        let number = self.requests.fetch_add(1, Relaxed) + 1;
        if !self.has_marked.load(Relaxed) {
            return false;
        }
        let mut marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_marked = marked.take(number, method, target);
        self.has_marked.store(!marked.is_empty(), Relaxed);
        is_marked
    }

    /// The head of the request that has just begun, if it came alone.
    pub(super) fn take_head(&self) -> Option<Vec<u8>> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Keeps what the next requests may have in common with one that was answered.
    pub(super) fn keep_template(&self, template: Template) {
        *self.template.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(template));
    }

    /// Gives back what may be found out again.
    pub(super) fn forget(&self) {
        *self.template.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn sends_files(&self) -> bool {
        self.sends_files
    }

    /// Sends this instead of the answer that the parser is going to be given, which must have no body.
    pub(super) fn send_instead(&self, sending: Sending) {
        *self.instead.lock().unwrap_or_else(PoisonError::into_inner) = Some(sending);
        self.has_instead.store(true, Relaxed);
    }

    fn take_instead(&self) -> Option<Sending> {
        if !self.has_instead.swap(false, Relaxed) {
            return None;
        }
        self.instead.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether the connection does nothing but ask for what can be answered again, and waits for the next request. Said once.
    pub(super) fn take_steady(&self) -> bool {
        self.steady.load(Relaxed) && self.steady.swap(false, Relaxed)
    }

    /// When the head began that has not ended, on the clock of the pulse.
    pub(super) fn head_began(&self) -> Option<u64> {
        self.head_began.load(Relaxed).checked_sub(1)
    }

    /// The status that the parser wanted to answer.
    pub(super) fn refused(&self) -> Option<u16> {
        Some(self.refused.load(Relaxed)).filter(|status| *status > 0)
    }

    /// Whether no answer is under way: something else may be said.
    pub(super) fn is_silent(&self) -> bool {
        !self.answering.load(Relaxed)
    }
}

/// An HTTP/1 connection below its parser.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    framing: Framing,
    notes: Arc<Notes>,
    recall: Arc<Recall>,
    peer: IpAddr,
    /// What is answered below the parser.
    sending: Option<Box<Sending>>,
    /// Its head.
    head: Vec<u8>,
    /// What the writer has, below the parser.
    taking: Option<Box<Taking>>,
    /// What the parser has to be asked after all.
    refused: Bytes,
    /// How many requests were answered again, since one was not.
    again: usize,
}

/// After how many answers below the parser a connection is steady.
const STEADY: usize = 8;

impl<S: Plain> Wire<S> {
    /// `recall` has what may be answered again to this peer.
    pub(super) fn new(stream: S, pulse: Arc<Pulse>, recall: Arc<Recall>, peer: IpAddr) -> (Self, Arc<Notes>) {
        let notes = Arc::new(Notes {
            pulse,
            requests: AtomicU64::new(0),
            answering: AtomicBool::new(false),
            refused: AtomicU16::new(0),
            head_began: AtomicU64::new(0),
            has_marked: AtomicBool::new(false),
            marked: Mutex::default(),
            head: Mutex::default(),
            sends_files: stream.plain().is_some(),
            instead: Mutex::default(),
            has_instead: AtomicBool::new(false),
            template: Mutex::default(),
            steady: AtomicBool::new(false),
        });
        let wire = Self {
            stream,
            framing: Framing::new(),
            notes: Arc::clone(&notes),
            recall,
            peer,
            sending: None,
            head: Vec::new(),
            taking: None,
            refused: Bytes::new(),
            again: 0,
        };
        (wire, notes)
    }
}

impl<S> Wire<S> {
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    pub(super) fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    fn look(&mut self, read: &[u8]) {
        let notes = &*self.notes;
        if read.contains(&b'#') || self.framing.has_begun() {
            let mut marked = notes.marked.lock().unwrap_or_else(PoisonError::into_inner);
            self.framing.follow(read, &mut marked);
            notes.has_marked.store(!marked.is_empty(), Relaxed);
        } else {
            self.framing.follow(read, &mut Marked::default());
        }
        if !self.framing.is_in_head() {
            notes.head_began.store(0, Relaxed);
        } else if notes.head_began.load(Relaxed) == 0 {
            notes.head_began.store(notes.pulse.now() + 1, Relaxed);
        }
    }

    /// Keeps the status line of what the parser says by itself. Its whole head comes in one write.
    fn hold_back(&self, head: &[u8]) {
        let digits = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        let _ = self.notes.refused.compare_exchange(0, digits.unwrap_or(400), Relaxed, Relaxed);
    }
}

impl<S: AsyncRead + Unpin> Wire<Opened<S>> {
    /// Goes on where a lane has stopped; false if there is nothing to go on with.
    pub(super) fn go_on(&mut self, left: Left) -> bool {
        self.again = 0;
        match left {
            Left::Read(read) => self.stream.put_first(read),
            Left::Sending(sending, head) => (self.sending, self.head) = (Some(sending), head),
            Left::Broken => return false,
        }
        true
    }
}

impl<S: AsyncWrite + Plain + Unpin> Wire<S> {
    /// Whether every request that came was answered and nothing of another has come.
    fn is_at_rest(&self) -> bool {
        let notes = &*self.notes;
        self.framing.is_between()
            && notes.requests.load(Relaxed) == self.framing.requests()
            && notes.is_silent()
            && !notes.pulse.is_running()
    }

    /// Whether an answer is on its way that the parser does not know of.
    pub(super) fn is_sending(&self) -> bool {
        self.sending.is_some() || self.taking.is_some()
    }

    pub(super) fn poll_sending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(sending) = &mut self.sending {
            let sent = ready!(sending.poll_send(cx, &mut self.stream, &self.head));
            self.sending = None;
            sent?;
        }
        if let Some(taking) = &mut self.taking {
            let taken = ready!(taking.poll(cx, &mut self.stream, &self.recall));
            self.taking = None;
            if let Taken::Refused(request) = taken? {
                self.refused = request;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether what the parser writes is to be replaced by an answer that it does not know of.
    fn sends_instead(&mut self) -> bool {
        if let Some(sending) = self.notes.take_instead() {
            self.begin(sending);
        }
        self.sending.is_some()
    }

    /// Begins an answer to what was read, if that is one request that can be answered again.
    fn answers(&mut self, read: &[u8]) -> bool {
        if read.starts_with(b"PUT ") {
            return self.takes(read);
        }
        let Some(recalled) = self.recall.find(self.peer, read, self.notes.sends_files) else { return false };
        tracing::debug!(peer = %self.peer, path = recalled.path(), "answered again");
        let line = recalled.line();
        self.begin(Sending::new(recalled, line, Exchange::begin(Arc::clone(&self.notes.pulse))));
        true
    }

    /// Hands a file to the writer that a read brought, if it is like others before.
    fn takes(&mut self, read: &[u8]) -> bool {
        let template = self.notes.template.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let pulse = &self.notes.pulse;
        self.taking = template.and_then(|t| t.take(read, || Exchange::begin(Arc::clone(pulse)))).map(Box::new);
        if self.taking.is_some() {
            tracing::debug!(peer = %self.peer, "a file goes straight to the writer");
        }
        self.taking.is_some()
    }

    fn begin(&mut self, sending: Sending) {
        self.recall.write_head(sending.recalled(), &mut self.head);
        self.sending = Some(Box::new(sending));
    }

    /// Keeps a request that came alone and whole: its answer may be one to be given again. Of a PUT it keeps the head, because of
    /// what others may have in common with it.
    fn keep_head(&mut self, read: &[u8], requests: u64) {
        let alone = self.framing.is_between() && self.framing.requests() == requests + 1;
        let head = if alone && read.starts_with(b"PUT ") {
            read.windows(4).position(|end| end == b"\r\n\r\n").map(|at| read[..at + 4].to_vec())
        } else {
            (alone && recall::may_be_asked(read)).then(|| read.to_vec())
        };
        *self.notes.head.lock().unwrap_or_else(PoisonError::into_inner) = head;
    }
}

impl<S: AsyncRead + AsyncWrite + Plain + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        loop {
            ready!(this.poll_sending(cx))?;
            if !this.refused.is_empty() {
                let read = this.refused.split_to(this.refused.len().min(buffer.remaining()));
                buffer.put_slice(&read);
                this.look(&read);
                return Poll::Ready(Ok(()));
            }
            let at_rest = this.is_at_rest();
            if Pin::new(&mut this.stream).poll_read(cx, buffer)?.is_pending() {
                if at_rest && this.again >= STEADY && this.notes.sends_files {
                    this.notes.steady.store(true, Relaxed);
                }
                return Poll::Pending;
            }
            let read = &buffer.filled()[before..];
            if at_rest && this.answers(read) {
                // A lane takes no files.
                this.again = if this.taking.is_some() { 0 } else { this.again + 1 };
                buffer.set_filled(before);
                continue;
            }
            this.again = 0;
            let requests = this.framing.requests();
            this.look(read);
            if at_rest {
                this.keep_head(read, requests);
            }
            return Poll::Ready(Ok(()));
        }
    }
}

impl<S: AsyncWrite + Plain + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.sends_instead() {
            return Poll::Ready(Ok(bytes.len()));
        }
        if self.notes.is_silent() {
            self.hold_back(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.sends_instead() {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        if self.notes.is_silent() {
            self.hold_back(slices.iter().find(|slice| !slice.is_empty()).map_or(&[], |slice| &**slice));
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// The parser flushes when it has nothing left to write: from here on, what it writes without a request is its own.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_sending(cx))?;
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if !self.notes.pulse.is_running() {
            self.notes.answering.store(false, Relaxed);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
