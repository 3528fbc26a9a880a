//! The seal key sets of institutions: fetched, proved, kept while good, never older than before.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pos_protocol::seal::{SealKeySet, SignedSealKeySet};
use pos_protocol::time::Timestamp;

/// A key set as its root key signed it, and what it says.
#[derive(Clone, Debug)]
pub struct SealKeys {
    /// As it travels on to modules and pages, which prove it again.
    pub signed: SignedSealKeySet,
    /// What it says.
    pub set: SealKeySet,
}

/// How long a set is served before the institution is asked for a newer one.
pub(super) const FRESH_FOR: Duration = Duration::from_secs(10 * 60);

/// A set with less life than this is asked for anew at once.
const LEAST_LIFE: Duration = Duration::from_secs(60 * 60);

/// The key set of one institution. Shared by all records that follow each other under one root key.
#[derive(Debug, Default)]
pub(super) struct SealKeyCache {
    kept: Mutex<Kept>,
    /// Held by the one that fetches, so that a hundred callers make one call.
    pub(super) fetching: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Kept {
    keys: Option<Arc<SealKeys>>,
    /// On the monotonic clock.
    fetched: Duration,
    newest: u64,
}

impl SealKeyCache {
    /// The kept set, if it need not be asked for anew.
    pub(super) fn fresh(&self, now: Timestamp, monotonic: Duration) -> Option<Arc<SealKeys>> {
        let kept = self.lock();
        let keys = kept.keys.as_ref()?;
        let young = monotonic.saturating_sub(kept.fetched) < FRESH_FOR;
        (young && keys.set.not_after_ms > now.plus(LEAST_LIFE)).then(|| Arc::clone(keys))
    }

    /// The kept set, if it is still good at all: what is served while the institution is silent.
    pub(super) fn usable(&self, now: Timestamp) -> Option<Arc<SealKeys>> {
        let kept = self.lock();
        kept.keys.as_ref().filter(|keys| keys.set.not_after_ms > now).map(Arc::clone)
    }

    /// No set of an older version is ever taken.
    pub(super) fn least_version(&self, recorded: u64) -> u64 {
        self.lock().newest.max(recorded)
    }

    pub(super) fn keep(&self, keys: SealKeys, monotonic: Duration) -> Arc<SealKeys> {
        let keys = Arc::new(keys);
        let mut kept = self.lock();
        kept.newest = kept.newest.max(keys.set.version);
        kept.fetched = monotonic;
        kept.keys = Some(Arc::clone(&keys));
        keys
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use pos_protocol::key::SigningKey;
    use pos_protocol::seal::{SealKey, SealSecretKey};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

    fn keys(version: u64, life: Duration) -> SealKeys {
        let not_after_ms = NOW.plus(life);
        let key = SealKey::new(SealSecretKey::from_octets(&[7; 32]).public(), not_after_ms);
        let institution = "sakura-card".parse().unwrap();
        let set = SealKeySet { institution, version, not_after_ms, keys: vec![key] };
        SealKeys { signed: set.sign(&SigningKey::from_seed(&[5; 32])), set }
    }

    #[test]
    fn a_set_is_asked_for_anew_before_it_is_old() {
        let cache = SealKeyCache::default();
        let (day, minute) = (Duration::from_secs(86_400), Duration::from_secs(60));
        assert!(cache.fresh(NOW, Duration::ZERO).is_none());
        cache.keep(keys(3, day), Duration::ZERO);
        assert!(cache.fresh(NOW, 9 * minute).is_some());
        assert!(cache.fresh(NOW, 10 * minute).is_none());
        // Near its own end it is not fresh at any age, but still served.
        assert!(cache.fresh(NOW.plus(day - 59 * minute), Duration::ZERO).is_none());
        assert!(cache.usable(NOW.plus(day - minute)).is_some());
        assert!(cache.usable(NOW.plus(day)).is_none());
    }

    #[test]
    fn the_least_version_never_falls() {
        let cache = SealKeyCache::default();
        assert_eq!(cache.least_version(2), 2);
        cache.keep(keys(5, Duration::from_secs(7_200)), Duration::ZERO);
        assert_eq!(cache.least_version(2), 5);
        assert_eq!(cache.least_version(8), 8);
    }
}
