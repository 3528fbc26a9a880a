//! `POST /v1/operations`: what the institution is asked to do.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::private::Json;
use super::{Contradiction, MAX_REQUEST_OCTETS, contradiction};
use crate::Timestamp;
use crate::id::{ContractNumber, InstitutionId, OperationId, OrderId};
use crate::money::{Amount, Currency, Money};
use crate::payment::OperationKind;
use crate::seal::{Binding, Envelope, SealedOperation};
use crate::sign::length_prefixed;

/// One money movement. The same operation id has the same effect, however often it arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRequest {
    /// The operation, also the call's `Idempotency-Key`.
    pub operation_id: OperationId,
    /// What is to move.
    pub movement: Movement,
    /// The number under which the institution keeps the shop.
    pub contract_number: ContractNumber,
    /// The shop's number of the order; that of the original where there is one.
    pub order_id: OrderId,
    /// How much, in minor units of ISO 4217; for a void the rest that it releases.
    pub amount: Amount,
    /// In which currency; that of the original where there is one.
    pub currency: Currency,
    /// An arrival after this is refused and remembered as refused.
    pub not_after: Timestamp,
}

/// What an operation moves, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Movement {
    /// Authorise and capture in one.
    Sale(PayerInstruction),
    /// Hold the amount.
    Authorise(PayerInstruction),
    /// Take the held amount or a part of it.
    Capture {
        /// The authorise that holds it.
        original: OperationId,
    },
    /// Give back all that is still held.
    Void {
        /// The authorise that holds it.
        original: OperationId,
    },
    /// Pay captured money back, whole or in part.
    Refund {
        /// The sale or authorise that the money came from.
        original: OperationId,
    },
}

/// What the shopper and the shop say about a new payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayerInstruction {
    /// The sealed instrument.
    pub envelope: Envelope,
    /// Whether an approval of less than the amount is welcome.
    pub allow_partial: bool,
}

impl OperationRequest {
    /// What kind of operation this is.
    pub const fn kind(&self) -> OperationKind {
        match self.movement {
            Movement::Sale(_) => OperationKind::Sale,
            Movement::Authorise(_) => OperationKind::Authorise,
            Movement::Capture { .. } => OperationKind::Capture,
            Movement::Void { .. } => OperationKind::Void,
            Movement::Refund { .. } => OperationKind::Refund,
        }
    }

    /// The sale or authorise that the money came from, where this is not one itself.
    pub const fn original(&self) -> Option<OperationId> {
        match self.movement {
            Movement::Sale(_) | Movement::Authorise(_) => None,
            Movement::Capture { original }
            | Movement::Void { original }
            | Movement::Refund { original } => Some(original),
        }
    }

    /// The sealed instrument and the partial approval, where this is a new payment.
    pub const fn instruction(&self) -> Option<&PayerInstruction> {
        match &self.movement {
            Movement::Sale(instruction) | Movement::Authorise(instruction) => Some(instruction),
            Movement::Capture { .. } | Movement::Void { .. } | Movement::Refund { .. } => None,
        }
    }

    /// What the envelope must have been sealed for, as the institution of this id sees it.
    pub fn binding(&self, institution: &InstitutionId) -> Option<Binding> {
        let operation = match self.movement {
            Movement::Sale(_) => SealedOperation::Sale,
            Movement::Authorise(_) => SealedOperation::Authorise,
            Movement::Capture { .. } | Movement::Void { .. } | Movement::Refund { .. } => {
                return None;
            }
        };
        Some(Binding {
            institution: institution.clone(),
            contract_number: self.contract_number.clone(),
            operation,
            order_id: self.order_id.clone(),
            money: Money { amount: self.amount, currency: self.currency },
        })
    }

