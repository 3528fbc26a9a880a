//! What a verb decided, as the audit tells it: ids, states, amounts. Never a secret, a name or an address.

use pos_protocol::Timestamp;
use pos_protocol::id::{
    ContractId, IdempotencyKey, InstitutionId, OperationId, OrderId, PaymentId, PosId, ShopId,
    TaskId,
};
use pos_protocol::key::KeyId;
use pos_protocol::money::{Amount, Currency};
use pos_protocol::payment::{OperationKind, OperationState, Sums};
use pos_protocol::text::{base64url, fixed_from_base64url};
use serde::Serialize;

use super::{Entry, Head};
use crate::store::verbs::{
    Admitted, BeginOperation, Begun, Follows, KeyChanged, NoticesSet, RecordOutcome, Recorded,
    Reply, Target, Verb,
};

/// Every member that a row may have; each row has those that belong to its `what`.
#[derive(Default, Serialize)]
struct Body<'a> {
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<PaymentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<OperationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<OperationKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    moved: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<Currency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sums: Option<[u64; 4]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<&'a OrderId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contract: Option<ContractId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    institution: Option<&'a InstitutionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pos: Option<PosId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a IdempotencyKey>,
    /// The key that signed the call, or that the decision is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<KeyId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    successor: Option<KeyId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<TaskId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    /// Of a restore: from when until when everything is lost, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<[Timestamp; 2]>,
    /// Of a settlement: YYYYMMDD.
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    also: Vec<Also>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tasks: Vec<TaskId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    chains: Vec<ChainEnd>,
}

/// Another operation that moved with the one that a row is about.
#[derive(Serialize)]
struct Also {
    operation: OperationId,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<OperationKind>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Amount>,
}

/// Where another chain ended when this one began.
#[derive(Serialize, serde::Deserialize)]
pub(super) struct ChainEnd {
    pub(super) writer: String,
    pub(super) count: u64,
    pub(super) hash: String,
}

impl ChainEnd {
    /// The head that it names; none where the row was damaged.
    pub(super) fn read(&self) -> Option<Head> {
        Some(Head {
            writer: fixed_from_base64url(&self.writer)?,
            count: self.count,
            hash: fixed_from_base64url(&self.hash)?,
        })
    }
}

/// What the first row of a chain tells.
#[derive(serde::Deserialize)]
pub(super) struct Beginning {
    #[serde(default)]
    pub(super) chains: Vec<ChainEnd>,
}

/// The first row of a chain.
pub(super) fn begins(at: Timestamp, others: &[Head]) -> Entry {
    let chains = others.iter().map(|head| ChainEnd {
        writer: base64url(&head.writer),
        count: head.count,
        hash: base64url(&head.hash),
    });
    entry(at, None, &Body { what: "chain", chains: chains.collect(), ..Body::default() })
}

