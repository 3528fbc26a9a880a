//! Reconciliation: marks, reconciled days, tasks about institutions.

use std::time::Duration;

use pos_protocol::Timestamp;
use pos_protocol::id::OperationId;
use pos_protocol::payment::{OperationKind, OperationState};
use pos_protocol::wire::TimeGap;

use super::bed::{Bed, INSTITUTION, amount, named, tell};
use crate::store::rows::{InstitutionTask, SettlementDay, SettlementRow, StoredPayment};
use crate::store::verbs::{
    Begun, MarkSettled, OpenInstitutionTasks, RecordRestore, RecordSettlement,
    ResolveInstitutionTask,
};

const BEFORE_ALL: OperationId = OperationId::from_octets([0; 16]);

fn day(number: u32) -> SettlementDay {
    SettlementDay::from_number(number).unwrap()
}

fn mark(day: SettlementDay, run: Timestamp, operations: &[OperationId]) -> MarkSettled {
    MarkSettled { institution: named(INSTITUTION), day, run, operations: operations.to_vec() }
}

fn settled(bed: &Bed, day: SettlementDay, run: Timestamp) -> RecordSettlement {
    let (from, until) = (bed.now, bed.now.plus(Duration::from_secs(86_400)));
    let settlement = SettlementRow { day, from, until, run };
    RecordSettlement { institution: named(INSTITUTION), settlement, now: bed.now }
}

fn all(bed: &Bed) -> Vec<(OperationId, Option<SettlementDay>)> {
    let found = bed.lists().operations_of(&named(INSTITUTION), BEFORE_ALL, 500).unwrap();
    found.into_iter().map(|one| (one.id, one.settled)).collect()
}

fn first(payment: &StoredPayment) -> OperationId {
    payment.operations[0].id
}

pub(in crate::store) fn an_institutions_operations_are_paged_by_their_ids(bed: &mut Bed) {
    let (ours, theirs) = (bed.ours.clone(), bed.theirs.clone());
    let mut made = Vec::new();
    for tenant in [&ours, &theirs, &ours] {
        made.push(first(&bed.paid(tenant)));
        bed.pass(Duration::from_millis(1));
    }
    let open = bed.begun(&theirs);
    made.push(first(&open));
    let page = |after, limit| {
        let found = bed.lists().operations_of(&named(INSTITUTION), after, limit).unwrap();
        found.into_iter().map(|one| one.id).collect::<Vec<_>>()
    };
    assert_eq!(page(BEFORE_ALL, 3), made[..3], "of all shops");
    assert_eq!(page(made[2], 3), made[3..]);
    assert_eq!(page(made[3], 3), []);
    let other = bed.lists().operations_of(&named("aozora-bank"), BEFORE_ALL, 3).unwrap();
    assert_eq!(other, []);
    let found = bed.lists().operations_of(&named(INSTITUTION), made[2], 1).unwrap();
    let (one, kept) = (&found[0], &open.operations[0]);
    assert_eq!((one.id, one.shop, one.payment), (kept.id, theirs.shop, open.id));
    assert_eq!((&one.contract_number, &one.order_id), (&open.contract_number, &open.order_id));
    assert_eq!((one.kind, one.amount, one.currency), (kept.kind, kept.amount, open.currency));
    assert_eq!((one.state, one.ended_at), (OperationState::Sending, None));
    assert_eq!((one.created_at, &one.reference), (kept.created_at, &None));
    assert_eq!((one.settled, one.first_settled), (None, None));
}

