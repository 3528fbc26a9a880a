//! The two builds: what the tests see, and what is shipped.
//!
//! Cargo unites the features of all packages and targets that one call selects, and another selection
//! compiles all crates again whose features differ. So there are two selections and no third: the
//! whole workspace with development dependencies, and the whole workspace without.

use crate::{child::Children, failure::Failure};

/// The selection of every cargo call that compiles for this machine.
pub(crate) const EVERYTHING: &[&str] = &["--workspace", "--release", "--locked"];

/// Builds libraries, programs and tests; their parts share all that is compiled here.
pub(crate) fn everything(children: &Children<'_>) -> Result<(), Failure> {
    children.run(children.cargo(&["build", "--all-targets"]).args(EVERYTHING))
}

/// The programs with the features that they are shipped with, none that only a test asks for; and
/// without the generators of the bindings, which nobody ships.
pub(crate) const PROGRAMS: &[&str] = &["--bins", "--exclude", "pos-connect-tools"];

/// Builds [`PROGRAMS`].
pub(crate) fn programs(children: &Children<'_>) -> Result<(), Failure> {
    children.run(children.cargo(&["build"]).args(PROGRAMS).args(EVERYTHING))
}
