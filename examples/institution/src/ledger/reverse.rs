//! Reversals: undo a sale or authorise, also one that has not arrived.

use pos_protocol::id::OperationId;
use pos_protocol::institution::{ReversalAnswer, ReversalRequest, ReversalState};
use pos_protocol::money::Money;
use pos_protocol::payment::OperationKind;
use pos_protocol::reason::DeclineReason;
use pos_protocol::time::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use super::books::{Books, Place};
use super::operate::{REUSED, Record, Refused, State, plain};
use crate::quirk::Quirk;

impl Books {
    /// Undoes whatever the original did, or will do when it comes late.
    pub fn reverse(
        &self,
        request: &ReversalRequest,
        quirk: Option<Quirk>,
        arrived: Timestamp,
    ) -> rusqlite::Result<Result<ReversalAnswer, Refused>> {
        self.tell(arrived);
        let known = self.find_reversal(request.operation_id)?;
        let used_by_another = match &known {
            Some((_, fingerprint, _)) => *fingerprint != request.fingerprint(),
            None => self.find(request.operation_id)?.is_some(),
        };
        if used_by_another {
            return Ok(Err(REUSED));
        }
        let told = |state, row: Option<i64>| ReversalAnswer {
            operation_id: request.operation_id,
            original: request.original,
            order_id: request.order_id.clone(),
            money: Money { amount: request.amount, currency: request.currency },
            state,
            reference: row.map(|row| plain(&format!("V{row:012}"))),
            time: arrived,
        };
        if quirk == Some(Quirk::RefusesReversals) {
            return Ok(Ok(told(declined(), None)));
        }
        if let Some((row, _, word)) = known
            && let Some(state) = state_of(&word)
        {
            return Ok(Ok(told(state, Some(row))));
        }
        if arrived > request.not_after {
            return Ok(Ok(told(ReversalState::NotProcessed, None)));
        }
        let original = self.find(request.original)?;
        let state = original
            .as_ref()
            .map_or(ReversalState::OriginalNotFound, |original| judge(original, request));
        let row = self.write_reversal(request, &state)?;
        if let (ReversalState::Reversed, Some(original)) = (&state, &original) {
            self.undo(row, original, arrived)?;
        }
        Ok(Ok(told(state, Some(row))))
    }

    /// Whether this id is that of a reversal.
    pub(super) fn is_reversal(&self, id: OperationId) -> rusqlite::Result<bool> {
        Ok(self.find_reversal(id)?.is_some())
    }

    /// Whether a reversal of this operation came before the operation itself.
    pub(super) fn is_reversed_in_advance(&self, id: OperationId) -> rusqlite::Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM reversal WHERE original = ?1)";
        self.statement(sql)?.query_row([id.octets().as_slice()], |row| row.get(0))
    }

    fn find_reversal(&self, id: OperationId) -> rusqlite::Result<Option<(i64, [u8; 32], String)>> {
        let sql = "SELECT id, fingerprint, state FROM reversal WHERE operation = ?1";
        self.statement(sql)?
            .query_row([id.octets().as_slice()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()
    }

    fn write_reversal(
        &self,
        request: &ReversalRequest,
        state: &ReversalState,
    ) -> rusqlite::Result<i64> {
        let sql = "INSERT INTO reversal (operation, original, fingerprint, state) \
                   VALUES (?1, ?2, ?3, ?4)";
        self.statement(sql)?.execute(params![
            request.operation_id.octets().as_slice(),
            request.original.octets().as_slice(),
            request.fingerprint().as_slice(),
            word_of(state),
        ])?;
        Ok(self.last_row())
    }

    /// Moves the money of a sale or authorise back, if it moved any.
    fn undo(&self, reversal: i64, original: &Record, now: Timestamp) -> rusqlite::Result<()> {
        let moved = original.state == State::Done;
        if let (true, Some(reference)) = (moved, original.card_reference.clone()) {
            let (from, amount) = if original.kind == OperationKind::Sale {
                (Place::Shop(original.contract.clone()), original.moved)
            } else {
                let held = original.moved.saturating_sub(original.released);
                (Place::Held(reference.clone()), held)
            };
            if amount > 0 {
                let payer = Place::Payer(reference);
                let cause = reversal.saturating_neg();
                self.must_transfer(cause, &from, &payer, amount, original.currency)?;
                let sql = "UPDATE reversal SET moved = ?2, ended_ms = ?3 WHERE id = ?1";
                self.statement(sql)?.execute((reversal, amount, now.as_ms()))?;
            }
        }
        if matches!(original.state, State::Done | State::Pending) {
            let sql = "UPDATE operation SET state = ?2 WHERE id = ?1";
            self.statement(sql)?.execute(params![original.row, State::Reversed.word()])?;
        }
        Ok(())
    }
}

fn judge(original: &Record, request: &ReversalRequest) -> ReversalState {
    let same = original.contract == request.contract_number.as_str()
        && original.order_id == request.order_id
        && original.currency == request.currency
        && original.asked == request.amount.minor();
    let settled = match original.kind {
        OperationKind::Sale => original.refunded > 0,
        _ => original.captured > 0,
    };
    if !same || !original.kind.begins_payment() {
        declined()
    } else if original.state == State::Done && settled {
        ReversalState::AlreadySettled
    } else {
        ReversalState::Reversed
    }
}

fn declined() -> ReversalState {
    ReversalState::Declined { reason: DeclineReason::Other, raw_code: Some(plain("12")) }
}

const fn word_of(state: &ReversalState) -> &'static str {
    match state {
        ReversalState::Reversed => "reversed",
        ReversalState::OriginalNotFound => "original_not_found",
        ReversalState::AlreadySettled => "already_settled",
        ReversalState::NotProcessed => "not_processed",
        ReversalState::Declined { .. } => "declined",
    }
}

fn state_of(word: &str) -> Option<ReversalState> {
    match word {
        "reversed" => Some(ReversalState::Reversed),
        "original_not_found" => Some(ReversalState::OriginalNotFound),
        "already_settled" => Some(ReversalState::AlreadySettled),
        "declined" => Some(declined()),
        _ => None,
    }
}
