//! Programs of crates.io that are built from source, each in the one version that is meant.

use std::path::PathBuf;
use std::process::Command;

use crate::{child::Children, failure::Failure};

/// A subcommand of cargo.
pub(crate) struct Tool {
    /// Its crate.
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// The part that installs it.
    pub(crate) installed_by: &'static str,
}

impl Tool {
    /// Builds it when it is missing.
    pub(crate) fn install(&self, children: &Children<'_>) -> Result<(), Failure> {
        if self.is_installed(children) {
            return Ok(());
        }
        let Self { name, version, .. } = self;
        println!("installing {name} {version} from source: about a minute on two cores");
        // Folders of its own: its crates do not mix with ours, and whoever works here keeps the version
        // that is installed for everything else.
        let build = children.workspace.scratch(name)?;
        let mut install = children.cargo(&["install", name, "--version", version, "--locked"]);
        install.arg("--root").arg(root(children)?);
        // Optimising it, and linking it in one piece as some ask for, takes longer than all the rest.
        install.env("CARGO_PROFILE_RELEASE_LTO", "off");
        install.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
        install.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0");
        children.run(install.env("CARGO_TARGET_DIR", build))
    }

    /// Fails where it is missing.
    pub(crate) fn must_be_there(&self, children: &Children<'_>) -> Result<(), Failure> {
        if self.is_installed(children) {
            return Ok(());
        }
        Err(Failure::Missing {
            what: format!("{} {}", self.name, self.version),
            install: format!("cargo xtask test --only {}", self.installed_by),
        })
    }

    /// The program itself.
    pub(crate) fn command(&self, children: &Children<'_>) -> Result<Command, Failure> {
        Ok(children.command(root(children)?.join("bin").join(self.name)))
    }

    fn is_installed(&self, children: &Children<'_>) -> bool {
        // Called as cargo calls it.
        let subcommand = self.name.trim_start_matches("cargo-");
        let version = self
            .command(children)
            .and_then(|mut command| children.read(command.args([subcommand, "--version"])));
        version.is_ok_and(|line| String::from_utf8_lossy(&line).trim_end().ends_with(self.version))
    }
}

fn root(children: &Children<'_>) -> Result<PathBuf, Failure> {
    children.workspace.scratch("tools")
}
