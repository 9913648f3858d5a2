//! Answers that are given again without asking anybody: the same request, byte for byte, for a file of which neither the rows nor
//! the content have changed since it was last answered, or for a listing of rows that have not.
//!
//! A GET or PROPFIND that was answered on the usual way may leave a [`Recallable`] behind; it is kept under the bytes of the
//! request, a GET's without a `Range`, and the client's address. What decides the answer is then either in those bytes, or is asked of the file again:
//! whether it and its cell are as they were (`storage/known.rs`). A caller whose word does not last is kept for as long as it
//! does. Heads hold secrets: they are compared whole, found under a hash with a key of this process, and forgotten with the
//! place they take.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE};
use http::{HeaderMap, Method, StatusCode, Version};

use super::middleware::Line;
use crate::base::clock;
use crate::storage::known::Moment;
use crate::web::range::Span;
use crate::web::recallable::{Recallable, What};

/// How many answers are kept; each has one place.
const PLACES: usize = 4096;

/// Longer requests are not kept, in bytes.
const LONGEST_REQUEST: usize = 2048;

/// Longer contents of files are read anew each time, and longer documents are not kept.
const LONGEST_CONTENT: usize = 16 * 1024;
const LONGEST_DOCUMENT: usize = 128 * 1024;

/// How many bytes of both are kept in all, and how many places are emptied at a time to make room.
const CONTENTS: usize = 16 * 1024 * 1024;
const FORGOTTEN: usize = 256;

/// How long `Wed, 01 May 2024 10:20:30 GMT` is.
const DATE: usize = 29;

/// Headers with which an answer is not kept: what they ask for may change by itself.
const NOT_WITH: [&str; 6] =
    ["expect", "http2-settings", "if", "transfer-encoding", "upgrade", "x-personium-requestkey"];

/// Whether the answer to a request may be kept, as far as its head tells.
pub(super) fn may_be_kept<B>(request: &http::Request<B>) -> bool {
    let headers = request.headers();
    let stays = headers.get(CONNECTION).is_none_or(|value| value.as_bytes().eq_ignore_ascii_case(b"keep-alive"));
    let body_counts = request.method() != Method::GET || !headers.contains_key(CONTENT_LENGTH);
    let alike = NOT_WITH.iter().all(|name| !headers.contains_key(*name));
    stays && body_counts && alike && request.version() == Version::HTTP_11
}

/// Whether the bytes of one request are of a kind that may be kept.
pub(super) fn may_be_asked(request: &[u8]) -> bool {
    request.len() <= LONGEST_REQUEST && (is_get(request) || request.starts_with(b"PROPFIND "))
}

fn is_get(request: &[u8]) -> bool {
    request.starts_with(b"GET ")
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers that may be given again.
#[derive(Debug)]
pub(super) struct Recall {
    places: Vec<Mutex<Option<Arc<Kept>>>>,
    hash: RandomState,
    /// Bytes of content that are kept.
    contents: Arc<AtomicUsize>,
    /// Which place makes room next.
    next: AtomicUsize,
    /// The second that was last written as a date.
    date: Mutex<(i64, [u8; DATE])>,
}

/// One of them.
#[derive(Debug)]
struct Kept {
    peer: IpAddr,
    /// The request; that of a file without its `Range`.
    request: Vec<u8>,
    /// Of the whole.
    status: StatusCode,
    /// The lines of the answer that are the same each time.
    lines: Vec<u8>,
    what: Arc<Recallable>,
    content: Option<Bytes>,
    contents: Arc<AtomicUsize>,
    /// Of the whole, in bytes.
    size: u64,
    ranges: bool,
    /// As the log has them.
    method: Method,
    path: String,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.contents.fetch_sub(self.content.as_ref().map_or(0, Bytes::len), Relaxed);
    }
}

impl Kept {
    /// Whether this is that request of that peer.
    fn is_of(&self, peer: IpAddr, head: [&[u8]; 2]) -> bool {
        self.peer == peer
            && self.request.len() == head[0].len() + head[1].len()
            && self.request.starts_with(head[0])
            && self.request.ends_with(head[1])
    }
}

