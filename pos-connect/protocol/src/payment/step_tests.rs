use proptest::prelude::*;

use super::*;
use crate::money::Currency;
use crate::payment::PaymentState;

fn id(n: u8) -> OperationId {
    OperationId::from_octets([n; 16])
}

fn yen(minor: u64) -> Amount {
    Amount::new(minor).unwrap()
}

fn ask(n: u8, kind: OperationKind, amount: u64) -> Event {
    let amount = Amount::new(amount).ok();
    Event::Begin(NewOperation { id: id(n), kind, amount, allow_partial: false })
}

/// Plays events that must all be accepted.
fn play(events: &[Event]) -> Payment {
    let start = Payment::new(yen(1000), Currency::JPY);
    events.iter().fold(start, |payment, event| step(&payment, event).unwrap().0)
}

fn done(n: u8, amount: u64) -> Event {
    Event::Learnt(id(n), Outcome::Done(yen(amount)))
}

fn refusal(payment: &Payment, event: &Event) -> ErrorCode {
    step(payment, event).unwrap_err().code
}

#[test]
fn a_sale_is_authorised_and_captured_in_one() {
    let payment = play(&[ask(1, OperationKind::Sale, 1000), done(1, 1000)]);
    assert_eq!((payment.sums.authorised, payment.sums.captured), (1000, 1000));
    assert_eq!(payment.state(), PaymentState::Paid);
    let void = refusal(&payment, &ask(2, OperationKind::Void, 0));
    assert_eq!(void, ErrorCode::NothingLeft);
}

#[test]
fn two_captures_a_refund_and_a_void_of_the_rest() {
    let payment = play(&[
        ask(1, OperationKind::Authorise, 1000),
        done(1, 1000),
        ask(2, OperationKind::Capture, 300),
        ask(3, OperationKind::Capture, 400),
        done(3, 400),
        done(2, 300),
        ask(4, OperationKind::Refund, 200),
        done(4, 200),
    ]);
    assert_eq!(payment.sums.captured, 700);
    assert_eq!(payment.state(), PaymentState::PartlyRefunded);
    let (payment, _) = step(&payment, &ask(5, OperationKind::Void, 0)).unwrap();
    assert_eq!(payment.operation(id(5)).unwrap().amount, yen(300));
    let (payment, actions) = step(&payment, &done(5, 300)).unwrap();
    assert_eq!(payment.sums.released, 300);
    assert_eq!(actions, [Action::Finish(id(5))]);
    let more = refusal(&payment, &ask(6, OperationKind::Capture, 1));
    assert_eq!(more, ErrorCode::NothingLeft);
}

#[test]
fn open_operations_count_as_if_they_had_succeeded() {
    let payment = play(&[
        ask(1, OperationKind::Authorise, 1000),
        done(1, 1000),
        ask(2, OperationKind::Capture, 700),
        Event::Learnt(id(2), Outcome::Unknown),
    ]);
    assert_eq!(refusal(&payment, &ask(3, OperationKind::Capture, 301)), ErrorCode::AmountExceeded);
    assert!(step(&payment, &ask(3, OperationKind::Capture, 300)).is_ok());
    let void = step(&payment, &ask(3, OperationKind::Void, 0)).unwrap_err();
    assert_eq!((void.code, void.blocker), (ErrorCode::Busy, Some(id(2))));
    assert_eq!(refusal(&payment, &ask(3, OperationKind::Refund, 1)), ErrorCode::NothingLeft);
}

#[test]
fn an_open_void_excludes_captures() {
    let payment = play(&[
        ask(1, OperationKind::Authorise, 1000),
        done(1, 1000),
        ask(2, OperationKind::Void, 0),
    ]);
    let capture = step(&payment, &ask(3, OperationKind::Capture, 1)).unwrap_err();
    assert_eq!((capture.code, capture.blocker), (ErrorCode::Busy, Some(id(2))));
}

#[test]
fn unknown_is_no_end_and_is_inquired_about() {
    let payment = play(&[ask(1, OperationKind::Sale, 1000)]);
    let (payment, actions) = step(&payment, &Event::Learnt(id(1), Outcome::Unknown)).unwrap();
    assert_eq!(actions, [Action::Inquire(id(1))]);
    assert_eq!(payment.state(), PaymentState::Unknown);
    assert!(!payment.frees_order());
    let (payment, _) = step(&payment, &Event::Learnt(id(1), Outcome::NotSent)).unwrap();
    assert_eq!(payment.state(), PaymentState::NotMade);
    assert!(payment.frees_order());
}

