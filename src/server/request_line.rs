//! Request targets with a raw `#` (400): the parser of URIs drops a fragment silently, so what `DELETE /a#b` removes would be `a`.
//!
//! A look at the bytes while they pass, without following where messages begin and end: a request line is noticed where it
//! begins with what one read brings, and counts only for a request whose method and target it has. A request that was sent
//! together with the end of the one before it (pipelining) is not noticed, nor one over HTTP/2.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use http::Method;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest request line that is looked at, in bytes.
const LONGEST: usize = 64 * 1024;

/// Longer words are no methods.
const LONGEST_METHOD: usize = 20;

/// The last line that could be a request's, if it has a `#`; shared by a connection's stream and its requests.
#[derive(Debug, Clone, Default)]
pub(super) struct Noticed(Arc<Mutex<Option<Vec<u8>>>>);

impl Noticed {
    /// Whether this request's target has a `#`.
    pub(super) fn is_of(&self, method: &Method, target: &str) -> bool {
        let line = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        line.is_some_and(|line| names(&line, method.as_str().as_bytes(), target.as_bytes()))
    }

    fn set(&self, line: Option<Vec<u8>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = line;
    }
}

/// Whether a request line has this method, and this target before its `#`. The target may stand in the absolute form.
fn names(line: &[u8], method: &[u8], target: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(method).and_then(|rest| rest.strip_prefix(b" ")) else { return false };
    rest.iter().position(|b| *b == b'#').is_some_and(|at| at == 0 || rest[..at].ends_with(target))
        && line.trim_ascii_end().rsplit(|b| *b == b' ').next().is_some_and(|last| last.starts_with(b"HTTP/"))
}

/// A stream of which every read is looked at.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    noticed: Noticed,
    /// The beginning of a request line of which the end has not come yet.
    begun: Vec<u8>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S) -> (Self, Noticed) {
        let noticed = Noticed::default();
        (Self { stream, noticed: noticed.clone(), begun: Vec::new() }, noticed)
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    fn look(&mut self, read: &[u8]) {
        if self.begun.is_empty() && !begins_with_method(read) {
            return;
        }
        let end = read.iter().position(|b| *b == b'\n');
        let piece = &read[..end.unwrap_or(read.len())];
        if self.begun.is_empty() && end.is_some() {
            self.noticed.set(piece.contains(&b'#').then(|| piece.to_vec()));
            return;
        }
        self.begun.extend_from_slice(piece);
        if end.is_some() {
            let line = std::mem::take(&mut self.begun);
            self.noticed.set(line.contains(&b'#').then_some(line));
        } else if self.begun.len() > LONGEST {
            self.begun = Vec::new();
        }
    }
}

/// Whether bytes can be the beginning of a request line: upper-case letters, then a space, or nothing yet.
fn begins_with_method(read: &[u8]) -> bool {
    let letters = read.iter().take(LONGEST_METHOD + 1).take_while(|b| b.is_ascii_uppercase() || **b == b'-').count();
    (1..=LONGEST_METHOD).contains(&letters) && read.get(letters).is_none_or(|b| *b == b' ')
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let Poll::Ready(Ok(())) = &read {
            self.look(&buffer.filled()[before..]);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn noticed(reads: &[&str], method: &str, target: &str) -> bool {
        let (mut watched, noticed) = Watched::new(());
        for read in reads {
            watched.look(read.as_bytes());
        }
        noticed.is_of(&Method::from_bytes(method.as_bytes()).expect("a method"), target)
    }

    #[test]
    fn a_fragment_is_noticed_at_the_beginning_of_a_read() {
        for (reads, method, target, expected) in [
            (&["DELETE /c/b/a#f HTTP/1.1\r\nHost: x\r\n\r\n"][..], "DELETE", "/c/b/a", true),
            (&["GET http://h/a?q#f HTTP/1.1\r\n\r\n"], "GET", "/a?q", true),
            (&["GET #f HTTP/1.1\r\n\r\n"], "GET", "/", true),
            (&["PROP", "FIND /a", "#f HTT", "P/1.1\r", "\n\r\n"], "PROPFIND", "/a", true),
            (&["GET /a HTTP/1.1\r\nReferer: /x#y\r\n\r\n"], "GET", "/a", false),
            (&["PUT /a HTTP/1.1\r\n\r\n", "PUT /b#f HTTP/1.1\r\nbody"], "PUT", "/a", false),
            (&["PUT /a HTTP/1.1\r\n\r\n", "GET /a#f HTTP/1.1\n", "GET /a HTTP/1.1\r\n\r\n"], "GET", "/a", false),
            (&["PUT /a HTTP/1.1\r\n\r\n", "GET /a#f is text\n"], "GET", "/a", false),
            (&["lower /a#f HTTP/1.1\r\n"], "GET", "/a", false),
        ] {
            assert_eq!(noticed(reads, method, target), expected, "{reads:?}");
        }
    }

    #[test]
    fn what_was_noticed_counts_once() {
        let (mut watched, noticed) = Watched::new(());
        watched.look(b"GET /a#f HTTP/1.1\r\n\r\n");
        assert!(noticed.is_of(&Method::GET, "/a"));
        assert!(!noticed.is_of(&Method::GET, "/a"));
    }
}
