//! A shop's software: the real connection module over a line that goes wrong, with a journal that
//! survives its process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::{Request, Response};
use pos_connect::env::{Environment, EnvironmentError, Task};
use pos_connect::journal::MemoryJournal;
use pos_connect::keys::{MemoryKeyStore, Seed, StoredKeys};
use pos_connect::{Carrier, Config, Connection, Error, ErrorKind, Order, Setup};
use pos_protocol::Timestamp;
use pos_protocol::id::{ContractId, ContractNumber, IdempotencyKey, OrderId, PaymentId, ShopId};
use pos_protocol::key::SigningKey;
use pos_protocol::money::Money;
use pos_protocol::payment::OperationKind;
use pos_protocol::succession::Fingerprint;
use pos_protocol::text::base64url;
use pos_protocol::wire::{OperationView, WireOperationState};
use pos_server::env::{Clock as _, Entropy as _};
use tokio::time::sleep;
use zeroize::Zeroizing;

use crate::chance::Chance;
use crate::clock::WorldClock;
use crate::line::carry;
use crate::server::{AUTHORITY, Server};
use crate::trace::Fault;
use crate::world::World;

/// A shop as its software knows it.
pub struct ShopKit {
    /// The tenant.
    pub id: ShopId,
    /// The module key.
    pub seed: [u8; 32],
    /// How the server's answers are proved.
    pub pin: Fingerprint,
    /// A contract with each institution.
    pub contracts: Vec<(ContractId, ContractNumber)>,
}

impl ShopKit {
    /// The module key.
    pub fn key(&self) -> SigningKey {
        SigningKey::from_seed(&self.seed)
    }
}

/// Something that a shop asks for.
#[derive(Clone, Debug)]
pub enum Deed {
    /// Takes the whole amount at once.
    Sale(Order),
    /// Holds the amount.
    Authorise(Order),
    /// Takes what is held, or a part.
    Capture(PaymentId, Money),
    /// Releases what is held, or abandons what is not known.
    Void(PaymentId),
    /// Pays back.
    Refund(PaymentId, Money),
}

impl Deed {
    /// What it moves.
    pub const fn kind(&self) -> OperationKind {
        match self {
            Self::Sale(_) => OperationKind::Sale,
            Self::Authorise(_) => OperationKind::Authorise,
            Self::Capture(..) => OperationKind::Capture,
            Self::Void(_) => OperationKind::Void,
            Self::Refund(..) => OperationKind::Refund,
        }
    }

    async fn ask(&self, line: &Connection, key: &IdempotencyKey) -> Result<OperationView, Error> {
        let key = Some(key.clone());
        match self {
            Self::Sale(order) => line.pay(order, key).await,
            Self::Authorise(order) => line.authorise(order, key).await,
            Self::Capture(payment, money) => line.capture(*payment, *money, key).await,
            Self::Void(payment) => line.void(*payment, key).await,
            Self::Refund(payment, money) => line.refund(*payment, *money, key).await,
        }
    }
}

/// What a shop was told in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A final state, and what was done.
    State(WireOperationState, u64),
    /// Nothing was made and nothing will be: the code says why.
    Nothing(Box<str>),
}

/// One key of a shop's order book.
#[derive(Clone, Debug)]
pub struct Noted {
    /// The shop.
    pub shop: ShopId,
    /// The key.
    pub key: IdempotencyKey,
    /// What was asked for.
    pub kind: OperationKind,
    /// What it was told; none as long as it has to ask on.
    pub told: Option<Told>,
    /// The journal that holds it.
    pub journal: Arc<MemoryJournal>,
    /// Which shop of the world it is.
    pub kit: usize,
}

/// The order books of all shops.
#[derive(Default)]
pub struct Book(Mutex<Vec<Noted>>);

impl Book {
    /// Everything that was asked for.
    pub fn all(&self) -> Vec<Noted> {
        self.lock().clone()
    }

    fn begin(&self, noted: Noted) -> usize {
        let mut all = self.lock();
        all.push(noted);
        all.len().saturating_sub(1)
    }