    /// What an institution keeps to know the same request again: every field, the envelope as its
    /// hash, because its octets are not to be kept. Another fingerprint under the same operation
    /// id is `operation_id_reused`.
    pub fn fingerprint(&self) -> [u8; 32] {
        let original = self.original().map(|id| id.to_string()).unwrap_or_default();
        let (envelope, partial): (Vec<u8>, &[u8]) = match self.instruction() {
            Some(said) => {
                (said.envelope.sha256().into(), if said.allow_partial { b"1" } else { b"0" })
            }
            None => (Vec::new(), b""),
        };
        Sha256::digest(length_prefixed(&[
            b"pos-institution/1 operation",
            self.operation_id.to_string().as_bytes(),
            self.kind().wire().as_bytes(),
            original.as_bytes(),
            self.contract_number.as_str().as_bytes(),
            self.order_id.as_str().as_bytes(),
            self.amount.minor().to_string().as_bytes(),
            self.currency.code().as_bytes(),
            self.not_after.as_ms().to_string().as_bytes(),
            partial,
            &envelope,
        ]))
        .into()
    }
}

/// The JSON members, in the order of the document.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Members {
    operation_id: OperationId,
    kind: OperationKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    original: Option<OperationId>,
    contract_number: ContractNumber,
    order_id: OrderId,
    amount: Amount,
    currency: Currency,
    not_after_ms: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    allow_partial: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    envelope: Option<Envelope>,
}

impl Json for OperationRequest {
    type Members = Members;

    const MOST_OCTETS: usize = MAX_REQUEST_OCTETS;

    fn from_members(members: Members) -> Result<Self, Contradiction> {
        let movement = match members.kind {
            OperationKind::Sale => Movement::Sale(members.instruction()?),
            OperationKind::Authorise => Movement::Authorise(members.instruction()?),
            OperationKind::Capture => Movement::Capture { original: members.follows()? },
            OperationKind::Void => Movement::Void { original: members.follows()? },
            OperationKind::Refund => Movement::Refund { original: members.follows()? },
            OperationKind::Reverse => {
                return contradiction(
                    "kind",
                    "must not be `reverse`: reversals have a call of their own",
                );
            }
        };
        Ok(Self {
            operation_id: members.operation_id,
            movement,
            contract_number: members.contract_number,
            order_id: members.order_id,
            amount: members.amount,
            currency: members.currency,
            not_after: members.not_after_ms,
        })
    }

    fn to_members(&self) -> Members {
        let instruction = self.instruction();
        Members {
            operation_id: self.operation_id,
            kind: self.kind(),
            original: self.original(),
            contract_number: self.contract_number.clone(),
            order_id: self.order_id.clone(),
            amount: self.amount,
            currency: self.currency,
            not_after_ms: self.not_after,
            allow_partial: instruction.map(|said| said.allow_partial),
            envelope: instruction.map(|said| said.envelope.clone()),
        }
    }
}

impl Members {
    /// What only a sale or authorise has, and both must have.
    fn instruction(&self) -> Result<PayerInstruction, Contradiction> {
        if self.original.is_some() {
            return contradiction("original", "does not belong to a sale or authorise");
        }
        let Some(envelope) = self.envelope.clone() else {
            return contradiction("envelope", "is missing: a sale or authorise needs it");
        };
        let Some(allow_partial) = self.allow_partial else {
            return contradiction("allow_partial", "is missing: a sale or authorise needs it");
        };
        Ok(PayerInstruction { envelope, allow_partial })
    }

    /// What only a capture, void or refund has, and all must have.
    fn follows(&self) -> Result<OperationId, Contradiction> {
        if self.envelope.is_some() {
            return contradiction("envelope", "belongs to a sale or authorise only");
        }
        if self.allow_partial.is_some() {
            return contradiction("allow_partial", "belongs to a sale or authorise only");
        }
        match self.original {
            None => contradiction("original", "is missing: name the sale or authorise"),
            Some(itself) if itself == self.operation_id => {
                contradiction("original", "must be another operation than this")
            }
            Some(original) => Ok(original),
        }
    }
}
