//! The signed calls of the load: payments whose instruments were sealed before, quotes, lookups.

use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread;

use pos_protocol::id::{OperationId, OrderId};
use pos_protocol::key::Signature;
use pos_protocol::money::{Amount, Currency};
use pos_protocol::payment::OperationKind;
use pos_protocol::seal::SealedOperation;
use pos_protocol::sign::{POS_CONNECT, answer};
use pos_protocol::wire::{
    HistoryPage, KeyStatus, OperationView, PayRequest, QuoteAnswer, WireOperationState, route,
};
use pos_tests::Bed;
use pos_tests::bed::ContractKit;
use pos_tests::error::BedError;
use pos_tests::line::{Request, Response};
use pos_tests::raw::{self, Caller, Draft};
use serde_json::{Value, json};

use crate::error::BenchError;
use crate::load::Work;
use crate::stored::Stored;

/// Of so many answers one is verified. The client's work on the others would only take the
/// processor from the server.
const VERIFY_EVERY: usize = 32;

/// The institution that is paid at, and the instrument that always pays there.
pub(crate) const INSTITUTION: &str = "sakura-card";
const INSTRUMENT: &str = "approve";

/// A payment that the server said is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paid {
    pub(crate) operation: OperationId,
    pub(crate) minor: u64,
}

/// Payments to be made, each once.
#[derive(Debug)]
pub(crate) struct Payments {
    caller: Caller,
    bodies: Vec<Vec<u8>>,
    paid: Mutex<Vec<Paid>>,
}

impl Payments {
    /// Seals `count` instruments: the load must not do it.
    pub(crate) fn seal(bed: &Bed, caller: Caller, count: usize) -> Result<Self, BenchError> {
        let contract = bed.shop().contract(INSTITUTION)?;
        let octets = |request| serde_json::to_vec(&request).expect("a request is JSON");
        let bodies = bodies(bed, contract, count)?.into_iter().map(octets).collect();
        Ok(Self { caller, bodies, paid: Mutex::default() })
    }

    /// What was answered as done.
    pub(crate) fn paid(&self) -> Vec<Paid> {
        self.paid.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Seals `count` instruments, on all processors, each into the body of its payment.
pub(crate) fn bodies(
    bed: &Bed,
    contract: &ContractKit,
    count: usize,
) -> Result<Vec<PayRequest>, BedError> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let share = count.div_ceil(threads).max(1);
    thread::scope(|scope| {
        let sealing: Vec<_> = (0..count)
            .step_by(share)
            .map(|first| {
                let numbers = first..count.min(first.saturating_add(share));
                scope.spawn(move || {
                    numbers.map(|number| body(bed, contract, number)).collect::<Vec<_>>()
                })
            })
            .collect();
        let sealed = sealing.into_iter().map(|one| one.join().expect("sealing does not panic"));
        sealed.flatten().collect()
    })
}

fn body(bed: &Bed, contract: &ContractKit, number: usize) -> Result<PayRequest, BedError> {
    let order_id: OrderId = raw::fresh_order("bench");
    // Amounts differ, so that two that were mixed up would show in the sums.
    let minor = (number as u64 % 9_000).saturating_add(100);
    let binding = contract.binding(SealedOperation::Sale, &order_id, minor, Currency::JPY);
    Ok(PayRequest {
        operation: OperationKind::Sale,
        contract_id: contract.contract_id,
        order_id,
        amount: Amount::new(minor).expect("100 to 9,099 are amounts"),
        currency: Currency::JPY,
        envelope: bed.seal(INSTRUMENT, &binding)?,
        allow_partial: false,
        give_up_after_s: None,
    })
}

impl Work for Payments {
    type Ticket = Signature;

    fn prepare(&self, number: usize) -> (Request, Signature) {
        let body = self.bodies.get(number).cloned().unwrap_or_default();
        let draft = Draft::post(route::PAYMENTS, &Value::Null).octets(body).keyed(raw::fresh_key());
        let signed = self.caller.sign(&draft);
        (signed.request, signed.signature)
    }

    fn judge(&self, number: usize, call: Signature, answer: Response) -> Result<(), BenchError> {
        let what = "a payment";
        verify_some(&self.caller, what, number, &call, &answer)?;
        let view: Option<OperationView> = serde_json::from_slice(&answer.body).ok();
        let done = view.filter(|view| view.state == WireOperationState::Done);
        let Some((200, done)) = done.map(|view| (answer.status, view)) else {
            return Err(unexpected(what, &answer));
        };
        let minor = done.done_amount.map_or(0, Amount::minor);
        let paid = Paid { operation: done.operation_id, minor };
        self.paid.lock().unwrap_or_else(PoisonError::into_inner).push(paid);
        Ok(())
    }
}

/// Quotes: reads, signed like every call.
#[derive(Debug)]
pub(crate) struct Quotes {
    pub(crate) caller: Caller,
}

impl Work for Quotes {
    type Ticket = Signature;

