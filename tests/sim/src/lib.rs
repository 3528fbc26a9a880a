//! A seeded simulation: shops with the real connection module, the real server on the real store, and the
//! example institutions with their ledgers, on one thread in virtual time, while messages, processes,
//! clocks and the disk fail. One seed is one history.
//!
//! The caller brings a runtime of tokio with one thread and a clock that stands still until everybody
//! waits.

pub mod chance;
pub mod clock;
pub mod disk;
pub mod judge;
pub mod line;
pub mod network;
pub mod opening;
pub mod server;
pub mod shop;
pub mod storm;
pub mod story;
pub mod trace;
pub mod weather;
pub mod world;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pos_server::app::StartError;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::judge::Judgement;
use crate::opening::Opened;
use crate::shop::{Book, Till, Told};
use crate::story::Orders;
use crate::trace::Fault;
use crate::world::World;

/// So long after the last fault everything must have come to its end.
const QUIET: Duration = Duration::from_secs(60);

/// How long the shops of a world have for their orders; what is not begun then is not.
const LONGEST_STORM: Duration = Duration::from_secs(3_600);

/// How large a world is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Orders that shops take.
    pub payments: u64,
    /// Processes of shops that work at the same time.
    pub tills: u64,
}

/// Why a world could not be played.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// The connection module did not open.
    #[error("a shop's module did not open: {0}")]
    Module(#[from] pos_connect::Error),
    /// What is there before the first order could not be made.
    #[error("the world could not be made: {0}")]
    Opening(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server did not start in a calm world.
    #[error("the server did not start: {0}")]
    Start(#[from] StartError),
    /// The shop database did not answer in a calm world.
    #[error("the shop database did not answer: {0}")]
    Store(#[from] pos_server::store::StoreError),
    /// The server was not there in a calm world.
    #[error("the server was not there at the end")]
    Gone,
}

/// What a world came to.
#[derive(Clone, Debug)]
pub struct Played {
    /// Orders that were begun.
    pub payments: u64,
    /// How often each kind of fault met something.
    pub faults: BTreeMap<&'static str, u64>,
    /// What is wrong.
    pub judgement: Judgement,
    /// The digest of all that happened.
    pub digest: [u8; 32],
    /// Simulated time.
    pub took: Duration,
}

/// Plays the world of a seed. Everything of it that is a file lies in `folder`, which is empty.
///
/// # Errors
/// [`SimulationError`]: it was not played to its end.
pub async fn play(
    seed: u64,
    size: Size,
    folder: &Path,
    prints: bool,
) -> Result<Played, SimulationError> {
    let (world, ends) = World::begin(seed, prints);
    disk::register();
    let watcher = Arc::clone(&world);
    disk::format(move |breakage| watcher.broke(breakage));
    let opened = opening::open(&world, folder).await?;
    let Opened { server, sites, kits } = &opened;
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(server).supervise(ends));
    let book = Arc::new(Book::default());
    let orders = Orders::new(size.payments, sites, world.now());
    let mut tills = JoinSet::new();
    for n in 0..size.tills {
        let kit =
            usize::try_from(n).unwrap_or_default().checked_rem(kits.len()).unwrap_or_default();
        let chance = |which: u64| {
            chance::Chance::of_part(
                seed,
                n.saturating_mul(2).saturating_add(which).saturating_add(1_000),
            )
        };
        let open = |name, which| Till::open(name, &world, server, kits, kit, &book, chance(which));
        let till = open(format!("till-{n}"), 0).await?;
        let twin = open(format!("twin-{n}"), 1).await?;
        tills.spawn(story::work(till, twin, Arc::clone(&orders)));
    }
    world.weather.set_calm(false);
    let mut storming = JoinSet::new();
    storming.spawn(storm::storm(Arc::clone(&world), sites.clone()));
    let storm = Instant::now();
    while orders.begun() < size.payments && storm.elapsed() < LONGEST_STORM {
        sleep(Duration::from_secs(1)).await;
    }
    storming.abort_all();
    drop(storming);
    storm::calm(&world, sites);
    // Whatever was wrong went on until now.
    let Some(quiet) = Instant::now().checked_add(QUIET) else { return Err(SimulationError::Gone) };
    // Till all is over, or the time is.
    let _ = timeout_at(quiet, async { while tills.join_next().await.is_some() {} }).await;
    tills.shutdown().await;
    sleep_until(quiet).await;
    let judgement = judged(&world, &opened, &book).await?;
    let faults = Fault::ALL.iter().map(|fault| fault.word()).zip(world.trace.faults()).collect();
    Ok(Played {
        payments: orders.begun(),
        faults,
        judgement,
        digest: world.trace.digest(),
        took: world.begun.elapsed(),
    })
}

/// The judgement after the last fault's quiet time, and what the shops that had not found out by then
/// are told now.
async fn judged(
    world: &Arc<World>,
    opened: &Opened,
    book: &Arc<Book>,
) -> Result<Judgement, SimulationError> {
    let Opened { server, sites, kits } = opened;
    let app = server.app().ok_or(SimulationError::Gone)?;
    let shops: Vec<_> = kits.iter().map(|kit| kit.id).collect();
    let mut judgement = judge::judge(&app, &shops, sites).await?;
    for (at, noted) in book.all().into_iter().enumerate() {
        if noted.told.is_some() {
            continue;
        }
        match shop::ask_once_more(&noted, kits, world, server).await {
            Ok(view) if view.state.is_final() => {
                let done = view.done_amount.map_or(0, |amount| amount.minor());
                book.tell(at, Told::State(view.state, done));
            }
            Ok(view) if view.state == pos_protocol::wire::WireOperationState::NeedsHuman => {}
            Ok(view) => {
                judgement.stuck(format!("{} is {} to its shop", noted.key, view.state.wire()))
            }
            Err(error) if error.kind() == pos_connect::ErrorKind::AskForStatus => {
                judgement.stuck(format!("{} is not known to its shop: {error}", noted.key));
            }
            Err(error) => book.tell(at, Told::Nothing(error.code().as_str().into())),
        }
    }
    judge::compare_told(&app, &book.all(), &mut judgement).await?;
    Ok(judgement)
}

impl World {
    /// The disk broke.
    fn broke(&self, breakage: disk::Breakage) {
        if breakage == disk::Breakage::End {
            self.strike(disk::End::PowerCut, "in a commit");
        } else {
            self.trace.fault(storm::fault_of(breakage), "database");
        }
    }
}

/// The seed of one of the worlds that follow from a seed.
pub fn seed_of(seed: u64, world: u64) -> u64 {
    chance::Chance::of_part(seed, world).next()
}
