//! Response bodies. A body that fails midway yields an error, on which the connection breaks: a failed answer never looks whole.

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::timeout;

/// Why a body could not be read or written to its end.
pub type BodyError = Box<dyn Error + Send + Sync>;

/// A body of unknown or large size, made while it is sent.
pub type Stream = Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError> + Send>>;

/// A response body.
pub enum Body {
    Empty,
    /// A document that we wrote; it may be compressed.
    Text(Bytes),
    /// Content of a user or part of an archive; it is sent as it is.
    Bytes(Bytes),
    Stream(Stream),
}

/// How much a blocking writer gathers before it hands a frame on.
const FRAME: usize = 64 * 1024;

/// How many frames may wait for a slow client.
const WAITING: usize = 4;

impl Body {
    pub fn stream(body: impl HttpBody<Data = Bytes, Error = BodyError> + Send + 'static) -> Self {
        Self::Stream(Box::pin(body))
    }

    /// A body that a blocking writer fills in frames of 64 KiB while it is sent. It fails unless the writer is finished.
    pub fn written() -> (BodyWriter, Self) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (BodyWriter { sender, buffer: BytesMut::new() }, Self::stream(Written { receiver: Some(receiver) }))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a body of {:?} bytes", self.size_hint().exact())
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Text(bytes) | Self::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = Self::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::Stream(stream) => stream.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Text(bytes) | Self::Bytes(bytes) => bytes.is_empty(),
            Self::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Text(bytes) | Self::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(stream) => stream.size_hint(),
        }
    }
}

/// How long a client may need for one frame: the writer may hold a moment of the rows meanwhile, which keeps the database from
/// getting smaller. A client that takes nothing at all loses its connection earlier.
const PATIENCE: Duration = Duration::from_mins(5);

enum Piece {
    Data(Bytes),
    End,
}

/// The writing end of [`Body::written`]. Writes block while the client is slow, so they belong into the blocking pool.
pub struct BodyWriter {
    sender: mpsc::Sender<Piece>,
    buffer: BytesMut,
}

impl BodyWriter {
    /// Sends what is left and marks the body as whole. A writer that is dropped without this breaks the connection.
    pub fn finish(mut self) -> io::Result<()> {
        self.send_buffer()?;
        self.send(Piece::End)
    }

    /// Sends bytes as they are, behind those that were written.
    pub fn give(&mut self, bytes: Bytes) -> io::Result<()> {
        self.send_buffer()?;
        if bytes.is_empty() { Ok(()) } else { self.send(Piece::Data(bytes)) }
    }

    fn send_buffer(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let frame = std::mem::take(&mut self.buffer).freeze();
        self.send(Piece::Data(frame))
    }

    fn send(&self, piece: Piece) -> io::Result<()> {
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the client is gone");
        match self.sender.try_send(piece) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(gone()),
            Err(TrySendError::Full(piece)) => {
                let sent = Handle::current().block_on(timeout(PATIENCE, self.sender.send(piece)));
                sent.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the client takes too little"))?
                    .map_err(|_| gone())
            }
        }
    }
}

impl Write for BodyWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(FRAME);
        }
        self.buffer.extend_from_slice(data);
        if self.buffer.len() >= FRAME {
            self.send_buffer()?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send_buffer()
    }
}

struct Written {
    /// None once the body has ended.
    receiver: Option<mpsc::Receiver<Piece>>,
}

impl HttpBody for Written {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(receiver) = &mut self.receiver else { return Poll::Ready(None) };
        match receiver.poll_recv(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Piece::Data(data))) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Poll::Ready(Some(Piece::End)) => {
                self.receiver = None;
                Poll::Ready(None)
            }
            Poll::Ready(None) => {
                self.receiver = None;
                Poll::Ready(Some(Err("the body was not written to its end".into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.receiver.is_none()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_finished_writer_makes_a_whole_body() {
        let (mut writer, body) = Body::written();
        let job = tokio::task::spawn_blocking(move || {
            for _ in 0..50 {
                writer.write_all(&[7; 10_000])?;
            }
            writer.finish()
        });
        let bytes = body.collect().await.expect("a whole body").to_bytes();
        assert_eq!(bytes.len(), 500_000);
        job.await.expect("no panic").expect("no error");
    }

    #[tokio::test]
    async fn a_dropped_writer_breaks_the_body() {
        let (mut writer, body) = Body::written();
        tokio::task::spawn_blocking(move || writer.write_all(b"half").expect("written"));
        assert!(body.collect().await.is_err());
    }

    #[tokio::test]
    async fn a_writer_notices_that_the_client_is_gone() {
        let (mut writer, body) = Body::written();
        drop(body);
        let job = tokio::task::spawn_blocking(move || writer.write_all(&vec![0; FRAME]));
        assert_eq!(job.await.expect("no panic").expect_err("an error").kind(), io::ErrorKind::BrokenPipe);
    }
}
