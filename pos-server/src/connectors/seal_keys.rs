//! The seal key sets of institutions: fetched, proved, kept while good, never older than before.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pos_protocol::seal::{SealKeySet, SignedSealKeySet};
use pos_protocol::time::Timestamp;

use super::answer::Fault;

/// A key set as its root key signed it, and what it says.
#[derive(Clone, Debug)]
pub struct SealKeys {
    /// As it travels on to modules and pages, which prove it again.
    pub signed: SignedSealKeySet,
    /// What it says.
    pub set: SealKeySet,
}

/// How old a set grows before the institution is asked for a newer one.
pub(super) const FRESH_FOR: Duration = Duration::from_secs(10 * 60);

/// A set with less life than this is asked for anew whatever its age.
const LEAST_LIFE: Duration = Duration::from_secs(60 * 60);

/// Between two tries.
pub(super) const TRY_EVERY: Duration = Duration::from_secs(5);

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
    /// When the institution was last asked, on the monotonic clock, and why in vain.
    tried: Option<(Duration, Fault)>,
}

impl SealKeyCache {
    /// Whether the institution is to be asked: the set is missing, no longer young or near its
    /// end, and it was not asked just now.
    pub(super) fn is_due(&self, now: Timestamp, monotonic: Duration) -> bool {
        let kept = self.lock();
        let since = |then: Duration| monotonic.saturating_sub(then);
        let young = kept.keys.as_ref().is_some_and(|keys| {
            since(kept.fetched) < FRESH_FOR && keys.set.not_after_ms > now.plus(LEAST_LIFE)
        });
        let just_tried = kept.tried.as_ref().is_some_and(|(then, _)| since(*then) < TRY_EVERY);
        !young && !just_tried
    }

    /// Notes a try that has brought nothing so far.
    pub(super) fn tried(&self, monotonic: Duration, fault: Fault) {
        self.lock().tried = Some((monotonic, fault));
    }

    /// What the last try brought: a set that is good, or why there is none.
    pub(super) fn last_try(&self, now: Timestamp) -> Result<Arc<SealKeys>, Fault> {
        let fault =
            || self.lock().tried.as_ref().map_or(Fault::TimedOut, |(_, fault)| fault.clone());
        self.usable(now).ok_or_else(fault)
    }

    /// The kept set, if it is still good: what is served.
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
        assert!(cache.is_due(NOW, Duration::ZERO));
        cache.keep(keys(3, day), Duration::ZERO);
        assert!(!cache.is_due(NOW, 9 * minute));
        assert!(cache.is_due(NOW, 10 * minute));
        // Near its own end it is not young at any age, but still served.
        assert!(cache.is_due(NOW.plus(day - 59 * minute), Duration::ZERO));
        assert!(cache.usable(NOW.plus(day - minute)).is_some());
        assert!(cache.usable(NOW.plus(day)).is_none());
    }

    #[test]
    fn a_failed_try_is_remembered_and_not_repeated_at_once() {
        let cache = SealKeyCache::default();
        let second = Duration::from_secs(1);
        cache.tried(10 * second, Fault::Busy);
        assert!(!cache.is_due(NOW, 14 * second));
        assert!(matches!(cache.last_try(NOW), Err(Fault::Busy)));
        assert!(cache.is_due(NOW, 15 * second));
        cache.keep(keys(3, 7_200 * second), 15 * second);
        assert_eq!(cache.last_try(NOW).unwrap().set.version, 3);
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
