//! Request bodies: small ones read whole under a cap, large ones handed to a blocking writer in pieces of 256 KiB and more.
//!
//! A body ends only by its own end. One that breaks off, stalls or outgrows its cap is an error at its reader, so nothing that
//! was received in part can pass as whole. A body has stalled when its connection has brought no byte for a while; however
//! slowly they come, an upload may take as long as it likes.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Incoming};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::body::BodyError;
use super::problem::{Code, Problem};
use super::pulse::Pulse;
use super::share::Share;

/// How much is gathered before a blocking reader gets it, unless there are many bodies.
const PIECE: usize = 256 * 1024;

/// How much of a body that nobody wants is read away so that its connection can be used again, and how long that may take.
const LITTLE: u64 = 64 * 1024;
const AT_ONCE: Duration = Duration::from_millis(50);

/// How many pieces may wait for the disk.
const WAITING: usize = 2;

/// Why a request body ended before its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestBodyError {
    #[error("the request body broke off: {0}")]
    Incomplete(String),
    #[error("the request body is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the client sent nothing for too long")]
    Stalled,
}

impl From<RequestBodyError> for Problem {
    fn from(error: RequestBodyError) -> Self {
        let problem = match error {
            RequestBodyError::Incomplete(_) => Self::new(Code::BodyIncomplete),
            RequestBodyError::TooLarge { limit } => Self::new(Code::BodyTooLarge).with(limit),
            RequestBodyError::Stalled => Self::new(Code::RequestTimeout),
        };
        problem.because(error)
    }
}

/// The body of a request, not yet read.
pub struct RequestBody<B = Incoming> {
    body: Kept<B>,
    pulse: Arc<Pulse>,
    silence: Duration,
}

impl<B> RequestBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BodyError>,
{
    /// `silence`: how long the connection may bring no byte while more of the body is awaited.
    pub fn new(body: B, pulse: Arc<Pulse>, silence: Duration) -> Self {
        Self { body: Kept { body: Some(body), begun: false, ended: false, rest: None }, pulse, silence }
    }

    /// Where to find what nobody has read of this body, once whoever has it lets go; none if there is nothing to read.
    pub fn rest(&mut self) -> Option<Rest<B>> {
        if self.is_empty() {
            return None;
        }
        let rest = Rest(Arc::default());
        self.body.rest = Some(Arc::clone(&rest.0));
        Some(rest)
    }