    /// Notes what was told.
    pub fn tell(&self, at: usize, told: Told) {
        if let Some(noted) = self.lock().get_mut(at) {
            noted.told = Some(told);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Noted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One process of a shop.
pub struct Till {
    /// Its name in the record.
    pub name: String,
    pub(crate) world: Arc<World>,
    pub(crate) server: Arc<Server>,
    pub(crate) kits: Arc<Vec<ShopKit>>,
    pub(crate) kit: usize,
    pub(crate) chance: Chance,
    pub(crate) book: Arc<Book>,
    surroundings: Arc<Surroundings>,
    journal: Arc<MemoryJournal>,
    line: Connection,
}

impl Till {
    /// Opens a shop's process.
    ///
    /// # Errors
    /// The module's.
    pub async fn open(
        name: String,
        world: &Arc<World>,
        server: &Arc<Server>,
        kits: &Arc<Vec<ShopKit>>,
        kit: usize,
        book: &Arc<Book>,
        chance: Chance,
    ) -> Result<Self, Error> {
        let ahead_ms = i64::try_from(chance.below(6_000)).unwrap_or_default().saturating_sub(3_000);
        let clock = WorldClock::new(world.begun, ahead_ms);
        let surroundings = Arc::new(Surroundings { clock, chance: chance.clone() });
        let journal = Arc::new(MemoryJournal::default());
        let (world, server) = (Arc::clone(world), Arc::clone(server));
        let carrier = ShopLine { world: Arc::clone(&world), server: Arc::clone(&server) };
        let line = open_line(&kits[kit], &journal, &surroundings, carrier).await?;
        let (kits, book) = (Arc::clone(kits), Arc::clone(book));
        Ok(Self { name, world, server, kits, kit, chance, book, surroundings, journal, line })
    }

    /// The surroundings that it seals by.
    pub fn environment(&self) -> &dyn Environment {
        &*self.surroundings
    }

    /// Its shop.
    pub fn shop(&self) -> &ShopKit {
        &self.kits[self.kit]
    }

    /// A key of the shop's, written down with the order before the first call.
    pub fn fresh_key(&self) -> IdempotencyKey {
        let octets: [u8; 16] = self.chance.octets();
        base64url(&octets).parse().expect("22 characters of base64url are a key")
    }

    /// The payment of an order, as the server knows it at the moment.
    pub async fn payment_of(&self, order: &OrderId) -> Option<PaymentId> {
        let found = self.line.payment_of_order(order).await;
        found.ok().map(|payment| payment.payment_id)
    }

    /// Does something under a key until the shop knows what became of it. The last view of the
    /// operation, where there is one.
    pub async fn perform(
        &mut self,
        key: &IdempotencyKey,
        deed: &Deed,
    ) -> (Told, Option<Box<OperationView>>) {
        let noted = Noted {
            shop: self.shop().id,
            key: key.clone(),
            kind: deed.kind(),
            told: None,
            journal: Arc::clone(&self.journal),
            kit: self.kit,
        };
        let at = self.book.begin(noted);
        self.world.trace.tell(format_args!(
            "{} {} {}",
            self.name,
            deed.kind().wire(),
            key.as_str()
        ));
        let mut sends = true;
        loop {
            let Some(result) = self.ask(key, deed, sends).await else {
                // After a restart it asks, or the shopper presses the button once more.
                sends = self.chance.happens(300);
                continue;
            };
            sends = false;
            let wait = match self.judge(key, result) {
                Judged::Over(told, view) => {
                    self.book.tell(at, told.clone());
                    return (told, view);
                }
                Judged::Open(view) => {
                    if self.chance.happens(80) && deed.kind().begins_payment() {
                        self.abandon(view.payment_id).await;
                    }
                    (1_000, 6_000)
                }
                Judged::Unknown => (500, 5_000),
            };
            sleep(self.chance.span(wait.0, wait.1)).await;
        }
    }

    /// One call or question; none where the process was killed meanwhile.
    async fn ask(
        &mut self,
        key: &IdempotencyKey,
        deed: &Deed,
        sends: bool,
    ) -> Option<Result<OperationView, Error>> {
        let line = self.line.clone();
        let asking =
            async { if sends { deed.ask(&line, key).await } else { line.resume(key).await } };
        if self.world.weather.is_calm() || !self.chance.happens(30) {
            return Some(asking.await);
        }
        let end = sleep(self.chance.span(1, 12_000));
        tokio::select! {
            biased;
            result = asking => return Some(result),
            () = end => {}
        }
        self.world.trace.fault(Fault::ShopKilled, &self.name);
        sleep(self.chance.span(100, 5_000)).await;
        self.reopen().await;
        None
    }

    /// The next process has the journal of the last one, and knows that its entries are another's.
    async fn reopen(&mut self) {
        self.journal = Arc::new(self.journal.after_fork());
        let (world, server) = (Arc::clone(&self.world), Arc::clone(&self.server));
        let carrier = ShopLine { world, server };
        let line = open_line(self.shop(), &self.journal, &self.surroundings, carrier).await;
        self.line = line.expect("what could be opened once opens again");
    }

    fn judge(&self, key: &IdempotencyKey, result: Result<OperationView, Error>) -> Judged {
        let trace = &self.world.trace;
        match result {
            Ok(view) if view.state.is_final() => {
                let done = view.done_amount.map_or(0, |amount| amount.minor());
                trace.tell(format_args!(
                    "{} {} {} {done}",
                    self.name,
                    key.as_str(),
                    view.state.wire()
                ));
                Judged::Over(Told::State(view.state.clone(), done), Some(Box::new(view)))
            }
            Ok(view) => Judged::Open(Box::new(view)),
            Err(error) => {
                let code = error.code().as_str();
                trace.tell(format_args!("{} {} {code}", self.name, key.as_str()));
                if error.kind() == ErrorKind::AskForStatus {
                    Judged::Unknown
                } else {
                    Judged::Over(Told::Nothing(code.into()), None)
                }
            }
        }
    }

    /// The shopper has gone: whatever became of the payment is to be undone.
    async fn abandon(&mut self, payment: PaymentId) {
        let key = self.fresh_key();
        let deed = Deed::Void(payment);
        Box::pin(self.perform(&key, &deed)).await;
    }
}

enum Judged {
    Over(Told, Option<Box<OperationView>>),
    Open(Box<OperationView>),
    Unknown,
}

/// Asks once more for a key that a shop does not know the end of, in a calm world.
///
/// # Errors
/// The module's.
pub async fn ask_once_more(
    noted: &Noted,
    kits: &[ShopKit],
    world: &Arc<World>,
    server: &Arc<Server>,
) -> Result<OperationView, Error> {
    let clock = WorldClock::new(world.begun, 0);
    let surroundings = Arc::new(Surroundings { clock, chance: Chance::new(world.seed) });
    let carrier = ShopLine { world: Arc::clone(world), server: Arc::clone(server) };
    let line = open_line(&kits[noted.kit], &noted.journal, &surroundings, carrier).await?;
    line.resume(&noted.key).await
}

async fn open_line(
    kit: &ShopKit,
    journal: &Arc<MemoryJournal>,
    surroundings: &Arc<Surroundings>,
    carrier: ShopLine,
) -> Result<Connection, Error> {
    let mut keys = StoredKeys::new(Seed::new(Zeroizing::new(kit.seed)), kit.pin);
    keys.shop_id = Some(kit.id);
    let config = Config::new(&format!("http://{AUTHORITY}"))?;
    let setup = Setup::new(config, Arc::new(MemoryKeyStore::holding(keys)), journal.clone())
        .with_environment(surroundings.clone())
        .carried_by(Arc::new(carrier));
    Connection::open(setup).await
}

/// The line of shops to the server.
struct ShopLine {
    world: Arc<World>,
    server: Arc<Server>,
}

impl Carrier for ShopLine {
    fn carry(
        &self,
        request: Request<Bytes>,
    ) -> Task<'_, Result<Response<Bytes>, Box<dyn std::error::Error + Send + Sync>>> {
        Box::pin(async move {
            let World { weather, trace, .. } = &*self.world;
            Ok(carry(weather, trace, "shop", &self.server, request).await?)
        })
    }
}

/// A shop's clock and randomness.
struct Surroundings {
    clock: Arc<WorldClock>,
    chance: Chance,
}

impl Environment for Surroundings {
    fn now(&self) -> Result<Timestamp, EnvironmentError> {
        Ok(self.clock.now())
    }

    fn uptime(&self) -> Duration {
        self.clock.monotonic()
    }

    fn fill(&self, octets: &mut [u8]) -> Result<(), EnvironmentError> {
        self.chance.fill(octets);
        Ok(())
    }

    fn sleep(&self, span: Duration) -> Task<'_, ()> {
        Box::pin(sleep(span))
    }
}
