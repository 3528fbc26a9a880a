//! Beginning operations and recording what became of them.

use std::time::Duration;

use pos_protocol::ErrorCode;
use pos_protocol::payment::{OperationKind, OperationState, Sums};
use pos_protocol::reason::DeclineReason;

use super::bed::{Bed, INSTITUTION, LEASE, ME, OTHER, amount, named, new_payment, tell};
use crate::store::rows::{Evidence, StoredRefusal, TaskRow, UnderKey};
use crate::store::verbs::{
    Begun, Change, EndKey, KeepRefusal, Recorded, ResolveTask, SetContractEnabled,
    SetInstitutionEnabled, Target,
};

pub(in crate::store) fn a_new_payment_is_written_down_whole(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let mut verb = bed.sale_of(&ours, "order-1");
    verb.allow_partial = true;
    assert_eq!(bed.begin(&verb), Begun::New { version: 1 });
    let new = new_payment(&verb);
    let payment = bed.payment(&ours, new.id);
    assert_eq!(
        (payment.id, payment.shop, payment.pos, payment.contract),
        (new.id, ours.shop, ours.pos, ours.contract)
    );
    assert_eq!(payment.contract_number.as_str(), "4980012345");
    assert_eq!(payment.institution.as_str(), INSTITUTION);
    assert_eq!(payment.order_id.as_str(), "order-1");
    assert_eq!(payment.amount.minor(), 1200);
    assert_eq!(payment.currency.code(), "JPY");
    assert_eq!(payment.sums, Sums::default());
    assert_eq!((payment.created_at, payment.version), (bed.now, 1));
    let [operation] = &payment.operations[..] else {
        panic!("one operation: {payment:?}");
    };
    assert_eq!(operation.id, verb.operation);
    assert_eq!(operation.key, verb.key);
    assert_eq!(operation.fingerprint, verb.fingerprint);
    assert_eq!(operation.kind, OperationKind::Sale);
    assert_eq!(operation.amount.minor(), 1200);
    assert!(operation.allow_partial);
    assert_eq!(operation.state, OperationState::Sending);
    assert_eq!(operation.not_after, verb.not_after);
    assert_eq!((operation.created_at, operation.ended_at), (bed.now, None));
    assert_eq!(operation.evidence, Evidence::default());
    assert_eq!((operation.inquiries, operation.lease_epoch), (0, 1));
    let of_order = bed.read().payment_of_order(ours.shop, &new.order_id);
    assert_eq!(of_order.unwrap(), Some(payment.clone()));
    let under = bed.read().under_key(ours.shop, &verb.key).unwrap();
    assert_eq!(under, Some(UnderKey::Operation(Box::new(payment), verb.operation)));
}

pub(in crate::store) fn a_key_answers_with_what_stands_under_it(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let first = bed.sale(&ours);
    assert_eq!(bed.begin(&first), Begun::New { version: 1 });
    let payment = bed.payment(&ours, new_payment(&first).id);
    // Whatever else the call says, also when nothing in it would be allowed: the key comes first.
    let mut again = bed.sale(&ours);
    again.key = first.key.clone();
    again.signer = bed.fresh_key().id();
    let known = Begun::Known(UnderKey::Operation(Box::new(payment), first.operation));
    assert_eq!(bed.begin(&again), known);
    again.target = Target::Existing { payment: bed.payment_id(), version: 9 };
    assert_eq!(bed.begin(&again), known);
    let state = OperationState::Declined(DeclineReason::ExpiredCard);
    let verb = bed.outcome(&bed.payment(&ours, new_payment(&first).id), state);
    assert_eq!(bed.record(&verb), Recorded::Done { version: 2 });
    let Begun::Known(under) = bed.begin(&again) else {
        panic!("the key is known");
    };
    assert_eq!(under.fingerprint(), Some(&first.fingerprint));
    let UnderKey::Operation(payment, id) = under else {
        panic!("the key has an operation");
    };
    assert_eq!(payment.operation(id).unwrap().state, state);
}

