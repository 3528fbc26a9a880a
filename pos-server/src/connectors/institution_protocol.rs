//! The connector for this project's own institution protocol (`docs/INSTITUTION.md`).

mod call;
pub mod conformance;
mod read;
pub mod settlement;

use hyper::Method;
use pos_protocol::id::InstitutionId;
use pos_protocol::institution::{
    self as bodies, CHECKS, CheckRequest, INSTITUTION, InstitutionInfo, Movement, OPERATIONS,
    OperationRequest, PayerInstruction, REVERSALS, ReversalRequest, SEAL_KEYS,
};
use pos_protocol::key::PublicKey;
use pos_protocol::money::{Amount, Money};
use pos_protocol::payment::OperationKind;
use pos_protocol::time::Timestamp;

use super::answer::{Answer, CheckOutcome, ConnectionTest, Fault};
use super::capabilities::{Capabilities, CurrencyTerms, PrepareError, WayOut};
use super::connector::{Connector, Reply, Request};
use super::order::{CheckOrder, OperationOrder, ReversalOrder};
use super::record::InstitutionRecord;
use super::registry::CallKey;
use super::seal_keys::SealKeys;
use super::settlement::SettlementFormat;

/// One institution that speaks the protocol.
#[derive(Debug)]
pub struct InstitutionProtocol {
    id: InstitutionId,
    authority: String,
    verify_key: PublicKey,
    seal_root: PublicKey,
    capabilities: Capabilities,
    call_key: CallKey,
}

impl InstitutionProtocol {
    /// The connector of this record, whose calls are signed for `authority`.
    pub fn new(record: &InstitutionRecord, authority: &str, call_key: CallKey) -> Self {
        Self {
            id: record.id.clone(),
            authority: authority.to_owned(),
            verify_key: record.verify_key,
            seal_root: record.seal_root,
            capabilities: record.capabilities.clone(),
            call_key,
        }
    }

    fn get(&self, target: String, now: Timestamp) -> Result<Request, PrepareError> {
        let call = call::Call { method: Method::GET, target, body: Vec::new(), key: None };
        Ok(call.sign(&self.authority, now, &self.call_key)?)
    }

    fn post(
        &self,
        target: &str,
        body: Vec<u8>,
        key: Option<String>,
        now: Timestamp,
    ) -> Result<Request, PrepareError> {
        let call = call::Call { method: Method::POST, target: target.to_owned(), body, key };
        Ok(call.sign(&self.authority, now, &self.call_key)?)
    }

    /// The amount as this institution writes it.
    fn on_line(&self, money: Money) -> Result<Amount, PrepareError> {
        let currency = money.currency;
        let terms = self.capabilities.terms(currency);
        let terms = terms.ok_or(PrepareError::CurrencyUnsupported { currency })?;
        // The envelope is bound to the amount in minor units of ISO 4217, so no other count fits.
        if terms.exponent == currency.exponent() {
            Ok(money.amount)
        } else {
            Err(PrepareError::Inexact { money, exponent: terms.exponent })
        }
    }
}

impl Connector for InstitutionProtocol {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn settlement_format(&self) -> Option<SettlementFormat> {
        Some(SettlementFormat::InstitutionProtocol)
    }

    fn prepare(&self, order: &OperationOrder, now: Timestamp) -> Result<Request, PrepareError> {
        self.capabilities.allows(order)?;
        let amount = self.on_line(order.money)?;
        let body = OperationRequest {
            operation_id: order.operation_id,
            movement: movement(order)?,
            contract_number: order.contract_number.clone(),
            order_id: order.order_id.clone(),
            amount,
            currency: order.money.currency,
            not_after: order.not_after,
        };
        let key = Some(order.operation_id.to_string());
        self.post(OPERATIONS, bodies::to_json(&body), key, now)
    }

    fn accept(&self, order: &OperationOrder, request: &Request, reply: &Reply) -> Answer {
        read::operation(&self.verify_key, order, request, reply)
    }

    fn prepare_inquiry(
        &self,
        order: &OperationOrder,
        now: Timestamp,
    ) -> Result<Request, PrepareError> {
        self.get(bodies::operation_path(order.operation_id), now)
    }

    fn accept_inquiry(&self, order: &OperationOrder, request: &Request, reply: &Reply) -> Answer {
        read::inquiry(&self.verify_key, order, request, reply)
    }

