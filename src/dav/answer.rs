//! A multistatus that is made by one visit to the blocking pool: sent with its length while it is short, and while it is
//! written once it is long. What fails before that is an error of its own; what fails later breaks the connection.

use std::io::{self, Write};

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use tokio::sync::oneshot;

use crate::web::body::BodyWriter;
use crate::web::problem::Problem;
use crate::web::{Body, Response, response};

/// The largest answer that is sent with its length, in bytes.
const SHORT: usize = 256 * 1024;

/// Where a multistatus is written to.
pub(super) struct Answer(State);

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
        let mut answer = Answer(State::Short(Vec::with_capacity(4096), sender));
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
    fn end(self, result: Result<(), Problem>) {
        match (self.0, result) {
            (State::Short(text, sender), Ok(())) => drop(sender.send(Ok(head(Body::Text(Bytes::from(text)))))),
            (State::Short(_, sender), Err(problem)) => drop(sender.send(Err(problem))),
            (State::Long(writer), Ok(())) => {
                if let Err(e) = writer.finish() {
                    tracing::debug!(error = %e, "an answer broke off");
                }
            }
            (_, Err(problem)) => tracing::debug!(%problem, cause = problem.cause(), "an answer broke off"),
            (State::Lost, Ok(())) => {}
        }
    }
}

fn head(body: Body) -> Response {
    let mut response = response::empty(StatusCode::MULTI_STATUS);
    *response.body_mut() = body;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml; charset=utf-8"));
    response
}

impl Write for Answer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if matches!(&self.0, State::Short(text, _) if text.len() + bytes.len() > SHORT)
            && let State::Short(text, sender) = std::mem::replace(&mut self.0, State::Lost)
        {
            let (mut writer, body) = Body::written();
            if sender.send(Ok(head(body))).is_ok() {
                writer.write_all(&text)?;
                self.0 = State::Long(writer);
            }
        }
        match &mut self.0 {
            State::Short(text, _) => text.write(bytes),
            State::Long(writer) => writer.write(bytes),
            State::Lost => Err(io::Error::new(io::ErrorKind::BrokenPipe, "the client is gone")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
