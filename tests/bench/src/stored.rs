//! Payments that a store holds before its server starts: written by the store's own verbs, so that every
//! row, index and link of the audit is there that a server would have left.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pos_protocol::id::{
    ContractId, ContractNumber, IdempotencyKey, InstitutionId, OperationId, OrderId, PaymentId,
    PosId, ShopId,
};
use pos_protocol::key::KeyId;
use pos_protocol::payment::{OperationKind, OperationState, Sums};
use pos_protocol::text::base64url;
use pos_protocol::{Amount, Currency, Timestamp};
use pos_server::store::engine::{Engine, Writer};
use pos_server::store::postgres::{self, PostgresOptions};
use pos_server::store::rows::{Evidence, Incarnation};
use pos_server::store::sqlite::{self, SqliteOptions};
use pos_server::store::verbs::{
    BeginOperation, Begun, Follows, Lease, NewPayment, Prune, RecordOutcome, Recorded, Reply,
    Target, Verb,
};
use pos_tests::Bed;
use pos_tests::raw;

use crate::calls::INSTITUTION;
use crate::error::BenchError;
use crate::say;

/// Between two payments of the past.
const STEP: Duration = Duration::from_millis(5);

/// How long a past payment took, how late it might have arrived, its lease, and its envelope's life.
const TOOK: Duration = Duration::from_millis(4);
const LIMIT: Duration = Duration::from_secs(10);
const LEASE: Duration = Duration::from_secs(30);
const ENVELOPE: Duration = Duration::from_secs(10 * 60);

/// Payments of one commit.
const GROUP: u64 = 1_000;

/// How often the past went through all keys from the first to the last. Random keys would touch a page
/// each; so the pages end as evenly filled with keys as by chance, and the filling keeps to few of them.
const SWEEPS: NonZero<u64> = NonZero::new(4).unwrap();

/// So many finished sales of the past, the same for the same number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    pub(crate) count: u64,
    from: Timestamp,
}

impl Stored {
    /// The last of them ended before now.
    pub(crate) fn until_now(count: u64) -> Self {
        let steps = u32::try_from(count.saturating_add(GROUP)).unwrap_or(u32::MAX);
        Self { count, from: raw::now().minus(STEP.saturating_mul(steps)) }
    }

    pub(crate) fn payment(&self, number: u64) -> PaymentId {
        PaymentId::fresh(self.at(number), entropy(number, 1))
    }

    pub(crate) fn newest(&self) -> PaymentId {
        self.payment(self.count.saturating_sub(1))
    }

    pub(crate) fn key(&self, number: u64) -> IdempotencyKey {
        let octets: Vec<u8> = [&self.position(number)[..], &entropy(number, 2)].concat();
        base64url(&octets).parse().expect("24 characters of base64url are a key")
    }

    /// In minor units.
    pub(crate) fn minor(number: u64) -> u64 {
        (number % 9_000).saturating_add(100)
    }

    fn order(&self, number: u64) -> OrderId {
        let octets: Vec<u8> = [&self.position(number)[..], &entropy(number, 3)[..1]].concat();
        let text = format!("bench-{}", base64url(&octets));
        text.parse().expect("a short name and base64url are an order id")
    }

    fn operation(&self, number: u64) -> OperationId {
        OperationId::fresh(self.at(number), entropy(number, 4))
    }

    fn at(&self, number: u64) -> Timestamp {
        self.from.plus(STEP.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX)))
    }

    /// Where its keys lie among all keys, from 0 to all ones: evenly, in so many sweeps.
    fn position(&self, number: u64) -> [u8; 8] {
        let sweep = NonZero::new(self.count.div_ceil(SWEEPS.get())).unwrap_or(NonZero::<u64>::MIN);
        let slots = sweep.saturating_mul(SWEEPS);
        let (turn, at) = (number / sweep, number % sweep);
        let slot = at.saturating_mul(SWEEPS.get()).saturating_add(turn);
        slot.saturating_mul(u64::MAX / slots).to_be_bytes()
    }
}

