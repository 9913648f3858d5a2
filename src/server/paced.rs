//! A socket below everything else of its connection: it notes signs of life, and can be lent to a lane.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::web::pulse::Pulse;

/// A socket that notes signs of life.
#[derive(Debug)]
pub(super) struct Paced {
    /// None while a lane has it.
    stream: Option<TcpStream>,
    pulse: Arc<Pulse>,
}

impl Paced {
    pub(super) fn new(stream: TcpStream, pulse: Arc<Pulse>) -> Self {
        Self { stream: Some(stream), pulse }
    }

    /// Takes the socket out of the runtime. Until it is given back nothing may be read or written.
    pub(super) fn lend(&mut self) -> Option<io::Result<std::net::TcpStream>> {
        self.stream.take().map(TcpStream::into_std)
    }

    pub(super) fn take_back(&mut self, stream: std::net::TcpStream) -> io::Result<()> {
        self.stream = Some(TcpStream::from_std(stream)?);
        Ok(())
    }

    fn socket(&self) -> &TcpStream {
        self.stream.as_ref().expect("invariant: a connection waits while a lane has its socket")
    }

    fn pinned(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(self.stream.as_mut().expect("invariant: a connection waits while a lane has its socket"))
    }

    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(n)) => self.pulse.wrote(*n),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.pulse.block(),
        }
        written
    }

    /// Tries a call that sends bytes until the socket has room for it.
    pub(super) fn poll_socket(
        &self,
        cx: &mut Context<'_>,
        send: impl Fn(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.socket().poll_write_ready(cx)?.is_pending() {
                return self.note(Poll::Pending);
            }
            match self.socket().try_io(Interest::WRITABLE, || send(self.socket().as_fd())) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                sent => return self.note(Poll::Ready(sent)),
            }
        }
    }
}

/// A stream that may be a socket with nothing between.
pub(super) trait Plain {
    fn plain(&self) -> Option<&Paced>;

    fn plain_mut(&mut self) -> Option<&mut Paced>;
}

impl Plain for Paced {
    fn plain(&self) -> Option<&Paced> {
        Some(self)
    }

    fn plain_mut(&mut self) -> Option<&mut Paced> {
        Some(self)
    }
}

impl Plain for TlsStream<Paced> {
    fn plain(&self) -> Option<&Paced> {
        None
    }

    fn plain_mut(&mut self) -> Option<&mut Paced> {
        None
    }
}

impl AsyncRead for Paced {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = self.pinned().poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.pulse.hear();
        }
        read
    }
}

impl AsyncWrite for Paced {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.pinned().poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.pinned().poll_write_vectored(cx, slices);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned().poll_shutdown(cx)
    }
}
