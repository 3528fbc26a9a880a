//! The chapters.

use pos_connect::wire::{OperationView, WireOperationState as State};
use pos_connect::{HistoryQuery, SealedOperation};
use pos_tests::bed::ShopKit;
use pos_tests::{Bed, raw};

use crate::shop::{Purchase, Shop, is_open, yen};
use crate::tell::{Failure, Teller};

/// Tells everything, from the shop's registration to its history.
pub(crate) async fn tell(bed: &Bed, teller: &mut Teller) -> Result<ShopKit, Failure> {
    teller.chapter("Registration", "the operator admits a shop; its module registers by the code");
    let kit = teller.waiting("registering", bed.open_shop("Hanako's tea shop")).await?;
    let codes = kit.registration.recovery_codes.len();
    teller.line(&format!("shop          {}", kit.enrolment.shop_id));
    teller.line(&format!("module key    {}", kit.registration.key_id));
    let panic_code = !kit.registration.panic_code.expose().is_empty();
    teller
        .claim("ten recovery codes and a panic code were handed out", codes == 10 && panic_code)?;
    let shop = Shop::open(bed, &kit).await?;
    let offers = shop.connection.methods(None).await?.contracts;
    for offer in &offers {
        let methods: Vec<_> = offer.methods.iter().map(ToString::to_string).collect();
        teller.line(&format!("contract      {} by {}", offer.institution, methods.join(", ")));
    }
    payments(&shop, teller).await?;
    declines(&shop, teller).await?;
    parts(&shop, teller).await?;
    Box::pin(same_key(&shop, teller)).await?;
    Box::pin(silence(&shop, teller)).await?;
    history(bed, &shop, teller).await?;
    Ok(kit)
}

async fn payments(shop: &Shop<'_>, teller: &mut Teller) -> Result<(), Failure> {
    teller.chapter("Payments", "one module, one key, three kinds of institution");
    for (what, method, amount) in [
        ("card", "card:visa", 4_800),
        ("bank account", "bank:aozora", 12_000),
        ("prepaid card", "prepaid:momiji", 900),
    ] {
        let paid = shop.buy(Purchase::sale(method, "approve", amount)).await?;
        let booked = shop.booked(&paid).await?;
        let holds = paid.state == State::Done && booked.moved == amount && booked.effects == 1;
        let reference = paid.institution_reference.as_deref().unwrap_or("-");
        let (whom, money) = (&paid.institution, yen(amount)?);
        teller.claim(
            &format!("{what:<13} {money} approved by {whom}, its reference {reference}; its ledger has {} once", booked.moved),
            holds,
        )?;
    }
    Ok(())
}

async fn declines(shop: &Shop<'_>, teller: &mut Teller) -> Result<(), Failure> {
    teller.chapter("Refusals", "in words that a person can act on");
    for (method, instrument, reason, english, japanese) in [
        (
            "card:visa",
            "expired_card",
            "expired_card",
            "The card has expired.",
            "カードの有効期限が切れています。",
        ),
        (
            "prepaid:momiji",
            "small_balance",
            "insufficient_funds",
            "The balance or credit limit is too low for this amount.",
            "残高または利用枠が不足しています。",
        ),
    ] {
        let declined = shop.buy(Purchase::sale(method, instrument, 5_000)).await?;
        let booked = shop.booked(&declined).await?;
        let Some(decline) = &declined.decline else {
            return Err(Failure::Claim(format!("{instrument} is declined")));
        };
        let holds = declined.state == State::Declined
            && decline.reason.as_str() == reason
            && (decline.message.as_str(), decline.message_ja.as_str()) == (english, japanese)
            && booked.moved == 0;
        teller.claim(&format!("{reason}: {}", decline.message), holds)?;
        teller.line(&format!("{:width$}  {}", "", decline.message_ja, width = reason.len()));
    }
    Ok(())
}

