//! `cargo deny`: licences, sources, bans and known advisories, as `deny.toml` says.

use crate::{child::Children, failure::Failure, parts::Figures};

/// Older ones cannot read what `deny.toml` says.
const VERSION: &str = "0.20.2";

/// The part. Advisories need a database from the network; without it they are plainly not checked.
pub(crate) fn run(children: &Children<'_>) -> Result<Figures, Failure> {
    if !is_installed(children) {
        return Err(Failure::Missing {
            what: format!("cargo-deny {VERSION}"),
            install: format!("cargo xtask test --only setup, or cargo {}", INSTALL.join(" ")),
        });
    }
    let offline = ["deny", "--locked", "check", "bans", "licenses", "sources"];
    children.run(&mut children.cargo(&offline))?;
    if children.run(&mut children.cargo(&["deny", "fetch", "db"])).is_err() {
        return Ok(vec![
            "advisories were NOT checked: their database could not be fetched".to_owned(),
        ]);
    }
    let advisories = ["deny", "--locked", "check", "--disable-fetch", "advisories"];
    children.run(&mut children.cargo(&advisories))?;
    Ok(vec!["advisories were checked".to_owned()])
}

/// Builds cargo-deny from source when it is missing: there is no package of this version.
pub(crate) fn install(children: &Children<'_>) -> Result<(), Failure> {
    if is_installed(children) {
        return Ok(());
    }
    println!("installing cargo-deny {VERSION} from source: about 3 min on two cores");
    // A folder of its own, so that its crates do not mix with ours in the target folder.
    let build = children.workspace.scratch("cargo-deny")?;
    children.run(children.cargo(INSTALL).env("CARGO_TARGET_DIR", build))
}

const INSTALL: &[&str] = &["install", "cargo-deny", "--version", VERSION, "--locked"];

fn is_installed(children: &Children<'_>) -> bool {
    let version = children.read(&mut children.cargo(&["deny", "--version"]));
    version.is_ok_and(|line| String::from_utf8_lossy(&line).trim_end().ends_with(VERSION))
}
