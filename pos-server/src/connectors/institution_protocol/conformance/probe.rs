//! Calls that a well-behaved server makes, and ones that it never would.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use pos_protocol::id::{ContractNumber, InstitutionId, OperationId, OrderId};
use pos_protocol::institution::{
    self as bodies, Body, Echo, INSTITUTION, InstitutionCode, InstitutionInfo, InstitutionWireCode,
    Movement, Names, OPERATIONS, OperationAnswer, OperationRequest, Outcome, OutcomeState,
    PayerInstruction, SEAL_KEYS,
};
use pos_protocol::key::PublicKey;
use pos_protocol::money::{Amount, Money};
use pos_protocol::payment::OperationKind;
use pos_protocol::seal::{Binding, Envelope, SealKeySet, SealedOperation, seal};
use pos_protocol::sign::POS_CONNECT;
use pos_protocol::time::Timestamp;
use tokio::time::sleep;

use super::{NamedInstrument, Stop, Target, not};
use crate::connectors::capabilities::{Capabilities, WayOut};
use crate::connectors::connector::{Reply, Request};
use crate::connectors::driver::{Driver, DriverSettings};
use crate::connectors::institution_protocol::call::Call;
use crate::connectors::institution_protocol::read;
pub(super) use crate::connectors::institution_protocol::read::Said;
use crate::connectors::record::{InstitutionRecord, RecordError};
use crate::connectors::registry::{CallKey, Institution};
use crate::env::{Clock, Entropy};

/// How long a payment that is pending is asked about.
const SETTLED: Duration = Duration::from_secs(60);

/// Speaks to the endpoint under check.
pub(super) struct Probe<'a> {
    driver: Driver,
    institution: Institution,
    authority: String,
    verify_key: PublicKey,
    seal_root: PublicKey,
    pub(super) call_key: &'a CallKey,
    pub(super) contract_number: ContractNumber,
    instruments: &'a [NamedInstrument],
    pub(super) clock: Arc<dyn Clock>,
    entropy: &'a dyn Entropy,
    info: Option<InstitutionInfo>,
    keys: Option<SealKeySet>,
}

impl<'a> Probe<'a> {
    pub(super) fn new(
        target: &'a Target,
        call_key: &'a CallKey,
        clock: Arc<dyn Clock>,
        entropy: &'a dyn Entropy,
    ) -> Result<Self, RecordError> {
        let record = InstitutionRecord {
            id: "unknown".parse().expect("the word is an institution id"),
            names: Names { en: "-".into(), ja: "-".into() },
            url: target.url.clone(),
            ca_pem: target.ca_pem.clone(),
            verify_key: target.verify_key,
            seal_root: target.seal_root,
            seal_key_version: 0,
            enabled: false,
            capabilities: no_capabilities(),
        };
        let authority = record.target()?.authority;
        let settings = DriverSettings { answer: super::PATIENCE, ..DriverSettings::default() };
        Ok(Self {
            driver: Driver::new(settings, Arc::clone(&clock)),
            institution: Institution::new(record, call_key)?,
            authority,
            verify_key: target.verify_key,
            seal_root: target.seal_root,
            call_key,
            contract_number: target.contract_number.clone(),
            instruments: &target.instruments,
            clock,
            entropy,
            info: None,
            keys: None,
        })
    }

    /// Learns who it is.
    pub(super) async fn meet(&mut self) -> Result<(), String> {
        match self.ask::<InstitutionInfo>(self.get(INSTITUTION)).await? {
            Said::Answer(info) => {
                self.info = Some(info);
                Ok(())
            }
            Said::Refusal(status, refusal) => {
                Err(format!("refused with {status} {}", refusal.code.as_str()))
            }
        }
    }

    pub(super) async fn fetch_keys(&mut self) -> Result<(), String> {
        let request = self.sign(self.get(SEAL_KEYS));
        let reply = self.exchange(&request).await?;
        let signed = read::seal_keys(&self.verify_key, &request, &reply)
            .map_err(|fault| fault.to_string())?;
        let keys = signed
            .verify(&self.seal_root, self.id(), self.clock.now(), 0)
            .map_err(|error| error.to_string())?;
        self.keys = Some(keys);
        Ok(())
    }

    pub(super) fn id(&self) -> &InstitutionId {
        &self.info().institution
    }

    pub(super) fn info(&self) -> &InstitutionInfo {
        self.info.as_ref().expect("nothing is checked before the institution said who it is")
    }

    pub(super) fn can(&self, kind: OperationKind) -> bool {
        self.info().operations.contains(&kind)
    }

