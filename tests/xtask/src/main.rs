//! `cargo xtask`: what CI runs, and the programs that are built before they are started.
//!
//! `cargo xtask test` runs the parts of [`parts::PARTS`] in order and stops at the first that
//! fails. The programs in the table of [`programs`] are built in release and then replace this process.
#![expect(
    clippy::print_stdout,
    reason = "a command for people and CI logs: standard output is its interface"
)]

mod bench;
mod bindings;
mod build;
mod child;
mod deny;
mod failure;
mod fuzz;
mod hostile;
mod judges;
mod mutants;
mod package;
mod parts;
mod programs;
mod runner;
mod setup;
mod sim;
mod sizes;
mod tool;
mod venv;
mod workspace;

use std::{process::ExitCode, time::Duration};

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::{child::Children, failure::Failure, runner::Selection, workspace::Workspace};

fn main() -> ExitCode {
    let workspace = match Workspace::locate() {
        Ok(workspace) => workspace,
        Err(failure) => return runner::report(&failure),
    };
    let line = command_line().get_matches();
    let built = line.get_flag("built");
    match line.subcommand() {
        Some(("test" | "full" | "package" | "sim", _)) if built => runner::report(&Failure::Check(
            "--built goes with a program that is started: leave it out".to_owned(),
        )),
        Some((name @ "test", arguments)) => {
            runner::run(&workspace, name, parts::PARTS, &selection(arguments))
        }
        Some((name @ "full", arguments)) => {
            let parts = [parts::PARTS, parts::LONGER].concat();
            runner::run(&workspace, name, &parts, &selection(arguments))
        }
        Some(("package", _)) => {
            match package::command(&Children::within(Duration::MAX, &workspace)) {
                Ok(()) => ExitCode::SUCCESS,
                Err(failure) => runner::report(&failure),
            }
        }
        Some(("sim", arguments)) => {
            let done = sim::command(&Children::within(Duration::MAX, &workspace), arguments);
            done.map_or_else(|failure| runner::report(&failure), |()| ExitCode::SUCCESS)
        }
        Some(("scenarios", arguments)) => {
            let only = arguments.get_one::<String>("only").map(String::as_str);
            let done = bindings::scenarios::command(&workspace, arguments.get_flag("write"), only);
            done.map_or_else(|failure| runner::report(&failure), |()| ExitCode::SUCCESS)
        }
        Some((name, arguments)) => {
            let build = || if built { Ok(()) } else { programs::build(&workspace) };
            match build().and_then(|()| programs::start(&workspace, name, arguments)) {
                Ok(never) => match never {},
                Err(failure) => runner::report(&failure),
            }
        }
        // clap asks for a subcommand itself.
        None => ExitCode::FAILURE,
    }
}

fn command_line() -> Command {
    let only = Arg::new("only")
        .long("only")
        .value_name("NAME")
        .help("Runs this part alone; --list names them");
    let list = Arg::new("list")
        .long("list")
        .action(ArgAction::SetTrue)
        .help("Lists the parts with their budgets and runs none");
    let write = Arg::new("write")
        .long("write")
        .action(ArgAction::SetTrue)
        .conflicts_with("only")
        .help("Writes the table of docs/BINDINGS.md instead");
    let quick = Arg::new("quick")
        .long("quick")
        .action(ArgAction::SetTrue)
        .conflicts_with("only")
        .help("Runs only the parts that need nothing but cargo");
    let built = Arg::new("built")
        .long("built")
        .action(ArgAction::SetTrue)
        .help("Starts a program as it was last built");
    Command::new("cargo xtask")
        .about("What CI runs, and the commands beside it")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(built)
        .subcommand(
            Command::new("test")
                .about("Runs what CI runs, part by part, and stops at the first that fails")
                .args([only.clone(), list.clone(), quick]),
        )
        .subcommand(
            Command::new("full")
                .about("Runs what CI runs and then what takes longer")
                .args([only.clone(), list]),
        )
        .subcommand(
            Command::new("scenarios")
                .about("Plays the shared flows to every language's package, and compares the table")
                .args([only.help("Plays to this runner alone"), write]),
        )
        .subcommand(
            Command::new("package")
                .about("Makes every language's package, and pays once from each, installed alone"),
        )
        .subcommand(sim::subcommand())
        .subcommands(programs::subcommands())
}

fn selection(arguments: &ArgMatches) -> Selection {
    if arguments.get_flag("list") {
        return Selection::List;
    }
    if let Some(name) = arguments.get_one::<String>("only") {
        return Selection::Only(name.clone());
    }
    match arguments.try_get_one::<bool>("quick") {
        Ok(Some(true)) => Selection::Quick,
        // `full` has no such flag.
        Ok(_) | Err(_) => Selection::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(line: &[&str]) -> Selection {
        let matches = command_line().try_get_matches_from(line).expect("a valid line");
        let (_, arguments) = matches.subcommand().expect("a subcommand");
        selection(arguments)
    }

    #[test]
    fn the_command_line_is_consistent() {
        command_line().debug_assert();
    }

    #[test]
    fn flags_select_parts() {
        assert_eq!(selected(&["xtask", "test"]), Selection::All);
        assert_eq!(selected(&["xtask", "full"]), Selection::All);
        assert_eq!(selected(&["xtask", "test", "--quick"]), Selection::Quick);
        assert_eq!(selected(&["xtask", "test", "--list"]), Selection::List);
        assert_eq!(
            selected(&["xtask", "full", "--only", "fmt"]),
            Selection::Only("fmt".to_owned())
        );
    }

    #[test]
    fn quick_and_only_exclude_each_other() {
        let line = ["xtask", "test", "--quick", "--only", "fmt"];
        assert!(command_line().try_get_matches_from(line).is_err());
    }
}
