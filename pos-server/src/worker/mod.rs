//! Work that nobody waits for: operations whose outcome must be found out, metrics of what is open,
//! institutions' seal keys, rows that have served their time. Each is a loop of its own, so that
//! none waits for another's network or disk.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use pos_protocol::id::InstitutionId;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::app::App;
use crate::audit;
use crate::connectors::Institution;
use crate::notices;
use crate::payments::recovery::{self, Turn};
use crate::shutdown::Shutdown;
use crate::store::StoreError;
use crate::store::rows::OpenCount;
use crate::store::verbs::{Prune, RaiseSealKeyVersion};
use crate::telemetry::logs::chain;

/// How often the worker looks for due operations.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How soon it looks again where more is due than may be asked about at once.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How often it looks for notices, and how soon again where there were some.
const TELL_EVERY: Duration = Duration::from_millis(250);
const TELL_AGAIN: Duration = Duration::from_millis(20);

/// How long receivers have at the end: less than what everything else is given.
const TELL_LAST: Duration = Duration::from_secs(5);

/// How often it counts what is open.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// How often it looks whether a seal key set grows old.
const REFRESH_EVERY: Duration = Duration::from_secs(1);

/// How often the audit is witnessed outside the database (`payments.md` 6.7).
const CHECKPOINT_EVERY: Duration = Duration::from_secs(3_600);

/// How often it prunes, and how soon again where more is left.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
const PRUNE_AGAIN: Duration = Duration::from_millis(250);

/// How often a database elsewhere is asked whether it takes writes.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// How often the institutions of a database that others write too are read anew.
const FOLLOW_EVERY: Duration = Duration::from_secs(5);

/// Rows that one pruning removes at most, so that it never stands in the way of payments.
const PRUNE_LIMIT: u32 = 500;

/// Works until `shutdown` is asked for and what runs has ended.
pub async fn run(app: Arc<App>, shutdown: Shutdown) {
    tokio::join!(
        recover(&app, shutdown.clone()),
        count(&app, shutdown.clone()),
        refresh_seal_keys(&app, shutdown.clone()),
        checkpoint(&app, shutdown.clone()),
        tell_shops(&app, shutdown.clone()),
        probe(&app, shutdown.clone()),
        follow_others(&app, shutdown.clone()),
        prune(&app, shutdown),
    );
    // What was begun is finished: each operation has its own time-outs.
    app.conductor.idle().await;
    // The last word of this run, so that a tail cut off while it is down shows.
    witness(&app).await;
}

/// Writes nothing, in a transaction of its own, so that a database that went away or came back is known
/// though nobody calls. An engine of this process's own is always there.
async fn probe(app: &App, mut shutdown: Shutdown) {
    while app.database.is_none() && rest(PROBE_EVERY, &mut shutdown).await {
        // The store tells its observer what came of it.
        let _ = app.store.prune(Prune { now: app.clock.now(), limit: 0 }).await;
    }
}

/// Reads what other servers' commands entered about institutions.
async fn follow_others(app: &App, mut shutdown: Shutdown) {
    while app.database.is_none() && rest(FOLLOW_EVERY, &mut shutdown).await {
        if let Err(cause) = app.load_institutions().await {
            debug!(cause = %chain(&cause), "the institutions were not read anew");
        }
    }
}

/// Witnesses the audit outside the database: at the start, every hour, and at the end.
async fn checkpoint(app: &App, mut shutdown: Shutdown) {
    loop {
        witness(app).await;
        if !rest(CHECKPOINT_EVERY, &mut shutdown).await {
            return;
        }
    }
}

async fn witness(app: &App) {
    if let Err(cause) = audit::checkpoint(app).await {
        warn!(cause = %chain(&cause), "the audit has no new checkpoint");
    }
}

/// `false` when the end is asked for first.
async fn rest(span: Duration, shutdown: &mut Shutdown) -> bool {
    tokio::select! {
        () = shutdown.asked() => false,
        () = tokio::time::sleep(span) => true,
    }
}

async fn recover(app: &Arc<App>, mut shutdown: Shutdown) {
    let mut adopted = HashSet::new();
    loop {
        let mut wait = LOOK_EVERY;
        for institution in app.institutions.all() {
            match look(app, &institution, &mut adopted).await {
                Ok(Turn::Done) => {}
                Ok(Turn::More) => wait = LOOK_AGAIN,
                Err(cause) => warn!(cause = %chain(&cause), "due work could not be taken"),
            }
        }
        if !rest(wait, &mut shutdown).await {
            return;
        }
    }
}

/// What an older process left behind comes first: its waits were reckoned by a silence that may
/// have ended.
async fn look(
    app: &Arc<App>,
    institution: &Arc<Institution>,
    adopted: &mut HashSet<InstitutionId>,
) -> Result<Turn, StoreError> {
    let id = &institution.record().id;
    if !adopted.contains(id) {
        recovery::hasten(app, id).await?;
        adopted.insert(id.clone());
    }
    recovery::turn(app, institution).await
}

