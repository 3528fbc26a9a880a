//! Passwords: Argon2id with a pepper, never more than a few at once.
//!
//! One hash takes 19 MiB and tens of milliseconds, which makes it the cheapest way to stop a
//! server. So the number under way and the number waiting are bounded, and the permit moves into
//! the blocking job: a caller that hangs up does not free its place while its hash still runs. A hash
//! gives way to what else wants the processor, payments above all, and after each its place rests
//! (`docs/adr/0311-passwords-give-way.md`).

use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use pos_protocol::secret::SecretText;
use prometheus_client::metrics::gauge::Gauge;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::data_folder::keys::Pepper;
use crate::env::Entropy;

/// Argon2id parameters: OWASP's floor (19 MiB, two passes, one lane).
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;

/// Shortest and longest password, in characters. Fifteen because it stands alone (NIST SP
/// 800-63B-4); the upper end only bounds the work.
pub const LENGTH: std::ops::RangeInclusive<usize> = 15..=128;

/// Why a password was not hashed or not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too many passwords are waiting to be looked at.
    #[error("too many sign-ins at once")]
    Busy,
    /// A hash in the database cannot be read, or hashing failed.
    #[error("the password hash is damaged")]
    Damaged,
}

/// Why a new password is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// Too short or too long.
    #[error("must have {} to {} characters", LENGTH.start(), LENGTH.end())]
    Length,
    /// One letter over and over, a run of the keyboard, or a word everybody tries.
    #[error("is one of the first that anybody would try; use several unrelated words")]
    Guessable,
}

/// Hashes and checks passwords, a bounded number at once.
pub struct Passwords {
    pepper: Arc<Pepper>,
    /// Places for those under way and those waiting together.
    queue: Arc<Semaphore>,
    hashing: Arc<Semaphore>,
    under_way: Gauge,
}

impl Passwords {
    /// `at_once` hashes at once, `waiting` callers behind them.
    pub fn new(pepper: Arc<Pepper>, at_once: usize, waiting: usize, under_way: Gauge) -> Self {
        Self {
            pepper,
            queue: Arc::new(Semaphore::new(at_once.saturating_add(waiting))),
            hashing: Arc::new(Semaphore::new(at_once)),
            under_way,
        }
    }

    /// The PHC string to keep for a new password.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] when too many wait.
    pub async fn hash(
        &self,
        password: SecretText,
        entropy: &dyn Entropy,
    ) -> Result<Box<str>, PasswordError> {
        let salt: [u8; 16] = entropy.array();
        self.blocking(move |pepper| {
            let hash = hash(pepper, &password, &salt);
            Ok(hash.ok_or(PasswordError::Damaged)?.to_string().into())
        })
        .await
    }

    /// Whether `password` is the one of `hash`. Without a hash it works as long and says no, so
    /// that nobody learns by the clock which user ids exist.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn verify(
        &self,
        password: SecretText,
        hash: Option<Box<str>>,
    ) -> Result<bool, PasswordError> {
        self.blocking(move |pepper| {
            let right = match &hash {
                Some(kept) => is_of(pepper, &password, kept),
                None => self::hash(pepper, &password, &[0; 16]).map(|_| false),
            };
            right.ok_or(PasswordError::Damaged)
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Pepper) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let place = Arc::clone(&self.queue).try_acquire_owned().map_err(|_| PasswordError::Busy)?;
        let permit = Arc::clone(&self.hashing).acquire_owned().await;
        let permit = permit.map_err(|_| PasswordError::Busy)?;
        let held = Held {
            _place: place,
            permit: Some(permit),
            under_way: self.under_way.clone(),
            runtime: Handle::current(),
        };
        held.under_way.inc();
        let pepper = Arc::clone(&self.pepper);
        let job = tokio::task::spawn_blocking(move || {
            let _held = held;
            giving_way(|| work(&pepper))
        });
        job.await.map_err(|_| PasswordError::Damaged)?
    }
}

/// Does `work` on a thread of its own, at a lower priority: a thread cannot get its own back.
fn giving_way<T: Send>(
    work: impl FnOnce() -> Result<T, PasswordError> + Send,
) -> Result<T, PasswordError> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("password".into()).spawn_scoped(scope, || {
            lower_priority();
            work()
        });
        // There is no thread to be had.
        let thread = thread.map_err(|_| PasswordError::Busy)?;
        thread.join().map_err(|_| PasswordError::Damaged)?
    })
}