/// What a connection was answered last, and the file that it came from.
#[derive(Debug)]
pub(super) struct Latest {
    kept: Arc<Kept>,
    file: Option<Arc<File>>,
}

impl Latest {
    /// The bytes of an answer, if neither rows nor file have changed.
    fn source(&mut self, moment: Moment, span: Option<Span>, files: bool) -> Option<Source> {
        let file = &self.kept.what.known;
        let (first, length) = span.map_or((0, self.kept.size), |span| (span.first, span.length()));
        if let Some(content) = &self.kept.content {
            let bytes = || content.slice(first as usize..(first + length) as usize);
            return file.is_current(moment).then(|| Source::Bytes(bytes()));
        }
        if !files || length == 0 {
            return None;
        }
        if !(self.file.is_some() && file.is_current(moment)) {
            self.file = Some(Arc::new(file.open()?));
        }
        Some(Source::File(self.file.clone()?, Span { first, last: first + length - 1 }))
    }
}

/// Where the bytes of an answer come from.
#[derive(Debug)]
pub(super) enum Source {
    Bytes(Bytes),
    /// These bytes of a file.
    File(Arc<File>, Span),
}

/// An answer that can be given again now.
#[derive(Debug)]
pub(super) struct Recalled {
    kept: Arc<Kept>,
    pub(super) status: StatusCode,
    pub(super) source: Source,
    /// Of the body, in bytes.
    pub(super) length: u64,
    /// The part of the file that was asked for.
    span: Option<Span>,
}

impl Recalled {
    /// The path of the request, as the log has it.
    pub(super) fn path(&self) -> &str {
        &self.kept.path
    }

    /// Of the log, which begins now.
    pub(super) fn line(&self) -> Line {
        Line::again(&self.kept.method, &self.kept.path)
    }
}

impl Default for Recall {
    fn default() -> Self {
        Self {
            places: std::iter::repeat_with(Mutex::default).take(PLACES).collect(),
            hash: RandomState::new(),
            contents: Arc::default(),
            next: AtomicUsize::new(0),
            date: Mutex::new((-1, [b' '; DATE])),
        }
    }
}

impl Recall {
    fn place(&self, peer: IpAddr, head: [&[u8]; 2]) -> &Mutex<Option<Arc<Kept>>> {
        let mut hasher = self.hash.build_hasher();
        match peer {
            IpAddr::V4(ip) => hasher.write_u32(ip.to_bits()),
            IpAddr::V6(ip) => hasher.write_u128(ip.to_bits()),
        }
        for part in head {
            hasher.write(part);
        }
        &self.places[hasher.finish() as usize % PLACES]
    }

    /// Keeps an answer under its request, as it came, of which [`may_be_kept`] and [`may_be_asked`] were asked. `body`: the whole of a
    /// document.
    pub(super) fn keep(
        &self,
        peer: IpAddr,
        request: &[u8],
        parts: &http::response::Parts,
        body: Option<&Bytes>,
        what: Arc<Recallable>,
        line: &Line,
    ) {
        if parts.headers.contains_key(CONNECTION) {
            return;
        }
        let (request, content, size, ranges) = match &what.what {
            What::Document => {
                let Some(body) = body.filter(|body| body.len() <= LONGEST_DOCUMENT && self.has_room(body.len())) else {
                    return;
                };
                ([request, &[]], Some(body.clone()), body.len() as u64, false)
            }
            What::File { content, ranges } => {
                let whole = match parts.status {
                    StatusCode::OK => true,
                    StatusCode::PARTIAL_CONTENT => parts.headers.contains_key(CONTENT_RANGE),
                    _ => false,
                };
                let plain = whole && !parts.headers.contains_key(CONTENT_ENCODING);
                let Some((request, _)) = without_range(request).filter(|_| plain) else { return };
                let fits = |content: &&Bytes| content.len() <= LONGEST_CONTENT && self.has_room(content.len());
                (request, content.as_ref().filter(fits).cloned(), what.known.size(), *ranges)
            }
        };
        self.contents.fetch_add(content.as_ref().map_or(0, Bytes::len), Relaxed);
        let is_document = matches!(what.what, What::Document);
        let kept = Kept {
            peer,
            request: request.concat(),
            status: if is_document { parts.status } else { StatusCode::OK },
            lines: lines(&parts.headers),
            what,
            content,
            contents: Arc::clone(&self.contents),
            size,
            ranges,
            method: line.method().clone(),
            path: line.path().to_owned(),
        };
        let before = locked(self.place(peer, request)).replace(Arc::new(kept));
        drop(before);
    }

