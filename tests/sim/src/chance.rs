//! Everything random of a simulation comes from one seed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pos_server::env::Entropy;

/// A stream of numbers that follows from its seed (SplitMix64). Clones draw from the same stream.
#[derive(Clone, Debug)]
pub struct Chance(Arc<Mutex<u64>>);

impl Chance {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    /// The stream of one of several parts, so that what one part draws changes nothing of another's.
    pub fn of_part(seed: u64, part: u64) -> Self {
        Self::new(mixed(seed ^ mixed(part)))
    }

    /// The next number.
    pub fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(*state)
    }

    /// A number below `bound`; 0 where that is 0.
    pub fn below(&self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or_default()
    }

    /// A number from `least` to `most`.
    pub fn between(&self, least: u64, most: u64) -> u64 {
        least.saturating_add(self.below(most.saturating_sub(least).saturating_add(1)))
    }

    /// Whether something happens that does so in so many of a thousand cases.
    pub fn happens(&self, of_a_thousand: u64) -> bool {
        self.below(1_000) < of_a_thousand
    }

    /// A time from `least` to `most`, in milliseconds.
    pub fn span(&self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.between(least, most))
    }

    /// Octets.
    pub fn octets<const N: usize>(&self) -> [u8; N] {
        let mut octets = [0; N];
        self.fill(&mut octets);
        octets
    }
}

impl Entropy for Chance {
    fn fill(&self, octets: &mut [u8]) {
        for piece in octets.chunks_mut(8) {
            let drawn = self.next().to_le_bytes();
            piece.iter_mut().zip(drawn).for_each(|(octet, drawn)| *octet = drawn);
        }
    }
}

const fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
