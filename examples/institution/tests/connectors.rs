//! What every connector must do, judged by the institution's ledger.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]

mod support;

use std::time::Duration;

use hyper::Method;
use hyper::header::HeaderValue;
use pos_institution::house::House;
use pos_protocol::key::SigningKey;
use pos_protocol::money::{Amount, Currency, Money};
use pos_protocol::payment::{OperationKind, Outcome};
use pos_protocol::reason::DeclineReason;
use pos_server::connectors::{
    Answer, CheckOutcome, DriverSettings, Fault, Institution, OperationOrder, PrepareError, Reply,
    Request, SendPermit,
};
use serde_json::json;
use support::{Bed, just_past};

/// Whether a fault is the one that a test expects.
type Explains = fn(&Fault) -> bool;

/// What somebody on the way does to a copy of a call.
type Bend = fn(&mut Request);

fn done(minor: u64) -> Outcome {
    Outcome::Done(Amount::new(minor).unwrap())
}

fn moved(minor: u64) -> Option<(String, u64, u64)> {
    Some(("done".into(), minor, 1))
}

#[tokio::test]
async fn a_sale_is_done_once_whatever_is_sent_again() {
    let bed = Bed::start().await;
    for house in House::ALL {
        let at = bed.institution(house);
        let order = bed.order(&at, OperationKind::Sale, "approve", 1_200).await;
        let answer = bed.send(&at, &order).await;
        assert_eq!(answer.outcome, done(1_200), "{house:?}: {answer:?}");
        assert!(answer.fault.is_none());
        assert!(answer.reference.is_some() && answer.approval_code.is_some());
        assert_eq!(answer.shop_record_version, Some(1));
        let again = OperationOrder { sent_before: true, ..order.clone() };
        let repeated = bed.send(&at, &again).await;
        assert_eq!(repeated.outcome, done(1_200));
        assert_eq!(repeated.reference, answer.reference);
        assert_eq!(bed.driver.inquire(&at, &order).await.reference, answer.reference);
        assert_eq!(bed.judged(&order).await, moved(1_200));
        // Another payment by the same instrument has the same card reference, and no other does.
        let next = bed.order(&at, OperationKind::Sale, "approve", 1).await;
        let next = bed.send(&at, &next).await;
        assert_eq!(next.card_reference, answer.card_reference);
        let other = bed.order(&at, OperationKind::Sale, "small_balance", 1).await;
        assert_ne!(bed.send(&at, &other).await.card_reference, answer.card_reference);
    }
    bed.ledger_is_sound().await;
}

#[tokio::test]
async fn every_decline_arrives_with_its_reason() {
    let bed = Bed::start().await;
    for house in House::ALL {
        let at = bed.institution(house);
        for reason in DeclineReason::ALL {
            let order = bed.order(&at, OperationKind::Sale, reason.wire(), 500).await;
            let answer = bed.send(&at, &order).await;
            assert_eq!(answer.outcome, Outcome::Declined(*reason), "{house:?} {reason:?}");
            assert!(answer.raw_code.is_some_and(|code| code != reason.wire()));
            assert_eq!(bed.judged(&order).await, Some(("declined".into(), 0, 0)));
        }
        let order = bed.order(&at, OperationKind::Sale, "small_balance", 1_001).await;
        let too_low = Outcome::Declined(DeclineReason::InsufficientFunds);
        assert_eq!(bed.send(&at, &order).await.outcome, too_low);
    }
}

#[tokio::test]
async fn a_payment_lives_its_whole_life() {
    use OperationKind::{Authorise, Capture, Refund, Void};
    let bed = Bed::start().await;
    let at = bed.institution(House::Card);
    let authorised = bed.order(&at, Authorise, "approve", 1_000).await;
    assert_eq!(bed.send(&at, &authorised).await.outcome, done(1_000));
    let following = [(Capture, 400), (Capture, 250), (Refund, 150), (Void, 350)];
    for (kind, yen) in following {
        let order = bed.following(&authorised, kind, yen);
        assert_eq!(bed.send(&at, &order).await.outcome, done(yen), "{kind}");
        assert_eq!(bed.judged(&order).await, moved(yen), "{kind}");
    }
    let beyond = bed.following(&authorised, Capture, 1);
    let amount_invalid = Outcome::Declined(DeclineReason::AmountInvalid);
    assert_eq!(bed.send(&at, &beyond).await.outcome, amount_invalid);
    let totals = &bed.control("GET", "/control/ledger", &json!(null)).await["sakura-card"];
    let expected = json!([{
        "contract": support::CONTRACT, "currency": "JPY", "authorised": 1_000, "captured": 650,
        "released": 350, "refunded": 150, "shop_balance": 500,
    }]);
    assert_eq!(totals["totals"], expected);
    bed.ledger_is_sound().await;
}

