//! Where the repository and its build output lie.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::failure::Failure;

/// The version of every member and of every package.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The folders that everything here works in.
pub(crate) struct Workspace {
    /// The repository's root; children start here.
    pub(crate) root: PathBuf,
    /// The target folder this tool was itself built into, so that nothing is built a second time elsewhere.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Finds both folders from where this tool was compiled and runs.
    pub(crate) fn locate() -> Result<Self, Failure> {
        let program = env::current_exe().map_err(|source| Failure::Path {
            action: "find",
            path: PathBuf::from("this program"),
            source,
        })?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
        // Cargo puts the program into <target>/<profile>/.
        match (root, program.ancestors().nth(2)) {
            (Some(root), Some(target)) => {
                Ok(Self { root: root.to_owned(), target: target.to_owned() })
            }
            _ => Err(Failure::Check("start this by `cargo xtask`".to_owned())),
        }
    }

    /// A program of the release build.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }

    /// A folder for what this tool makes itself; created when missing, kept between runs.
    pub(crate) fn scratch(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.target.join("xtask").join(name);
        fs::create_dir_all(&path).map_err(|source| Failure::Path {
            action: "create",
            path: path.clone(),
            source,
        })?;
        Ok(path)
    }
}
