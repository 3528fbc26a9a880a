//! What every part of one world shares.

use std::sync::Arc;

use pos_server::env::Clock;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::chance::Chance;
use crate::clock::WorldClock;
use crate::disk::End;
use crate::trace::{Fault, Trace};
use crate::weather::Weather;

/// One world: its seed decides everything in it.
pub struct World {
    /// Its number.
    pub seed: u64,
    /// When it began.
    pub begun: Instant,
    /// What happened.
    pub trace: Trace,
    /// What goes wrong.
    pub weather: Weather,
    /// The server's clocks.
    pub server_clock: Arc<WorldClock>,
    chance: Chance,
    ends: mpsc::UnboundedSender<End>,
}

/// Of so many messages as many as the weather is strong meet the end of the server.
const MESSAGES_TO_A_STRIKE: u64 = 8_000;

/// The streams of chance that the parts of a world draw from.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// What becomes of messages.
    Weather,
    /// What happens between messages.
    Storm,
    /// What is lost when the power goes.
    Disk,
    /// The server's randomness.
    Server,
    /// An institution's keys.
    Institutions,
    /// What shops do, and their randomness.
    Shops,
    /// Where the server is struck.
    Strikes,
}

impl World {
    /// The world of this seed, and where it is told that the server's life is to end.
    pub fn begin(seed: u64, prints: bool) -> (Arc<Self>, mpsc::UnboundedReceiver<End>) {
        let (ends, ended) = mpsc::unbounded_channel();
        let begun = Instant::now();
        let part = |part| Chance::of_part(seed, part as u64);
        let world = Self {
            seed,
            begun,
            trace: Trace::begin(prints),
            weather: Weather::draw(part(Part::Weather)),
            server_clock: WorldClock::new(begun, 0),
            chance: part(Part::Strikes),
            ends,
        };
        (Arc::new(world), ended)
    }

    /// A part's stream of chance.
    pub fn chance(&self, part: Part) -> Chance {
        Chance::of_part(self.seed, part as u64)
    }

    /// Ends the server's life here and now, now and then.
    pub fn may_strike(&self, where_: &str) {
        if !self.weather.is_calm() && self.chance.below(MESSAGES_TO_A_STRIKE) < self.weather.crashes
        {
            let end = if self.chance.happens(500) { End::Killed } else { End::PowerCut };
            self.strike(end, where_);
        }
    }

    /// Ends the server's life.
    pub fn strike(&self, end: End, where_: &str) {
        let fault = match end {
            End::Killed => Fault::ServerKilled,
            End::PowerCut => Fault::PowerCut,
        };
        self.trace.fault(fault, where_);
        // The supervisor lives as long as the world.
        let _ = self.ends.send(end);
    }

    /// The server's wall clock.
    pub fn now(&self) -> pos_protocol::Timestamp {
        self.server_clock.now()
    }
}
