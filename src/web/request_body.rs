//! Request bodies: small ones read whole under a cap, large ones handed to a blocking writer in pieces of 256 KiB and more.
//!
//! A body ends only by its own end. One that breaks off, stalls or outgrows its cap is an error at its reader, so nothing that
//! was received in part can pass as whole. Timeouts sit on single frames, never on a whole upload.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Incoming};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::body::BodyError;
use super::problem::{Code, Problem};

/// How long a client may send nothing.
const SILENCE: Duration = Duration::from_mins(1);

/// How much is gathered before a blocking reader gets it.
const PIECE: usize = 256 * 1024;

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
pub struct RequestBody<B = Incoming>(B);

impl<B> RequestBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BodyError>,
{
    pub fn new(body: B) -> Self {
        Self(body)
    }

    /// The length that the client announced; none for a chunked body.
    pub fn length(&self) -> Option<u64> {
        self.0.size_hint().exact()
    }

    /// Whether the request has no body, or one of length 0.
    pub fn is_empty(&self) -> bool {
        self.0.is_end_stream() || self.length() == Some(0)
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
    /// A job that stops early ends the reading. More than `limit` bytes are an error at the job's end of the pieces.
    pub async fn feed<T, F>(mut self, limit: Option<u64>, job: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(Pieces) -> T + Send + 'static,
    {
        self.check_length(limit)?;
        let (sender, receiver) = mpsc::channel(WAITING);
        let pieces = Pieces { receiver, ended: false };
        let job = tokio::task::spawn_blocking(move || job(pieces));
        let end = self.pump(limit, &sender).await;
        // A job that no longer listens has its own reason to stop, which its result tells.
        let _ = sender.send(end.map_or_else(Piece::Failed, |()| Piece::End)).await;
        drop(sender);
        job.await.map_err(|e| Problem::internal(format_args!("a job in the blocking pool failed: {e}")))
    }

    async fn pump(&mut self, limit: Option<u64>, sender: &mpsc::Sender<Piece>) -> Result<(), RequestBodyError> {
        let mut gathered = BytesMut::new();
        let mut total = 0_u64;
        loop {
            let data = tokio::select! {
                data = self.next() => data?,
                () = sender.closed() => return Ok(()),
            };
            total += data.as_ref().map_or(0, |d| d.len() as u64);
            if let Some(limit) = limit.filter(|limit| total > *limit) {
                return Err(RequestBodyError::TooLarge { limit });
            }
            let piece = match data {
                None if gathered.is_empty() => return Ok(()),
                None => gathered.split().freeze(),
                Some(data) if gathered.is_empty() && data.len() >= PIECE => data,
                Some(data) => {
                    gathered.extend_from_slice(&data);
                    if gathered.len() < PIECE {
                        continue;
                    }
                    gathered.split().freeze()
                }
            };
            if sender.send(Piece::Data(piece)).await.is_err() {
                return Ok(());
            }
        }
    }

    fn check_length(&self, limit: Option<u64>) -> Result<(), RequestBodyError> {
        match limit {
            Some(limit) if self.0.size_hint().lower() > limit => Err(RequestBodyError::TooLarge { limit }),
            _ => Ok(()),
        }
    }

    /// The next data, none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, RequestBodyError> {
        loop {
            match timeout(SILENCE, self.0.frame()).await {
                Err(_) => return Err(RequestBodyError::Stalled),
                Ok(None) => return Ok(None),
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

    fn chunked(frames: Vec<Result<Frame<Bytes>, BodyError>>) -> RequestBody<Frames> {
        RequestBody::new(Frames(frames.into_iter()))
    }

    #[allow(clippy::unnecessary_wraps, reason = "an item of a list that also has errors")]
    fn data(n: usize) -> Result<Frame<Bytes>, BodyError> {
        Ok(Frame::data(Bytes::from(vec![1; n])))
    }

    #[tokio::test]
    async fn a_small_body_is_read_under_its_cap() {
        assert_eq!(chunked(vec![data(3), data(0), data(4)]).read(7).await.expect("a body").len(), 7);
        assert!(matches!(chunked(vec![data(3), data(5)]).read(7).await, Err(RequestBodyError::TooLarge { limit: 7 })));
        let full = RequestBody::new(Full::new(Bytes::from(vec![0; 9])));
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

    #[tokio::test]
    async fn a_job_that_stops_early_is_answered() {
        let frames = (0..100).map(|_| data(PIECE)).collect();
        assert_eq!(chunked(frames).feed(None, |mut pieces| pieces.next().is_some()).await.ok(), Some(true));
    }
}
