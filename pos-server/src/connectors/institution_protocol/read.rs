//! Reading replies of the institution protocol: first the proof, then the words.

use std::time::Duration;

use pos_protocol::institution::{
    self as bodies, Body, CheckAnswer, CheckState, Echo, InstitutionError, OperationAnswer,
    OutcomeState, ReversalAnswer, ReversalState,
};
use pos_protocol::key::PublicKey;
use pos_protocol::payment::Outcome;
use pos_protocol::seal::SignedSealKeySet;
use pos_protocol::sign::{POS_INSTITUTION, answer};
use pos_protocol::time::Timestamp;

use crate::connectors::answer::{Answer, CheckOutcome, Fault};
use crate::connectors::connector::{Reply, Request};
use crate::connectors::order::{CheckOrder, OperationOrder, ReversalOrder};

/// The reply to an operation.
pub(super) fn operation(
    key: &PublicKey,
    order: &OperationOrder,
    request: &Request,
    reply: &Reply,
) -> Answer {
    match proved(key, request, reply) {
        Ok(time) if reply.status == 200 => {
            let known: Result<OperationAnswer, _> = bodies::parse(&reply.body);
            let mut said = known.map_or_else(
                |error| Answer::unknown(error.into()),
                |known| {
                    // "Not found" answers an inquiry only; as the answer to a sending it proves nothing.
                    outcome(order, known, false)
                },
            );
            said.institution_time.get_or_insert(time);
            said
        }
        Ok(time) => {
            let (fault, proves) = refusal(reply);
            let mut said = if proves && !order.sent_before {
                Answer::not_sent(fault)
            } else {
                Answer::unknown(fault)
            };
            said.raw_code = code_of(&said);
            said.institution_time = Some(time);
            said
        }
        Err(fault) => Answer::unknown(fault),
    }
}

/// The reply to an inquiry. A refusal of the question says nothing of the operation.
pub(super) fn inquiry(
    key: &PublicKey,
    order: &OperationOrder,
    request: &Request,
    reply: &Reply,
) -> Answer {
    match body::<OperationAnswer>(key, request, reply) {
        Ok(known) => outcome(order, known, true),
        Err(fault) => Answer::unknown(fault),
    }
}

/// The reply to a reversal. A refusal of the call says nothing of the reversal.
pub(super) fn reversal(
    key: &PublicKey,
    order: &ReversalOrder,
    request: &Request,
    reply: &Reply,
) -> Answer {
    let known: ReversalAnswer = match body(key, request, reply) {
        Ok(known) => known,
        Err(fault) => return Answer::unknown(fault),
    };
    let institution_time = Some(known.time);
    if let Some(field) = differs(order, &known) {
        let fault = Some(Fault::Mismatch { field });
        return Answer { fault, institution_time, ..Answer::bare(Outcome::Mismatched) };
    }
    let ends = known.is_final(order.original_not_after);
    let told = |outcome| Answer {
        reference: known.reference.as_ref().map(ToString::to_string),
        institution_time,
        ..Answer::bare(outcome)
    };
    match &known.state {
        ReversalState::Reversed | ReversalState::OriginalNotFound if ends => {
            told(Outcome::Done(order.money.amount))
        }
        ReversalState::Reversed | ReversalState::OriginalNotFound => {
            Answer { fault: Some(Fault::NotFoundYet), ..told(Outcome::Unknown) }
        }
        ReversalState::NotProcessed => {
            Answer { fault: Some(Fault::TooLate), ..told(Outcome::Unknown) }
        }
        ReversalState::AlreadySettled => told(Outcome::Settled),
        ReversalState::Declined { reason, raw_code } => Answer {
            raw_code: raw_code.as_ref().map(ToString::to_string),
            ..told(Outcome::Declined(*reason))
        },
    }
}

/// The member of the answer that is not the order's.
fn differs(order: &ReversalOrder, answer: &ReversalAnswer) -> Option<&'static str> {
    [
        ("operation_id", answer.operation_id == order.operation_id),
        ("original", answer.original == order.original),
        ("order_id", answer.order_id == order.order_id),
        ("amount", answer.money == order.money),
    ]
    .into_iter()
    .find_map(|(field, same)| (!same).then_some(field))
}

/// The reply to a check.
pub(super) fn check(
    key: &PublicKey,
    order: &CheckOrder,
    request: &Request,
    reply: &Reply,
) -> Result<CheckOutcome, Fault> {
    let answer: CheckAnswer = body(key, request, reply)?;
    if answer.order_id != order.order_id {
        return Err(Fault::Mismatch { field: "order_id" });
    }
    if answer.money != order.money {
        return Err(Fault::Mismatch { field: "amount" });
    }
    Ok(match answer.state {
        CheckState::Sufficient => CheckOutcome::Sufficient,
        CheckState::TooLow => CheckOutcome::TooLow,
        CheckState::Expired => CheckOutcome::Expired,
        CheckState::Refused(reason) => CheckOutcome::Refused(reason),
    })
}