    /// The length that the client announced; none for a chunked body.
    pub fn length(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// Whether the request has no body, or one of length 0.
    pub fn is_empty(&self) -> bool {
        self.body.is_end_stream() || self.length() == Some(0)
    }

    /// Reads all of it; more than `limit` bytes are an error.
    pub async fn read(mut self, limit: u64) -> Result<Bytes, RequestBodyError> {
        self.check_length(Some(limit))?;
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        while let Some(data) = self.next().await? {
            if all.is_empty() && first.is_empty() {
                first = data;
            } else {
                if all.is_empty() {
                    all.extend_from_slice(&first);
                }
                all.extend_from_slice(&data);
            }
            if first.len().max(all.len()) as u64 > limit {
                return Err(RequestBodyError::TooLarge { limit });
            }
        }
        Ok(if all.is_empty() { first } else { all.freeze() })
    }

    /// Runs the job in the blocking pool with the pieces of this body; returns what the job returns.
    ///
    /// A job that stops early ends the reading. More than `limit` bytes are an error at the job's end of the pieces. The job
    /// begins when the first piece is there, so that a short body that comes slowly keeps no thread.
    pub async fn feed<T, F>(mut self, limit: Option<u64>, job: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(Pieces) -> T + Send + 'static,
    {
        self.check_length(limit)?;
        let (share, mut total) = (Share::take(), 0);
        let mut piece = self.piece(limit, &mut total, share.of(PIECE)).await;
        let (sender, receiver) = mpsc::channel(WAITING);
        let pieces = Pieces { receiver, ended: false };
        let job = tokio::task::spawn_blocking(move || job(pieces));
        loop {
            let (message, is_last) = match piece {
                Ok(Some(data)) => (Piece::Data(data), false),
                Ok(None) => (Piece::End, true),
                Err(error) => (Piece::Failed(error), true),
            };
            // A job that no longer listens has its own reason to stop, which its result tells.
            if sender.send(message).await.is_err() || is_last {
                break;
            }
            piece = tokio::select! {
                piece = self.piece(limit, &mut total, share.of(PIECE)) => piece,
                () = sender.closed() => break,
            };
        }
        drop(sender);
        job.await.map_err(|e| Problem::internal(format_args!("a job in the blocking pool failed: {e}")))
    }

    /// Gathers the next piece of about `size` bytes, none at the end. `total`: bytes of the body so far.
    async fn piece(
        &mut self,
        limit: Option<u64>,
        total: &mut u64,
        size: usize,
    ) -> Result<Option<Bytes>, RequestBodyError> {
        let mut gathered = BytesMut::new();
        while let Some(data) = self.next().await? {
            *total += data.len() as u64;
            if let Some(limit) = limit.filter(|limit| *total > *limit) {
                return Err(RequestBodyError::TooLarge { limit });
            }
            if gathered.is_empty() && data.len() >= size {
                return Ok(Some(data));
            }
            gathered.extend_from_slice(&data);
            if gathered.len() >= size {
                break;
            }
        }
        Ok(Some(gathered.freeze()).filter(|piece| !piece.is_empty()))
    }

    fn check_length(&self, limit: Option<u64>) -> Result<(), RequestBodyError> {
        match limit {
            Some(limit) if self.body.size_hint().lower() > limit => Err(RequestBodyError::TooLarge { limit }),
            _ => Ok(()),
        }
    }

    /// The next data, none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, RequestBodyError> {
        let mut patience = self.silence;
        self.body.begun = true;
        loop {
            match timeout(patience, self.body.frame()).await {
                // A part of a frame, or of a record of TLS, is a sign of life that shows nowhere else.
                Err(_) => match self.silence.checked_sub(self.pulse.silence()) {
                    Some(left) if !left.is_zero() => patience = left,
                    _ => return Err(RequestBodyError::Stalled),
                },
                Ok(None) => {
                    self.body.ended = true;
                    return Ok(None);
                }
                Ok(Some(Err(e))) => return Err(RequestBodyError::Incomplete(e.into().to_string())),
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Ok(Some(data)),
                    Err(_trailers) => {}
                },
            }
        }
    }
}

/// A body that is left where somebody looks for it if it is let go before its end.
struct Kept<B> {
    body: Option<B>,
    begun: bool,
    ended: bool,
    rest: Option<Arc<Mutex<Option<Unread<B>>>>>,
}

struct Unread<B> {
    body: B,
    /// Something of it was asked for.
    begun: bool,
}

impl<B> Deref for Kept<B> {
    type Target = B;

    fn deref(&self) -> &B {
        self.body.as_ref().expect("invariant: it is taken when it is dropped")
    }
}

impl<B> DerefMut for Kept<B> {
    fn deref_mut(&mut self) -> &mut B {
        self.body.as_mut().expect("invariant: it is taken when it is dropped")
    }
}

impl<B> Drop for Kept<B> {
    fn drop(&mut self) {
        if let (false, Some(body), Some(rest)) = (self.ended, self.body.take(), self.rest.take()) {
            *rest.lock().unwrap_or_else(PoisonError::into_inner) = Some(Unread { body, begun: self.begun });
        }
    }
}

/// What nobody has read of a body.
pub struct Rest<B = Incoming>(Arc<Mutex<Option<Unread<B>>>>);

impl<B> Rest<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    /// Reads the rest away if it is little and comes at once; whether the body is at its end. `waits`: the client waits for a
    /// word before it sends anything, so that asking would be that word.
    pub async fn read_away(self, waits: bool) -> bool {
        let unread = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Unread { mut body, begun }) = unread else { return true };
        if body.is_end_stream() {
            return true;
        }
        if (waits && !begun) || body.size_hint().lower() > LITTLE {
            return false;
        }
        let read = async {
            let mut total = 0;
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { return false };
                total += frame.data_ref().map_or(0, Bytes::len) as u64;
                if total > LITTLE {
                    return false;
                }
            }
            true
        };
        timeout(AT_ONCE, read).await.unwrap_or(false)
    }
}

