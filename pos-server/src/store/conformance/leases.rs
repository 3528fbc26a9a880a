//! Who looks after an operation, and when.

use std::time::Duration;

use pos_protocol::id::InstitutionId;
use pos_protocol::payment::OperationState;

use super::bed::{
    Bed, INSTITUTION, LEASE, ME, OTHER, adding, institution, named, new_payment, tell,
};
use crate::store::rows::Incarnation;
use crate::store::verbs::{Begun, HastenWork, Lease, LeaseDueWork, Recorded, Target};

pub(in crate::store) fn a_lease_is_taken_when_it_has_run_out(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let payment = bed.begun(&ours);
    let paid = bed.paid(&ours);
    bed.pass(LEASE - Duration::from_millis(1));
    assert!(tell!(bed, LeaseDueWork, bed.lease(OTHER)).is_empty());
    bed.pass(Duration::from_millis(1));
    let taken = tell!(bed, LeaseDueWork, bed.lease(OTHER));
    let [work] = &taken[..] else {
        panic!("the open one: {taken:?}");
    };
    assert_eq!(work.operation, payment.operations[0].id);
    assert_eq!(work.payment.version, 1);
    assert_eq!(work.payment.operation(work.operation).unwrap().lease_epoch, 2);
    assert_eq!(bed.payment(&ours, payment.id), work.payment);
    assert_eq!(bed.payment(&ours, paid.id), paid);
    // Taken is taken, until this lease runs out too.
    assert!(tell!(bed, LeaseDueWork, bed.lease(ME)).is_empty());
    let late = bed.outcome(&payment, OperationState::Done(payment.amount));
    assert_eq!(bed.record(&late), Recorded::Moved, "the old lease is over");
    let outcome = bed.outcome(&work.payment, OperationState::Done(payment.amount));
    assert_eq!(bed.record(&outcome), Recorded::Done { version: 2 });
    bed.pass(LEASE + LEASE);
    assert!(tell!(bed, LeaseDueWork, bed.lease(ME)).is_empty());
}

pub(in crate::store) fn a_sole_owner_hastens_what_the_dead_hold(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let mut dead = bed.sale(&ours);
    dead.lease = dead.lease.map(|lease| Lease { owner: OTHER, ..lease });
    assert_eq!(bed.begin(&dead), Begun::New { version: 1 });
    let mine = bed.begun(&ours);
    assert_eq!(tell!(bed, HastenWork, hasten(bed, None)), 0, "both are held");
    assert!(tell!(bed, LeaseDueWork, bed.lease(ME)).is_empty());
    assert_eq!(tell!(bed, HastenWork, hasten(bed, Some(ME))), 1);
    let taken = tell!(bed, LeaseDueWork, bed.lease(ME));
    let [work] = &taken[..] else {
        panic!("the other one's: {taken:?}");
    };
    assert_eq!(work.operation, dead.operation);
    assert_eq!(tell!(bed, HastenWork, hasten(bed, Some(ME))), 0);
    assert!(tell!(bed, LeaseDueWork, bed.lease(ME)).is_empty());
    assert_eq!(bed.payment(&ours, mine.id), mine);
}

pub(in crate::store) fn each_institution_has_a_line_of_its_own(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let bank: InstitutionId = named("umi-bank");
    assert!(tell!(bed, AddInstitution, adding(institution("umi-bank"))));
    let contract = bed.contract_with("umi-bank", ours.shop, ours.pos);
    let mut at_bank = bed.sale(&ours);
    if let Target::New(new) = &mut at_bank.target {
        new.institution = bank.clone();
        new.contract = contract;
    }
    for _ in 0..3 {
        bed.begun(&ours);
    }
    assert_eq!(bed.begin(&at_bank), Begun::New { version: 1 });
    let mut waits =
        bed.outcome(&bed.payment(&ours, new_payment(&at_bank).id), OperationState::Unknown);
    waits.due_at = Some(bed.now.plus(Duration::from_secs(60)));
    assert_eq!(bed.record(&waits), Recorded::Done { version: 2 });
    bed.pass(LEASE);
    // However many others are due longer, the bank's are found, and hastened for themselves.
    let from_bank = LeaseDueWork { institution: bank.clone(), limit: 1, ..bed.lease(ME) };
    assert!(tell!(bed, LeaseDueWork, from_bank.clone()).is_empty());
    assert_eq!(tell!(bed, HastenWork, hasten(bed, None)), 0);
    let of_bank = HastenWork { institution: bank, ..hasten(bed, None) };
    assert_eq!(tell!(bed, HastenWork, of_bank), 1);
    let taken = tell!(bed, LeaseDueWork, from_bank);
    let taken: Vec<_> = taken.iter().map(|work| work.operation).collect();
    assert_eq!(taken, [at_bank.operation]);
    assert_eq!(tell!(bed, LeaseDueWork, bed.lease(ME)).len(), 3);
}

