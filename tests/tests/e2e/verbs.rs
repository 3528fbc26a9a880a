//! Every verb of the module, from the shop's call to the institution's ledger.

use pos_connect::wire::{
    CheckRequest, CheckState, KeyStatus, OperationView, PaymentView, QuoteRequest,
    WireOperationState as State,
};
use pos_connect::{Code, Connection, ErrorCode, HistoryQuery, Money};
use pos_protocol::money::Currency;
use pos_protocol::payment::PaymentState;
use pos_protocol::reason::DeclineReason;
use pos_protocol::seal::SealedOperation;
use pos_tests::bed::LedgerOperation;
use pos_tests::pay::Pay;
use pos_tests::{Bed, raw};
use tokio::task::JoinSet;

use crate::BED;

fn yen(minor: u64) -> Money {
    Money::new(minor, Currency::JPY).unwrap()
}

async fn line(bed: &Bed) -> Connection {
    bed.connection(bed.shop()).await.unwrap()
}

async fn pay(bed: &Bed, pay: &Pay) -> OperationView {
    let order = pay.module_order(bed, bed.shop()).unwrap();
    let connection = line(bed).await;
    match pay.operation {
        SealedOperation::Authorise => connection.authorise(&order, None).await.unwrap(),
        _ => connection.pay(&order, None).await.unwrap(),
    }
}

/// What the institution has of an operation. It must be there.
async fn booked(bed: &Bed, view: &OperationView) -> LedgerOperation {
    let found = bed.institutions.operation(&view.institution, view.operation_id).await.unwrap();
    found.unwrap_or_else(|| panic!("not in the ledger: {view:?}"))
}

async fn payment(bed: &Bed, view: &OperationView) -> PaymentView {
    line(bed).await.payment(view.payment_id).await.unwrap()
}

fn sums(payment: &PaymentView) -> [u64; 4] {
    [payment.authorised, payment.captured, payment.released, payment.refunded]
}

#[test]
fn a_sale_is_paid_at_each_institution() {
    BED.run(async |bed| {
        for institution in ["sakura-card", "aozora-bank", "momiji-prepaid"] {
            let asked = Pay::sale(institution, "approve", 1_200);
            let paid = pay(bed, &asked).await;
            assert_eq!(paid.state, State::Done, "{institution}");
            assert_eq!(paid.done_amount.unwrap().minor(), 1_200);
            assert!(paid.institution_reference.is_some());
            let booked = booked(bed, &paid).await;
            assert_eq!((booked.kind.as_str(), booked.state.as_str()), ("sale", "done"));
            assert_eq!((booked.moved, booked.effects), (1_200, 1));
            assert_eq!(booked.order_id, asked.order_id.as_str());
            let payment = payment(bed, &paid).await;
            assert_eq!(payment.state, PaymentState::Paid);
            assert_eq!(sums(&payment), [1_200, 1_200, 0, 0]);
        }
    });
}

#[test]
fn money_with_decimals_is_counted_in_minor_units() {
    BED.run(async |bed| {
        let asked = Pay { currency: Currency::EUR, ..Pay::sale("sakura-card", "approve", 1_999) };
        let paid = pay(bed, &asked).await;
        assert_eq!((paid.state.clone(), paid.currency), (State::Done, Currency::EUR));
        let booked = booked(bed, &paid).await;
        assert_eq!((booked.currency.as_str(), booked.moved), ("EUR", 1_999));
    });
}

#[test]
fn every_decline_says_why_in_two_languages_and_moves_nothing() {
    BED.run(async |bed| {
        for institution in ["sakura-card", "aozora-bank", "momiji-prepaid"] {
            for reason in DeclineReason::ALL {
                let declined = pay(bed, &Pay::sale(institution, reason.wire(), 900)).await;
                assert_eq!(declined.state, State::Declined, "{institution} {reason:?}");
                let decline = declined.decline.clone().unwrap();
                assert_eq!(decline.reason, *reason, "{institution}");
                assert!(decline.message.is_ascii() && decline.message.len() > 10);
                assert!(!decline.message_ja.is_ascii(), "{decline:?}");
                let booked = booked(bed, &declined).await;
                assert_eq!(
                    (booked.state.as_str(), booked.moved, booked.effects),
                    ("declined", 0, 0)
                );
                assert_eq!(payment(bed, &declined).await.state, PaymentState::Declined);
            }
        }
    });
}