#[test]
fn another_amount_than_asked_for_is_unknown_and_alarms() {
    for wrong in [999, 1001] {
        let payment = play(&[ask(1, OperationKind::Sale, 1000)]);
        let (payment, actions) = step(&payment, &done(1, wrong)).unwrap();
        assert_eq!(payment.operation(id(1)).unwrap().state, OperationState::Unknown);
        assert!(matches!(actions[..], [Action::Inquire(_), Action::Alarm(..)]));
        assert_eq!(payment.sums.captured, 0);
    }
}

#[test]
fn a_partial_approval_stands_only_where_the_shop_allowed_it() {
    let begin = Event::Begin(NewOperation {
        id: id(1),
        kind: OperationKind::Sale,
        amount: Some(yen(1000)),
        allow_partial: true,
    });
    let payment = play(&[begin, done(1, 600)]);
    assert_eq!(payment.sums.captured, 600);
    assert_eq!(payment.state(), PaymentState::Paid);
}

#[test]
fn the_same_answer_twice_moves_money_once() {
    let payment = play(&[ask(1, OperationKind::Sale, 1000), done(1, 1000)]);
    let (again, actions) = step(&payment, &done(1, 1000)).unwrap();
    assert_eq!(again, payment);
    assert_eq!(actions, []);
}

#[test]
fn a_late_success_is_recorded_and_a_late_decline_of_what_stands_only_alarms() {
    let payment =
        play(&[ask(1, OperationKind::Sale, 1000), Event::Learnt(id(1), Outcome::NotSent)]);
    let (late, actions) = step(&payment, &done(1, 1000)).unwrap();
    assert_eq!(late.sums.captured, 1000);
    assert!(matches!(actions[..], [Action::Finish(_), Action::Alarm(..)]));
    let (same, actions) = step(&late, &Event::Learnt(id(1), Outcome::NotSent)).unwrap();
    assert_eq!(same, late);
    assert!(matches!(actions[..], [Action::Alarm(..)]));
}

#[test]
fn a_second_sale_on_a_payment_is_refused() {
    let payment = play(&[ask(1, OperationKind::Sale, 1000)]);
    assert_eq!(refusal(&payment, &ask(2, OperationKind::Sale, 1000)), ErrorCode::OrderTaken);
}

fn any_event() -> impl Strategy<Value = Event> {
    let kind = prop::sample::select(OperationKind::ALL);
    let begin =
        (1_u8..8, kind, 1_u64..1200, any::<bool>()).prop_map(|(n, kind, amount, partial)| {
            let amount = Some(yen(amount));
            Event::Begin(NewOperation { id: id(n), kind, amount, allow_partial: partial })
        });
    let outcome = prop_oneof![
        3 => (1_u64..1200).prop_map(|amount| Outcome::Done(yen(amount))),
        1 => Just(Outcome::Declined(DeclineReason::Other)),
        1 => Just(Outcome::NotSent),
        1 => Just(Outcome::NeedsPayer),
        1 => Just(Outcome::Pending),
        2 => Just(Outcome::Unknown),
        1 => Just(Outcome::Mismatched),
        1 => Just(Outcome::NeedsHuman),
    ];
    let learnt = (1_u8..8, outcome).prop_map(|(n, outcome)| Event::Learnt(id(n), outcome));
    prop_oneof![begin, learnt]
}

proptest! {
    /// Whatever is asked and whatever institutions say, the sums keep their order and are what the
    /// operations add up to; ended operations that succeeded never change.
    #[test]
    fn sums_never_run_over(events in prop::collection::vec(any_event(), 1..60)) {
        let mut payment = Payment::new(yen(1000), Currency::JPY);
        for event in &events {
            // One id is used once: the store's unique key sees to that.
            if let Event::Begin(new) = event && payment.operation(new.id).is_some() {
                continue;
            }
            let Ok((next, _)) = step(&payment, event) else { continue };
            for before in payment.operations.iter().filter(|one| matches!(one.state, OperationState::Done(_))) {
                prop_assert_eq!(next.operation(before.id).unwrap().state, before.state);
            }
            payment = next;
            let total = |kind: OperationKind| payment.operations.iter()
                .filter(|one| one.kind == kind)
                .map(|one| if let OperationState::Done(amount) = one.state { amount.minor() } else { 0 })
                .sum::<u64>();
            let sums = payment.sums;
            let sold = total(OperationKind::Sale);
            prop_assert_eq!(sums.authorised, sold + total(OperationKind::Authorise));
            prop_assert_eq!(sums.captured, sold + total(OperationKind::Capture));
            prop_assert_eq!(sums.released, total(OperationKind::Void));
            prop_assert_eq!(sums.refunded, total(OperationKind::Refund));
        }
    }
}