#[tokio::test]
async fn a_partial_approval_says_how_much() {
    let bed = Bed::start().await;
    let at = bed.institution(House::Prepaid);
    let order = bed.order(&at, OperationKind::Sale, "small_balance", 1_500).await;
    let order = OperationOrder { allow_partial: true, ..order };
    assert_eq!(bed.send(&at, &order).await.outcome, done(1_000));
    assert_eq!(bed.judged(&order).await, moved(1_000));
}

#[tokio::test]
async fn a_pending_payment_ends_when_the_institution_says() {
    let bed = Bed::start().await;
    let at = bed.institution(House::Bank);
    let order = bed.order(&at, OperationKind::Sale, "pending", 900).await;
    let answer = bed.send(&at, &order).await;
    assert_eq!(
        (answer.outcome, answer.next_look),
        (Outcome::Pending, Some(Duration::from_secs(1)))
    );
    assert_eq!(bed.driver.inquire(&at, &order).await.outcome, Outcome::Pending);
    assert_eq!(bed.driver.inquire(&at, &order).await.outcome, done(900));
    assert_eq!(bed.judged(&order).await, moved(900));
}

/// The faults after which the operation stands but its answer cannot be believed: unknown, never
/// failed, and found out by asking.
#[tokio::test]
async fn what_cannot_be_believed_is_unknown_and_found_out() {
    let bed = Bed::start().await;
    let expected: [(&str, Explains); 7] = [
        ("no_answer", |fault| matches!(fault, Fault::TimedOut)),
        ("processed_then_cut", |fault| matches!(fault, Fault::Line(_))),
        ("garbage", |fault| matches!(fault, Fault::Line(_))),
        ("garbled_body", |fault| matches!(fault, Fault::Body(_))),
        ("unsigned", |fault| matches!(fault, Fault::Signature { status: 200, .. })),
        ("error500", |fault| matches!(fault, Fault::Refused { code, .. } if code == "internal")),
        ("bad_gateway", |fault| matches!(fault, Fault::Signature { status: 502, .. })),
    ];
    let at = bed.institution(House::Card);
    for (name, explains) in expected {
        let instrument = format!("fault:{name}");
        let order = bed.order(&at, OperationKind::Sale, &instrument, 700).await;
        let answer = bed.send(&at, &order).await;
        assert_eq!(answer.outcome, Outcome::Unknown, "{name}: {answer:?}");
        assert!(answer.fault.as_ref().is_some_and(explains), "{name}: {answer:?}");
        assert_eq!(bed.judged(&order).await, moved(700), "{name}");
        let asked = OperationOrder { envelope: None, ..order.clone() };
        assert_eq!(bed.driver.inquire(&at, &asked).await.outcome, done(700), "{name}");
    }
    bed.ledger_is_sound().await;
}

/// What never reached the books is unknown too, until the institution's own time proves that it
/// never will.
#[tokio::test]
async fn not_found_is_final_only_after_the_limit() {
    let bed = Bed::start().await;
    let at = bed.institution(House::Card);
    for name in ["fault:lost", "fault:cut"] {
        let order = bed.order(&at, OperationKind::Sale, name, 700).await;
        assert_eq!(bed.send(&at, &order).await.outcome, Outcome::Unknown, "{name}");
        assert_eq!(bed.judged(&order).await, None, "{name}");
        let early = bed.driver.inquire(&at, &order).await;
        assert_eq!(early.outcome, Outcome::Unknown);
        assert!(matches!(early.fault, Some(Fault::NotFoundYet)), "{early:?}");
        let past = OperationOrder { not_after: just_past(&*bed.clock), ..order.clone() };
        let proved = bed.inquire_until_known(&at, &past).await;
        assert_eq!(proved.outcome, Outcome::NotSent);
        assert!(proved.institution_time.is_some_and(|time| time > past.not_after));
    }
}

