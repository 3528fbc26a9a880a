//! The example shops: each in a project that has its language's package installed, with the shopper
//! played by `pos-shopper`.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{copy, failed, npm, read, write};
use crate::{child::Children, failure::Failure};

/// An example shop.
pub(crate) struct Shop {
    /// Its folder.
    pub(crate) name: &'static str,
    /// The second command of its README, in the project.
    pub(crate) try_it: &'static [&'static str],
    /// How it is opened without a test bed of its own.
    pub(crate) serve: &'static [&'static str],
    /// What its README has run every minute; nothing where the shop does that by itself.
    pub(crate) settle: &'static [&'static str],
}

/// In Flask.
pub(crate) const FLASK: Shop = Shop {
    name: "flask",
    try_it: &["python", "-B", "try_it.py", "--port", "{port}"],
    serve: &["python", "-B", "-m", "flask", "--app", "shop", "run", "--port", "{port}"],
    settle: &["python", "-B", "-m", "flask", "--app", "shop", "settle"],
};

/// In PHP.
pub(crate) const PHP: Shop = Shop {
    name: "php",
    try_it: &["php", "try_it.php", "{port}"],
    serve: &["php", "-d", "ffi.enable=true", "-S", "127.0.0.1:{port}", "public/index.php"],
    settle: &["php", "settle.php"],
};

/// In Node.
pub(crate) const NODE: Shop = Shop {
    name: "node",
    try_it: &["node", "try_it.js", "{port}"],
    serve: &["node", "shop.js"],
    settle: &[],
};

impl Shop {
    /// Puts the shop into a project that has the package installed, and gives what plays the shopper
    /// there.
    pub(crate) fn shopper(
        &self,
        children: &Children<'_>,
        project: &Path,
    ) -> Result<Command, Failure> {
        let examples = children.workspace.root.join("examples");
        copy_all(&examples.join(self.name), project)?;
        // Where the shop looks for what all shops have in common.
        copy_all(&examples.join("page"), &project.join("../page"))?;
        let mut shopper = children.command(children.workspace.program("pos-shopper"));
        shopper.args(self.try_it).arg("--").args(self.serve);
        if !self.settle.is_empty() {
            shopper.arg("--").args(self.settle);
        }
        shopper.current_dir(project);
        Ok(shopper)
    }

    /// What pays at the shop in Chromium, once it was put there.
    pub(crate) fn browser(
        &self,
        children: &Children<'_>,
        project: &Path,
    ) -> Result<Command, Failure> {
        let mut browser = browser(children)?;
        browser.args(self.try_it).current_dir(project);
        Ok(browser)
    }
}

/// What pays at a shop in Chromium; the command that opens the shop is still to be added. The page's
/// script takes `seal` from the npm package, as the part `npm` has left it.
pub(crate) fn browser(children: &Children<'_>) -> Result<Command, Failure> {
    let tools = npm::install(children)?;
    let package = tools.join("pos-connect");
    if !package.exists() {
        npm::assemble(children, &tools, &children.workspace.target, &package)?;
    }
    // Beside the tools, because that is where Node looks for them.
    let script = tools.join("browser.mjs");
    write(&script, &read(&children.workspace.root.join("examples/shopper/browser.mjs"))?)?;
    let mut browser = children.command("node");
    browser.arg(script).env("SEAL_FOLDER", package);
    browser.env("POS_TESTBED", children.workspace.program("pos-testbed"));
    Ok(browser)
}

/// A folder with its folders, but for what was installed there by hand.
fn copy_all(from: &Path, to: &Path) -> Result<(), Failure> {
    copy(from, to)?;
    let entries = fs::read_dir(from).map_err(failed("read", from))?;
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
        let name = path.file_name().unwrap_or_default();
        if name != "node_modules" && name != "vendor" {
            copy_all(&path, &to.join(name))?;
        }
    }
    Ok(())
}
