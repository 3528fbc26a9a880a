//! What happens between messages: ends of the server, a failing disk, wrong clocks, institutions that are
//! away, each after a while of its own.

use std::sync::Arc;
use tokio::time::sleep;

use crate::chance::Chance;
use crate::disk::{self, Breakage, End};
use crate::network::Site;
use crate::trace::Fault;
use crate::world::{Part, World};

/// Storms until it is dropped. Whoever drops it calls [`calm`].
pub async fn storm(world: Arc<World>, sites: Vec<Arc<Site>>) {
    let chance = world.chance(Part::Storm);
    tokio::join!(
        ends(&world, &chance),
        breakages(&world, &chance),
        clocks(&world, &chance),
        absences(&world, &sites, &chance),
    );
}

/// Ends the storm: everything works from now on.
pub fn calm(world: &World, sites: &[Arc<Site>]) {
    world.weather.set_calm(true);
    world.server_clock.step(0);
    sites.iter().for_each(|site| site.set_away(false));
    disk::repair();
}

/// The mean time between two of something of this strength, give or take a half.
async fn next(chance: &Chance, strength: u64, usual_ms: u64) {
    match usual_ms.saturating_mul(10).checked_div(strength) {
        Some(mean) => sleep(chance.span(mean / 2, mean.saturating_add(mean / 2))).await,
        None => std::future::pending().await,
    }
}

async fn ends(world: &World, chance: &Chance) {
    loop {
        next(chance, world.weather.crashes, 20_000).await;
        match chance.below(3) {
            0 => world.strike(End::Killed, "at any time"),
            1 => world.strike(End::PowerCut, "at any time"),
            // In the middle of a commit.
            _ => disk::plan(Breakage::End, chance.below(60)),
        }
    }
}

async fn breakages(world: &World, chance: &Chance) {
    loop {
        next(chance, world.weather.disk, 10_000).await;
        match chance.below(4) {
            0 => disk::plan(Breakage::Read, chance.below(200)),
            1 => disk::plan(Breakage::Write, chance.below(60)),
            2 => disk::plan(Breakage::Sync, chance.below(10)),
            _ => {
                world.trace.fault(Fault::DiskFull, "server");
                disk::fill_up(true);
                sleep(chance.span(100, 8_000)).await;
                disk::fill_up(false);
            }
        }
    }
}

async fn clocks(world: &World, chance: &Chance) {
    loop {
        next(chance, world.weather.clock, 30_000).await;
        // Most are small enough to be believed.
        let most = if chance.happens(700) { 4_000 } else { 45_000 };
        let by = i64::try_from(chance.below(most)).unwrap_or_default();
        let ahead = if chance.happens(500) { by } else { by.saturating_neg() };
        world.trace.fault(Fault::ClockStep, "server");
        world.server_clock.step(ahead);
        sleep(chance.span(500, 15_000)).await;
        world.server_clock.step(0);
    }
}

async fn absences(world: &World, sites: &[Arc<Site>], chance: &Chance) {
    loop {
        next(chance, world.weather.outages, 30_000).await;
        let at = usize::try_from(chance.below(3)).unwrap_or_default();
        let Some(site) = sites.get(at) else { continue };
        world.trace.fault(Fault::InstitutionAway, site.house.word());
        site.set_away(true);
        let most = if chance.happens(850) { 40_000 } else { 400_000 };
        sleep(chance.span(500, most)).await;
        site.set_away(false);
    }
}

/// How the disk's breakages are counted.
pub const fn fault_of(breakage: Breakage) -> Fault {
    match breakage {
        Breakage::Read => Fault::ReadFailed,
        Breakage::Write => Fault::WriteFailed,
        Breakage::Sync => Fault::SyncFailed,
        Breakage::End => Fault::PowerCut,
    }
}
