//! Which operations run in this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pos_protocol::id::{InstitutionId, OperationId};
use tokio::sync::watch;

/// The operations that run in this process: so that a repeated call can wait for them, and the
/// end of the process too.
#[derive(Debug, Default)]
pub struct Conductor {
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    operations: HashMap<OperationId, watch::Receiver<()>>,
    /// How many are being asked about.
    inquiries: HashMap<InstitutionId, usize>,
}

impl Conductor {
    /// Waits until the operation has stopped running in this process. `false` at once where it
    /// does not run here, or when `at_most` is over first.
    pub async fn wait_for(&self, id: OperationId, at_most: Duration) -> bool {
        let Some(mut running) = self.lock().operations.get(&id).cloned() else {
            return false;
        };
        // The sender is dropped when the task ends: that is the message.
        tokio::time::timeout(at_most, async { while running.changed().await.is_ok() {} })
            .await
            .is_ok()
    }

    /// Whether the operation runs in this process.
    pub fn runs(&self, id: OperationId) -> bool {
        self.lock().operations.contains_key(&id)
    }

    /// Returns when no operation runs any more.
    pub async fn idle(&self) {
        loop {
            let Some(mut any) = self.lock().operations.values().next().cloned() else {
                return;
            };
            while any.changed().await.is_ok() {}
        }
    }

    /// How many operations of this institution are being asked about.
    pub fn inquiries(&self, institution: &InstitutionId) -> usize {
        self.lock().inquiries.get(institution).copied().unwrap_or_default()
    }

    /// Says that an operation runs. Before its first commit, so that a repeat which meets it in the
    /// store always finds it here too.
    pub(super) fn enter(self: &Arc<Self>, id: OperationId) -> Entered {
        self.enter_as(id, None)
    }

    /// The same of one that is asked about.
    pub(super) fn enter_taken_over(
        self: &Arc<Self>,
        id: OperationId,
        institution: &InstitutionId,
    ) -> Entered {
        self.enter_as(id, Some(institution.clone()))
    }

    fn enter_as(self: &Arc<Self>, id: OperationId, inquiry: Option<InstitutionId>) -> Entered {
        let (ends, running) = watch::channel(());
        let mut all = self.lock();
        all.operations.insert(id, running);
        if let Some(institution) = &inquiry {
            let count = all.inquiries.entry(institution.clone()).or_default();
            *count = count.saturating_add(1);
        }
        drop(all);
        Entered { conductor: Arc::clone(self), id, ends, inquiry }
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Membership of a running operation; its end is its drop.
#[derive(Debug)]
pub(super) struct Entered {
    conductor: Arc<Conductor>,
    id: OperationId,
    ends: watch::Sender<()>,
    inquiry: Option<InstitutionId>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let running = &mut *self.conductor.lock();
        // Whoever entered the same operation later stays.
        let mine = |one: &watch::Receiver<()>| one.same_channel(&self.ends.subscribe());
        if running.operations.get(&self.id).is_some_and(mine) {
            running.operations.remove(&self.id);
        }
        if let Some(institution) = &self.inquiry
            && let Some(count) = running.inquiries.get_mut(institution)
        {
            *count = count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_entered_later_stays_when_the_first_leaves() {
        let conductor = Arc::new(Conductor::default());
        let (id, bank) = (OperationId::from_octets([1; 16]), "umi-bank".parse().unwrap());
        let first = conductor.enter(id);
        let second = conductor.enter_taken_over(id, &bank);
        assert_eq!(conductor.inquiries(&bank), 1);
        drop(first);
        assert_eq!(conductor.lock().operations.len(), 1);
        drop(second);
        assert_eq!(conductor.lock().operations.len(), 0);
        assert_eq!(conductor.inquiries(&bank), 0);
    }

    #[tokio::test]
    async fn a_repeat_waits_for_what_runs_here_and_for_nothing_else() {
        let conductor = Arc::new(Conductor::default());
        let id = OperationId::from_octets([1; 16]);
        assert!(!conductor.wait_for(id, Duration::from_secs(60)).await);
        let entered = conductor.enter(id);
        assert!(!conductor.wait_for(id, Duration::ZERO).await);
        let ends = async { drop(entered) };
        let (waited, ()) = tokio::join!(conductor.wait_for(id, Duration::from_secs(60)), ends);
        assert!(waited);
        conductor.idle().await;
        assert_eq!(conductor.lock().operations.len(), 0);
    }
}
