//! What the server takes from the machine: time and randomness, handed in so that tests own them.

use std::time::Duration;

use pos_protocol::Timestamp;

/// Where the server reads the time.
pub trait Clock: Send + Sync + 'static {
    /// Wall time, for freshness of calls and for records only; it may jump.
    fn now(&self) -> Timestamp;

    /// Time since some fixed instant, for deadlines: it never goes back, and goes on while the
    /// machine is suspended (`payments.md` 2.6).
    fn monotonic(&self) -> Duration;
}

/// Where the server draws random octets.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `octets` with unpredictable octets.
    fn fill(&self, octets: &mut [u8]);
}

impl dyn Entropy {
    /// An array of unpredictable octets.
    pub fn array<const N: usize>(&self) -> [u8; N] {
        let mut octets = [0; N];
        self.fill(&mut octets);
        octets
    }
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // Before 1970 the clock is unset; the epoch makes every call stale, which fails closed.
        let since_epoch = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Timestamp::from_ms(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        // The standard library's own clock stands still in a suspended machine: a call that had
        // ended meanwhile would then still be sent.
        let since_boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::try_from(since_boot).expect("no machine started after this moment")
    }
}

/// The operating system's random generator.
#[derive(Debug)]
pub struct SystemEntropy(());

impl SystemEntropy {
    /// Opens the generator and draws from it once, so that a machine without one does not start.
    ///
    /// # Errors
    /// The operating system gives no random octets: nothing of this server may run.
    pub fn open() -> Result<Self, getrandom::Error> {
        getrandom::fill(&mut [0; 1])?;
        Ok(Self(()))
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, octets: &mut [u8]) {
        getrandom::fill(octets).expect("a generator that gave octets once does not stop giving");
    }
}