enum Piece {
    Data(Bytes),
    End,
    Failed(RequestBodyError),
}

/// The pieces of a request body, for a blocking reader. The last item is an error unless the body came whole.
pub struct Pieces {
    receiver: mpsc::Receiver<Piece>,
    ended: bool,
}

impl Iterator for Pieces {
    type Item = Result<Bytes, RequestBodyError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.receiver.blocking_recv() {
            Some(Piece::Data(data)) => return Some(Ok(data)),
            Some(Piece::End) => self.ended = true,
            Some(Piece::Failed(error)) => {
                self.ended = true;
                return Some(Err(error));
            }
            None => {
                self.ended = true;
                return Some(Err(RequestBodyError::Incomplete("the request was given up".to_owned())));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http_body_util::Full;
    use hyper::body::Frame;

    use super::*;

    struct Frames(std::vec::IntoIter<Result<Frame<Bytes>, BodyError>>);

    impl HttpBody for Frames {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Poll::Ready(self.0.next())
        }
    }

    fn of<B>(body: B) -> RequestBody<B>
    where
        B: HttpBody<Data = Bytes> + Unpin,
        B::Error: Into<BodyError>,
    {
        RequestBody::new(body, Arc::default(), Duration::from_mins(1))
    }

    fn chunked(frames: Vec<Result<Frame<Bytes>, BodyError>>) -> RequestBody<Frames> {
        of(Frames(frames.into_iter()))
    }

    #[allow(clippy::unnecessary_wraps, reason = "an item of a list that also has errors")]
    fn data(n: usize) -> Result<Frame<Bytes>, BodyError> {
        Ok(Frame::data(Bytes::from(vec![1; n])))
    }

    #[tokio::test]
    async fn a_small_body_is_read_under_its_cap() {
        assert_eq!(chunked(vec![data(3), data(0), data(4)]).read(7).await.expect("a body").len(), 7);
        assert!(matches!(chunked(vec![data(3), data(5)]).read(7).await, Err(RequestBodyError::TooLarge { limit: 7 })));
        let full = of(Full::new(Bytes::from(vec![0; 9])));
        assert!(matches!(full.read(8).await, Err(RequestBodyError::TooLarge { .. })));
    }

    #[tokio::test]
    async fn pieces_are_gathered() {
        let frames = (0..100).map(|_| data(10_000)).collect();
        let sizes =
            chunked(frames).feed(None, |pieces| pieces.map(|p| p.expect("data").len()).collect::<Vec<_>>()).await;
        let sizes = sizes.expect("a result");
        assert_eq!(sizes.iter().sum::<usize>(), 1_000_000);
        assert!(sizes[..sizes.len() - 1].iter().all(|n| *n >= PIECE), "{sizes:?}");
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_an_error_at_the_reader() {
        let body = chunked(vec![data(10), Err("reset".into())]);
        let last = body.feed(None, |pieces| pieces.last().expect("an item")).await.expect("a result");
        assert!(matches!(last, Err(RequestBodyError::Incomplete(_))));
        let body = chunked(vec![data(300_000), data(300_000)]);
        let last = body.feed(Some(500_000), |pieces| pieces.last().expect("an item")).await.expect("a result");
        assert!(matches!(last, Err(RequestBodyError::TooLarge { .. })));
    }

    /// Never brings a frame.
    struct Silent;

    impl HttpBody for Silent {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_body_stalls_only_when_its_connection_is_silent() {
        let pulse = Arc::new(Pulse::default());
        let silence = Duration::from_millis(40);
        let read = tokio::spawn(RequestBody::new(Silent, pulse.clone(), silence).read(9));
        let mut tick = tokio::time::interval(silence / 8);
        for _ in 0..32 {
            tick.tick().await;
            pulse.hear();
        }
        let alive = !read.is_finished();
        assert!(matches!(read.await.expect("no panic"), Err(RequestBodyError::Stalled)));
        assert!(alive && pulse.silence() >= silence);
    }

    #[tokio::test]
    async fn a_job_that_stops_early_is_answered() {
        let frames = (0..100).map(|_| data(PIECE)).collect();
        assert_eq!(chunked(frames).feed(None, |mut pieces| pieces.next().is_some()).await.ok(), Some(true));
    }
}
