//! Random histories, against a model that keeps everything in a few maps.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use pos_protocol::id::{IdempotencyKey, OperationId, OrderId, PaymentId, ShopId};
use pos_protocol::payment::{OperationKind, OperationState};
use pos_protocol::reason::DeclineReason;
use pos_protocol::{ErrorCode, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::bed::{Bed, INSTITUTION, ME, OTHER, Opened, named};
use crate::store::rows::{
    Evidence, Incarnation, LeasedWork, StoredOperation, StoredPayment, StoredRefusal, UnderKey,
};
use crate::store::verbs::{
    BeginOperation, Begun, Follows, HastenWork, KeepRefusal, Lease, LeaseDueWork, NewPayment,
    RecordOutcome, Recorded, Reply, Target, Verb,
};

/// Runs histories of some dozen steps, in groups, and compares every answer and what is kept.
pub(in crate::store) fn a_random_history_goes_as_the_model_says(open: fn() -> Opened) {
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    let histories = prop::collection::vec(step(), 10..60);
    let mut runner = TestRunner::new(config);
    let outcome = runner.run(&histories, |steps| {
        History::new(open()).run(&steps);
        Ok(())
    });
    outcome.unwrap();
}

/// One thing that happens. Small numbers, so that things meet.
#[derive(Clone, Debug)]
enum Step {
    Sale {
        shop: usize,
        key: u8,
        order: u8,
        envelope: u8,
        owner: usize,
    },
    Refund {
        shop: usize,
        key: u8,
        payment: usize,
        behind: u32,
    },
    Outcome {
        payment: usize,
        operation: usize,
        state: u8,
        behind: u32,
        epoch: u32,
        frees: bool,
        due: bool,
        undoes: bool,
    },
    Refusal {
        shop: usize,
        key: u8,
    },
    Lease {
        owner: usize,
        limit: u32,
    },
    Hasten {
        sole: Option<usize>,
    },
    Pass {
        seconds: u64,
    },
    Commit,
}

fn step() -> impl Strategy<Value = Step> {
    let shop = 0..2_usize;
    prop_oneof![
        6 => (shop.clone(), 0..12_u8, 0..4_u8, 0..10_u8, 0..2_usize).prop_map(
            |(shop, key, order, envelope, owner)| Step::Sale { shop, key, order, envelope, owner }
        ),
        3 => (shop.clone(), 0..12_u8, any::<usize>(), 0..2_u32).prop_map(
            |(shop, key, payment, behind)| Step::Refund { shop, key, payment, behind }
        ),
        8 => (any::<usize>(), any::<usize>(), 0..8_u8, 0..3_u32, 0..3_u32, any::<(bool, bool, bool)>())
            .prop_map(|(payment, operation, state, behind, epoch, (frees, due, undoes))| Step::Outcome {
                payment, operation, state, behind: behind / 2, epoch: epoch / 2, frees, due, undoes
            }),
        1 => (shop, 0..12_u8).prop_map(|(shop, key)| Step::Refusal { shop, key }),
        2 => (0..2_usize, 0..4_u32).prop_map(|(owner, limit)| Step::Lease { owner, limit }),
        1 => prop::option::of(0..2_usize).prop_map(|sole| Step::Hasten { sole }),
        2 => (1..25_u64).prop_map(|seconds| Step::Pass { seconds }),
        3 => Just(Step::Commit),
    ]
}

struct History {
    bed: Bed,
    model: Model,
    waiting: Vec<(Verb, String)>,
}

impl History {
    fn new(opened: Opened) -> Self {
        Self { bed: Bed::new(opened), model: Model::default(), waiting: Vec::new() }
    }

    fn run(&mut self, steps: &[Step]) {
        for step in steps {
            if let Step::Pass { seconds } = step {
                self.bed.pass(Duration::from_secs(*seconds));
            } else if let Some(verb) = self.verb(step) {
                // The model goes ahead: within a group, verbs see each other.
                let expected = format!("{:?}", self.model.apply(&verb));
                self.waiting.push((verb, expected));
            } else {
                self.commit();
            }
        }
        self.commit();
    }

    fn commit(&mut self) {
        let (verbs, expected): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().unzip();
        let replies = self.bed.group(&verbs).into_iter().map(Result::unwrap);
        let replies: Vec<_> = replies.map(|reply| format!("{reply:?}")).collect();
        assert_eq!(replies, expected, "of {verbs:?}");
        let reader = self.bed.read();
        for payment in &self.model.payments {
            let kept = reader.payment(payment.shop, payment.id).unwrap();
            assert_eq!(kept.as_ref(), Some(payment));
        }
        for ((shop, order), (payment, _)) in &self.model.orders {
            let kept = reader.payment_of_order(*shop, order).unwrap();
            assert_eq!(kept.map(|kept| kept.id), Some(*payment));
        }
        for (shop, key) in self.model.keys.keys() {
            let kept = reader.under_key(*shop, key).unwrap();
            assert_eq!(kept, self.model.under_key(*shop, key));
        }
    }

    fn verb(&mut self, step: &Step) -> Option<Verb> {
        let tenants = [self.bed.ours.clone(), self.bed.theirs.clone()];
        let owners = [ME, OTHER];
        match *step {
            Step::Sale { shop, key, order, envelope, owner } => {
                let mut verb = self.bed.sale_of(&tenants[shop], &format!("order-{order}"));
                verb.key = common_key(key);
                verb.lease = verb.lease.map(|lease| Lease { owner: owners[owner], ..lease });
                if let Target::New(new) = &mut verb.target {
                    new.envelope = [envelope; 32];
                    new.envelope_not_after = Timestamp::from_secs(u64::from(envelope));
                }
                Some(Verb::BeginOperation(Box::new(verb)))
            }
            Step::Refund { shop, key, payment, behind } => {
                let payment = pick(&self.model.payments, payment)?.clone();
                let mut verb = self.bed.refund(&tenants[shop], &payment, 100);
                verb.key = common_key(key);
                verb.target = Target::Existing {
                    payment: payment.id,
                    version: payment.version.saturating_sub(behind),
                };
                Some(Verb::BeginOperation(Box::new(verb)))
            }
            Step::Outcome { payment, operation, state, behind, epoch, frees, due, undoes } => {
                let payment = pick(&self.model.payments, payment)?.clone();
                let operation = pick(&payment.operations, operation)?.clone();
                let mut verb = self.bed.outcome(&payment, outcome_state(state, &operation));
                verb.operation = operation.id;
                verb.version = payment.version.saturating_sub(behind);
                verb.lease_epoch = operation.lease_epoch.saturating_sub(epoch);
                verb.frees_order = frees;
                if undoes {
                    verb.follows = self.bed.undoing(&payment);
                }
                verb.due_at = due.then(|| self.bed.now.plus(Duration::from_secs(3)));
                verb.evidence.reference = frees.then(|| format!("ref-{behind}").into());
                Some(Verb::RecordOutcome(Box::new(verb)))
            }
            Step::Refusal { shop, key } => Some(Verb::KeepRefusal(Box::new(KeepRefusal {
                shop: tenants[shop].shop,
                key: common_key(key),
                fingerprint: [key; 32],
                code: ErrorCode::Busy,
                field: None,
                now: self.bed.now,
            }))),
            Step::Lease { owner, limit } => Some(Verb::LeaseDueWork(Box::new(LeaseDueWork {
                limit,
                ..self.bed.lease(owners[owner])
            }))),
            Step::Hasten { sole } => Some(Verb::HastenWork(Box::new(HastenWork {
                institution: named(INSTITUTION),
                sole_owner: sole.map(|owner| owners[owner]),
                now: self.bed.now,
            }))),
            Step::Pass { .. } | Step::Commit => None,
        }
    }
}

fn common_key(number: u8) -> IdempotencyKey {
    named(&format!("key-in-common-{number:02}"))
}

fn pick<T>(from: &[T], at: usize) -> Option<&T> {
    from.get(at.checked_rem(from.len())?)
}

fn outcome_state(number: u8, operation: &StoredOperation) -> OperationState {
    match number {
        0 => OperationState::Done(operation.amount),
        1 => OperationState::Declined(DeclineReason::OverLimit),
        2 => OperationState::NotSent,
        3 => OperationState::Pending,
        4 => OperationState::NeedsHuman,
        5 => OperationState::Reversed(Some(operation.amount)),
        6 => OperationState::Reversing(None),
        _ => OperationState::Unknown,
    }
}

/// The verbs of money, said as plainly as possible.
#[derive(Default)]
struct Model {
    payments: Vec<StoredPayment>,
    keys: HashMap<(ShopId, IdempotencyKey), Under>,
    orders: HashMap<(ShopId, OrderId), (PaymentId, bool)>,
    envelopes: HashSet<(ShopId, [u8; 32])>,
    /// When an operation is due, and who holds it.
    due: HashMap<OperationId, (Timestamp, Option<Incarnation>)>,
}

enum Under {
    Operation(PaymentId, OperationId),
    Refusal(StoredRefusal),
}

impl Model {
    fn apply(&mut self, verb: &Verb) -> Reply {
        match verb {
            Verb::BeginOperation(verb) => Reply::BeginOperation(self.begin(verb)),
            Verb::RecordOutcome(verb) => Reply::RecordOutcome(self.record(verb)),
            Verb::KeepRefusal(verb) => Reply::KeepRefusal(self.refuse(verb)),
            Verb::LeaseDueWork(verb) => Reply::LeaseDueWork(self.lease(verb)),
            Verb::HastenWork(verb) => Reply::HastenWork(self.hasten(verb)),
            other => panic!("the model knows no {other:?}"),
        }
    }

    fn at(&mut self, shop: ShopId, id: PaymentId) -> Option<&mut StoredPayment> {
        let mine = |one: &&mut StoredPayment| one.shop == shop && one.id == id;
        self.payments.iter_mut().find(mine)
    }

    fn under_key(&self, shop: ShopId, key: &IdempotencyKey) -> Option<UnderKey> {
        Some(match self.keys.get(&(shop, key.clone()))? {
            Under::Operation(payment, operation) => {
                let payment = self.payments.iter().find(|one| one.id == *payment)?;
                UnderKey::Operation(Box::new(payment.clone()), *operation)
            }
            Under::Refusal(refusal) => UnderKey::Refusal(refusal.clone()),
        })
    }

    fn begin(&mut self, verb: &BeginOperation) -> Begun {
        if let Some(under) = self.under_key(verb.shop, &verb.key) {
            return Begun::Known(under);
        }
        let (id, version) = match &verb.target {
            Target::New(new) => {
                if self.envelopes.contains(&(verb.shop, new.envelope)) {
                    return Begun::EnvelopeUsed;
                }
                let order = (verb.shop, new.order_id.clone());
                if let Some((holder, true)) = self.orders.get(&order) {
                    return Begun::OrderTaken(*holder);
                }
                self.orders.insert(order, (new.id, true));
                self.envelopes.insert((verb.shop, new.envelope));
                self.payments.push(new_payment(verb, new));
                (new.id, 1)
            }
            Target::Existing { payment, version } => {
                let Some(found) = self.at(verb.shop, *payment) else {
                    return Begun::NotFound;
                };
                if found.version != *version {
                    return Begun::Moved;
                }
                found.version += 1;
                (*payment, found.version)
            }
        };
        let payment = self.at(verb.shop, id).expect("it was found or made");
        payment.operations.push(new_operation(verb));
        let key = (verb.shop, verb.key.clone());
        self.keys.insert(key, Under::Operation(id, verb.operation));
        if let Some(lease) = verb.lease {
            self.due.insert(verb.operation, (lease.expires_at, Some(lease.owner)));
        }
        self.follow(verb.shop, id, &verb.follows, verb.now);
        Begun::New { version }
    }

    fn record(&mut self, verb: &RecordOutcome) -> Recorded {
        let Some(payment) = self.at(verb.shop, verb.payment) else {
            return Recorded::Moved;
        };
        if payment.version != verb.version {
            return Recorded::Moved;
        }
        let mine = |one: &&mut StoredOperation| {
            one.id == verb.operation && one.lease_epoch == verb.lease_epoch
        };
        let Some(operation) = payment.operations.iter_mut().find(mine) else {
            return Recorded::Moved;
        };
        operation.state = verb.state;
        operation.ended_at = verb.ended_at;
        operation.inquiries = verb.inquiries;
        if verb.evidence.reference.is_some() {
            operation.evidence.reference = verb.evidence.reference.clone();
        }
        payment.version += 1;
        payment.sums = verb.sums;
        let (version, order) = (payment.version, payment.order_id.clone());
        match verb.due_at {
            Some(at) => self.due.insert(verb.operation, (at, None)),
            None => self.due.remove(&verb.operation),
        };
        if verb.frees_order
            && let Some((holder, claimed)) = self.orders.get_mut(&(verb.shop, order))
            && *holder == verb.payment
        {
            *claimed = false;
        }
        self.follow(verb.shop, verb.payment, &verb.follows, verb.now);
        Recorded::Done { version }
    }

    fn follow(&mut self, shop: ShopId, id: PaymentId, follows: &Follows, now: Timestamp) {
        let payment = self.at(shop, id).expect("it was found before");
        let mut due = Vec::new();
        for change in &follows.changed {
            let same = |one: &&mut StoredOperation| one.id == change.operation;
            let one = payment.operations.iter_mut().find(same).expect("only what is there changes");
            one.state = change.state;
            one.ended_at = change.ended_at;
            due.push((change.operation, change.due_at));
        }
        if let Some(own) = &follows.begun {
            payment.operations.push(StoredOperation {
                id: own.id,
                key: own.key(),
                fingerprint: [0; 32],
                kind: own.kind,
                amount: own.amount,
                allow_partial: false,
                give_up_at: None,
                by_server: true,
                state: OperationState::Sending,
                not_after: own.not_after,
                created_at: now,
                ended_at: None,
                evidence: Evidence::default(),
                inquiries: 0,
                lease_epoch: 0,
            });
            self.keys.insert((shop, own.key()), Under::Operation(id, own.id));
            due.push((own.id, Some(own.due_at)));
        }
        for (operation, at) in due {
            match at {
                Some(at) => self.due.insert(operation, (at, None)),
                None => self.due.remove(&operation),
            };
        }
    }

    fn refuse(&mut self, verb: &KeepRefusal) -> Option<UnderKey> {
        let under = self.under_key(verb.shop, &verb.key);
        if under.is_none() {
            let refusal = StoredRefusal {
                fingerprint: verb.fingerprint,
                code: verb.code,
                field: verb.field.clone(),
                at: verb.now,
            };
            let key = (verb.shop, verb.key.clone());
            self.keys.insert(key, Under::Refusal(refusal));
        }
        under
    }

    fn lease(&mut self, verb: &LeaseDueWork) -> Vec<LeasedWork> {
        // Those of one millisecond come in the order in which they were begun.
        let order = |id: &OperationId| self.due[id].0;
        let mut due: Vec<_> = self
            .payments
            .iter()
            .flat_map(|payment| &payment.operations)
            .map(|operation| (operation.created_at, operation.id))
            .filter(|(_, id)| self.due.contains_key(id))
            .collect();
        due.sort_by_key(|(begun, id)| (order(id), *begun, *id));
        let now = due.into_iter().filter(|(_, id)| order(id) <= verb.now);
        let taken: Vec<_> = now.map(|(_, id)| id).take(verb.limit as usize).collect();
        for id in &taken {
            self.due.insert(*id, (verb.expires_at, Some(verb.owner)));
            let all = self.payments.iter_mut().flat_map(|one| &mut one.operations);
            for operation in all.filter(|one| one.id == *id) {
                operation.lease_epoch += 1;
            }
        }
        let work = taken.into_iter().map(|operation| {
            let holds = |one: &&StoredPayment| one.operation(operation).is_some();
            let payment = self.payments.iter().find(holds);
            LeasedWork { payment: payment.expect("operations have payments").clone(), operation }
        });
        work.collect()
    }
}

impl Model {
    fn hasten(&mut self, verb: &HastenWork) -> u64 {
        let waits = |(at, holder): &&mut (Timestamp, Option<Incarnation>)| {
            let dead = |holder| verb.sole_owner.is_some_and(|owner| holder != owner);
            *at > verb.now && holder.is_none_or(dead)
        };
        let mut hastened = 0;
        for (at, _) in self.due.values_mut().filter(waits) {
            *at = verb.now;
            hastened += 1;
        }
        hastened
    }
}

fn new_payment(verb: &BeginOperation, new: &NewPayment) -> StoredPayment {
    StoredPayment {
        id: new.id,
        shop: verb.shop,
        pos: new.pos,
        contract: new.contract,
        contract_number: new.contract_number.clone(),
        institution: new.institution.clone(),
        order_id: new.order_id.clone(),
        amount: verb.amount,
        currency: new.currency,
        sums: pos_protocol::payment::Sums::default(),
        created_at: verb.now,
        version: 1,
        operations: Vec::new(),
    }
}

fn new_operation(verb: &BeginOperation) -> StoredOperation {
    assert!(matches!(verb.kind, OperationKind::Sale | OperationKind::Refund));
    StoredOperation {
        id: verb.operation,
        key: verb.key.clone(),
        fingerprint: verb.fingerprint,
        kind: verb.kind,
        amount: verb.amount,
        allow_partial: verb.allow_partial,
        give_up_at: verb.give_up_at,
        by_server: false,
        state: OperationState::Sending,
        not_after: verb.not_after,
        created_at: verb.now,
        ended_at: None,
        evidence: Evidence::default(),
        inquiries: 0,
        lease_epoch: 1,
    }
}