/// By 5 steps of setpriority(2), below whatever the server was started with: a third of the processor's
/// time beside one thread of its usual priority, so that no sign-in starves where much else is done.
/// Outside Linux a priority is a process's. Where it is refused, the work is done all the same.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Ok(usual) = rustix::process::getpriority_process(None) {
        let _ = rustix::process::setpriority_process(None, usual.saturating_add(5));
    }
}

/// Without this an idle server would keep what its last hashes took. mimalloc gives the system what
/// was freed a second ago or earlier, and looks for it when a page of its own is freed: a piece of
/// this size has one to itself.
async fn give_memory_back() {
    const KEPT_AT_MOST: Duration = Duration::from_millis(1_100);
    const LARGE: usize = 1024 * 1024;
    tokio::time::sleep(KEPT_AT_MOST).await;
    drop(black_box(Vec::<u8>::with_capacity(LARGE)));
}

/// The places of one job; freed when the job ends, whoever still waits for it.
struct Held {
    _place: OwnedSemaphorePermit,
    permit: Option<OwnedSemaphorePermit>,
    under_way: Gauge,
    runtime: Handle,
}

/// How long nobody hashes in a place after a hash: about as long as one takes, so that whoever sends
/// passwords without end has at most half a processor for each place.
const REST: Duration = Duration::from_millis(40);

impl Drop for Held {
    fn drop(&mut self) {
        self.under_way.dec();
        let permit = self.permit.take();
        self.runtime.spawn(async move {
            tokio::time::sleep(REST).await;
            drop(permit);
        });
        self.runtime.spawn(give_memory_back());
    }
}

/// The hash of a new password; none when the library refuses its parameters.
fn hash(pepper: &Pepper, password: &SecretText, salt: &[u8]) -> Option<PasswordHash> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).ok()?;
    Some(PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).ok()?,
        salt: Some(Salt::new(salt).ok()?),
        hash: Some(digest(pepper, params, password, salt)?),
    })
}

/// Whether `password` is the one that was hashed to `kept`, by the parameters that stand there; none
/// when `kept` cannot be read. The digests are compared in constant time.
fn is_of(pepper: &Pepper, password: &SecretText, kept: &str) -> Option<bool> {
    let kept = PasswordHash::new(kept).ok()?;
    let (salt, expected) = (kept.salt.as_ref()?, kept.hash.as_ref()?);
    let params = Params::try_from(&kept).ok()?;
    Some(digest(pepper, params, password, salt)? == *expected)
}

fn digest(pepper: &Pepper, params: Params, password: &SecretText, salt: &[u8]) -> Option<Output> {
    let count = params.block_count();
    let mut memory = Vec::new();
    memory.try_reserve_exact(count).ok()?;
    memory.resize(count, Block::new());
    let mut octets = [0; Params::DEFAULT_OUTPUT_LEN];
    Argon2::new_with_secret(pepper.expose(), Algorithm::Argon2id, Version::V0x13, params)
        .and_then(|argon2| {
            let password = password.expose().as_bytes();
            argon2.hash_password_into_with_memory(password, salt, &mut octets, &mut memory)
        })
        .ok()?;
    Output::new(&octets).ok()
}

/// Whether a new password may be set.
///
/// # Errors
/// [`WeakPassword`] says what is wrong with it.
pub fn check_strength(password: &SecretText) -> Result<(), WeakPassword> {
    let letters: Vec<char> = password.expose().chars().flat_map(char::to_lowercase).collect();
    if !LENGTH.contains(&letters.len()) {
        return Err(WeakPassword::Length);
    }
    let mut different = letters.clone();
    different.sort_unstable();
    different.dedup();
    let text: String = letters.iter().collect();
    let rest = COMMON.iter().fold(text, |text, word| text.replace(word, ""));
    if different.len() < 5 || rest.chars().count() < 6 || is_run(&letters) {
        return Err(WeakPassword::Guessable);
    }
    Ok(())
}

