//! Where requests begin and end in the bytes of an HTTP/1 connection, as they come.
//!
//! Two things are to be known that the parser of HTTP does not tell: whether the head of a request has begun but not ended,
//! which is what has a time limit; and request targets with a raw `#` (400), because the parser of URIs drops a fragment
//! silently: what `DELETE /a#b` removes would be `a`. Framing that cannot be followed is left to that parser, which refuses it.

use std::collections::VecDeque;

use http::Method;

/// The longest line that is followed, in bytes. Longer heads are refused by the parser.
const LONGEST: usize = 128 * 1024;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    RequestLine,
    Header,
    Body(u64),
    ChunkSize,
    /// A chunk with its line end.
    Chunk(u64),
    Trailer,
    /// Nobody knows.
    Lost,
}

/// Follows the requests of a connection.
#[derive(Debug)]
pub(super) struct Framing {
    next: Next,
    /// A line of which the end has not come yet.
    begun: Vec<u8>,
    length: u64,
    chunked: bool,
    /// Request lines so far.
    requests: u64,
}

impl Framing {
    pub(super) fn new() -> Self {
        Self { next: Next::RequestLine, begun: Vec::new(), length: 0, chunked: false, requests: 0 }
    }

    /// Whether a head has begun that has not ended.
    pub(super) fn is_in_head(&self) -> bool {
        self.next == Next::Header || (self.next == Next::RequestLine && !self.begun.is_empty())
    }

    /// Whether the next byte begins a request.
    pub(super) fn is_between(&self) -> bool {
        self.next == Next::RequestLine && self.begun.is_empty()
    }

    /// How many requests have begun.
    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    /// Whether a line has begun that has not ended.
    pub(super) fn has_begun(&self) -> bool {
        !self.begun.is_empty()
    }

    /// Follows what one read brought.
    pub(super) fn follow(&mut self, mut read: &[u8], marked: &mut Marked) {
        while !read.is_empty() {
            match self.next {
                Next::Body(left) | Next::Chunk(left) => {
                    let n = left.min(read.len() as u64);
                    read = &read[n as usize..];
                    self.next = match (self.next, left - n) {
                        (Next::Body(_), 0) => Next::RequestLine,
                        (Next::Body(_), left) => Next::Body(left),
                        (_, 0) => Next::ChunkSize,
                        (_, left) => Next::Chunk(left),
                    };
                }
                Next::Lost => return,
                _ => {
                    let end = read.iter().position(|b| *b == b'\n');
                    let (piece, rest) = end.map_or((read, &[][..]), |end| (&read[..end], &read[end + 1..]));
                    read = rest;
                    if end.is_some() && self.begun.is_empty() {
                        self.line(piece, marked);
                        continue;
                    }
                    self.begun.extend_from_slice(piece);
                    if end.is_some() {
                        let line = std::mem::take(&mut self.begun);
                        self.line(&line, marked);
                    } else if self.begun.len() > LONGEST {
                        (self.next, self.begun) = (Next::Lost, Vec::new());
                    }
                }
            }
        }
    }

    fn line(&mut self, line: &[u8], marked: &mut Marked) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.next {
            Next::RequestLine if line.is_empty() => {}
            Next::RequestLine => {
                self.requests += 1;
                if line.contains(&b'#') {
                    marked.0.push_back((self.requests, line.to_vec()));
                }
                (self.next, self.length, self.chunked) = (Next::Header, 0, false);
            }
            Next::Header if line.is_empty() => {
                self.next = match (self.chunked, self.length) {
                    (true, _) => Next::ChunkSize,
                    (false, 0) => Next::RequestLine,
                    (false, length) => Next::Body(length),
                };
            }
            Next::Header => self.header(line),
            Next::ChunkSize => {
                let digits = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
                let size = std::str::from_utf8(digits).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
                self.next = match size {
                    Some(0) => Next::Trailer,
                    Some(size) => size.checked_add(2).map_or(Next::Lost, Next::Chunk),
                    None => Next::Lost,
                };
            }
            Next::Trailer if line.is_empty() => self.next = Next::RequestLine,
            _ => {}
        }
    }

    fn header(&mut self, line: &[u8]) {
        const LENGTH: &[u8] = b"content-length:";
        const ENCODING: &[u8] = b"transfer-encoding:";
        let value = |name: &[u8]| {
            let (own, value) = line.split_at_checked(name.len())?;
            own.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
        };
        match line.first().map(u8::to_ascii_lowercase) {
            Some(b'c') => {
                if let Some(value) = value(LENGTH) {
                    self.length = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok()).unwrap_or(0);
                }
            }
            Some(b't') => {
                if let Some(value) = value(ENCODING) {
                    self.chunked = value.to_ascii_lowercase().ends_with(b"chunked");
                }
            }
            _ => {}
        }
    }
}

/// Request lines with a `#`, by their number on the connection.
#[derive(Debug, Default)]
pub(super) struct Marked(VecDeque<(u64, Vec<u8>)>);