#[tokio::test]
async fn a_late_arrival_is_refused_and_stays_so() {
    let bed = Bed::start().await;
    let at = bed.institution(House::Card);
    bed.plan_fault(json!({"fault": "slow_arrival", "delay_ms": 120, "times": 1})).await;
    let order = bed.order(&at, OperationKind::Sale, "approve", 700).await;
    let not_after = bed.clock.now().plus(Duration::from_millis(20));
    let order = OperationOrder { not_after, ..order };
    assert_eq!(bed.send(&at, &order).await.outcome, Outcome::NotSent);
    assert_eq!(bed.judged(&order).await, Some(("not_processed".into(), 0, 0)));
    assert_eq!(bed.driver.inquire(&at, &order).await.outcome, Outcome::NotSent);
    assert_eq!(bed.send(&at, &order).await.outcome, Outcome::NotSent);
    assert_eq!(bed.judged(&order).await, Some(("not_processed".into(), 0, 0)));
}

#[tokio::test]
async fn an_answer_about_something_else_is_a_mismatch() {
    let bed = Bed::start().await;
    let at = bed.institution(House::Card);
    let order = bed.order(&at, OperationKind::Sale, "fault:wrong_amount", 700).await;
    let answer = bed.send(&at, &order).await;
    assert_eq!(answer.outcome, Outcome::Mismatched);
    assert!(matches!(answer.fault, Some(Fault::Mismatch { field: "amount" })), "{answer:?}");
    assert_eq!(bed.judged(&order).await, moved(700));
    let bent = [
        ("other_order", "order_id"),
        ("other_currency", "currency"),
        ("other_operation", "operation_id"),
    ];
    for (fault, member) in bent {
        let order = bed.order(&at, OperationKind::Sale, &format!("fault:{fault}"), 700).await;
        for answer in [bed.send(&at, &order).await, {
            bed.plan_fault(json!({"fault": fault, "times": 1, "on": ["inquiries"]})).await;
            bed.driver.inquire(&at, &order).await
        }] {
            assert_eq!(answer.outcome, Outcome::Mismatched, "{fault}: {answer:?}");
            let named =
                |fault: &Fault| matches!(fault, Fault::Mismatch { field } if *field == member);
            assert!(answer.fault.as_ref().is_some_and(named), "{fault}: {answer:?}");
        }
        assert_eq!(bed.driver.inquire(&at, &order).await.outcome, done(700), "{fault}");
        assert_eq!(bed.judged(&order).await, moved(700), "{fault}");
    }
    // Less than was asked is an answer of its own; whether it is welcome, the core knows.
    let order = bed.order(&at, OperationKind::Sale, "fault:less_amount", 700).await;
    assert_eq!(bed.send(&at, &order).await.outcome, done(699));
    // The same proved record, held against other orders.
    let order = bed.order(&at, OperationKind::Sale, "approve", 700).await;
    bed.send(&at, &order).await;
    let euro = Money::new(700, Currency::EUR).unwrap();
    let others = [
        ("order_id", OperationOrder { order_id: "another".parse().unwrap(), ..order.clone() }),
        ("currency", OperationOrder { money: euro, ..order.clone() }),
    ];
    for (member, other) in others {
        let answer = bed.driver.inquire(&at, &other).await;
        assert_eq!(answer.outcome, Outcome::Mismatched, "{member}");
        let named = |fault: &Fault| matches!(fault, Fault::Mismatch { field } if *field == member);
        assert!(answer.fault.as_ref().is_some_and(named), "{member}");
    }
    assert_eq!(bed.driver.inquire(&at, &order).await.outcome, done(700));
}

/// The second answer must not be taken for the answer to the next call on the same line.
#[tokio::test]
async fn an_answer_that_comes_twice_counts_once() {
    let bed = Bed::start().await;
    let at = bed.institution(House::Card);
    for round in 1..=5 {
        let order = bed.order(&at, OperationKind::Sale, "fault:answer_twice", 100 + round).await;
        assert_eq!(bed.send(&at, &order).await.outcome, done(100 + round));
        let next = bed.order(&at, OperationKind::Sale, "approve", 200 + round).await;
        let answer = bed.send(&at, &next).await;
        // A second answer that was still under way when the next call went out makes it unknown,
        // because it is bound to the other call; never done by the wrong answer.
        if answer.outcome == Outcome::Unknown {
            assert_eq!(bed.inquire_until_known(&at, &next).await.outcome, done(200 + round));
        } else {
            assert_eq!(answer.outcome, done(200 + round));
        }
        assert_eq!(bed.judged(&next).await, moved(200 + round));
    }
    bed.ledger_is_sound().await;
}

