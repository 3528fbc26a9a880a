//! Python environments: one for each list of pinned packages, made again when the list changes.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{child::Children, failure::Failure};

/// An environment of this name that holds exactly what the list (from the repository's root) names.
pub(crate) struct Environment {
    pub(crate) name: &'static str,
    pub(crate) requirements: &'static str,
}

impl Environment {
    /// Makes it, unless it is there.
    pub(crate) fn install(&self, children: &Children<'_>) -> Result<(), Failure> {
        let requirements = children.workspace.root.join(self.requirements);
        let wanted = fs::read(&requirements).map_err(used("read", &requirements))?;
        let folder = self.folder(children)?;
        let stamp = folder.join("installed-requirements.txt");
        if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        make(children, &folder)?;
        let mut pip = children.command(self.python(children)?);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
        children.run(pip.arg(&requirements))?;
        // Last, so that an interrupted installation is done again.
        fs::write(&stamp, wanted).map_err(used("write", &stamp))
    }

    /// Its interpreter.
    pub(crate) fn python(&self, children: &Children<'_>) -> Result<PathBuf, Failure> {
        Ok(self.folder(children)?.join("bin/python"))
    }

    /// Where it lies.
    pub(crate) fn folder(&self, children: &Children<'_>) -> Result<PathBuf, Failure> {
        children.workspace.scratch(self.name)
    }
}

/// An empty one; its interpreter is `bin/python` in it.
pub(crate) fn make(children: &Children<'_>, folder: &Path) -> Result<(), Failure> {
    let mut make = children.command("python3");
    children.run(make.args(["-m", "venv", "--clear"]).arg(folder))
}

fn used(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    let path = path.to_owned();
    move |source| Failure::Path { action, path, source }
}
