//! The one writer of this process: a group of verbs, one transaction. Other servers have writers of their
//! own, so what a verb looked at is locked or its write is conditional (`payments.md` 6.4).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout, timeout_at};
use tracing::{info, warn};

use super::rows::octets;
use super::session::{Cells, Failure, Session, Uncommitted, params};
use super::settings::{Way, causes};
use super::{access, audit, manage, money, notices, settlement, wave, writes};
use crate::store::StoreError;
use crate::store::audit::verify::unnamed;
use crate::store::audit::{Chain, Draft};
use crate::store::cells::Columns as _;
use crate::store::engine::Writer;
use crate::store::rows::Incarnation;
use crate::store::verbs::{Reply, Verb};

/// What the verbs of a group are answered.
type Replies = Vec<Result<Reply, StoreError>>;

/// How long a group waits for a database that is away before its callers are told.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long the writer tries to find out whether a group was committed before its callers are told that
/// nobody knows. The writer itself finds out before it writes anything else.
const DOUBT_PATIENCE: Duration = Duration::from_secs(20);

/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(100);

/// A database that says nothing for so long is taken for gone.
const SILENCE: Duration = Duration::from_secs(30);

/// How often a group is done over because other transactions stood in its way.
const MOST_CONFLICTS: u32 = 10;

/// How often a verb is looked at again because another server was first.
const MOST_RACES: u32 = 3;

const COUNT: &str =
    "UPDATE writer SET committed = $2::bigint WHERE id = $1 AND committed = $2::bigint - 1";

/// The writing side, with a runtime of its own that turns only while it writes.
pub(super) struct PostgresWriter {
    runtime: Option<Runtime>,
    line: Line,
}

impl PostgresWriter {
    pub(super) const fn new(runtime: Runtime, line: Line) -> Self {
        Self { runtime: Some(runtime), line }
    }
}

impl Writer for PostgresWriter {
    fn commit(&mut self, verbs: &[Verb]) -> Result<Replies, StoreError> {
        if verbs.is_empty() {
            return Ok(Vec::new());
        }
        let Some(runtime) = &self.runtime else { return Err(StoreError::Stopped) };
        runtime.block_on(self.line.commit(verbs))
    }

    /// A lost connection comes back; commits that the database has lost do not.
    fn is_over(&self, error: &StoreError) -> bool {
        matches!(error, StoreError::Behind | StoreError::Stopped)
    }
}

impl Drop for PostgresWriter {
    fn drop(&mut self) {
        // Also where waiting is forbidden.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The connection that writes, and what must be known to take it up again when it is lost.
pub(super) struct Line {
    way: Way,
    incarnation: Incarnation,
    session: Option<Session>,
    audit: Chain,
    /// Groups of this writer that are known to be committed; the database counts too.
    committed: i64,
    doubt: Option<Doubt>,
}

/// A group whose commit was asked for and not answered.
struct Doubt {
    told: Draft,
    replies: Replies,
}

/// What became of a commit.
enum Ended {
    /// It stands.
    Kept(Replies),
    /// The database refused it: nothing of the group stands, and the line is whole.
    Refused(Failure),
    /// Its answer was lost, and it turned out not to be kept. The error tells callers so.
    Lost(StoreError),
}

/// How the verbs of a group are kept apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Apart {
    /// Not at all, so that many go in one statement: a failure costs the group a second try.
    Trusted,
    /// By a savepoint each, so that one that fails leaves its neighbours alone.
    Savepoints,
}

impl Line {
    /// A line of a writer that has written nothing yet.
    pub(super) fn new(way: Way, incarnation: Incarnation) -> Self {
        let audit = Chain::begin(incarnation);
        Self { way, incarnation, session: None, audit, committed: 0, doubt: None }
    }

    /// Registers this writer in the database.
    pub(super) async fn register(&mut self, session: Session) -> Result<(), Failure> {
        session
            .execute(
                "INSERT INTO writer (id, committed) VALUES ($1, 0) ON CONFLICT DO NOTHING",
                params![octets(&self.incarnation)],
            )
            .await?;
        self.take_up(session).await.map(drop)
    }