    /// Whether so many bytes more may be kept. Where they may not, some others are forgotten.
    fn has_room(&self, bytes: usize) -> bool {
        let fits = || self.contents.load(Relaxed) + bytes <= CONTENTS;
        for _ in 0..FORGOTTEN {
            if fits() {
                return true;
            }
            let before = locked(&self.places[self.next.fetch_add(1, Relaxed) % PLACES]).take();
            drop(before);
        }
        fits()
    }

    /// The answer to a request with this head, if it can be given again. `files`: whether it may come out of a file.
    pub(super) fn find(&self, peer: IpAddr, head: &[u8], files: bool) -> Option<Recalled> {
        self.find_after(Moment::next(), peer, head, files, &mut None)
    }

    /// As [`Self::find`], for a request that had begun to come before a moment, on a connection with a latest answer.
    pub(super) fn find_after(
        &self,
        moment: Moment,
        peer: IpAddr,
        head: &[u8],
        files: bool,
        latest: &mut Option<Latest>,
    ) -> Option<Recalled> {
        if !may_be_asked(head) {
            return None;
        }
        let (head, range) = if is_get(head) { without_range(head)? } else { ([head, &[]], None) };
        loop {
            let known = match latest {
                Some(known) if known.kept.is_of(peer, head) => known,
                _ => {
                    let kept = locked(self.place(peer, head)).clone().filter(|kept| kept.is_of(peer, head))?;
                    latest.insert(Latest { kept, file: None })
                }
            };
            if Instant::now() >= known.kept.what.until {
                return None;
            }
            let size = known.kept.size;
            let span = match range.filter(|_| known.kept.ranges) {
                Some(range) => Some(simple_span(range, size)?),
                None => None,
            };
            if let Some(source) = known.source(moment, span, files) {
                let status = if span.is_some() { StatusCode::PARTIAL_CONTENT } else { known.kept.status };
                let length = span.map_or(size, Span::length);
                return Some(Recalled { kept: Arc::clone(&known.kept), status, source, length, span });
            }
            let stale = latest.take()?.kept;
            let mut place = locked(self.place(peer, head));
            if place.take_if(|other| Arc::ptr_eq(other, &stale)).is_some() || place.is_none() {
                return None;
            }
            // Another connection has kept a newer one.
        }
    }

    /// Writes the head of an answer.
    pub(super) fn write_head(&self, recalled: &Recalled, head: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        let mut number = |head: &mut Vec<u8>, number: u64| head.extend_from_slice(digits.format(number).as_bytes());
        let size = recalled.kept.size;
        let status: &[u8] = match recalled.status {
            StatusCode::PARTIAL_CONTENT => b"HTTP/1.1 206 Partial Content\r\n",
            StatusCode::MULTI_STATUS => b"HTTP/1.1 207 Multi-Status\r\n",
            _ => b"HTTP/1.1 200 OK\r\n",
        };
        head.clear();
        head.extend_from_slice(status);
        head.extend_from_slice(&recalled.kept.lines);
        if let Some(Span { first, last }) = recalled.span {
            head.extend_from_slice(b"content-range: bytes ");
            number(head, first);
            head.push(b'-');
            number(head, last);
            head.push(b'/');
            number(head, size);
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"content-length: ");
        number(head, recalled.length);
        head.extend_from_slice(b"\r\ndate: ");
        head.extend_from_slice(&self.date_now());
        head.extend_from_slice(b"\r\n\r\n");
    }