pub(in crate::store) fn marks_count_once_their_run_came_to_the_end(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let (one, other) = (bed.paid(&ours), bed.paid(&ours));
    let (one, other) = (first(&one), first(&other));
    let (today, tomorrow) = (day(20_261_126), day(20_261_127));
    let (run, again) = (bed.now, bed.now.plus(Duration::from_secs(1)));
    let stranger = OperationId::from_octets([9; 16]);
    let found = tell!(bed, MarkSettled, mark(today, run, &[one, stranger, other]));
    let found: Vec<_> = found.iter().map(|it| (it.id, it.state, it.settled)).collect();
    let done = OperationState::Done(amount(1200));
    assert_eq!(found, [(one, done, None), (other, done, None)]);
    let marks = |bed: &Bed| {
        let mut marks = all(bed);
        marks.sort_by_key(|(id, _)| *id != one);
        marks.into_iter().map(|(_, day)| day).collect::<Vec<_>>()
    };
    assert_eq!(marks(bed), [None, None], "the run has not ended");
    assert!(tell!(bed, RecordSettlement, settled(bed, today, run)));
    assert_eq!(marks(bed), [Some(today), Some(today)]);
    // The file of another day names one of them too: the mark stays.
    let found = tell!(bed, MarkSettled, mark(tomorrow, run, &[one]));
    assert_eq!(found[0].settled, Some(today));
    assert!(tell!(bed, RecordSettlement, settled(bed, tomorrow, run)));
    assert_eq!(marks(bed), [Some(today), Some(today)]);
    // The same day once more, by a file without the other one.
    let found = tell!(bed, MarkSettled, mark(today, again, &[one]));
    assert_eq!(found[0].settled, Some(today));
    assert!(tell!(bed, RecordSettlement, settled(bed, today, again)));
    assert_eq!(marks(bed), [Some(today), None]);
    // What no whole file names any more is free for another day.
    tell!(bed, MarkSettled, mark(tomorrow, again, &[other]));
    assert!(tell!(bed, RecordSettlement, settled(bed, tomorrow, again)));
    assert_eq!(marks(bed), [Some(today), Some(tomorrow)]);
    let elsewhere = MarkSettled { institution: named("aozora-bank"), ..mark(today, run, &[one]) };
    assert_eq!(tell!(bed, MarkSettled, elsewhere), []);
    let nobody = RecordSettlement { institution: named("nobody"), ..settled(bed, today, run) };
    assert!(!tell!(bed, RecordSettlement, nobody));
    let days = bed.lists().settlements(&named(INSTITUTION), 9).unwrap();
    assert_eq!(
        days,
        [settled(bed, tomorrow, again).settlement, settled(bed, today, again).settlement]
    );
    assert_eq!(bed.lists().settlements(&named(INSTITUTION), 1).unwrap().len(), 1);
}

pub(in crate::store) fn a_later_operation_knows_whether_the_first_was_settled(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let paid = bed.paid(&ours);
    bed.pass(Duration::from_millis(1));
    let refund = bed.refund(&ours, &paid, 100);
    assert!(matches!(bed.begin(&refund), Begun::New { .. }));
    tell!(bed, MarkSettled, mark(day(20_261_126), bed.now, &[first(&paid)]));
    tell!(bed, RecordSettlement, settled(bed, day(20_261_126), bed.now));
    let found = bed.lists().operations_of(&named(INSTITUTION), first(&paid), 9).unwrap();
    assert_eq!((found[0].id, found[0].kind), (refund.operation, OperationKind::Refund));
    assert_eq!((found[0].settled, found[0].first_settled), (None, Some(day(20_261_126))));
    // A kept refusal is no operation of anybody's.
    let sale = bed.sale(&ours);
    let refusal = crate::store::verbs::KeepRefusal {
        shop: ours.shop,
        key: sale.key.clone(),
        fingerprint: sale.fingerprint,
        code: pos_protocol::ErrorCode::Busy,
        field: None,
        now: bed.now,
    };
    assert_eq!(tell!(bed, KeepRefusal, refusal), None);
    assert_eq!(all(bed).len(), 2);
}