    async fn commit(&mut self, verbs: &[Verb]) -> Result<Replies, StoreError> {
        let mut apart = Apart::Trusted;
        let mut conflicts = 0_u32;
        let until = after(PATIENCE);
        loop {
            self.connect(until).await?;
            // Before its commit is asked for, a transaction that is given up is never kept.
            let failure = match timeout(SILENCE, self.attempt(verbs, apart)).await {
                Ok(Ok((replies, None))) => return Ok(replies),
                Ok(Ok((replies, Some(told)))) => match self.end(told, replies).await? {
                    Ended::Kept(replies) => return Ok(replies),
                    Ended::Refused(failure) => failure,
                    Ended::Lost(_) if Instant::now() < until => continue,
                    Ended::Lost(cause) => return Err(cause),
                },
                Ok(Err(failure)) => failure,
                Err(late) => {
                    self.session = None;
                    return Err(StoreError::Away { cause: Arc::new(late) });
                }
            };
            match failure {
                Failure::Lost(cause) => {
                    warn!(cause = %causes(&cause), "the connection to the shop database was lost");
                    self.session = None;
                    if Instant::now() >= until {
                        return Err(Failure::Lost(cause).told());
                    }
                }
                Failure::Conflict(cause) => {
                    conflicts = conflicts.saturating_add(1);
                    self.roll_back().await;
                    if conflicts > MOST_CONFLICTS {
                        return Err(Failure::Conflict(cause).told());
                    }
                    // Another moment each time, so that two groups do not meet again and again.
                    sleep(self.jitter().saturating_mul(conflicts)).await;
                }
                failure => {
                    self.roll_back().await;
                    if apart == Apart::Savepoints {
                        return Err(failure.told());
                    }
                    // Verbs are plain data and nothing was kept, so the group can be done over.
                    apart = Apart::Savepoints;
                }
            }
        }
    }

    /// Asks for the commit. The error means that nobody knows what became of it, or that the database has
    /// lost commits.
    async fn end(&mut self, told: Draft, replies: Replies) -> Result<Ended, StoreError> {
        let Some(session) = &self.session else { return Ok(Ended::Lost(away().told())) };
        let failure = match timeout(SILENCE, session.commit()).await {
            Ok(Ok(())) => {
                self.audit.keep(&told);
                self.committed = self.committed.saturating_add(1);
                return Ok(Ended::Kept(replies));
            }
            Ok(Err(Uncommitted::Refused(failure))) => return Ok(Ended::Refused(failure)),
            Ok(Err(Uncommitted::InDoubt(failure))) => failure.told(),
            Err(late) => StoreError::Away { cause: Arc::new(late) },
        };
        warn!(
            cause = %causes(&failure),
            "a commit of the shop database was not answered: finding out"
        );
        self.session = None;
        self.doubt = Some(Doubt { told, replies });
        let kept = self.connect(after(DOUBT_PATIENCE)).await.map_err(in_doubt)?;
        Ok(kept.map_or(Ended::Lost(failure), Ended::Kept))
    }

    /// Makes sure of a connection. A group that was in doubt is answered if it turns out to be kept.
    async fn connect(&mut self, until: Instant) -> Result<Option<Replies>, StoreError> {
        if self.session.as_ref().is_some_and(|session| !session.is_closed()) {
            return Ok(None);
        }
        self.session = None;
        loop {
            let failure = match timeout_at(until.into(), self.reconnect()).await {
                Ok(Ok(kept)) => {
                    return Ok(kept);
                }
                Ok(Err(failure)) => failure,
                Err(late) => Failure::Verb(StoreError::Away { cause: Arc::new(late) }),
            };
            self.session = None;
            if let Failure::Verb(StoreError::Behind) = failure {
                return Err(StoreError::Behind);
            }
            if after(PAUSE) >= until {
                let cause: Arc<dyn std::error::Error + Send + Sync> = match failure.told() {
                    StoreError::Away { cause } | StoreError::Engine { cause } => cause,
                    other => Arc::new(other),
                };
                return Err(StoreError::Away { cause });
            }
            sleep(PAUSE).await;
        }
    }

    async fn reconnect(&mut self) -> Result<Option<Replies>, Failure> {
        let session = Session::open(&self.way).await?;
        let kept = self.take_up(session).await?;
        info!("connected to the shop database");
        Ok(kept)
    }

