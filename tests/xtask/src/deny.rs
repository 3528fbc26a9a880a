//! `cargo deny`: licences, sources, bans and known advisories, as `deny.toml` says.

use std::process::Command;

use crate::{child::Children, failure::Failure, parts::Figures, tool::Tool};

/// Older ones cannot read what `deny.toml` says; there is no package of this version.
pub(crate) const DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2", installed_by: "setup" };

/// The part. Advisories need a database from the network; without it they are plainly not checked.
pub(crate) fn run(children: &Children<'_>) -> Result<Figures, Failure> {
    DENY.must_be_there(children)?;
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

fn deny(children: &Children<'_>, arguments: &[&str]) -> Result<Command, Failure> {
    let mut command = DENY.command(children)?;
    command.arg("deny").args(arguments);
    Ok(command)
}
