//! The succession of answer keys, kept beside the key that they lead to: `succession.json` in the
//! data folder, absent while the first key is in use.
//!
//! [`roll`] makes the next key in three steps, each of which may be the last before a crash: the
//! next key's file, the statement that leads to it, the exchange of the key files. Called again it
//! goes on where it stopped.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use pos_protocol::Timestamp;
use pos_protocol::key::PublicKey;
use pos_protocol::succession::{
    Fingerprint, MAX_STATEMENTS, Statement, SuccessionError, statement_octets, walk,
};

use super::keys::{self, KeyFileError, SigningKeyPair};
use super::{DataFolder, private_file};
use crate::config::KeyFiles;
use crate::env::Entropy;

/// The file's name.
pub const FILE: &str = "succession.json";

/// Why the statements cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SuccessionFileError {
    /// The file is not a JSON list of statements.
    #[error("{} is not a list of succession statements: restore it from a backup", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
    },
    /// The statements do not lead to the answer key in use.
    #[error(
        "{} does not lead to the answer key in use, and modules that know an older key would \
         refuse every answer: run `pos-server roll-answer-key` again if it was interrupted, else \
         restore key and statements from the same backup", path.display()
    )]
    Elsewhere {
        /// The file.
        path: PathBuf,
        /// Where the walk ends.
        #[source]
        cause: SuccessionError,
    },
    /// A key cannot be read or made.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The configuration names the answer key's file, so it is not ours to replace.
    #[error("keys.answer_key names a file of yours: this command rolls only the data folder's own")]
    NotOurs,
    /// No module would walk further.
    #[error(
        "{} holds {MAX_STATEMENTS} statements, and modules walk no more: make a first key anew, by \
         moving {FILE} and the answer key away, and give every shop a new enrolment code",
        path.display()
    )]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The next key is the one in use.
    #[error("{} is the key in use: remove this file and run the command again", path.display())]
    Same {
        /// Where the next key waits.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("{} cannot be read or written: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
}

/// Reads the statements, oldest first, and checks that they lead to `answer_key`.
///
/// # Errors
/// [`SuccessionFileError`].
pub fn read(folder: &Path, answer_key: &PublicKey) -> Result<Vec<Statement>, SuccessionFileError> {
    let statements = read_unchecked(folder)?;
    let path = folder.join(FILE);
    if let Some(first) = statements.first() {
        let pin = Fingerprint::of(&first.predecessor);
        if let Err(cause) = walk(&pin, answer_key, &statements) {
            return Err(SuccessionFileError::Elsewhere { path, cause });
        }
    }
    Ok(statements)
}

/// Makes the next answer key, signed for by the one in use, and puts it in its place. The server
/// must not be running: the folder is held by the caller. Gives the new key's public half.
///
/// # Errors
/// [`SuccessionFileError`]; call it again once the cause is mended.
pub fn roll(
    folder: &DataFolder,
    files: &KeyFiles,
    entropy: &dyn Entropy,
    now: Timestamp,
) -> Result<PublicKey, SuccessionFileError> {
    if files.answer_key != KeyFiles::default().answer_key {
        return Err(SuccessionFileError::NotOurs);
    }
    let mut statements = read_unchecked(folder.path())?;
    let path = folder.path().join(&files.answer_key);
    let next_path = folder.path().join(NEXT_KEY);
    let current = keys::read_key(path.clone())?;
    if !next_path.exists() {
        if statements.len() >= MAX_STATEMENTS {
            return Err(SuccessionFileError::Full { path: folder.path().join(FILE) });
        }
        let made = private_file::create(&next_path, &keys::new_key(entropy));
        made.map_err(KeyFileError::from)?;
    }
    let next = keys::read_key(next_path.clone())?;
    if next.public() == current.public() {
        return Err(SuccessionFileError::Same { path: next_path });
    }
    if statements.last().is_none_or(|last| last.successor != next.public()) {
        statements.push(statement(&current, next.public(), now));
        write(folder.path(), &statements)?;
    }
    let exchange = || {
        fs::rename(&next_path, &path)?;
        File::open(folder.path())?.sync_all()
    };
    exchange().map_err(|cause| SuccessionFileError::File { path: path.clone(), cause })?;
    Ok(next.public())
}

/// Where the next key waits while its statement is written.
const NEXT_KEY: &str = "answer-key.next.pem";

fn statement(current: &SigningKeyPair, successor: PublicKey, created_ms: Timestamp) -> Statement {
    let predecessor = current.public();
    let signature = current.sign(&statement_octets(&predecessor, &successor, created_ms));
    Statement { predecessor, successor, created_ms, signature }
}