pub(in crate::store) fn a_task_about_an_institution_is_opened_and_closed_once(bed: &mut Bed) {
    let paid = bed.paid(&bed.ours.clone());
    let task = |bed: &mut Bed, text: &str, known: bool| InstitutionTask {
        id: bed.task_id(),
        created_at: bed.now,
        institution: named(INSTITUTION),
        shop: known.then_some(paid.shop),
        payment: known.then_some(paid.id),
        operation: Some(first(&paid)),
        text: text.into(),
        holds: false,
        resolved_at: None,
        note: None,
    };
    let open = |bed: &Bed, tasks: Vec<InstitutionTask>| OpenInstitutionTasks {
        institution: named(INSTITUTION),
        tasks,
        now: bed.now,
    };
    let (one, other) = (task(bed, "one", true), task(bed, "other", false));
    let new = tell!(bed, OpenInstitutionTasks, open(bed, vec![one.clone(), other.clone()]));
    assert_eq!(new, [one.id, other.id]);
    let (again, third) = (task(bed, "one", true), task(bed, "third", false));
    let new = tell!(bed, OpenInstitutionTasks, open(bed, vec![again, third.clone()]));
    assert_eq!(new, [third.id], "the same text is said once");
    assert_eq!(bed.lists().open_tasks().unwrap(), 3);
    let listed = bed.lists().institution_tasks(9).unwrap();
    assert_eq!(listed.len(), 3);
    assert!(listed.contains(&one) && listed.contains(&other));
    assert_eq!(bed.lists().institution_tasks(2).unwrap().len(), 2);
    assert_eq!(bed.read().institution_task(other.id).unwrap(), Some(other));
    assert_eq!(bed.read().task(one.id).unwrap(), None, "it is no task about an operation");

    bed.pass(Duration::from_secs(5));
    let resolve = |bed: &Bed, institution: &str, note: &str| ResolveInstitutionTask {
        institution: named(institution),
        task: one.id,
        note: note.into(),
        now: bed.now,
    };
    assert!(!tell!(bed, ResolveInstitutionTask, resolve(bed, "aozora-bank", "asked")));
    assert!(tell!(bed, ResolveInstitutionTask, resolve(bed, INSTITUTION, "asked")));
    assert!(!tell!(bed, ResolveInstitutionTask, resolve(bed, INSTITUTION, "again")));
    let closed = bed.read().institution_task(one.id).unwrap().unwrap();
    assert_eq!((closed.resolved_at, closed.note.as_deref()), (Some(bed.now), Some("asked")));
    assert_eq!(bed.lists().institution_tasks(9).unwrap().len(), 2);
    let again = task(bed, "one", true);
    assert_eq!(tell!(bed, OpenInstitutionTasks, open(bed, vec![again])), [], "not even then");
    assert_eq!(bed.lists().open_tasks().unwrap(), 2);
    let two = task(bed, "two", false);
    let nobodys = OpenInstitutionTasks { institution: named("nobody"), ..open(bed, vec![two]) };
    assert_eq!(tell!(bed, OpenInstitutionTasks, nobodys), []);
}

pub(in crate::store) fn a_restore_holds_the_institutions_until_their_tasks_are_closed(
    bed: &mut Bed,
) {
    let gap =
        |from, to| TimeGap { from_ms: Timestamp::from_ms(from), to_ms: Timestamp::from_ms(to) };
    let task = |bed: &mut Bed, institution: &str, text: &str| InstitutionTask {
        id: bed.task_id(),
        created_at: bed.now,
        institution: named(institution),
        shop: None,
        payment: None,
        operation: None,
        text: text.into(),
        holds: true,
        resolved_at: None,
        note: None,
    };
    let (ours, nobodys) = (task(bed, INSTITUTION, "lost"), task(bed, "nobody", "lost"));
    let tasks = vec![ours.clone(), nobodys];
    let restore = RecordRestore { gap: gap(1_000, 2_000), tasks, now: bed.now };
    assert_eq!(tell!(bed, RecordRestore, restore), 1);
    assert_eq!(bed.read().time_gaps().unwrap(), [gap(1_000, 2_000)]);
    assert_eq!(bed.read().held_institutions().unwrap(), [named(INSTITUTION)]);
    assert_eq!(bed.read().institution_task(ours.id).unwrap(), Some(ours.clone()));
    // The same backup once more, and then another.
    for (from, to, count) in [(1_000, 3_000, 1), (1_000, 2_500, 1), (5_000, 6_000, 2)] {
        let restore = RecordRestore { gap: gap(from, to), tasks: Vec::new(), now: bed.now };
        assert_eq!(tell!(bed, RecordRestore, restore), count);
    }
    assert_eq!(bed.read().time_gaps().unwrap(), [gap(1_000, 3_000), gap(5_000, 6_000)]);
    let resolve = ResolveInstitutionTask {
        institution: named(INSTITUTION),
        task: ours.id,
        note: "compared".into(),
        now: bed.now,
    };
    assert!(tell!(bed, ResolveInstitutionTask, resolve));
    assert_eq!(bed.read().held_institutions().unwrap(), []);
}
