//! Blocking work in the pool, once for each operation.

use super::Problem;

/// Runs the job in the blocking pool. A panic in it is a failure of ours, not the end of the server.
pub async fn run<T, F>(job: F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Problem> + Send + 'static,
{
    match tokio::task::spawn_blocking(job).await {
        Ok(result) => result,
        Err(e) => Err(Problem::internal(format_args!("a job in the blocking pool failed: {e}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_problem() {
        let problem = run::<(), _>(|| panic!("on purpose")).await.expect_err("a problem");
        assert_eq!(problem.status(), 500);
    }
}
