//! A multistatus that is made by one visit to the blocking pool: sent with its length while it is short, and while it is
//! written once it is long. What fails before that is an error of its own; what fails later breaks the connection.

use std::io::{self, Write};

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use tokio::sync::oneshot;

use super::xml::tagged;
use crate::storage::database::Resource;
use crate::web::body::BodyWriter;
use crate::web::problem::Problem;
use crate::web::{Body, Response, response};

/// The largest answer that is sent with its length, in bytes.
const SHORT: usize = 256 * 1024;

/// Where a multistatus is written to.
pub(super) struct Answer {
    state: State,
    /// What its head says, but for the body.
    head: Response,
}

enum State {
    Short(Vec<u8>, oneshot::Sender<Result<Response, Problem>>),
    Long(BodyWriter),
    /// The client is gone.
    Lost,
}

/// Runs a job that writes an answer.
pub(super) async fn answered(
    job: impl FnOnce(&mut Answer) -> Result<(), Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let (sender, receiver) = oneshot::channel();
    let job = tokio::task::spawn_blocking(move || {
        let mut head = response::empty(StatusCode::MULTI_STATUS);
        head.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml; charset=utf-8"));
        let mut answer = Answer { state: State::Short(Vec::with_capacity(4096), sender), head };
        let result = job(&mut answer);
        answer.end(result);
    });
    match receiver.await {
        Ok(answer) => answer,
        Err(_) => Err(Problem::internal(match job.await {
            Err(e) => e.to_string(),
            Ok(()) => "an answer was given up".to_owned(),
        })),
    }
}

impl Answer {
    /// Names the version of the resource that the answer is about; to be called before anything is written.
    pub(super) fn tag(&mut self, resource: &Resource) {
        self.head = tagged(self.head_with(Body::Empty), resource);
    }

    fn end(mut self, result: Result<(), Problem>) {
        match (std::mem::replace(&mut self.state, State::Lost), result) {
            (State::Short(text, sender), Ok(())) => {
                drop(sender.send(Ok(self.head_with(Body::Text(Bytes::from(text))))));
            }
            (State::Short(_, sender), Err(problem)) => drop(sender.send(Err(problem))),
            (State::Long(writer), Ok(())) => {
                if let Err(e) = writer.finish() {
                    tracing::debug!(error = %e, "an answer broke off");
                }
            }
            (State::Long(_), Err(problem)) => {
                tracing::warn!(%problem, cause = problem.cause(), "an answer broke off");
            }
            (State::Lost, _) => tracing::debug!("a client left before its answer was whole"),
        }
    }

    fn head_with(&mut self, body: Body) -> Response {
        let mut head = std::mem::replace(&mut self.head, response::empty(StatusCode::MULTI_STATUS));
        *head.body_mut() = body;
        head
    }
}

impl Write for Answer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if matches!(&self.state, State::Short(text, _) if text.len() + bytes.len() > SHORT)
            && let State::Short(text, sender) = std::mem::replace(&mut self.state, State::Lost)
        {
            let (mut writer, body) = Body::written();
            if sender.send(Ok(self.head_with(body))).is_ok() {
                writer.write_all(&text)?;
                self.state = State::Long(writer);
            }
        }
        match &mut self.state {
            State::Short(text, _) => text.write(bytes),
            State::Long(writer) => {
                let written = writer.write(bytes);
                if written.is_err() {
                    self.state = State::Lost;
                }
                written
            }
            State::Lost => Err(io::Error::new(io::ErrorKind::BrokenPipe, "the client is gone")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