#[tokio::test]
async fn a_delayed_answer_is_waited_for() {
    let bed = Bed::start().await;
    let at = bed.institution(House::Bank);
    bed.plan_fault(json!({"fault": "delayed_answer", "delay_ms": 150, "times": 1})).await;
    let order = bed.order(&at, OperationKind::Sale, "approve", 700).await;
    assert_eq!(bed.send(&at, &order).await.outcome, done(700));
    let sale = order;
    bed.plan_fault(json!({"fault": "no_answer", "operations": ["refund"], "times": 1})).await;
    let refund = bed.following(&sale, OperationKind::Refund, 300);
    assert_eq!(bed.send(&at, &refund).await.outcome, Outcome::Unknown);
    assert_eq!(bed.driver.inquire(&at, &refund).await.outcome, done(300));
    bed.ledger_is_sound().await;
}

#[tokio::test]
async fn a_refusal_proves_only_its_own_sending() {
    let bed = Bed::start().await;
    let at = bed.institution(House::Card);
    let first = bed.order(&at, OperationKind::Sale, "approve", 700).await;
    assert_eq!(bed.send(&at, &first).await.outcome, done(700));
    // Another operation with an envelope that was taken: refused, and nothing was done.
    let stolen = OperationOrder { operation_id: bed.fresh_id(), ..first.clone() };
    let refused = bed.send(&at, &stolen).await;
    assert_eq!(refused.outcome, Outcome::NotSent);
    assert_eq!(refused.raw_code.as_deref(), Some("envelope_used"));
    let maybe_sent = OperationOrder { sent_before: true, ..stolen };
    assert_eq!(bed.send(&at, &maybe_sent).await.outcome, Outcome::Unknown);
    // Under the same id another amount may be refused although the first was done.
    let other = Money::new(701, Currency::JPY).unwrap();
    let changed = OperationOrder { money: other, ..first.clone() };
    assert_eq!(bed.send(&at, &changed).await.outcome, Outcome::Unknown);
    assert_eq!(bed.judged(&first).await, moved(700));
    // An envelope for another order opens for nothing else.
    let second = bed.order(&at, OperationKind::Sale, "approve", 700).await;
    let swapped = OperationOrder { envelope: first.envelope, ..second };
    let refused = bed.send(&at, &swapped).await;
    assert_eq!(refused.outcome, Outcome::NotSent);
    assert_eq!(refused.raw_code.as_deref(), Some("envelope_invalid"));
}

/// A gateway on the way bends a copy of a call, gets a signed refusal that is bound to the call's
/// own signature, shows it to the server, and forwards the call itself.
#[tokio::test]
async fn a_refusal_that_a_bent_copy_can_get_proves_nothing() {
    let bed = Bed::start().await;
    let at = bed.institution(House::Card);
    let connector = at.connector();
    let bends: [(&str, Bend); 8] = [
        ("signature_invalid", |call| {
            call.headers.insert("idempotency-key", HeaderValue::from_static("another"));
        }),
        ("signature_stale", of_long_ago),
        ("digest_mismatch", |call| call.body = [&call.body[..], b" "].concat().into()),
        ("key_unknown", |call| {
            let stranger = SigningKey::from_seed(&[0x5a; 32]).public().id().to_string();
            let known = SigningKey::from_seed(&[9; 32]).public().id().to_string();
            let input = call.headers["signature-input"].to_str().unwrap();
            let input = HeaderValue::try_from(input.replace(&known, &stranger)).unwrap();
            call.headers.insert("signature-input", input);
        }),
        ("not_found", |call| call.target = "/v1/nowhere".into()),
        ("method_not_allowed", |call| call.method = Method::PUT),
        ("body_too_large", |call| call.body = vec![b' '; 20_000].into()),
        ("unsupported_media_type", |call| {
            call.headers.insert("content-encoding", HeaderValue::from_static("gzip"));
        }),
    ];
    for (code, bend) in bends {
        let order = bed.order(&at, OperationKind::Sale, "approve", 700).await;
        let call = connector.prepare(&order, bed.clock.now()).unwrap();
        let mut copy = call.clone();
        bend(&mut copy);
        let refusal = bed.driver.exchange(&at, &copy, None).await.unwrap();
        let forwarded = bed.driver.exchange(&at, &call, None).await.unwrap();
        assert_eq!(forwarded.status, 200, "{code}");
        let answer = connector.accept(&order, &call, &refusal);
        assert_eq!(answer.outcome, Outcome::Unknown, "{code}: {answer:?}");
        assert_eq!(bed.driver.inquire(&at, &order).await.outcome, done(700), "{code}");
    }
}

