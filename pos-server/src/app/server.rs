//! The sockets round an [`App`]: they are bound, announced, served and drained.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pos_protocol::key::PublicKey;
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{info, warn};

use super::{App, Environment, StartError};
use crate::admin::{self, AdminSocket};
use crate::clocks::ClockWatch;
use crate::config::{Config, LimitSettings};
use crate::data_folder::{DataFolder, Purpose};
use crate::http;
use crate::http::listener::{Limits, Listener};
use crate::http::tls::TlsIdentity;
use crate::readiness::Fault;
use crate::shutdown::{self, Shutdown, Trigger};

/// Why the server ended otherwise than it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It did not come up.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A part of it could not go on. Start it again: whatever was acknowledged is on the disk.
    #[error("the server stopped itself: {reason}")]
    Halted {
        /// Which part, and why.
        reason: &'static str,
    },
}

/// The line on standard output by which whoever started the server finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Announcement {
    /// Always `listening`.
    pub event: &'static str,
    /// The address of `listen`, plain or TLS as configured.
    pub url: String,
    /// The address that speaks TLS, where one does.
    pub tls_url: Option<String>,
    /// The address of the metrics, where they are on.
    pub metrics_url: Option<String>,
    /// The name that callers sign as `@authority`.
    pub authority: String,
    /// The public half of the answer key.
    pub answer_key: PublicKey,
    /// The public half of the key that signs calls to institutions.
    pub institution_call_key: PublicKey,
    /// The socket for operators' commands.
    pub admin_socket: PathBuf,
}

/// The runtime that [`serve`] is to run on.
///
/// # Errors
/// The system gives no thread.
pub fn runtime(limits: &LimitSettings) -> io::Result<Runtime> {
    let threads = limits.answering_threads(processors());
    // Those for files and lists are few and used again and again.
    let keep_alive = Duration::from_secs(3_600);
    Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_keep_alive(keep_alive)
        .enable_all()
        .build()
}

/// The processors that the system lets this process use.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Runs the server until `shutdown` is asked for and everything begun has ended. `announce` is
/// called once, when the server is ready.
///
/// # Errors
/// [`ServeError`] when it does not come up, or cannot go on; nothing is left running then.
pub async fn serve(
    config: Config,
    environment: Environment,
    announce: impl FnOnce(&Announcement) -> io::Result<()>,
    shutdown: Shutdown,
) -> Result<(), ServeError> {
    Server::bind(config, environment).await?.run(announce, shutdown).await
}

/// A server that has its addresses and does not answer yet.
pub struct Server {
    app: Arc<App>,
    clocks: ClockWatch,
    listeners: Listeners,
    socket: AdminSocket,
}

impl Server {
    /// Takes the data folder, the addresses and the admin socket.
    ///
    /// # Errors
    /// [`StartError`] says what is wrong and what to do.
    pub async fn bind(config: Config, environment: Environment) -> Result<Self, StartError> {
        // Longer than a command holds the folder: the longest one tests the connection to an
        // institution that is silent.
        const PATIENCE: Duration = Duration::from_secs(60);
        let path = &config.data_folder;
        let folder = DataFolder::open_patiently(path, Purpose::Serve, PATIENCE).await?;
        let listeners = Listeners::bind(&config).await?;
        let authority = listeners.authority(&config);
        let app = App::build(config, folder, Some(authority), environment).await?;
        let clocks = ClockWatch::begin(&app)?;
        let socket = AdminSocket::bind(&app.folder).map_err(|cause| StartError::AdminSocket {
            path: DataFolder::admin_socket(app.folder.path()),
            cause,
        })?;
        Ok(Self { app, clocks, listeners, socket })
    }

