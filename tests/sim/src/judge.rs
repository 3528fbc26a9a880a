//! What a world came to: the institutions' books, the shop database and what shops were told must be one
//! story.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use pos_institution::ledger::OperationReport;
use pos_protocol::id::{IdempotencyKey, OperationId, ShopId};
use pos_protocol::payment::{OperationKind, OperationState, Sums};
use pos_protocol::wire::WireOperationState;
use pos_server::app::App;
use pos_server::store::StoreError;
use pos_server::store::rows::{StoredOperation, StoredPayment, UnderKey};

use crate::network::Site;
use crate::shop::{Noted, Told};

/// Rows that are read at a time.
const PAGE: u32 = 500;

/// How a world is judged.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// Money that one side knows of and another does not, or what a shop was told and is not so.
    pub lost: u64,
    /// Charges that stand beyond the one that an order may have, and movements that moved twice.
    pub doubled: u64,
    /// What is still open, and what a shop could not find out.
    pub stuck: u64,
    /// What waits for a person.
    pub needs_human: u64,
    /// What is wrong otherwise: books that do not balance, an audit that is not whole.
    pub broken: u64,
    /// Each of these as a sentence.
    pub findings: Vec<String>,
    /// Money movements in the shop database.
    pub operations: u64,
    /// Of these, how many stand in which state.
    pub states: BTreeMap<&'static str, u64>,
}

/// Everything that is compared.
struct Seen {
    payments: Vec<StoredPayment>,
    /// By operation, with its institution.
    booked: HashMap<OperationId, OperationReport>,
}

impl Judgement {
    fn lost(&mut self, what: String) {
        self.lost = self.lost.saturating_add(1);
        self.findings.push(format!("lost: {what}"));
    }

    fn doubled(&mut self, what: String) {
        self.doubled = self.doubled.saturating_add(1);
        self.findings.push(format!("doubled: {what}"));
    }

    /// Notes that something has not come to its end.
    pub fn stuck(&mut self, what: String) {
        self.stuck = self.stuck.saturating_add(1);
        self.findings.push(format!("stuck: {what}"));
    }

    fn broken(&mut self, what: String) {
        self.broken = self.broken.saturating_add(1);
        self.findings.push(format!("broken: {what}"));
    }
}

/// Compares the books with the shop database, and verifies its audit.
///
/// # Errors
/// The shop database did not answer.
///
/// # Panics
/// Where an institution's books cannot be read.
pub async fn judge(
    app: &Arc<App>,
    shops: &[ShopId],
    sites: &[Arc<Site>],
) -> Result<Judgement, StoreError> {
    let mut judgement = Judgement::default();
    let mut booked = HashMap::new();
    for site in sites {
        read_books(site, &mut judgement, &mut booked).await;
    }
    let mut payments = Vec::new();
    for shop in shops {
        read_history(app, *shop, &mut payments).await?;
    }
    let seen = Seen { payments, booked };
    seen.compare_operations(&mut judgement);
    seen.compare_orders(&mut judgement);
    match pos_server::audit::verify(app).await {
        Ok(report) => {
            for finding in report.verified.findings {
                judgement.broken(format!("the audit: {finding:?}"));
            }
        }
        Err(cause) => judgement.broken(format!("the audit: {cause}")),
    }
    Ok(judgement)
}

async fn read_books(
    site: &Arc<Site>,
    judgement: &mut Judgement,
    booked: &mut HashMap<OperationId, OperationReport>,
) {
    let whole = site.institution.books(|books| books.report()).await.expect("the books are open");
    if !whole.balanced {
        judgement.broken(format!("the books of {} do not balance", site.house.id()));
    }
    for _ in 0..whole.moved_twice {
        judgement.doubled(format!("an operation moved money twice at {}", site.house.id()));
    }
    let mut after = 0;
    loop {
        let page = site.institution.books(move |books| books.operation_reports(after, PAGE)).await;
        let page = page.expect("the books are open");
        let Some(last) = page.last() else { return };
        after = last.row;
        booked.extend(page.into_iter().map(|one| (one.operation_id, one)));
    }
}

async fn read_history(
    app: &App,
    shop: ShopId,
    payments: &mut Vec<StoredPayment>,
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = app.store.read(move |reader| reader.history(shop, None, after, PAGE)).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id);
        payments.extend(page);
    }
}

impl Seen {
    /// Each movement on both sides.
    fn compare_operations(&self, judgement: &mut Judgement) {
        let mut known = HashMap::new();
        for payment in &self.payments {
            let reckoned = reckoned(payment);
            if payment.sums != reckoned {
                let what = format!("{:?} are the sums, {reckoned:?} moved", payment.sums);
                judgement.lost(format!("{}: {what}", payment.order_id));
            }
            for one in &payment.operations {
                known.insert(one.id, ());
                judgement.operations = judgement.operations.saturating_add(1);
                let count = judgement.states.entry(one.state.wire()).or_default();
                *count = count.saturating_add(1);
                self.compare(payment, one, judgement);
            }
        }
        let mut strange: Vec<_> = self.booked.values().filter(|one| one.moved > 0).collect();
        strange.retain(|one| !known.contains_key(&one.operation_id));
        strange.sort_by_key(|one| (one.contract.clone(), one.row));
        for one in strange {
            judgement.lost(format!("{} of {} is in no database", one.operation_id, one.order_id));
        }
    }