/// Makes the signature's times those of a call of long ago.
fn of_long_ago(call: &mut Request) {
    let input = call.headers["signature-input"].to_str().unwrap();
    let (head, tail) = input.split_once("created=").unwrap();
    let (_, tail) = tail.split_once(";keyid").unwrap();
    let input = HeaderValue::try_from(format!("{head}created=1;expires=2;keyid{tail}")).unwrap();
    call.headers.insert("signature-input", input);
}

#[tokio::test]
async fn what_an_institution_lacks_is_refused_before_anything_is_sent() {
    let bed = Bed::start().await;
    let bank = bed.institution(House::Bank);
    let refused = |answer: Answer| match answer.fault {
        Some(Fault::Prepare(error)) if answer.outcome == Outcome::NotSent => error,
        _ => panic!("{answer:?}"),
    };
    let sale = bed.order(&bank, OperationKind::Sale, "approve", 700).await;
    let authorise = OperationOrder { kind: OperationKind::Authorise, ..sale.clone() };
    let kind = OperationKind::Authorise;
    let error = refused(bed.send(&bank, &authorise).await);
    assert_eq!(error, PrepareError::OperationUnsupported { kind });
    let euro = OperationOrder { money: Money::new(1, Currency::EUR).unwrap(), ..sale.clone() };
    let currency = Currency::EUR;
    let error = refused(bed.send(&bank, &euro).await);
    assert_eq!(error, PrepareError::CurrencyUnsupported { currency });
    let huge = Money::new(10_000_000_000, Currency::JPY).unwrap();
    let error = refused(bed.send(&bank, &OperationOrder { money: huge, ..sale.clone() }).await);
    assert!(matches!(error, PrepareError::AmountOutOfRange { .. }));
    let error = refused(bed.send(&bank, &OperationOrder { envelope: None, ..sale.clone() }).await);
    assert_eq!(error, PrepareError::Malformed { kind: OperationKind::Sale, part: "envelope" });
    let check = bed.check_order(&bank, "approve", 700).await;
    let error = bed.driver.check(&bank, &check).await.unwrap_err();
    assert!(matches!(error, Fault::Prepare(PrepareError::CheckUnsupported)));
    assert_eq!(bed.judged(&sale).await, None);
}

#[tokio::test]
async fn a_check_tells_what_a_sale_would_meet_and_moves_nothing() {
    let bed = Bed::start().await;
    for house in [House::Card, House::Prepaid] {
        let at = bed.institution(house);
        let expected = [
            ("approve", CheckOutcome::Sufficient),
            ("small_balance", CheckOutcome::TooLow),
            ("expired_card", CheckOutcome::Expired),
            ("wrong_secret", CheckOutcome::Refused(DeclineReason::WrongSecret)),
        ];
        for (name, outcome) in expected {
            let check = bed.check_order(&at, name, 1_001).await;
            assert_eq!(bed.driver.check(&at, &check).await.unwrap(), outcome, "{name}");
            // The envelope is used up, and it can never pay.
            assert!(bed.driver.check(&at, &check).await.is_err(), "{name}");
        }
    }
    let reports = bed.control("GET", "/control/ledger", &json!(null)).await;
    assert_eq!(reports["sakura-card"]["operations"], 0);
}

