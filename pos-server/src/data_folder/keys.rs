//! The server's own keys: PKCS#8 files that only their owner may read, made at the first start.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pos_protocol::key::{KeyId, PublicKey, Signature};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

pub use super::private_file::PrivateFileError;
use super::{DataFolder, private_file};
use crate::config::{Config, KeyFiles};
use crate::env::Entropy;
use crate::notices::webhook::WebhookSeed;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file is not what it should be.
    #[error("{} is not {wanted}: put the right file there, or restore it from a backup", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
    },
    /// The file cannot be read, or everybody can read it.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// The database is there and a key that belongs to it is not.
    #[error(
        "{} is missing although the database exists: restore it from a backup; a new key would \
         make every shop and institution refuse this server",
        path.display()
    )]
    Lost {
        /// The file.
        path: PathBuf,
    },
}

/// An Ed25519 key of the server. It cannot be printed.
pub struct SigningKeyPair {
    pair: Ed25519KeyPair,
    public: PublicKey,
    id: KeyId,
}

impl SigningKeyPair {
    /// Signs `message` (RFC 8032). aws-lc does it in half the time of the portable code that the
    /// module uses; the octets are the same.
    pub fn sign(&self, message: &[u8]) -> Signature {
        let made = self.pair.sign(message);
        let octets = made.as_ref().try_into().expect("an Ed25519 signature has 64 octets");
        Signature::from_octets(octets)
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The thumbprint of the public half.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The key of this seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 octets are an Ed25519 seed");
        Self::with(pair).expect("a public key made from a seed is of full order")
    }

    /// Reads PKCS#8, PEM or DER, as OpenSSL and this server write it.
    fn from_pkcs8(octets: &[u8]) -> Option<Self> {
        let pair = if octets.starts_with(b"-----") {
            let der = PrivatePkcs8KeyDer::from_pem_slice(octets).ok()?;
            Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der())
        } else {
            Ed25519KeyPair::from_pkcs8(octets)
        };
        Self::with(pair.ok()?)
    }

    fn with(pair: Ed25519KeyPair) -> Option<Self> {
        let octets = pair.public_key().as_ref().try_into().ok()?;
        let public = PublicKey::from_octets(octets).ok()?;
        Some(Self { pair, public, id: public.id() })
    }
}

impl fmt::Debug for SigningKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKeyPair({}, [redacted])", self.id)
    }
}

/// 32 octets that a password hash needs beside what the database holds.
pub struct Pepper(Zeroizing<[u8; 32]>);

impl Pepper {
    /// The pepper with these octets.
    pub fn from_octets(octets: [u8; 32]) -> Self {
        Self(Zeroizing::new(octets))
    }

    /// The octets, for the one function that hashes passwords.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper([redacted])")
    }
}

/// Every key of the server itself.
#[derive(Debug)]
pub struct ServerKeys {
    /// Signs what the server answers to shops.
    pub answer: SigningKeyPair,
    /// Signs what the server asks of institutions.
    pub institution_call: SigningKeyPair,
    /// Mixed into password hashes.
    pub pepper: Arc<Pepper>,
    /// What the keys that sign webhooks are made from.
    pub webhook_seed: WebhookSeed,
}

impl ServerKeys {
    /// Reads the keys, and makes none.
    ///
    /// # Errors
    /// [`KeyFileError`] names the file and what to do about it.
    pub fn read(folder: &Path, files: &KeyFiles) -> Result<Self, KeyFileError> {
        Ok(Self {
            answer: read_key(folder.join(&files.answer_key))?,
            institution_call: read_key(folder.join(&files.institution_call_key))?,
            pepper: Arc::new(Pepper::from_octets(read_octets(folder.join(&files.pepper))?)),
            webhook_seed: WebhookSeed::from_octets(read_octets(folder.join(&files.webhook_seed))?),
        })
    }

