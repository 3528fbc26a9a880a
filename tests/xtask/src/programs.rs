//! Programs of the workspace that are built in release and then started: each a subcommand that
//! passes its arguments through.

use std::{convert::Infallible, ffi::OsString, os::unix::process::CommandExt, time::Duration};

use clap::{Arg, ArgMatches, Command};

use crate::{build, child, child::Children, failure::Failure, workspace::Workspace};

/// One program.
struct Program {
    /// The subcommand.
    name: &'static str,
    /// The binary in the release folder.
    binary: &'static str,
    about: &'static str,
}

#[rustfmt::skip]
const PROGRAMS: &[Program] = &[
    Program { name: "bench", binary: "pos-bench", about: "Measures what a payment costs beside a bare HTTPS call" },
    Program { name: "demo",    binary: "pos-demo",    about: "Tells the whole story with real processes" },
    Program { name: "testbed", binary: "pos-testbed", about: "Starts server, institutions and a shop; one JSON line says where" },
];

/// One subcommand for each program.
pub(crate) fn subcommands() -> impl Iterator<Item = Command> {
    PROGRAMS.iter().map(|program| {
        let passed = Arg::new("arguments")
            .num_args(..)
            .trailing_var_arg(true)
            .allow_hyphen_values(true)
            .value_parser(clap::value_parser!(OsString))
            .help("Passed to the program");
        Command::new(program.name).about(program.about).disable_help_flag(true).arg(passed)
    })
}

/// Builds every program of the workspace.
pub(crate) fn build(workspace: &Workspace) -> Result<(), Failure> {
    build::programs(&Children::within(Duration::MAX, workspace))
}

/// Becomes the program that the subcommand names, as it was last built.
///
/// Programs find each other beside themselves in the release folder; none of them calls cargo.
pub(crate) fn start(
    workspace: &Workspace,
    name: &str,
    arguments: &ArgMatches,
) -> Result<Infallible, Failure> {
    let program = PROGRAMS
        .iter()
        .find(|program| program.name == name)
        .ok_or_else(|| Failure::Check(format!("no such subcommand: {name}")))?;
    let mut command = child::command(workspace, workspace.program(program.binary));
    command.args(arguments.get_many::<OsString>("arguments").into_iter().flatten());
    let source = command.exec();
    Err(Failure::Start { command: child::shown(&command), source })
}
