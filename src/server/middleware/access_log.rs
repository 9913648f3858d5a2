//! One line in the log for each request, written when its answer has been sent or has broken off.
//!
//! The line has the path but no query and no header: those may hold secrets.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::{Method, StatusCode};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::web::body::BodyError;
use crate::web::pulse::Exchange;
use crate::web::{Body, Problem};

/// What is known of a request.
pub(super) struct Line {
    began: Instant,
    pub(super) key: String,
    pub(super) method: Method,
    path: String,
    pub(super) status: StatusCode,
    code: Option<&'static str>,
}

impl Line {
    pub(super) fn new(began: Instant, method: Method, path: String) -> Self {
        Self { began, key: String::new(), method, path, status: StatusCode::OK, code: None }
    }

    /// Remembers the error, and logs at once what only the log may say about it.
    pub(super) fn failed(&mut self, problem: &Problem) {
        self.code = Some(problem.code().as_str());
        let (key, method, path) = (&self.key, &self.method, &self.path);
        match problem.cause() {
            Some(cause) if problem.status().is_server_error() => {
                tracing::error!(%key, %method, %path, %problem, cause, "a request failed");
            }
            Some(cause) => tracing::debug!(%key, %method, %path, %problem, cause, "a request was refused"),
            None => {}
        }
    }
}

/// An answer's body that counts its bytes and writes the line when it ends.
pub(crate) struct Logged {
    body: Body,
    line: Line,
    sent: u64,
    exchange: Exchange,
}

impl Logged {
    pub(super) fn new(body: Body, line: Line, exchange: Exchange) -> Self {
        Self { body, line, sent: 0, exchange }
    }
}

impl HttpBody for Logged {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.exchange.turn(polled.is_pending());
        match &polled {
            Poll::Ready(Some(Ok(frame))) => self.sent += frame.data_ref().map_or(0, |data| data.len() as u64),
            Poll::Ready(Some(Err(error))) => {
                tracing::error!(key = %self.line.key, path = %self.line.path, %error, "an answer broke off");
            }
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let Line { began, key, method, path, status, code } = &self.line;
        tracing::info!(
            %key, %method, %path, status = status.as_u16(), code, bytes = self.sent, whole = self.body.is_end_stream(),
            ms = began.elapsed().as_secs_f64() * 1000.0, "request"
        );
    }
}
