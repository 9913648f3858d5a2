//! An answer that is given again, on its way to the client: head and content in one call where the content is in memory, else the
//! head, and then the file from kernel to socket.

use std::fs::File;
use std::future::Future as _;
use std::io::{self, IoSlice, Write as _};
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;
use tokio::task::{JoinHandle, spawn_blocking};

use super::middleware::Line;
use super::paced::{Paced, Plain};
use super::recall::{Recalled, Source};
use crate::storage::known;
use crate::web::pulse::Exchange;

/// How much of a file one call sends: what the client reads next is still in the processor's memory then.
const PIECE: u64 = 256 * 1024;

/// How many pieces go to one client before others have their turn.
const PIECES: usize = 8;

/// How much of a file is brought into memory at once where it is not there.
const FETCH: u64 = 2 * 1024 * 1024;

/// An answer on its way.
#[derive(Debug)]
pub(super) struct Sending {
    recalled: Recalled,
    line: Line,
    /// What of the head has been sent.
    head: usize,
    rest: Rest,
    sent: u64,
    exchange: Exchange,
}

#[derive(Debug)]
enum Rest {
    Bytes(Bytes),
    File {
        file: Arc<File>,
        at: u64,
        left: u64,
        /// Up to where the file is known to be in memory.
        there: u64,
        fetching: Option<JoinHandle<()>>,
    },
}

impl Rest {
    fn is_empty(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::File { left, .. } => *left == 0,
        }
    }
}

impl Sending {
    pub(super) fn new(mut recalled: Recalled, line: Line, exchange: Exchange) -> Self {
        let source = std::mem::replace(&mut recalled.source, Source::Bytes(Bytes::new()));
        let rest = match source {
            Source::Bytes(bytes) => Rest::Bytes(bytes),
            Source::File(file, span) => {
                let (at, left) = (span.first, span.length());
                Rest::File { file, at, left, there: at, fetching: None }
            }
        };
        Self { recalled, line, head: 0, rest, sent: 0, exchange }
    }

    pub(super) fn recalled(&self) -> &Recalled {
        &self.recalled
    }

    /// Sends what the client takes; ready when all has gone.
    pub(super) fn poll_send<S>(&mut self, cx: &mut Context<'_>, stream: &mut S, head: &[u8]) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Plain + Unpin,
    {
        for _ in 0..PIECES {
            if self.head == head.len() && self.rest.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let sent = self.poll_more(cx, stream, &head[self.head..]);
            self.exchange.turn(!matches!(&sent, Poll::Pending) || self.is_fetching());
            if ready!(sent)? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_fetching(&self) -> bool {
        matches!(&self.rest, Rest::File { fetching: Some(_), .. })
    }

    /// Sends some bytes and counts them.
    fn poll_more<S>(&mut self, cx: &mut Context<'_>, stream: &mut S, head: &[u8]) -> Poll<io::Result<usize>>
    where
        S: AsyncWrite + Plain + Unpin,
    {
        match &mut self.rest {
            Rest::Bytes(bytes) => {
                let sent = match head {
                    [] => ready!(Pin::new(stream).poll_write(cx, bytes))?,
                    head => {
                        ready!(Pin::new(stream).poll_write_vectored(cx, &[IoSlice::new(head), IoSlice::new(bytes)]))?
                    }
                };
                self.note(sent, head.len());
                Poll::Ready(Ok(sent))
            }
            Rest::File { file, at, left, there, fetching } => {
                if !head.is_empty() {
                    // Not held back until the file follows: pages behind bytes in one packet cost the kernel half as much again.
                    let sent = ready!(Pin::new(stream).poll_write(cx, head))?;
                    self.note(sent, head.len());
                    return Poll::Ready(Ok(sent));
                }
                let Some(socket) = stream.plain() else {
                    return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
                };
                let piece = PIECE.min(*left);
                if *there < *at + piece {
                    ready!(poll_fetched(cx, file, *at, piece, (*left).min(FETCH), fetching));
                    *there = *at + piece;
                }
                let sent = ready!(socket.poll_send_file(cx, file, *at, piece as usize))?;
                self.note(sent, 0);
                Poll::Ready(Ok(sent))
            }
        }
    }

    /// Counts bytes that the socket has taken. `head`: how much of the head was left before.
    fn note(&mut self, sent: usize, head: usize) {
        let of_head = sent.min(head);
        let of_body = sent - of_head;
        self.head += of_head;
        self.sent += of_body as u64;
        match &mut self.rest {
            Rest::Bytes(bytes) => bytes.advance(of_body),
            Rest::File { at, left, .. } => {
                *at += of_body as u64;
                *left -= of_body as u64;
            }
        }
    }

    /// Sends what can be sent without waiting for anything; tells whether that was all. What is long takes its turns on the other way.
    pub(super) fn send_now(&mut self, mut socket: &TcpStream, head: &[u8]) -> io::Result<bool> {
        while self.head < head.len() || !self.rest.is_empty() {
            let head = &head[self.head..];
            let sent = match &self.rest {
                Rest::Bytes(bytes) => socket.write_vectored(&[IoSlice::new(head), IoSlice::new(bytes)]),
                Rest::File { .. } if !head.is_empty() => socket.write(head),
                Rest::File { file, at, left, .. } if *left <= PIECE && known::is_at_hand(file, *at, *left) => {
                    known::send(file, socket, *at, *left as usize)
                }
                Rest::File { .. } => return Ok(false),
            };
            match sent {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(sent) => {
                    self.exchange.pulse().wrote(sent);
                    self.note(sent, head.len());
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }
}

/// Ready when a piece of a file is in memory: at once, or when a thread that may wait has read it and more.
fn poll_fetched(
    cx: &mut Context<'_>,
    file: &Arc<File>,
    at: u64,
    piece: u64,
    more: u64,
    fetching: &mut Option<JoinHandle<()>>,
) -> Poll<()> {
    if fetching.is_none() {
        if known::is_at_hand(file, at, piece) {
            return Poll::Ready(());
        }
        let file = Arc::clone(file);
        *fetching = Some(spawn_blocking(move || known::fetch(&file, at, more)));
    }
    if let Some(job) = fetching {
        // A job that failed says no more than the sending will.
        drop(ready!(Pin::new(job).poll(cx)));
    }
    *fetching = None;
    Poll::Ready(())
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.line.write(self.recalled.status, self.sent, self.rest.is_empty());
    }
}

impl Paced {
    fn poll_send_file(&self, cx: &mut Context<'_>, file: &File, at: u64, length: usize) -> Poll<io::Result<usize>> {
        self.poll_socket(cx, |socket| known::send(file, socket, at, length))
    }
}