fn hasten(bed: &Bed, sole_owner: Option<Incarnation>) -> HastenWork {
    HastenWork { institution: named(INSTITUTION), sole_owner, now: bed.now }
}

pub(in crate::store) fn two_owners_never_hold_one_operation(bed: &mut Bed) {
    let ours = bed.ours.clone();
    for _ in 0..5 {
        bed.begun(&ours);
    }
    bed.pass(LEASE);
    let (one, two) = (bed.lease(ME), bed.lease(OTHER));
    let replies = bed.group(&[
        crate::store::verbs::Verb::LeaseDueWork(Box::new(LeaseDueWork { limit: 3, ..one.clone() })),
        crate::store::verbs::Verb::LeaseDueWork(Box::new(two)),
        crate::store::verbs::Verb::LeaseDueWork(Box::new(one)),
    ]);
    let taken: Vec<Vec<_>> = replies
        .into_iter()
        .map(|reply| match reply {
            Ok(crate::store::verbs::Reply::LeaseDueWork(taken)) => {
                taken.into_iter().map(|work| work.operation).collect()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(taken.iter().map(Vec::len).collect::<Vec<_>>(), [3, 2, 0]);
    assert!(taken[0].iter().all(|one| !taken[1].contains(one)));
}

pub(in crate::store) fn recorded_work_comes_back_when_it_is_due(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let payment = bed.begun(&ours);
    let mut verb = bed.outcome(&payment, OperationState::Unknown);
    verb.due_at = Some(bed.now.plus(Duration::from_secs(4)));
    assert_eq!(bed.record(&verb), Recorded::Done { version: 2 });
    bed.pass(Duration::from_secs(3));
    assert!(tell!(bed, LeaseDueWork, bed.lease(OTHER)).is_empty());
    bed.pass(Duration::from_secs(1));
    let taken = tell!(bed, LeaseDueWork, bed.lease(ME));
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].payment.operations[0].state, OperationState::Unknown);
    let mut verb = bed.outcome(&taken[0].payment, OperationState::NeedsHuman);
    verb.due_at = None;
    assert_eq!(bed.record(&verb), Recorded::Done { version: 3 });
    bed.pass(LEASE + LEASE);
    assert!(tell!(bed, LeaseDueWork, bed.lease(ME)).is_empty());
}

pub(in crate::store) fn as_many_are_taken_as_were_asked_for(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let mut begun = Vec::new();
    for _ in 0..5 {
        let verb = bed.sale(&ours);
        assert_eq!(bed.begin(&verb), Begun::New { version: 1 });
        begun.push(new_payment(&verb).id);
        bed.pass(Duration::from_millis(1));
    }
    bed.pass(LEASE);
    let two = LeaseDueWork { limit: 2, ..bed.lease(ME) };
    let mut taken = Vec::new();
    for count in [2, 2, 1, 0] {
        let work = tell!(bed, LeaseDueWork, two.clone());
        assert_eq!(work.len(), count);
        taken.extend(work.into_iter().map(|work| work.payment.id));
    }
    assert_eq!(taken, begun, "the longest due first");
    let none = LeaseDueWork { limit: 0, ..two };
    bed.pass(LEASE);
    assert!(tell!(bed, LeaseDueWork, none).is_empty());
    let half = LeaseDueWork { limit: 3, ..bed.lease(OTHER) };
    assert_eq!(tell!(bed, LeaseDueWork, half.clone()).len(), 3);
    assert_eq!(tell!(bed, LeaseDueWork, half).len(), 2);
}

pub(in crate::store) fn hastened_work_is_due_at_once_and_held_work_is_not(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let waits = bed.begun(&ours);
    let mut verb = bed.outcome(&waits, OperationState::Unknown);
    verb.due_at = Some(bed.now.plus(Duration::from_secs(60)));
    assert_eq!(bed.record(&verb), Recorded::Done { version: 2 });
    let held = bed.begun(&ours);
    assert!(tell!(bed, LeaseDueWork, bed.lease(ME)).is_empty());
    assert_eq!(tell!(bed, HastenWork, hasten(bed, None)), 1);
    let taken = tell!(bed, LeaseDueWork, bed.lease(ME));
    let taken: Vec<_> = taken.iter().map(|work| work.payment.id).collect();
    assert_eq!(taken, [waits.id]);
    assert_eq!(bed.payment(&ours, held.id), held);
}