async fn parts(shop: &Shop<'_>, teller: &mut Teller) -> Result<(), Failure> {
    teller.chapter("In parts", "authorise, capture twice, refund a part, void the rest");
    let purchase = Purchase {
        operation: SealedOperation::Authorise,
        ..Purchase::sale("card:visa", "approve", 10_000)
    };
    let held = shop.buy(purchase).await?;
    let id = held.payment_id;
    let first = shop.connection.capture(id, yen(4_000)?, None).await?;
    let second = shop.connection.capture(id, yen(2_500)?, None).await?;
    let refund = shop.connection.refund(id, yen(1_500)?, None).await?;
    let void = shop.connection.void(id, None).await?;
    for (view, did, moved) in [
        (&held, "authorised", 10_000),
        (&first, "captured", 4_000),
        (&second, "captured", 2_500),
        (&refund, "refunded", 1_500),
        (&void, "voided the rest of", 3_500),
    ] {
        let booked = shop.booked(view).await?;
        let holds = view.state == State::Done && booked.moved == moved;
        teller.claim(&format!("{did} {}; the ledger says the same", yen(moved)?), holds)?;
    }
    let payment = shop.connection.payment(id).await?;
    let sums = [payment.authorised, payment.captured, payment.released, payment.refunded];
    teller.claim(
        &format!("the payment stands as {} with {sums:?}", payment.state.wire()),
        payment.state.wire() == "partly_refunded" && sums == [10_000, 6_500, 3_500, 1_500],
    )
}

async fn same_key(shop: &Shop<'_>, teller: &mut Teller) -> Result<(), Failure> {
    teller.chapter("Twice", "the same idempotency key sent twice");
    let order = shop.order(Purchase::sale("card:visa", "approve", 3_300)).await?;
    let key = raw::fresh_key();
    // At the same time, and once more afterwards.
    let (first, second) = tokio::join!(
        shop.connection.pay(&order, Some(key.clone())),
        shop.connection.pay(&order, Some(key.clone())),
    );
    let (first, second) = (first?, second?);
    let third = shop.connection.pay(&order, Some(key)).await?;
    let booked = shop.booked(&first).await?;
    teller.claim(
        "sent twice at the same time and once more, it is answered alike",
        first == second && second == third,
    )?;
    teller.claim(
        &format!("the ledger has {} moved {} time", yen(booked.moved)?, booked.effects),
        (booked.moved, booked.effects) == (3_300, 1),
    )
}

async fn silence(shop: &Shop<'_>, teller: &mut Teller) -> Result<(), Failure> {
    teller.chapter("Silence", "the institution pays and never answers");
    let order = shop.order(Purchase::sale("card:visa", "fault:no_answer", 2_200)).await?;
    let key = raw::fresh_key();
    let pay = shop.connection.pay(&order, Some(key.clone()));
    let told: OperationView = Box::pin(teller.waiting("no answer yet", pay)).await?;
    teller.claim(
        &format!("the shop is told to wait: {}, and never that it failed", told.state.wire()),
        is_open(&told),
    )?;
    let found = teller.waiting("the server asks the institution", shop.outcome(&key)).await?;
    let booked = shop.booked(&found).await?;
    teller.claim(
        "the outcome is found by inquiry: done, charged once",
        found.state == State::Done && (booked.moved, booked.effects) == (2_200, 1),
    )
}

async fn history(bed: &Bed, shop: &Shop<'_>, teller: &mut Teller) -> Result<(), Failure> {
    teller.chapter("History", "what the shop reads, newest first, and what the institutions have");
    let page = shop.connection.history(&HistoryQuery::default()).await?;
    for one in &page.payments {
        let currency = one.currency;
        let amount = currency.decimal(one.amount.minor());
        let (state, whom) = (one.state.wire(), &one.institution);
        teller.line(&format!(
            "{:<34} {amount:>7} {currency}  {state:<15} {whom}",
            one.order_id.as_str()
        ));
    }
    let net = |captured: u64, refunded: u64| captured.saturating_sub(refunded);
    let ours: u64 = page.payments.iter().map(|one| net(one.captured, one.refunded)).sum();
    let mut theirs: u64 = 0;
    let mut balanced = true;
    for (_, ledger) in bed.institutions.ledgers().await? {
        balanced &= ledger.balanced && ledger.moved_twice == 0;
        let nets = ledger.totals.iter().map(|sum| net(sum.captured, sum.refunded));
        theirs = theirs.saturating_add(nets.sum());
    }
    teller.line(&format!("paid by the shop's history {}", yen(ours)?));
    teller.claim(
        &format!(
            "paid by the institutions' ledgers {}: equal, balanced, nothing twice",
            yen(theirs)?
        ),
        // 4,800 + 12,000 + 900, 6,500 captured less 1,500, 3,300 once, 2,200 found out.
        ours == 28_200 && theirs == ours && balanced,
    )
}
