//! GET and HEAD of anything with a length, a tag and bytes: conditions first, then ranges, then the body.

use std::io;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, StatusCode};

use super::conditional::{Conditions, Current, Verdict, range_counts};
use super::file_body::{self, ReadAt, Segment};
use super::problem::{Code, Problem};
use super::range::{self, Multipart, Ranges, Span};
use super::{Response, response};
use crate::base::clock::http_date;
use crate::base::id::uuid22;

/// What one answer says about its content. All of it belongs together.
#[derive(Debug, Clone)]
pub struct Representation {
    pub length: u64,
    pub content_type: String,
    /// With its quotes.
    pub etag: String,
    /// Milliseconds since 1970.
    pub last_modified_ms: Option<i64>,
    /// More headers of 200 and 206.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Representation {
    /// 304 or 412 where the conditions of a read say so, else nothing.
    pub fn precondition(&self, request: &HeaderMap) -> Result<Option<Response>, Problem> {
        match Conditions::of(request).evaluate(true, Current::of(&self.etag, self.last_modified_ms)) {
            Verdict::Proceed => Ok(None),
            Verdict::Failed => Err(Code::EtagMismatch.into()),
            Verdict::NotModified => {
                let mut response = response::empty(StatusCode::NOT_MODIFIED);
                self.validators(&mut response);
                Ok(Some(response))
            }
        }
    }

    /// The answer to a GET or HEAD that passed its conditions. `open` is called once, and only when content is sent.
    ///
    /// Blocks: belongs into the blocking pool.
    pub fn answer<R, F>(&self, head: bool, request: &HeaderMap, open: F) -> Result<Response, Problem>
    where
        R: ReadAt + Unpin,
        F: FnOnce() -> Result<R, Problem>,
    {
        // A range is for GET alone (RFC 9110 section 14.2).
        let ranges = if head { Ranges::Whole } else { self.ranges(request) };
        let (mut response, segments, length) = match ranges {
            Ranges::Unsatisfiable => {
                let size = format!("bytes */{}", self.length);
                return Err(Problem::new(Code::RangeNotSatisfiable).header(CONTENT_RANGE, size));
            }
            Ranges::Whole => (self.start(StatusCode::OK, &self.content_type), Segment::whole(self.length), self.length),
            Ranges::One(span) => {
                let mut response = self.start(StatusCode::PARTIAL_CONTENT, &self.content_type);
                insert(response.headers_mut(), CONTENT_RANGE, &span.content_range(self.length));
                (response, vec![Segment::span(span)], span.length())
            }
            Ranges::Several(spans) => self.multipart(&spans),
        };
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        if !head {
            *response.body_mut() = file_body::body(open()?, segments).map_err(|e: io::Error| Problem::internal(e))?;
        }
        Ok(response)
    }

    fn ranges(&self, request: &HeaderMap) -> Ranges {
        match request.get(RANGE).map(HeaderValue::to_str) {
            Some(Ok(header)) if range_counts(request, &self.etag, self.last_modified_ms) => {
                range::parse(header, self.length)
            }
            _ => Ranges::Whole,
        }
    }

    fn multipart(&self, spans: &[Span]) -> (Response, Vec<Segment>, u64) {
        let multipart = Multipart::new(&uuid22(), spans, &self.content_type, self.length);
        let length = multipart.length();
        let response = self.start(StatusCode::PARTIAL_CONTENT, &multipart.content_type());
        (response, Segment::multipart(multipart), length)
    }

    fn start(&self, status: StatusCode, content_type: &str) -> Response {
        let mut response = response::empty(status);
        insert(response.headers_mut(), CONTENT_TYPE, content_type);
        response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        self.validators(&mut response);
        response.headers_mut().extend(self.headers.iter().cloned());
        response
    }

    fn validators(&self, response: &mut Response) {
        insert(response.headers_mut(), ETAG, &self.etag);
        if let Some(ms) = self.last_modified_ms {
            insert(response.headers_mut(), LAST_MODIFIED, &http_date(ms));
        }
    }
}

