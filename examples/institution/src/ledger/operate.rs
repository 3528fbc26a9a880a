//! The verbs of money movements: take one in, tell what became of it, check.

use pos_protocol::id::{OperationId, OrderId};
use pos_protocol::institution::{
    CheckRequest, InstitutionCode, OperationAnswer, OperationRequest, Outcome, OutcomeState,
};
use pos_protocol::money::{Amount, Currency, Money};
use pos_protocol::payment::OperationKind;
use pos_protocol::reason::DeclineReason;
use pos_protocol::time::Timestamp;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension as _, Row, params};

use super::books::{Books, Place};
use crate::house::House;
use crate::instrument::Verdict;
use crate::quirk::Quirk;

/// A money movement as it arrived.
#[derive(Clone, Debug)]
pub struct Order {
    /// Whose books these are.
    pub house: House,
    /// What was asked.
    pub request: OperationRequest,
    /// What became of the envelope; none where the kind has none.
    pub sealed: Option<Result<Sealed, Refused>>,
    /// The rule that the institution breaks.
    pub quirk: Option<Quirk>,
}

impl Order {
    fn breaks(&self, quirk: Quirk) -> bool {
        self.quirk == Some(quirk)
    }
}

/// An envelope that was opened.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// Its random octets, which are taken once.
    pub rand: [u8; 16],
    /// The payer's account, and what shops learn as the card reference.
    pub reference: String,
    /// What the house makes of the instrument.
    pub verdict: Verdict,
}

/// A call that is refused in place of an answer; nothing is remembered of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The code.
    pub code: InstitutionCode,
    /// The sentence.
    pub message: &'static str,
}

/// Inquiries after which a pending sale is settled.
const PENDING_INQUIRIES: u32 = 2;

/// Where an operation stands in the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Done,
    Declined,
    Pending,
    /// Arrived late, or after its reversal.
    Late,
    Reversed,
}

impl State {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Declined => "declined",
            Self::Pending => "pending",
            Self::Late => "not_processed",
            Self::Reversed => "reversed",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Done, Self::Declined, Self::Pending, Self::Late, Self::Reversed]
            .into_iter()
            .find(|state| state.word() == word)
    }
}

/// One row of the operations.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) row: i64,
    pub(super) operation: OperationId,
    pub(super) fingerprint: [u8; 32],
    pub(super) kind: OperationKind,
    pub(super) contract: String,
    pub(super) order_id: OrderId,
    pub(super) currency: Currency,
    pub(super) asked: u64,
    pub(super) moved: u64,
    pub(super) state: State,
    pub(super) reason: Option<DeclineReason>,
    pub(super) raw_code: Option<String>,
    pub(super) card_reference: Option<String>,
    pub(super) captured: u64,
    pub(super) released: u64,
    pub(super) refunded: u64,
    pub(super) asked_about: u32,
}

/// What an operation comes to, before it is written.
#[derive(Clone, Debug, Default)]
struct Judgement {
    state: Option<State>,
    moved: u64,
    reason: Option<DeclineReason>,
    raw_code: Option<&'static str>,
    card_reference: Option<String>,
    original: Option<i64>,
    transfer: Option<(Place, Place)>,
    /// Which sum of the original grows by `moved`.
    grows: Option<&'static str>,
}

impl Books {
    /// Takes an operation in, by the time of this instant. The same operation id has the same
    /// effect, however often it comes.
    pub fn operate(
        &self,
        order: &Order,
        now: Timestamp,
    ) -> rusqlite::Result<Result<OperationAnswer, Refused>> {
        let request = &order.request;
        let id = request.operation_id;
        self.tell(now);
        match self.find(id)? {
            Some(known) if known.fingerprint == request.fingerprint() => {
                if order.breaks(Quirk::ActsTwice) {
                    self.act_again(&known, request)?;
                }
                return Ok(Ok(self.told(&known, now)?));
            }
            Some(_) => return Ok(Err(REUSED)),
            None if self.is_reversal(id)? => return Ok(Err(REUSED)),
            None => {}
        }
        let late = now > request.not_after && !order.breaks(Quirk::IgnoresNotAfter);
        let overtaken = self.is_reversed_in_advance(id)? && !order.breaks(Quirk::ForgetsReversals);
        let judgement = if late || overtaken {
            Judgement { state: Some(State::Late), ..Judgement::default() }
        } else {
            match self.judge(order)? {
                Ok(judgement) => judgement,
                Err(refused) => return Ok(Err(refused)),
            }
        };
        let record = self.write(order, judgement, now)?;
        Ok(Ok(self.told(&record, now)?))
    }

