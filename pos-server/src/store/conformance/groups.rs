//! Verbs that are committed together.

use std::time::Duration;

use pos_protocol::payment::OperationState;

use super::bed::{Bed, amount, new_payment};
use crate::store::StoreError;
use crate::store::verbs::{Begun, CountLogin, RecordOutcome, Recorded, Reply, Verb};

pub(in crate::store) fn verbs_of_a_group_see_each_other_and_fail_alone(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let first = bed.sale_of(&ours, "order-1");
    let refused = bed.sale_of(&ours, "order-1");
    let mut failing = bed.sale_of(&ours, "order-2");
    let (mut payment, good_id) = (bed.begun(&ours), new_payment(&first).id);
    // A payment whose id exists already is no answer that the verb has: it fails in the engine.
    if let crate::store::verbs::Target::New(new) = &mut failing.target {
        new.id = payment.id;
    }
    payment.sums.captured = 0;
    let mut broken = RecordOutcome {
        sums: pos_protocol::payment::Sums { refunded: u64::MAX, ..payment.sums },
        ..bed.outcome(&payment, OperationState::Unknown)
    };
    broken.evidence.reference = Some("left behind".into());
    let good = bed.outcome(&payment, OperationState::Done(payment.amount));
    let last = bed.sale_of(&ours, "order-3");
    let replies = bed.group(&[
        Verb::BeginOperation(Box::new(first)),
        Verb::BeginOperation(Box::new(refused.clone())),
        Verb::BeginOperation(Box::new(failing.clone())),
        Verb::RecordOutcome(Box::new(broken)),
        Verb::RecordOutcome(Box::new(good)),
        Verb::BeginOperation(Box::new(last.clone())),
    ]);
    let begun = |at: usize| match &replies[at] {
        Ok(Reply::BeginOperation(begun)) => begun.clone(),
        other => panic!("{at}: {other:?}"),
    };
    assert_eq!(begun(0), Begun::New { version: 1 });
    assert_eq!(begun(1), Begun::OrderTaken(good_id));
    assert!(matches!(&replies[2], Err(StoreError::Engine { .. })));
    assert!(replies[3].is_err());
    assert!(
        matches!(&replies[4], Ok(Reply::RecordOutcome(Recorded::Done { version: 2 }))),
        "the outcome that failed before it left nothing behind: {:?}",
        replies[4]
    );
    assert_eq!(begun(5), Begun::New { version: 1 });
    assert_eq!(bed.payment(&ours, good_id).version, 1);
    assert_eq!(bed.payment(&ours, new_payment(&last).id).version, 1);
    let kept = bed.payment(&ours, payment.id);
    assert_eq!(kept.sums.captured, 1200);
    assert_eq!(kept.operations[0].evidence.reference, None);
    for absent in [&refused, &failing] {
        let under = bed.read().under_key(ours.shop, &absent.key).unwrap();
        assert_eq!(under, None);
    }
    let mut again = failing;
    if let crate::store::verbs::Target::New(new) = &mut again.target {
        new.id = bed.payment_id();
    }
    let begun = bed.begin(&again);
    assert_eq!(begun, Begun::New { version: 1 }, "order and envelope are free");
}

pub(in crate::store) fn increments_of_one_row_are_all_counted(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let wrong = CountLogin {
        shop: Some(ours.shop),
        right: false,
        limit: 10,
        lock_until: bed.now.plus(Duration::from_secs(60)),
        now: bed.now,
    };
    bed.group(&[
        Verb::CountLogin(Box::new(wrong)),
        Verb::CountLogin(Box::new(wrong)),
        Verb::CountLogin(Box::new(wrong)),
    ]);
    let login = bed.read().login(ours.user).unwrap().unwrap();
    assert_eq!(login.failures, 3);
    // Three operations of one payment, each on the version that the one before it left.
    let paid = bed.paid(&ours);
    let mut payment = paid.clone();
    let mut verbs = Vec::new();
    for _ in 0..3 {
        let verb = bed.refund(&ours, &payment, 300);
        payment.version += 1;
        payment.operations[0].id = verb.operation;
        payment.operations[0].kind = verb.kind;
        payment.operations[0].lease_epoch = 1;
        verbs.push(Verb::BeginOperation(Box::new(verb)));
        let outcome = bed.outcome(&payment, OperationState::Done(amount(300)));
        payment.version += 1;
        payment.sums = outcome.sums;
        verbs.push(Verb::RecordOutcome(Box::new(outcome)));
    }
    for reply in bed.group(&verbs) {
        assert!(
            matches!(
                reply,
                Ok(Reply::BeginOperation(Begun::New { .. })
                    | Reply::RecordOutcome(Recorded::Done { .. }))
            ),
            "{reply:?}"
        );
    }
    let kept = bed.payment(&ours, paid.id);
    assert_eq!((kept.sums.refunded, kept.version), (900, 8));
    assert_eq!(kept.operations.len(), 4);
    // The same version twice in one group: one of them has to look again.
    let first = bed.refund(&ours, &kept, 100);
    let second = bed.refund(&ours, &kept, 200);
    let replies =
        bed.group(&[Verb::BeginOperation(Box::new(first)), Verb::BeginOperation(Box::new(second))]);
    assert!(matches!(
        &replies[..],
        [
            Ok(Reply::BeginOperation(Begun::New { version: 9 })),
            Ok(Reply::BeginOperation(Begun::Moved))
        ]
    ));
}

pub(in crate::store) fn an_empty_group_is_nothing(bed: &mut Bed) {
    assert!(bed.group(&[]).is_empty());
}

pub(in crate::store) fn a_group_is_seen_whole_or_not_at_all(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let verbs: Vec<_> = (0..300).map(|_| Verb::BeginOperation(Box::new(bed.sale(&ours)))).collect();
    let first = bed.lists().history(ours.shop, None, None, 500).unwrap();
    assert_eq!(first.len(), 0);
    for reply in bed.group(&verbs) {
        assert!(matches!(reply, Ok(Reply::BeginOperation(Begun::New { version: 1 }))));
    }
    let all = bed.lists().history(ours.shop, None, None, 500).unwrap();
    assert_eq!(all.len(), 300);
}
