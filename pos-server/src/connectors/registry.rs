//! The institutions that the operator serves, ready to be spoken to.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use pos_protocol::id::InstitutionId;
use pos_protocol::key::{KeyId, Signature};

use super::capabilities::WayOut;
use super::connector::Connector;
use super::driver::lines::Lines;
use super::health::Health;
use super::institution_protocol::InstitutionProtocol;
use super::record::{InstitutionRecord, RecordError};
use super::seal_keys::SealKeyCache;

/// The key that the server signs its calls to institutions with. It cannot be printed.
#[derive(Clone)]
pub struct CallKey {
    id: KeyId,
    sign: Arc<Sign>,
}

type Sign = dyn Fn(&[u8]) -> Signature + Send + Sync;

impl CallKey {
    /// The key of this id, used through `sign`.
    pub fn new(id: KeyId, sign: impl Fn(&[u8]) -> Signature + Send + Sync + 'static) -> Self {
        Self { id, sign: Arc::new(sign) }
    }

    /// The thumbprint of its public half.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> Signature {
        (self.sign)(message)
    }
}

impl fmt::Debug for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallKey({}, [redacted])", self.id)
    }
}

/// One institution with its connector and its lines.
#[derive(Debug)]
pub struct Institution {
    record: InstitutionRecord,
    connector: Box<dyn Connector>,
    pub(super) lines: Arc<Lines>,
    pub(super) seal_keys: Arc<SealKeyCache>,
    /// Whether it answers.
    pub health: Arc<Health>,
}

impl Institution {
    /// Makes an institution from its record. Nothing is connected yet.
    ///
    /// # Errors
    /// [`RecordError`] when the record cannot be used.
    pub fn new(record: InstitutionRecord, call_key: &CallKey) -> Result<Self, RecordError> {
        let target = record.target()?;
        let capabilities = &record.capabilities;
        if capabilities.way_out == WayOut::Reversal && !capabilities.can_reverse {
            return Err(RecordError::WayOut);
        }
        let connector = InstitutionProtocol::new(&record, &target.authority, call_key.clone());
        Ok(Self {
            record,
            connector: Box::new(connector),
            lines: Arc::new(Lines::new(target)),
            seal_keys: Arc::default(),
            health: Arc::default(),
        })
    }

    /// The record that it was made from.
    pub const fn record(&self) -> &InstitutionRecord {
        &self.record
    }

    /// Its protocol.
    pub fn connector(&self) -> &dyn Connector {
        &*self.connector
    }

    /// Takes over lines and seal keys that still fit.
    fn inherit(mut self, old: &Self) -> Self {
        if self.record.url == old.record.url && self.record.ca_pem == old.record.ca_pem {
            self.lines = Arc::clone(&old.lines);
            self.health = Arc::clone(&old.health);
        }
        if self.record.seal_root == old.record.seal_root {
            self.seal_keys = Arc::clone(&old.seal_keys);
        }
        self
    }
}

/// The institutions by id. What is being sent goes on with the institution that it began with.
#[derive(Debug)]
pub struct Registry {
    call_key: CallKey,
    institutions: RwLock<HashMap<InstitutionId, Arc<Institution>>>,
    held: RwLock<HashSet<InstitutionId>>,
}

impl Registry {
    /// An empty registry whose institutions are called with this key.
    pub fn new(call_key: CallKey) -> Self {
        Self { call_key, institutions: RwLock::default(), held: RwLock::default() }
    }

    /// Replaces the institutions by those of the shop database. Lines and seal keys of those that
    /// stay are kept. Records that cannot be used are left out and told.
    pub fn replace(&self, records: Vec<InstitutionRecord>) -> Vec<(InstitutionId, RecordError)> {
        let old = self.read().clone();
        let mut fresh = HashMap::with_capacity(records.len());
        let mut refused = Vec::new();
        for record in records {
            let id = record.id.clone();
            let before = old.get(&id);
            if let Some(same) = before.filter(|before| *before.record() == record) {
                fresh.insert(id, Arc::clone(same));
                continue;
            }
            match Institution::new(record, &self.call_key) {
                Ok(made) => {
                    let made = before.into_iter().fold(made, |made, old| made.inherit(old));
                    fresh.insert(id, Arc::new(made));
                }
                Err(error) => refused.push((id, error)),
            }
        }
        *self.institutions.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        refused
    }

