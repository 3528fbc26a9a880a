//! Two shops never meet.

use pos_protocol::ErrorCode;
use pos_protocol::payment::OperationState;

use super::bed::{Bed, new_payment, tell};
use crate::store::rows::ContractRow;
use crate::store::verbs::{
    AddContract, BeginCheck, Begun, CheckBegun, CheckKept, Claim, EndKey, FinishCheck, KeepRefusal,
    KeyChanged, Recorded, RollKey, SetContractEnabled, Target, TouchKey,
};
use pos_protocol::wire::KeyRole;

pub(in crate::store) fn a_foreign_shop_sees_nothing(bed: &mut Bed) {
    let (ours, theirs) = (bed.ours.clone(), bed.theirs.shop);
    let sale = bed.sale_of(&ours, "order-1");
    assert_eq!(bed.begin(&sale), Begun::New { version: 1 });
    let id = new_payment(&sale).id;
    let reader = bed.read();
    assert_eq!(reader.payment(theirs, id).unwrap(), None);
    assert_eq!(reader.under_key(theirs, &sale.key).unwrap(), None);
    let order = &new_payment(&sale).order_id;
    assert_eq!(reader.payment_of_order(theirs, order).unwrap(), None);
    assert_eq!(reader.history(theirs, None, None, 10).unwrap(), []);
    assert_eq!(reader.history(theirs, Some(ours.pos), None, 10).unwrap(), []);
    assert_eq!(reader.contract(theirs, ours.contract).unwrap(), None);
    let contracts = reader.contracts(theirs).unwrap();
    assert_eq!(contracts.len(), 1);
    assert_eq!(contracts[0].id, bed.theirs.contract);
    let poses = reader.poses(theirs).unwrap();
    assert_eq!(poses.len(), 1);
    assert_eq!(poses[0].id, bed.theirs.pos);
    let keys = reader.keys(theirs).unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].public, bed.theirs.signer);
    let key = reader.key(ours.signer.id()).unwrap().unwrap();
    assert_eq!(key.shop, ours.shop, "the key says whose call it is");
}

pub(in crate::store) fn a_foreign_shop_changes_nothing(bed: &mut Bed) {
    let (ours, theirs) = (bed.ours.clone(), bed.theirs.clone());
    let paid = bed.paid(&ours);
    let mut refund = bed.refund(&theirs, &paid, 100);
    assert_eq!(bed.begin(&refund), Begun::NotFound);
    refund.target = Target::Existing { payment: bed.payment_id(), version: 1 };
    assert_eq!(bed.begin(&refund), Begun::NotFound, "the same as a random id");
    let mut outcome = bed.outcome(&paid, OperationState::Unknown);
    outcome.shop = theirs.shop;
    assert_eq!(bed.record(&outcome), Recorded::Moved);
    assert_eq!(bed.payment(&ours, paid.id), paid);
    let end = EndKey { shop: theirs.shop, claim: None, key: ours.signer.id(), now: bed.now };
    assert_eq!(tell!(bed, EndKey, end), KeyChanged::NotFound);
    let touch = TouchKey { shop: theirs.shop, key: ours.signer.id(), now: bed.now, idle_at: None };
    tell!(bed, TouchKey, touch);
    let successor = bed.fresh_key();
    let roll = RollKey {
        shop: theirs.shop,
        claim: Claim { key: bed.idempotency_key(), fingerprint: [1; 32] },
        old: ours.signer.id(),
        old_ends_at: bed.now,
        new: bed.key_row(theirs.shop, successor, KeyRole::Module),
        now: bed.now,
    };
    assert_eq!(tell!(bed, RollKey, roll), KeyChanged::NotFound);
    assert_eq!(bed.read().key(successor.id()).unwrap(), None);
    let key = bed.read().key(ours.signer.id()).unwrap().unwrap();
    assert_eq!((key.ended_at, key.ends_at, key.first_used_at), (None, None, None));
    let switch = SetContractEnabled {
        shop: theirs.shop,
        contract: ours.contract,
        enabled: false,
        now: bed.now,
    };
    assert!(!tell!(bed, SetContractEnabled, switch));
    let contract = bed.read().contract(ours.shop, ours.contract).unwrap();
    let contract = contract.unwrap();
    assert!(contract.enabled);
    let on_foreign_pos =
        ContractRow { id: pos_protocol::id::ContractId::fresh(bed.now, bed.entropy()), ..contract };
    let verb = AddContract { shop: theirs.shop, contract: on_foreign_pos };
    assert!(!tell!(bed, AddContract, verb), "the POS is another shop's");
}

pub(in crate::store) fn shops_have_their_own_keys_orders_and_envelopes(bed: &mut Bed) {
    let (ours, theirs) = (bed.ours.clone(), bed.theirs.clone());
    let first = bed.sale_of(&ours, "order-1");
    assert_eq!(bed.begin(&first), Begun::New { version: 1 });
    let mut second = bed.sale_of(&theirs, "order-1");
    second.key = first.key.clone();
    if let Target::New(new) = &mut second.target {
        new.envelope = new_payment(&first).envelope;
    }
    assert_eq!(bed.begin(&second), Begun::New { version: 1 });
    let refusal = |shop, key| KeepRefusal {
        shop,
        key,
        fingerprint: [1; 32],
        code: ErrorCode::Busy,
        field: None,
        now: bed.now,
    };
    let key = super::bed::named::<pos_protocol::id::IdempotencyKey>("the-same-key-in-both");
    let (one, two) = (refusal(ours.shop, key.clone()), refusal(theirs.shop, key.clone()));
    assert_eq!(tell!(bed, KeepRefusal, one), None);
    assert_eq!(tell!(bed, KeepRefusal, two), None);
    let check_key = bed.idempotency_key();
    let check = |bed: &mut Bed, shop| BeginCheck {
        shop,
        claim: Claim { key: check_key.clone(), fingerprint: [1; 32] },
        operation: bed.operation_id(),
        now: bed.now,
    };
    let (one, two) = (check(bed, ours.shop), check(bed, theirs.shop));
    assert_eq!(tell!(bed, BeginCheck, one.clone()), CheckBegun::New);
    assert_eq!(tell!(bed, BeginCheck, two), CheckBegun::New);
    let kept = Some(CheckKept::Answer((*b"theirs").into()));
    let finish = FinishCheck { shop: theirs.shop, key: check_key.clone(), kept };
    tell!(bed, FinishCheck, finish);
    let repeat = CheckBegun::Repeat { operation: one.operation, kept: None };
    assert_eq!(tell!(bed, BeginCheck, one), repeat);
}