    fn prepare_reversal(
        &self,
        order: &ReversalOrder,
        now: Timestamp,
    ) -> Result<Request, PrepareError> {
        if !self.capabilities.can_reverse {
            return Err(PrepareError::ReversalUnsupported);
        }
        let body = ReversalRequest {
            operation_id: order.operation_id,
            original: order.original,
            contract_number: order.contract_number.clone(),
            order_id: order.order_id.clone(),
            amount: self.on_line(order.money)?,
            currency: order.money.currency,
            repeat: order.repeat,
            not_after: order.not_after,
        };
        let key = Some(order.operation_id.to_string());
        self.post(REVERSALS, bodies::to_json(&body), key, now)
    }

    fn accept_reversal(&self, order: &ReversalOrder, request: &Request, reply: &Reply) -> Answer {
        read::reversal(&self.verify_key, order, request, reply)
    }

    fn prepare_check(&self, order: &CheckOrder, now: Timestamp) -> Result<Request, PrepareError> {
        if !self.capabilities.can_check {
            return Err(PrepareError::CheckUnsupported);
        }
        let body = CheckRequest {
            contract_number: order.contract_number.clone(),
            order_id: order.order_id.clone(),
            amount: self.on_line(order.money)?,
            currency: order.money.currency,
            envelope: order.envelope.clone(),
        };
        self.post(CHECKS, bodies::to_json(&body), None, now)
    }

    fn accept_check(
        &self,
        order: &CheckOrder,
        request: &Request,
        reply: &Reply,
    ) -> Result<CheckOutcome, Fault> {
        read::check(&self.verify_key, order, request, reply)
    }

    fn prepare_connection_test(&self, now: Timestamp) -> Result<Request, PrepareError> {
        self.get(INSTITUTION.to_owned(), now)
    }

    fn accept_connection_test(
        &self,
        request: &Request,
        reply: &Reply,
    ) -> Result<ConnectionTest, Fault> {
        let info: InstitutionInfo = read::body(&self.verify_key, request, reply)?;
        if info.institution != self.id {
            return Err(Fault::Foreign { found: info.institution.to_string() });
        }
        Ok(ConnectionTest {
            capabilities: capabilities(&info),
            names: info.names,
            institution_time: info.time,
            seal_key_version: 0,
        })
    }

    fn prepare_seal_keys(&self, now: Timestamp) -> Result<Request, PrepareError> {
        self.get(SEAL_KEYS.to_owned(), now)
    }

    fn accept_seal_keys(
        &self,
        request: &Request,
        reply: &Reply,
        now: Timestamp,
        least_version: u64,
    ) -> Result<SealKeys, Fault> {
        let signed = read::seal_keys(&self.verify_key, request, reply)?;
        let set = signed
            .verify(&self.seal_root, &self.id, now, least_version)
            .map_err(|error| Fault::KeySet(error.into()))?;
        Ok(SealKeys { signed, set })
    }
}

/// What an institution says of itself, as the core knows it. The protocol itself promises that
/// an inquiry tells what became of an operation, and that the same operation id has the same effect
/// (`docs/INSTITUTION.md` 5).
pub fn capabilities(info: &InstitutionInfo) -> Capabilities {
    let told = &info.capabilities;
    let terms = info.currencies.iter().map(|one| CurrencyTerms {
        currency: one.currency,
        exponent: one.exponent,
        least: one.least,
        most: one.most,
    });
    Capabilities {
        operations: info.operations.clone(),
        way_out: WayOut::Inquiry,
        repeats: vec![OperationKind::Capture, OperationKind::Void, OperationKind::Refund],
        methods: info.methods.clone(),
        currencies: terms.collect(),
        reasons: info.reasons.clone(),
        partial_capture: told.partial_capture,
        several_captures: told.several_captures,
        partial_refund: told.partial_refund,
        partial_approval: told.partial_approval,
        can_check: told.check,
        can_reverse: told.reversal,
        refund_window_days: told.refund_window_days,
        hold_days: told.hold_days,
        processing_limit_ms: info.processing_limit_ms,
    }
}

fn movement(order: &OperationOrder) -> Result<Movement, PrepareError> {
    let missing = |part| PrepareError::Malformed { kind: order.kind, part };
    let original = || order.original.ok_or_else(|| missing("original"));
    let instruction = || {
        let envelope = order.envelope.clone().ok_or_else(|| missing("envelope"));
        envelope.map(|envelope| PayerInstruction { envelope, allow_partial: order.allow_partial })
    };
    Ok(match order.kind {
        OperationKind::Sale => Movement::Sale(instruction()?),
        OperationKind::Authorise => Movement::Authorise(instruction()?),
        OperationKind::Capture => Movement::Capture { original: original()? },
        OperationKind::Void => Movement::Void { original: original()? },
        OperationKind::Refund => Movement::Refund { original: original()? },
        OperationKind::Reverse => {
            return Err(PrepareError::OperationUnsupported { kind: order.kind });
        }
    })
}