pub(in crate::store) fn a_lost_answer_finds_its_own_row(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let verb = bed.sale(&ours);
    assert_eq!(bed.begin(&verb), Begun::New { version: 1 });
    assert_eq!(bed.begin(&verb), Begun::New { version: 1 });
    let paid = bed.paid(&ours);
    let refund = bed.refund(&ours, &paid, 200);
    assert_eq!(bed.begin(&refund), Begun::New { version: 3 });
    assert_eq!(bed.begin(&refund), Begun::New { version: 3 });
    assert_eq!(bed.payment(&ours, paid.id).operations.len(), 2);
    // Once another process has taken it over, the operation is not this one's to send any more.
    bed.pass(LEASE);
    let taken = tell!(bed, LeaseDueWork, bed.lease(OTHER));
    assert_eq!(taken.len(), 2);
    assert!(matches!(bed.begin(&verb), Begun::Known(_)));
}

pub(in crate::store) fn a_signer_that_ended_begins_nothing(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let session = bed.fresh_key();
    tell!(bed, OpenSession, bed.session(ours.shop, session));
    let mut verb = bed.sale(&ours);
    verb.signer = session.id();
    verb.now = bed.now.plus(Duration::from_secs(15 * 60));
    assert_eq!(bed.begin(&verb), Begun::SignerEnded, "silent too long");
    verb.now = bed.now;
    verb.signer = bed.fresh_key().id();
    assert_eq!(bed.begin(&verb), Begun::SignerEnded, "never registered");
    verb.signer = bed.theirs.signer.id();
    assert_eq!(bed.begin(&verb), Begun::SignerEnded, "another shop's");
    verb.signer = ours.signer.id();
    let paid = bed.paid(&ours);
    let end = EndKey { shop: ours.shop, claim: None, key: ours.signer.id(), now: bed.now };
    tell!(bed, EndKey, end);
    assert_eq!(bed.begin(&verb), Begun::SignerEnded, "revoked");
    let refund = bed.refund(&ours, &paid, 100);
    assert_eq!(bed.begin(&refund), Begun::SignerEnded, "for a refund too");
    let under = bed.read().under_key(ours.shop, &verb.key).unwrap();
    assert_eq!(under, None, "a refusal leaves nothing behind");
    verb.signer = session.id();
    assert_eq!(bed.begin(&verb), Begun::New { version: 1 }, "a live one may");
}

pub(in crate::store) fn switched_off_contracts_begin_nothing_new(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let paid = bed.paid(&ours);
    let verb = bed.sale(&ours);
    let now = bed.now;
    let contract =
        |enabled| SetContractEnabled { shop: ours.shop, contract: ours.contract, enabled, now };
    let institution =
        |enabled| SetInstitutionEnabled { institution: named(INSTITUTION), enabled, now };
    assert!(tell!(bed, SetContractEnabled, contract(false)));
    assert_eq!(bed.begin(&verb), Begun::ContractDisabled);
    assert!(tell!(bed, SetInstitutionEnabled, institution(false)));
    assert_eq!(bed.begin(&verb), Begun::ContractDisabled);
    assert!(tell!(bed, SetContractEnabled, contract(true)));
    assert_eq!(bed.begin(&verb), Begun::InstitutionDisabled);
    let refund = bed.refund(&ours, &paid, 100);
    assert_eq!(bed.begin(&refund), Begun::New { version: 3 }, "money goes back all the same");
    assert!(tell!(bed, SetInstitutionEnabled, institution(true)));
    let mut foreign = verb.clone();
    if let Target::New(new) = &mut foreign.target {
        new.contract = bed.theirs.contract;
    }
    assert_eq!(bed.begin(&foreign), Begun::ContractDisabled);
    assert_eq!(bed.begin(&verb), Begun::New { version: 1 });
}

pub(in crate::store) fn an_envelope_pays_once(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let first = bed.sale(&ours);
    assert_eq!(bed.begin(&first), Begun::New { version: 1 });
    let mut second = bed.sale(&ours);
    if let Target::New(new) = &mut second.target {
        new.envelope = new_payment(&first).envelope;
    }
    assert_eq!(bed.begin(&second), Begun::EnvelopeUsed);
    let payment = bed.payment(&ours, new_payment(&first).id);
    let verb = bed.outcome(&payment, OperationState::NotSent);
    assert_eq!(bed.record(&verb), Recorded::Done { version: 2 });
    assert_eq!(bed.begin(&second), Begun::EnvelopeUsed, "whatever came of it");
}