    /// What the server shares among its parts.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Answers calls and commands; see [`serve`].
    ///
    /// # Errors
    /// [`ServeError::Halted`] when a part could not go on, [`StartError::Announce`].
    pub async fn run(
        self,
        announce: impl FnOnce(&Announcement) -> io::Result<()>,
        mut shutdown: Shutdown,
    ) -> Result<(), ServeError> {
        let Self { app, clocks, listeners, socket } = self;
        let announcement = listeners.announcement(&app, &socket);
        let mut background = Group::new();
        app.spawn_background(clocks, &mut background.tasks, &background.shutdown);
        let mut front = Group::new();
        front.tasks.spawn(admin::serve(socket, Arc::clone(&app), front.shutdown.clone()));
        listeners.spawn(&app, &mut front.tasks, &front.shutdown);
        app.readiness.clear(Fault::Starting);
        info!(address = %announcement.url, authority = %announcement.authority, "listening");
        announce(&announcement).map_err(StartError::Announce)?;

        let outcome = tokio::select! {
            () = shutdown.asked() => Ok(()),
            reason = app.halt.asked() => Err(reason),
            // None of them ends by itself; one that panicked has said so in the log.
            _ = front.tasks.join_next() => Err("a listener failed"),
            _ = background.tasks.join_next() => Err("a background task failed"),
        };
        app.readiness.raise(Fault::Draining);
        let reason = outcome.err().unwrap_or("asked to");
        info!(reason, "ending: requests under way come first");
        // The listeners cut what outlasts the limit; the second more is for commands.
        front.finish(app.config.limits.drain.saturating_add(Duration::from_secs(1))).await;
        // Only now: until the last answer is out, a request may hand work to the background.
        background.finish(app.longest_exchange().saturating_add(Duration::from_secs(2))).await;
        App::close(app).await;
        info!("ended");
        outcome.map_err(|reason| ServeError::Halted { reason })
    }
}

/// Tasks that end together.
struct Group {
    tasks: JoinSet<()>,
    trigger: Trigger,
    shutdown: Shutdown,
}

impl Group {
    fn new() -> Self {
        let (trigger, shutdown) = shutdown::channel();
        Self { tasks: JoinSet::new(), trigger, shutdown }
    }

    /// Asks the tasks to end, and cuts those that have not after `limit`: any point is safe to
    /// stop at, as a crash may come at any.
    async fn finish(mut self, limit: Duration) {
        self.trigger.pull();
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(limit, all_ended).await.is_err() {
            warn!(count = self.tasks.len(), "tasks were cut: they took too long to end");
            self.tasks.shutdown().await;
        }
    }
}

/// The bound addresses.
struct Listeners {
    plain: Option<Listener>,
    tls: Option<Listener>,
    metrics: Option<Listener>,
}

impl Listeners {
    async fn bind(config: &Config) -> Result<Self, StartError> {
        let tls = match config.tls_address() {
            Some((address, certificate, key)) => {
                let identity = Arc::new(TlsIdentity::load(certificate, key)?);
                Some(Listener::bind(address, Some(identity)).await?)
            }
            None => None,
        };
        let plain = match config.plain_address() {
            Some(address) => Some(Listener::bind(address, None).await?),
            None => None,
        };
        let metrics = match config.metrics.listen {
            Some(address) => Some(Listener::bind(address, None).await?),
            None => None,
        };
        Ok(Self { plain, tls, metrics })
    }

    /// The listener of the `listen` setting.
    fn main(&self) -> &Listener {
        self.plain.as_ref().or(self.tls.as_ref()).expect("`listen` always has an address")
    }

    fn authority(&self, config: &Config) -> String {
        match &config.authority {
            Some(configured) => configured.as_str().into(),
            None => authority_of(self.main().address(), self.plain.is_none()),
        }
    }

    fn announcement(&self, app: &App, socket: &AdminSocket) -> Announcement {
        Announcement {
            event: "listening",
            url: self.main().url(),
            tls_url: self.tls.as_ref().map(Listener::url),
            metrics_url: self.metrics.as_ref().map(Listener::url),
            authority: app.authority.clone(),
            answer_key: app.keys.answer.public(),
            institution_call_key: app.keys.institution_call.public(),
            // For a reader in another folder; the system refuses only an empty path.
            admin_socket: std::path::absolute(socket.path())
                .unwrap_or_else(|_| socket.path().into()),
        }
    }

