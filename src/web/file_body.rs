//! Bodies over a blocking reader: files, log files and archives that are made while they are read.
//!
//! Small bodies are read at once, so that their errors are answers. Large ones are read in the blocking pool in chunks of
//! 256 KiB (less where there are many bodies), one chunk ahead of the client, into buffers that are used again; a read that
//! fails or comes up short breaks the connection.

use std::collections::VecDeque;
use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

use super::body::{Body, BodyError};
use super::range::{Multipart, Span};
use super::share::Share;
use crate::storage::tree::read_now;

/// Up to here a body is read in one go.
const AT_ONCE: u64 = 64 * 1024;

/// Small enough to stay in a core's cache between the read and the write.
const CHUNK: u64 = 256 * 1024;

/// Something whose bytes can be read at any offset.
pub trait ReadAt: Send + 'static {
    /// Reads some bytes at the offset: at least one, unless the end is reached or `buf` is empty.
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// As `read_at`, for a small body, which is read before its answer begins.
    fn read_small(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.read_at(offset, buf)
    }
}

impl ReadAt for File {
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(self, buf, offset)
    }
}

/// A file of which only what is in memory becomes a small body: for threads that must not wait.
pub struct Now(pub File);

impl ReadAt for Now {
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(&self.0, buf, offset)
    }

    fn read_small(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        read_now(&self.0, offset, buf)
    }
}

/// A piece of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Text around content.
    Inline(Bytes),
    /// The content's bytes `offset..offset + length`.
    Content { offset: u64, length: u64 },
}

impl Segment {
    /// The content's first `size` bytes.
    pub fn whole(size: u64) -> Vec<Self> {
        vec![Self::Content { offset: 0, length: size }]
    }

    pub fn span(span: Span) -> Self {
        Self::Content { offset: span.first, length: span.length() }
    }

    pub fn multipart(multipart: Multipart) -> Vec<Self> {
        let (parts, end) = multipart.into_parts();
        let parts = parts.into_iter().flat_map(|(head, span)| [Self::Inline(head), Self::span(span)]);
        parts.chain([Self::Inline(end)]).collect()
    }

    fn length(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Content { length, .. } => *length,
        }
    }
}

/// A body of these segments. Blocks while it reads a small one; an error here comes before anything was sent.
/// Must be called within the runtime; in its blocking pool, unless the reader's `read_small` never waits.
pub fn body(mut reader: impl ReadAt + Unpin, segments: Vec<Segment>) -> io::Result<Body> {
    let total: u64 = segments.iter().map(Segment::length).sum();
    if total > AT_ONCE {
        return Ok(Body::stream(FileBody::new(reader, segments, total)));
    }
    let mut all = BytesMut::with_capacity(total as usize);
    for segment in &segments {
        match segment {
            Segment::Inline(bytes) => all.extend_from_slice(bytes),
            Segment::Content { offset, length } => {
                let start = all.len();
                all.resize(start + *length as usize, 0);
                read_exact(*offset, &mut all[start..], |offset, buf| reader.read_small(offset, buf))?;
            }
        }
    }
    Ok(Body::Bytes(all.freeze()))
}

