//! What the ledger promises, one verb at a time.

use std::path::Path;

use pos_protocol::id::{OperationId, OrderId};
use pos_protocol::institution::{
    CheckRequest, InstitutionCode, Movement, OperationAnswer, OperationRequest, OutcomeState,
    PayerInstruction, ReversalRequest, ReversalState,
};
use pos_protocol::money::{Amount, Currency, Money};
use pos_protocol::payment::OperationKind;
use pos_protocol::reason::DeclineReason;
use pos_protocol::seal::{
    Binding, Card, Envelope, Expiry, Instrument, SealKey, SealSecretKey, SealedOperation, seal,
};
use pos_protocol::time::Timestamp;

use super::*;
use crate::house::House;
use crate::instrument::Verdict;

const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);
const LATER: Timestamp = Timestamp::from_secs(1_795_000_010);

fn id(at: u8) -> OperationId {
    OperationId::from_octets([at; 16])
}

fn order_id() -> OrderId {
    "order-1".parse().unwrap()
}

fn yen(minor: u64) -> Money {
    Money::new(minor, Currency::JPY).unwrap()
}

/// Any envelope: the ledger sees only what became of it.
fn envelope(rand: u8) -> Envelope {
    let secret = SealSecretKey::from_octets(&[7; 32]);
    let key = SealKey::new(secret.public(), LATER);
    let card = Card::new("4111111111111111", Expiry { year: 2030, month: 1 }).unwrap();
    let binding = Binding {
        institution: House::Card.id(),
        contract_number: "498".parse().unwrap(),
        operation: SealedOperation::Sale,
        order_id: order_id(),
        money: yen(1),
    };
    seal(&Instrument::Card(card), &binding, LATER, &key, &[rand; 48]).unwrap()
}

struct Bed {
    ledger: Ledger,
    folder: tempfile::TempDir,
}

impl Bed {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Self::open(folder.path());
        let number = "498".parse().unwrap();
        ledger.run(move |books| books.add_contract(&number)).await.unwrap();
        Self { ledger, folder }
    }

    fn open(folder: &Path) -> Ledger {
        let openings = [("rich", 1_000_000), ("poor", 1_000)].map(|(reference, balance)| Opening {
            reference: reference.into(),
            currency: Currency::JPY,
            balance,
        });
        Ledger::open(&folder.join("ledger.sqlite3"), &openings).unwrap()
    }

    async fn operate(&self, order: Order) -> Result<OperationAnswer, Refused> {
        self.operate_at(order, NOW).await
    }

    async fn operate_at(&self, order: Order, at: Timestamp) -> Result<OperationAnswer, Refused> {
        self.ledger.run(move |books| books.operate(&order, at)).await.unwrap()
    }

    async fn new_payment(&self, at: u8, kind: OperationKind, payer: &str, minor: u64) -> Judged {
        Judged(self.operate(order(at, kind, payer, minor)).await.unwrap())
    }

    async fn following(&self, at: u8, kind: OperationKind, original: u8, minor: u64) -> Judged {
        let original = id(original);
        let movement = match kind {
            OperationKind::Capture => Movement::Capture { original },
            OperationKind::Void => Movement::Void { original },
            _ => Movement::Refund { original },
        };
        let request = OperationRequest { movement, ..order(at, kind, "rich", minor).request };
        let order = Order { house: House::Card, request, sealed: None, quirk: None };
        Judged(self.operate(order).await.unwrap())
    }

    async fn reverse(&self, at: u8, original: u8, minor: u64) -> ReversalState {
        let request = ReversalRequest {
            operation_id: id(at),
            original: id(original),
            contract_number: "498".parse().unwrap(),
            order_id: order_id(),
            amount: Amount::new(minor).unwrap(),
            currency: Currency::JPY,
            repeat: false,
            not_after: LATER,
        };
        let answer =
            self.ledger.run(move |books| books.reverse(&request, None, NOW)).await.unwrap();
        answer.unwrap().state
    }

    async fn report(&self) -> LedgerReport {
        let report = self.ledger.run(|books| books.report()).await.unwrap();
        assert!(report.balanced);
        assert_eq!(report.moved_twice, 0);
        report
    }

    /// Authorised, captured, released, refunded, and what the shop's account holds.
    async fn sums(&self) -> (u64, u64, u64, u64, i64) {
        let totals = self.report().await.totals;
        totals.first().map_or((0, 0, 0, 0, 0), |one| {
            (one.authorised, one.captured, one.released, one.refunded, one.shop_balance)
        })
    }

    async fn effects(&self, at: u8) -> u64 {
        let found = self.ledger.run(move |books| books.operation_report(id(at))).await.unwrap();
        found.unwrap().effects
    }
}