pub(in crate::store) fn an_order_has_one_payment_at_a_time(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let first = bed.sale_of(&ours, "order-1");
    assert_eq!(bed.begin(&first), Begun::New { version: 1 });
    let id = new_payment(&first).id;
    let second = bed.sale_of(&ours, "order-1");
    assert_eq!(bed.begin(&second), Begun::OrderTaken(id), "may stand");
    let payment = bed.payment(&ours, id);
    let done = bed.outcome(&payment, OperationState::Done(payment.amount));
    assert_eq!(bed.record(&done), Recorded::Done { version: 2 });
    assert_eq!(bed.begin(&second), Begun::OrderTaken(id), "stands");
    let found = bed.read().payment(ours.shop, new_payment(&second).id);
    assert_eq!(found.unwrap(), None, "a refusal leaves nothing behind");
    let verb = bed.sale_of(&ours, "order-2");
    assert_eq!(bed.begin(&verb), Begun::New { version: 1 });
}

pub(in crate::store) fn an_order_is_freed_and_claimed_again(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let order = named("order-1");
    let mut last = None;
    for state in [
        OperationState::Declined(DeclineReason::InsufficientFunds),
        OperationState::NotSent,
        OperationState::Reversed(None),
    ] {
        let verb = bed.sale_of(&ours, "order-1");
        assert_eq!(bed.begin(&verb), Begun::New { version: 1 }, "{last:?}");
        let payment = bed.payment(&ours, new_payment(&verb).id);
        let outcome = bed.outcome(&payment, state);
        assert_eq!(bed.record(&outcome), Recorded::Done { version: 2 });
        let of_order = bed.read().payment_of_order(ours.shop, &order).unwrap();
        assert_eq!(of_order.map(|found| found.id), Some(payment.id), "the latest");
        last = Some(state);
    }
    let unknown = bed.sale_of(&ours, "order-1");
    assert_eq!(bed.begin(&unknown), Begun::New { version: 1 });
    let id = new_payment(&unknown).id;
    let outcome = bed.outcome(&bed.payment(&ours, id), OperationState::Unknown);
    assert_eq!(bed.record(&outcome), Recorded::Done { version: 2 });
    let verb = bed.sale_of(&ours, "order-1");
    assert_eq!(bed.begin(&verb), Begun::OrderTaken(id), "unknown may stand");
}

pub(in crate::store) fn a_payment_that_moved_is_looked_at_again(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let paid = bed.paid(&ours);
    let first = bed.refund(&ours, &paid, 500);
    let second = bed.refund(&ours, &paid, 700);
    assert_eq!(bed.begin(&first), Begun::New { version: 3 });
    assert_eq!(bed.begin(&second), Begun::Moved);
    let under = bed.read().under_key(ours.shop, &second.key).unwrap();
    assert_eq!(under, None);
    let mut second = second;
    second.target = Target::Existing { payment: paid.id, version: 3 };
    assert_eq!(bed.begin(&second), Begun::New { version: 4 });
    let payment = bed.payment(&ours, paid.id);
    let kinds: Vec<_> = payment.operations.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [OperationKind::Sale, OperationKind::Refund, OperationKind::Refund]);
    assert_eq!(payment.version, 4);
    let mut nowhere = bed.refund(&ours, &paid, 100);
    nowhere.target = Target::Existing { payment: bed.payment_id(), version: 1 };
    assert_eq!(bed.begin(&nowhere), Begun::NotFound);
}

pub(in crate::store) fn an_outcome_is_recorded_once(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let payment = bed.begun(&ours);
    bed.pass(Duration::from_millis(300));
    let verb = bed.outcome(&payment, OperationState::Done(payment.amount));
    assert_eq!(bed.record(&verb), Recorded::Done { version: 2 });
    let now = bed.payment(&ours, payment.id);
    assert_eq!(now.sums.captured, 1200);
    assert_eq!(now.sums.authorised, 1200);
    assert_eq!(now.version, 2);
    assert_eq!(now.operations[0].state, OperationState::Done(amount(1200)));
    assert_eq!(now.operations[0].ended_at, Some(bed.now));
    assert_eq!(bed.record(&verb), Recorded::Moved, "the version has moved");
    let mut late = bed.outcome(&now, OperationState::NotSent);
    late.lease_epoch = 2;
    assert_eq!(bed.record(&late), Recorded::Moved, "another's lease");
    late.lease_epoch = 1;
    late.version = 3;
    assert_eq!(bed.record(&late), Recorded::Moved, "a version to come");
    late.version = 2;
    late.operation = bed.operation_id();
    assert_eq!(bed.record(&late), Recorded::Moved, "no such operation");
    late.operation = now.operations[0].id;
    late.payment = bed.payment_id();
    assert_eq!(bed.record(&late), Recorded::Moved, "no such payment");
    assert_eq!(bed.payment(&ours, payment.id), now, "nothing of it was kept");
}

