//! The builds, chosen so that nothing compiles twice.
//!
//! Cargo unites the features of all packages and targets that one call selects. Another selection
//! means other features of shared crates, and so compiles half of the tree once more. Therefore
//! every call here selects the whole workspace, and the features of development dependencies too.

use crate::{child::Children, failure::Failure};

/// The selection of every cargo call that compiles for this machine.
pub(crate) const EVERYTHING: &[&str] = &["--workspace", "--release", "--locked"];

/// Builds libraries, programs and tests.
pub(crate) fn everything(children: &Children<'_>) -> Result<(), Failure> {
    children.run(children.cargo(&["build", "--all-targets"]).args(EVERYTHING))
}

/// Builds the programs and what they link, and no test.
pub(crate) fn programs(children: &Children<'_>) -> Result<(), Failure> {
    // `--examples` selects nothing that we have; it makes cargo unite features as in `everything`.
    let targets = ["build", "--bins", "--examples"];
    children.run(children.cargo(&targets).args(EVERYTHING))
}
