//! Does what an exchange asks for: sends, sleeps, stores, and tells it what came of that.

use std::sync::Arc;
use std::time::Duration;

use pos_protocol::Timestamp;
use pos_protocol::id::IdempotencyKey;
use pos_protocol::key::{KeyId, PublicKey};
use pos_protocol::succession::Fingerprint;
use pos_protocol::text::base64url;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Connection, Role};
use crate::crypto::Signer;
use crate::env::EnvironmentError;
use crate::error::{Cause, Error, ModuleCode};
use crate::exchange::{
    Action, Call, Event, Exchange, Limits, Now, Outcome, Request, Trust, is_about_the_key,
};
use crate::journal::{Attempt, Begun, Entry, JournalError, Known};
use crate::keys::Change;

/// What the journal is to be told before a call is sent.
pub(super) enum Note {
    /// Nothing: no money moves.
    Nothing,
    /// The entry, with the first attempt.
    Begin(Entry),
    /// One more attempt of the entry.
    Add(Noted),
}

/// An entry as this verb knows it.
pub(super) struct Noted {
    pub(super) key: IdempotencyKey,
    /// Every attempt that it has seen or made.
    pub(super) attempts: Vec<Attempt>,
    /// Whether this call made the entry, so that nobody else's attempt was in it.
    pub(super) is_new: bool,
}

impl From<Entry> for Noted {
    /// An entry of somebody else.
    fn from(entry: Entry) -> Self {
        Self { key: entry.key, attempts: entry.attempts, is_new: false }
    }
}

impl Connection {
    /// Makes a call that moves no money, and reads its answer.
    pub(super) async fn ask<T: DeserializeOwned>(&self, call: Call) -> Result<T, Error> {
        let body = self.ask_octets(call).await?;
        serde_json::from_slice(&body).map_err(|unreadable| self.unreadable(unreadable))
    }

    /// The same, for an answer that is read otherwise.
    pub(super) async fn ask_octets(&self, call: Call) -> Result<Vec<u8>, Error> {
        self.check_open().map_err(|error| self.told(error))?;
        self.ask_anyway(call).await
    }

    /// The same, also on a line that is closed.
    pub(super) async fn ask_anyway(&self, call: Call) -> Result<Vec<u8>, Error> {
        let mut exchange = self.exchange_of(call, self.uptime());
        match self.run(&mut exchange, &mut Note::Nothing).await {
            Ok(Outcome::Answer(body)) => Ok(body),
            Ok(other) => Err(self.told(unanswered(other))),
            Err(error) => Err(self.told(error)),
        }
    }

    pub(super) fn unreadable(&self, cause: serde_json::Error) -> Error {
        self.told(Error::without_answer(cause.into()))
    }

    /// Runs an exchange to its end, with another key of the store where the server does not take
    /// the present one.
    pub(super) async fn run(
        &self,
        exchange: &mut Exchange,
        note: &mut Note,
    ) -> Result<Outcome, Error> {
        let mut tried = vec![self.key_id()];
        let mut candidate = None;
        loop {
            let outcome = self.drive(exchange, note).await?;
            if exchange.is_key_taken()
                && let Some(signer) = candidate.take()
            {
                self.take_over(signer).await;
            }
            if !was_the_key_refused(&outcome) {
                return Ok(outcome);
            }
            let Some(other) = self.other_key(&tried).await else { return Ok(outcome) };
            let Ok(now) = self.now() else { return Ok(outcome) };
            tried.push(other.public().id());
            exchange.sign_as(Arc::clone(&other), now);
            candidate = Some(other);
        }
    }

    async fn drive(&self, exchange: &mut Exchange, note: &mut Note) -> Result<Outcome, Error> {
        loop {
            let (now, jitter) = match self.now().and_then(|now| Ok((now, self.jitter()?))) {
                Ok(both) => both,
                Err(cause) => {
                    let last = Now { wall: Timestamp::default(), uptime: self.uptime() };
                    exchange.take(Event::Interrupted(cause.into()), last).await;
                    (last, 0)
                }
            };
            match exchange.next(now, jitter).await {
                Action::Done(outcome) => {
                    // Another verb may have learnt it meanwhile, and this one nothing.
                    if let Some(offset_ms) = exchange.learnt_offset_ms() {
                        self.state().trust.offset_ms = offset_ms;
                    }
                    return Ok(outcome);
                }
                Action::Wait(span) => self.environment().sleep(span).await,
                Action::Pin { from, to } => self.pin(from, to).await,
                Action::Send(outgoing) => {
                    let event = match outgoing.attempt {
                        Some(attempt) => self.noted(note, attempt).await?,
                        None => None,
                    };
                    let spent = self.uptime().saturating_sub(now.uptime);
                    let left = outgoing.timeout.saturating_sub(spent);
                    let event = match event {
                        Some(event) => event,
                        None if left < outgoing.least => Event::TooLate,
                        None => self.send(&outgoing.request, left).await,
                    };
                    let (event, now) = match self.now() {
                        Ok(now) => (event, now),
                        Err(cause) => (Event::Interrupted(cause.into()), now),
                    };
                    exchange.take(event, now).await;
                }
            }
        }
    }

    async fn send(&self, request: &Request, timeout: Duration) -> Event {
        match self.0.sender.send(request, timeout).await {
            Ok(response) => Event::Answered(response),
            Err(failure) => Event::Failed(failure),
        }
    }

