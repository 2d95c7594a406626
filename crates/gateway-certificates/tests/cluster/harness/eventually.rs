//! Waiting for what the controller, or Kubernetes, does in its own time.

use std::time::{Duration, Instant};

/// How long it may take on a busy machine; what works takes a fraction of it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Looks until it is so. `what` is a clause for the message; an error says what is seen instead.
pub async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Result<T, String>) -> T {
    eventually_within(PATIENCE, what, look).await
}

/// [`eventually`] with a patience of its own.
pub async fn eventually_within<T>(
    patience: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let start = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if start.elapsed() > patience => {
                panic!("after {} s not yet so: {what}.\nLast seen: {seen}", patience.as_secs())
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
