//! The judge: the institution's books, the server's state and what the client was told must agree,
//! operation by operation and to the unit.

use std::collections::BTreeMap;

use pos_protocol::id::{OperationId, PaymentId};
use pos_protocol::wire::{HistoryPage, OperationView, PaymentView, WireOperationState, route};
use pos_tests::Bed;
use pos_tests::line::Line;
use pos_tests::raw::{Caller, Draft};

use crate::calls::{INSTITUTION, Paid};
use crate::error::BenchError;

/// What agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) operations: usize,
    /// In minor units.
    pub(crate) minor: u64,
}

/// What each operation moved, in minor units.
type Moved = BTreeMap<OperationId, u64>;

/// Compares all three; of the server's payments those that are newer than `older`.
///
/// # Errors
/// [`BenchError::Ledger`] names the first difference.
pub(crate) async fn check(
    bed: &Bed,
    caller: &Caller,
    paid: &[Paid],
    older: Option<PaymentId>,
) -> Result<Agreed, BenchError> {
    let institution = in_the_books(bed).await?;
    let server = in_the_history(bed, caller, older).await?;
    let told = paid.iter().map(|one| (one.operation, one.minor)).collect();
    match difference(&institution, &server, &told) {
        Some(difference) => Err(BenchError::Ledger(difference)),
        None => Ok(Agreed { operations: server.len(), minor: server.values().sum() }),
    }
}

async fn in_the_books(bed: &Bed) -> Result<Moved, BenchError> {
    let ledger = bed.institutions.ledger(INSTITUTION).await?;
    if !ledger.balanced || ledger.moved_twice != 0 {
        let what = format!("the institution's own books do not balance: {ledger:?}");
        return Err(BenchError::Ledger(what));
    }
    let all = bed.institutions.operations(INSTITUTION).await?;
    let moved: Moved = all.iter().map(|one| (one.operation_id, one.moved)).collect();
    let captured: u64 = ledger.totals.iter().map(|total| total.captured).sum();
    if captured != moved.values().sum::<u64>() || moved.len() != all.len() {
        let what = format!("the institution's sums are not those of its operations: {ledger:?}");
        return Err(BenchError::Ledger(what));
    }
    Ok(moved)
}

/// Every newer payment of the shop as the server shows it, page by page, the newest first.
async fn in_the_history(
    bed: &Bed,
    caller: &Caller,
    older: Option<PaymentId>,
) -> Result<Moved, BenchError> {
    let mut line = bed.server.tls_place()?.connect().await?;
    let mut moved = Moved::new();
    let mut after = String::new();
    loop {
        let page = page(&mut line, caller, &after).await?;
        for payment in &page.payments {
            if older.is_some_and(|older| payment.payment_id <= older) {
                return Ok(moved);
            }
            for operation in &payment.operations {
                moved.insert(operation.operation_id, moved_by(payment, operation)?);
            }
        }
        match page.next {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(moved),
        }
    }
}

async fn page(line: &mut Line, caller: &Caller, after: &str) -> Result<HistoryPage, BenchError> {
    let draft = Draft::get(format!("{}?limit=100{after}", route::PAYMENTS));
    let answer = caller.call_on(line, &draft).await?;
    let read = answer
        .verified
        .clone()
        .and_then(|_| serde_json::from_slice(&answer.body).map_err(|cause| cause.to_string()));
    read.map_err(|cause| BenchError::Answer {
        what: "the history",
        status: answer.status,
        body: format!("{} ({cause})", String::from_utf8_lossy(&answer.body)),
    })
}

/// A payment of the benchmark is one finished sale, and its sums say so.
fn moved_by(payment: &PaymentView, operation: &OperationView) -> Result<u64, BenchError> {
    let minor = operation.done_amount.map_or(0, pos_protocol::Amount::minor);
    let is_whole = operation.state == WireOperationState::Done
        && payment.captured == minor
        && payment.amount.minor() == minor;
    if is_whole {
        return Ok(minor);
    }
    Err(BenchError::Ledger(format!("the server's payment is not one finished sale: {payment:?}")))
}

/// The first difference, as a sentence. Every call of a run is answered, so the client knows neither
/// more nor less than the two books.
fn difference(institution: &Moved, server: &Moved, told: &Moved) -> Option<String> {
    let first = |name: &str, one: &Moved, other: &Moved, other_name: &str| {
        let found = one.iter().find(|(id, minor)| other.get(id) != Some(minor))?;
        let (id, minor) = found;
        let there = other.get(id).map_or_else(|| "nothing".to_owned(), u64::to_string);
        Some(format!("operation {id} moved {minor} for {name} and {there} for {other_name}"))
    };
    first("the institution", institution, server, "the server")
        .or_else(|| first("the server", server, institution, "the institution"))
        .or_else(|| first("the client", told, server, "the server"))
        .or_else(|| first("the server", server, told, "the client"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(entries: &[(u8, u64)]) -> Moved {
        entries.iter().map(|(id, minor)| (OperationId::from_octets([*id; 16]), *minor)).collect()
    }

    #[test]
    fn every_kind_of_difference_shows() {
        let books = moved(&[(1, 100), (2, 250)]);
        assert_eq!(difference(&books, &books, &books), None);
        let one_less = moved(&[(1, 100)]);
        let one_more = moved(&[(1, 100), (2, 250), (3, 1)]);
        let other_amount = moved(&[(1, 100), (2, 251)]);
        for other in [one_less, one_more, other_amount] {
            assert!(difference(&other, &books, &books).is_some(), "{other:?} at the institution");
            assert!(difference(&books, &other, &books).is_some(), "{other:?} at the server");
            assert!(difference(&books, &books, &other).is_some(), "{other:?} at the client");
        }
        let text = difference(&books, &moved(&[(1, 100), (2, 7)]), &books).unwrap();
        assert!(text.ends_with("moved 250 for the institution and 7 for the server"), "{text}");
    }
}