fn order(at: u8, kind: OperationKind, payer: &str, minor: u64) -> Order {
    let instruction = PayerInstruction { envelope: envelope(at), allow_partial: false };
    let movement = match kind {
        OperationKind::Authorise => Movement::Authorise(instruction),
        _ => Movement::Sale(instruction),
    };
    let request = OperationRequest {
        operation_id: id(at),
        movement,
        contract_number: "498".parse().unwrap(),
        order_id: order_id(),
        amount: Amount::new(minor).unwrap(),
        currency: Currency::JPY,
        not_after: LATER,
    };
    let reference = payer.to_owned();
    let sealed = Sealed { rand: [at; 16], reference, verdict: Verdict::Pays };
    Order { house: House::Card, request, sealed: Some(Ok(sealed)), quirk: None }
}

#[derive(Debug)]
struct Judged(OperationAnswer);

impl Judged {
    fn done(&self) -> Option<u64> {
        match &self.0 {
            OperationAnswer::Outcome(known) if matches!(known.state, OutcomeState::Done { .. }) => {
                Some(known.amount.minor())
            }
            _ => None,
        }
    }

    fn declined(&self) -> Option<DeclineReason> {
        match &self.0 {
            OperationAnswer::Outcome(known) => match known.state {
                OutcomeState::Declined { reason, .. } => Some(reason),
                _ => None,
            },
            _ => None,
        }
    }
}

#[tokio::test]
async fn the_same_id_has_the_same_effect() {
    let bed = Bed::new().await;
    let first = bed.new_payment(1, OperationKind::Sale, "rich", 300).await;
    assert_eq!(first.done(), Some(300));
    // Also when it comes again after its end, and with an envelope that was long taken.
    let long_after = LATER.plus(std::time::Duration::from_secs(60));
    let again = bed.operate_at(order(1, OperationKind::Sale, "rich", 300), long_after).await;
    assert_eq!(Judged(again.unwrap()).done(), Some(300));
    assert_eq!(bed.effects(1).await, 1);
    assert_eq!(bed.sums().await, (300, 300, 0, 0, 300));
    let other = bed.operate(order(1, OperationKind::Sale, "rich", 301)).await.unwrap_err();
    assert_eq!(other.code, InstitutionCode::OperationIdReused);
}

#[tokio::test]
async fn an_envelope_is_taken_for_one_operation() {
    let bed = Bed::new().await;
    bed.new_payment(1, OperationKind::Sale, "rich", 300).await;
    let mut other = order(2, OperationKind::Sale, "rich", 300);
    if let Some(Ok(sealed)) = &mut other.sealed {
        sealed.rand = [1; 16];
    }
    let refused = bed.operate(other).await.unwrap_err();
    assert_eq!(refused.code, InstitutionCode::EnvelopeUsed);
    assert_eq!(bed.sums().await, (300, 300, 0, 0, 300));
    let unseen = bed.ledger.run(|books| books.inquire(id(2), NOW)).await.unwrap();
    assert_eq!(unseen, OperationAnswer::NotFound { operation_id: id(2), time: NOW });
}

#[tokio::test]
async fn a_late_arrival_is_refused_for_ever() {
    let bed = Bed::new().await;
    let after = LATER.plus(std::time::Duration::from_millis(1));
    let late = order(1, OperationKind::Sale, "rich", 300);
    let refused = OperationAnswer::NotProcessed { operation_id: id(1), time: after };
    assert_eq!(bed.operate_at(late, after).await.unwrap(), refused);
    // A clock that went back does not make it good.
    let again = bed.operate(order(1, OperationKind::Sale, "rich", 300)).await.unwrap();
    assert!(matches!(again, OperationAnswer::NotProcessed { .. }));
    assert_eq!(bed.effects(1).await, 0);
    assert_eq!(bed.sums().await, (0, 0, 0, 0, 0));
}

