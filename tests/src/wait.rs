//! Waiting for what another process does: its own status call is asked again, within a limit.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long anything may take that is waited for: longer than a lease and an institution's limit.
pub const LIMIT: Duration = Duration::from_secs(60);

/// How often is asked.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks until there is an answer.
///
/// # Panics
/// When there is none within [`LIMIT`].
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, ask: impl FnMut() -> F) -> T {
    let found = within(LIMIT, ask).await;
    found.unwrap_or_else(|| panic!("waited {} s in vain until {what}", LIMIT.as_secs()))
}

/// Asks until there is an answer, or `limit` has passed.
pub async fn within<T, F: Future<Output = Option<T>>>(
    limit: Duration,
    mut ask: impl FnMut() -> F,
) -> Option<T> {
    let end = Instant::now().checked_add(limit)?;
    loop {
        if let Some(found) = ask().await {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        sleep(PAUSE).await;
    }
}
