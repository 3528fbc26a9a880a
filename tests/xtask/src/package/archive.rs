//! A package as an archive: the same files give the same bytes, whoever packs them, and when.

use std::path::{Path, PathBuf};

use super::{Output, shipping};
use crate::bindings::{make, read, remove, write};
use crate::{child::Children, failure::Failure, workspace::VERSION};

/// What every package says of its terms.
const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

/// A package that is being put together. All that it holds lies in one folder that is named after it and its
/// version, as whoever unpacks an archive expects.
pub(super) struct Archive {
    name: String,
    folder: PathBuf,
}

impl Archive {
    /// An empty one, but for the licences.
    pub(super) fn begin(
        children: &Children<'_>,
        output: &Output,
        name: &str,
    ) -> Result<Self, Failure> {
        let name = format!("{name}-{VERSION}");
        let folder = output.target.join("xtask/packed").join(&name);
        remove(&folder)?;
        make(&folder)?;
        add_licences(children, &folder)?;
        Ok(Self { name, folder })
    }

    /// Where its files are put.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Packs it: entries in order, of one time, of nobody, and without the mode of whoever made the files.
    pub(super) fn pack(self, children: &Children<'_>, output: &Output) -> Result<PathBuf, Failure> {
        shipping::tell_no_path(children, &self.folder)?;
        let packed = output.packages.join(format!("{}.tar.gz", self.name));
        let mut tar = children.command("tar");
        tar.args(["--create", "--format=gnu", "--sort=name", "--owner=0", "--group=0"]);
        tar.args(["--numeric-owner", "--mode=u=rwX,go=rX"]);
        tar.arg(format!("--mtime=@{}", shipping::TIME));
        // Else gzip notes the time, too.
        tar.args(["--use-compress-program", "gzip --best --no-name", "--file"]).arg(&packed);
        tar.arg("--directory").arg(self.folder.parent().unwrap_or(&self.folder)).arg(&self.name);
        children.run(&mut tar)?;
        Ok(packed)
    }
}

/// The licences, beside what else a package's folder holds.
pub(super) fn add_licences(children: &Children<'_>, folder: &Path) -> Result<(), Failure> {
    for licence in LICENCES {
        write(&folder.join(licence), &read(&children.workspace.root.join(licence))?)?;
    }
    Ok(())
}

/// Unpacks it into a folder of this name in the scratch folder that is otherwise empty, and gives the folder
/// of the package.
pub(super) fn unpacked(
    children: &Children<'_>,
    packed: &Path,
    name: &str,
) -> Result<PathBuf, Failure> {
    let folder = children.workspace.target.join("xtask").join(name);
    remove(&folder)?;
    make(&folder)?;
    let mut tar = children.command("tar");
    tar.args(["--extract", "--strip-components=1", "--file"]).arg(packed);
    children.run(tar.arg("--directory").arg(&folder))?;
    Ok(folder)
}