    /// What became of an operation.
    pub fn inquire(&self, id: OperationId, now: Timestamp) -> rusqlite::Result<OperationAnswer> {
        self.tell(now);
        let Some(mut record) = self.find(id)? else {
            return Ok(OperationAnswer::NotFound { operation_id: id, time: now });
        };
        if record.state == State::Pending {
            record.asked_about = record.asked_about.saturating_add(1);
            let sql = "UPDATE operation SET asked_about = ?2 WHERE id = ?1";
            self.statement(sql)?.execute(params![record.row, record.asked_about])?;
            if record.asked_about >= PENDING_INQUIRIES {
                self.settle(&mut record, now)?;
            }
        }
        self.told(&record, now)
    }

    /// Whether a sale of this much would pass now; the envelope's random octets are taken.
    pub fn would_pass(
        &self,
        house: House,
        request: &CheckRequest,
        sealed: &Sealed,
        quirk: Option<Quirk>,
    ) -> rusqlite::Result<Result<Option<DeclineReason>, Refused>> {
        if !self.take(&sealed.rand)? && quirk != Some(Quirk::ForgetsRand) {
            return Ok(Err(USED));
        }
        let (amount, currency) = (request.amount, request.currency);
        let money = Money { amount, currency };
        let contract = request.contract_number.as_str();
        if let Some(declined) = self.declines(house, sealed, contract, money)? {
            return Ok(Ok(declined.reason));
        }
        let available = self.balance(&Place::Payer(sealed.reference.clone()), currency)?;
        let too_low = available < amount.minor();
        Ok(Ok(too_low.then_some(DeclineReason::InsufficientFunds)))
    }

    pub(super) fn find(&self, id: OperationId) -> rusqlite::Result<Option<Record>> {
        let sql = "SELECT id, operation, fingerprint, kind, contract, order_id, currency, asked, \
                   moved, state, reason, raw_code, card_reference, captured, released, refunded, \
                   asked_about FROM operation WHERE operation = ?1";
        self.statement(sql)?.query_row([id.octets().as_slice()], Record::read).optional()
    }

    fn judge(&self, order: &Order) -> rusqlite::Result<Result<Judgement, Refused>> {
        let request = &order.request;
        if !order.house.operations().contains(&request.kind()) {
            let message = "this institution has no such operation";
            return Ok(Err(Refused { code: InstitutionCode::OperationUnsupported, message }));
        }
        let known_shop = self.contract(request.contract_number.as_str())?.is_some();
        match (&order.sealed, request.original()) {
            (Some(Err(refused)), _) => Ok(Err(refused.clone())),
            (Some(Ok(sealed)), _) => {
                if !self.take(&sealed.rand)? && !order.breaks(Quirk::ForgetsRand) {
                    return Ok(Err(USED));
                }
                let judgement = self.judge_new(order, sealed)?;
                let card_reference = Some(sealed.reference.clone());
                Ok(Ok(Judgement { card_reference, ..judgement }))
            }
            (None, Some(_)) if !known_shop => Ok(Ok(decline(DeclineReason::MerchantInvalid, "03"))),
            (None, Some(original)) => Ok(Ok(self.judge_following(order, original)?)),
            (None, None) => {
                let message = "a sale or authorise needs an envelope";
                Ok(Err(Refused { code: InstitutionCode::InvalidField, message }))
            }
        }
    }

    /// Why a new payment is declined, whatever its payer's account holds.
    fn declines(
        &self,
        house: House,
        sealed: &Sealed,
        contract: &str,
        money: Money,
    ) -> rusqlite::Result<Option<Judgement>> {
        if self.contract(contract)?.is_none() {
            return Ok(Some(decline(DeclineReason::MerchantInvalid, "03")));
        }
        let currencies = house.currencies();
        let Some(limits) = currencies.iter().find(|one| one.currency == money.currency) else {
            return Ok(Some(decline(DeclineReason::NotPermitted, "57")));
        };
        if !(limits.least..=limits.most).contains(&money.amount) {
            return Ok(Some(decline(DeclineReason::AmountInvalid, "13")));
        }
        Ok(match sealed.verdict {
            Verdict::Declined(reason) => Some(decline(reason, raw_code(reason))),
            Verdict::Pays | Verdict::Pends => None,
        })
    }