#[test]
fn a_declined_order_is_paid_by_another_card_and_then_not_again() {
    BED.run(async |bed| {
        let first = Pay::sale("sakura-card", "expired_card", 700);
        let declined = pay(bed, &first).await;
        let decline = declined.decline.unwrap();
        assert_eq!(decline.message, "The card has expired.");
        assert_eq!(decline.message_ja, "カードの有効期限が切れています。");

        let second = Pay::sale("sakura-card", "approve", 700).order(first.order_id.clone());
        let paid = pay(bed, &second).await;
        assert_eq!(paid.state, State::Done);

        let third = Pay::sale("momiji-prepaid", "approve", 700).order(first.order_id.clone());
        let order = third.module_order(bed, bed.shop()).unwrap();
        let refused = line(bed).await.pay(&order, None).await.unwrap_err();
        assert_eq!(
            refused.code(),
            &Code::Server(pos_protocol::code::WireCode::Known(ErrorCode::OrderTaken))
        );
        let standing = line(bed).await.payment_of_order(&first.order_id).await.unwrap();
        assert_eq!(standing.payment_id, paid.payment_id);
    });
}

#[test]
fn an_authorisation_is_captured_in_parts_refunded_in_part_and_its_rest_voided() {
    BED.run(async |bed| {
        let held = pay(bed, &Pay::authorise("sakura-card", "approve", 10_000)).await;
        assert_eq!(held.state, State::Done);
        let (id, line) = (held.payment_id, line(bed).await);
        let first = line.capture(id, yen(4_000), None).await.unwrap();
        let second = line.capture(id, yen(2_500), None).await.unwrap();
        let refund = line.refund(id, yen(1_500), None).await.unwrap();
        let void = line.void(id, None).await.unwrap();
        for (view, kind, moved) in [
            (&held, "authorise", 10_000),
            (&first, "capture", 4_000),
            (&second, "capture", 2_500),
            (&refund, "refund", 1_500),
            (&void, "void", 3_500),
        ] {
            assert_eq!(view.state, State::Done, "{kind}");
            let booked = booked(bed, view).await;
            assert_eq!((booked.kind.as_str(), booked.moved), (kind, moved));
            assert_eq!((booked.state.as_str(), booked.effects > 0), ("done", true));
        }
        let payment = line.payment(id).await.unwrap();
        assert_eq!(sums(&payment), [10_000, 6_500, 3_500, 1_500]);
        assert_eq!(payment.state, PaymentState::PartlyRefunded);
        assert_eq!(payment.operations.len(), 5);

        for (refused, code) in [
            (line.capture(id, yen(1), None).await.unwrap_err(), "nothing_left"),
            (line.void(id, None).await.unwrap_err(), "nothing_left"),
            (line.refund(id, yen(5_001), None).await.unwrap_err(), "amount_exceeded"),
        ] {
            assert_eq!(refused.code().as_str(), code);
        }
        assert_eq!(line.payment(id).await.unwrap(), payment);
    });
}

#[test]
fn a_whole_authorisation_is_voided() {
    BED.run(async |bed| {
        let held = pay(bed, &Pay::authorise("sakura-card", "approve", 3_000)).await;
        let void = line(bed).await.void(held.payment_id, None).await.unwrap();
        assert_eq!((void.state, void.amount.minor()), (State::Done, 3_000));
        let payment = payment(bed, &held).await;
        assert_eq!(payment.state, PaymentState::Voided);
        assert_eq!(sums(&payment), [3_000, 0, 3_000, 0]);
    });
}

