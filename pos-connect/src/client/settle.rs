//! A call that moves money, from journal to outcome: what was under way under its key before comes
//! first, and no final word is said while others have attempts under way.

use pos_protocol::code::Retry;
use pos_protocol::id::IdempotencyKey;
use pos_protocol::money::Money;
use pos_protocol::payment::OperationKind;
use pos_protocol::wire::{KeyStatus, OperationView};

use super::Connection;
use super::drive::{Note, unanswered};
use super::running::Turn;
use crate::error::{Code, Error, ModuleCode};
use crate::exchange::{Call, Effect, Exchange, Expected, Outcome};
use crate::journal::{Attempt, Digest, Entry, Finished, JournalError, Known, Owner};

impl Connection {
    /// Makes a call that moves money, from journal to outcome. A fresh key is in no journal.
    pub(super) async fn settle(
        &self,
        path: String,
        body: Vec<u8>,
        expected: Expected,
        is_fresh: bool,
    ) -> Result<OperationView, Error> {
        let began = self.uptime();
        let key = &expected.key;
        let turn = self.turn(key).await?;
        // Before anything that can fail: an attempt of an earlier life may have moved money.
        let known = if is_fresh { None } else { self.known(key).await? };
        if known.is_none() && turn.has_waited {
            return self.just_ended(key, Some(&expected)).await;
        }
        let call = Call::post(path, body, Effect::Money(expected.clone()));
        let digest = call.digest();
        let Some(Known { entry, ours }) = known else {
            let entry = self.entry(&expected, digest)?;
            self.check_open()?;
            let exchange = self.exchange_of(call, began);
            return self.settled(exchange, Note::Begin(entry), &expected).await;
        };
        if entry.digest != digest {
            return Err(Error::module(ModuleCode::OpenUnderKey, None));
        }
        self.check_open().map_err(Error::in_doubt)?;
        let mut exchange = self.exchange_of(call, began);
        exchange.ask_first(entry.attempts.clone(), ours);
        self.settled(exchange, Note::Add(entry.into()), &expected).await
    }

    /// Asks for the outcome of a call of an earlier life, and sends nothing that could make one.
    pub(super) async fn settle_entry(&self, key: &IdempotencyKey) -> Result<OperationView, Error> {
        let began = self.uptime();
        let turn = self.turn(key).await?;
        let Some(Known { entry, .. }) = self.known(key).await? else {
            // Another verb or process may have closed the entry, or this one before whoever had
            // asked was told: then the server knows.
            return self.just_ended(key, None).await.map_err(|error| match error.code() {
                Code::Module(ModuleCode::NotMade) if !turn.has_waited => {
                    Error::module(ModuleCode::NotInJournal, None)
                }
                _ => error,
            });
        };
        let money = entry.amount.zip(entry.currency);
        let expected = Expected {
            key: entry.key.clone(),
            operation: entry.operation.clone(),
            money: money.map(|(amount, currency)| Money { amount, currency }),
            order_id: entry.order_id.clone(),
            payment_id: entry.payment_id,
        };
        self.check_open().map_err(Error::in_doubt)?;
        let exchange = self.exchange(began, |authority, signer, trust, limits| {
            let attempts = entry.attempts.clone();
            Exchange::resume(expected.clone(), attempts, authority, signer, trust, limits)
        });
        self.settled(exchange, Note::Add(entry.into()), &expected).await
    }

    /// Takes an entry out, whatever became of the call, because a person has decided so.
    pub(super) async fn dismiss_entry(&self, key: &IdempotencyKey) -> Result<(), Error> {
        let _turn = self.turn(key).await?;
        // One that cannot be read is among what a person has to decide about.
        if let Ok(Some(known)) = self.journal().get(key.clone()).await {
            self.check_owner(&known.entry)?;
        }
        let removed = self.journal().remove(key.clone()).await;
        removed.map_err(|cause| Error::from(cause).in_doubt())
    }

    /// Waits until no other verb of this process has the key.
    async fn turn(&self, key: &IdempotencyKey) -> Result<Turn, Error> {
        let limit = self.0.setup.config.total_timeout;
        let turn = self.0.setup.stores.running.turn(key, limit, self.environment()).await;
        turn.ok_or_else(|| Error::outcome_unknown(None))
    }

    /// What the journal holds under a key; only of this shop at this server.
    async fn known(&self, key: &IdempotencyKey) -> Result<Option<Known>, Error> {
        let known = self.journal().get(key.clone()).await;
        let known = known.map_err(|cause| Error::from(cause).in_doubt())?;
        if let Some(known) = &known {
            self.check_owner(&known.entry)?;
        }
        Ok(known)
    }

