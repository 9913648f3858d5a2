//! Small files that are put one after the other, taken below the parser of HTTP.
//!
//! A PUT that was answered without a visit to the blocking pool leaves what further ones have in common (`dav/put/again.rs`). On the same
//! connection, one that came whole in one read and whose head is the same, byte for byte but for the name of the file and the
//! length, goes straight to the writer. What is refused there goes to the parser after all, as if nothing had happened; so errors
//! have one form.

use std::future::Future as _;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, ETAG};
use http::{HeaderMap, Method, StatusCode};
use tokio::io::AsyncWrite;
use tokio::sync::oneshot;

use super::App;
use super::middleware::Line;
use super::recall::{self, Recall};
use crate::base::path::ResourcePath;
use crate::dav::PutAgain;
use crate::snapshot::gate::Writing;
use crate::storage::Result as Stored;
use crate::storage::operation::put::PutOutcome;
use crate::web::pulse::Exchange;

/// Longer heads are not kept, in bytes.
const LONGEST_HEAD: usize = 2048;

/// Headers with which nothing is kept: each request may mean something else by them.
const NOT_WITH: [&str; 8] = [
    "content-encoding",
    "content-range",
    "expect",
    "transfer-encoding",
    "upgrade",
    "x-expected-entity-length",
    "x-oc-mtime",
    "x-personium-requestkey",
];

/// What the PUTs of one connection have in common.
#[derive(Debug)]
pub(super) struct Template {
    /// Up to where the path below the box begins.
    begin: Vec<u8>,
    /// From the end of the target to the length.
    middle: Vec<u8>,
    /// From the end of the length to the body.
    end: Vec<u8>,
    /// The lines of the answer that are the same each time.
    lines: Vec<u8>,
    app: Arc<App>,
    put: Arc<PutAgain>,
}

impl Template {
    /// From the head of a request and what was answered; `path` is the request's as the log has it.
    pub(super) fn of(app: &Arc<App>, head: &[u8], put: Arc<PutAgain>, answer: &HeaderMap, path: &str) -> Option<Self> {
        let plain = [CONNECTION, CONTENT_ENCODING].iter().all(|name| !answer.contains_key(name));
        if head.len() > LONGEST_HEAD || !plain || app.config.import.strict_status {
            return None;
        }
        let target = head.strip_prefix(b"PUT ")?;
        let target = &target[..target.iter().position(|b| *b == b' ')?];
        let below = put.path().to_string();
        // What was asked for is what was meant, without any mapping or encoding.
        if target != path.as_bytes() || !is_plain(below.as_bytes()) || !target.ends_with(below.as_bytes()) {
            return None;
        }
        let after = 4 + target.len();
        let (from, to) = length_of(&head[after..])?;
        let mut headers = answer.clone();
        headers.remove(ETAG);
        headers.remove(CONTENT_LENGTH);
        Some(Self {
            begin: head[..after - below.len()].to_vec(),
            middle: head[after..after + from].to_vec(),
            end: head[after + to..].to_vec(),
            lines: recall::lines(&headers),
            app: Arc::clone(app),
            put,
        })
    }

    /// Hands the file to the writer that a read brought, if that is all it brought.
    pub(super) fn take(self: &Arc<Self>, read: &[u8], begin: impl FnOnce() -> Exchange) -> Option<Taking> {
        let rest = read.strip_prefix(self.begin.as_slice())?;
        let (name, rest) = rest.split_at(rest.iter().position(|b| *b == b' ')?);
        let rest = rest.strip_prefix(self.middle.as_slice())?;
        let (digits, rest) = rest.split_at(rest.iter().position(|b| !b.is_ascii_digit())?);
        let body = rest.strip_prefix(self.end.as_slice())?;
        let length: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
        if length != body.len() || !is_plain(name) || self.app.disk_is_almost_full() {
            return None;
        }
        let cell = self.put.cell();
        if !self.app.event_log.is_quiet(cell) {
            return None;
        }
        let writing = self.app.transfers.gates().enter(cell).ok()?;
        let path = ResourcePath::parse(std::str::from_utf8(name).ok()?).ok()?;
        let request = Bytes::copy_from_slice(read);
        let answer = self.put.put(path, request.slice(read.len() - length..))?;
        let path = if Line::is_wanted() {
            String::from_utf8_lossy(&read[4..self.begin.len() + name.len()])
        } else {
            "".into()
        };
        Some(Taking {
            template: Arc::clone(self),
            request,
            answer,
            writing: Some(writing),
            line: Line::new(Instant::now(), Method::PUT, path.into_owned()),
            status: None,
            head: Vec::new(),
            sent: 0,
            exchange: begin(),
        })
    }
}