/// The beginnings of what everybody tries; a password that is little more is refused.
const COMMON: &[&str] = &[
    "1234567890",
    "0123456789",
    "123456",
    "qwertyuiop",
    "qwerty",
    "asdfghjkl",
    "zxcvbnm",
    "password",
    "passw0rd",
    "letmein",
    "welcome",
    "iloveyou",
    "administrator",
    "admin",
    "abcdefghijklmnopqrstuvwxyz",
    "abc123",
    "pass",
    "login",
    "secret",
    "monkey",
    "dragon",
];

/// Whether most letters are the neighbour of the one before, upwards or downwards.
fn is_run(letters: &[char]) -> bool {
    let near = |pair: &&[char]| (pair[0] as u32).abs_diff(pair[1] as u32) <= 1;
    let steps = letters.windows(2);
    steps.clone().filter(near).count().saturating_mul(4) > steps.len().saturating_mul(3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::SystemEntropy;

    fn passwords(at_once: usize, waiting: usize) -> Passwords {
        Passwords::new(Arc::new(Pepper::from_octets([7; 32])), at_once, waiting, Gauge::default())
    }

    #[tokio::test]
    async fn the_right_password_passes_and_needs_the_pepper() {
        let entropy = SystemEntropy::open().expect("this machine has randomness");
        let password = || SecretText::from("correct horse battery staple");
        let ours = passwords(2, 2);
        let hash = ours.hash(password(), &entropy).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_eq!(ours.verify(password(), Some(hash.clone())).await, Ok(true));
        assert_eq!(ours.verify("correct horse".into(), Some(hash.clone())).await, Ok(false));
        assert_eq!(ours.verify(password(), None).await, Ok(false));
        let pepper = Arc::new(Pepper::from_octets([8; 32]));
        let other = Passwords::new(pepper, 1, 0, Gauge::default());
        assert_eq!(other.verify(password(), Some(hash)).await, Ok(false));
    }

    #[tokio::test]
    async fn more_than_the_queue_holds_is_refused() {
        let ours = passwords(1, 1);
        let check = || ours.verify("correct horse battery staple".into(), None);
        let (a, b, c) = tokio::join!(check(), check(), check());
        let busy = [a, b, c].iter().filter(|one| **one == Err(PasswordError::Busy)).count();
        assert_eq!(busy, 1);
        assert_eq!(ours.under_way.get(), 0);
    }

    /// The nice value of the thread that asks: field 19 of proc_pid_stat(5).
    #[cfg(target_os = "linux")]
    fn nice() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, behind) = stat.rsplit_once(')').unwrap();
        behind.split_ascii_whitespace().nth(16).unwrap().parse().unwrap()
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_hash_gives_way_and_whoever_asked_does_not() {
        let ours = passwords(1, 0);
        let before = nice();
        assert_eq!(ours.blocking(|_| Ok(nice())).await, Ok(before + 5));
        let after = tokio::task::spawn_blocking(nice).await.unwrap();
        assert_eq!((nice(), after), (before, before));
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_rests_after_a_hash() {
        let ours = passwords(1, 1);
        let began = tokio::time::Instant::now();
        assert_eq!(ours.blocking(|_| Ok(1)).await, Ok(1));
        assert_eq!(began.elapsed(), Duration::ZERO, "whoever asked does not wait for the rest");
        assert_eq!(ours.blocking(|_| Ok(2)).await, Ok(2));
        assert!(began.elapsed() >= Duration::from_millis(40), "{:?}", began.elapsed());
    }

    #[test]
    fn what_anybody_would_try_is_not_taken() {
        for (text, weak) in [
            ("short", WeakPassword::Length),
            ("aaaaaaaaaaaaaaaaaaaa", WeakPassword::Guessable),
            ("passwordpassword1", WeakPassword::Guessable),
            ("abcdefghijklmnopq", WeakPassword::Guessable),
            ("12345678901234567890", WeakPassword::Guessable),
            ("qwertyuiopasdfghjkl1", WeakPassword::Guessable),
        ] {
            assert_eq!(check_strength(&text.into()), Err(weak), "{text}");
        }
        assert_eq!(check_strength(&"correct horse battery staple".into()), Ok(()));
        assert_eq!(check_strength(&"さくらのはなびらがまうはるのひ".into()), Ok(()));
    }
}