/// The reply to the question for seal keys; the root key's signature is not looked at here.
pub(super) fn seal_keys(
    key: &PublicKey,
    request: &Request,
    reply: &Reply,
) -> Result<SignedSealKeySet, Fault> {
    proved(key, request, reply)?;
    if reply.status != 200 {
        return Err(refusal(reply).0);
    }
    let malformed = |_| Fault::KeySet(pos_protocol::seal::InvalidKeySet::Malformed.into());
    serde_json::from_slice(&reply.body).map_err(malformed)
}

/// The proved body of a reply with status 200.
pub(super) fn body<T: Body>(key: &PublicKey, request: &Request, reply: &Reply) -> Result<T, Fault> {
    proved(key, request, reply)?;
    if reply.status == 200 { Ok(bodies::parse(&reply.body)?) } else { Err(refusal(reply).0) }
}

/// A proved answer, or a proved refusal in its place.
#[derive(Debug)]
pub(super) enum Said<T> {
    /// Status 200.
    Answer(T),
    /// Any other, with its status.
    Refusal(u16, InstitutionError),
}

/// What a proved reply says, a refusal included.
pub(super) fn said<T: Body>(
    key: &PublicKey,
    request: &Request,
    reply: &Reply,
) -> Result<Said<T>, Fault> {
    proved(key, request, reply)?;
    if reply.status == 200 {
        Ok(Said::Answer(bodies::parse(&reply.body)?))
    } else {
        Ok(Said::Refusal(reply.status, bodies::parse(&reply.body)?))
    }
}

/// Whether the institution signed this reply as the answer to this very request; its time.
fn proved(key: &PublicKey, request: &Request, reply: &Reply) -> Result<Timestamp, Fault> {
    let received = answer::Received::read(|name| {
        reply.headers.get_all(name).iter().map(hyper::header::HeaderValue::as_bytes)
    });
    let status = reply.status;
    answer::verify(&POS_INSTITUTION, &received, status, &reply.body, &request.signature, key)
        .map_err(|cause| Fault::Signature { status, cause })
}

/// A signed refusal, and whether it proves that this sending moved nothing.
fn refusal(reply: &Reply) -> (Fault, bool) {
    match bodies::parse::<InstitutionError>(&reply.body) {
        Err(error) => (error.into(), false),
        Ok(refusal) => {
            let proves = refusal.proves_not_processed(reply.status);
            let code = refusal.code.as_str().to_owned();
            (Fault::Refused { code, message: refusal.message }, proves)
        }
    }
}

fn code_of(answer: &Answer) -> Option<String> {
    match &answer.fault {
        Some(Fault::Refused { code, .. }) => Some(code.clone()),
        _ => None,
    }
}

/// What a proved record of the operation means.
fn outcome(order: &OperationOrder, known: OperationAnswer, asked: bool) -> Answer {
    let echo = Echo {
        operation_id: order.operation_id,
        order_id: &order.order_id,
        money: order.money,
        may_be_partial: order.kind.begins_payment(),
    };
    if let Err(mismatch) = known.check_echo(&echo) {
        let fault = Some(Fault::Mismatch { field: mismatch.field });
        let institution_time = Some(known.time());
        return Answer { fault, institution_time, ..Answer::bare(Outcome::Mismatched) };
    }
    let time = known.time();
    let proves = known.proves_not_processed(order.not_after);
    let institution_time = Some(time);
    let known = match known {
        OperationAnswer::Outcome(known) => known,
        OperationAnswer::NotProcessed { .. } => {
            return Answer { institution_time, ..Answer::not_sent(None) };
        }
        OperationAnswer::NotFound { .. } if proves && asked => {
            return Answer { institution_time, ..Answer::not_sent(None) };
        }
        OperationAnswer::NotFound { .. } => {
            return Answer { institution_time, ..Answer::unknown(Fault::NotFoundYet) };
        }
    };
    let told = Answer {
        reference: Some(known.reference.to_string()),
        card_reference: known.card_reference.map(|text| text.to_string()),
        shop_record_version: Some(known.shop_record_version),
        institution_time,
        ..Answer::bare(Outcome::Unknown)
    };
    match known.state {
        OutcomeState::Done { approval_code } => Answer {
            outcome: Outcome::Done(known.amount),
            approval_code: approval_code.map(|text| text.to_string()),
            ..told
        },
        OutcomeState::Declined { reason, raw_code } => Answer {
            outcome: Outcome::Declined(reason),
            raw_code: raw_code.map(|text| text.to_string()),
            ..told
        },
        OutcomeState::Pending { next_look_ms } => Answer {
            outcome: Outcome::Pending,
            next_look: next_look_ms.map(|ms| Duration::from_millis(ms.into())),
            ..told
        },
        OutcomeState::NeedsPayer { payer_url } => {
            Answer { outcome: Outcome::NeedsPayer, payer_url: Some(payer_url), ..told }
        }
        // Nothing of ours reversed it: a person has to ask the institution why.
        OutcomeState::Reversed => {
            Answer { outcome: Outcome::NeedsHuman, fault: Some(Fault::Reversed), ..told }
        }
    }
}