/// A fault meets checks and inquiries as it meets operations: no answer is no "sufficient".
#[tokio::test]
async fn faults_meet_checks_and_inquiries_too() {
    let bed = Bed::start().await;
    let at = bed.institution(House::Card);
    let silent = bed.check_order(&at, "fault:no_answer", 700).await;
    let fault = bed.driver.check(&at, &silent).await.unwrap_err();
    assert!(matches!(fault, Fault::TimedOut), "{fault:?}");
    let bent = bed.check_order(&at, "fault:wrong_amount", 700).await;
    let fault = bed.driver.check(&at, &bent).await.unwrap_err();
    assert!(matches!(fault, Fault::Mismatch { field: "amount" }), "{fault:?}");

    let order = bed.order(&at, OperationKind::Sale, "approve", 700).await;
    assert_eq!(bed.send(&at, &order).await.outcome, done(700));
    let expected: [(&str, Explains); 3] = [
        ("garbled_body", |fault| matches!(fault, Fault::Body(_))),
        ("unsigned", |fault| matches!(fault, Fault::Signature { status: 200, .. })),
        ("error500", |fault| matches!(fault, Fault::Refused { code, .. } if code == "internal")),
    ];
    for (fault, explains) in expected {
        bed.plan_fault(json!({"fault": fault, "times": 1, "on": ["inquiries"]})).await;
        let answer = bed.driver.inquire(&at, &order).await;
        assert_eq!(answer.outcome, Outcome::Unknown, "{fault}: {answer:?}");
        assert!(answer.fault.as_ref().is_some_and(explains), "{fault}: {answer:?}");
    }
    assert_eq!(bed.driver.inquire(&at, &order).await.outcome, done(700));
    // What would do nothing is told.
    let unknown = json!({"fault": "lost", "instrument": "no such name"});
    let refused = bed.control("POST", "/control/faults", &unknown).await;
    assert_eq!(refused, json!({"error": "there is no test instrument `no such name`"}));
}

#[tokio::test]
async fn nothing_leaves_after_the_deadline_or_without_the_lease() {
    let bed = Bed::start().await;
    let at = bed.institution(House::Card);
    let order = bed.order(&at, OperationKind::Sale, "approve", 700).await;
    let now = bed.clock.monotonic();
    let late = bed.driver.send(&at, &order, SendPermit { not_after: now, ..bed.permit() }).await;
    assert_eq!(late.outcome, Outcome::NotSent);
    assert!(matches!(late.fault, Some(Fault::Expired)));
    let lost = bed.driver.send(&at, &order, SendPermit { lease_until: now, ..bed.permit() }).await;
    assert_eq!(lost.outcome, Outcome::NotSent);
    assert!(matches!(lost.fault, Some(Fault::LeaseLost)));
    assert_eq!(bed.judged(&order).await, None);
    // What may have been sent before stays unknown, whatever becomes of this sending.
    let again = OperationOrder { sent_before: true, ..order };
    let permit = SendPermit { not_after: now, ..bed.permit() };
    assert_eq!(bed.driver.send(&at, &again, permit).await.outcome, Outcome::Unknown);
}

#[tokio::test]
async fn a_dead_line_is_not_sent_and_an_old_line_is_replaced() {
    let bed = Bed::start().await;
    let at = bed.institution(House::Card);
    let order = bed.order(&at, OperationKind::Sale, "approve", 1).await;
    assert_eq!(bed.send(&at, &order).await.outcome, done(1));
    // The institution closes the kept-alive line and comes back: the next call takes a new one.
    let bed = bed.restart().await;
    let order = bed.order(&at, OperationKind::Sale, "approve", 2).await;
    let answer = bed.send(&at, &order).await;
    assert_eq!(answer.outcome, done(2), "{answer:?}");
    assert_eq!(bed.judged(&order).await, moved(2));

    let mut record = bed.record(House::Card);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    record.url = format!("https://{}", free.local_addr().unwrap());
    drop(free);
    let gone = Institution::new(record, &bed.call_key).unwrap();
    let order = OperationOrder { operation_id: bed.fresh_id(), ..order };
    let answer = bed.send(&gone, &order).await;
    assert_eq!(answer.outcome, Outcome::NotSent);
    assert!(matches!(answer.fault, Some(Fault::Connect(_))), "{answer:?}");
}