    /// Writes an attempt down. `Some` where it must not be sent now.
    async fn noted(&self, note: &mut Note, attempt: Attempt) -> Result<Option<Event>, Error> {
        let failed = |cause: JournalError| Event::NotNoted(cause.into());
        match note {
            Note::Nothing => Ok(None),
            Note::Add(noted) => {
                let added = self.journal().attempt(noted.key.clone(), attempt).await;
                noted.attempts.push(attempt);
                Ok(added.err().map(failed))
            }
            Note::Begin(entry) => {
                entry.attempts = vec![attempt];
                let known = match self.journal().begin(entry.clone()).await {
                    Ok(Begun::New) => None,
                    Ok(Begun::Known(known)) => Some(known),
                    Err(cause) => return Ok(Some(failed(cause))),
                };
                let Some(Known { entry: known, ours }) = known else {
                    let noted = Noted { is_new: true, ..entry.clone().into() };
                    *note = Note::Add(noted);
                    return Ok(None);
                };
                self.check_owner(&known)?;
                if known.digest != entry.digest {
                    return Err(Error::module(ModuleCode::OpenUnderKey, None));
                }
                let attempts = known.attempts.clone();
                *note = Note::Add(known.into());
                Ok(Some(Event::Known { attempts, may_send: ours }))
            }
        }
    }

    /// Believes a new answer key from now on. Where it cannot be stored it is believed all the
    /// same, being proved; the next process proves it again.
    async fn pin(&self, from: Fingerprint, to: PublicKey) {
        {
            let trust = &mut self.state().trust;
            // Somebody else may have walked further meanwhile.
            if trust.pin == from {
                trust.pin = Fingerprint::of(&to);
                trust.answer_key = Some(to);
            }
        }
        let _ = self.keys().change(Change::AnswerKey { from, to }).await;
    }

    /// A key of the store that was not tried: another process may have rolled it, or this one was
    /// ended between rolling and writing it down.
    async fn other_key(&self, tried: &[KeyId]) -> Option<Arc<Signer>> {
        if self.0.role == Role::Session {
            return None;
        }
        let stored = self.keys().load().await.ok().flatten()?;
        [Some(stored.module_key), stored.next_key]
            .into_iter()
            .flatten()
            .find(|seed| !tried.contains(&seed.public().id()))
            .map(|seed| Arc::new(self.0.setup.signer(&seed)))
    }

    /// The server took this key where it had refused the one before.
    async fn take_over(&self, signer: Arc<Signer>) {
        let public = signer.public();
        self.state().signer = signer;
        // Where it cannot be stored, the next process finds it out again in the same way.
        let _ = self.keys().change(Change::Promote(public)).await;
    }

    pub(super) fn exchange_of(&self, call: Call, began: Duration) -> Exchange {
        self.exchange(began, |authority, signer, trust, limits| {
            Exchange::new(call, authority, signer, trust, limits)
        })
    }

    /// An exchange of a verb that began at this uptime.
    pub(super) fn exchange(
        &self,
        began: Duration,
        make: impl FnOnce(Arc<str>, Arc<Signer>, Trust, Limits) -> Exchange,
    ) -> Exchange {
        let config = &self.0.setup.config;
        let state = self.state();
        let spent = self.uptime().saturating_sub(began);
        let total = config.total_timeout.saturating_sub(spent);
        let limits = Limits { attempt: config.attempt_timeout, total };
        let (authority, signer) = (Arc::clone(&self.0.authority), Arc::clone(&state.signer));
        make(authority, signer, state.trust, limits)
    }

    pub(super) fn check_open(&self) -> Result<(), Error> {
        if self.state().is_closed { Err(Error::module(ModuleCode::Closed, None)) } else { Ok(()) }
    }

    fn now(&self) -> Result<Now, EnvironmentError> {
        Ok(Now { wall: self.environment().now()?, uptime: self.uptime() })
    }

    pub(super) fn uptime(&self) -> Duration {
        self.environment().uptime()
    }

    fn jitter(&self) -> Result<u32, EnvironmentError> {
        let mut octets = [0; 4];
        self.environment().fill(&mut octets)?;
        Ok(u32::from_le_bytes(octets))
    }

    /// A fresh key: the time in milliseconds, and 128 random bits.
    pub(super) fn fresh_key(&self) -> Result<IdempotencyKey, Error> {
        let made = self.now().and_then(|now| {
            let mut octets = [0; 24];
            self.environment().fill(&mut octets[8..])?;
            octets[..8].copy_from_slice(&now.wall.as_ms().to_be_bytes());
            Ok(base64url(&octets[2..]))
        });
        let text = made.map_err(|cause| self.told(cause.into()))?;
        Ok(text.parse().expect("30 characters of base64url are an idempotency key"))
    }
}

/// The octets of a body.
pub(super) fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("the bodies of the wire have a JSON form")
}

fn was_the_key_refused(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Refused(problem) | Outcome::Unknown(Some(Cause::Refused(problem))) => {
            is_about_the_key(&problem.code)
        }
        _ => false,
    }
}

/// The error for an outcome that brought nothing.
pub(super) fn unanswered(outcome: Outcome) -> Error {
    match outcome {
        Outcome::Failed(cause) => Error::without_answer(cause),
        Outcome::NeedsHuman => Error::module(ModuleCode::NeedsHuman, None),
        Outcome::NotMade => Error::module(ModuleCode::NotMade, None),
        Outcome::Refused(problem) => Error::refused(*problem),
        Outcome::Unknown(cause) => Error::outcome_unknown(cause),
        Outcome::Answer(_) | Outcome::Operation(_) => Error::outcome_unknown(None),
    }
}