    /// Replaces the set of institutions that get nothing new until a person has seen to a task.
    pub fn hold(&self, held: impl IntoIterator<Item = InstitutionId>) {
        let held = held.into_iter().collect();
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = held;
    }

    /// Whether it is among them. What is open there is asked about all the same.
    pub fn is_held(&self, id: &InstitutionId) -> bool {
        self.held.read().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// The institution of this id.
    pub fn get(&self, id: &InstitutionId) -> Option<Arc<Institution>> {
        self.read().get(id).map(Arc::clone)
    }

    /// Every institution, by id.
    pub fn all(&self) -> Vec<Arc<Institution>> {
        let mut all: Vec<_> = self.read().values().map(Arc::clone).collect();
        all.sort_by(|one, other| one.record.id.cmp(&other.record.id));
        all
    }

    /// The key that institutions must know.
    pub const fn call_key(&self) -> &CallKey {
        &self.call_key
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<InstitutionId, Arc<Institution>>> {
        self.institutions.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use pos_protocol::key::SigningKey;

    use super::*;
    use crate::connectors::record::tests::record;

    pub(in crate::connectors) fn call_key() -> CallKey {
        let key = SigningKey::from_seed(&[3; 32]);
        CallKey::new(key.public().id(), move |message| key.sign(message))
    }

    #[test]
    fn institutions_that_stay_keep_their_lines_and_seal_keys() {
        let registry = Registry::new(call_key());
        let id: InstitutionId = "sakura-card".parse().unwrap();
        let first = record("http://127.0.0.1:1000", None);
        assert!(registry.replace(vec![first.clone()]).is_empty());
        let before = registry.get(&id).unwrap();
        assert!(registry.replace(vec![first.clone()]).is_empty());
        assert!(Arc::ptr_eq(&registry.get(&id).unwrap(), &before));

        let off = InstitutionRecord { enabled: false, ..first.clone() };
        registry.replace(vec![off]);
        let switched = registry.get(&id).unwrap();
        assert!(!switched.record().enabled);
        assert!(Arc::ptr_eq(&switched.lines, &before.lines));
        assert!(Arc::ptr_eq(&switched.seal_keys, &before.seal_keys));

        let other_root = SigningKey::from_seed(&[9; 32]).public();
        let url = "http://127.0.0.1:1001".into();
        registry.replace(vec![InstitutionRecord { url, seal_root: other_root, ..first }]);
        let moved = registry.get(&id).unwrap();
        assert!(!Arc::ptr_eq(&moved.lines, &before.lines));
        assert!(!Arc::ptr_eq(&moved.seal_keys, &before.seal_keys));
        registry.replace(Vec::new());
        assert!(registry.get(&id).is_none());
    }

    #[test]
    fn an_institution_whose_outcomes_nobody_could_find_out_is_not_served() {
        let mut unknowable = record("http://127.0.0.1:1000", None);
        unknowable.capabilities.way_out = WayOut::Reversal;
        let refused = Institution::new(unknowable, &call_key()).unwrap_err();
        assert!(matches!(refused, RecordError::WayOut));
        let mut undone = record("http://127.0.0.1:1000", None);
        undone.capabilities.way_out = WayOut::Reversal;
        undone.capabilities.can_reverse = true;
        assert!(Institution::new(undone, &call_key()).is_ok());
    }

    #[test]
    fn a_record_that_cannot_be_used_is_told_and_harms_no_other() {
        let registry = Registry::new(call_key());
        let good = record("http://127.0.0.1:1000", None);
        let id = "far-away".parse().unwrap();
        let bad = InstitutionRecord { id, ..record("http://pay.example", None) };
        let refused = registry.replace(vec![bad, good]);
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].0.as_str(), "far-away");
        assert!(matches!(refused[0].1, RecordError::PlainHttp));
        let names: Vec<_> = registry.all().iter().map(|one| one.record().id.clone()).collect();
        assert_eq!(names, ["sakura-card".parse().unwrap()]);
    }
}