    fn spawn(self, app: &Arc<App>, tasks: &mut JoinSet<()>, shutdown: &Shutdown) {
        let limits = Limits::from(&app.config.limits);
        let calls = http::routes(app);
        for listener in [self.plain, self.tls].into_iter().flatten() {
            let listener = listener.counted_in(app.metrics.open_connections());
            tasks.spawn(serve_one(listener, calls.clone(), limits.clone(), shutdown.clone()));
        }
        if let Some(listener) = self.metrics {
            let router = http::health::metrics_routes(Arc::clone(&app.metrics));
            tasks.spawn(serve_one(listener, router, limits, shutdown.clone()));
        }
    }
}

async fn serve_one(listener: Listener, router: axum::Router, limits: Limits, shutdown: Shutdown) {
    let address = listener.address();
    let drained = http::listener::serve(listener, router, limits, shutdown).await;
    if drained.cut > 0 {
        warn!(%address, count = drained.cut, "connections were cut: their requests took too long");
    }
}

/// The name of an address in a call's `@authority`: without the scheme's default port (RFC 9421
/// section 2.2.3).
fn authority_of(address: SocketAddr, is_tls: bool) -> String {
    let text = address.to_string();
    let default_port = if is_tls { ":443" } else { ":80" };
    text.strip_suffix(default_port).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use pos_protocol::Timestamp;
    use pos_protocol::key::SigningKey;
    use pos_protocol::sign::POS_CONNECT;
    use pos_protocol::sign::call::{CallParts, Unsigned};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::env::{Clock, SystemEntropy};

    /// Wall time that a test sets; monotonic time stands still.
    #[derive(Default)]
    struct SetClock(AtomicU64);

    impl Clock for SetClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_secs(self.0.load(Ordering::Relaxed))
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    struct Bed {
        _root: tempfile::TempDir,
        clock: Arc<SetClock>,
        app: Arc<App>,
        address: String,
        trigger: Trigger,
        task: JoinHandle<Result<(), ServeError>>,
    }

    impl Bed {
        async fn start() -> Self {
            Self::start_on(tempfile::tempdir().unwrap()).await
        }

        async fn start_on(root: tempfile::TempDir) -> Self {
            let config = Config {
                data_folder: root.path().join("data"),
                listen: "127.0.0.1:0".parse().unwrap(),
                ..Config::default()
            };
            let clock = Arc::new(SetClock(AtomicU64::new(1_000)));
            let entropy = Arc::new(SystemEntropy::open().unwrap());
            let environment = Environment::with(clock.clone(), entropy);
            let server = Server::bind(config, environment).await.unwrap();
            let (app, address) = (Arc::clone(server.app()), server.app().authority.clone());
            let (trigger, shutdown) = shutdown::channel();
            let task = tokio::spawn(server.run(|_| Ok(()), shutdown));
            Self { _root: root, clock, app, address, trigger, task }
        }

        async fn readyz(&self) -> String {
            self.get("/readyz", "").await
        }

        async fn get(&self, path: &str, headers: &str) -> String {
            let mut stream = TcpStream::connect(&self.address).await.unwrap();
            let call =
                format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n");
            stream.write_all(call.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        }

        /// A call as it was signed at second 1,000 by a key that nobody knows.
        async fn signed_call(&self) -> String {
            let key = SigningKey::from_seed(&[7; 32]);
            let parts = CallParts {
                method: "GET",
                authority: &self.address,
                path: "/v1/keys",
                query: "",
                body: b"",
                idempotency_key: None,
            };
            let (created, expires) = (Timestamp::from_secs(1_000), Timestamp::from_secs(1_060));
            let id = key.public().id();
            let unsigned = Unsigned::new(&POS_CONNECT, &parts, created, expires, id).unwrap();
            let signature = key.sign(unsigned.base());
            let signed = unsigned.into_headers(&signature);
            let (input, signature) = (signed.signature_input, signed.signature);
            let headers = format!("signature-input: {input}\r\nsignature: {signature}\r\n");
            self.get("/v1/keys", &headers).await
        }

        /// Lets the watch on the clocks run its rounds; the clock of the test is paused.
        async fn until(&self, faults: &[Fault]) {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            assert_eq!(self.app.readiness.faults(), faults);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_of_wall_time_takes_the_server_out_of_service_until_it_is_back() {
        let bed = Bed::start().await;
        bed.until(&[]).await;
        assert!(bed.readyz().await.starts_with("HTTP/1.1 200 OK"));
        let answer = bed.signed_call().await;
        assert!(answer.contains(r#""code":"key_unknown""#), "{answer}");
        bed.clock.0.store(1_006, Ordering::Relaxed);
        bed.until(&[Fault::Clock]).await;
        let answer = bed.readyz().await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.ends_with(r#"{"faults":["clock"],"status":"not_ready"}"#), "{answer}");
        let answer = bed.signed_call().await;
        assert!(answer.contains(r#""code":"not_ready""#), "{answer}");
        bed.clock.0.store(1_005, Ordering::Relaxed);
        bed.until(&[]).await;
        assert!(bed.readyz().await.starts_with("HTTP/1.1 200 OK"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_behind_what_was_seen_before_keeps_calls_out_until_it_is_right() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(&root.path().join("data"), Purpose::Command).unwrap();
        let mark = folder.path().join("time-mark");
        std::fs::write(&mark, "1006000\n").unwrap();
        drop(folder);
        let bed = Bed::start_on(root).await;
        let faults = bed.app.readiness.faults();
        assert_eq!(faults, [Fault::Clock, Fault::Starting], "before the first call");
        let answer = bed.signed_call().await;
        assert!(answer.contains(r#""code":"not_ready""#), "{answer}");
        bed.until(&[Fault::Clock]).await;
        assert_eq!(std::fs::read_to_string(&mark).unwrap(), "1006000\n", "never raised by it");
        // The machine's clock is set right by hours: no jump, for it had not been believed.
        bed.clock.0.store(9_000, Ordering::Relaxed);
        bed.until(&[]).await;
        assert_eq!(std::fs::read_to_string(&mark).unwrap(), "9000000\n");
    }

    #[tokio::test]
    async fn a_halt_ends_the_server_with_its_reason() {
        let bed = Bed::start().await;
        bed.app.halt.halt("the disk is gone");
        let ended = bed.task.await.unwrap();
        assert!(
            matches!(ended, Err(ServeError::Halted { reason: "the disk is gone" })),
            "{ended:?}"
        );
        assert_eq!(bed.app.readiness.faults(), [Fault::Draining]);
        assert!(TcpStream::connect(&bed.address).await.is_err());
        drop(bed.trigger);
    }

    #[test]
    fn calls_are_answered_by_as_many_threads_as_configured() {
        let usual = LimitSettings::default();
        for (processors, threads) in [(1, 1), (2, 1), (8, 7)] {
            assert_eq!(usual.answering_threads(processors), threads, "{processors}");
        }
        let limits = LimitSettings { threads: 3, ..usual };
        assert_eq!(runtime(&limits).unwrap().metrics().num_workers(), 3);
    }

    #[test]
    fn the_default_port_is_no_part_of_an_authority() {
        let authority = |text: &str, is_tls| authority_of(text.parse().unwrap(), is_tls);
        assert_eq!(authority("127.0.0.1:8443", true), "127.0.0.1:8443");
        assert_eq!(authority("192.0.2.1:443", true), "192.0.2.1");
        assert_eq!(authority("127.0.0.1:443", false), "127.0.0.1:443");
        assert_eq!(authority("[::1]:80", false), "[::1]");
    }
}
