//! The keys of one institution: made at the first start, read at every later one.
//!
//! The root key that signs the seal key sets lies in a folder of its own, `offline`. A real
//! institution keeps it off its servers; the service here never reads it, only
//! `pos-institution keys` and the very first start do.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pos_protocol::id::InstitutionId;
use pos_protocol::key::{PublicKey, SigningKey};
use pos_protocol::seal::{InvalidKeySet, SealKey, SealKeySet, SealSecretKey, SignedSealKeySet};
use pos_protocol::time::Timestamp;
use pos_server::data_folder::keys::SigningKeyPair;
use pos_server::env::Entropy;

/// How long a set may be served, and how long a key of it opens envelopes.
const SET_LIFE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Secret keys that are kept to open what was sealed before the last change.
const KEPT_KEYS: usize = 2;

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file cannot be read or written.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} is not {wanted}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
    },
    /// The seal key set cannot be served.
    #[error("{}: {cause}; run `pos-institution keys`", path.display())]
    Set {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: InvalidKeySet,
    },
}

/// What the service works with.
#[derive(Debug)]
pub struct Keys {
    /// Signs answers.
    pub answer: SigningKeyPair,
    /// What operators check the key set with.
    pub seal_root: PublicKey,
    /// Opens envelopes; newest first.
    pub seal: Vec<SealSecretKey>,
    /// The set as it is served.
    pub set: SignedSealKeySet,
    /// Mixed into card references, so that a number cannot be found by trying all.
    pub reference: [u8; 32],
}

impl Keys {
    /// Reads the keys of `folder`, and makes them at the first start.
    ///
    /// # Errors
    /// [`KeyError`] names the file.
    pub fn open(
        folder: &Path,
        institution: &InstitutionId,
        now: Timestamp,
    ) -> Result<Self, KeyError> {
        if !folder.join("seal-keys.json").exists() {
            change_seal_key(folder, institution, now)?;
        }
        let answer = secret(&folder.join("answer.key"))?;
        let path = folder.join("seal-root.pub");
        let seal_root: PublicKey = read(&path)?
            .trim()
            .parse()
            .map_err(|_| KeyError::Broken { path, wanted: "an Ed25519 public key" })?;
        let path = folder.join("seal-keys.json");
        let set: SignedSealKeySet = parse_set(&path)?;
        let read_set = set
            .verify(&seal_root, institution, now, 0)
            .map_err(|cause| KeyError::Set { path, cause })?;
        let mut seal = Vec::new();
        for version in (1..=read_set.version).rev().take(KEPT_KEYS) {
            seal.push(SealSecretKey::from_octets(&secret(&seal_path(folder, version))?));
        }
        Ok(Self {
            answer: SigningKeyPair::from_seed(&answer),
            seal_root,
            seal,
            set,
            reference: secret(&folder.join("reference.key"))?,
        })
    }
}

impl Keys {
    /// Keys that lie in no file and last as long as the process.
    pub fn drawn(entropy: &dyn Entropy, institution: &InstitutionId, now: Timestamp) -> Self {
        let root = SigningKey::from_seed(&entropy.array());
        let seal = SealSecretKey::from_octets(&entropy.array());
        let not_after_ms = now.plus(SET_LIFE);
        let keys = vec![SealKey::new(seal.public(), not_after_ms)];
        let set = SealKeySet { institution: institution.clone(), version: 1, not_after_ms, keys };
        Self {
            answer: SigningKeyPair::from_seed(&entropy.array()),
            seal_root: root.public(),
            set: set.sign(&root),
            seal: vec![seal],
            reference: entropy.array(),
        }
    }
}

