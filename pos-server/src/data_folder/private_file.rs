//! Files that only their owner may read, written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// More than any key file holds; a device or a log named by mistake is not read to its end.
const MOST_OCTETS: u64 = 64 * 1024;

/// Why a private file was not read.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// The file operation failed.
    #[error("{} cannot be read or made: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// Others may read it.
    #[error(
        "{} is open to others (mode {mode:o}): it is secret, so run `chmod 600 {}`; replace the \
         key if somebody may have read it",
        path.display(), path.display()
    )]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// How every private file is opened for writing.
pub(crate) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// Reads a file that nobody but its owner may read.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    let failed = |cause| PrivateFileError::Io { path: path.into(), cause };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o177 != 0 {
        return Err(PrivateFileError::OpenToOthers { path: path.into(), mode });
    }
    let mut octets = Zeroizing::new(Vec::new());
    file.take(MOST_OCTETS).read_to_end(&mut octets).map_err(failed)?;
    Ok(octets)
}

/// Writes a new file so that after a crash it is there whole or not at all. An existing file is
/// never overwritten.
pub(super) fn create(path: &Path, octets: &[u8]) -> Result<(), PrivateFileError> {
    let failed = |cause| PrivateFileError::Io { path: path.into(), cause };
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let write = || {
        // What a crash left here may be a second name of a file in use: it is never written to.
        match fs::remove_file(&draft) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
        let mut file = options().create_new(true).open(&draft)?;
        file.write_all(octets)?;
        file.sync_all()?;
        // A link, unlike a rename, fails when the name is taken.
        fs::hard_link(&draft, path)?;
        fs::remove_file(&draft)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(failed)
}
