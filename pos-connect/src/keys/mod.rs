//! Where the module key lives between runs, with the pin of the server's answer key.

#[cfg(not(target_arch = "wasm32"))]
mod file;
mod memory;
#[cfg(not(target_arch = "wasm32"))]
mod seed;
#[cfg(target_arch = "wasm32")]
#[path = "kept.rs"]
mod seed;

use std::collections::BTreeMap;

use pos_protocol::id::{InstitutionId, ShopId};
use pos_protocol::key::PublicKey;
use pos_protocol::succession::Fingerprint;
use serde::{Deserialize, Serialize};

#[cfg(not(target_arch = "wasm32"))]
pub use file::FileKeyStore;
pub use memory::MemoryKeyStore;
pub use seed::Seed;

use crate::env::{Shared, Task};
#[cfg(not(target_arch = "wasm32"))]
use crate::files::FileError;

/// Keeps one shop's module key and the pin of the server's answer key.
///
/// The file and memory versions are here; a host may bring its own (a secret manager, a browser's
/// database). Whatever it is, [`create`](Self::create) and [`change`](Self::change) have reached
/// the lasting store when they return, and are atomic among all processes that share it.
pub trait KeyStore: Shared {
    /// What is stored; `None` before the first [`create`](Self::create).
    ///
    /// # Errors
    /// [`KeyStoreError`]; nothing can be signed then.
    fn load(&self) -> Task<'_, Result<Option<StoredKeys>, KeyStoreError>>;

    /// Stores the first keys.
    ///
    /// # Errors
    /// [`KeyStoreError::Occupied`] where something is stored already.
    fn create(&self, keys: StoredKeys) -> Task<'_, Result<(), KeyStoreError>>;

    /// Loads, applies the change ([`StoredKeys::apply`]), stores, and gives what is stored now.
    ///
    /// # Errors
    /// [`KeyStoreError::Empty`] where nothing is stored.
    fn change(&self, change: Change) -> Task<'_, Result<StoredKeys, KeyStoreError>>;

    /// Forgets everything. It is no error where nothing is stored.
    ///
    /// # Errors
    /// [`KeyStoreError`]; the keys may still be there.
    fn remove(&self) -> Task<'_, Result<(), KeyStoreError>>;
}

/// Why a key store failed.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// Nothing is stored yet.
    #[error("the key store is empty")]
    Empty,
    /// A file is not usable.
    #[cfg(not(target_arch = "wasm32"))]
    #[error(transparent)]
    File(#[from] FileError),
    /// The host's own store failed.
    #[error("the host's key store failed")]
    Host(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Something is stored already.
    #[error("the key store holds keys already")]
    Occupied,
}

/// What a key store keeps. Written as JSON it holds secrets: keep it where only the shop's software
/// can read it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredKeys {
    /// The module key that signs.
    pub module_key: Seed,
    /// The shop that the server has registered it for; none before the server is known to have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shop_id: Option<ShopId>,
    /// Its successor while a roll is under way: the server may have it already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_key: Option<Seed>,
    /// Which answer key is believed: the one of the enrolment code at first.
    pub pin: Fingerprint,
    /// That key itself, once it was met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_key: Option<PublicKey>,
    /// Whose seal keys are believed, and how new they were.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seals: BTreeMap<InstitutionId, SealPin>,
}

/// What is remembered of an institution's seal keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealPin {
    /// The root key that the server named first; another one is refused.
    pub root: PublicKey,
    /// The newest version of the key set that was seen; an older one is refused.
    pub version: u64,
}

/// One step in the life of stored keys.
#[derive(Clone, Debug)]
pub enum Change {
    /// The server has the module key, as this shop's.
    Registered(ShopId),
    /// A later enrolment code of the same, still unregistered key pins this answer key.
    Pin(Fingerprint),
    /// The answer key `to` was proved to follow `from`.
    AnswerKey {
        /// The pin that was walked from. Where another is stored, someone else was faster and
        /// nothing changes.
        from: Fingerprint,
        /// The answer key from now on.
        to: PublicKey,
    },
    /// A successor was made and is about to be sent. Where one is waiting already it stays.
    NextKey(Seed),
    /// The server has this successor: it is the module key now.
    Promote(PublicKey),
    /// An institution's root key and the version of its key set were seen.
    Seal(InstitutionId, SealPin),
    /// The same, of the root key that the shop has set itself in place of the one remembered.
    ReplaceSeal(InstitutionId, SealPin),
}

impl StoredKeys {
    /// The keys before registration.
    pub const fn new(module_key: Seed, pin: Fingerprint) -> Self {
        let seals = BTreeMap::new();
        Self { module_key, shop_id: None, next_key: None, pin, answer_key: None, seals }
    }

    /// What is to be stored after a change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Registered(shop_id) => self.shop_id = Some(shop_id),
            Change::Pin(pin) => {
                self.pin = pin;
                self.answer_key = None;
            }
            Change::AnswerKey { from, to } => {
                if self.pin == from {
                    self.pin = Fingerprint::of(&to);
                    self.answer_key = Some(to);
                }
            }
            Change::NextKey(seed) => {
                self.next_key.get_or_insert(seed);
            }
            Change::Promote(key) => {
                if let Some(next) = self.next_key.take_if(|next| next.public() == key) {
                    self.module_key = next;
                }
            }
            Change::Seal(institution, seen) => {
                let pin = self.seals.entry(institution).or_insert(seen);
                if pin.root == seen.root {
                    pin.version = pin.version.max(seen.version);
                }
            }
            Change::ReplaceSeal(institution, seen) => {
                self.seals.insert(institution, seen);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn seed(octet: u8) -> Seed {
        Seed::new(Zeroizing::new([octet; 32]))
    }

    fn keys() -> StoredKeys {
        StoredKeys::new(seed(1), Fingerprint::of(&seed(9).key().public()))
    }

    #[test]
    fn a_successor_waits_until_it_is_promoted() {
        let mut keys = keys();
        keys.apply(Change::NextKey(seed(2)));
        keys.apply(Change::NextKey(seed(3)));
        assert_eq!(keys.next_key.as_ref().unwrap().octets(), &[2; 32], "the first one stays");
        keys.apply(Change::Promote(seed(3).key().public()));
        assert_eq!(keys.module_key.octets(), &[1; 32], "another key is not promoted");
        keys.apply(Change::Promote(seed(2).key().public()));
        assert_eq!(keys.module_key.octets(), &[2; 32]);
        assert!(keys.next_key.is_none());
    }

    #[test]
    fn a_pin_never_goes_back() {
        let [first, second, third] = [9, 10, 11].map(|octet| seed(octet).key().public());
        let mut keys = keys();
        let from = Fingerprint::of(&first);
        keys.apply(Change::AnswerKey { from, to: third });
        keys.apply(Change::AnswerKey { from, to: second });
        assert_eq!((keys.answer_key, keys.pin), (Some(third), Fingerprint::of(&third)));
    }

    #[test]
    fn the_first_root_stays_and_versions_only_grow() {
        let [first, second] = [9, 10].map(|octet| seed(octet).key().public());
        let sakura: InstitutionId = "sakura-card".parse().unwrap();
        let mut keys = keys();
        for (root, version) in [(first, 3), (first, 2), (second, 9)] {
            keys.apply(Change::Seal(sakura.clone(), SealPin { root, version }));
        }
        assert_eq!(keys.seals[&sakura], SealPin { root: first, version: 3 });
    }

    #[test]
    fn nothing_secret_is_printed() {
        let text = format!("{:?}", keys());
        assert!(text.contains("[redacted]") && !text.contains("1, 1"), "{text}");
    }
}
