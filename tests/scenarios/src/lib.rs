//! The flows of a shop as data, and the harness that plays them to every language's installed
//! package. `README.md` describes the data and the protocol that a runner speaks.

pub mod bed;
pub mod compare;
mod expand;
pub mod flow;
mod page;
pub mod play;
pub mod profile;
pub mod runner;
pub mod rust;
pub mod table;

/// Why the harness itself cannot go on. What a runner does wrong is a [`play::Outcome`].
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// The test bed.
    #[error(transparent)]
    Bed(#[from] pos_tests::BedError),
    /// A file of scenarios or profiles.
    #[error("{path}: {cause}")]
    Data {
        /// Which.
        path: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A program that did not start or ended too soon.
    #[error("{program}: {cause}")]
    Program {
        /// Which.
        program: String,
        /// What became of it.
        cause: String,
    },
}

impl HarnessError {
    pub(crate) fn data(
        path: impl std::fmt::Display,
    ) -> impl FnOnce(&dyn std::fmt::Display) -> Self {
        move |cause| Self::Data { path: path.to_string(), cause: cause.to_string() }
    }

    pub(crate) fn program(program: impl std::fmt::Display, cause: impl std::fmt::Display) -> Self {
        Self::Program { program: program.to_string(), cause: cause.to_string() }
    }
}
