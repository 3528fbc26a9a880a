//! Why there is no result.

use std::io;

use pos_server::http::listener::ListenError;
use pos_server::http::tls::TlsError;
use pos_tests::BedError;

/// What ended a run before it had a result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// A call was answered otherwise than every call of a benchmark must be.
    #[error("a call of {what} was answered {status}: {body}")]
    Answer {
        /// Which calls.
        what: &'static str,
        /// The HTTP status.
        status: u16,
        /// The body.
        body: String,
    },
    /// Server, institution or shop did not come up.
    #[error(transparent)]
    Bed(#[from] BedError),
    /// The books do not agree: whatever was measured is not a result.
    #[error("the ledger differs, so this run is not a result: {0}")]
    Ledger(String),
    /// The echo has no address.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Too little was measured to say anything.
    #[error("{0} was over before enough calls were answered to measure anything")]
    TooFew(&'static str),
    /// The system refused something.
    #[error("{action}: {source}")]
    System {
        /// What was tried.
        action: String,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// The echo's certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An answer's signature does not verify.
    #[error("an answer to {what} does not verify: {cause}")]
    Unverified {
        /// Which calls.
        what: &'static str,
        /// Why.
        cause: pos_protocol::sign::SignError,
    },
}

impl BenchError {
    /// Wraps what the system said while `action` was tried.
    pub(crate) fn system(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::System { action, source }
    }
}
