//! What the server takes from the machine: time, randomness, threads and the way to institutions,
//! handed in so that tests own them.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pos_protocol::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

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

/// A line on which octets go both ways.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// A connection that is being made.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Socket>>> + Send + 'a>>;

/// How an institution is reached, below TLS.
pub trait Network: Send + Sync + 'static {
    /// Connects to a host by its name or address. Whoever waits for it drops it when that takes too
    /// long.
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> Connecting<'a>;
}

/// Who carries on what one call begins and another ends, and where that waits for the disk.
#[derive(Clone, Default)]
pub enum Executor {
    /// The runtime's tasks and its threads for what blocks; the store has threads of its own.
    #[default]
    Threads,
    /// One thread for everything, so that all happens in one order: what has a thread elsewhere is a
    /// task here, and what blocks is done in place.
    OneThread(Begun),
}

/// The tasks that an [`Executor::OneThread`] began, so that they can be ended wherever they are.
#[derive(Clone, Default)]
pub struct Begun(Arc<Mutex<Vec<AbortHandle>>>);

impl Executor {
    /// Begins a task that nobody waits for.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let begun = tokio::spawn(task);
        if let Self::OneThread(all) = self {
            all.keep(begun.abort_handle());
        }
    }

    /// Does what may wait for the disk, where it keeps nobody waiting. `None`: it panicked.
    pub async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        match self {
            Self::Threads => tokio::task::spawn_blocking(work).await.ok(),
            Self::OneThread(_) => Some(work()),
        }
    }
}

impl Begun {
    /// Ends every task at the point where it waits, as the end of the process would: nothing of it
    /// runs any more but what is dropped.
    pub fn cut(&self) {
        self.lock().drain(..).for_each(|task| task.abort());
    }

    fn keep(&self, task: AbortHandle) {
        /// Looked through when there are so many more than at the last time.
        const MANY: usize = 256;
        let mut all = self.lock();
        if all.len() >= MANY && all.len() == all.capacity() {
            all.retain(|task| !task.is_finished());
        }
        all.push(task);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<AbortHandle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Threads => "Threads",
            Self::OneThread(_) => "OneThread",
        })
    }
}

/// The machine's network.
#[derive(Clone, Copy, Debug)]
pub struct SystemNetwork;

impl Network for SystemNetwork {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> Connecting<'a> {
        Box::pin(async move {
            let tcp = TcpStream::connect((host, port)).await?;
            // Requests are written whole; waiting to fill a packet only delays them.
            tcp.set_nodelay(true)?;
            Ok(Box::new(tcp) as Box<dyn Socket>)
        })
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