/// Ten octets that look random and differ for each number and use (SplitMix64).
fn entropy(number: u64, of: u64) -> [u8; 10] {
    let mut octets = [0; 10];
    let mut state = number.wrapping_mul(8).wrapping_add(of);
    for part in octets.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        part.copy_from_slice(&(mixed ^ (mixed >> 31)).to_be_bytes()[..part.len()]);
    }
    octets
}

/// Where a store is, and whose payments it gets.
pub(crate) struct Place {
    database: Option<String>,
    file: PathBuf,
    shop: ShopId,
    pos: PosId,
    contract: ContractId,
    contract_number: ContractNumber,
    institution: InstitutionId,
    signer: KeyId,
}

impl Place {
    /// The first shop's, in the database that the bed's server was given.
    pub(crate) fn of(bed: &Bed, database: Option<String>) -> Result<Self, BenchError> {
        let shop = bed.shop();
        let contract = shop.contract(INSTITUTION)?;
        let has = |pos: &&pos_tests::bed::PosKit| {
            pos.contracts.iter().any(|one| one.contract_id == contract.contract_id)
        };
        let pos = shop.poses.iter().find(has).ok_or(BenchError::TooFew("the POSes"))?;
        Ok(Self {
            database,
            file: file(bed.folder()),
            shop: shop.enrolment.shop_id,
            pos: pos.pos_id,
            contract: contract.contract_id,
            contract_number: contract.number.clone(),
            institution: contract.institution.clone(),
            signer: shop.key.public().id(),
        })
    }

    /// Writes them. No server may run on the store meanwhile; blocks for as long as it takes.
    pub(crate) fn fill(&self, stored: &Stored) -> Result<(), BenchError> {
        let owner: Incarnation = raw::random();
        let mut engine = self.open(owner)?;
        let writer = &mut *engine.writer;
        let mut first = 0;
        while first < stored.count {
            let end = first.saturating_add(GROUP).min(stored.count);
            let begin = |number| Verb::BeginOperation(Box::new(self.begin(stored, number, owner)));
            let begun = commit(writer, (first..end).map(begin))?;
            let record = |number| Verb::RecordOutcome(Box::new(self.record(stored, number)));
            let recorded = commit(writer, (first..end).map(record))?;
            for reply in begun.into_iter().chain(recorded) {
                match reply {
                    Reply::BeginOperation(Begun::New { version: 1 })
                    | Reply::RecordOutcome(Recorded::Done { version: 2 }) => {}
                    other => return Err(BenchError::Store(format!("{other:?}"))),
                }
            }
            prune(writer, stored.at(end), 3)?;
            if end.is_multiple_of(1_000_000) {
                say(&format!("{end} of {} payments are stored", stored.count));
            }
            first = end;
        }
        // What a server would prune in its next minutes, so that it does not while it is measured.
        prune(writer, stored.at(stored.count).plus(ENVELOPE.saturating_mul(2)), u32::MAX)
    }

    fn open(&self, incarnation: Incarnation) -> Result<Engine, BenchError> {
        let Some(database) = &self.database else {
            let options = SqliteOptions { incarnation, ..SqliteOptions::default() };
            return sqlite::open(&self.file, options).map_err(told);
        };
        let url = database.parse().map_err(BenchError::Database)?;
        postgres::open(&PostgresOptions::new(url, incarnation)).map_err(told)
    }

