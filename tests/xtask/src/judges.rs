//! Other people's implementations as judges: the Python scripts of `tests/judges`, run with packages
//! pinned in `tests/judges/requirements.txt`. A script fails by its exit code.

use std::{fs, path::PathBuf};

use crate::{child::Children, failure::Failure, parts::Figures};

const FOLDER: &str = "tests/judges";

/// The part: every script, in the order of their names.
pub(crate) fn run(children: &Children<'_>) -> Result<Figures, Failure> {
    install(children)?;
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
    let python = environment(children)?.join("bin/python");
    for script in &scripts {
        children.run(children.command(&python).arg("-B").arg(script))?;
    }
    Ok(vec![format!("{} judges agree", scripts.len())])
}

/// Makes the Python environment, unless it already holds exactly the pinned packages.
pub(crate) fn install(children: &Children<'_>) -> Result<(), Failure> {
    let requirements = children.workspace.root.join(FOLDER).join("requirements.txt");
    let wanted = fs::read(&requirements).map_err(|source| Failure::Path {
        action: "read",
        path: requirements.clone(),
        source,
    })?;
    let environment = environment(children)?;
    let stamp = environment.join("installed-requirements.txt");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let mut make = children.command("python3");
    children.run(make.args(["-m", "venv", "--clear"]).arg(&environment))?;
    let mut pip = children.command(environment.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
    children.run(pip.arg(&requirements))?;
    // Last, so that an interrupted installation is done again.
    fs::write(&stamp, wanted).map_err(|source| Failure::Path {
        action: "write",
        path: stamp.clone(),
        source,
    })
}

fn environment(children: &Children<'_>) -> Result<PathBuf, Failure> {
    children.workspace.scratch("python")
}