    fn compare(&self, payment: &StoredPayment, one: &StoredOperation, judgement: &mut Judgement) {
        let booked = self.booked.get(&one.id);
        let moved = booked.map_or(0, |booked| booked.moved);
        let said = booked.map_or("nothing", |booked| booked.state.as_str());
        let what = || {
            format!(
                "{} {} of {}: {:?} here, {said} {moved} in the books",
                one.kind, one.id, payment.order_id, one.state
            )
        };
        match one.state {
            OperationState::NeedsHuman => {
                judgement.needs_human = judgement.needs_human.saturating_add(1);
                judgement.findings.push(format!("needs a person: {}", what()));
            }
            state if state.is_open() => judgement.stuck(what()),
            // A reverse is a call of its own, and a void that abandons is carried out by it.
            OperationState::Done(_) if one.kind == OperationKind::Reverse => {}
            OperationState::Done(_) if one.kind == OperationKind::Void && undone(payment) => {}
            OperationState::Done(amount) if moved == amount.minor() => {}
            OperationState::Done(_) => judgement.lost(what()),
            _ if moved > 0 => judgement.lost(what()),
            _ => {}
        }
    }

    /// No order has two charges that stand.
    fn compare_orders(&self, judgement: &mut Judgement) {
        let mut standing: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for one in self.booked.values().filter(|one| one.moved > 0) {
            if matches!(one.kind.as_str(), "sale" | "authorise") {
                let count = standing.entry((&one.contract, &one.order_id)).or_default();
                *count = count.saturating_add(1);
            }
        }
        for ((_, order), count) in standing {
            for _ in 1..count {
                judgement.doubled(format!("{order} has {count} charges"));
            }
        }
    }
}

/// The sums of a payment by its operations.
fn reckoned(payment: &StoredPayment) -> Sums {
    let done = |kind| {
        let of_kind = payment.operations.iter().filter(|one| one.kind == kind);
        of_kind.fold(0_u64, |sum, one| match one.state {
            OperationState::Done(amount) => sum.saturating_add(amount.minor()),
            _ => sum,
        })
    };
    let (sold, held) = (done(OperationKind::Sale), done(OperationKind::Authorise));
    if sold.max(held) == 0 {
        return Sums::default();
    }
    Sums {
        authorised: sold.max(held),
        captured: sold.saturating_add(done(OperationKind::Capture)),
        released: done(OperationKind::Void),
        refunded: done(OperationKind::Refund),
    }
}

/// Whether the payment's beginning was undone.
fn undone(payment: &StoredPayment) -> bool {
    let first = payment.operations.first().map(|first| first.state);
    matches!(first, Some(OperationState::Reversed(_)))
}

/// What the shops were told is so.
///
/// # Errors
/// The shop database did not answer.
pub async fn compare_told(
    app: &App,
    book: &[Noted],
    judgement: &mut Judgement,
) -> Result<(), StoreError> {
    let mut calls: HashMap<&IdempotencyKey, u32> = HashMap::new();
    for noted in book {
        let count = calls.entry(&noted.key).or_default();
        *count = count.saturating_add(1);
    }
    for noted in book {
        let is_only_one = calls.get(&noted.key) == Some(&1);
        compare_one(app, noted, is_only_one, judgement).await?;
    }
    Ok(())
}

async fn compare_one(
    app: &App,
    noted: &Noted,
    is_only_one: bool,
    judgement: &mut Judgement,
) -> Result<(), StoreError> {
    let (shop, key) = (noted.shop, noted.key.clone());
    let found = app.store.read(move |reader| reader.under_key(shop, &key)).await?;
    let state = match &found {
        Some(UnderKey::Operation(payment, id)) => payment.operation(*id).map(|one| one.state),
        Some(UnderKey::Refusal(_)) | None => None,
    };
    let what = || format!("{} {} was told {:?}: {state:?}", noted.kind, noted.key, noted.told);
    let fits = match (&noted.told, state) {
        // That is told by whoever asks for it once more.
        (None, _) => true,
        (Some(Told::State(told, done)), Some(state)) => {
            let amount = match state {
                OperationState::Done(amount) => amount.minor(),
                _ => 0,
            };
            let came_late =
                matches!(told, WireOperationState::Declined | WireOperationState::NotSent)
                    && matches!(state, OperationState::Reversed(_));
            came_late
                || (*told == WireOperationState::from(state)
                    && (*told != WireOperationState::Done || *done == amount))
        }
        (Some(Told::State(..)), None) => false,
        (Some(Told::Nothing(_)), None) => true,
        // Of two processes with one key one may have sent nothing.
        (Some(Told::Nothing(_)), Some(_)) => !is_only_one,
    };
    if !fits {
        judgement.lost(what());
    }
    Ok(())
}
