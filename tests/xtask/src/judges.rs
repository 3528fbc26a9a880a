//! Other people's implementations as judges: the Python scripts of `tests/judges`, run with packages
//! pinned in `tests/judges/requirements.txt`. A script fails by its exit code.

use std::{fs, path::PathBuf};

use crate::{child::Children, failure::Failure, parts::Figures, venv::Environment};

const FOLDER: &str = "tests/judges";

/// Where they run.
pub(crate) const ENVIRONMENT: Environment =
    Environment { name: "python", requirements: "tests/judges/requirements.txt" };

/// The part: every script, in the order of their names.
pub(crate) fn run(children: &Children<'_>) -> Result<Figures, Failure> {
    ENVIRONMENT.install(children)?;
    let folder = children.workspace.root.join(FOLDER);
    let entries = fs::read_dir(&folder).map_err(|source| Failure::Path {
        action: "read",
        path: folder.clone(),
        source,
    })?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut scripts: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|kind| kind == "py")).collect();
    scripts.sort();
    if scripts.is_empty() {
        return Err(Failure::Check(format!("{FOLDER} holds no script, so nothing was judged")));
    }
    let python = ENVIRONMENT.python(children)?;
    for script in &scripts {
        children.run(children.command(&python).arg("-B").arg(script))?;
    }
    Ok(vec![format!("{} judges agree", scripts.len())])
}