    fn judge_new(&self, order: &Order, sealed: &Sealed) -> rusqlite::Result<Judgement> {
        let request = &order.request;
        let money = Money { amount: request.amount, currency: request.currency };
        let contract = request.contract_number.as_str();
        if let Some(declined) = self.declines(order.house, sealed, contract, money)? {
            return Ok(declined);
        }
        let payer = Place::Payer(sealed.reference.clone());
        let available = self.balance(&payer, request.currency)?;
        let asked = request.amount.minor();
        let may_be_partial = order.house.capabilities().partial_approval
            && request.instruction().is_some_and(|said| said.allow_partial);
        let moved = match available {
            enough if enough >= asked => asked,
            some if some > 0 && may_be_partial => some,
            _ => return Ok(decline(DeclineReason::InsufficientFunds, "51")),
        };
        if sealed.verdict == Verdict::Pends {
            let state = Some(State::Pending);
            return Ok(Judgement { state, moved, ..Judgement::default() });
        }
        let to = if request.kind() == OperationKind::Authorise {
            Place::Held(sealed.reference.clone())
        } else {
            Place::Shop(request.contract_number.to_string())
        };
        Ok(Judgement {
            state: Some(State::Done),
            moved,
            transfer: Some((payer, to)),
            ..Judgement::default()
        })
    }

    fn judge_following(&self, order: &Order, original: OperationId) -> rusqlite::Result<Judgement> {
        let request = &order.request;
        let Some(first) = self.find(original)? else {
            return Ok(decline(DeclineReason::NotPermitted, "original_not_found"));
        };
        let same = first.contract == request.contract_number.as_str()
            && first.order_id == request.order_id
            && first.currency == request.currency;
        let Some(payer) = first.card_reference.clone().filter(|_| same) else {
            return Ok(decline(DeclineReason::NotPermitted, "original_not_found"));
        };
        let card_reference = Some(payer.clone());
        if first.state != State::Done || !first.kind.begins_payment() {
            let declined = decline(DeclineReason::NotPermitted, "12");
            return Ok(Judgement { card_reference, original: Some(first.row), ..declined });
        }
        let held = first.moved.saturating_sub(first.captured).saturating_sub(first.released);
        let held = if first.kind == OperationKind::Authorise { held } else { 0 };
        let refundable = first.captured.saturating_sub(first.refunded);
        let shop = Place::Shop(first.contract);
        let asked = request.amount.minor();
        let (fits, from, to, grows) = match request.kind() {
            OperationKind::Capture if order.breaks(Quirk::CapturesTooMuch) => {
                (true, Place::Outside, shop, "captured")
            }
            OperationKind::Capture => (asked <= held, Place::Held(payer), shop, "captured"),
            OperationKind::Void => {
                (asked == held, Place::Held(payer.clone()), Place::Payer(payer), "released")
            }
            _ if order.breaks(Quirk::RefundsTooMuch) => {
                (true, Place::Outside, Place::Payer(payer), "refunded")
            }
            _ => (asked <= refundable, shop, Place::Payer(payer), "refunded"),
        };
        let judgement = if fits {
            Judgement {
                state: Some(State::Done),
                moved: asked,
                transfer: Some((from, to)),
                grows: Some(grows),
                ..Judgement::default()
            }
        } else {
            decline(DeclineReason::AmountInvalid, "13")
        };
        Ok(Judgement { card_reference, original: Some(first.row), ..judgement })
    }

