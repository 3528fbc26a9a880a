//! `cargo deny`: licences, sources, bans and known advisories, as `deny.toml` says.

use std::{path::PathBuf, process::Command};

use crate::{child::Children, failure::Failure, parts::Figures};

/// Older ones cannot read what `deny.toml` says.
const VERSION: &str = "0.20.2";

/// The part. Advisories need a database from the network; without it they are plainly not checked.
pub(crate) fn run(children: &Children<'_>) -> Result<Figures, Failure> {
    if !is_installed(children) {
        return Err(Failure::Missing {
            what: format!("cargo-deny {VERSION}"),
            install: "cargo xtask test --only setup".to_owned(),
        });
    }
    let offline = ["--locked", "check", "bans", "licenses", "sources"];
    children.run(&mut deny(children, &offline)?)?;
    if children.run(&mut deny(children, &["fetch", "db"])?).is_err() {
        return Ok(vec![
            "advisories were NOT checked: their database could not be fetched".to_owned(),
        ]);
    }
    let advisories = ["--locked", "check", "--disable-fetch", "advisories"];
    children.run(&mut deny(children, &advisories)?)?;
    Ok(vec!["advisories were checked".to_owned()])
}

/// Builds cargo-deny from source when it is missing: there is no package of this version.
pub(crate) fn install(children: &Children<'_>) -> Result<(), Failure> {
    if is_installed(children) {
        return Ok(());
    }
    println!("installing cargo-deny {VERSION} from source: about 1 min on two cores");
    // Folders of its own: its crates do not mix with ours, and whoever works here keeps the version
    // that is installed for everything else.
    let build = children.workspace.scratch("cargo-deny")?;
    let mut install = children.cargo(&["install", "cargo-deny", "--version", VERSION, "--locked"]);
    install.arg("--root").arg(root(children)?);
    // It asks for link-time optimisation in one piece, which takes longer than all the rest; a run of it
    // takes a second either way.
    install.env("CARGO_PROFILE_RELEASE_LTO", "off");
    install.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    install.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0");
    children.run(install.env("CARGO_TARGET_DIR", build))
}

fn root(children: &Children<'_>) -> Result<PathBuf, Failure> {
    children.workspace.scratch("tools")
}

fn deny(children: &Children<'_>, arguments: &[&str]) -> Result<Command, Failure> {
    let mut command = children.command(root(children)?.join("bin/cargo-deny"));
    command.arg("deny").args(arguments);
    Ok(command)
}

fn is_installed(children: &Children<'_>) -> bool {
    let version =
        deny(children, &["--version"]).and_then(|mut command| children.read(&mut command));
    version.is_ok_and(|line| String::from_utf8_lossy(&line).trim_end().ends_with(VERSION))
}
