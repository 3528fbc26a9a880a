//! Work that nobody waits for: operations whose outcome must be found out, metrics of what is open,
//! rows that have served their time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use crate::app::App;
use crate::payments::recovery;
use crate::shutdown::Shutdown;
use crate::store::rows::OpenCount;
use crate::store::verbs::{Prune, RaiseSealKeyVersion};

/// How often the worker looks for due operations.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How often it counts what is open and prunes: every so many looks.
const COUNT_EVERY: u32 = 20;
const PRUNE_EVERY: u32 = 240;

/// Rows that one pruning removes at most, so that it never stands in the way of payments.
const PRUNE_LIMIT: u32 = 500;

/// Works until `shutdown` is asked for and what runs has ended.
pub async fn run(app: Arc<App>, mut shutdown: Shutdown) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turns: u32 = 0;
    loop {
        tokio::select! {
            () = shutdown.asked() => break,
            _ = ticks.tick() => {}
        }
        look(&app).await;
        if turns.is_multiple_of(COUNT_EVERY) {
            count(&app).await;
            app.institutions.all().iter().for_each(|one| app.driver.close_idle(one));
        }
        if turns.is_multiple_of(PRUNE_EVERY) {
            prune(&app).await;
            note_seal_keys(&app).await;
        }
        turns = turns.wrapping_add(1);
    }
    // What was begun is finished: each operation has its own time-outs.
    app.conductor.idle().await;
}

async fn look(app: &Arc<App>) {
    match recovery::turn(app).await {
        Ok(0) => {}
        Ok(count) => info!(count, "open operations taken over"),
        Err(cause) => warn!(cause = %cause, "due work could not be taken"),
    }
}

async fn count(app: &Arc<App>) {
    let counted =
        app.store.read_slow(|reader| Ok((reader.open_counts()?, reader.tasks(1000)?.len()))).await;
    let (open, tasks) = match counted {
        Ok(counted) => counted,
        Err(cause) => return warn!(cause = %cause, "open operations could not be counted"),
    };
    let now = app.clock.now();
    for (state, count) in by_state(&open) {
        app.metrics.operations_in(state, count);
    }
    let unknown = open.iter().find(|one| one.state == "unknown");
    app.metrics.oldest_unknown(unknown.map(|one| now.since(one.oldest)));
    app.metrics.open_tasks(tasks as u64);
}

/// Every state in which an operation is open, with how many are in it: a state that nothing is in any
/// more must be said too, or its last figure would stand for ever.
fn by_state(open: &[OpenCount]) -> impl Iterator<Item = (&'static str, u64)> {
    const OPEN: [&str; 6] =
        ["processing", "needs_payer", "pending", "unknown", "reversing", "needs_human"];
    OPEN.into_iter().map(|state| {
        let found = open.iter().find(|one| one.state == state);
        (state, found.map_or(0, |one| one.count))
    })
}

/// Keeps the newest version of each seal key set, so that no restart takes an older one.
async fn note_seal_keys(app: &Arc<App>) {
    for institution in app.institutions.all() {
        let record = institution.record();
        let Ok(keys) = app.driver.seal_keys(&institution).await else { continue };
        let version = keys.set.version;
        if version <= record.seal_key_version {
            continue;
        }
        let raise = RaiseSealKeyVersion { institution: record.id.clone(), version };
        match app.store.raise_seal_key_version(raise).await.map(|_| app.load_institutions()) {
            Ok(Ok(())) => {}
            Ok(Err(cause)) | Err(cause) => {
                warn!(institution_id = %record.id, cause = %cause, "a seal key version was not kept");
            }
        }
    }
}

async fn prune(app: &Arc<App>) {
    let prune = Prune { now: app.clock.now(), limit: PRUNE_LIMIT };
    if let Err(cause) = app.store.prune(prune).await {
        warn!(cause = %cause, "old rows could not be removed");
    }
}

#[cfg(test)]
mod tests {
    use pos_protocol::Timestamp;

    use super::*;

    #[test]
    fn a_state_that_nothing_is_in_counts_zero() {
        let unknown = OpenCount { state: "unknown", count: 3, oldest: Timestamp::from_ms(1) };
        let told: Vec<_> = by_state(&[unknown]).filter(|(_, count)| *count > 0).collect();
        assert_eq!(told, [("unknown", 3)]);
        assert_eq!(by_state(&[]).map(|(_, count)| count).collect::<Vec<_>>(), [0; 6]);
    }
}