/// Tells shops what is due. What is being told when the end is asked for has a moment to end; what is
/// cut off then is told again under its id.
async fn tell_shops(app: &Arc<App>, mut shutdown: Shutdown) {
    let mut telling = JoinSet::new();
    let mut adopted = false;
    loop {
        let wait = match tell(app, &mut telling, &mut adopted).await {
            Ok(notices::Turn::Done) => TELL_EVERY,
            Ok(notices::Turn::More) => TELL_AGAIN,
            Err(cause) => {
                warn!(cause = %chain(&cause), "due notices could not be taken");
                TELL_EVERY
            }
        };
        if !rest(wait, &mut shutdown).await {
            break;
        }
    }
    let told = async { while telling.join_next().await.is_some() {} };
    if timeout(TELL_LAST, told).await.is_err() {
        warn!(count = telling.len(), "receivers of notices were cut off");
    }
}

/// What an older process had taken comes first.
async fn tell(
    app: &Arc<App>,
    telling: &mut JoinSet<()>,
    adopted: &mut bool,
) -> Result<notices::Turn, StoreError> {
    if !*adopted {
        match notices::hasten(app).await {
            Ok(()) => *adopted = true,
            // Their leases end, and what is due is told meanwhile.
            Err(cause) => warn!(cause = %chain(&cause), "due notices could not be taken"),
        }
    }
    notices::turn(app, telling).await
}

async fn count(app: &Arc<App>, mut shutdown: Shutdown) {
    loop {
        let counted = app.store.read_slow(|reader| {
            Ok((reader.open_counts()?, reader.open_tasks()?, reader.notice_counts()?))
        });
        match counted.await {
            Ok((open, tasks, notices)) => {
                note(app, &open, tasks);
                let oldest = notices.oldest.map(|at| app.clock.now().since(at));
                app.metrics.notices_waiting(notices.waiting, oldest, notices.given_up);
            }
            Err(cause) => warn!(cause = %chain(&cause), "open operations could not be counted"),
        }
        app.institutions.all().iter().for_each(|one| app.driver.close_idle(one));
        if !rest(COUNT_EVERY, &mut shutdown).await {
            return;
        }
    }
}

fn note(app: &App, open: &[OpenCount], tasks: u64) {
    let now = app.clock.now();
    for (state, count) in by_state(open) {
        app.metrics.operations_in(state, count);
    }
    let unknown = open.iter().find(|one| one.state == "unknown");
    app.metrics.oldest_unknown(unknown.map(|one| now.since(one.oldest)));
    app.metrics.open_tasks(tasks);
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

/// Asks for seal key sets before they grow old, so that no call has to wait for one. An institution
/// that is silent keeps nothing but its own task waiting.
async fn refresh_seal_keys(app: &Arc<App>, mut shutdown: Shutdown) {
    let mut asking = HashSet::new();
    // They end with this loop.
    let mut refreshing = JoinSet::new();
    loop {
        while let Some(ended) = refreshing.try_join_next() {
            match ended {
                Ok(id) => asking.retain(|one| *one != id),
                // It panicked and took its name along.
                Err(_) => asking.clear(),
            }
        }
        for institution in app.institutions.all() {
            note_version(app, &institution).await;
            let id = &institution.record().id;
            if app.driver.seal_keys_grow_old(&institution) && asking.insert(id.clone()) {
                let (app, id) = (Arc::clone(app), id.clone());
                refreshing.spawn(async move {
                    if let Err(cause) = app.driver.refresh_seal_keys(&institution).await {
                        warn!(institution_id = %id, cause = %chain(&cause), "no new seal keys");
                    }
                    id
                });
            }
        }
        if !rest(REFRESH_EVERY, &mut shutdown).await {
            return;
        }
    }
}

/// Keeps the newest version of the set, whoever brought it, so that no restart takes an older one.
async fn note_version(app: &App, institution: &Institution) {
    let record = institution.record();
    let version = app.driver.newest_seal_keys(institution);
    if version <= record.seal_key_version {
        return;
    }
    let raise = RaiseSealKeyVersion { institution: record.id.clone(), version };
    let kept = match app.store.raise_seal_key_version(raise).await {
        Ok(_) => app.load_institutions().await,
        Err(cause) => Err(cause),
    };
    match kept {
        Ok(()) => info!(institution_id = %record.id, version, "new seal keys"),
        Err(cause) => {
            let cause = chain(&cause);
            warn!(institution_id = %record.id, cause, "a seal key version was not kept");
        }
    }
}

async fn prune(app: &Arc<App>, mut shutdown: Shutdown) {
    loop {
        let verb = Prune { now: app.clock.now(), limit: PRUNE_LIMIT };
        let wait = match app.store.prune(verb).await {
            Ok(removed) if removed >= u64::from(PRUNE_LIMIT) => PRUNE_AGAIN,
            Ok(_) => PRUNE_EVERY,
            Err(cause) => {
                warn!(cause = %chain(&cause), "old rows could not be removed");
                PRUNE_EVERY
            }
        };
        if !rest(wait, &mut shutdown).await {
            return;
        }
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
