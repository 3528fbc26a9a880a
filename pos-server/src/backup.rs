//! Backups of the shop database, and their restore (`payments.md` 8).
//!
//! A backup is a folder: the database as it was at one moment, the checkpoints of the audit, and a
//! manifest with the digests of both. The server's keys are never in it: one stolen backup must not be
//! both (`docs/OPERATIONS.md`). The manifest only names them, so that a restore with others is refused.

mod files;
mod restore;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pos_protocol::Timestamp;
use pos_protocol::key::KeyId;
use pos_protocol::text::base64url;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use restore::{Restored, restore};

use self::files::{failed, sync_folder};
use crate::audit;
use crate::config::Config;
use crate::data_folder::keys::{KeyFileError, ServerKeys};
use crate::data_folder::succession::SuccessionFileError;
use crate::data_folder::{DataFolderError, private_file};
use crate::store::StoreError;
use crate::store::sqlite::{OpenError, SnapshotError};

/// What the first member of a manifest says.
const FORMAT: &str = "pos-backup/1";

/// The database in a backup.
const DATABASE: &str = "pos.sqlite3";

/// The list of what is in it.
const MANIFEST: &str = "manifest.json";

/// Why a backup was not made or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The machine's time is before that of the backup.
    #[error("the clock says a time before the backup was made: set it right first")]
    Clock,
    /// A file of the backup is not the one that was written.
    #[error("{} is not as it was when the backup was made: take another backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The data folder cannot be used.
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    /// The database is not in a file of this machine.
    #[error("the database is PostgreSQL: restore it by its own tools")]
    Elsewhere,
    /// There is something of that name.
    #[error("{} exists already: nothing is overwritten, choose another name", path.display())]
    Exists {
        /// The name.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("{} cannot be read or written: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A key cannot be read.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The manifest is not one.
    #[error("{} is not the manifest of a backup that this release reads", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
    },
    /// There is something in the data folder.
    #[error(
        "{} is not empty: a backup is restored into a new data folder, so that what is there is not \
         lost",
        path.display()
    )]
    NotEmpty {
        /// The folder, or the database outside of it.
        path: PathBuf,
    },
    /// The restored database cannot be opened.
    #[error("the restored database: {0}")]
    Open(#[from] OpenError),
    /// The database cannot be copied.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// What a restore notes was not kept.
    #[error("the restore could not be noted in the database")]
    Store(#[from] StoreError),
    /// The statements of earlier answer keys cannot be used.
    #[error(transparent)]
    Succession(#[from] SuccessionFileError),
    /// The keys are those of another server.
    #[error(
        "the {which} is not the one of the server that this backup was made of: give the keys that \
         belong to it"
    )]
    WrongKey {
        /// Which key.
        which: &'static str,
    },
}

/// What is in a backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Manifest {
    format: String,
    /// Everything that was acknowledged before this moment is in the database.
    made_at_ms: Timestamp,
    /// The release that made it.
    release: String,
    answer_key: KeyId,
    institution_call_key: KeyId,
    /// Digests of the pepper and the webhook seed, from which nobody gets them back.
    pepper: String,
    webhook_seed: String,
    files: Vec<Listed>,
}

/// A file of a backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Listed {
    name: String,
    octets: u64,
    /// In base64url.
    sha256: String,
}

/// A backup that is being made. Under its own name it is there only when it is whole.
#[derive(Debug)]
pub struct Draft {
    target: PathBuf,
    folder: PathBuf,
    manifest: Manifest,
}