fn read_unchecked(folder: &Path) -> Result<Vec<Statement>, SuccessionFileError> {
    let path = folder.join(FILE);
    match fs::read(&path) {
        Ok(octets) => {
            serde_json::from_slice(&octets).map_err(|_| SuccessionFileError::Broken { path })
        }
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(cause) => Err(SuccessionFileError::File { path, cause }),
    }
}

/// Replaces the file whole or not at all.
fn write(folder: &Path, statements: &[Statement]) -> Result<(), SuccessionFileError> {
    let path = folder.join(FILE);
    let draft = folder.join("succession.json.new");
    let replace = || {
        let mut file = File::create(&draft)?;
        file.write_all(&serde_json::to_vec(statements).map_err(io::Error::from)?)?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        File::open(folder)?.sync_all()
    };
    replace().map_err(|cause| SuccessionFileError::File { path: path.clone(), cause })
}

#[cfg(test)]
mod tests {
    use pos_protocol::key::SigningKey;

    use super::*;
    use crate::data_folder::Purpose;
    use crate::data_folder::keys::ServerKeys;
    use crate::env::SystemEntropy;

    #[test]
    fn a_roll_goes_on_where_it_was_interrupted() {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(&parent.path().join("data"), Purpose::Command).unwrap();
        let (files, entropy) = (KeyFiles::default(), SystemEntropy::open().unwrap());
        let first = ServerKeys::open(&folder, &files, false, &entropy).unwrap().answer.public();
        let now = Timestamp::from_secs(1_795_000_000);
        let second = roll(&folder, &files, &entropy, now).unwrap();
        assert_ne!(first, second);
        // Interrupted between the statement and the exchange: the old key is still in place.
        let old = fs::read(folder.path().join("answer-key.pem")).unwrap();
        let third = roll(&folder, &files, &entropy, now).unwrap();
        let new = folder.path().join("answer-key.pem");
        fs::rename(&new, folder.path().join(NEXT_KEY)).unwrap();
        private_file::create(&new, &old).unwrap();
        assert!(read(folder.path(), &second).is_err());
        assert_eq!(roll(&folder, &files, &entropy, now).unwrap(), third);
        let statements = read(folder.path(), &third).unwrap();
        assert_eq!(statements.len(), 2);
        assert!(walk(&Fingerprint::of(&first), &third, &statements).is_ok());
        let elsewhere = KeyFiles { answer_key: "mine.pem".into(), ..files };
        let refused = roll(&folder, &elsewhere, &entropy, now);
        assert!(matches!(refused, Err(SuccessionFileError::NotOurs)), "{refused:?}");
    }

    #[test]
    fn a_roll_that_no_module_could_follow_is_refused_before_anything_is_made() {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(&parent.path().join("data"), Purpose::Command).unwrap();
        let (files, entropy) = (KeyFiles::default(), SystemEntropy::open().unwrap());
        ServerKeys::open(&folder, &files, false, &entropy).unwrap();
        let now = Timestamp::from_secs(1_795_000_000);
        let (key, next) = (folder.path().join("answer-key.pem"), folder.path().join(NEXT_KEY));
        fs::copy(&key, &next).unwrap();
        let refused = roll(&folder, &files, &entropy, now);
        assert!(matches!(refused, Err(SuccessionFileError::Same { .. })), "{refused:?}");
        fs::remove_file(&next).unwrap();
        for _ in 0..64 {
            roll(&folder, &files, &entropy, now).unwrap();
        }
        let before = fs::read(&key).unwrap();
        let refused = roll(&folder, &files, &entropy, now);
        assert!(matches!(refused, Err(SuccessionFileError::Full { .. })), "{refused:?}");
        assert_eq!(fs::read(&key).unwrap(), before);
        assert!(!next.exists());
        let current = keys::read_key(key).unwrap().public();
        assert_eq!(read(folder.path(), &current).unwrap().len(), 64, "a server still starts");
    }

    #[test]
    fn statements_must_lead_to_the_key_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        assert_eq!(read(folder.path(), &old.public()).unwrap(), []);
        let statement = Statement::sign(&old, new.public(), Timestamp::from_secs(1_795_000_000));
        let json = serde_json::to_string(&[&statement]).unwrap();
        fs::write(folder.path().join(FILE), json).unwrap();
        assert_eq!(read(folder.path(), &new.public()).unwrap(), [statement]);
        let other = SigningKey::from_seed(&[3; 32]).public();
        let refused = read(folder.path(), &other);
        assert!(matches!(refused, Err(SuccessionFileError::Elsewhere { .. })), "{refused:?}");
        fs::write(folder.path().join(FILE), "{}").unwrap();
        let refused = read(folder.path(), &new.public());
        assert!(matches!(refused, Err(SuccessionFileError::Broken { .. })), "{refused:?}");
    }
}
