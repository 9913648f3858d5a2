//! Answers that are given again without asking anybody: the same request, byte for byte, for a file of which neither the rows nor
//! the content have changed since it was last answered.
//!
//! A GET that was answered on the usual way may leave a [`Recallable`] behind; it is kept under the bytes of its head, without a
//! `Range`, and the client's address. What decides the answer is then either in those bytes, or is asked of the file again:
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
use http::{HeaderMap, StatusCode, Version};

use crate::base::clock;
use crate::web::range::Span;
use crate::web::recallable::Recallable;

/// How many answers are kept; each has one place.
const PLACES: usize = 4096;

/// Longer heads are not kept, in bytes.
const LONGEST_HEAD: usize = 2048;

/// Longer contents are read anew each time, and so is everything once this many bytes are kept.
const LONGEST_CONTENT: usize = 16 * 1024;
const CONTENTS: usize = 16 * 1024 * 1024;

/// How long `Wed, 01 May 2024 10:20:30 GMT` is.
const DATE: usize = 29;

/// Headers with which an answer is not kept: what they ask for may change by itself, or is no plain GET.
const NOT_WITH: [&str; 7] =
    ["content-length", "expect", "http2-settings", "if", "transfer-encoding", "upgrade", "x-personium-requestkey"];

/// Whether the answer to a request may be kept, as far as its head tells.
pub(super) fn may_be_kept<B>(request: &http::Request<B>) -> bool {
    let headers = request.headers();
    let stays = headers.get(CONNECTION).is_none_or(|value| value.as_bytes().eq_ignore_ascii_case(b"keep-alive"));
    stays && request.version() == Version::HTTP_11 && NOT_WITH.iter().all(|name| !headers.contains_key(*name))
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
    /// The second that was last written as a date.
    date: Mutex<(i64, [u8; DATE])>,
}

/// One of them.
#[derive(Debug)]
struct Kept {
    peer: IpAddr,
    /// The request without its `Range`.
    head: Vec<u8>,
    /// The lines of the answer that are the same each time.
    lines: Vec<u8>,
    what: Arc<Recallable>,
    content: Option<Bytes>,
    contents: Arc<AtomicUsize>,
    /// As the log has it.
    path: String,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.contents.fetch_sub(self.content.as_ref().map_or(0, Bytes::len), Relaxed);
    }
}

/// Where the bytes of an answer come from.
#[derive(Debug)]
pub(super) enum Source {
    Bytes(Bytes),
    /// These bytes of a file.
    File(File, Span),
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
}

impl Default for Recall {
    fn default() -> Self {
        let places = std::iter::repeat_with(Mutex::default).take(PLACES).collect();
        Self { places, hash: RandomState::new(), contents: Arc::default(), date: Mutex::new((-1, [b' '; DATE])) }
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

    /// Keeps an answer under the head of its request, whole and as it came, of which [`may_be_kept`] was asked.
    pub(super) fn keep(
        &self,
        peer: IpAddr,
        head: &[u8],
        parts: &http::response::Parts,
        what: Arc<Recallable>,
        path: &str,
    ) {
        let plain = [CONNECTION, CONTENT_ENCODING].iter().all(|name| !parts.headers.contains_key(name));
        let whole = match parts.status {
            StatusCode::OK => true,
            StatusCode::PARTIAL_CONTENT => parts.headers.contains_key(CONTENT_RANGE),
            _ => false,
        };
        let Some((head, _)) = without_range(head).filter(|_| plain && whole) else { return };
        let length = head[0].len() + head[1].len();
        if length > LONGEST_HEAD {
            return;
        }
        let content = what.content.clone().filter(|content| {
            content.len() <= LONGEST_CONTENT && self.contents.load(Relaxed) + content.len() <= CONTENTS
        });
        self.contents.fetch_add(content.as_ref().map_or(0, Bytes::len), Relaxed);
        let kept = Kept {
            peer,
            head: head.concat(),
            lines: lines(&parts.headers),
            what,
            content,
            contents: Arc::clone(&self.contents),
            path: path.to_owned(),
        };
        let before = locked(self.place(peer, head)).replace(Arc::new(kept));
        drop(before);
    }

    /// The answer to a request with this head, if it can be given again. `files`: whether it may come out of a file.
    pub(super) fn find(&self, peer: IpAddr, head: &[u8], files: bool) -> Option<Recalled> {
        if !head.starts_with(b"GET ") {
            return None;
        }
        let (head, range) = without_range(head)?;
        let place = self.place(peer, head);
        let kept = locked(place).clone()?;
        let same = kept.peer == peer
            && kept.head.len() == head[0].len() + head[1].len()
            && kept.head.starts_with(head[0])
            && kept.head.ends_with(head[1]);
        if !same || Instant::now() >= kept.what.until {
            return None;
        }
        let size = kept.what.file.size();
        let span = match range.filter(|_| kept.what.ranges) {
            Some(range) => Some(simple_span(range, size)?),
            None => None,
        };
        let (first, length) = span.map_or((0, size), |span| (span.first, span.length()));
        let source = match &kept.content {
            Some(content) if kept.what.file.is_current() => {
                Source::Bytes(content.slice(first as usize..(first + length) as usize))
            }
            None if files && length > 0 => {
                Source::File(kept.what.file.open()?, Span { first, last: first + length - 1 })
            }
            _ => {
                locked(place).take_if(|other| Arc::ptr_eq(other, &kept));
                return None;
            }
        };
        let status = if span.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        Some(Recalled { kept, status, source, length, span })
    }

    /// Writes the head of an answer.
    pub(super) fn write_head(&self, recalled: &Recalled, head: &mut Vec<u8>) {
        use std::io::Write as _;
        let size = recalled.kept.what.file.size();
        let status: &[u8] = match recalled.span {
            None => b"HTTP/1.1 200 OK\r\n",
            Some(_) => b"HTTP/1.1 206 Partial Content\r\n",
        };
        head.clear();
        head.extend_from_slice(status);
        head.extend_from_slice(&recalled.kept.lines);
        let written = match recalled.span {
            Some(Span { first, last }) => write!(head, "content-range: bytes {first}-{last}/{size}\r\n"),
            None => Ok(()),
        };
        let written = written.and_then(|()| write!(head, "content-length: {}\r\ndate: ", recalled.length));
        debug_assert!(written.is_ok(), "a vector takes everything");
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
