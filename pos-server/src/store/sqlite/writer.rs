//! The one writer: a group of verbs, one synced transaction.

use std::sync::Arc;

use pos_protocol::id::{IdempotencyKey, ShopId};
use rusqlite::Connection;

use super::checkpoint::{Checkpointer, Gate};
use super::rows::Cells;
use super::{access, audit, manage, money, notices, settlement};
use crate::store::StoreError;
use crate::store::audit::verify::unnamed;
use crate::store::audit::{Chain, Draft};
use crate::store::cells::Columns as _;
use crate::store::engine::Writer;
use crate::store::verbs::{Claim, Reply, Verb};

/// The connection that writes.
pub(super) struct SqliteWriter {
    db: Connection,
    stopped: bool,
    audit: Chain,
    gate: Arc<Gate>,
    /// Ends with the writer.
    checkpointer: Checkpointer,
}

/// What a group is answered; see [`Writer::commit`].
type Committed = Result<Vec<Result<Reply, StoreError>>, StoreError>;

/// How the verbs of a group are kept apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Apart {
    /// Not at all: each looks before it writes, so only a failing engine leaves one half done.
    Trusted,
    /// By a savepoint each, so that one that fails leaves its neighbours alone.
    Savepoints,
}

impl SqliteWriter {
    /// Takes over a connection that was set up and migrated.
    pub(super) fn new(db: Connection, checkpointer: Checkpointer, audit: Chain) -> Self {
        Self { db, stopped: false, audit, gate: checkpointer.gate(), checkpointer }
    }

    /// For tests that break the connection.
    #[cfg(test)]
    pub(super) const fn connection(&self) -> &Connection {
        &self.db
    }

    /// The same.
    #[cfg(test)]
    pub(super) const fn connection_mut(&mut self) -> &mut Connection {
        &mut self.db
    }

    /// For tests that write beside the verbs.
    #[cfg(test)]
    pub(super) fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.gate)
    }

    fn commit_group(&mut self, verbs: &[Verb]) -> Committed {
        if let Some(replies) = self.attempt(verbs, Apart::Trusted)? {
            return Ok(replies);
        }
        // Verbs are plain data and nothing was kept, so the group can be done over.
        let replies = self.attempt(verbs, Apart::Savepoints)?;
        replies.ok_or(StoreError::Crossed)
    }

    /// One transaction of the whole group. `None`: a verb failed, and nothing was kept.
    fn attempt(
        &mut self,
        verbs: &[Verb],
        apart: Apart,
    ) -> Result<Option<Vec<Result<Reply, StoreError>>>, StoreError> {
        if let Err(error) = self.run("BEGIN IMMEDIATE") {
            return Err(self.roll_back(error));
        }
        let mut replies = Vec::with_capacity(verbs.len());
        for verb in verbs {
            let reply = match apart {
                Apart::Trusted => match apply(&self.db, verb) {
                    Ok(reply) => Ok(reply),
                    Err(error) => {
                        return match self.roll_back(error) {
                            StoreError::Stopped => Err(StoreError::Stopped),
                            _ => Ok(None),
                        };
                    }
                },
                Apart::Savepoints => self.apply_in_savepoint(verb)?,
            };
            replies.push(reply);
        }
        let told = match self.tell(verbs, &replies) {
            Ok(told) => told,
            Err(error) => return Err(self.roll_back(error)),
        };
        match self.run("COMMIT") {
            Ok(()) => {
                self.audit.keep(&told);
                Ok(Some(replies))
            }
            Err(StoreError::Engine { cause }) => {
                self.stopped = true;
                Err(StoreError::Unknown { cause })
            }
            Err(other) => {
                self.stopped = true;
                Err(StoreError::Unknown { cause: Arc::new(other) })
            }
        }
    }

    /// Writes what was decided to the audit, in the same transaction.
    fn tell(
        &self,
        verbs: &[Verb],
        replies: &[Result<Reply, StoreError>],
    ) -> Result<Draft, StoreError> {
        let done = verbs.iter().zip(replies);
        let done = done.filter_map(|(verb, reply)| Some((verb, reply.as_ref().ok()?)));
        let draft = self
            .audit
            .draft(done, || Ok(unnamed(audit::heads(&self.db)?, &audit::beginnings(&self.db)?)))?;
        for row in &draft.rows {
            audit::insert(&self.db, row)?;
        }
        Ok(draft)
    }

    /// The inner error is the verb's own; the outer one means that the transaction is gone.
    fn apply_in_savepoint(&mut self, verb: &Verb) -> Result<Result<Reply, StoreError>, StoreError> {
        let done = self.run("SAVEPOINT verb").and_then(|()| apply(&self.db, verb));
        let ended = match &done {
            Ok(_) => self.run("RELEASE verb"),
            // SQLite ends the whole transaction itself when memory, disk or the file fail it.
            Err(error) if self.db.is_autocommit() => Err(error.clone()),
            Err(_) => self.run("ROLLBACK TO verb").and_then(|()| self.run("RELEASE verb")),
        };
        match ended {
            Ok(()) => Ok(done),
            Err(error) => Err(self.roll_back(error)),
        }
    }

    /// Ends the transaction without keeping it; answers what the caller is to be told.
    fn roll_back(&mut self, error: StoreError) -> StoreError {
        if self.db.is_autocommit() || self.run("ROLLBACK").is_ok() || self.db.is_autocommit() {
            return error;
        }
        self.stopped = true;
        StoreError::Stopped
    }

    fn run(&self, statement: &'static str) -> Result<(), StoreError> {
        self.db.prepare_cached(statement)?.execute(())?;
        Ok(())
    }
}