/// Where the digits of the one `Content-Length` begin and end in what follows a target; none if the head has anything that may mean
/// something else each time.
fn length_of(head: &[u8]) -> Option<(usize, usize)> {
    let text = std::str::from_utf8(head).ok()?;
    let lines = text.strip_prefix(" HTTP/1.1\r\n")?.strip_suffix("\r\n\r\n")?;
    let mut at = text.len() - lines.len() - 4;
    let mut found = None;
    for line in lines.split("\r\n") {
        let (name, value) = line.split_once(':')?;
        let name = name.to_ascii_lowercase();
        if NOT_WITH.contains(&name.as_str()) || name.starts_with("if") {
            return None;
        }
        if name == "connection" && !value.trim().eq_ignore_ascii_case("keep-alive") {
            return None;
        }
        if name == "content-length" {
            let digits = value.trim();
            if found.is_some() || digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            let from = at + line.len() - value.trim_start().len();
            found = Some((from, from + digits.len()));
        }
        at += line.len() + 2;
    }
    found
}

/// Whether a path means what it looks like: nothing in it is encoded or goes elsewhere.
fn is_plain(path: &[u8]) -> bool {
    let unreserved = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'/');
    path.iter().all(unreserved) && path.split(|b| *b == b'/').all(|name| !matches!(name, b"" | b"." | b".."))
}

/// A file that the writer has, until its answer has been sent.
#[derive(Debug)]
pub(super) struct Taking {
    template: Arc<Template>,
    /// As it came.
    request: Bytes,
    answer: oneshot::Receiver<Stored<PutOutcome>>,
    /// An import waits for it.
    writing: Option<Writing>,
    line: Line,
    status: Option<StatusCode>,
    head: Vec<u8>,
    sent: usize,
    exchange: Exchange,
}

/// How it ended.
pub(super) enum Taken {
    Answered,
    /// The parser has to be asked, with these bytes.
    Refused(Bytes),
}

impl Taking {
    /// Ready when all has been sent, or is known not to be.
    pub(super) fn poll<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        recall: &Recall,
    ) -> Poll<io::Result<Taken>> {
        if self.status.is_none() {
            match ready!(Pin::new(&mut self.answer).poll(cx)) {
                Ok(Ok(outcome)) => self.say(&outcome, recall),
                Ok(Err(_)) | Err(_) => return Poll::Ready(Ok(Taken::Refused(self.request.clone()))),
            }
            self.writing = None;
        }
        while self.sent < self.head.len() {
            let sent = Pin::new(&mut *stream).poll_write(cx, &self.head[self.sent..]);
            self.exchange.turn(sent.is_ready());
            match ready!(sent)? {
                0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                sent => self.sent += sent,
            }
        }
        Poll::Ready(Ok(Taken::Answered))
    }

    fn say(&mut self, outcome: &PutOutcome, recall: &Recall) {
        let (status, begin): (_, &[u8]) = if outcome.created {
            (StatusCode::CREATED, b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n")
        } else {
            (StatusCode::NO_CONTENT, b"HTTP/1.1 204 No Content\r\n")
        };
        self.status = Some(status);
        self.head.reserve(begin.len() + self.template.lines.len() + 128);
        self.head.extend_from_slice(begin);
        self.head.extend_from_slice(&self.template.lines);
        let written = write!(self.head, "etag: {}\r\ndate: ", outcome.resource.etag());
        debug_assert!(written.is_ok(), "a vector takes everything");
        self.head.extend_from_slice(&recall.date_now());
        self.head.extend_from_slice(b"\r\n\r\n");
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        // Of what is refused the long way tells.
        if let Some(status) = self.status {
            self.line.write(status, 0, self.sent == self.head.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_found_where_nothing_else_differs() {
        for (head, digits) in [
            (" HTTP/1.1\r\nHost: x\r\nContent-Length: 4096\r\nA: b\r\n\r\n", Some("4096")),
            (" HTTP/1.1\r\ncontent-length:7\r\n\r\n", Some("7")),
            (" HTTP/1.1\r\nContent-Length:  7 \r\n\r\n", Some("7")),
            (" HTTP/1.1\r\nContent-Length: 7\r\nContent-Length: 7\r\n\r\n", None),
            (" HTTP/1.1\r\nContent-Length: +7\r\n\r\n", None),
            (" HTTP/1.1\r\nHost: x\r\n\r\n", None),
            (" HTTP/1.0\r\nContent-Length: 7\r\n\r\n", None),
            (" HTTP/1.1\r\nContent-Length: 7\r\nIf-Match: *\r\n\r\n", None),
            (" HTTP/1.1\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\r\n", None),
            (" HTTP/1.1\r\nContent-Length: 7\r\nConnection: close\r\n\r\n", None),
            (" HTTP/1.1\r\nContent-Length: 7\r\nConnection: keep-alive\r\n\r\n", Some("7")),
            (" HTTP/1.1\r\nContent-Length: 7\r\nno colon\r\n\r\n", None),
        ] {
            assert_eq!(length_of(head.as_bytes()).map(|(from, to)| &head[from..to]), digits, "{head:?}");
        }
    }

    #[test]
    fn only_paths_without_any_trick_are_plain() {
        for plain in ["a", "a/b.txt", "a-b/c_d/~e", "..a", "a/.b"] {
            assert!(is_plain(plain.as_bytes()), "{plain}");
        }
        for other in ["", "/a", "a/", "a//b", ".", "a/..", "./a", "a%20b", "a?b", "a#b", "a b", "a\\b", "\u{e9}", "a;b"]
        {
            assert!(!is_plain(other.as_bytes()), "{other}");
        }
    }
}