#[tokio::test]
async fn captures_voids_and_refunds_keep_within_what_is_there() {
    use OperationKind::{Authorise, Capture, Refund, Void};
    let bed = Bed::new().await;
    assert_eq!(bed.new_payment(1, Authorise, "rich", 1_000).await.done(), Some(1_000));
    assert_eq!(bed.following(2, Capture, 1, 400).await.done(), Some(400));
    assert_eq!(bed.following(3, Capture, 1, 350).await.done(), Some(350));
    let amount_invalid = Some(DeclineReason::AmountInvalid);
    assert_eq!(bed.following(4, Capture, 1, 251).await.declined(), amount_invalid);
    assert_eq!(bed.following(5, Refund, 1, 751).await.declined(), amount_invalid);
    assert_eq!(bed.following(6, Refund, 1, 150).await.done(), Some(150));
    assert_eq!(bed.following(7, Void, 1, 249).await.declined(), amount_invalid);
    assert_eq!(bed.following(8, Void, 1, 250).await.done(), Some(250));
    assert_eq!(bed.following(9, Capture, 1, 1).await.declined(), amount_invalid);
    assert_eq!(
        bed.following(10, Refund, 99, 1).await.declined(),
        Some(DeclineReason::NotPermitted)
    );
    assert_eq!(bed.sums().await, (1_000, 750, 250, 150, 600));
}

#[tokio::test]
async fn an_account_pays_no_more_than_it_holds() {
    let bed = Bed::new().await;
    let too_low = Some(DeclineReason::InsufficientFunds);
    assert_eq!(bed.new_payment(1, OperationKind::Sale, "poor", 1_001).await.declined(), too_low);
    assert_eq!(bed.new_payment(2, OperationKind::Sale, "poor", 600).await.done(), Some(600));
    assert_eq!(bed.new_payment(3, OperationKind::Sale, "poor", 500).await.declined(), too_low);
    let mut partial = Order { house: House::Prepaid, ..order(4, OperationKind::Sale, "poor", 500) };
    if let Movement::Sale(instruction) = &mut partial.request.movement {
        instruction.allow_partial = true;
    }
    assert_eq!(Judged(bed.operate(partial).await.unwrap()).done(), Some(400));
    assert_eq!(bed.sums().await.1, 1_000);
}

#[tokio::test]
async fn an_unknown_shop_and_a_foreign_currency_are_declined() {
    let bed = Bed::new().await;
    let mut unknown = order(1, OperationKind::Sale, "rich", 300);
    unknown.request.contract_number = "499".parse().unwrap();
    let merchant_invalid = Some(DeclineReason::MerchantInvalid);
    assert_eq!(Judged(bed.operate(unknown).await.unwrap()).declined(), merchant_invalid);
    let mut foreign = order(2, OperationKind::Sale, "rich", 300);
    foreign.request.currency = Currency::USD;
    let not_permitted = Some(DeclineReason::NotPermitted);
    assert_eq!(Judged(bed.operate(foreign).await.unwrap()).declined(), not_permitted);
    assert_eq!(bed.sums().await, (0, 0, 0, 0, 0));
}