#[tokio::test]
async fn lines_are_bounded_and_a_full_house_sends_nothing() {
    let connect = Duration::from_millis(150);
    let settings = DriverSettings { lines: 1, connect, ..DriverSettings::default() };
    let bed = Bed::start_with(DriverSettings { answer: support::PATIENCE, ..settings }).await;
    let at = bed.institution(House::Card);
    let silent = bed.order(&at, OperationKind::Sale, "fault:no_answer", 1).await;
    let other = bed.order(&at, OperationKind::Sale, "approve", 2).await;
    let (first, second) = tokio::join!(bed.send(&at, &silent), bed.send(&at, &other));
    assert_eq!(first.outcome, Outcome::Unknown);
    assert_eq!(second.outcome, Outcome::NotSent);
    assert!(matches!(second.fault, Some(Fault::Busy)), "{second:?}");
    assert_eq!(bed.judged(&other).await, None);
}

#[tokio::test]
async fn a_connection_test_finds_out_who_answers() {
    let bed = Bed::start().await;
    let at = bed.institution(House::Prepaid);
    let test = bed.driver.test_connection(&at).await.unwrap();
    assert_eq!(test.names.en, "Momiji Prepaid");
    assert_eq!(test.capabilities, at.record().capabilities);
    assert_eq!(test.seal_key_version, 1);

    let other_key = bed.record(House::Card).verify_key;
    let other_root = bed.record(House::Card).seal_root;
    let record = || bed.record(House::Prepaid);
    let id = "another-id".parse().unwrap();
    let mut wrong = [record(), record(), record(), record(), record()];
    wrong[0].verify_key = other_key;
    wrong[1].seal_root = other_root;
    wrong[2].seal_key_version = 2;
    wrong[3].id = id;
    wrong[4].ca_pem = Some(stranger_ca());
    let expected: [Explains; 5] = [
        |fault| matches!(fault, Fault::Signature { .. }),
        |fault| matches!(fault, Fault::KeySet(_)),
        |fault| matches!(fault, Fault::KeySet(_)),
        |fault| matches!(fault, Fault::Foreign { .. }),
        |fault| matches!(fault, Fault::Connect(_)),
    ];
    for (at, (record, explains)) in wrong.into_iter().zip(expected).enumerate() {
        let institution = Institution::new(record, &bed.call_key).unwrap();
        let fault = bed.driver.test_connection(&institution).await.unwrap_err();
        assert!(explains(&fault), "{at}: {fault:?}");
    }
}

fn stranger_ca() -> String {
    let params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
}

/// No octet of a proved answer may be changed on the way without the whole being disbelieved.
#[tokio::test]
async fn every_altered_octet_makes_an_answer_unknown() {
    let bed = Bed::start().await;
    let at = bed.institution(House::Card);
    let connector = at.connector();
    for name in ["approve", "expired_card"] {
        let order = bed.order(&at, OperationKind::Sale, name, 700).await;
        let request = connector.prepare(&order, bed.clock.now()).unwrap();
        let reply = bed.driver.exchange(&at, &request, Some(bed.permit())).await.unwrap();
        assert_ne!(connector.accept(&order, &request, &reply).outcome, Outcome::Unknown);
        let disbelieved = |altered: &Reply, what: &str| {
            let answer = connector.accept(&order, &request, altered);
            assert_eq!(answer.outcome, Outcome::Unknown, "{name}: {what}");
            assert!(matches!(answer.fault, Some(Fault::Signature { .. })), "{name}: {what}");
        };
        for place in 0..reply.body.len() {
            let mut body = reply.body.to_vec();
            body[place] ^= 1;
            disbelieved(&Reply { body: body.into(), ..reply.clone() }, &format!("body {place}"));
        }
        for field in ["signature", "signature-input", "content-digest"] {
            for place in 0..reply.headers[field].len() {
                let mut value = reply.headers[field].as_bytes().to_vec();
                value[place] ^= 1;
                let Ok(value) = HeaderValue::from_bytes(&value) else { continue };
                let mut altered = reply.clone();
                altered.headers.insert(field, value);
                disbelieved(&altered, &format!("{field} {place}"));
            }
        }
        disbelieved(&Reply { status: 201, ..reply.clone() }, "status");
        // The same answer, rightly signed, to another sending of the same operation.
        let later = bed.clock.now().plus(Duration::from_secs(1));
        let again = connector.prepare(&order, later).unwrap();
        let swapped = connector.accept(&order, &again, &reply);
        assert_eq!(swapped.outcome, Outcome::Unknown, "{name}");
    }
}
