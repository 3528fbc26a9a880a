//! Which contract a payment uses: over several POSes and contracts, and what is switched off.

use pos_connect::wire::{QuoteAnswer, QuoteRequest, WireOperationState as State};
use pos_connect::{Connection, Money};
use pos_protocol::id::{ContractId, PosId};
use pos_protocol::money::Currency;
use pos_tests::bed::ShopKit;
use pos_tests::pay::Pay;
use pos_tests::shared::Shared;
use pos_tests::{Bed, BedOptions, raw};

static BED: Shared = Shared::new(BedOptions::default);

fn yen(minor: u64) -> Money {
    Money::new(minor, Currency::JPY).unwrap()
}

async fn quote(line: &Connection, method: &str, pos_id: Option<PosId>) -> QuoteAnswer {
    let request = QuoteRequest {
        order_id: raw::fresh_order("quote"),
        method: method.parse().unwrap(),
        amount: yen(500).amount,
        currency: Currency::JPY,
        pos_id,
        contract_id: None,
    };
    line.quote(&request).await.unwrap()
}

fn chosen(quote: &QuoteAnswer) -> Option<ContractId> {
    quote.contract.as_ref().map(|contract| contract.contract_id)
}

fn reasons(quote: &QuoteAnswer) -> Vec<Option<&str>> {
    let rejections = quote.considered.iter().map(|one| one.rejection.as_ref());
    rejections.map(|rejection| rejection.map(|it| it.code.as_str())).collect()
}

async fn switch(bed: &Bed, contract: ContractId, verb: &str) {
    bed.server.operate(&["pos", verb, &contract.to_string()]).await.unwrap();
}

async fn shop(bed: &Bed) -> (ShopKit, Connection, [ContractId; 2]) {
    let shop = bed.open_shop("Routing").await.unwrap();
    let line = bed.connection(&shop).await.unwrap();
    let [web, phone] = &shop.poses[..] else { panic!("{shop:?}") };
    let cards = [web.contracts[0].contract_id, phone.contracts[0].contract_id];
    (shop, line, cards)
}

#[test]
fn the_first_usable_contract_of_any_pos_is_quoted() {
    BED.run(async |bed| {
        let (shop, line, [web, phone]) = shop(bed).await;
        let both = quote(&line, "card:visa", None).await;
        assert_eq!(chosen(&both), Some(web));
        assert_eq!(reasons(&both), [None, None]);
        let by_phone = quote(&line, "card:visa", Some(shop.poses[1].pos_id)).await;
        assert_eq!(chosen(&by_phone), Some(phone));
        assert_eq!(by_phone.considered.len(), 1);
        let none = quote(&line, "bank:aozora", Some(shop.poses[1].pos_id)).await;
        assert_eq!((chosen(&none), none.considered.len()), (None, 0));

        // Each pays on its own POS, under its own number.
        let pay = Pay::sale("sakura-card", "approve", 500);
        let contract = &shop.poses[1].contracts[0];
        let mut order = pay.module_order(bed, &shop).unwrap();
        order.contract_id = contract.contract_id;
        order.envelope = pay.envelope_for(bed, contract).unwrap();
        let paid = line.pay(&order, None).await.unwrap();
        assert_eq!((paid.state.clone(), paid.contract_id), (State::Done, phone));
        let booked = bed.institutions.operation(&paid.institution, paid.operation_id).await;
        assert_eq!(booked.unwrap().unwrap().contract, contract.number);
        let payment = line.payment(paid.payment_id).await.unwrap();
        assert_eq!(payment.pos_id, shop.poses[1].pos_id);
    });
}

#[test]
fn a_contract_that_is_switched_off_is_passed_over_and_named() {
    BED.run(async |bed| {
        let (shop, line, [web, phone]) = shop(bed).await;
        let held = Pay::authorise("sakura-card", "approve", 900).module_order(bed, &shop).unwrap();
        let held = line.authorise(&held, None).await.unwrap();

        switch(bed, web, "contract-disable").await;
        let other = quote(&line, "card:visa", None).await;
        assert_eq!(chosen(&other), Some(phone));
        assert_eq!(reasons(&other), [Some("contract_disabled"), None]);
        switch(bed, phone, "contract-disable").await;
        let none = quote(&line, "card:visa", None).await;
        assert_eq!(chosen(&none), None);
        assert_eq!(reasons(&none), [Some("contract_disabled"), Some("contract_disabled")]);
        assert!(!none.considered[0].rejection.as_ref().unwrap().message_ja.is_ascii());
        let order = Pay::sale("sakura-card", "approve", 500).module_order(bed, &shop).unwrap();
        let key = raw::fresh_key();
        let refused = line.pay(&order, Some(key.clone())).await.unwrap_err();
        assert_eq!(refused.code().as_str(), "contract_disabled");
        assert_eq!(refused.retry(), pos_connect::Retry::NewQuote);

        // What was begun is finished.
        let captured = line.capture(held.payment_id, yen(900), None).await.unwrap();
        assert_eq!(captured.state, State::Done);
        let refunded = line.refund(held.payment_id, yen(900), None).await.unwrap();
        assert_eq!(refunded.state, State::Done);

        // Switched on again; what was refused stays refused under its key.
        switch(bed, web, "contract-enable").await;
        assert_eq!(chosen(&quote(&line, "card:visa", None).await), Some(web));
        let still = bed.connection(&shop).await.unwrap().pay(&order, Some(key)).await.unwrap_err();
        assert_eq!(still.code().as_str(), "contract_disabled");
        assert_eq!(line.pay(&order, None).await.unwrap().state, State::Done);
    });
}

#[test]
fn an_institution_that_is_switched_off_is_named_as_the_reason() {
    BED.run(async |bed| {
        let (shop, line, _) = shop(bed).await;
        // The other tests of this file do not use the bank.
        bed.server.operate(&["institution", "disable", "aozora-bank"]).await.unwrap();
        let none = quote(&line, "bank:aozora", None).await;
        assert_eq!(chosen(&none), None);
        assert_eq!(reasons(&none), [Some("institution_disabled")]);
        let rejection = none.considered[0].rejection.as_ref().unwrap();
        assert_eq!(rejection.message_ja, "この決済機関は現在利用できません。");
        let methods = line.methods(None).await.unwrap();
        assert!(methods.contracts.iter().all(|one| one.institution.as_str() != "aozora-bank"));
        let order = Pay::sale("aozora-bank", "approve", 500).module_order(bed, &shop).unwrap();
        let refused = line.pay(&order, None).await.unwrap_err();
        assert_eq!(refused.code().as_str(), "institution_disabled");

        bed.server.operate(&["institution", "enable", "aozora-bank"]).await.unwrap();
        assert!(chosen(&quote(&line, "bank:aozora", None).await).is_some());
        assert_eq!(line.pay(&order, None).await.unwrap().state, State::Done);
    });
}

#[test]
fn an_order_that_is_paid_already_is_told_before_paying() {
    BED.run(async |bed| {
        let (shop, line, _) = shop(bed).await;
        let pay = Pay::sale("sakura-card", "approve", 500);
        let order = pay.module_order(bed, &shop).unwrap();
        line.pay(&order, None).await.unwrap();
        let request = QuoteRequest {
            order_id: pay.order_id.clone(),
            method: "card:visa".parse().unwrap(),
            amount: yen(500).amount,
            currency: Currency::JPY,
            pos_id: None,
            contract_id: None,
        };
        let taken = line.quote(&request).await.unwrap();
        assert_eq!(chosen(&taken), None);
        assert_eq!(reasons(&taken), [Some("order_taken"), Some("order_taken")]);
    });
}
