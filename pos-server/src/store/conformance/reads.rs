//! Lists and counts.

use std::time::Duration;

use pos_protocol::id::{ContractId, PaymentId, PosId, ShopId, TaskId, UserId};
use pos_protocol::payment::OperationState;

use super::bed::{Bed, named, new_payment, tell};
use crate::store::rows::OpenCount;
use crate::store::verbs::{AddContract, Begun};

pub(in crate::store) fn history_is_paged_by_key(bed: &mut Bed) {
    let (ours, theirs) = (bed.ours.clone(), bed.theirs.clone());
    let mut made = Vec::new();
    for _ in 0..7 {
        made.push(bed.paid(&ours));
        bed.begun(&theirs);
        bed.pass(Duration::from_millis(1));
    }
    made.reverse();
    let page = |bed: &Bed, after| bed.lists().history(ours.shop, None, after, 3).unwrap();
    let first = page(bed, None);
    assert_eq!(first, made[..3]);
    // What is made meanwhile belongs to no later page.
    let newest = bed.begun(&ours);
    let second = page(bed, Some(first[2].id));
    assert_eq!(second, made[3..6]);
    let third = page(bed, Some(second[2].id));
    assert_eq!(third, made[6..]);
    assert_eq!(page(bed, Some(third[0].id)), []);
    assert_eq!(page(bed, None)[0], newest);
    // Each payment comes with all its operations, oldest first.
    let refund = bed.refund(&ours, &made[0], 100);
    assert_eq!(bed.begin(&refund), Begun::New { version: 3 });
    let page = page(bed, Some(newest.id));
    assert_eq!(page.len(), 3);
    assert_eq!(page[0].operations.len(), 2);
    assert_eq!(page[0].operations[1].id, refund.operation);
    assert_eq!(page[1..], made[1..3]);
}

pub(in crate::store) fn history_of_one_pos(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let mut phone = ours.clone();
    phone.pos = bed.pos(ours.shop);
    phone.contract = bed.contract(ours.shop, phone.pos);
    let web = bed.begun(&ours);
    let by_phone = [bed.begun(&phone), bed.begun(&phone)];
    let last = bed.begun(&ours);
    let of = |pos, after| {
        let found = bed.lists().history(ours.shop, Some(pos), after, 10).unwrap();
        found.into_iter().map(|one| one.id).collect::<Vec<_>>()
    };
    assert_eq!(of(ours.pos, None), [last.id, web.id]);
    assert_eq!(of(phone.pos, None), [by_phone[1].id, by_phone[0].id]);
    assert_eq!(of(phone.pos, Some(by_phone[1].id)), [by_phone[0].id]);
    assert_eq!(of(PosId::from_octets([5; 16]), None), []);
}

pub(in crate::store) fn nothing_is_found_in_an_empty_database(bed: &mut Bed) {
    let reader = bed.read();
    let (shop, pos) = (ShopId::from_octets([5; 16]), PosId::from_octets([5; 16]));
    let contract = ContractId::from_octets([5; 16]);
    let payment = PaymentId::from_octets([5; 16]);
    assert_eq!(reader.payment(shop, payment).unwrap(), None);
    assert_eq!(reader.under_key(shop, &named("0123456789abcdef")).unwrap(), None);
    assert_eq!(reader.payment_of_order(shop, &named("order-1")).unwrap(), None);
    assert_eq!(reader.history(shop, None, None, 10).unwrap(), []);
    assert_eq!(reader.contracts(shop).unwrap(), []);
    assert_eq!(reader.contract(shop, contract).unwrap(), None);
    assert_eq!(reader.poses(shop).unwrap(), []);
    assert_eq!(reader.keys(shop).unwrap(), []);
    assert_eq!(reader.login(UserId::from_octets([5; 16])).unwrap(), None);
    assert_eq!(reader.shop(shop).unwrap(), None);
    assert_eq!(reader.shop_of_pos(pos).unwrap(), None);
    assert_eq!(reader.shop_of_contract(contract).unwrap(), None);
    assert_eq!(reader.tasks(10).unwrap(), []);
    assert_eq!(reader.task(TaskId::from_octets([5; 16])).unwrap(), None);
    assert_eq!(reader.open_counts().unwrap(), []);
    assert_eq!(reader.time_gaps().unwrap(), []);
}

pub(in crate::store) fn open_operations_are_counted(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let begin = bed.now;
    let sending = bed.begun(&ours);
    bed.pass(Duration::from_millis(5));
    for state in [
        OperationState::Unknown,
        OperationState::Unknown,
        OperationState::Done(sending.amount),
        OperationState::NotSent,
    ] {
        let payment = bed.begun(&ours);
        let verb = bed.outcome(&payment, state);
        bed.record(&verb);
        bed.pass(Duration::from_millis(5));
    }
    let resting = bed.begun(&bed.theirs.clone());
    let mut verb = bed.outcome(&resting, OperationState::NeedsHuman);
    verb.due_at = None;
    bed.record(&verb);
    let mut counts = bed.lists().open_counts().unwrap();
    counts.sort_by_key(|one| one.state);
    let at = |ms| begin.plus(Duration::from_millis(ms));
    let expected = [("needs_human", 1, at(25)), ("processing", 1, at(0)), ("unknown", 2, at(5))];
    let expected = expected.map(|(state, count, oldest)| OpenCount { state, count, oldest });
    assert_eq!(counts, expected);
    let sale = bed.sale(&ours);
    bed.begin(&sale);
    let contract = bed.read().contract(ours.shop, ours.contract).unwrap();
    let again = AddContract { shop: ours.shop, contract: contract.unwrap() };
    assert!(!tell!(bed, AddContract, again));
    let payment = bed.payment(&ours, new_payment(&sale).id);
    assert_eq!(payment.version, 1);
}