    fn begin(&self, stored: &Stored, number: u64, owner: Incarnation) -> BeginOperation {
        let now = stored.at(number);
        let mut digest = [0; 32];
        digest[..10].copy_from_slice(&entropy(number, 5));
        digest[10..20].copy_from_slice(&entropy(number, 6));
        BeginOperation {
            shop: self.shop,
            signer: self.signer,
            key: stored.key(number),
            fingerprint: digest,
            operation: stored.operation(number),
            kind: OperationKind::Sale,
            amount: amount(number),
            allow_partial: false,
            give_up_at: None,
            not_after: now.plus(LIMIT),
            target: Target::New(NewPayment {
                id: stored.payment(number),
                pos: self.pos,
                contract: self.contract,
                contract_number: self.contract_number.clone(),
                institution: self.institution.clone(),
                order_id: stored.order(number),
                currency: Currency::JPY,
                envelope: digest,
                envelope_not_after: now.plus(ENVELOPE),
            }),
            lease: Some(Lease { owner, expires_at: now.plus(LEASE) }),
            follows: Follows::default(),
            now,
        }
    }

    fn record(&self, stored: &Stored, number: u64) -> RecordOutcome {
        let now = stored.at(number).plus(TOOK);
        let minor = Stored::minor(number);
        let text = |of: u64| Some(base64url(&entropy(number, of)).into_boxed_str());
        RecordOutcome {
            shop: self.shop,
            payment: stored.payment(number),
            version: 1,
            sums: Sums { authorised: minor, captured: minor, ..Sums::default() },
            operation: stored.operation(number),
            lease_epoch: 1,
            state: OperationState::Done(amount(number)),
            evidence: Evidence {
                reference: text(7),
                card_reference: text(8),
                raw_code: Some("00".into()),
            },
            inquiries: 0,
            ended_at: Some(now),
            due_at: None,
            frees_order: false,
            tasks: Vec::new(),
            follows: Follows::default(),
            now,
        }
    }
}

/// The embedded database of a bed's server.
pub(crate) fn file(folder: &Path) -> PathBuf {
    folder.join("data/pos.sqlite3")
}

fn amount(number: u64) -> Amount {
    Amount::new(Stored::minor(number)).expect("100 to 9,099 are amounts")
}

/// Envelopes that cannot be used again, in at most so many steps.
fn prune(writer: &mut dyn Writer, now: Timestamp, steps: u32) -> Result<(), BenchError> {
    for _ in 0..steps {
        let prune = Verb::Prune(Box::new(Prune { now, limit: u32::MAX }));
        if let [Reply::Prune(0)] = commit(writer, [prune])?.as_slice() {
            return Ok(());
        }
    }
    Ok(())
}

fn commit(
    writer: &mut dyn Writer,
    verbs: impl IntoIterator<Item = Verb>,
) -> Result<Vec<Reply>, BenchError> {
    let verbs: Vec<_> = verbs.into_iter().collect();
    let replies = writer.commit(&verbs).map_err(told)?;
    replies.into_iter().collect::<Result<_, _>>().map_err(told)
}

fn told(cause: impl std::error::Error) -> BenchError {
    let mut text = cause.to_string();
    let mut cause: &dyn std::error::Error = &cause;
    while let Some(deeper) = cause.source() {
        text = format!("{text}: {deeper}");
        cause = deeper;
    }
    BenchError::Store(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_past_is_in_order_and_its_keys_are_spread() {
        let stored = Stored::until_now(1_000);
        let ids: Vec<_> = (0..1_000).map(|number| stored.payment(number)).collect();
        assert!(ids.is_sorted());
        assert!(stored.at(999) < raw::now());
        let keys: BTreeSet<_> = (0..1_000).map(|number| stored.key(number).to_string()).collect();
        assert_eq!(keys.len(), 1_000);
        // The first 64th of all keys has a 64th of these.
        let first = keys.iter().filter(|key| key.starts_with('A')).count();
        assert!((15..=17).contains(&first), "{first}");
        let orders: BTreeSet<_> =
            (0..1_000).map(|number| stored.order(number).to_string()).collect();
        assert_eq!(orders.len(), 1_000);
        // A sweep goes upwards.
        assert!(stored.position(100) < stored.position(101));
        assert!(stored.position(250) < stored.position(249));
    }
}