    fn write(&self, order: &Order, judged: Judgement, now: Timestamp) -> rusqlite::Result<Record> {
        let request = &order.request;
        let state = judged.state.unwrap_or(State::Declined);
        let captured = if request.kind() == OperationKind::Sale && state == State::Done {
            judged.moved
        } else {
            0
        };
        let record = Record {
            row: 0,
            operation: request.operation_id,
            fingerprint: request.fingerprint(),
            kind: request.kind(),
            contract: request.contract_number.to_string(),
            order_id: request.order_id.clone(),
            currency: request.currency,
            asked: request.amount.minor(),
            moved: judged.moved,
            state,
            reason: judged.reason,
            raw_code: judged.raw_code.map(str::to_owned),
            card_reference: judged.card_reference,
            captured,
            released: 0,
            refunded: 0,
            asked_about: 0,
        };
        let sql = "INSERT INTO operation (operation, fingerprint, kind, original, contract, \
                   order_id, currency, asked, moved, state, reason, raw_code, card_reference, \
                   captured, arrived_ms, ended_ms) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
        self.statement(sql)?.execute(params![
            record.operation.octets().as_slice(),
            record.fingerprint.as_slice(),
            record.kind.wire(),
            judged.original,
            record.contract,
            record.order_id.as_str(),
            record.currency.number(),
            record.asked,
            record.moved,
            state.word(),
            record.reason.map(DeclineReason::wire),
            record.raw_code,
            record.card_reference,
            captured,
            now.as_ms(),
            (state == State::Done).then(|| now.as_ms()),
        ])?;
        let record = Record { row: self.last_row(), ..record };
        if let Some((from, to)) = &judged.transfer {
            self.must_transfer(record.row, from, to, record.moved, record.currency)?;
        }
        if let (Some(column), Some(original)) = (judged.grows, judged.original) {
            let sql = format!("UPDATE operation SET {column} = {column} + ?2 WHERE id = ?1");
            self.statement(&sql)?.execute(params![original, record.moved])?;
        }
        Ok(record)
    }

    /// What an institution does that forgets which captures and refunds it has made.
    fn act_again(&self, known: &Record, request: &OperationRequest) -> rusqlite::Result<()> {
        let original = request.original().map(|id| self.find(id)).transpose()?.flatten();
        let (State::Done, Some(first)) = (known.state, original) else { return Ok(()) };
        let Some(payer) = first.card_reference else { return Ok(()) };
        let shop = Place::Shop(first.contract);
        let (left, from, to, column) = if known.kind == OperationKind::Capture {
            let held = first.moved.saturating_sub(first.captured).saturating_sub(first.released);
            (held, Place::Held(payer), shop, "captured")
        } else {
            let left = first.captured.saturating_sub(first.refunded);
            (left, shop, Place::Payer(payer), "refunded")
        };
        let again = known.moved.min(left);
        if again == 0 || known.kind == OperationKind::Void {
            return Ok(());
        }
        self.must_transfer(known.row, &from, &to, again, known.currency)?;
        let sql = format!("UPDATE operation SET {column} = {column} + ?2 WHERE id = ?1");
        self.statement(&sql)?.execute(params![first.row, again]).map(drop)
    }

    /// Moves money that was judged to be there in this same transaction.
    pub(super) fn must_transfer(
        &self,
        cause: i64,
        from: &Place,
        to: &Place,
        amount: u64,
        currency: Currency,
    ) -> rusqlite::Result<()> {
        if self.transfer(cause, from, to, amount, currency)? {
            Ok(())
        } else {
            Err(rusqlite::Error::StatementChangedRows(0)) // Undoes the whole job.
        }
    }

    /// Ends a pending sale.
    fn settle(&self, record: &mut Record, now: Timestamp) -> rusqlite::Result<()> {
        let Some(reference) = record.card_reference.clone() else { return Ok(()) };
        let (payer, shop) = (Place::Payer(reference), Place::Shop(record.contract.clone()));
        if self.transfer(record.row, &payer, &shop, record.moved, record.currency)? {
            record.state = State::Done;
            record.captured = record.moved;
        } else {
            record.state = State::Declined;
            record.reason = Some(DeclineReason::InsufficientFunds);
            record.raw_code = Some("51".into());
        }
        let sql = "UPDATE operation SET state = ?2, captured = ?3, reason = ?4, raw_code = ?5, \
                   ended_ms = ?6 WHERE id = ?1";
        self.statement(sql)?.execute(params![
            record.row,
            record.state.word(),
            record.captured,
            record.reason.map(DeclineReason::wire),
            record.raw_code,
            (record.state == State::Done).then(|| now.as_ms()),
        ])?;
        Ok(())
    }

