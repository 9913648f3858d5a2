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
use crate::web::share::Share;
use crate::web::{Body, Response, response};

/// The largest answer that is sent with its length, in bytes.
const SHORT: usize = 256 * 1024;

/// The largest piece of text that is made before it is handed on, in bytes.
const PIECE: usize = SHORT;

/// What takes text in large pieces, and may keep them as they are.
pub(super) trait Sink {
    /// How much is worth being handed on.
    fn piece(&self) -> usize;

    /// Takes all of the text, which is empty afterwards.
    fn give(&mut self, text: &mut String) -> io::Result<()>;
}

/// Where a multistatus is written to.
pub(super) struct Answer {
    state: State,
    /// What its head says, but for the body.
    head: Response,
    share: Share,
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
        let mut answer = Answer { state: State::Short(Vec::new(), sender), head: head(), share: Share::take() };
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

/// A multistatus, but for its body.
fn head() -> Response {
    let mut head = response::empty(StatusCode::MULTI_STATUS);
    head.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml; charset=utf-8"));
    head
}

/// A multistatus that must be short.
#[derive(Debug, Default)]
pub(super) struct ShortAnswer(String);

impl ShortAnswer {
    /// The whole answer, which names the version of the resource that it is about.
    pub(super) fn about(self, resource: &Resource) -> Response {
        let mut head = head();
        *head.body_mut() = Body::Text(Bytes::from(self.0));
        tagged(head, resource)
    }
}

impl Sink for ShortAnswer {
    fn piece(&self) -> usize {
        PIECE
    }

    fn give(&mut self, text: &mut String) -> io::Result<()> {
        if self.0.is_empty() && text.len() <= SHORT {
            self.0 = std::mem::take(text);
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::FileTooLarge, "the answer is not short"))
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

impl Answer {
    /// Begins to send if there would be too much to say before it was known.
    fn make_room(&mut self, bytes: usize) -> io::Result<()> {
        if matches!(&self.state, State::Short(text, _) if text.len() + bytes > SHORT)
            && let State::Short(text, sender) = std::mem::replace(&mut self.state, State::Lost)
        {
            let (mut writer, body) = Body::written();
            if sender.send(Ok(self.head_with(body))).is_ok() {
                writer.give(text.into())?;
                self.state = State::Long(writer);
            }
        }
        Ok(())
    }

    fn lost<T>(&mut self, written: io::Result<T>) -> io::Result<T> {
        if written.is_err() {
            self.state = State::Lost;
        }
        written
    }
}

fn gone<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::BrokenPipe, "the client is gone"))
}

impl Sink for Answer {
    fn piece(&self) -> usize {
        self.share.of(PIECE)
    }

    fn give(&mut self, text: &mut String) -> io::Result<()> {
        self.make_room(text.len())?;
        match &mut self.state {
            State::Short(all, _) if all.is_empty() => *all = std::mem::take(text).into_bytes(),
            State::Short(all, _) => {
                all.extend_from_slice(text.as_bytes());
                text.clear();
            }
            State::Long(writer) => {
                let given = writer.give(std::mem::take(text).into());
                return self.lost(given);
            }
            State::Lost => return gone(),
        }
        Ok(())
    }
}

impl Write for Answer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.make_room(bytes.len())?;
        match &mut self.state {
            State::Short(text, _) => text.write(bytes),
            State::Long(writer) => {
                let written = writer.write(bytes);
                self.lost(written)
            }
            State::Lost => gone(),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
