//! What the module takes from its surroundings: a clock, randomness, a way to wait.
//!
//! [`System`] is the real thing. A host brings its own [`Environment`] where it must, and tests do
//! so to bend time.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use pos_protocol::Timestamp;

/// A boxed future that every trait of this crate returns: `Send` natively, bound to its thread in
/// a browser, where nothing is.
#[cfg(not(target_arch = "wasm32"))]
pub type Task<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A boxed future that every trait of this crate returns: `Send` natively, bound to its thread in
/// a browser, where nothing is.
#[cfg(target_arch = "wasm32")]
pub type Task<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What may be shared between a connection's clones: `Send + Sync` natively, anything in a browser.
#[cfg(not(target_arch = "wasm32"))]
pub trait Shared: Send + Sync {}

#[cfg(not(target_arch = "wasm32"))]
impl<T: Send + Sync + ?Sized> Shared for T {}

/// What may be shared between a connection's clones: `Send + Sync` natively, anything in a browser.
#[cfg(target_arch = "wasm32")]
pub trait Shared {}

#[cfg(target_arch = "wasm32")]
impl<T: ?Sized> Shared for T {}

/// The surroundings gave no time or no randomness. Nothing can be signed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// The clock stands before 1970.
    #[error("the system's clock stands before 1970")]
    Clock,
    /// The system has no randomness to give.
    #[error("the system gives no randomness")]
    Entropy,
    /// The host does not sign by the key, or has lost it.
    #[cfg(target_arch = "wasm32")]
    #[error("the host does not sign by this key")]
    Key,
}

/// Clock, randomness and sleep.
pub trait Environment: Shared {
    /// The wall clock. It may be wrong: the module learns by how much from the server's signed
    /// answers.
    ///
    /// # Errors
    /// [`EnvironmentError::Clock`].
    fn now(&self) -> Result<Timestamp, EnvironmentError>;

    /// A clock that never goes back, from whatever beginning: time-outs are measured by it.
    fn uptime(&self) -> Duration;

    /// Fills the octets with randomness good enough for private keys.
    ///
    /// # Errors
    /// [`EnvironmentError::Entropy`].
    fn fill(&self, octets: &mut [u8]) -> Result<(), EnvironmentError>;

    /// Returns after this long.
    fn sleep(&self, span: Duration) -> Task<'_, ()>;
}

/// The operating system's or the browser's clock and randomness. Natively [`sleep`] needs a tokio
/// runtime with its timer, as all calls do.
///
/// [`sleep`]: Environment::sleep
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Environment for System {
    fn now(&self) -> Result<Timestamp, EnvironmentError> {
        system::now()
    }

    fn uptime(&self) -> Duration {
        system::uptime()
    }

    fn fill(&self, octets: &mut [u8]) -> Result<(), EnvironmentError> {
        getrandom::fill(octets).map_err(|_| EnvironmentError::Entropy)
    }

    fn sleep(&self, span: Duration) -> Task<'_, ()> {
        Box::pin(system::sleep(span))
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod system {
    use std::sync::LazyLock;
    use std::time::{Duration, Instant, SystemTime};

    use pos_protocol::Timestamp;

    use super::EnvironmentError;

    /// Where uptime begins. The value is arbitrary and nothing is shared through it.
    static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

    pub(super) fn now() -> Result<Timestamp, EnvironmentError> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Ok(Timestamp::default().plus(since.map_err(|_| EnvironmentError::Clock)?))
    }

    pub(super) fn uptime() -> Duration {
        BEGINNING.elapsed()
    }

    pub(super) async fn sleep(span: Duration) {
        tokio::time::sleep(span).await;
    }
}

#[cfg(target_arch = "wasm32")]
mod system {
    use std::time::Duration;

    use pos_protocol::Timestamp;

    use super::EnvironmentError;
    use crate::transport::timer;

    pub(super) fn now() -> Result<Timestamp, EnvironmentError> {
        let since = Duration::try_from_secs_f64(js_sys::Date::now() / 1000.0);
        Ok(Timestamp::default().plus(since.map_err(|_| EnvironmentError::Clock)?))
    }

    pub(super) fn uptime() -> Duration {
        Duration::try_from_secs_f64(timer::performance_now() / 1000.0).unwrap_or_default()
    }

    pub(super) async fn sleep(span: Duration) {
        timer::sleep(span).await;
    }
}