/// What a verb decided, if it decided anything.
pub(super) fn of(verb: &Verb, reply: &Reply) -> Option<Entry> {
    Some(match (verb, reply) {
        (Verb::BeginOperation(verb), Reply::BeginOperation(Begun::New { version })) => {
            begun(verb, *version)
        }
        (Verb::RecordOutcome(verb), Reply::RecordOutcome(Recorded::Done { version })) => {
            recorded(verb, *version)
        }
        (Verb::KeepRefusal(verb), Reply::KeepRefusal(None)) => of_shop(
            verb.now,
            verb.shop,
            &Body {
                what: "refuse",
                idempotency_key: Some(&verb.key),
                code: Some(verb.code.wire()),
                ..Body::default()
            },
        ),
        (Verb::Register(verb), Reply::Register(Admitted::Yes)) => of_shop(
            verb.now,
            verb.shop,
            &Body { what: "register", key: Some(verb.key.public.id()), ..Body::default() },
        ),
        (Verb::OpenSession(verb), Reply::OpenSession(Admitted::Yes)) => {
            let key = Some(verb.key.public.id());
            of_shop(verb.now, verb.key.shop, &Body { what: "sign_in", key, ..Body::default() })
        }
        (Verb::RollKey(verb), Reply::RollKey(KeyChanged::Yes)) => of_shop(
            verb.now,
            verb.shop,
            &Body {
                what: "roll_key",
                key: Some(verb.old),
                successor: Some(verb.new.public.id()),
                ..Body::default()
            },
        ),
        (Verb::EndKey(verb), Reply::EndKey(KeyChanged::Yes)) => {
            let key = Some(verb.key);
            of_shop(verb.now, verb.shop, &Body { what: "end_key", key, ..Body::default() })
        }
        (Verb::ResolveTask(verb), Reply::ResolveTask(true)) => {
            let task = Some(verb.task);
            of_shop(verb.now, verb.shop, &Body { what: "resolve_task", task, ..Body::default() })
        }
        (Verb::SetNotices(verb), Reply::SetNotices(NoticesSet::Yes)) => of_shop(
            verb.now,
            verb.shop,
            &Body {
                what: "set_notices",
                idempotency_key: Some(&verb.claim.key),
                ..Body::default()
            },
        ),
        (Verb::DisableWebhook(verb), Reply::DisableWebhook(true)) => {
            of_shop(verb.now, verb.shop, &Body { what: "disable_webhook", ..Body::default() })
        }
        (Verb::RecordSettlement(verb), Reply::RecordSettlement(true)) => entry(
            verb.now,
            None,
            &Body {
                what: "settlement",
                institution: Some(&verb.institution),
                day: Some(verb.settlement.day.number()),
                ..Body::default()
            },
        ),
        (Verb::OpenInstitutionTasks(verb), Reply::OpenInstitutionTasks(new)) if !new.is_empty() => {
            let (institution, tasks) = (Some(&verb.institution), new.clone());
            let what = "institution_tasks";
            entry(verb.now, None, &Body { what, institution, tasks, ..Body::default() })
        }
        (Verb::RecordRestore(verb), Reply::RecordRestore(_)) => {
            let gap = Some([verb.gap.from_ms, verb.gap.to_ms]);
            let tasks = verb.tasks.iter().map(|task| task.id).collect();
            entry(verb.now, None, &Body { what: "restore", gap, tasks, ..Body::default() })
        }
        (Verb::ResolveInstitutionTask(verb), Reply::ResolveInstitutionTask(true)) => {
            let (institution, task) = (Some(&verb.institution), Some(verb.task));
            let what = "resolve_institution_task";
            entry(verb.now, None, &Body { what, institution, task, ..Body::default() })
        }
        (Verb::SetEnrolment(verb), Reply::SetEnrolment(true)) => {
            of_shop(verb.now, verb.shop, &Body { what: "enrolment_code", ..Body::default() })
        }
        (Verb::AddShop(row), Reply::AddShop(true)) => {
            of_shop(row.created_at, row.id, &Body { what: "add_shop", ..Body::default() })
        }
        (Verb::AddPos(verb), Reply::AddPos(true)) => {
            let pos = Some(verb.pos.id);
            let body = Body { what: "add_pos", pos, ..Body::default() };
            of_shop(verb.pos.created_at, verb.shop, &body)
        }
        (Verb::AddContract(verb), Reply::AddContract(true)) => {
            let contract = &verb.contract;
            of_shop(
                contract.created_at,
                verb.shop,
                &Body {
                    what: "add_contract",
                    contract: Some(contract.id),
                    pos: Some(contract.pos),
                    institution: Some(&contract.institution),
                    ..Body::default()
                },
            )
        }
        (Verb::SetContractEnabled(verb), Reply::SetContractEnabled(true)) => of_shop(
            verb.now,
            verb.shop,
            &Body {
                what: "switch_contract",
                contract: Some(verb.contract),
                enabled: Some(verb.enabled),
                ..Body::default()
            },
        ),
        (Verb::AddInstitution(verb), Reply::AddInstitution(true)) => entry(
            verb.now,
            None,
            &Body {
                what: "add_institution",
                institution: Some(&verb.institution.id),
                ..Body::default()
            },
        ),
        (Verb::SetInstitutionEnabled(verb), Reply::SetInstitutionEnabled(true)) => entry(
            verb.now,
            None,
            &Body {
                what: "switch_institution",
                institution: Some(&verb.institution),
                enabled: Some(verb.enabled),
                ..Body::default()
            },
        ),
        (Verb::RecordTest(verb), Reply::RecordTest(true)) => entry(
            verb.now,
            None,
            &Body {
                what: "test_institution",
                institution: Some(&verb.institution),
                enabled: Some(true),
                ..Body::default()
            },
        ),
        _ => return None,
    })
}

fn begun(verb: &BeginOperation, version: u32) -> Entry {
    let mut body = Body {
        what: "begin",
        version: Some(version),
        operation: Some(verb.operation),
        kind: Some(verb.kind),
        amount: Some(verb.amount),
        idempotency_key: Some(&verb.key),
        key: Some(verb.signer),
        also: also(&verb.follows),
        ..Body::default()
    };
    match &verb.target {
        Target::New(new) => {
            body.payment = Some(new.id);
            body.currency = Some(new.currency);
            body.order = Some(&new.order_id);
            body.contract = Some(new.contract);
        }
        Target::Existing { payment, .. } => body.payment = Some(*payment),
    }
    of_shop(verb.now, verb.shop, &body)
}

fn recorded(verb: &RecordOutcome, version: u32) -> Entry {
    let Sums { authorised, captured, released, refunded } = verb.sums;
    let (moved, reason) = match verb.state {
        OperationState::Done(amount) => (Some(amount), None),
        OperationState::Reversing(approved) | OperationState::Reversed(approved) => {
            (approved, None)
        }
        OperationState::Declined(reason) => (None, Some(reason.wire())),
        _ => (None, None),
    };
    of_shop(
        verb.now,
        verb.shop,
        &Body {
            what: "outcome",
            payment: Some(verb.payment),
            version: Some(version),
            operation: Some(verb.operation),
            state: Some(verb.state.wire()),
            moved,
            reason,
            sums: Some([authorised, captured, released, refunded]),
            also: also(&verb.follows),
            tasks: verb.tasks.iter().map(|task| task.id).collect(),
            ..Body::default()
        },
    )
}

fn also(follows: &Follows) -> Vec<Also> {
    let changed = follows.changed.iter().map(|change| Also {
        operation: change.operation,
        kind: None,
        state: change.state.wire(),
        amount: None,
    });
    let begun = follows.begun.iter().map(|own| Also {
        operation: own.id,
        kind: Some(own.kind),
        state: OperationState::Sending.wire(),
        amount: Some(own.amount),
    });
    changed.chain(begun).collect()
}

fn of_shop(at: Timestamp, shop: ShopId, body: &Body<'_>) -> Entry {
    entry(at, Some(shop), body)
}

fn entry(at: Timestamp, shop: Option<ShopId>, body: &Body<'_>) -> Entry {
    let body = serde_json::to_string(body).expect("ids, words and numbers have a JSON form");
    Entry { at, shop, body: body.into() }
}
