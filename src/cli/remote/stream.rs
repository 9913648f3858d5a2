//! Content on its way to a server and back: from files and into files, in pieces. What breaks off on its way here is gone on with
//! where it broke off, as long as it is the same on the server.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};

use super::{Answer, Remote, empty, refused};
use crate::cli::error::Error;

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;
/// How often whoever watches is told.
const TICK: Duration = Duration::from_millis(50);
/// Attempts to go on that bring no byte, one after the other; the pause doubles each time.
const ATTEMPTS: u32 = 6;
const PAUSE: Duration = Duration::from_millis(250);

/// Is told how much is through, of how much; an error ends it.
pub(in super::super) type Watch<'w> = &'w mut dyn FnMut(u64, u64) -> Result<(), Error>;

/// A file on its way to a server.
struct Upload {
    file: File,
    left: u64,
    sent: Arc<AtomicU64>,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let mut piece = vec![0; self.left.min(PIECE as u64) as usize];
        let read = match self.file.read(&mut piece) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            other => other,
        };
        Poll::Ready(Some(read.map(|n| {
            piece.truncate(n);
            self.left -= n as u64;
            self.sent.fetch_add(n as u64, Ordering::Relaxed);
            Frame::data(piece.into())
        })))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Why a piece of a download did not come.
enum Broken {
    /// It may be tried again.
    Off(Error),
    Not(Error),
}

/// What is known of a download.
#[derive(Default)]
struct Download {
    at: u64,
    total: Option<u64>,
    tag: Option<String>,
}

impl Remote {
    /// Sends a file of `size` bytes as the body of a request.
    pub(in super::super) fn upload(
        &self,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        (file, size): (File, u64),
        watch: Watch<'_>,
    ) -> Result<Answer, Error> {
        let sent = Arc::new(AtomicU64::new(0));
        let body = Upload { file, left: size, sent: sent.clone() }.boxed();
        self.runtime().block_on(async {
            let exchange = async {
                let response = self.exchange(method, path, headers, body).await?;
                Answer::of(response).await
            };
            tokio::pin!(exchange);
            let mut tick = tokio::time::interval(TICK);
            let answer = loop {
                tokio::select! {
                    answer = &mut exchange => break answer?,
                    _ = tick.tick() => watch(sent.load(Ordering::Relaxed), size)?,
                }
            };
            if answer.status < 400 { Ok(answer) } else { Err(refused(&answer)) }
        })
    }

    /// Writes what a path has into a file, from its beginning; returns how many bytes that are.
    pub(in super::super) fn download(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        to: &File,
        watch: Watch<'_>,
    ) -> Result<u64, Error> {
        let (mut state, mut failures) = (Download::default(), 0);
        loop {
            let before = state.at;
            match self.runtime().block_on(self.piece(path, headers, to, &mut state, watch)) {
                Ok(()) => return Ok(state.at),
                Err(Broken::Not(e)) => return Err(e),
                Err(Broken::Off(e)) => {
                    failures = if state.at > before { 1 } else { failures + 1 };
                    // What has not even begun is not begun again and again.
                    if state.total.is_none() || failures >= ATTEMPTS {
                        return Err(e);
                    }
                    let until = std::time::Instant::now() + PAUSE * 2_u32.pow(failures - 1);
                    while std::time::Instant::now() < until {
                        watch(state.at, state.total.unwrap_or(0))?;
                        std::thread::sleep(TICK);
                    }
                }
            }
        }
    }

    /// One attempt at what is missing.
    async fn piece(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        to: &File,
        state: &mut Download,
        watch: Watch<'_>,
    ) -> Result<(), Broken> {
        let range = format!("bytes={}-", state.at);
        let mut headers = headers.to_vec();
        if let Some(tag) = state.tag.as_deref().filter(|_| state.at > 0) {
            headers.extend([("range", range.as_str()), ("if-match", tag)]);
        } else {
            state.at = 0;
        }
        let response = self.exchange("GET", path, &headers, empty()).await.map_err(Broken::Off)?;
        match response.status().as_u16() {
            206 if state.at > 0 => {}
            200 => (state.at, state.total) = (0, response.body().size_hint().exact()),
            412 => return Err(Broken::Not(Error::Changed)),
            status => {
                let answer = Answer::of(response).await.map_err(Broken::Off)?;
                let error = refused(&answer);
                return Err(if matches!(status, 429 | 502..=504) { Broken::Off(error) } else { Broken::Not(error) });
            }
        }
        let tag = response.headers().get("etag").and_then(|tag| tag.to_str().ok());
        state.tag = tag.filter(|tag| !tag.starts_with("W/")).map(str::to_owned);
        let mut body = response.into_body();
        let mut tick = tokio::time::interval(TICK);
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                _ = tick.tick() => {
                    watch(state.at, state.total.unwrap_or(0)).map_err(Broken::Not)?;
                    continue;
                }
            };
            match frame {
                Some(Ok(frame)) => {
                    let Ok(bytes) = frame.into_data() else { continue };
                    let written = to.write_all_at(&bytes, state.at);
                    written.map_err(|source| Broken::Not(Error::System { op: "write the file", source }))?;
                    state.at += bytes.len() as u64;
                }
                Some(Err(e)) => return Err(Broken::Off(Error::Answer(e.to_string()))),
                None if state.total.is_some_and(|total| total != state.at) => {
                    return Err(Broken::Off(Error::Answer("it ended early".to_owned())));
                }
                None => {
                    let cut = to.set_len(state.at);
                    return cut.map_err(|source| Broken::Not(Error::System { op: "write the file", source }));
                }
            }
        }
    }
}