    fn prepare(&self, number: usize) -> (Request, Signature) {
        let body = json!({
            "order_id": format!("quote-{number}"),
            "method": "card:visa",
            "amount": 1980,
            "currency": "JPY",
        });
        let signed = self.caller.sign(&Draft::post(route::QUOTES, &body));
        (signed.request, signed.signature)
    }

    fn judge(&self, number: usize, call: Signature, answer: Response) -> Result<(), BenchError> {
        let what = "a quote";
        verify_some(&self.caller, what, number, &call, &answer)?;
        let quote: Option<QuoteAnswer> = serde_json::from_slice(&answer.body).ok();
        if quote.is_some_and(|quote| quote.contract.is_some()) {
            return Ok(());
        }
        Err(unexpected(what, &answer))
    }
}

/// Whole pages of the history, each from anywhere among the payments of the past.
#[derive(Debug)]
pub(crate) struct Pages {
    pub(crate) caller: Caller,
    pub(crate) stored: Stored,
}

/// Payments of a page.
const PAGE: u64 = 100;

impl Work for Pages {
    type Ticket = (Signature, u64);

    fn prepare(&self, number: usize) -> (Request, Self::Ticket) {
        let newer = anywhere(number, self.stored.count.saturating_sub(PAGE)).saturating_add(PAGE);
        let after = self.stored.payment(newer);
        let draft = Draft::get(format!("{}?limit={PAGE}&after={after}", route::PAYMENTS));
        let signed = self.caller.sign(&draft);
        (signed.request, (signed.signature, newer))
    }

    fn judge(
        &self,
        number: usize,
        (call, newer): Self::Ticket,
        answer: Response,
    ) -> Result<(), BenchError> {
        let what = "a page of the history";
        verify_some(&self.caller, what, number, &call, &answer)?;
        let page: Option<HistoryPage> = serde_json::from_slice(&answer.body).ok();
        let found = page.as_ref().map(|page| {
            page.payments.iter().map(|one| (one.payment_id, one.captured)).collect::<Vec<_>>()
        });
        // The hundred before it, the newest first, each paid.
        let due = (newer.saturating_sub(PAGE)..newer).rev();
        let due = due.map(|one| (self.stored.payment(one), Stored::minor(one))).collect();
        if found == Some(due) { Ok(()) } else { Err(unexpected(what, &answer)) }
    }
}

/// States of operations by their keys, anywhere among those of the past.
#[derive(Debug)]
pub(crate) struct Statuses {
    pub(crate) caller: Caller,
    pub(crate) stored: Stored,
}

impl Work for Statuses {
    type Ticket = (Signature, u64);

    fn prepare(&self, number: usize) -> (Request, Self::Ticket) {
        let one = anywhere(number, self.stored.count);
        let key = self.stored.key(one);
        let path = route::OPERATION.replace("{idempotency_key}", key.as_str());
        let signed = self.caller.sign(&Draft::get(path));
        (signed.request, (signed.signature, one))
    }

    fn judge(
        &self,
        number: usize,
        (call, one): Self::Ticket,
        answer: Response,
    ) -> Result<(), BenchError> {
        let what = "an operation";
        verify_some(&self.caller, what, number, &call, &answer)?;
        let status: Option<KeyStatus> = serde_json::from_slice(&answer.body).ok();
        match status {
            Some(KeyStatus::Operation(view))
                if view.state == WireOperationState::Done
                    && view.payment_id == self.stored.payment(one)
                    && view.done_amount.map(Amount::minor) == Some(Stored::minor(one)) =>
            {
                Ok(())
            }
            _ => Err(unexpected(what, &answer)),
        }
    }
}

/// A number below `end`, another one for each call and the same in every run.
fn anywhere(number: usize, end: u64) -> u64 {
    let end = NonZero::new(end).unwrap_or(NonZero::<u64>::MIN);
    (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) % end
}

fn verify_some(
    caller: &Caller,
    what: &'static str,
    number: usize,
    call: &Signature,
    answer: &Response,
) -> Result<(), BenchError> {
    if !number.is_multiple_of(VERIFY_EVERY) {
        return Ok(());
    }
    let fields = answer::Received::read(|name| {
        answer.headers.get_all(name).iter().map(|value| value.as_bytes())
    });
    let (status, body) = (answer.status, &answer.body);
    answer::verify(&POS_CONNECT, &fields, status, body, call, &caller.answer_key)
        .map(drop)
        .map_err(|cause| BenchError::Unverified { what, cause })
}

fn unexpected(what: &'static str, answer: &Response) -> BenchError {
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    BenchError::Answer { what, status: answer.status, body }
}
