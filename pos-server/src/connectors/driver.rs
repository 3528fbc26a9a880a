//! Sending, waiting, and the rule for unknown outcomes.
//!
//! Nothing is sent twice here. An exchange ends as a reply, as *unsent* (no byte can have left), or
//! as *lost* (a byte may have left and nothing believable came back). Whether to ask or to repeat
//! is the core's to decide.

pub(super) mod lines;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pos_protocol::Timestamp;
use tokio::time::timeout;

use pos_protocol::payment::Outcome;

use super::answer::{Answer, CheckOutcome, ConnectionTest, Fault};
use super::capabilities::WayOut;
use super::connector::{Reply, Request};
use super::order::{CheckOrder, OperationOrder, ReversalOrder};
use super::registry::Institution;
use super::seal_keys::SealKeys;
use crate::crash;
use crate::env::{Clock, Network, SystemNetwork};

/// How the driver waits, and how much it holds.
#[derive(Clone, Debug)]
pub struct DriverSettings {
    /// Longest wait for a connection with its TLS session.
    pub connect: Duration,
    /// Longest wait for an answer, where the institution's processing limit is not shorter. The
    /// longest limit and what is waited beyond it fit in.
    pub answer: Duration,
    /// A line that was silent for this long is not used again. Shorter than the time after which
    /// institutions close it themselves, because a request that crosses their closing is unknown.
    pub idle: Duration,
    /// Lines to one institution, busy and idle.
    pub lines: usize,
    /// Octets of an answer's body.
    pub answer_octets: usize,
}

impl Default for DriverSettings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            answer: Duration::from_secs(61),
            idle: Duration::from_secs(20),
            lines: 512,
            answer_octets: 64 * 1024,
        }
    }
}

/// How much longer than the processing limit an answer is waited for: it may have been decided in
/// the last moment.
const GRACE: Duration = Duration::from_secs(1);

/// Until when the first byte of a money movement may leave, on [`Clock::monotonic`] and on the wall
/// clock, whichever is sooner. Looked at directly before the write (`payments.md` 2.6, 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendPermit {
    /// The end of the caller's call, or of the operation itself if that is sooner.
    pub not_after: Duration,
    /// The same on the wall clock: the machine below a virtual one may stop its time since boot.
    pub expires: Timestamp,
    /// The end of this process's lease on the operation.
    pub lease_until: Duration,
}