#[tokio::test]
async fn reversals_undo_whatever_came_of_the_original() {
    use OperationKind::{Authorise, Capture, Sale};
    let bed = Bed::new().await;
    bed.new_payment(1, Sale, "rich", 300).await;
    assert_eq!(bed.reverse(2, 1, 300).await, ReversalState::Reversed);
    assert_eq!(bed.reverse(2, 1, 300).await, ReversalState::Reversed);
    assert_eq!(bed.sums().await, (0, 0, 0, 0, 0));
    bed.new_payment(3, Authorise, "rich", 300).await;
    bed.following(4, Capture, 3, 100).await;
    assert_eq!(bed.reverse(5, 3, 300).await, ReversalState::AlreadySettled);
    // One that overtakes its original: the original is refused when it comes.
    assert_eq!(bed.reverse(6, 7, 300).await, ReversalState::OriginalNotFound);
    let overtaken = bed.new_payment(7, Sale, "rich", 300).await;
    assert!(matches!(overtaken.0, OperationAnswer::NotProcessed { .. }));
    assert!(matches!(bed.reverse(8, 3, 299).await, ReversalState::Declined { .. }));
    assert_eq!(bed.sums().await, (300, 100, 0, 0, 100));
}

#[tokio::test]
async fn the_settlement_file_tells_what_moved_on_its_day() {
    use OperationKind::{Authorise, Capture, Refund, Sale};
    let bed = Bed::new().await;
    bed.new_payment(1, Sale, "rich", 300).await;
    bed.following(2, Refund, 1, 100).await;
    bed.new_payment(3, Authorise, "rich", 200).await;
    bed.following(4, Capture, 3, 150).await;
    bed.new_payment(5, Sale, "rich", 50).await;
    assert_eq!(bed.reverse(6, 5, 50).await, ReversalState::Reversed);
    assert_eq!(bed.reverse(7, 8, 50).await, ReversalState::OriginalNotFound);
    bed.new_payment(9, Sale, "rich", 999_999_999).await;
    let file = async |from: Timestamp, until: Timestamp| {
        let (institution, day) = (House::Card.id(), "2026-11-18".to_owned());
        let day = SettlementDay { institution, day, from, until };
        let file = bed.ledger.run(move |books| books.settlement(&day)).await.unwrap();
        String::from_utf8(file).unwrap()
    };
    let line = |at: u8, rest: &str| format!("{},{rest},JPY,1795000000000\n", id(at));
    let lines = [
        "pos-settlement/1,sakura-card,2026-11-18,1795000000000,1795000010000\n".to_owned(),
        "operation_id,kind,contract_number,order_id,reference,amount,currency,time_ms\n".to_owned(),
        line(1, "sale,498,order-1,R000000000001,300"),
        line(2, "refund,498,order-1,R000000000002,100"),
        line(3, "authorise,498,order-1,R000000000003,200"),
        line(4, "capture,498,order-1,R000000000004,150"),
        line(5, "sale,498,order-1,R000000000005,50"),
        line(6, "reverse,498,order-1,V000000000001,50"),
        "end,6,JPY,850\n".to_owned(),
    ];
    assert_eq!(file(NOW, LATER).await, lines.concat());
    let empty = file(LATER, LATER.plus(std::time::Duration::from_secs(1))).await;
    assert!(empty.ends_with("time_ms\nend,0\n"), "{empty}");
}

#[tokio::test]
async fn a_pending_sale_is_done_at_the_second_inquiry() {
    let bed = Bed::new().await;
    let mut pending = order(1, OperationKind::Sale, "rich", 300);
    if let Some(Ok(sealed)) = &mut pending.sealed {
        sealed.verdict = Verdict::Pends;
    }
    let is_pending = |answer: &OperationAnswer| {
        matches!(answer, OperationAnswer::Outcome(known)
            if matches!(known.state, OutcomeState::Pending { .. }))
    };
    assert!(is_pending(&bed.operate(pending).await.unwrap()));
    let inquire = || bed.ledger.run(|books| books.inquire(id(1), NOW));
    assert!(is_pending(&inquire().await.unwrap()));
    assert_eq!(bed.effects(1).await, 0);
    assert_eq!(Judged(inquire().await.unwrap()).done(), Some(300));
    assert_eq!(Judged(inquire().await.unwrap()).done(), Some(300));
    assert_eq!(bed.effects(1).await, 1);
    assert_eq!(bed.sums().await, (300, 300, 0, 0, 300));
}

