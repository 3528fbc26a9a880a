//! The succession of answer keys, kept beside the key that they lead to: `succession.json` in the
//! data folder, absent while the first key is in use.

use std::io;
use std::path::{Path, PathBuf};

use pos_protocol::key::PublicKey;
use pos_protocol::succession::{Fingerprint, Statement, SuccessionError, walk};

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
        "{} does not lead to the answer key in use: modules that know an older key would refuse \
         every answer; restore key and statements from the same backup", path.display()
    )]
    Elsewhere {
        /// The file.
        path: PathBuf,
        /// Where the walk ends.
        #[source]
        cause: SuccessionError,
    },
    /// The file cannot be read.
    #[error("{} cannot be read: {cause}", path.display())]
    Read {
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
    let path = folder.join(FILE);
    let octets = match std::fs::read(&path) {
        Ok(octets) => octets,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(SuccessionFileError::Read { path, cause }),
    };
    let statements: Vec<Statement> = match serde_json::from_slice(&octets) {
        Ok(statements) => statements,
        Err(_) => return Err(SuccessionFileError::Broken { path }),
    };
    if let Some(first) = statements.first() {
        let pin = Fingerprint::of(&first.predecessor);
        if let Err(cause) = walk(&pin, answer_key, &statements) {
            return Err(SuccessionFileError::Elsewhere { path, cause });
        }
    }
    Ok(statements)
}

#[cfg(test)]
mod tests {
    use pos_protocol::Timestamp;
    use pos_protocol::key::SigningKey;

    use super::*;

    #[test]
    fn statements_must_lead_to_the_key_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        assert_eq!(read(folder.path(), &old.public()).unwrap(), []);
        let statement = Statement::sign(&old, new.public(), Timestamp::from_secs(1_795_000_000));
        let json = serde_json::to_string(&[&statement]).unwrap();
        std::fs::write(folder.path().join(FILE), json).unwrap();
        assert_eq!(read(folder.path(), &new.public()).unwrap(), [statement]);
        let other = SigningKey::from_seed(&[3; 32]).public();
        let refused = read(folder.path(), &other);
        assert!(matches!(refused, Err(SuccessionFileError::Elsewhere { .. })), "{refused:?}");
        std::fs::write(folder.path().join(FILE), "{}").unwrap();
        let refused = read(folder.path(), &new.public());
        assert!(matches!(refused, Err(SuccessionFileError::Broken { .. })), "{refused:?}");
    }
}