    /// Some money that the institution takes.
    pub(super) fn money(&self) -> Money {
        let limits = self.info().currencies.first().expect("an institution takes some currency");
        let usual = Amount::new(1_000).expect("1000 is an amount");
        Money { amount: usual.clamp(limits.least, limits.most), currency: limits.currency }
    }

    pub(super) fn instrument(&self, name: &str) -> Result<&NamedInstrument, Stop> {
        let ours = |one: &&NamedInstrument| {
            one.name == name && one.institution.as_ref().is_none_or(|id| id == self.id())
        };
        self.instruments
            .iter()
            .find(ours)
            .ok_or_else(|| Stop::Missing(format!("there is no test instrument `{name}`")))
    }

    pub(super) fn fresh_id(&self) -> OperationId {
        OperationId::fresh(self.clock.now(), self.entropy.array())
    }

    pub(super) fn fresh_order(&self) -> OrderId {
        let text = self.fresh_id().to_string();
        text.parse().expect("an operation id has the form of an order id")
    }

    pub(super) fn soon(&self) -> Timestamp {
        let limit = Duration::from_millis(self.info().processing_limit_ms.into());
        self.clock.now().plus(limit)
    }

    /// Seals a test instrument for what a request will say.
    pub(super) fn seal_until(
        &self,
        name: &str,
        operation: SealedOperation,
        order_id: &OrderId,
        money: Money,
        not_after: Timestamp,
    ) -> Result<Envelope, Stop> {
        let instrument = &self.instrument(name)?.instrument;
        let missing = || Stop::Missing("there is no seal key that may be used".into());
        let keys = self.keys.as_ref().ok_or_else(missing)?;
        let key = keys.key_for(self.clock.now(), not_after).map_err(|_| missing())?;
        let binding = Binding {
            institution: self.id().clone(),
            contract_number: self.contract_number.clone(),
            operation,
            order_id: order_id.clone(),
            money,
        };
        seal(instrument, &binding, not_after, key, &self.entropy.array())
            .map_err(|error| Stop::Broken(error.to_string()))
    }

    /// A new payment with a test instrument: a sale where it has sales, else an authorise.
    pub(super) fn payment(&self, name: &str) -> Result<OperationRequest, Stop> {
        let kind = if self.can(OperationKind::Sale) {
            OperationKind::Sale
        } else {
            OperationKind::Authorise
        };
        self.new_payment(kind, name)
    }

    pub(super) fn new_payment(
        &self,
        kind: OperationKind,
        name: &str,
    ) -> Result<OperationRequest, Stop> {
        self.offers(kind)?;
        self.any_payment(kind, name)
    }

    /// Whether it offers this.
    pub(super) fn offers(&self, kind: OperationKind) -> Result<(), Stop> {
        if self.can(kind) { Ok(()) } else { Err(Stop::NotOffered(format!("it has no {kind}"))) }
    }

    /// A new payment, whether it is offered or not.
    pub(super) fn any_payment(
        &self,
        kind: OperationKind,
        name: &str,
    ) -> Result<OperationRequest, Stop> {
        let (order_id, money) = (self.fresh_order(), self.money());
        let not_after = self.clock.now().plus(Duration::from_secs(600));
        let instruction = |operation| {
            let envelope = self.seal_until(name, operation, &order_id, money, not_after)?;
            Ok::<_, Stop>(PayerInstruction { envelope, allow_partial: false })
        };
        let movement = if kind == OperationKind::Authorise {
            Movement::Authorise(instruction(SealedOperation::Authorise)?)
        } else {
            Movement::Sale(instruction(SealedOperation::Sale)?)
        };
        Ok(OperationRequest {
            operation_id: self.fresh_id(),
            movement,
            contract_number: self.contract_number.clone(),
            order_id,
            amount: money.amount,
            currency: money.currency,
            not_after: self.soon(),
        })
    }

    pub(super) async fn operate(
        &self,
        request: &OperationRequest,
    ) -> Result<Said<OperationAnswer>, String> {
        let key = request.operation_id.to_string();
        self.ask(self.post(OPERATIONS, bodies::to_json(request), Some(key))).await
    }

