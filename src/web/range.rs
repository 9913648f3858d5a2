//! Byte ranges (RFC 9110 section 14): which bytes of a representation an answer carries, and the multipart form of several.
//!
//! What is no byte range, or more than 13 of them, or more bytes than there are, is ignored and answered whole. Ranges that
//! lie behind the end are dropped; when none is left the answer is 416.

use bytes::Bytes;

/// More ranges than this in one request are nonsense or an attack.
const MOST: usize = 13;

/// The bytes `first..=last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub first: u64,
    pub last: u64,
}

impl Span {
    pub fn length(self) -> u64 {
        self.last - self.first + 1
    }

    /// The value of `Content-Range`.
    pub fn content_range(self, size: u64) -> String {
        format!("bytes {}-{}/{size}", self.first, self.last)
    }
}

/// What a `Range` header asks of a representation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranges {
    Whole,
    One(Span),
    /// Two or more.
    Several(Vec<Span>),
    Unsatisfiable,
}

enum Spec {
    FromTo(u64, u64),
    Last(u64),
}

/// Reads a `Range` header for a representation of `size` bytes.
pub fn parse(header: &str, size: u64) -> Ranges {
    let Some(specs) = specs(header) else { return Ranges::Whole };
    if size == 0 && specs.iter().any(|spec| matches!(spec, Spec::Last(n) if *n > 0)) {
        return Ranges::Whole;
    }
    let spans: Vec<Span> = specs.iter().filter_map(|spec| span(spec, size)).collect();
    match spans.as_slice() {
        [] => Ranges::Unsatisfiable,
        [one] => Ranges::One(*one),
        several if several.iter().fold(0_u64, |sum, s| sum.saturating_add(s.length())) > size => Ranges::Whole,
        _ => Ranges::Several(spans),
    }
}

fn specs(header: &str) -> Option<Vec<Spec>> {
    let (unit, set) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let specs: Vec<Spec> = set.split(',').map(str::trim).filter(|s| !s.is_empty()).map(spec).collect::<Option<_>>()?;
    (!specs.is_empty() && specs.len() <= MOST).then_some(specs)
}

fn spec(text: &str) -> Option<Spec> {
    match text.split_once('-')? {
        ("", last) => Some(Spec::Last(number(last)?)),
        (first, "") => Some(Spec::FromTo(number(first)?, u64::MAX)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Spec::FromTo(first, last))
        }
    }
}

/// Digits as a number; one too large to hold is as good as the largest.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

fn span(spec: &Spec, size: u64) -> Option<Span> {
    match *spec {
        Spec::FromTo(first, last) if first < size => Some(Span { first, last: last.min(size - 1) }),
        Spec::Last(n) if n > 0 && size > 0 => Some(Span { first: size.saturating_sub(n), last: size - 1 }),
        _ => None,
    }
}

/// The frame of a `multipart/byteranges` body around several spans.
#[derive(Debug)]
pub struct Multipart {
    boundary: String,
    /// What precedes each span.
    heads: Vec<(Bytes, Span)>,
    end: Bytes,
}

impl Multipart {
    /// `boundary` must not occur in the content: take a random one.
    pub fn new(boundary: &str, spans: &[Span], content_type: &str, size: u64) -> Self {
        let head = |(i, span): (usize, &Span)| {
            let start = if i == 0 { "" } else { "\r\n" };
            let range = span.content_range(size);
            let text = format!("{start}--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {range}\r\n\r\n");
            (Bytes::from(text), *span)
        };
        Self {
            boundary: boundary.to_owned(),
            heads: spans.iter().enumerate().map(head).collect(),
            end: Bytes::from(format!("\r\n--{boundary}--\r\n")),
        }
    }

    pub fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// The exact length of the body.
    pub fn length(&self) -> u64 {
        let parts: u64 = self.heads.iter().map(|(head, span)| head.len() as u64 + span.length()).sum();
        parts + self.end.len() as u64
    }

    /// Each span after what precedes it, and the end.
    pub fn into_parts(self) -> (Vec<(Bytes, Span)>, Bytes) {
        (self.heads, self.end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(first: u64, last: u64) -> Ranges {
        Ranges::One(Span { first, last })
    }

    #[test]
    fn a_range_is_cut_at_the_end() {
        for (header, expected) in [
            ("bytes=0-0", one(0, 0)),
            ("Bytes = 2-5", one(2, 5)),
            ("bytes=2-", one(2, 9)),
            ("bytes=-3", one(7, 9)),
            ("bytes=-99", one(0, 9)),
            ("bytes=9-99999999999999999999999", one(9, 9)),
            ("bytes=20-30, 4-5 ,,", one(4, 5)),
        ] {
            assert_eq!(parse(header, 10), expected, "{header}");
        }
    }

    #[test]
    fn behind_the_end_is_unsatisfiable() {
        for header in ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=10-11,12-13", "bytes=99999999999999999999999-"] {
            assert_eq!(parse(header, 10), Ranges::Unsatisfiable, "{header}");
        }
        assert_eq!(parse("bytes=0-", 0), Ranges::Unsatisfiable);
        assert_eq!(parse("bytes=-5", 0), Ranges::Whole);
    }

    #[test]
    fn nonsense_is_ignored() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "items=0-1",
            "bytes=abc",
            "bytes=-",
            "bytes=9-3",
            "bytes=1-2-3",
            "bytes=+1-2",
            "bytes=0-1,x",
        ] {
            assert_eq!(parse(header, 10), Ranges::Whole, "{header}");
        }
        let many = |n: usize| format!("bytes={}", (0..n).map(|i| format!("{i}-{i}")).collect::<Vec<_>>().join(","));
        assert!(matches!(parse(&many(13), 1000), Ranges::Several(spans) if spans.len() == 13));
        assert_eq!(parse(&many(14), 1000), Ranges::Whole);
        assert_eq!(parse("bytes=0-9,0-9", 10), Ranges::Whole);
    }

    #[test]
    fn a_multipart_body_has_the_length_it_says() {
        let spans = [Span { first: 0, last: 1 }, Span { first: 5, last: 9 }];
        let multipart = Multipart::new("xyz", &spans, "text/plain", 10);
        assert_eq!(multipart.content_type(), "multipart/byteranges; boundary=xyz");
        let length = multipart.length();
        let (heads, end) = multipart.into_parts();
        let mut text = String::new();
        for (head, span) in heads {
            text.push_str(std::str::from_utf8(&head).expect("UTF-8"));
            text.push_str(&"0123456789"[span.first as usize..=span.last as usize]);
        }
        text.push_str(std::str::from_utf8(&end).expect("UTF-8"));
        assert_eq!(text.len() as u64, length);
        assert_eq!(
            text,
            "--xyz\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n\
             --xyz\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-9/10\r\n\r\n56789\r\n--xyz--\r\n"
        );
    }

    proptest! {
        #[test]
        fn spans_lie_within_the_size(header in "(bytes=)?[0-9,= -]{0,40}", size in 0_u64..100) {
            let spans = match parse(&header, size) {
                Ranges::One(span) => vec![span],
                Ranges::Several(spans) => spans,
                Ranges::Whole | Ranges::Unsatisfiable => Vec::new(),
            };
            for span in spans {
                prop_assert!(span.first <= span.last && span.last < size);
            }
        }
    }
}
