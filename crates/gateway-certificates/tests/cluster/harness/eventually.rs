//! Waits for asynchronous results of the controller or Kubernetes.

use std::time::{Duration, Instant};

/// The default timeout on a busy machine. Successful waits are much shorter.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until `attempt` returns `Ok`. `what` is a clause for the message; the error is the observed state.
pub async fn eventually<T>(what: &str, attempt: impl AsyncFnMut() -> Result<T, String>) -> T {
    eventually_within(PATIENCE, what, attempt).await
}

/// [`eventually`] with another timeout.
pub async fn eventually_within<T>(
    patience: Duration,
    what: &str,
    mut attempt: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let start = Instant::now();
    loop {
        match attempt().await {
            Ok(found) => return found,
            Err(seen) if start.elapsed() > patience => {
                panic!("timeout after {} s: {what}.\nLast seen: {seen}", patience.as_secs())
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