pub(in crate::store) fn evidence_is_added_and_never_lost(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let payment = bed.begun(&ours);
    let mut verb = bed.outcome(&payment, OperationState::Unknown);
    verb.evidence.reference = Some("ref-1".into());
    verb.evidence.raw_code = Some("91".into());
    verb.inquiries = 1;
    assert_eq!(bed.record(&verb), Recorded::Done { version: 2 });
    let payment = bed.payment(&ours, payment.id);
    assert_eq!(payment.operations[0].inquiries, 1);
    let mut verb = bed.outcome(&payment, OperationState::Done(payment.amount));
    verb.evidence.card_reference = Some("card-7".into());
    verb.evidence.raw_code = Some("00".into());
    assert_eq!(bed.record(&verb), Recorded::Done { version: 3 });
    assert_eq!(
        bed.payment(&ours, payment.id).operations[0].evidence,
        Evidence {
            reference: Some("ref-1".into()),
            card_reference: Some("card-7".into()),
            raw_code: Some("00".into()),
        }
    );
}

pub(in crate::store) fn every_state_is_kept(bed: &mut Bed) {
    use OperationState as State;
    let ours = bed.ours.clone();
    let declined = DeclineReason::ALL.iter().copied().map(State::Declined);
    let states = declined.chain([
        State::Accepted,
        State::Sending,
        State::Done(amount(1)),
        State::Done(amount(999_999_999_999)),
        State::NotSent,
        State::NeedsPayer,
        State::Pending,
        State::Unknown,
        State::Reversing(None),
        State::Reversing(Some(amount(7))),
        State::Reversed(None),
        State::Reversed(Some(amount(1200))),
        State::NeedsHuman,
    ]);
    for state in states {
        let payment = bed.begun(&ours);
        let verb = bed.outcome(&payment, state);
        assert_eq!(bed.record(&verb), Recorded::Done { version: 2 });
        let kept = bed.payment(&ours, payment.id);
        assert_eq!(kept.operations[0].state, state);
        assert_eq!(kept.sums, verb.sums);
    }
}

pub(in crate::store) fn a_late_success_never_claims_the_order_again(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let first = bed.sale_of(&ours, "order-1");
    assert_eq!(bed.begin(&first), Begun::New { version: 1 });
    let late = bed.payment(&ours, new_payment(&first).id);
    let outcome = bed.outcome(&late, OperationState::NotSent);
    assert_eq!(bed.record(&outcome), Recorded::Done { version: 2 });
    let second = bed.sale_of(&ours, "order-1");
    assert_eq!(bed.begin(&second), Begun::New { version: 1 });
    let holder = new_payment(&second).id;
    // The first turns out to have been done, and is then undone: the second keeps the order.
    let late = bed.payment(&ours, late.id);
    let outcome = bed.outcome(&late, OperationState::Done(late.amount));
    assert_eq!(bed.record(&outcome), Recorded::Done { version: 3 });
    let late = bed.payment(&ours, late.id);
    let outcome = bed.outcome(&late, OperationState::Reversed(None));
    assert!(outcome.frees_order);
    assert_eq!(bed.record(&outcome), Recorded::Done { version: 4 });
    let third = bed.sale_of(&ours, "order-1");
    assert_eq!(bed.begin(&third), Begun::OrderTaken(holder));
    let order = named("order-1");
    let of_order = bed.read().payment_of_order(ours.shop, &order).unwrap();
    assert_eq!(of_order.map(|found| found.id), Some(holder));
}