    pub(super) fn check_owner(&self, entry: &Entry) -> Result<(), Error> {
        if entry.owner == self.owner()? {
            Ok(())
        } else {
            Err(Error::module(ModuleCode::ForeignEntry, None))
        }
    }

    pub(super) fn owner(&self) -> Result<Owner, Error> {
        let shop_id = self.state().shop_id;
        let shop_id = shop_id.ok_or_else(|| Error::module(ModuleCode::NotRegistered, None))?;
        Ok(Owner { authority: self.0.authority.to_string(), shop_id })
    }

    fn entry(&self, expected: &Expected, digest: Digest) -> Result<Entry, Error> {
        Ok(Entry {
            key: expected.key.clone(),
            owner: self.owner()?,
            operation: expected.operation.clone(),
            order_id: expected.order_id.clone(),
            payment_id: expected.payment_id,
            amount: expected.money.map(|money| money.amount),
            currency: expected.money.map(|money| money.currency),
            digest,
            attempts: Vec::new(),
        })
    }

    /// What became of a key that another verb or process has brought to its end: what the server says
    /// of it now. Nothing is sent, whatever that verb was told.
    async fn just_ended(
        &self,
        key: &IdempotencyKey,
        expected: Option<&Expected>,
    ) -> Result<OperationView, Error> {
        match self.operation(key).await.map_err(Error::in_doubt)? {
            KeyStatus::Operation(found) => match expected.and_then(|all| all.mismatch(&found)) {
                None => Ok(found),
                Some(_) => Err(Error::key_reused()),
            },
            KeyStatus::Refusal(problem) => Err(Error::refused(problem)),
            KeyStatus::Nothing(evidence) if evidence.gaps.is_empty() => {
                Err(Error::module(ModuleCode::NotMade, None))
            }
            // When the call was made is not known without an entry: it may be in any of them.
            KeyStatus::Nothing(_) => Err(Error::module(ModuleCode::NeedsHuman, None)),
        }
    }

    /// Runs an exchange until its outcome is that of every attempt under the key, and closes the
    /// entry where it is final.
    async fn settled(
        &self,
        mut exchange: Exchange,
        mut note: Note,
        expected: &Expected,
    ) -> Result<OperationView, Error> {
        let outcome = loop {
            let outcome = self.run(&mut exchange, &mut note).await?;
            let others = self.finish(&mut note, &outcome).await;
            match (outcome, others) {
                // The last word of the key itself. An entry that stays is asked for once more after
                // the next start, and answered the same.
                (Outcome::Operation(operation), _) => return Ok(*operation),
                (outcome, Ok(others)) if others.is_empty() => break outcome,
                (Outcome::Refused(refusal), Ok(others)) => exchange.reopen(others, Some(refusal)),
                (Outcome::NotMade, Ok(others)) => exchange.reopen(others, None),
                (_, Ok(_)) => break Outcome::Unknown(None),
                (_, Err(cause)) => break Outcome::Unknown(Some(cause.into())),
            }
        };
        let error = unanswered(outcome);
        let is_envelope_spent = expected.operation.parse().is_ok_and(OperationKind::begins_payment);
        Err(match error.code() {
            Code::Module(ModuleCode::NotMade) if !is_envelope_spent => {
                error.retried_by(Retry::Never)
            }
            _ => error,
        })
    }

    /// Closes the entry where the outcome is final, and gives the attempts of others that keep it
    /// from being so.
    async fn finish(
        &self,
        note: &mut Note,
        outcome: &Outcome,
    ) -> Result<Vec<Attempt>, JournalError> {
        let Note::Add(noted) = note else { return Ok(Vec::new()) };
        let is_final = match outcome {
            Outcome::Operation(operation) => operation.state.is_final(),
            Outcome::Refused(_) | Outcome::NotMade => true,
            // Nothing of this call is in doubt; of an earlier one under the same key it may be.
            Outcome::Failed(_) => noted.is_new,
            Outcome::Answer(_) | Outcome::NeedsHuman | Outcome::Unknown(_) => false,
        };
        if !is_final {
            return Ok(Vec::new());
        }
        match self.journal().finish(noted.key.clone(), noted.attempts.clone()).await? {
            Finished::Removed => Ok(Vec::new()),
            Finished::Grown(entry) => {
                let others = entry.beyond(&noted.attempts);
                noted.attempts = entry.attempts;
                Ok(others)
            }
        }
    }
}