#[test]
fn what_an_institution_does_not_offer_is_refused_before_it_is_asked() {
    BED.run(async |bed| {
        let order = Pay::authorise("aozora-bank", "approve", 500);
        let order = order.module_order(bed, bed.shop()).unwrap();
        let refused = line(bed).await.authorise(&order, None).await.unwrap_err();
        assert_eq!(refused.code().as_str(), "operation_unsupported");
    });
}

#[test]
fn a_part_is_approved_where_the_shop_takes_one() {
    BED.run(async |bed| {
        let asked = Pay::sale("momiji-prepaid", "small_balance", 1_500);
        let part = pay(bed, &Pay { allow_partial: true, ..asked }).await;
        assert_eq!((part.state.clone(), part.amount.minor()), (State::Done, 1_500));
        assert_eq!(part.done_amount.unwrap().minor(), 1_000);
        assert_eq!(booked(bed, &part).await.moved, 1_000);
        assert_eq!(sums(&payment(bed, &part).await), [1_000, 1_000, 0, 0]);
    });
}

#[test]
fn the_same_key_charges_once() {
    BED.run(async |bed| {
        let asked = Pay::sale("sakura-card", "approve", 2_000);
        let order = asked.module_order(bed, bed.shop()).unwrap();
        let key = raw::fresh_key();
        let line = line(bed).await;
        let first = line.pay(&order, Some(key.clone())).await.unwrap();
        // The module of another process of the shop, which knows nothing of the first.
        let other = bed.connection(bed.shop()).await.unwrap();
        let again = other.pay(&order, Some(key.clone())).await.unwrap();
        assert_eq!(first, again);
        let all = bed.institutions.operations("sakura-card").await.unwrap();
        let of_order = all.iter().filter(|one| one.order_id == asked.order_id.as_str());
        assert_eq!(of_order.map(|one| one.effects).collect::<Vec<_>>(), [1]);
        match line.operation(&key).await.unwrap() {
            KeyStatus::Operation(found) => assert_eq!(found, first),
            other => panic!("{other:?}"),
        }
    });
}

/// The same call eight times at once; every answer must be the end, and the same.
async fn all_at_once(bed: &'static Bed, draft: &raw::Draft) -> Vec<u8> {
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        let draft = draft.clone();
        calls.spawn(async move {
            let place = bed.server.place().unwrap();
            bed.caller(bed.shop()).call(&place, &draft).await.unwrap()
        });
    }
    let answers = calls.join_all().await;
    let first = answers[0].body.clone();
    for answer in answers {
        assert_eq!((answer.status, answer.body.as_slice()), (200, first.as_slice()));
    }
    first
}

#[test]
fn the_same_call_at_the_same_moment_is_made_once_and_waited_for() {
    BED.run(async |bed| {
        let contract = bed.shop().contract("sakura-card").unwrap();
        for _ in 0..5 {
            let asked = Pay::sale("sakura-card", "approve", 2_500);
            all_at_once(bed, &asked.draft(bed, bed.shop()).unwrap()).await;
            let all = bed.institutions.operations("sakura-card").await.unwrap();
            let of_order = all.iter().filter(|one| one.order_id == asked.order_id.as_str());
            assert_eq!(of_order.map(|one| one.effects).collect::<Vec<_>>(), [1]);

            // A check opens its envelope once.
            let order_id = raw::fresh_order("check");
            let check = SealedOperation::Check;
            let binding = contract.binding(check, &order_id, 5_000, Currency::JPY);
            let request = CheckRequest {
                contract_id: contract.contract_id,
                order_id,
                amount: yen(5_000).amount,
                currency: Currency::JPY,
                envelope: bed.seal("approve", &binding).unwrap(),
            };
            let body = serde_json::to_value(&request).unwrap();
            let draft = raw::Draft::post("/v1/checks", &body).keyed(raw::fresh_key());
            let answer: serde_json::Value =
                serde_json::from_slice(&all_at_once(bed, &draft).await).unwrap();
            assert_eq!(answer["state"], "sufficient");
        }
    });
}

