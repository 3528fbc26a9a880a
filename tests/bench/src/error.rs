//! Why there is no result.

use std::io;

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
    /// The database did not do as it should.
    #[error("the database: {0}")]
    Database(String),
    /// The echo's certificate cannot be used.
    #[error("the certificate of the echo cannot be used: {0}")]
    Certificate(String),
    /// The books do not agree: whatever was measured is not a result.
    #[error("the ledger differs, so this run is not a result: {0}")]
    Ledger(String),
    /// A shop's program did not do as `language/shop.rs` says.
    #[error("{name}: {said}")]
    Shop {
        /// The program.
        name: String,
        /// What it said instead.
        said: String,
    },
    /// Who was to do harm did not.
    #[error("the siege did not stand: {0}")]
    Siege(String),
    /// The machine did not keep the rate, and calls at different rates must not be compared.
    #[error(
        "{what} came to {reached:.0} calls/s of {wanted}: this run is not a result; try a lower --rate or a \
         quieter machine"
    )]
    Slow {
        /// Which calls.
        what: &'static str,
        /// Calls a second that were answered.
        reached: f64,
        /// What was asked for.
        wanted: u32,
    },
    /// The store did not take what it was to hold.
    #[error("the store: {0}")]
    Store(String),
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
    /// A thread that had worked ended while it was measured, and its last work with it.
    #[error("a thread of process {0} ended while its CPU was measured: this run is not a result")]
    ThreadEnded(u32),
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
