//! The example shops: each in a project that has its language's package installed, with the shopper
//! played by `pos-shopper`.

use std::fs;
use std::path::Path;

use super::{copy, failed};
use crate::{child::Children, failure::Failure};

/// Puts the shop of `examples/{name}` into the project, and plays the shopper there; `command` is what its
/// README starts it by, run in the project. `seal` is the installed npm package, where it is at hand.
pub(crate) fn play(
    children: &Children<'_>,
    name: &str,
    project: &Path,
    command: &[&str],
    seal: Option<&Path>,
) -> Result<(), Failure> {
    let examples = children.workspace.root.join("examples");
    copy_all(&examples.join(name), project)?;
    // Where the shop looks for what all shops have in common.
    copy_all(&examples.join("page"), &project.join("../page"))?;
    let mut shopper = children.command(children.workspace.program("pos-shopper"));
    if let Some(seal) = seal {
        shopper.arg("--seal").arg(seal);
    }
    children.run(shopper.args(command).arg("{port}").current_dir(project))
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
