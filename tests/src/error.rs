//! What can go wrong while a bed is made or used.

use std::io;

use serde_json::Value;

/// Why the test bed cannot do what was asked. Printed as it is: the log of the process that failed is
/// part of it.
#[derive(Debug, thiserror::Error)]
pub enum BedError {
    /// An answer is not what this bed reads.
    #[error("{what} cannot be read: {source}")]
    Answer {
        /// Whose answer it is.
        what: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A certificate could not be made.
    #[error("the bed's certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// One of the operator's commands was refused.
    #[error("`pos-server {command}` was refused: {answer}")]
    Command {
        /// The words after the binary's name.
        command: String,
        /// What it printed.
        answer: String,
    },
    /// The connection module refused.
    #[error("the connection module: {0}")]
    Connection(#[from] pos_connect::Error),
    /// A process ended, or did not come up. Its last lines follow.
    #[error("{program} {what}; its last lines:\n{tail}")]
    Ended {
        /// The binary.
        program: String,
        /// What it did.
        what: String,
        /// The end of its log.
        tail: String,
    },
    /// A call over HTTP got no answer.
    #[error("{url}: {cause}")]
    Line {
        /// What was called.
        url: String,
        /// What was wrong with the line.
        cause: String,
    },
    /// A control address refused.
    #[error("{url} answered {status}: {body}")]
    Refused {
        /// What was called.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Its body.
        body: Value,
    },
    /// The system refused something.
    #[error("{action}: {source}")]
    System {
        /// What was tried.
        action: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A thing that was asked for by name does not exist.
    #[error("the bed has no {0}")]
    Unknown(String),
}

impl BedError {
    /// Wraps what the system said while `action` was tried.
    pub(crate) fn system(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::System { action, source }
    }

    /// Wraps what is wrong with the answer of `what`.
    pub(crate) fn answer(what: impl Into<String>) -> impl FnOnce(serde_json::Error) -> Self {
        let what = what.into();
        move |source| Self::Answer { what, source }
    }
}