fn read_exact(
    mut offset: u64,
    mut buf: &mut [u8],
    mut read: impl FnMut(u64, &mut [u8]) -> io::Result<usize>,
) -> io::Result<()> {
    while !buf.is_empty() {
        match read(offset, buf) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the content is shorter than it was")),
            Ok(n) => {
                offset += n as u64;
                buf = &mut buf[n..];
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

type Job<R> = JoinHandle<(R, io::Result<Bytes>)>;

/// Buffers of one body that the client has taken: their memory is cleared and mapped once.
type Spare = Arc<Mutex<Vec<Vec<u8>>>>;

fn locked(spare: &Spare) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
    spare.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes of a body whose buffer goes back when they have been sent.
struct Chunk {
    buffer: Vec<u8>,
    spare: Spare,
}

impl Chunk {
    /// `length` bytes of whatever was there before.
    fn new(spare: &Spare, length: usize) -> Self {
        // One that was made when there were fewer bodies is too large to be kept.
        let mut buffer = locked(spare).pop().filter(|b| b.capacity() <= 2 * length).unwrap_or_default();
        buffer.resize(length, 0);
        Self { buffer, spare: spare.clone() }
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        locked(&self.spare).push(std::mem::take(&mut self.buffer));
    }
}

struct FileBody<R> {
    /// What has not yet been given to a job.
    segments: VecDeque<Segment>,
    /// Bytes that have not yet been given to the client.
    left: u64,
    /// None while a job has it, and after a failure.
    reader: Option<R>,
    job: Option<Job<R>>,
    spare: Spare,
    share: Share,
}

impl<R: ReadAt> FileBody<R> {
    fn new(reader: R, segments: Vec<Segment>, left: u64) -> Self {
        let segments = segments.into_iter().filter(|s| s.length() > 0).collect();
        // Reading begins when the answer does.
        Self { segments, left, reader: Some(reader), job: None, spare: Spare::default(), share: Share::take() }
    }

    /// Starts reading the next chunk, if content is what comes next.
    fn read_ahead(&mut self) {
        let Some(Segment::Content { offset, length }) = self.segments.front_mut() else { return };
        let Some(mut reader) = self.reader.take() else { return };
        let (at, n) = (*offset, (self.share.of(CHUNK as usize) as u64).min(*length));
        *offset += n;
        *length -= n;
        if *length == 0 {
            self.segments.pop_front();
        }
        let mut chunk = Chunk::new(&self.spare, n as usize);
        self.job = Some(spawn_blocking(move || {
            let result = read_exact(at, &mut chunk.buffer, |offset, buf| reader.read_at(offset, buf))
                .map(|()| Bytes::from_owner(chunk));
            (reader, result)
        }));
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, BodyError>> {
        if self.job.is_none() {
            self.read_ahead();
        }
        if let Some(job) = &mut self.job {
            let done = ready!(Pin::new(job).poll(cx));
            self.job = None;
            let (reader, chunk) = done?;
            let chunk = chunk?;
            self.reader = Some(reader);
            self.read_ahead();
            return Poll::Ready(Ok(chunk));
        }
        match self.segments.pop_front() {
            Some(Segment::Inline(bytes)) => {
                self.read_ahead();
                Poll::Ready(Ok(bytes))
            }
            _ => Poll::Ready(Err("the content was not read to its end".into())),
        }
    }
}

impl<R: ReadAt + Unpin> HttpBody for FileBody<R> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let chunk = ready!(this.poll_chunk(cx));
        if let Ok(chunk) = &chunk {
            this.left -= chunk.len() as u64;
        }
        Poll::Ready(Some(chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    /// Content whose byte at `i` is `i % 251`; it ends at `size`, whatever was promised.
    struct Pattern {
        size: u64,
        /// The most that one read gives.
        most: usize,
    }

    impl ReadAt for Pattern {
        fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
            let n = buf.len().min(self.most).min(self.size.saturating_sub(offset) as usize);
            for (i, byte) in buf[..n].iter_mut().enumerate() {
                *byte = ((offset + i as u64) % 251) as u8;
            }
            Ok(n)
        }
    }

    fn expected(span: std::ops::Range<u64>) -> Vec<u8> {
        span.map(|i| (i % 251) as u8).collect()
    }

    async fn bytes(body: Body) -> Result<Bytes, BodyError> {
        Ok(body.collect().await?.to_bytes())
    }

    #[tokio::test]
    async fn content_comes_whole_whatever_its_size() {
        for size in [0, 1, AT_ONCE, AT_ONCE + 1, 3 * CHUNK + 5] {
            let body = body(Pattern { size, most: 100_000 }, Segment::whole(size)).expect("a body");
            assert_eq!(body.size_hint().exact(), Some(size));
            assert_eq!(bytes(body).await.expect("a whole body"), expected(0..size), "{size}");
        }
    }

    #[tokio::test]
    async fn segments_come_in_order() {
        let spans = [Span { first: 10, last: 400_000 }, Span { first: 500_000, last: 500_001 }];
        let multipart = Multipart::new("b", &spans, "text/plain", 600_000);
        let length = multipart.length();
        let body = body(Pattern { size: 600_000, most: usize::MAX }, Segment::multipart(multipart)).expect("a body");
        let bytes = bytes(body).await.expect("a whole body");
        assert_eq!(bytes.len() as u64, length);
        let find = |needle: &[u8]| bytes.windows(needle.len()).position(|w| w == needle).expect("found") + needle.len();
        let first = find(b"bytes 10-400000/600000\r\n\r\n");
        assert_eq!(bytes[first..first + 399_991], expected(10..400_001));
        let second = find(b"bytes 500000-500001/600000\r\n\r\n");
        assert_eq!(bytes[second..second + 2], expected(500_000..500_002));
    }

    #[tokio::test]
    async fn content_that_became_short_breaks_the_body() {
        let long = body(Pattern { size: CHUNK, most: usize::MAX }, Segment::whole(2 * CHUNK)).expect("a body");
        assert!(bytes(long).await.is_err());
        let short = body(Pattern { size: 5, most: usize::MAX }, Segment::whole(10));
        assert_eq!(short.err().map(|e| e.kind()), Some(io::ErrorKind::UnexpectedEof));
    }
}
