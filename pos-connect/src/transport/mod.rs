//! The one place that sends: hyper natively, `fetch` in a browser. No redirects, no cookies, no
//! compression; an answer is read up to a limit and no further.

#[cfg(target_arch = "wasm32")]
mod fetch;
#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
pub(crate) mod timer;

#[cfg(target_arch = "wasm32")]
pub(crate) use fetch::Sender;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::Sender;
#[cfg(not(target_arch = "wasm32"))]
pub use native::{Carrier, Sockets};

/// The largest answer that is read, in octets.
const MAX_ANSWER: usize = 1024 * 1024;

/// Why a message brought no answer.
#[derive(Debug, thiserror::Error)]
#[cfg_attr(
    target_arch = "wasm32",
    expect(dead_code, reason = "a browser does not tell whether a connection was made")
)]
pub(crate) enum SendFailure {
    /// No connection could be made: not an octet of the call left.
    #[error("no connection to the server")]
    Connect(#[source] Lower),
    /// The connection broke, or what came was no HTTP.
    #[error("the connection broke before the answer was there")]
    Broken(#[source] Lower),
    /// Nothing, or not all of it, came in time.
    #[error("no answer in time")]
    Timeout,
    /// More than is ever read.
    #[error("the answer is larger than {MAX_ANSWER} octets")]
    TooLarge,
    /// TLS does not believe the server.
    #[error("the server's certificate is not trusted")]
    Untrusted(#[source] Lower),
}

/// What the library or the browser says.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) type Lower = Box<dyn std::error::Error + Send + Sync>;
/// What the library or the browser says.
#[cfg(target_arch = "wasm32")]
pub(crate) type Lower = fetch::JsFailure;

impl SendFailure {
    /// There was no time left to send anything.
    pub(crate) const fn no_time() -> Self {
        Self::Timeout
    }

    /// Whether certainly no octet of the call left this machine.
    pub(crate) const fn nothing_was_sent(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Untrusted(_))
    }

    /// Whether trying again is useless until somebody mends the certificates.
    pub(crate) const fn is_untrusted(&self) -> bool {
        matches!(self, Self::Untrusted(_))
    }
}