    pub(super) fn date_now(&self) -> [u8; DATE] {
        let now = clock::now_ms();
        let mut date = locked(&self.date);
        if date.0 != now / 1000
            && let Ok(text) = clock::http_date(now).into_bytes().try_into()
        {
            *date = (now / 1000, text);
        }
        date.1
    }
}

/// The headers of an answer as they are sent, without those that differ each time.
pub(super) fn lines(headers: &HeaderMap) -> Vec<u8> {
    let mut lines = Vec::with_capacity(512);
    for (name, value) in headers.iter().filter(|(name, _)| ![CONTENT_LENGTH, CONTENT_RANGE].contains(name)) {
        lines.extend_from_slice(name.as_str().as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value.as_bytes());
        lines.extend_from_slice(b"\r\n");
    }
    lines
}

/// A head before and after its `Range`, and the value of that.
type Parted<'h> = ([&'h [u8]; 2], Option<&'h [u8]>);

/// What is before and after the one `Range` of a head, and its value; none if there are several.
fn without_range(head: &[u8]) -> Option<Parted<'_>> {
    const NAME: &[u8] = b"range:";
    let mut found = None;
    let mut at = 0;
    while let Some(length) = head[at..].iter().position(|b| *b == b'\n') {
        let line = &head[at..=at + length];
        if line.len() > NAME.len() && line[0] | 0x20 == b'r' && line[..NAME.len()].eq_ignore_ascii_case(NAME) {
            if found.is_some() {
                return None;
            }
            found = Some((at, at + length + 1));
        }
        at += length + 1;
    }
    Some(match found {
        None => ([head, &[]], None),
        Some((begin, end)) => ([&head[..begin], &head[end..]], Some(head[begin + NAME.len()..end].trim_ascii())),
    })
}

/// `bytes=a-b` within a file of this size; all other forms go the usual way.
fn simple_span(range: &[u8], size: u64) -> Option<Span> {
    let (first, last) = std::str::from_utf8(range).ok()?.strip_prefix("bytes=")?.split_once('-')?;
    let number =
        |digits: &str| digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u64>().ok()).flatten();
    let (first, last) = (number(first)?, number(last)?);
    (first <= last && first < size).then(|| Span { first, last: last.min(size - 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_out_wherever_it_stands() {
        for (head, rest, range) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", None),
            (
                "GET / HTTP/1.1\r\nRange: bytes=1-2\r\nHost: x\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                Some("bytes=1-2"),
            ),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nrAnGe:bytes=1-\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                Some("bytes=1-"),
            ),
            ("GET / HTTP/1.1\r\nIf-Range: \"1\"\r\n\r\n", "GET / HTTP/1.1\r\nIf-Range: \"1\"\r\n\r\n", None),
            ("GET / HTTP/1.1\r\nX: range: 1\r\n\r\n", "GET / HTTP/1.1\r\nX: range: 1\r\n\r\n", None),
        ] {
            let (parts, found) = without_range(head.as_bytes()).expect("one range at most");
            assert_eq!(parts.concat(), rest.as_bytes(), "{head:?}");
            assert_eq!(found, range.map(str::as_bytes), "{head:?}");
        }
        assert!(without_range(b"GET / HTTP/1.1\r\nRange: bytes=1-2\r\nrange: bytes=3-4\r\n\r\n").is_none());
    }

    #[test]
    fn only_plain_spans_within_the_file_are_answered() {
        let span = |text: &str| simple_span(text.as_bytes(), 100).map(|span| (span.first, span.last));
        assert_eq!(span("bytes=0-0"), Some((0, 0)));
        assert_eq!(span("bytes=99-99"), Some((99, 99)));
        assert_eq!(span("bytes=10-1000"), Some((10, 99)));
        for other in
            ["bytes=100-101", "bytes=5-4", "bytes=-5", "bytes=5-", "bytes=1-2,3-4", "bytes=+1-2", "lines=1-2", ""]
        {
            assert_eq!(span(other), None, "{other}");
        }
    }
}
