//! Files of a backup: written new, synced, and compared with their digests.

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use pos_protocol::text::base64url;
use sha2::{Digest as _, Sha256};

use super::{BackupError, Listed, private_file};

/// Octets that are copied at a time.
const PIECE: usize = 1 << 20;

/// What is said of a file operation that failed.
pub(super) fn failed(path: &Path) -> impl Fn(io::Error) -> BackupError + '_ {
    move |cause| BackupError::File { path: path.into(), cause }
}

/// A new folder, for its owner alone.
pub(super) fn make_folder(path: &Path) -> Result<(), BackupError> {
    DirBuilder::new().mode(0o700).create(path).map_err(|cause| {
        if cause.kind() == io::ErrorKind::AlreadyExists {
            BackupError::Exists { path: path.into() }
        } else {
            failed(path)(cause)
        }
    })
}

/// A new file with these octets, synced.
pub(super) fn write(path: &Path, octets: &[u8]) -> Result<(), BackupError> {
    let write = || {
        let mut file = private_file::options().create_new(true).open(path)?;
        file.write_all(octets)?;
        file.sync_all()
    };
    write().map_err(failed(path))
}

/// Copies a file into a new one, synced, and tells what was copied under this name.
pub(super) fn copy(from: &Path, to: &Path, name: &str) -> Result<Listed, BackupError> {
    let mut source = File::open(from).map_err(failed(from))?;
    let target = private_file::options().create_new(true).open(to);
    let mut target = target.map_err(failed(to))?;
    let (mut digest, mut octets) = (Sha256::new(), 0_u64);
    let mut piece = vec![0; PIECE];
    loop {
        let read = source.read(&mut piece).map_err(failed(from))?;
        let piece = piece.get(..read).unwrap_or_default();
        if piece.is_empty() {
            break;
        }
        digest.update(piece);
        octets = octets.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        target.write_all(piece).map_err(failed(to))?;
    }
    target.sync_all().map_err(failed(to))?;
    Ok(Listed { name: name.into(), octets, sha256: base64url(&digest.finalize()) })
}

/// As [`copy`], of what the manifest lists.
pub(super) fn copy_listed(from: &Path, to: &Path, listed: &Listed) -> Result<(), BackupError> {
    let copied = copy(from, to, &listed.name)?;
    if copied.octets == listed.octets && copied.sha256 == listed.sha256 {
        return Ok(());
    }
    Err(BackupError::Damaged { path: from.into() })
}

/// So that names survive a power cut.
pub(super) fn sync_folder(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(failed(path))
}

/// The folder that a name lies in.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}
