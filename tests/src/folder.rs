//! The folder that a bed lives in, and the guard that cleans up after it.
//!
//! Whatever ends this process (a failed test, Ctrl-C, SIGKILL), the guard's standard input closes.
//! It then kills the processes whose ids lie in the folder, each by its id, and removes the folder.
//! A bed that is dropped ends the same way: there is one path, so it is the one that is tested.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::error::BedError;

/// A process that was killed may still write for a moment, hence the second try.
const GUARD: &str = r#"
    cat > /dev/null
    for file in "$1"/ids/*; do
        [ -e "$file" ] && kill -9 "${file##*/}" 2> /dev/null
    done
    rm -rf "$1" 2> /dev/null || { sleep 1; rm -rf "$1"; }
"#;

/// A temporary folder that goes away with this process, together with every process in it.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    guard: Child,
    held: Option<ChildStdin>,
}

impl Folder {
    /// Makes the folder and starts its guard.
    ///
    /// # Errors
    /// [`BedError::System`].
    pub fn new() -> Result<Self, BedError> {
        let path = tempfile::Builder::new()
            .prefix("pos-bed-")
            .tempdir()
            .map_err(BedError::system("making a temporary folder"))?
            .keep();
        fs::create_dir(path.join("ids")).map_err(BedError::system("making a folder"))?;
        let mut guard = Command::new("/bin/sh")
            .args(["-c", GUARD, "guard"])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A group of its own: Ctrl-C in a terminal window must not end the guard.
            .process_group(0)
            .spawn()
            .map_err(BedError::system("starting /bin/sh"))?;
        let held = guard.stdin.take();
        Ok(Self { path, guard, held })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file that tells the guard of a process.
    pub(crate) fn id_file(&self, id: u32) -> PathBuf {
        self.path.join("ids").join(id.to_string())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.held.take());
        // What it cannot remove lies in the system's temporary folder.
        let _ = self.guard.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_ends_what_is_in_the_folder_and_removes_it() {
        let folder = Folder::new().unwrap();
        let path = folder.path().to_owned();
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        fs::write(folder.id_file(child.id()), "").unwrap();
        fs::write(path.join("log"), "a line\n").unwrap();

        drop(folder);

        assert!(!path.exists());
        // It was killed by a signal, long before its time.
        assert_eq!(child.wait().unwrap().code(), None);
    }
}
