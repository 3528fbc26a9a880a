//! What shops do all day: orders that are paid, declined, tried again, pressed twice, captured, voided,
//! paid back and given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pos_connect::{Order, seal_at};
use pos_institution::house::House;
use pos_protocol::id::OrderId;
use pos_protocol::money::{Amount, Currency, Money};
use pos_protocol::payment::OperationKind;
use pos_protocol::seal::{Binding, Instrument, SealKeySet, SealedOperation};
use pos_protocol::wire::{OperationView, WireOperationState};
use tokio::time::sleep;

use crate::network::Site;
use crate::shop::{Deed, Till, Told};

/// What all tills of a world work off.
pub struct Orders {
    next: AtomicU64,
    most: u64,
    sites: Vec<Offered>,
}

/// What can be paid with at one institution.
struct Offered {
    site: Arc<Site>,
    keys: SealKeySet,
    good: Vec<Instrument>,
    bad: Vec<Instrument>,
}

impl Orders {
    /// So many orders, paid at these institutions.
    ///
    /// # Panics
    /// Where an institution's seal keys cannot be proved.
    pub fn new(most: u64, sites: &[Arc<Site>], now: pos_protocol::Timestamp) -> Arc<Self> {
        let sites = sites.iter().map(|site| Offered::by(site, now)).collect();
        Arc::new(Self { next: AtomicU64::new(0), most, sites })
    }

    /// How many were begun.
    pub fn begun(&self) -> u64 {
        self.next.load(Ordering::Relaxed).min(self.most)
    }

    fn next(&self) -> Option<u64> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        (next < self.most).then_some(next)
    }
}

impl Offered {
    fn by(site: &Arc<Site>, now: pos_protocol::Timestamp) -> Self {
        let (_, root) = site.institution.proved_by();
        let keys = site.institution.seal_keys().verify(&root, &site.house.id(), now, 0);
        let of = |names: &[&str]| {
            let all = site.institution.instruments().all();
            let wanted = all.into_iter().filter(|one| names.contains(&one.name.as_str()));
            let sealed = wanted.map(|one| Instrument::from_json(one.json.to_string().as_bytes()));
            sealed.map(|one| one.expect("a test instrument is one")).collect()
        };
        Self {
            site: Arc::clone(site),
            keys: keys.expect("an institution's own keys are proved"),
            good: of(&["approve"]),
            bad: of(&["small_balance", "insufficient_funds", "expired_card", "do_not_honour"]),
        }
    }
}

/// Works off orders as long as there are any. The twin is another process of the same shop.
pub async fn work(mut till: Till, mut twin: Till, orders: Arc<Orders>) {
    sleep(till.chance.span(0, 3_000)).await;
    while let Some(number) = orders.next() {
        Box::pin(order(&mut till, &mut twin, &orders, number)).await;
        sleep(till.chance.span(10, 2_000)).await;
    }
}

/// One order from the shopper's click to whatever it comes to.
async fn order(till: &mut Till, twin: &mut Till, orders: &Orders, number: u64) {
    let at = match till.chance.below(10) {
        0..6 => 0,
        6 | 7 => 1,
        _ => 2,
    };
    let order_id: OrderId = format!("order-{number}").parse().expect("a number makes an order id");
    let minor = till.chance.between(100, 50_000);
    let mut tries: u32 = 0;
    let paid = loop {
        let deed = deed_of(till, &orders.sites[at], at, &order_id, minor);
        let key = till.fresh_key();
        let (told, view) = match till.chance.below(20) {
            // Pressed twice: two processes, each with a key of its own.
            0 => {
                let other = deed_of(twin, &orders.sites[at], at, &order_id, minor);
                let other_key = twin.fresh_key();
                let (first, second) =
                    tokio::join!(till.perform(&key, &deed), twin.perform(&other_key, &other));
                if is_done(&second.0) { second } else { first }
            }
            // The same call twice, under one key.
            1 => tokio::join!(till.perform(&key, &deed), twin.perform(&key, &deed)).0,
            2 | 3 => tokio::join!(till.perform(&key, &deed), give_up(twin, &order_id)).0,
            _ => till.perform(&key, &deed).await,
        };
        if is_done(&told) {
            break view;
        }
        tries = tries.saturating_add(1);
        if tries == 3 || !till.chance.happens(600) {
            return;
        }
        sleep(till.chance.span(500, 10_000)).await;
    };
    if let Some(paid) = paid {
        Box::pin(afterwards(till, twin, &paid)).await;
    }
}