    /// Reads the keys, and makes those of the data folder at the first start, that is while
    /// there is no database. A key file that the configuration names elsewhere is never made.
    ///
    /// # Errors
    /// [`KeyFileError`] names the file and what to do about it.
    pub fn open(
        folder: &DataFolder,
        files: &KeyFiles,
        database_begun: bool,
        entropy: &dyn Entropy,
    ) -> Result<Self, KeyFileError> {
        let first_start = !database_begun;
        let own = KeyFiles::default();
        let path = |file: &Path, own: &Path, make: &dyn Fn() -> Zeroizing<Vec<u8>>| {
            let path = folder.path().join(file);
            if file == own && !path.exists() {
                // Data folders of releases without webhooks have no seed for them yet.
                if !first_start && *own != KeyFiles::default().webhook_seed {
                    return Err(KeyFileError::Lost { path });
                }
                private_file::create(&path, &make())?;
            }
            Ok(path)
        };
        let new_key = || new_key(entropy);
        let new_octets = || Zeroizing::new(entropy.array::<32>().to_vec());
        Ok(Self {
            answer: read_key(path(&files.answer_key, &own.answer_key, &new_key)?)?,
            institution_call: read_key(path(
                &files.institution_call_key,
                &own.institution_call_key,
                &new_key,
            )?)?,
            pepper: Arc::new(Pepper::from_octets(read_octets(path(
                &files.pepper,
                &own.pepper,
                &new_octets,
            )?)?)),
            webhook_seed: WebhookSeed::from_octets(read_octets(path(
                &files.webhook_seed,
                &own.webhook_seed,
                &new_octets,
            )?)?),
        })
    }
}

/// What is wrong with the keys that the configuration names outside the data folder's own, each
/// with its setting.
pub fn check_named(config: &Config) -> Vec<(&'static str, KeyFileError)> {
    let (files, own) = (&config.keys, KeyFiles::default());
    let path = |file: &Path| config.data_folder.join(file);
    let mut errors = Vec::new();
    for (setting, file, own, is_octets) in [
        ("keys.answer_key", &files.answer_key, &own.answer_key, false),
        (
            "keys.institution_call_key",
            &files.institution_call_key,
            &own.institution_call_key,
            false,
        ),
        ("keys.pepper", &files.pepper, &own.pepper, true),
        ("keys.webhook_seed", &files.webhook_seed, &own.webhook_seed, true),
    ] {
        let outcome = match (file == own, is_octets) {
            (true, _) => continue,
            (false, false) => read_key(path(file)).map(drop),
            (false, true) => read_octets(path(file)).map(drop),
        };
        errors.extend(outcome.err().map(|cause| (setting, cause)));
    }
    errors
}

pub(super) fn read_key(path: PathBuf) -> Result<SigningKeyPair, KeyFileError> {
    let octets = private_file::read(&path)?;
    let wanted = "an Ed25519 private key in PKCS#8, PEM or DER";
    SigningKeyPair::from_pkcs8(&octets).ok_or(KeyFileError::Broken { path, wanted })
}

fn read_octets(path: PathBuf) -> Result<[u8; 32], KeyFileError> {
    let octets = private_file::read(&path)?;
    let array = <[u8; 32]>::try_from(octets.as_slice());
    array.map_err(|_| KeyFileError::Broken { path, wanted: "32 random octets" })
}

/// What precedes the seed in the PKCS#8 form of an Ed25519 key (RFC 8410 section 7): version 0,
/// the algorithm 1.3.101.112, an octet string in an octet string.
const PKCS8_HEAD: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// A fresh key as its file holds it.
pub(super) fn new_key(entropy: &dyn Entropy) -> Zeroizing<Vec<u8>> {
    new_pem(&Zeroizing::new(entropy.array()))
}

