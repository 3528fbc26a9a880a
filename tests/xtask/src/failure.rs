//! Why a part failed, in words that say what to do next.

use std::{io, path::PathBuf, process::ExitStatus};

/// Why a part failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A check of this tool itself found something; the text says what and how to mend it.
    #[error("{0}")]
    Check(String),
    /// A child ended with an exit code other than 0; its own output has said why.
    #[error("`{command}` ended with {status}")]
    Exit { command: String, status: ExitStatus },
    /// Something outside the repository is missing and may not be installed from here.
    #[error("missing: {what}\n  to install it: {install}")]
    Missing { what: String, install: String },
    /// A file or folder could not be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Path { action: &'static str, path: PathBuf, source: io::Error },
    /// A child could not be started at all.
    #[error("cannot start `{command}`: {source}")]
    Start { command: String, source: io::Error },
    /// A child ran far over the part's budget and was ended.
    #[error("`{command}` was ended: the part has run {minutes} min, far over its budget")]
    TimeOut { command: String, minutes: u64 },
}