impl Writer for SqliteWriter {
    fn commit(&mut self, verbs: &[Verb]) -> Committed {
        if self.stopped {
            return Err(StoreError::Stopped);
        }
        if !self.gate.enter() {
            self.stopped = true;
            return Err(StoreError::Stopped);
        }
        let replies = self.commit_group(verbs);
        self.gate.leave();
        self.checkpointer.move_in_place();
        replies
    }
}

fn apply(db: &Connection, verb: &Verb) -> Result<Reply, StoreError> {
    Ok(match verb {
        Verb::BeginOperation(verb) => Reply::BeginOperation(money::begin_operation(db, verb)?),
        Verb::RecordOutcome(verb) => Reply::RecordOutcome(money::record_outcome(db, verb)?),
        Verb::KeepRefusal(verb) => Reply::KeepRefusal(money::keep_refusal(db, verb)?),
        Verb::LeaseDueWork(verb) => Reply::LeaseDueWork(money::lease_due_work(db, verb)?),
        Verb::HastenWork(verb) => Reply::HastenWork(money::hasten_work(db, verb)?),
        Verb::Register(verb) => Reply::Register(access::register(db, verb)?),
        Verb::OpenSession(verb) => Reply::OpenSession(access::open_session(db, verb)?),
        Verb::CountLogin(verb) => Reply::CountLogin(access::count_login(db, verb)?),
        Verb::TouchKey(verb) => Reply::TouchKey(access::touch_key(db, verb)?),
        Verb::RollKey(verb) => Reply::RollKey(access::roll_key(db, verb)?),
        Verb::EndKey(verb) => Reply::EndKey(access::end_key(db, verb)?),
        Verb::SetEnrolment(verb) => Reply::SetEnrolment(access::set_enrolment(db, verb)?),
        Verb::BeginCheck(verb) => Reply::BeginCheck(manage::begin_check(db, verb)?),
        Verb::FinishCheck(verb) => Reply::FinishCheck(manage::finish_check(db, verb)?),
        Verb::AddInstitution(row) => Reply::AddInstitution(manage::add_institution(db, row)?),
        Verb::SetInstitutionEnabled(verb) => {
            Reply::SetInstitutionEnabled(manage::set_institution_enabled(db, verb)?)
        }
        Verb::RecordTest(verb) => Reply::RecordTest(manage::record_test(db, verb)?),
        Verb::RaiseSealKeyVersion(verb) => {
            Reply::RaiseSealKeyVersion(manage::raise_seal_key_version(db, verb)?)
        }
        Verb::AddShop(row) => Reply::AddShop(manage::add_shop(db, row)?),
        Verb::AddPos(verb) => Reply::AddPos(manage::add_pos(db, verb)?),
        Verb::AddContract(verb) => Reply::AddContract(manage::add_contract(db, verb)?),
        Verb::SetContractEnabled(verb) => {
            Reply::SetContractEnabled(manage::set_contract_enabled(db, verb)?)
        }
        Verb::ResolveTask(verb) => Reply::ResolveTask(manage::resolve_task(db, verb)?),
        Verb::MarkSettled(verb) => Reply::MarkSettled(settlement::mark_settled(db, verb)?),
        Verb::RecordSettlement(verb) => {
            Reply::RecordSettlement(settlement::record_settlement(db, verb)?)
        }
        Verb::OpenInstitutionTasks(verb) => {
            Reply::OpenInstitutionTasks(settlement::open_tasks(db, verb)?)
        }
        Verb::RecordRestore(verb) => Reply::RecordRestore(settlement::record_restore(db, verb)?),
        Verb::ResolveInstitutionTask(verb) => {
            Reply::ResolveInstitutionTask(settlement::resolve_task(db, verb)?)
        }
        Verb::SetNotices(verb) => Reply::SetNotices(notices::set_notices(db, verb)?),
        Verb::DisableWebhook(verb) => Reply::DisableWebhook(notices::disable_webhook(db, verb)?),
        Verb::LeaseNotices(verb) => Reply::LeaseNotices(notices::lease_notices(db, verb)?),
        Verb::HastenNotices(verb) => Reply::HastenNotices(notices::hasten_notices(db, verb)?),
        Verb::RecordDeliveries(verb) => {
            notices::record_deliveries(db, verb)?;
            Reply::RecordDeliveries(())
        }
        Verb::Prune(verb) => Reply::Prune(manage::prune(db, verb)?),
    })
}

/// What the idempotency key of a management call says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Claimed {
    /// Free so far.
    Free,
    /// Taken by the same call.
    Same,
    /// Taken by another call.
    Other,
}

/// Looks a key up among the claims and among the operations.
pub(super) fn claimed(db: &Connection, shop: ShopId, claim: &Claim) -> Result<Claimed, StoreError> {
    Ok(match claim_under(db, shop, &claim.key)? {
        Some(fingerprint) if fingerprint == claim.fingerprint => Claimed::Same,
        Some(_) => Claimed::Other,
        None => {
            let mut statement =
                db.prepare_cached("SELECT 1 FROM operation WHERE shop = ?1 AND key = ?2")?;
            if statement.exists((shop.octets(), claim.key.as_str()))? {
                Claimed::Other
            } else {
                Claimed::Free
            }
        }
    })
}

/// The fingerprint of the management call or check that has this key.
pub(super) fn claim_under(
    db: &Connection,
    shop: ShopId,
    key: &IdempotencyKey,
) -> Result<Option<[u8; 32]>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT fingerprint FROM claim WHERE shop = ?1 AND key = ?2")?;
    let mut rows = statement.query((shop.octets(), key.as_str()))?;
    rows.next()?.map(|row| Cells(row).array(0)).transpose()
}