pub(in crate::store) fn what_follows_from_a_step_is_written_with_it(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let payment = bed.begun(&ours);
    let mut verb = bed.outcome(&payment, OperationState::Unknown);
    verb.follows = bed.undoing(&payment);
    verb.state = OperationState::Reversing(None);
    verb.due_at = None;
    let own = verb.follows.begun.unwrap();
    assert_eq!(bed.record(&verb), Recorded::Done { version: 2 });
    let now = bed.payment(&ours, payment.id);
    let reverse = now.operation(own.id).unwrap();
    assert_eq!((reverse.kind, reverse.by_server), (OperationKind::Reverse, true));
    assert_eq!((reverse.state, reverse.amount), (OperationState::Sending, amount(1200)));
    let under = bed.read().under_key(ours.shop, &own.key()).unwrap();
    assert_eq!(under, Some(UnderKey::Operation(Box::new(now), own.id)));
    // Nobody looks after the original any more; the reverse is anybody's, and leased for the first time.
    let taken = tell!(bed, LeaseDueWork, bed.lease(OTHER));
    let [work] = &taken[..] else {
        panic!("the reverse alone: {taken:?}");
    };
    assert_eq!(work.operation, own.id);
    assert_eq!(work.payment.operation(own.id).unwrap().lease_epoch, 1);
    let mut ended = bed.outcome(&work.payment, OperationState::Done(amount(1200)));
    ended.sums = payment.sums;
    ended.follows.changed = vec![Change {
        operation: payment.operations[0].id,
        state: OperationState::Reversed(Some(amount(1200))),
        ended_at: Some(bed.now),
        due_at: None,
    }];
    assert_eq!(bed.record(&ended), Recorded::Done { version: 3 });
    let now = bed.payment(&ours, payment.id);
    assert_eq!(now.operations[0].state, OperationState::Reversed(Some(amount(1200))));
    assert_eq!(now.operations[0].ended_at, Some(bed.now));
    bed.pass(LEASE + LEASE);
    assert!(tell!(bed, LeaseDueWork, bed.lease(ME)).is_empty());
}

pub(in crate::store) fn a_void_that_waits_is_nobodys_work(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let payment = bed.begun(&ours);
    let unknown = bed.outcome(&payment, OperationState::Unknown);
    assert_eq!(bed.record(&unknown), Recorded::Done { version: 2 });
    let payment = bed.payment(&ours, payment.id);
    let mut void = bed.refund(&ours, &payment, 1200);
    void.kind = OperationKind::Void;
    void.lease = None;
    void.give_up_at = Some(bed.now);
    void.follows = bed.undoing(&payment);
    assert_eq!(bed.begin(&void), Begun::New { version: 3 });
    assert_eq!(bed.begin(&void), Begun::New { version: 3 }, "its answer was lost");
    let now = bed.payment(&ours, payment.id);
    let states: Vec<_> = now.operations.iter().map(|one| one.state).collect();
    assert_eq!(
        states,
        [OperationState::Reversing(None), OperationState::Accepted, OperationState::Sending]
    );
    assert_eq!(now.operations[1].give_up_at, Some(bed.now));
    bed.pass(LEASE + LEASE);
    let taken = tell!(bed, LeaseDueWork, bed.lease(ME));
    assert_eq!(taken.iter().map(|work| work.operation).collect::<Vec<_>>(), [now.operations[2].id]);
}

pub(in crate::store) fn a_refusal_uses_the_key_up(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let mut verb = bed.sale(&ours);
    let refusal = KeepRefusal {
        shop: ours.shop,
        key: verb.key.clone(),
        fingerprint: verb.fingerprint,
        code: ErrorCode::Busy,
        field: Some("op_busy".into()),
        now: bed.now,
    };
    let stored = UnderKey::Refusal(StoredRefusal {
        fingerprint: verb.fingerprint,
        code: ErrorCode::Busy,
        field: Some("op_busy".into()),
        at: bed.now,
    });
    assert_eq!(tell!(bed, KeepRefusal, refusal.clone()), None);
    let mut again = refusal.clone();
    again.code = ErrorCode::OrderTaken;
    again.field = None;
    assert_eq!(tell!(bed, KeepRefusal, again), Some(stored.clone()));
    assert_eq!(bed.begin(&verb), Begun::Known(stored.clone()));
    let under = bed.read().under_key(ours.shop, &verb.key).unwrap();
    assert_eq!(under, Some(stored));
    // The other way round: the operation was first.
    verb.key = bed.idempotency_key();
    assert_eq!(bed.begin(&verb), Begun::New { version: 1 });
    let mut late = refusal;
    late.key = verb.key.clone();
    let kept = tell!(bed, KeepRefusal, late);
    let Some(UnderKey::Operation(payment, id)) = kept else {
        panic!("the operation stands: {kept:?}");
    };
    assert_eq!((payment.id, id), (new_payment(&verb).id, verb.operation));
    for code in ErrorCode::ALL {
        let key = bed.idempotency_key();
        let verb = KeepRefusal {
            shop: ours.shop,
            key: key.clone(),
            fingerprint: [3; 32],
            code: *code,
            field: None,
            now: bed.now,
        };
        assert_eq!(tell!(bed, KeepRefusal, verb), None);
        let Some(UnderKey::Refusal(kept)) = bed.read().under_key(ours.shop, &key).unwrap() else {
            panic!("{code:?} is kept");
        };
        assert_eq!((kept.code, kept.field), (*code, None));
    }
}

