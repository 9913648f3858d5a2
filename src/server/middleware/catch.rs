//! A panic in a handler is an answer of 500, not the end of a connection.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use crate::web::{Problem, Response};

/// Runs a handler to its end.
pub(super) async fn panics(handler: impl Future<Output = Result<Response, Problem>>) -> Result<Response, Problem> {
    let mut handler = pin!(handler);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx))) {
        Ok(poll) => poll,
        Err(panic) => Poll::Ready(Err(Problem::internal(format_args!("a handler panicked: {}", text(&*panic))))),
    })
    .await
}

fn text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_500() {
        let problem = panics(async { panic!("on {}", "purpose") }).await.expect_err("a problem");
        assert_eq!(problem.status(), 500);
        assert_eq!(problem.cause(), Some("a handler panicked: on purpose"));
    }
}