#[test]
fn an_instrument_is_checked_before_it_pays() {
    BED.run(async |bed| {
        let contract = bed.shop().contract("sakura-card").unwrap();
        for (instrument, reason) in [
            ("approve", None),
            ("small_balance", Some(DeclineReason::InsufficientFunds)),
            ("expired_card", Some(DeclineReason::ExpiredCard)),
        ] {
            let order_id = raw::fresh_order("check");
            let money = yen(5_000);
            let check = SealedOperation::Check;
            let binding = contract.binding(check, &order_id, 5_000, Currency::JPY);
            let request = CheckRequest {
                contract_id: contract.contract_id,
                order_id,
                amount: money.amount,
                currency: money.currency,
                envelope: bed.seal(instrument, &binding).unwrap(),
            };
            let answer = line(bed).await.check(&request, None).await.unwrap();
            let expected =
                if reason.is_none() { CheckState::Sufficient } else { CheckState::Refused };
            assert_eq!(answer.state, expected, "{instrument}");
            let told = answer.decline.and_then(|decline| decline.reason.known());
            assert_eq!(told, reason, "{instrument}");
        }
    });
}

#[test]
fn methods_and_quote_name_what_can_be_used() {
    BED.run(async |bed| {
        let line = line(bed).await;
        let methods = line.methods(None).await.unwrap();
        // The web POS has three contracts, the phone POS one.
        assert_eq!(methods.contracts.len(), 4);
        assert_eq!(methods.seal_keys.len(), 3);
        let request = |method: &str, minor| QuoteRequest {
            order_id: raw::fresh_order("quote"),
            method: method.parse().unwrap(),
            amount: yen(minor).amount,
            currency: Currency::JPY,
            pos_id: None,
            contract_id: None,
        };
        let quote = line.quote(&request("bank:aozora", 100)).await.unwrap();
        let contract = quote.contract.unwrap();
        assert_eq!(contract.institution.as_str(), "aozora-bank");
        assert_eq!(contract.institution_name_ja, "あおぞら見本銀行");
        assert!(quote.seal_keys.is_some());

        let over = line.quote(&request("prepaid:momiji", 300_001)).await.unwrap();
        assert!(over.contract.is_none());
        let [only] = &over.considered[..] else { panic!("{over:?}") };
        assert_eq!(only.rejection.as_ref().unwrap().code.as_str(), "amount_out_of_limits");
    });
}

#[test]
fn the_history_is_read_page_by_page_newest_first() {
    BED.run(async |bed| {
        let shop = bed.open_shop("History").await.unwrap();
        let line = bed.connection(&shop).await.unwrap();
        let mut made = Vec::new();
        for _ in 0..5 {
            let order = Pay::sale("sakura-card", "approve", 100).module_order(bed, &shop).unwrap();
            made.push(line.pay(&order, None).await.unwrap().payment_id);
        }
        made.reverse();
        let mut pages = line.pages(HistoryQuery { limit: Some(2), ..HistoryQuery::default() });
        let (mut read, mut lengths) = (Vec::new(), Vec::new());
        while let Some(page) = pages.next().await.unwrap() {
            lengths.push(page.payments.len());
            read.extend(page.payments.into_iter().map(|payment| payment.payment_id));
        }
        assert_eq!(lengths, [2, 2, 1]);
        assert_eq!(read, made);
    });
}

#[test]
fn what_takes_days_is_pending_until_an_inquiry_tells() {
    BED.run(async |bed| {
        let pending = pay(bed, &Pay::sale("aozora-bank", "pending", 8_000)).await;
        let key = pending.idempotency_key.clone();
        let settled = pos_tests::wait::until("the pending sale settles", || async {
            match line(bed).await.operation(&key).await.unwrap() {
                KeyStatus::Operation(found) if found.state.is_final() => Some(found),
                _ => None,
            }
        });
        let settled = settled.await;
        assert_eq!(settled.state, State::Done);
        assert_eq!(booked(bed, &settled).await.moved, 8_000);
    });
}