    fn told(&self, record: &Record, time: Timestamp) -> rusqlite::Result<OperationAnswer> {
        let operation_id = record.operation;
        let state = match record.state {
            State::Late => return Ok(OperationAnswer::NotProcessed { operation_id, time }),
            State::Done => OutcomeState::Done { approval_code: Some(plain(&approval(record.row))) },
            State::Declined => OutcomeState::Declined {
                reason: record.reason.unwrap_or(DeclineReason::Other),
                raw_code: record.raw_code.as_deref().map(plain),
            },
            State::Pending => OutcomeState::Pending { next_look_ms: Some(1_000) },
            State::Reversed => OutcomeState::Reversed,
        };
        let moved = matches!(record.state, State::Done | State::Reversed);
        let amount = if moved { record.moved } else { record.asked };
        let contract = self.contract(&record.contract)?;
        Ok(OperationAnswer::Outcome(Outcome {
            operation_id,
            order_id: record.order_id.clone(),
            amount: Amount::new(amount).map_err(|error| broken(8, error))?,
            currency: record.currency,
            state,
            reference: plain(&format!("R{:012}", record.row)),
            card_reference: record.card_reference.as_deref().map(plain),
            shop_record_version: contract.map_or(0, |contract| contract.version),
            time,
        }))
    }
}

impl Record {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let text = |at| row.get::<_, String>(at);
        let reason: Option<String> = row.get(10)?;
        Ok(Self {
            row: row.get(0)?,
            operation: OperationId::from_octets(row.get(1)?),
            fingerprint: row.get(2)?,
            kind: text(3)?.parse().map_err(|error| broken(3, error))?,
            contract: text(4)?,
            order_id: text(5)?.parse().map_err(|error| broken(5, error))?,
            currency: Currency::from_number(row.get(6)?).ok_or_else(|| broken(6, Unreadable))?,
            asked: row.get(7)?,
            moved: row.get(8)?,
            state: State::from_word(&text(9)?).ok_or_else(|| broken(9, Unreadable))?,
            reason: reason.and_then(|word| {
                DeclineReason::ALL.iter().copied().find(|reason| reason.wire() == word)
            }),
            raw_code: row.get(11)?,
            card_reference: row.get(12)?,
            captured: row.get(13)?,
            released: row.get(14)?,
            refunded: row.get(15)?,
            asked_about: row.get(16)?,
        })
    }
}

pub(super) const REUSED: Refused = Refused {
    code: InstitutionCode::OperationIdReused,
    message: "the operation id was used for another request",
};

const USED: Refused = Refused {
    code: InstitutionCode::EnvelopeUsed,
    message: "the envelope was taken by another operation: seal the instrument again",
};

fn decline(reason: DeclineReason, raw_code: &'static str) -> Judgement {
    Judgement { reason: Some(reason), raw_code: Some(raw_code), ..Judgement::default() }
}

/// The two digits that card networks have for a reason (ISO 8583 field 39).
const fn raw_code(reason: DeclineReason) -> &'static str {
    match reason {
        DeclineReason::InsufficientFunds => "51",
        DeclineReason::ExpiredCard => "54",
        DeclineReason::InvalidCard => "14",
        DeclineReason::LostOrStolen => "43",
        DeclineReason::OverLimit => "61",
        DeclineReason::NotPermitted => "57",
        DeclineReason::SuspectedFraud => "59",
        DeclineReason::WrongSecret => "55",
        DeclineReason::CallIssuer => "01",
        DeclineReason::IssuerUnavailable => "91",
        DeclineReason::AccountClosed => "78",
        DeclineReason::AmountInvalid => "13",
        DeclineReason::MerchantInvalid => "03",
        DeclineReason::Duplicate => "94",
        DeclineReason::AlreadySettled => "12",
        DeclineReason::DoNotHonour => "05",
        DeclineReason::Other => "06",
    }
}

/// Six characters that look like an approval code and tell the row.
fn approval(row: i64) -> String {
    format!("A{:05}", row.checked_rem(100_000).unwrap_or_default())
}

pub(super) fn plain(text: &str) -> pos_protocol::institution::PlainText {
    text.parse().expect("references and codes are short and printable")
}

/// The database holds what this program never wrote.
#[derive(Debug, thiserror::Error)]
#[error("the row cannot be read")]
struct Unreadable;

fn broken(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