fn new_pem(seed: &[u8; 32]) -> Zeroizing<Vec<u8>> {
    let mut der = Zeroizing::new([0; 48]);
    der[..16].copy_from_slice(&PKCS8_HEAD);
    der[16..].copy_from_slice(seed);
    // 48 octets are 64 characters: exactly one full line.
    let line = Zeroizing::new(STANDARD.encode(der.as_slice()));
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", *line);
    Zeroizing::new(pem.into_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use pos_protocol::key::SigningKey;

    use super::*;
    use crate::data_folder::Purpose;

    /// Counts up, so that what is made from it can be foretold.
    struct Counting;

    impl Entropy for Counting {
        fn fill(&self, octets: &mut [u8]) {
            for (octet, value) in octets.iter_mut().zip(0..) {
                *octet = value;
            }
        }
    }

    struct Bed {
        _root: tempfile::TempDir,
        folder: DataFolder,
    }

    impl Bed {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let folder = DataFolder::open(&root.path().join("data"), Purpose::Serve).unwrap();
            Self { _root: root, folder }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn open(&self, files: &KeyFiles) -> Result<ServerKeys, KeyFileError> {
            let begun = self.path("pos.sqlite3").exists();
            ServerKeys::open(&self.folder, files, begun, &Counting)
        }

        fn refusal(&self, files: &KeyFiles) -> String {
            self.open(files).unwrap_err().to_string()
        }
    }

    #[test]
    fn the_first_start_makes_private_files_that_later_starts_read() {
        let bed = Bed::new();
        let made = bed.open(&KeyFiles::default()).unwrap();
        let expected = SigningKey::from_seed(&std::array::from_fn(|at| u8::try_from(at).unwrap()));
        assert_eq!(made.answer.public(), expected.public());
        assert_eq!(made.answer.sign(b"x"), expected.sign(b"x"));
        assert_eq!(made.answer.id(), expected.public().id());
        for name in ["answer-key.pem", "institution-call-key.pem", "pepper.key"] {
            let mode = fs::metadata(bed.path(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        // RFC 8410 section 10.3, with our seed: what OpenSSL reads and writes.
        assert_eq!(
            fs::read_to_string(bed.path("answer-key.pem")).unwrap(),
            "-----BEGIN PRIVATE KEY-----\n\
             MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n\
             -----END PRIVATE KEY-----\n"
        );
        let read = bed.open(&KeyFiles::default()).unwrap();
        assert_eq!(read.answer.id(), made.answer.id());
        assert_eq!(read.pepper.expose(), made.pepper.expose());
        assert!(!format!("{read:?}").contains("0, 1, 2"));
    }

    #[test]
    fn keys_open_to_others_are_refused() {
        for mode in [0o640, 0o604, 0o660, 0o700] {
            let bed = Bed::new();
            bed.open(&KeyFiles::default()).unwrap();
            let path = bed.path("pepper.key");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refusal = bed.refusal(&KeyFiles::default());
            assert!(refusal.contains(&format!("mode {mode:o}")), "{refusal}");
            assert!(refusal.contains(&format!("chmod 600 {}", path.display())), "{refusal}");
        }
    }

    #[test]
    fn broken_keys_are_refused() {
        let bed = Bed::new();
        bed.open(&KeyFiles::default()).unwrap();
        let answer = bed.path("answer-key.pem");
        let whole = fs::read(&answer).unwrap();
        for broken in [&whole[..60], b"", b"-----BEGIN PRIVATE KEY-----\n"] {
            fs::write(&answer, broken).unwrap();
            let refusal = bed.refusal(&KeyFiles::default());
            assert!(refusal.contains("is not an Ed25519 private key in PKCS#8"), "{refusal}");
        }
        fs::write(&answer, whole).unwrap();
        fs::write(bed.path("pepper.key"), [7; 31]).unwrap();
        assert!(bed.refusal(&KeyFiles::default()).contains("is not 32 random octets"));
    }

    #[test]
    fn a_key_that_belongs_to_a_database_is_not_made_anew() {
        let bed = Bed::new();
        bed.open(&KeyFiles::default()).unwrap();
        fs::write(bed.path("pos.sqlite3"), b"").unwrap();
        bed.open(&KeyFiles::default()).unwrap();
        fs::remove_file(bed.path("answer-key.pem")).unwrap();
        let refusal = bed.refusal(&KeyFiles::default());
        assert!(refusal.contains("answer-key.pem is missing although the database exists"));
    }

    #[test]
    fn a_key_that_the_configuration_names_elsewhere_is_read_and_never_made() {
        let bed = Bed::new();
        let elsewhere = bed.path("mounted.der");
        let files = KeyFiles { answer_key: elsewhere.clone(), ..KeyFiles::default() };
        assert!(bed.refusal(&files).contains("mounted.der cannot be read"));
        // The DER form, as another tool may have written it: with the public half (version 1).
        let pair = Ed25519KeyPair::generate().unwrap();
        private_file::create(&elsewhere, pair.to_pkcs8().unwrap().as_ref()).unwrap();
        let keys = bed.open(&files).unwrap();
        assert_eq!(keys.answer.public().octets().as_slice(), pair.public_key().as_ref());
    }

    #[test]
    fn a_private_file_is_never_overwritten() {
        let bed = Bed::new();
        let path = bed.path("once");
        private_file::create(&path, b"first").unwrap();
        assert!(private_file::create(&path, b"second").is_err());
        assert_eq!(private_file::read(&path).unwrap().as_slice(), b"first");
        // A crash between the two steps left both names of the one file.
        fs::hard_link(&path, bed.path("twice.new")).unwrap();
        private_file::create(&bed.path("twice"), b"another").unwrap();
        assert_eq!(private_file::read(&path).unwrap().as_slice(), b"first");
    }
}
