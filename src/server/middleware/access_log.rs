//! One line in the log for each request, written when its answer has been sent or has broken off.
//!
//! The line has the path but no query and no header: those may hold secrets.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::{Method, StatusCode};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::base::id;
use crate::web::body::BodyError;
use crate::web::pulse::Exchange;
use crate::web::{Body, Problem};

/// What is known of a request.
#[derive(Debug)]
pub(crate) struct Line {
    began: Instant,
    /// Made when it is written, if it is not known.
    pub(super) key: String,
    pub(super) method: Method,
    path: String,
    code: Option<&'static str>,
}

impl Line {
    pub(in crate::server) fn new(began: Instant, method: Method, path: String) -> Self {
        Self { began, key: String::new(), method, path, code: None }
    }

    /// Of a request that is answered again.
    pub(in crate::server) fn again(method: &Method, path: &str) -> Self {
        let path = if Self::is_wanted() { path.to_owned() } else { String::new() };
        Self::new(Instant::now(), method.clone(), path)
    }

    pub(in crate::server) fn method(&self) -> &Method {
        &self.method
    }

    /// The path of the request, as the log has it.
    pub(in crate::server) fn path(&self) -> &str {
        &self.path
    }

    /// Whether lines are written at all.
    pub(in crate::server) fn is_wanted() -> bool {
        tracing::enabled!(tracing::Level::INFO)
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

    /// Writes the line. `whole`: all of the answer was sent.
    pub(in crate::server) fn write(&mut self, status: StatusCode, bytes: u64, whole: bool) {
        if !Self::is_wanted() {
            return;
        }
        if self.key.is_empty() {
            self.key = id::request_key();
        }
        let Self { began, key, method, path, code } = self;
        tracing::info!(
            %key, %method, %path, status = status.as_u16(), code, bytes, whole,
            ms = began.elapsed().as_secs_f64() * 1000.0, "request"
        );
    }
}

/// An answer's body that counts its bytes and writes the line when it ends.
pub(crate) struct Logged {
    body: Body,
    status: StatusCode,
    sent: u64,
    /// None if somebody else tells of the request.
    told: Option<(Line, Exchange)>,
}

impl Logged {
    pub(super) fn new(body: Body, line: Line, status: StatusCode, exchange: Exchange) -> Self {
        Self { body, status, sent: 0, told: Some((line, exchange)) }
    }

    pub(in crate::server) fn line(&self) -> Option<&Line> {
        self.told.as_ref().map(|(line, _)| line)
    }

    /// The body, if it is in memory.
    pub(in crate::server) fn bytes(&self) -> Option<&Bytes> {
        match &self.body {
            Body::Text(bytes) | Body::Bytes(bytes) => Some(bytes),
            Body::Empty | Body::Stream(_) => None,
        }
    }

    /// Whether the body is made while it is sent.
    pub(in crate::server) fn is_stream(&self) -> bool {
        matches!(self.body, Body::Stream(_))
    }

    /// Takes what tells of the request: somebody else sends the answer, and this has no body any more.
    pub(in crate::server) fn take(&mut self) -> Option<(Line, Exchange)> {
        self.body = Body::Empty;
        self.told.take()
    }
}

impl HttpBody for Logged {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Some((_, exchange)) = &mut self.told {
            exchange.turn(polled.is_pending());
        }
        match &polled {
            Poll::Ready(Some(Ok(frame))) => self.sent += frame.data_ref().map_or(0, |data| data.len() as u64),
            Poll::Ready(Some(Err(error))) => {
                let (key, path) = self.line().map_or(("", ""), |line| (&line.key, &line.path));
                tracing::error!(key, path, %error, "an answer broke off");
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
        if let Some((line, _)) = &mut self.told {
            line.write(self.status, self.sent, self.body.is_end_stream());
        }
    }
}