#[tokio::test]
async fn what_was_answered_survives_a_restart() {
    let bed = Bed::new().await;
    bed.new_payment(1, OperationKind::Sale, "rich", 300).await;
    let Bed { ledger, folder } = bed;
    drop(ledger);
    let bed = Bed { ledger: Bed::open(folder.path()), folder };
    assert_eq!(bed.sums().await, (300, 300, 0, 0, 300));
    let known = bed.ledger.run(|books| books.inquire(id(1), NOW)).await.unwrap();
    assert_eq!(Judged(known).done(), Some(300));
    // Opening balances are given once.
    let poor = bed.new_payment(2, OperationKind::Sale, "poor", 1_001).await;
    assert_eq!(poor.declined(), Some(DeclineReason::InsufficientFunds));
}

#[tokio::test]
async fn a_reversals_id_is_used_up_for_operations_too() {
    let bed = Bed::new().await;
    bed.new_payment(1, OperationKind::Sale, "rich", 300).await;
    assert_eq!(bed.reverse(2, 1, 300).await, ReversalState::Reversed);
    let refused = bed.operate(order(2, OperationKind::Sale, "rich", 300)).await.unwrap_err();
    assert_eq!(refused.code, InstitutionCode::OperationIdReused);
    assert_eq!(bed.sums().await, (0, 0, 0, 0, 0));
}

#[tokio::test]
async fn a_check_says_what_a_sale_would_meet() {
    let bed = Bed::new().await;
    let check = |at: u8, payer: &str, money: Money| {
        let Some(Ok(sealed)) = order(at, OperationKind::Sale, payer, 1).sealed else { panic!() };
        let request = CheckRequest {
            contract_number: "498".parse().unwrap(),
            order_id: order_id(),
            amount: money.amount,
            currency: money.currency,
            envelope: envelope(at),
        };
        bed.ledger.run(move |books| books.would_pass(House::Card, &request, &sealed, None))
    };
    assert_eq!(check(1, "poor", yen(1_000)).await.unwrap(), Ok(None));
    let too_low = Some(DeclineReason::InsufficientFunds);
    assert_eq!(check(2, "poor", yen(1_001)).await.unwrap(), Ok(too_low));
    // More than the house takes at all, and a currency that it does not take.
    let beyond = Some(DeclineReason::AmountInvalid);
    assert_eq!(check(3, "rich", yen(10_000_000)).await.unwrap(), Ok(beyond));
    let dollars = Money::new(1, Currency::USD).unwrap();
    let foreign = Some(DeclineReason::NotPermitted);
    assert_eq!(check(4, "rich", dollars).await.unwrap(), Ok(foreign));
}

/// Somebody sets the clock back while the institution is down.
#[tokio::test]
async fn the_latest_time_that_was_told_survives_a_restart() {
    let bed = Bed::new().await;
    bed.ledger.run(|books| books.inquire(id(1), LATER)).await.unwrap();
    bed.ledger.run(|books| books.inquire(id(2), NOW)).await.unwrap();
    let Bed { ledger, folder } = bed;
    drop(ledger);
    let ledger = Bed::open(folder.path());
    assert_eq!(ledger.run(|books| Ok(books.latest_time())).await.unwrap(), LATER);
}

#[tokio::test]
async fn one_commit_takes_all_that_queued_and_a_failing_job_harms_none() {
    let bed = Bed::new().await;
    let mut jobs = tokio::task::JoinSet::new();
    let ledger = std::sync::Arc::new(bed.ledger);
    for at in 1..=200 {
        let ledger = std::sync::Arc::clone(&ledger);
        jobs.spawn(async move {
            let order = order(at, OperationKind::Sale, "rich", 10);
            let fails = at % 5 == 0;
            let done = ledger
                .run(move |books| {
                    let answer = books.operate(&order, NOW)?;
                    if fails { Err(rusqlite::Error::InvalidQuery) } else { Ok(answer) }
                })
                .await;
            assert_eq!(done.is_ok(), !fails, "{at}");
        });
    }
    while let Some(ended) = jobs.join_next().await {
        ended.unwrap();
    }
    let report = ledger.run(|books| books.report()).await.unwrap();
    assert!(report.balanced);
    assert_eq!(report.operations, 160);
    assert_eq!(report.totals[0].captured, 1_600);
}