/// Makes a new seal key and signs a set that prefers it, under the next version. Everything that is
/// not there yet, the root key above all, is made. A running service serves the new set after a
/// restart.
///
/// # Errors
/// [`KeyError`] names the file.
pub fn change_seal_key(
    folder: &Path,
    institution: &InstitutionId,
    now: Timestamp,
) -> Result<u64, KeyError> {
    let offline = folder.join("offline");
    let at = |path: &Path, cause| KeyError::File { path: path.into(), cause };
    fs::create_dir_all(&offline).map_err(|cause| at(&offline, cause))?;
    let root = SigningKey::from_seed(&secret(&offline.join("seal-root.key"))?);
    write(&folder.join("seal-root.pub"), &x_of(&root.public()))?;
    let path = folder.join("seal-keys.json");
    let last = match path.exists().then(|| parse_set(&path)).transpose()? {
        // An expired set still tells its version; only who signed it matters here.
        Some(set) => {
            set.verify(&root.public(), institution, Timestamp::from_ms(0), 0)
                .map_err(|cause| KeyError::Set { path: path.clone(), cause })?
                .version
        }
        None => 0,
    };
    let version = last.saturating_add(1);
    let mut keys = Vec::new();
    for version in (1..=version).rev().take(KEPT_KEYS) {
        let key = SealSecretKey::from_octets(&secret(&seal_path(folder, version))?);
        keys.push(SealKey::new(key.public(), now.plus(SET_LIFE)));
    }
    let not_after_ms = now.plus(SET_LIFE);
    let set = SealKeySet { institution: institution.clone(), version, not_after_ms, keys };
    let json = serde_json::to_string(&set.sign(&root)).expect("a signed set has a JSON form");
    write(&path, &json)?;
    Ok(version)
}

/// The `x` of a public key's JWK: how operators and institutions tell each other keys.
pub fn x_of(key: &PublicKey) -> String {
    URL_SAFE_NO_PAD.encode(key.octets())
}

fn seal_path(folder: &Path, version: u64) -> PathBuf {
    folder.join(format!("seal-{version}.key"))
}

fn parse_set(path: &Path) -> Result<SignedSealKeySet, KeyError> {
    let wanted = "a signed seal key set";
    serde_json::from_str(&read(path)?).map_err(|_| KeyError::Broken { path: path.into(), wanted })
}

/// The 32 secret octets of a file; drawn and written where it is not there.
fn secret(path: &Path) -> Result<[u8; 32], KeyError> {
    let failed = |cause| KeyError::File { path: path.into(), cause };
    let mut octets = [0; 32];
    if path.exists() {
        let text = read(path)?;
        let wanted = "32 octets in base64url";
        let length = URL_SAFE_NO_PAD.decode_slice(text.trim(), &mut octets);
        return if length == Ok(32) {
            Ok(octets)
        } else {
            Err(KeyError::Broken { path: path.into(), wanted })
        };
    }
    getrandom::fill(&mut octets).map_err(|cause| failed(io::Error::other(cause)))?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    let text = URL_SAFE_NO_PAD.encode(octets);
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(octets)
}

fn read(path: &Path) -> Result<String, KeyError> {
    fs::read_to_string(path).map_err(|cause| KeyError::File { path: path.into(), cause })
}

fn write(path: &Path, text: &str) -> Result<(), KeyError> {
    let failed = |cause| KeyError::File { path: path.into(), cause };
    // Whole or not at all, whenever the power goes: the name changes hands once all is on the disk.
    let fresh = path.with_extension("new");
    let mut file = fs::File::create(&fresh).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&fresh, path).map_err(failed)?;
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_and_a_change_makes_a_newer_set() {
        let folder = tempfile::tempdir().unwrap();
        let id: InstitutionId = "sakura-card".parse().unwrap();
        let now = Timestamp::from_secs(1_795_000_000);
        let open = || Keys::open(folder.path(), &id, now).unwrap();
        let first = open();
        let again = open();
        assert_eq!(first.answer.public(), again.answer.public());
        assert_eq!(first.set, again.set);
        assert_eq!(change_seal_key(folder.path(), &id, now).unwrap(), 2);
        let changed = open();
        let set = changed.set.verify(&first.seal_root, &id, now, 2).unwrap();
        let ids: Vec<_> = set.keys.iter().map(|key| key.key_id).collect();
        let secrets: Vec<_> = changed.seal.iter().map(|key| key.public().id()).collect();
        assert_eq!(ids, secrets);
        assert_eq!(ids[1], first.seal[0].public().id());
    }
}