/// Sets a header; a value that no header can have is left out.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(value.as_bytes())) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::web::Body;

    struct Digits;

    impl ReadAt for Digits {
        fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
            let rest = b"0123456789".get(offset as usize..).unwrap_or_default();
            let n = rest.len().min(buf.len());
            buf[..n].copy_from_slice(&rest[..n]);
            Ok(n)
        }
    }

    fn digits() -> Representation {
        let (content_type, etag) = ("text/plain".to_owned(), "\"1-1\"".to_owned());
        Representation { length: 10, content_type, etag, last_modified_ms: Some(0), headers: Vec::new() }
    }

    fn request(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    async fn answer(pairs: &[(&'static str, &'static str)]) -> (u16, String, Response) {
        let response = digits().answer(false, &request(pairs), || Ok(Digits)).expect("an answer");
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.expect("a body").to_bytes().to_vec()).expect("UTF-8");
        assert_eq!(parts.headers[CONTENT_LENGTH], text.len().to_string());
        (parts.status.as_u16(), text, Response::from_parts(parts, Body::Empty))
    }

    #[tokio::test]
    async fn ranges_select_bytes() {
        let (status, text, response) = answer(&[]).await;
        assert_eq!((status, text.as_str()), (200, "0123456789"));
        assert_eq!(
            (&response.headers()[ETAG], &response.headers()[ACCEPT_RANGES]),
            (&"\"1-1\"".parse().expect("a value"), &"bytes".parse().expect("a value"))
        );
        let (status, text, response) = answer(&[("range", "bytes=2-4")]).await;
        assert_eq!((status, text.as_str()), (206, "234"));
        assert_eq!(response.headers()[CONTENT_RANGE], "bytes 2-4/10");
        let (status, text, _) = answer(&[("range", "bytes=2-4"), ("if-range", "\"0\"")]).await;
        assert_eq!((status, text.as_str()), (200, "0123456789"));
        let (status, text, response) = answer(&[("range", "bytes=0-1,-1")]).await;
        assert_eq!(status, 206);
        assert!(text.contains("bytes 0-1/10\r\n\r\n01\r\n") && text.contains("bytes 9-9/10\r\n\r\n9\r\n"), "{text}");
        assert!(
            response.headers()[CONTENT_TYPE].to_str().expect("text").starts_with("multipart/byteranges; boundary=")
        );
    }

    #[test]
    fn behind_the_end_is_416_with_the_size() {
        let answer = digits().answer(false, &request(&[("range", "bytes=10-")]), || Ok(Digits));
        let response = answer.expect_err("a problem").respond(&HeaderMap::new());
        assert_eq!(
            (response.status().as_u16(), &response.headers()[CONTENT_RANGE]),
            (416, &"bytes */10".parse().expect("a value"))
        );
    }

    #[test]
    fn head_opens_nothing() {
        let open = || -> Result<Digits, Problem> { panic!("opened") };
        for headers in [HeaderMap::new(), request(&[("range", "bytes=2-4")]), request(&[("range", "bytes=10-")])] {
            let response = digits().answer(true, &headers, open).expect("an answer");
            assert_eq!(
                (response.status().as_u16(), &response.headers()[CONTENT_LENGTH]),
                (200, &HeaderValue::from(10))
            );
            assert!(!response.headers().contains_key(CONTENT_RANGE));
        }
    }

    #[test]
    fn conditions_come_first() {
        let not_modified = digits().precondition(&request(&[("if-none-match", "\"1-1\"")])).expect("no problem");
        let response = not_modified.expect("an answer");
        assert_eq!(
            (response.status().as_u16(), &response.headers()[ETAG]),
            (304, &"\"1-1\"".parse().expect("a value"))
        );
        assert_eq!(digits().precondition(&request(&[("if-match", "\"0\"")])).expect_err("a problem").status(), 412);
        assert!(digits().precondition(&HeaderMap::new()).expect("no problem").is_none());
    }
}