    /// Compares what the database has counted with what is known here. The row is locked until every
    /// earlier transaction of this writer has ended, so that none commits after it was given up; and
    /// where commits wait for a standby, this one does too.
    async fn take_up(&mut self, session: Session) -> Result<Option<Replies>, Failure> {
        session.wait_for_disks().await?;
        // What hangs on a line that is gone ends by itself.
        session.set("idle_in_transaction_session_timeout", "10000").await?;
        session.prepare(&wave::STATEMENTS).await?;
        session.prepare(&writes::STATEMENTS).await?;
        session.prepare(&[audit::INSERT, COUNT]).await?;
        session.run("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?;
        let row = session
            .maybe_row(
                "SELECT committed FROM writer WHERE id = $1 FOR UPDATE",
                params![octets(&self.incarnation)],
            )
            .await?;
        let counted = row.map(|row| Cells(&row).number(0)).transpose()?;
        session.run("COMMIT").await?;
        let kept = match counted {
            Some(counted) if counted == self.committed => {
                self.doubt = None;
                None
            }
            Some(counted) if Some(counted) == self.committed.checked_add(1) => {
                let Doubt { told, replies } =
                    self.doubt.take().ok_or(Failure::Verb(StoreError::Behind))?;
                self.audit.keep(&told);
                self.committed = counted;
                Some(replies)
            }
            _ => return Err(Failure::Verb(StoreError::Behind)),
        };
        self.session = Some(session);
        Ok(kept)
    }

    /// The whole group in one transaction, up to its commit. Without a draft, nothing was written and the
    /// transaction is over.
    async fn attempt(
        &self,
        verbs: &[Verb],
        apart: Apart,
    ) -> Result<(Replies, Option<Draft>), Failure> {
        let Some(session) = &self.session else { return Err(away()) };
        let (begun, locked) = tokio::join!(biased; session.run("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"), wave::lock_keys(session, verbs));
        begun?;
        locked?;
        let mut replies = Vec::with_capacity(verbs.len());
        let mut rest = verbs;
        while !rest.is_empty() {
            let count = match apart {
                Apart::Trusted => wave::first(rest).len().max(1),
                Apart::Savepoints => 1,
            };
            let (some, _) = rest.split_at(count);
            match apart {
                Apart::Trusted => {
                    replies.extend(apply(session, some).await?.into_iter().map(Ok));
                }
                Apart::Savepoints => replies.push(apply_in_savepoint(session, some).await?),
            }
            rest = verbs.get(replies.len()..).unwrap_or_default();
        }
        if replies.iter().all(wrote_nothing) {
            // Nothing that could be lost: no count, no sync.
            session.run("COMMIT").await?;
            return Ok((replies, None));
        }
        let told = self.tell(session, verbs, &replies).await?;
        Ok((replies, Some(told)))
    }

    /// Writes what was decided to the audit, and counts the group, in the same transaction.
    async fn tell(
        &self,
        session: &Session,
        verbs: &[Verb],
        replies: &Replies,
    ) -> Result<Draft, Failure> {
        let others = if self.audit.is_begun() {
            Vec::new()
        } else {
            unnamed(audit::heads(session).await?, &audit::beginnings(session).await?)
        };
        let done = verbs.iter().zip(replies);
        let done = done.filter_map(|(verb, reply)| Some((verb, reply.as_ref().ok()?)));
        let draft = self.audit.draft(done, || Ok(others))?;
        let next = self.committed.saturating_add(1);
        let count = params![octets(&self.incarnation), next];
        let (written, counted) = tokio::join!(
            biased;
            audit::insert(session, &draft.rows),
            session.execute(COUNT, count),
        );
        written?;
        if counted? == 1 { Ok(draft) } else { Err(Failure::Verb(StoreError::Behind)) }
    }

    async fn roll_back(&mut self) {
        let Some(session) = &self.session else { return };
        if session.run("ROLLBACK").await.is_err() {
            self.session = None;
        }
    }

    /// A wait that differs from writer to writer and from group to group.
    fn jitter(&self) -> Duration {
        let [first, ..] = self.incarnation;
        let [last, ..] = self.committed.to_le_bytes();
        Duration::from_millis(u64::from((first ^ last) & 7).saturating_add(1))
    }
}

fn after(span: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(span).unwrap_or(now)
}

/// The worker looks for work all the time, and mostly finds none.
const fn wrote_nothing(reply: &Result<Reply, StoreError>) -> bool {
    match reply {
        Ok(Reply::LeaseDueWork(work)) => work.is_empty(),
        Ok(Reply::HastenWork(count)) => *count == 0,
        Ok(Reply::LeaseNotices(notices)) => notices.is_empty(),
        Ok(Reply::HastenNotices(count)) => *count == 0,
        _ => false,
    }
}

fn away() -> Failure {
    Failure::Verb(StoreError::Away {
        cause: Arc::new(std::io::Error::from(std::io::ErrorKind::NotConnected)),
    })
}

/// While nobody knows whether the group was kept, no caller is told that it was not.
fn in_doubt(error: StoreError) -> StoreError {
    match error {
        StoreError::Away { cause } => StoreError::Unknown { cause },
        other => other,
    }
}

/// The inner error is the verb's own; the outer one means that the transaction is of no more use.
async fn apply_in_savepoint(
    session: &Session,
    verb: &[Verb],
) -> Result<Result<Reply, StoreError>, Failure> {
    let mut races = 0_u32;
    loop {
        session.run("SAVEPOINT verb").await?;
        let failure = match apply(session, verb).await {
            Ok(mut replies) => {
                session.run("RELEASE verb").await?;
                return Ok(replies.pop().ok_or(StoreError::Crossed));
            }
            Err(failure @ (Failure::Conflict(_) | Failure::Lost(_))) => return Err(failure),
            Err(failure) => failure,
        };
        session.run("ROLLBACK TO verb; RELEASE verb").await?;
        races = races.saturating_add(1);
        let raced = matches!(failure, Failure::Raced(_) | Failure::Taken(_));
        if !raced || races > MOST_RACES {
            return Ok(Err(failure.told()));
        }
    }
}

/// Applies a wave, or one verb that goes alone.
async fn apply(session: &Session, verbs: &[Verb]) -> Result<Vec<Reply>, Failure> {
    let [verb] = verbs else { return wave::apply(session, verbs).await };
    Ok(vec![match verb {
        Verb::BeginOperation(_) | Verb::RecordOutcome(_) => {
            return wave::apply(session, verbs).await;
        }
        Verb::KeepRefusal(verb) => Reply::KeepRefusal(money::keep_refusal(session, verb).await?),
        Verb::LeaseDueWork(verb) => {
            Reply::LeaseDueWork(money::lease_due_work(session, verb).await?)
        }
        Verb::HastenWork(verb) => Reply::HastenWork(money::hasten_work(session, verb).await?),
        Verb::Register(verb) => Reply::Register(access::register(session, verb).await?),
        Verb::OpenSession(verb) => Reply::OpenSession(access::open_session(session, verb).await?),
        Verb::CountLogin(verb) => Reply::CountLogin(access::count_login(session, verb).await?),
        Verb::TouchKey(verb) => {
            access::touch_key(session, verb).await?;
            Reply::TouchKey(())
        }
        Verb::RollKey(verb) => Reply::RollKey(access::roll_key(session, verb).await?),
        Verb::EndKey(verb) => Reply::EndKey(access::end_key(session, verb).await?),
        Verb::SetEnrolment(verb) => {
            Reply::SetEnrolment(access::set_enrolment(session, verb).await?)
        }
        Verb::BeginCheck(verb) => Reply::BeginCheck(manage::begin_check(session, verb).await?),
        Verb::FinishCheck(verb) => {
            manage::finish_check(session, verb).await?;
            Reply::FinishCheck(())
        }
        Verb::AddInstitution(verb) => {
            Reply::AddInstitution(manage::add_institution(session, verb).await?)
        }
        Verb::SetInstitutionEnabled(verb) => {
            Reply::SetInstitutionEnabled(manage::set_institution_enabled(session, verb).await?)
        }
        Verb::RecordTest(verb) => Reply::RecordTest(manage::record_test(session, verb).await?),
        Verb::RaiseSealKeyVersion(verb) => {
            Reply::RaiseSealKeyVersion(manage::raise_seal_key_version(session, verb).await?)
        }
        Verb::AddShop(row) => Reply::AddShop(manage::add_shop(session, row).await?),
        Verb::AddPos(verb) => Reply::AddPos(manage::add_pos(session, verb).await?),
        Verb::AddContract(verb) => Reply::AddContract(manage::add_contract(session, verb).await?),
        Verb::SetContractEnabled(verb) => {
            Reply::SetContractEnabled(manage::set_contract_enabled(session, verb).await?)
        }
        Verb::ResolveTask(verb) => Reply::ResolveTask(manage::resolve_task(session, verb).await?),
        Verb::MarkSettled(verb) => {
            Reply::MarkSettled(settlement::mark_settled(session, verb).await?)
        }
        Verb::RecordSettlement(verb) => {
            Reply::RecordSettlement(settlement::record_settlement(session, verb).await?)
        }
        Verb::OpenInstitutionTasks(verb) => {
            Reply::OpenInstitutionTasks(settlement::open_tasks(session, verb).await?)
        }
        Verb::RecordRestore(verb) => {
            Reply::RecordRestore(settlement::record_restore(session, verb).await?)
        }
        Verb::ResolveInstitutionTask(verb) => {
            Reply::ResolveInstitutionTask(settlement::resolve_task(session, verb).await?)
        }
        Verb::SetNotices(verb) => Reply::SetNotices(notices::set_notices(session, verb).await?),
        Verb::DisableWebhook(verb) => {
            Reply::DisableWebhook(notices::disable_webhook(session, verb).await?)
        }
        Verb::LeaseNotices(verb) => {
            Reply::LeaseNotices(notices::lease_notices(session, verb).await?)
        }
        Verb::HastenNotices(verb) => {
            Reply::HastenNotices(notices::hasten_notices(session, verb).await?)
        }
        Verb::RecordDeliveries(verb) => {
            notices::record_deliveries(session, verb).await?;
            Reply::RecordDeliveries(())
        }
        Verb::Prune(verb) => Reply::Prune(manage::prune(session, verb).await?),
    }])
}