impl Marked {
    /// Whether the request of that number, method and target has a `#`. The lines of earlier requests are forgotten.
    pub(super) fn take(&mut self, number: u64, method: &Method, target: &str) -> bool {
        while let Some((n, line)) = self.0.pop_front_if(|(n, _)| *n <= number) {
            if n == number {
                return names(&line, method.as_str().as_bytes(), target.as_bytes());
            }
        }
        false
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether a request line has this method, and this target before its `#`. The target may stand in the absolute form.
fn names(line: &[u8], method: &[u8], target: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(method).and_then(|rest| rest.strip_prefix(b" ")) else { return false };
    rest.iter().position(|b| *b == b'#').is_some_and(|at| at == 0 || rest[..at].ends_with(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(reads: &[&str]) -> (Framing, Marked) {
        let (mut framing, mut marked) = (Framing::new(), Marked::default());
        for read in reads {
            framing.follow(read.as_bytes(), &mut marked);
        }
        (framing, marked)
    }

    fn is_marked(reads: &[&str], number: u64, method: &str, target: &str) -> bool {
        follow(reads).1.take(number, &Method::from_bytes(method.as_bytes()).expect("a method"), target)
    }

    #[test]
    fn a_fragment_is_noticed_wherever_its_request_begins() {
        for (reads, number, method, target, expected) in [
            (&["DELETE /c/b/a#f HTTP/1.1\r\nHost: x\r\n\r\n"][..], 1, "DELETE", "/c/b/a", true),
            (&["GET http://h/a?q#f HTTP/1.1\r\n\r\n"], 1, "GET", "/a?q", true),
            (&["GET #f HTTP/1.1\r\n\r\n"], 1, "GET", "/", true),
            (&["PROP", "FIND /a", "#f HTT", "P/1.1\r", "\n\r\n"], 1, "PROPFIND", "/a", true),
            (&["GET /a HTTP/1.1\r\nReferer: /x#y\r\n\r\n"], 1, "GET", "/a", false),
            (&["GET /a HTTP/1.1\r\n\r\nGET /b#f HTTP/1.1\r\n\r\n"], 2, "GET", "/b", true),
            (&["GET /a HTTP/1.1\r\n\r\nGET /b#f HTTP/1.1\r\n\r\n"], 1, "GET", "/a", false),
            (&["PUT /a HTTP/1.1\r\ncontent-Length: 23\r\n\r\nGET /b#f HTTP/1.1\r\n\r\n\r\n"], 2, "GET", "/b", false),
            (&["PUT /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /b#f HTTP/1.1\r\n\r\n"], 2, "GET", "/b", true),
            (
                &[
                    "PUT /a HTTP/1.1\r\nTransfer-Encoding: x, Chunked\r\n\r\n5;x=\"y\"\r\n",
                    "a\nb#c\r\n0\r\nT: #\r\n\r\nGET /#",
                ][..],
                2,
                "GET",
                "/",
                false,
            ),
            (
                &["PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\nGET /#f HTTP/1.1\r\n"],
                2,
                "GET",
                "/",
                true,
            ),
            (&["\r\n\r\nGET /a#f HTTP/1.0\n\n"], 1, "GET", "/a", true),
        ] {
            assert_eq!(is_marked(reads, number, method, target), expected, "{reads:?}");
        }
    }

    #[test]
    fn a_head_is_open_between_its_first_byte_and_its_empty_line() {
        for (reads, expected) in [
            (&[""][..], false),
            (&["G"], true),
            (&["GET / HTTP/1.1\r\n"], true),
            (&["GET / HTTP/1.1\r\nA: b\r\n\r"], true),
            (&["GET / HTTP/1.1\r\nA: b\r\n\r\n"], false),
            (&["PUT / HTTP/1.1\r\nContent-Length: 2\r\n\r\n"], false),
            (&["PUT / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab"], false),
            (&["PUT / HTTP/1.1\r\nContent-Length: 2\r\n\r\nabG"], true),
            (&["PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "G"], false),
        ] {
            assert_eq!(follow(reads).0.is_in_head(), expected, "{reads:?}");
        }
    }

    #[test]
    fn what_was_noticed_counts_once() {
        let mut marked = follow(&["GET /a#f HTTP/1.1\r\n\r\nGET /a HTTP/1.1\r\n\r\n"]).1;
        assert!(marked.take(1, &Method::GET, "/a"));
        assert!(!marked.take(2, &Method::GET, "/a"));
        assert!(marked.is_empty());
    }

    #[test]
    fn any_cut_of_the_bytes_is_followed_alike() {
        let bytes = "PUT /a#1 HTTP/1.1\r\nContent-Length: 4\r\n\r\n#\n#\nPOST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
                     3\r\na#\n\r\n0\r\n\r\nGET /c#2 HTTP/1.1\r\n\r\n";
        for at in 0..bytes.len() {
            let (framing, mut marked) = follow(&[&bytes[..at], &bytes[at..]]);
            assert!(!framing.is_in_head(), "{at}");
            assert!(marked.take(1, &Method::PUT, "/a"), "{at}");
            assert!(!marked.take(2, &Method::POST, "/b"), "{at}");
            assert!(marked.take(3, &Method::GET, "/c"), "{at}");
        }
    }
}