/// What follows a payment that was made: now and then two movements at the same moment, from two
/// processes.
async fn afterwards(till: &mut Till, twin: &mut Till, paid: &OperationView) {
    let Some(done) = paid.done_amount else { return };
    let authorised = paid.operation == OperationKind::Authorise;
    let mut sums = Left {
        held: if authorised { done.minor() } else { 0 },
        captured: if authorised { 0 } else { done.minor() },
    };
    for _ in 0..till.chance.below(4) {
        sleep(till.chance.span(100, 5_000)).await;
        let Some(deed) = sums.deed(till, paid) else { return };
        let key = till.fresh_key();
        if till.chance.happens(350)
            && let Some(other) = sums.deed(twin, paid)
        {
            let other_key = twin.fresh_key();
            let (first, second) =
                tokio::join!(till.perform(&key, &deed), twin.perform(&other_key, &other));
            sums.note(&deed, &first.0);
            sums.note(&other, &second.0);
        } else {
            let (told, _) = till.perform(&key, &deed).await;
            sums.note(&deed, &told);
        }
    }
}

/// What a payment has left to move, as its shop reckons.
#[derive(Clone, Copy)]
struct Left {
    held: u64,
    captured: u64,
}

impl Left {
    fn deed(&self, till: &Till, paid: &OperationView) -> Option<Deed> {
        let chance = &till.chance;
        let part = |of: u64| if chance.happens(300) { of } else { chance.between(1, of.max(1)) };
        let money = |minor| {
            let amount = Amount::new(minor).ok()?;
            Some(Money { amount, currency: paid.currency })
        };
        if self.held > 0 && chance.happens(600) {
            Some(Deed::Capture(paid.payment_id, money(part(self.held))?))
        } else if self.held > 0 && chance.happens(600) {
            Some(Deed::Void(paid.payment_id))
        } else if self.captured > 0 {
            Some(Deed::Refund(paid.payment_id, money(part(self.captured))?))
        } else {
            None
        }
    }

    fn note(&mut self, deed: &Deed, told: &Told) {
        if !is_done(told) {
            return;
        }
        match deed {
            Deed::Capture(_, money) => {
                self.held = self.held.saturating_sub(money.amount.minor());
                self.captured = self.captured.saturating_add(money.amount.minor());
            }
            Deed::Void(_) => self.held = 0,
            Deed::Refund(_, money) => {
                self.captured = self.captured.saturating_sub(money.amount.minor());
            }
            Deed::Sale(_) | Deed::Authorise(_) => {}
        }
    }
}

/// The shopper does not wait: another process of the shop gives the payment up while it is under way.
async fn give_up(twin: &mut Till, order_id: &OrderId) {
    sleep(twin.chance.span(20, 25_000)).await;
    if let Some(payment) = twin.payment_of(order_id).await {
        let key = twin.fresh_key();
        twin.perform(&key, &Deed::Void(payment)).await;
    }
}

fn is_done(told: &Told) -> bool {
    matches!(told, Told::State(WireOperationState::Done, _))
}

fn deed_of(till: &Till, offered: &Offered, at: usize, order_id: &OrderId, minor: u64) -> Deed {
    let chance = &till.chance;
    let authorises = offered.site.house == House::Card && chance.happens(500);
    let operation = if authorises { SealedOperation::Authorise } else { SealedOperation::Sale };
    let from = if chance.happens(850) { &offered.good } else { &offered.bad };
    let pick = usize::try_from(chance.below(u64::try_from(from.len()).unwrap_or(1)));
    let instrument = &from[pick.unwrap_or_default()];
    let (contract_id, contract_number) = till.shop().contracts[at].clone();
    let money = Money::new(minor, Currency::JPY).expect("an amount");
    let binding = Binding {
        institution: offered.site.house.id(),
        contract_number,
        operation,
        order_id: order_id.clone(),
        money,
    };
    let now = till.world.now();
    let envelope = seal_at(instrument, &binding, &offered.keys, now, till.environment());
    let envelope = envelope.expect("a good key and a good clock seal");
    let mut order = Order::new(contract_id, order_id.clone(), money, envelope);
    order.allow_partial = offered.site.house == House::Prepaid && chance.happens(500);
    if chance.happens(100) {
        order.give_up_after_s = u32::try_from(chance.between(2, 40)).ok();
    }
    if authorises { Deed::Authorise(order) } else { Deed::Sale(order) }
}
