//! The bytes of a connection on their way between the socket and the speaker of HTTP.
//!
//! `Paced` lies on the socket itself, below TLS, and notes signs of life. `Wire` lies between an HTTP/1 connection and its
//! parser: it follows the framing of requests, and holds back what the parser says by itself about a head that it cannot
//! read, so that this answer looks like all others.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use http::Method;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::framing::{Framing, Marked};
use crate::web::pulse::Pulse;

/// A socket that notes signs of life.
#[derive(Debug)]
pub(super) struct Paced {
    stream: TcpStream,
    pulse: Arc<Pulse>,
}

impl Paced {
    pub(super) fn new(stream: TcpStream, pulse: Arc<Pulse>) -> Self {
        Self { stream, pulse }
    }

    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(n)) => self.pulse.wrote(*n),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.pulse.block(),
        }
        written
    }
}

impl AsyncRead for Paced {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.pulse.hear();
        }
        read
    }
}

impl AsyncWrite for Paced {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The first bytes that every client of HTTP/2 sends.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream of which the first bytes have been looked at.
#[derive(Debug)]
pub(super) struct Opened<S> {
    stream: S,
    first: [u8; PREFACE.len()],
    /// What of `first` has not been read again: `first[begin..end]`.
    begin: usize,
    end: usize,
}

impl<S: AsyncRead + Unpin> Opened<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, first: [0; PREFACE.len()], begin: 0, end: 0 }
    }

    /// Waits for the first bytes and tells whether they are those of HTTP/2. The end of the stream is an error.
    pub(super) async fn begins_as_http2(&mut self) -> io::Result<bool> {
        while self.end < PREFACE.len() {
            let n = self.stream.read(&mut self.first[self.end..]).await?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.end += n;
            if self.first[..self.end] != PREFACE[..self.end] {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits for bytes without a buffer for many of them; false at the end of the stream.
    pub(super) async fn wake(&mut self) -> io::Result<bool> {
        if self.begin == self.end {
            (self.begin, self.end) = (0, 0);
            self.end = self.stream.read(&mut self.first).await?;
        }
        Ok(self.end > 0)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opened<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.begin == self.end {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let n = buffer.remaining().min(self.end - self.begin);
        buffer.put_slice(&self.first[self.begin..self.begin + n]);
        self.begin += n;
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
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, pulse: Arc<Pulse>) -> (Self, Arc<Notes>) {
        let notes = Arc::new(Notes {
            pulse,
            requests: AtomicU64::new(0),
            answering: AtomicBool::new(false),
            refused: AtomicU16::new(0),
            head_began: AtomicU64::new(0),
            has_marked: AtomicBool::new(false),
            marked: Mutex::default(),
        });
        (Self { stream, framing: Framing::new(), notes: Arc::clone(&notes) }, notes)
    }

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

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let Poll::Ready(Ok(())) = &read {
            self.look(&buffer.filled()[before..]);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
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
