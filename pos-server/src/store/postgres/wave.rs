//! The verbs of money, many at a time.
//!
//! A wave is a run of a group's verbs that have nothing in common: no key, order, envelope or payment.
//! So all of them can be judged by what the database held before the first, in a fixed number of
//! statements whatever their number. First what they look at is locked and read ([`look`]), then each is
//! judged in memory, then everything is written ([`super::writes`]). With its rows locked nothing that was
//! seen moves before the end; a row that somebody else makes meanwhile is a unique violation, and the group
//! is done over.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use pos_protocol::Timestamp;
use pos_protocol::id::{
    ContractId, IdempotencyKey, OperationId, OrderId, PaymentId, PosId, ShopId,
};
use pos_protocol::key::KeyId;

use super::rows::{self, octets};
use super::session::{Cells, Failure, Params, Session, params};
use super::writes::{self, Writes};
use crate::store::cells::{Columns as _, corrupt, ms};
use crate::store::codes;
use crate::store::rows::UnderKey;
use crate::store::verbs::{
    BeginOperation, Begun, NewPayment, RecordOutcome, Recorded, Reply, Target, Verb,
};

/// A verb of a wave.
#[derive(Clone, Copy)]
enum Money<'v> {
    Begin(&'v BeginOperation),
    Record(&'v RecordOutcome),
}

impl<'v> Money<'v> {
    fn of(verb: &'v Verb) -> Option<Self> {
        match verb {
            Verb::BeginOperation(verb) => Some(Self::Begin(verb)),
            Verb::RecordOutcome(verb) => Some(Self::Record(verb)),
            _ => None,
        }
    }

    /// The payment that stands already.
    fn payment(self) -> Option<(ShopId, PaymentId)> {
        match self {
            Self::Begin(verb) => match &verb.target {
                Target::New(_) => None,
                Target::Existing { payment, .. } => Some((verb.shop, *payment)),
            },
            Self::Record(verb) => Some((verb.shop, verb.payment)),
        }
    }

    /// Operations of that payment which are looked at.
    fn operations(self) -> Vec<(ShopId, PaymentId, OperationId)> {
        let Some((shop, payment)) = self.payment() else { return Vec::new() };
        let (own, follows) = match self {
            Self::Begin(verb) => (None, &verb.follows),
            Self::Record(verb) => (Some(verb.operation), &verb.follows),
        };
        let changed = follows.changed.iter().map(|change| change.operation);
        own.into_iter().chain(changed).map(|id| (shop, payment, id)).collect()
    }
}

/// What two verbs of one wave must not share.
#[derive(PartialEq, Eq, Hash)]
enum Touched<'v> {
    Envelope(ShopId, &'v [u8; 32]),
    Key(ShopId, &'v IdempotencyKey),
    Order(ShopId, &'v OrderId),
    Payment(ShopId, PaymentId),
}

fn touched(verb: Money<'_>) -> Vec<Touched<'_>> {
    match verb {
        Money::Begin(verb) => {
            let key = Touched::Key(verb.shop, &verb.key);
            match &verb.target {
                Target::New(new) => vec![
                    key,
                    Touched::Envelope(verb.shop, &new.envelope),
                    Touched::Order(verb.shop, &new.order_id),
                    Touched::Payment(verb.shop, new.id),
                ],
                Target::Existing { payment, .. } => {
                    vec![key, Touched::Payment(verb.shop, *payment)]
                }
            }
        }
        Money::Record(verb) => vec![Touched::Payment(verb.shop, verb.payment)],
    }
}

/// How long a wave the verbs begin with; nothing where the first is no verb of money.
pub(super) fn first(verbs: &[Verb]) -> Range<usize> {
    let mut all = HashSet::new();
    let mut end = 0_usize;
    for verb in verbs {
        let Some(verb) = Money::of(verb) else { break };
        if !touched(verb).into_iter().all(|one| all.insert(one)) {
            break;
        }
        end = end.saturating_add(1);
    }
    0..end
}

/// Locks the keys that a group looks at or moves, all at once and in one order, so that two groups never
/// wait for each other's keys.
pub(super) async fn lock_keys(session: &Session, verbs: &[Verb]) -> Result<(), Failure> {
    let mut keys = Vec::new();
    let mut moved = false;
    for verb in verbs {
        match verb {
            Verb::BeginOperation(verb) => keys.push((verb.shop, verb.signer)),
            Verb::TouchKey(verb) => {
                keys.push((verb.shop, verb.key));
                moved = true;
            }
            _ => {}
        }
    }
    if keys.is_empty() {
        return Ok(());
    }
    let shops: Vec<&[u8]> = keys.iter().map(|(shop, _)| octets(shop.octets())).collect();
    let ids: Vec<&[u8]> = keys.iter().map(|(_, id)| octets(id.octets())).collect();
    let statement = if moved { LOCK_KEYS_TO_MOVE } else { LOCK_KEYS };
    session.rows(statement, params![shops, ids]).await.map(drop)
}

const LOCK_KEYS: &str = "SELECT 1 FROM key_record WHERE (shop, id) IN \
     (SELECT * FROM unnest($1::bytea[], $2::bytea[])) ORDER BY shop, id FOR SHARE";
const LOCK_KEYS_TO_MOVE: &str = "SELECT 1 FROM key_record WHERE (shop, id) IN \
     (SELECT * FROM unnest($1::bytea[], $2::bytea[])) ORDER BY shop, id FOR NO KEY UPDATE";
const KEYS: &str = "SELECT shop, id, ended_at, ends_at, idle_at FROM key_record \
     WHERE (shop, id) IN (SELECT * FROM unnest($1::bytea[], $2::bytea[]))";
const CONTRACTS: &str = "SELECT shop, id, pos, institution, enabled FROM contract \
     WHERE (shop, id) IN (SELECT * FROM unnest($1::bytea[], $2::bytea[])) \
     ORDER BY shop, id FOR SHARE";
const INSTITUTIONS: &str =
    "SELECT id, enabled FROM institution WHERE id = ANY ($1) ORDER BY id FOR SHARE";
/// Before the payments: whoever takes a lease holds the open operation and waits for nothing else.
const OPEN: &str = "SELECT 1 FROM open_operation WHERE (shop, payment) IN \
     (SELECT * FROM unnest($1::bytea[], $2::bytea[])) ORDER BY shop, payment, id FOR UPDATE";
const PAYMENTS: &str = "SELECT shop, id, version, institution, order_id FROM payment \
     WHERE (shop, id) IN (SELECT * FROM unnest($1::bytea[], $2::bytea[])) \
     ORDER BY shop, id FOR NO KEY UPDATE";
const OPERATIONS: &str = "SELECT o.shop, o.payment, o.id, o.lease_epoch, o.created_at \
     FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS u (shop, payment, id) \
     JOIN operation o ON o.shop = u.shop AND o.payment = u.payment AND o.id = u.id \
     WHERE o.payment IS NOT NULL";
const USED_KEYS: &str = "SELECT shop, key, true, NULL FROM operation WHERE (shop, key) IN \
       (SELECT * FROM unnest($1::bytea[], $2::text[])) \
     UNION ALL SELECT shop, key, false, fingerprint FROM claim WHERE (shop, key) IN \
       (SELECT * FROM unnest($1::bytea[], $2::text[]))";
const ENVELOPES: &str = "SELECT shop, envelope FROM nullifier WHERE (shop, not_after, envelope) IN \
     (SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[]))";
const ORDERS: &str = "SELECT shop, order_id, payment, claimed FROM shop_order \
     WHERE (shop, order_id) IN (SELECT * FROM unnest($1::bytea[], $2::text[])) \
     ORDER BY shop, order_id FOR UPDATE";

/// What is sent side by side, and so is prepared beforehand.
pub(super) const STATEMENTS: [&str; 11] = [
    LOCK_KEYS,
    LOCK_KEYS_TO_MOVE,
    KEYS,
    CONTRACTS,
    INSTITUTIONS,
    OPEN,
    PAYMENTS,
    OPERATIONS,
    USED_KEYS,
    ENVELOPES,
    ORDERS,
];

/// Applies the verbs of a wave, or as many from its beginning as can be judged by what the database held
/// before them: at least one. The answers are in their order.
pub(super) async fn apply(session: &Session, verbs: &[Verb]) -> Result<Vec<Reply>, Failure> {
    let verbs: Vec<_> = verbs.iter().filter_map(Money::of).collect();
    let mut seen = look(session, &verbs).await?;
    let mut writes = Writes::default();
    let mut replies = Vec::with_capacity(verbs.len());
    for verb in verbs {
        replies.push(match verb {
            Money::Begin(verb) if seen.is_used(verb) => {
                // It is answered with what stands, which a verb before it may have moved.
                if !writes.is_empty() {
                    break;
                }
                Reply::BeginOperation(seen.known(session, verb).await?)
            }
            Money::Begin(verb) => Reply::BeginOperation(judge_begin(&seen, &mut writes, verb)?),
            Money::Record(verb) => {
                Reply::RecordOutcome(judge_record(&mut seen, &mut writes, verb)?)
            }
        });
    }
    writes::write(session, &writes).await?;
    Ok(replies)
}

/// What the database holds of what a wave asks about.
#[derive(Default)]
struct Seen {
    keys: HashMap<(ShopId, KeyId), [Option<Timestamp>; 3]>,
    contracts: HashMap<(ShopId, ContractId), (PosId, Box<str>, bool)>,
    institutions: HashMap<Box<str>, bool>,
    payments: HashMap<(ShopId, PaymentId), SeenPayment>,
    operations: HashMap<(ShopId, PaymentId, OperationId), SeenOperation>,
    /// Keys that operations or refusals have, and the fingerprints of those that claims have.
    used: HashMap<(ShopId, Box<str>), Option<[u8; 32]>>,
    envelopes: HashSet<(ShopId, [u8; 32])>,
    orders: HashMap<(ShopId, Box<str>), PaymentId>,
}

pub(super) struct SeenPayment {
    pub(super) version: u32,
    pub(super) institution: Box<str>,
    pub(super) order_id: Box<str>,
}

pub(super) struct SeenOperation {
    pub(super) lease_epoch: u32,
    pub(super) created_at: i64,
}

async fn look(session: &Session, verbs: &[Money<'_>]) -> Result<Seen, Failure> {
    let begins: Vec<_> = verbs
        .iter()
        .filter_map(|verb| match verb {
            Money::Begin(verb) => Some(*verb),
            Money::Record(_) => None,
        })
        .collect();
    let new: Vec<_> = begins
        .iter()
        .filter_map(|verb| match &verb.target {
            Target::New(new) => Some((verb.shop, new)),
            Target::Existing { .. } => None,
        })
        .collect();
    let payments: Vec<_> = verbs.iter().filter_map(|verb| verb.payment()).collect();
    let operations: Vec<_> = verbs.iter().flat_map(|verb| verb.operations()).collect();

    let of_begins: Vec<&[u8]> = begins.iter().map(|verb| octets(verb.shop.octets())).collect();
    let signers: Vec<&[u8]> = begins.iter().map(|verb| octets(verb.signer.octets())).collect();
    let keys: Vec<&str> = begins.iter().map(|verb| verb.key.as_str()).collect();
    let of_new: Vec<&[u8]> = new.iter().map(|(shop, _)| octets(shop.octets())).collect();
    let contracts: Vec<&[u8]> = new.iter().map(|(_, new)| octets(new.contract.octets())).collect();
    let institutions: Vec<&str> = new.iter().map(|(_, new)| new.institution.as_str()).collect();
    let ends: Vec<i64> = new.iter().map(|(_, new)| ms(new.envelope_not_after)).collect();
    let envelopes: Vec<&[u8]> = new.iter().map(|(_, new)| octets(&new.envelope)).collect();
    let orders: Vec<&str> = new.iter().map(|(_, new)| new.order_id.as_str()).collect();
    let of_payments: Vec<&[u8]> = payments.iter().map(|(shop, _)| octets(shop.octets())).collect();
    let payment_ids: Vec<&[u8]> = payments.iter().map(|(_, id)| octets(id.octets())).collect();
    let of_operations: Vec<&[u8]> = operations.iter().map(|one| octets(one.0.octets())).collect();
    let their_payments: Vec<&[u8]> = operations.iter().map(|one| octets(one.1.octets())).collect();
    let operation_ids: Vec<&[u8]> = operations.iter().map(|one| octets(one.2.octets())).collect();

    let some = async |wanted: bool, statement, params: Params<'_>| {
        if wanted { session.rows(statement, params).await } else { Ok(Vec::new()) }
    };
    let (begin, make, stand) = (!begins.is_empty(), !new.is_empty(), !payments.is_empty());
    let of_contracts = params![of_new, contracts];
    let of_institutions = params![institutions];
    let of_payments = params![of_payments, payment_ids];
    let of_orders = params![of_new, orders];
    let of_keys = params![of_begins, signers];
    let of_operations = params![of_operations, their_payments, operation_ids];
    let of_used = params![of_begins, keys];
    let of_envelopes = params![of_new, ends, envelopes];
    // What is locked comes first: what is read after it is as the locks found it.
    let found = tokio::join!(
        biased;
        some(make, CONTRACTS, of_contracts),
        some(make, INSTITUTIONS, of_institutions),
        some(stand, OPEN, of_payments),
        some(stand, PAYMENTS, of_payments),
        some(make, ORDERS, of_orders),
        some(begin, KEYS, of_keys),
        some(!operations.is_empty(), OPERATIONS, of_operations),
        some(begin, USED_KEYS, of_used),
        some(make, ENVELOPES, of_envelopes),
    );
    // The first that failed says why; what came after it was not done.
    let (contracts, institutions) = (found.0?, found.1?);
    let (_, payments, orders) = (found.2?, found.3?, found.4?);
    let (keys, operations, used, envelopes) = (found.5?, found.6?, found.7?, found.8?);
    let mut seen = Seen::default();
    for row in &contracts {
        let cells = Cells(row);
        let of = (ShopId::from_octets(cells.array(0)?), ContractId::from_octets(cells.array(1)?));
        let pos = PosId::from_octets(cells.array(2)?);
        seen.contracts.insert(of, (pos, cells.boxed(3)?, cells.flag(4)?));
    }
    for row in &institutions {
        seen.institutions.insert(Cells(row).boxed(0)?, Cells(row).flag(1)?);
    }
    for row in &payments {
        let cells = Cells(row);
        let of = (ShopId::from_octets(cells.array(0)?), PaymentId::from_octets(cells.array(1)?));
        let (version, institution, order_id) = (cells.small(2)?, cells.boxed(3)?, cells.boxed(4)?);
        seen.payments.insert(of, SeenPayment { version, institution, order_id });
    }
    for row in &orders {
        let cells = Cells(row);
        if cells.flag(3)? {
            let of = (ShopId::from_octets(cells.array(0)?), cells.boxed(1)?);
            seen.orders.insert(of, PaymentId::from_octets(cells.array(2)?));
        }
    }
    for row in &keys {
        let cells = Cells(row);
        let of = (ShopId::from_octets(cells.array(0)?), KeyId::from_octets(cells.array(1)?));
        let end = |at| cells.maybe(at, Cells::instant);
        seen.keys.insert(of, [end(2)?, end(3)?, end(4)?]);
    }
    for row in &operations {
        let cells = Cells(row);
        let shop = ShopId::from_octets(cells.array(0)?);
        let payment = PaymentId::from_octets(cells.array(1)?);
        let id = OperationId::from_octets(cells.array(2)?);
        let one = SeenOperation { lease_epoch: cells.small(3)?, created_at: cells.number(4)? };
        seen.operations.insert((shop, payment, id), one);
    }
    for row in &used {
        let cells = Cells(row);
        let of = (ShopId::from_octets(cells.array(0)?), cells.boxed(1)?);
        // An operation comes before a claim.
        seen.used.entry(of).or_insert(cells.maybe(3, Cells::array)?);
    }
    for row in &envelopes {
        let cells = Cells(row);
        seen.envelopes.insert((ShopId::from_octets(cells.array(0)?), cells.array(1)?));
    }
    Ok(seen)
}

impl Seen {
    fn claim_or_operation(&self, verb: &BeginOperation) -> Option<&Option<[u8; 32]>> {
        self.used.get(&(verb.shop, verb.key.as_str().into()))
    }

    fn is_used(&self, verb: &BeginOperation) -> bool {
        self.claim_or_operation(verb).is_some()
    }

    /// What a key that was used before is answered.
    async fn known(&self, session: &Session, verb: &BeginOperation) -> Result<Begun, Failure> {
        if let Some(Some(fingerprint)) = self.claim_or_operation(verb) {
            return Ok(Begun::Known(UnderKey::of_claim(*fingerprint, verb.now)));
        }
        let under = rows::under_key(session, verb.shop, &verb.key).await?;
        let under = under.ok_or(corrupt("operation"))?;
        if let UnderKey::Operation(payment, id) = &under
            && *id == verb.operation
            && untouched(session, verb, payment.id).await?
        {
            // The commit was kept though its answer was lost.
            return Ok(Begun::New { version: payment.version });
        }
        Ok(Begun::Known(under))
    }

    fn signer_is_live(&self, verb: &BeginOperation) -> bool {
        let Some([ended, ends, idle]) = self.keys.get(&(verb.shop, verb.signer)) else {
            return false;
        };
        let before = |end: &Option<Timestamp>| end.is_none_or(|end| verb.now < end);
        ended.is_none() && before(ends) && before(idle)
    }

    fn contract_is_on(&self, shop: ShopId, new: &NewPayment) -> bool {
        self.contracts.get(&(shop, new.contract)).is_some_and(|(pos, institution, enabled)| {
            *pos == new.pos && **institution == *new.institution.as_str() && *enabled
        })
    }
}

/// Whether the operation still stands as its first lease left it, so that nobody else has sent it.
async fn untouched(
    session: &Session,
    verb: &BeginOperation,
    payment: PaymentId,
) -> Result<bool, Failure> {
    let owner = verb.lease.as_ref().map(|lease| octets(&lease.owner));
    let found = session
        .rows(
            "SELECT 1 FROM operation o JOIN open_operation w \
               ON w.shop = o.shop AND w.payment = o.payment AND w.id = o.id \
             WHERE o.shop = $1 AND o.key = $2 AND o.payment = $3 AND o.state = $4 \
               AND o.lease_epoch = 1 AND w.lease_owner IS NOT DISTINCT FROM $5",
            params![
                octets(verb.shop.octets()),
                verb.key.as_str(),
                octets(payment.octets()),
                codes::of_state(verb.begun_as()),
                owner,
            ],
        )
        .await?;
    Ok(!found.is_empty())
}

/// Signer, then what the target asks for.
fn judge_begin<'v>(
    seen: &Seen,
    writes: &mut Writes<'v>,
    verb: &'v BeginOperation,
) -> Result<Begun, Failure> {
    if !seen.signer_is_live(verb) {
        return Ok(Begun::SignerEnded);
    }
    match &verb.target {
        Target::New(new) => {
            if !seen.contract_is_on(verb.shop, new) {
                return Ok(Begun::ContractDisabled);
            }
            if !seen.institutions.get(new.institution.as_str()).copied().unwrap_or_default() {
                return Ok(Begun::InstitutionDisabled);
            }
            if seen.envelopes.contains(&(verb.shop, new.envelope)) {
                return Ok(Begun::EnvelopeUsed);
            }
            if let Some(holder) = seen.orders.get(&(verb.shop, new.order_id.as_str().into())) {
                return Ok(Begun::OrderTaken(*holder));
            }
            writes.make_payment(verb, new)?;
            let of = |id| seen.operations.get(&(verb.shop, new.id, id));
            writes.follow(
                (verb.shop, new.id),
                1,
                new.institution.as_str(),
                &verb.follows,
                verb.now,
                of,
            )?;
            Ok(Begun::New { version: 1 })
        }
        Target::Existing { payment, version } => {
            let Some(stands) = seen.payments.get(&(verb.shop, *payment)) else {
                return Ok(Begun::NotFound);
            };
            if stands.version != *version {
                return Ok(Begun::Moved);
            }
            let version = version.checked_add(1).ok_or(corrupt("version"))?;
            writes.continue_payment(verb, *payment, version, stands)?;
            let of = |id| seen.operations.get(&(verb.shop, *payment, id));
            writes.follow(
                (verb.shop, *payment),
                version,
                &stands.institution,
                &verb.follows,
                verb.now,
                of,
            )?;
            Ok(Begun::New { version })
        }
    }
}

/// Only where version and lease are still the caller's.
fn judge_record<'v>(
    seen: &mut Seen,
    writes: &mut Writes<'v>,
    verb: &'v RecordOutcome,
) -> Result<Recorded, Failure> {
    let version = verb.version.checked_add(1).ok_or(corrupt("version"))?;
    let of = |id| seen.operations.get(&(verb.shop, verb.payment, id));
    let (Some(stands), Some(operation)) =
        (seen.payments.get(&(verb.shop, verb.payment)), of(verb.operation))
    else {
        return Ok(Recorded::Moved);
    };
    if stands.version != verb.version || operation.lease_epoch != verb.lease_epoch {
        return Ok(Recorded::Moved);
    }
    writes.record(verb, version, stands, operation)?;
    writes.follow(
        (verb.shop, verb.payment),
        version,
        &stands.institution,
        &verb.follows,
        verb.now,
        of,
    )?;
    if verb.frees_order {
        // A verb behind this one finds the order free.
        let order = (verb.shop, stands.order_id.clone());
        if seen.orders.get(&order) == Some(&verb.payment) {
            seen.orders.remove(&order);
        }
    }
    Ok(Recorded::Done { version })
}