pub(in crate::store) fn tasks_are_kept_with_the_outcome(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let payment = bed.begun(&ours);
    let task = |bed: &mut Bed, text: &str| TaskRow {
        id: bed.task_id(),
        created_at: bed.now,
        shop: ours.shop,
        payment: payment.id,
        operation: payment.operations[0].id,
        text: text.into(),
        resolved_at: None,
        note: None,
    };
    let mut verb = bed.outcome(&payment, OperationState::NeedsHuman);
    verb.due_at = None;
    verb.tasks = vec![task(bed, "ask by telephone")];
    bed.pass(Duration::from_millis(1));
    verb.tasks.push(task(bed, "the amounts differ"));
    assert_eq!(bed.record(&verb), Recorded::Done { version: 2 });
    assert_eq!(bed.lists().tasks(10).unwrap(), verb.tasks);
    assert_eq!(bed.lists().tasks(1).unwrap(), verb.tasks[..1]);
    let found = bed.read().task(verb.tasks[1].id).unwrap();
    assert_eq!(found, Some(verb.tasks[1].clone()));
    let mut moved = verb.clone();
    moved.tasks = vec![task(bed, "never kept")];
    assert_eq!(bed.record(&moved), Recorded::Moved);
    assert_eq!(bed.lists().tasks(10).unwrap(), verb.tasks);
    bed.pass(LEASE);
    assert!(tell!(bed, LeaseDueWork, bed.lease(ME)).is_empty());
}

pub(in crate::store) fn an_open_task_is_not_written_twice(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let mut payment = bed.begun(&ours);
    let mut kept = Vec::new();
    for text in ["the amounts differ", "ask by telephone", "the amounts differ"] {
        let mut verb = bed.outcome(&payment, OperationState::Unknown);
        verb.tasks = vec![TaskRow {
            id: bed.task_id(),
            created_at: bed.now,
            shop: ours.shop,
            payment: payment.id,
            operation: payment.operations[0].id,
            text: text.into(),
            resolved_at: None,
            note: None,
        }];
        assert!(matches!(bed.record(&verb), Recorded::Done { .. }));
        payment = bed.payment(&ours, payment.id);
        kept.extend(verb.tasks);
        bed.pass(Duration::from_millis(1));
    }
    assert_eq!(bed.lists().tasks(10).unwrap(), kept[..2]);
    assert_eq!(bed.lists().open_tasks().unwrap(), 2);
}

pub(in crate::store) fn a_task_is_closed_once_with_a_note(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let payment = bed.begun(&ours);
    let mut verb = bed.outcome(&payment, OperationState::NeedsHuman);
    let open = TaskRow {
        id: bed.task_id(),
        created_at: bed.now,
        shop: ours.shop,
        payment: payment.id,
        operation: payment.operations[0].id,
        text: "ask by telephone".into(),
        resolved_at: None,
        note: None,
    };
    verb.tasks = vec![open.clone()];
    assert_eq!(bed.record(&verb), Recorded::Done { version: 2 });
    bed.pass(Duration::from_secs(60));
    let resolve = |bed: &Bed, shop, note: &str| ResolveTask {
        shop,
        task: open.id,
        note: note.into(),
        now: bed.now,
    };
    let (theirs, now) = (bed.theirs.shop, bed.now);
    assert!(!tell!(bed, ResolveTask, resolve(bed, theirs, "not theirs")));
    assert!(tell!(bed, ResolveTask, resolve(bed, ours.shop, "they had done it")));
    bed.pass(Duration::from_secs(60));
    assert!(!tell!(bed, ResolveTask, resolve(bed, ours.shop, "again")));
    let closed = TaskRow { resolved_at: Some(now), note: Some("they had done it".into()), ..open };
    assert_eq!(bed.read().task(closed.id).unwrap(), Some(closed));
    assert_eq!(bed.lists().tasks(10).unwrap(), []);
}