    /// An operation that must have an outcome with the right echoes. One that is pending is asked
    /// about until it has ended.
    pub(super) async fn outcome(&self, request: &OperationRequest) -> Result<Outcome, Stop> {
        let mut outcome = match self.operate(request).await? {
            Said::Answer(answer) => echoed(request, answer)?,
            refused @ Said::Refusal(..) => return Err(not("an outcome", &refused)),
        };
        let end = self.clock.monotonic().saturating_add(SETTLED);
        let mut pause = Duration::from_millis(50);
        while matches!(outcome.state, OutcomeState::Pending { .. }) {
            if self.clock.monotonic() > end {
                let limit = SETTLED.as_secs();
                return Err(Stop::Missing(format!("a payment is still pending after {limit} s")));
            }
            sleep(pause).await;
            pause = pause.saturating_mul(2).min(Duration::from_secs(5));
            outcome = echoed(request, self.inquire(request.operation_id).await?)?;
        }
        Ok(outcome)
    }

    /// An operation that must be done.
    pub(super) async fn done(&self, request: &OperationRequest) -> Result<Outcome, Stop> {
        let outcome = self.outcome(request).await?;
        if matches!(outcome.state, OutcomeState::Done { .. }) {
            Ok(outcome)
        } else {
            Err(not("the state `done`", &outcome.state))
        }
    }

    pub(super) async fn inquire(&self, id: OperationId) -> Result<OperationAnswer, Stop> {
        match self.ask(self.get(&bodies::operation_path(id))).await? {
            Said::Answer(answer) => Ok(answer),
            refused @ Said::Refusal(..) => Err(not("an answer to an inquiry", &refused)),
        }
    }

    /// A call that must be refused with this code, under its status.
    pub(super) async fn refused<T: Body + std::fmt::Debug>(
        &self,
        call: Call,
        code: InstitutionCode,
    ) -> Result<(), Stop> {
        refused_with(self.ask::<T>(call).await?, code)
    }

    pub(super) fn get(&self, target: &str) -> Call {
        Call { method: Method::GET, target: target.into(), body: Vec::new(), key: None }
    }

    pub(super) fn post(&self, target: &str, body: Vec<u8>, key: Option<String>) -> Call {
        Call { method: Method::POST, target: target.into(), body, key }
    }

    pub(super) fn sign(&self, call: Call) -> Request {
        self.sign_at(call, self.clock.now(), self.call_key)
    }

    pub(super) fn sign_at(&self, call: Call, at: Timestamp, key: &CallKey) -> Request {
        call.sign(&self.authority, at, key).expect("the calls of the check can be signed")
    }

    /// Signs a call by the profile of shops' calls.
    pub(super) fn sign_for_another(&self, call: Call) -> Request {
        call.sign_by(&POS_CONNECT, &self.authority, self.clock.now(), self.call_key)
            .expect("the calls of the check can be signed")
    }

    pub(super) async fn ask<T: Body>(&self, call: Call) -> Result<Said<T>, String> {
        self.ask_with(&self.sign(call)).await
    }

    /// Sends a request as it is and reads the answer, which must be signed.
    pub(super) async fn ask_with<T: Body>(&self, request: &Request) -> Result<Said<T>, String> {
        let reply = self.exchange(request).await?;
        read::said(&self.verify_key, request, &reply).map_err(|fault| fault.to_string())
    }

    pub(super) async fn exchange(&self, request: &Request) -> Result<Reply, String> {
        let exchanged = self.driver.exchange(&self.institution, request, None).await;
        exchanged.map_err(|failure| failure.to_string())
    }
}

pub(super) fn refused_with<T: std::fmt::Debug>(
    said: Said<T>,
    code: InstitutionCode,
) -> Result<(), Stop> {
    match said {
        Said::Refusal(status, refusal)
            if refusal.code == InstitutionWireCode::Known(code) && status == code.status() =>
        {
            Ok(())
        }
        other => {
            let expected = format!("a signed {} `{}`", code.status(), code.wire());
            Err(not(&expected, &other))
        }
    }
}

/// The outcome of an operation, if it echoes what was asked.
pub(super) fn echoed(request: &OperationRequest, answer: OperationAnswer) -> Result<Outcome, Stop> {
    let echo = Echo {
        operation_id: request.operation_id,
        order_id: &request.order_id,
        money: Money { amount: request.amount, currency: request.currency },
        may_be_partial: false,
    };
    answer.check_echo(&echo).map_err(|mismatch| Stop::Broken(mismatch.to_string()))?;
    match answer {
        OperationAnswer::Outcome(outcome) => Ok(outcome),
        other => Err(not("an outcome", &other)),
    }
}

/// Nothing is known of the endpoint yet; the time-out is the driver's.
fn no_capabilities() -> Capabilities {
    Capabilities { way_out: WayOut::Inquiry, processing_limit_ms: 60_000, ..Capabilities::none() }
}