/// Why an exchange brought no reply.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// No byte of the request can have left.
    #[error("not sent: {0}")]
    Unsent(#[source] Fault),
    /// A byte may have left.
    #[error("sent, but: {0}")]
    Lost(#[source] Fault),
}

impl Failure {
    fn into_fault(self) -> Fault {
        match self {
            Self::Unsent(fault) | Self::Lost(fault) => fault,
        }
    }
}

/// Sends what connectors prepare.
pub struct Driver {
    settings: DriverSettings,
    clock: Arc<dyn Clock>,
    network: Arc<dyn Network>,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Driver {
    /// A driver that reads this clock.
    pub fn new(settings: DriverSettings, clock: Arc<dyn Clock>) -> Self {
        Self { settings, clock, network: Arc::new(SystemNetwork) }
    }

    /// The same over another network than the machine's.
    #[must_use]
    pub fn over(self, network: Arc<dyn Network>) -> Self {
        Self { network, ..self }
    }

    /// Sends an operation, once, and waits for its outcome. The order has been written down
    /// (`payments.md` 2) and has its envelope.
    ///
    /// The answer is [`NotSent`](Outcome::NotSent) only if no byte left or
    /// the institution proved that it processed nothing. Run it in a task that nobody cancels: a
    /// dropped future is a cut line.
    pub async fn send(
        &self,
        institution: &Institution,
        order: &OperationOrder,
        permit: SendPermit,
    ) -> Answer {
        let connector = institution.connector();
        let request = match connector.prepare(order, self.clock.now()) {
            Ok(request) => request,
            Err(error) => return Answer::not_sent(Fault::Prepare(error)),
        };
        crash::point("send.before_write");
        let exchanged = self.exchange(institution, &request, Some(permit)).await;
        crash::point("send.answered");
        match exchanged {
            Ok(reply) => connector.accept(order, &request, &reply),
            // An earlier sending may have been processed, whatever became of this one.
            Err(Failure::Unsent(fault)) if order.sent_before => Answer::unknown(fault),
            Err(Failure::Unsent(fault)) => Answer::not_sent(fault),
            Err(Failure::Lost(fault)) => Answer::unknown(fault),
        }
    }

    /// Asks what became of an operation. Whatever goes wrong, the operation stays unknown; the
    /// order needs no envelope. Where nobody can be asked, a sale or authorise is undone where it can
    /// be, and else a person is needed (`payments.md` 3.2).
    pub async fn inquire(&self, institution: &Institution, order: &OperationOrder) -> Answer {
        let connector = institution.connector();
        let unasked = |outcome| Answer { fault: Some(Fault::NoInquiry), ..Answer::bare(outcome) };
        match connector.capabilities().way_out {
            WayOut::Inquiry => {}
            WayOut::Reversal if order.kind.begins_payment() => return unasked(Outcome::Undoable),
            WayOut::Person | WayOut::Reversal => return unasked(Outcome::NeedsHuman),
        }
        let request = match connector.prepare_inquiry(order, self.clock.now()) {
            Ok(request) => request,
            Err(error) => return Answer::unknown(Fault::Prepare(error)),
        };
        match self.exchange(institution, &request, None).await {
            Ok(reply) => connector.accept_inquiry(order, &request, &reply),
            Err(failure) => Answer::unknown(failure.into_fault()),
        }
    }

    /// Undoes a sale or authorise. Whatever goes wrong, it has to be tried again: the answer is never
    /// [`NotSent`](Outcome::NotSent).
    pub async fn reverse(&self, institution: &Institution, order: &ReversalOrder) -> Answer {
        let connector = institution.connector();
        let request = match connector.prepare_reversal(order, self.clock.now()) {
            Ok(request) => request,
            // Trying again would bring the same.
            Err(error) => {
                let fault = Some(Fault::Prepare(error));
                return Answer { fault, ..Answer::bare(Outcome::NeedsHuman) };
            }
        };
        match self.exchange(institution, &request, None).await {
            Ok(reply) => connector.accept_reversal(order, &request, &reply),
            Err(failure) => Answer::unknown(failure.into_fault()),
        }
    }

    /// Asks whether a sale would pass.
    ///
    /// # Errors
    /// [`Fault`]: no answer. The envelope may be used up; the shopper's page seals another.
    pub async fn check(
        &self,
        institution: &Institution,
        order: &CheckOrder,
    ) -> Result<CheckOutcome, Fault> {
        let connector = institution.connector();
        let request = connector.prepare_check(order, self.clock.now())?;
        let reply = self.exchange(institution, &request, None).await;
        connector.accept_check(order, &request, &reply.map_err(Failure::into_fault)?)
    }

    /// Tests the connection as the operator does before an institution goes live (L8): it answers,
    /// proves itself, is the one of the record, and its seal keys can be used.
    ///
    /// # Errors
    /// [`Fault`] says what is wrong.
    pub async fn test_connection(
        &self,
        institution: &Institution,
    ) -> Result<ConnectionTest, Fault> {
        let connector = institution.connector();
        let request = connector.prepare_connection_test(self.clock.now())?;
        let reply = self.exchange(institution, &request, None).await;
        let reply = reply.map_err(Failure::into_fault)?;
        let test = connector.accept_connection_test(&request, &reply)?;
        let keys = self.fetch_seal_keys(institution).await?;
        Ok(ConnectionTest { seal_key_version: keys.set.version, ..test })
    }

    /// The institution's seal keys: from memory as long as they are good, whatever their age, so
    /// that a silent institution delays nobody. Only where there are none they are asked for here,
    /// for at most `patience`. [`refresh_seal_keys`](Self::refresh_seal_keys) keeps them young.
    ///
    /// # Errors
    /// [`Fault`]: there are none that may be used.
    pub async fn seal_keys(
        &self,
        institution: &Institution,
        patience: Duration,
    ) -> Result<Arc<SealKeys>, Fault> {
        if let Some(keys) = institution.seal_keys.usable(self.clock.now()) {
            return Ok(keys);
        }
        let refreshing = Box::pin(self.refresh_seal_keys(institution));
        timeout(patience, refreshing).await.unwrap_or(Err(Fault::TimedOut))
    }

    /// Whether [`seal_keys`](Self::seal_keys) answers at once.
    pub fn has_seal_keys(&self, institution: &Institution) -> bool {
        institution.seal_keys.usable(self.clock.now()).is_some()
    }

    /// Whether [`refresh_seal_keys`](Self::refresh_seal_keys) should be called now: the set is
    /// missing or no longer young, and the last try was not just now.
    pub fn seal_keys_grow_old(&self, institution: &Institution) -> bool {
        institution.seal_keys.is_due(self.clock.now(), self.clock.monotonic())
    }

    /// The newest version of the set that was seen; no older one is taken any more.
    pub fn newest_seal_keys(&self, institution: &Institution) -> u64 {
        institution.seal_keys.least_version(institution.record().seal_key_version)
    }

    /// Asks for the seal keys anew, unless they are young. A hundred callers make one call, and a
    /// failure is remembered for a while: who comes meanwhile is told of it at once.
    ///
    /// # Errors
    /// [`Fault`]: they were not brought.
    pub async fn refresh_seal_keys(
        &self,
        institution: &Institution,
    ) -> Result<Arc<SealKeys>, Fault> {
        let cache = &institution.seal_keys;
        let _turn = cache.fetching.lock().await;
        if !cache.is_due(self.clock.now(), self.clock.monotonic()) {
            return cache.last_try(self.clock.now());
        }
        // A caller that goes away leaves no mark: who waits behind it, the worker first of all, tries
        // with more patience.
        let fetched = self.fetch_seal_keys(institution).await;
        if let Err(fault) = &fetched {
            cache.tried(self.clock.monotonic(), fault.clone());
        }
        fetched
    }

    /// Closes lines that have been silent for too long. They are never used again anyway; this
    /// gives their sockets back.
    pub fn close_idle(&self, institution: &Institution) {
        institution.lines.close_idle(self.settings.idle);
    }

    /// One request and its whole reply. With a permit, no byte leaves after it has run out.
    ///
    /// # Errors
    /// [`Failure`] says whether a byte may have left.
    pub async fn exchange(
        &self,
        institution: &Institution,
        request: &Request,
        permit: Option<SendPermit>,
    ) -> Result<Reply, Failure> {
        let longest = self.longest_exchange(institution);
        let mut begun = false;
        let permitted = || permit.map_or(Ok(()), |permit| self.may_write(permit));
        let sending =
            institution.lines.send(&*self.network, &self.settings, request, permitted, &mut begun);
        match timeout(longest, Box::pin(sending)).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(fault)) if begun => Err(Failure::Lost(fault)),
            Ok(Err(fault)) => Err(Failure::Unsent(fault)),
            Err(_) if begun => Err(Failure::Lost(Fault::TimedOut)),
            Err(_) => Err(Failure::Unsent(Fault::TimedOut)),
        }
    }

    /// The longest time from the wish for a line to the end of an answer.
    pub fn longest_exchange(&self, institution: &Institution) -> Duration {
        let limit = institution.connector().capabilities().processing_limit();
        self.settings.answer.min(limit.saturating_add(GRACE))
    }

    fn may_write(&self, permit: SendPermit) -> Result<(), Fault> {
        let now = self.clock.monotonic();
        if now >= permit.lease_until {
            Err(Fault::LeaseLost)
        } else if now >= permit.not_after || self.clock.now() >= permit.expires {
            Err(Fault::Expired)
        } else {
            Ok(())
        }
    }

    async fn fetch_seal_keys(&self, institution: &Institution) -> Result<Arc<SealKeys>, Fault> {
        let connector = institution.connector();
        let cache = &institution.seal_keys;
        let request = connector.prepare_seal_keys(self.clock.now())?;
        let reply = self.exchange(institution, &request, None).await;
        let reply = reply.map_err(Failure::into_fault)?;
        let least = cache.least_version(institution.record().seal_key_version);
        let keys = connector.accept_seal_keys(&request, &reply, self.clock.now(), least)?;
        Ok(cache.keep(keys, self.clock.monotonic()))
    }
}

#[cfg(test)]
mod tests;