impl Draft {
    /// Makes the folder, and copies what must be older than the database: a checkpoint of the audit may
    /// witness no row that the copy does not have.
    ///
    /// # Errors
    /// [`BackupError`]; nothing is left behind.
    pub fn begin(config: &Config, target: &Path, now: Timestamp) -> Result<Self, BackupError> {
        if target.exists() {
            return Err(BackupError::Exists { path: target.into() });
        }
        let keys = ServerKeys::read(&config.data_folder, &config.keys)?;
        let mut folder = target.as_os_str().to_owned();
        folder.push(".part");
        let folder = PathBuf::from(folder);
        files::make_folder(&folder)?;
        let manifest = Manifest {
            format: FORMAT.into(),
            made_at_ms: now,
            release: env!("CARGO_PKG_VERSION").into(),
            answer_key: keys.answer.id(),
            institution_call_key: keys.institution_call.id(),
            pepper: digest_of("pepper", keys.pepper.expose()),
            webhook_seed: digest_of("webhook seed", keys.webhook_seed.expose()),
            files: Vec::new(),
        };
        let mut draft = Self { target: target.into(), folder, manifest };
        match draft.add_checkpoints(&config.data_folder.join(audit::FILE)) {
            Ok(()) => Ok(draft),
            Err(error) => {
                draft.abandon();
                Err(error)
            }
        }
    }

    /// Takes the copy of the database in, writes the manifest, and gives the backup its name.
    ///
    /// # Errors
    /// [`BackupError`]; nothing is left behind but the copy.
    pub fn finish(mut self, snapshot: &Path) -> Result<(Timestamp, u64), BackupError> {
        match self.complete(snapshot) {
            Ok(octets) => Ok((self.manifest.made_at_ms, octets)),
            Err(error) => {
                self.abandon();
                Err(error)
            }
        }
    }

    /// Removes what was made.
    pub fn abandon(self) {
        // What stays is named `.part`, and nobody takes it for a backup.
        let _ = fs::remove_dir_all(&self.folder);
    }

    fn complete(&mut self, snapshot: &Path) -> Result<u64, BackupError> {
        let listed = files::copy(snapshot, &self.folder.join(DATABASE), DATABASE)?;
        let octets = listed.octets;
        self.manifest.files.push(listed);
        let path = self.folder.join(MANIFEST);
        let text = serde_json::to_vec_pretty(&self.manifest);
        let text = text.map_err(|cause| failed(&path)(cause.into()))?;
        files::write(&path, &text)?;
        sync_folder(&self.folder)?;
        // A name that was taken meanwhile by a folder with something in it is not replaced.
        fs::rename(&self.folder, &self.target).map_err(failed(&self.target))?;
        sync_folder(files::parent(&self.target))?;
        Ok(octets)
    }

    /// Whole lines: the last one may be being written.
    fn add_checkpoints(&mut self, path: &Path) -> Result<(), BackupError> {
        let mut octets = match fs::read(path) {
            Ok(octets) => octets,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(cause) => return Err(failed(path)(cause)),
        };
        let whole = octets.iter().rposition(|octet| *octet == b'\n');
        octets.truncate(whole.map_or(0, |end| end.saturating_add(1)));
        files::write(&self.folder.join(audit::FILE), &octets)?;
        self.manifest.files.push(Listed {
            name: audit::FILE.into(),
            octets: u64::try_from(octets.len()).unwrap_or(u64::MAX),
            sha256: base64url(&Sha256::digest(&octets)),
        });
        Ok(())
    }
}

/// The purpose is hashed along, so that the digest is that of nothing else.
fn digest_of(what: &str, octets: &[u8; 32]) -> String {
    let digest = Sha256::new().chain_update(format!("pos-server backup {what} 1\n"));
    base64url(&digest.chain_update(octets).finalize())
}

impl Manifest {
    fn read(backup: &Path) -> Result<Self, BackupError> {
        let path = backup.join(MANIFEST);
        let octets = fs::read(&path).map_err(failed(&path))?;
        let read: Option<Self> = serde_json::from_slice(&octets).ok();
        let manifest = read.filter(|read| read.format == FORMAT);
        manifest.ok_or(BackupError::Manifest { path })
    }

    /// The file of this name, where the backup has one.
    fn file(&self, name: &str) -> Option<&Listed> {
        self.files.iter().find(|file| file.name == name)
    }
}
