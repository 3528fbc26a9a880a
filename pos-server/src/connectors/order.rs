//! What the core asks of an institution, as plain data.

use pos_protocol::id::{ContractNumber, InstitutionId, OperationId, OrderId};
use pos_protocol::money::Money;
use pos_protocol::payment::OperationKind;
use pos_protocol::seal::Envelope;
use pos_protocol::time::Timestamp;

/// One money movement, as it is sent, asked about, and compared with what comes back.
///
/// An inquiry needs the same order without its envelope, which is gone after the sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationOrder {
    /// Who is asked.
    pub institution: InstitutionId,
    /// The operation, also the institution's key to it: the same id has the same effect.
    pub operation_id: OperationId,
    /// What is to move.
    pub kind: OperationKind,
    /// The sale or authorise that a capture, void or refund belongs to; none for the other two.
    pub original: Option<OperationId>,
    /// The number under which the institution keeps the shop.
    pub contract_number: ContractNumber,
    /// The shop's number of the order.
    pub order_id: OrderId,
    /// How much; for a void the rest that it releases.
    pub money: Money,
    /// The institution refuses an arrival after this, for ever (`payments.md` 3.3): the begin of
    /// the operation plus [`Capabilities::processing_limit`](super::Capabilities::processing_limit).
    pub not_after: Timestamp,
    /// Whether an approval of less is welcome; only to a sale or authorise.
    pub allow_partial: bool,
    /// Whether this operation may have been sent before. A refusal then proves nothing of the
    /// earlier sending.
    pub sent_before: bool,
    /// The sealed instrument of a sale or authorise. In memory only; never stored, never logged.
    pub envelope: Option<Envelope>,
}

/// The undoing of a sale or authorise whose outcome must not stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReversalOrder {
    /// Who is asked.
    pub institution: InstitutionId,
    /// The reversal; the same for every repeat.
    pub operation_id: OperationId,
    /// The sale or authorise.
    pub original: OperationId,
    /// The number under which the institution keeps the shop.
    pub contract_number: ContractNumber,
    /// The shop's number of the order.
    pub order_id: OrderId,
    /// What the original asked for.
    pub money: Money,
    /// Later than this the original can no longer arrive.
    pub original_not_after: Timestamp,
    /// The institution refuses this sending when it arrives later.
    pub not_after: Timestamp,
    /// Whether it was sent before.
    pub repeat: bool,
}

/// A question whether a sale would pass now; nothing moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckOrder {
    /// Who is asked.
    pub institution: InstitutionId,
    /// The number under which the institution keeps the shop.
    pub contract_number: ContractNumber,
    /// The shop's number of the order.
    pub order_id: OrderId,
    /// How much.
    pub money: Money,
    /// The instrument, sealed for a check.
    pub envelope: Envelope,
}
