//! The server put together in one place: [`App::build`] for everything that needs no socket,
//! [`serve`] for the sockets around it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pos_protocol::key::PublicKey;
use serde::Serialize;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::admin::{self, AdminSocket};
use crate::config::Config;
use crate::data_folder::keys::{KeyFileError, ServerKeys};
use crate::data_folder::{DataFolder, DataFolderError, Purpose};
use crate::env::{Clock, Entropy, SystemClock, SystemEntropy};
use crate::http;
use crate::http::listener::{Limits, ListenError, Listener};
use crate::http::tls::{TlsError, TlsIdentity};
use crate::readiness::{DRIFT_LIMIT, DriftWatch, Fault, Readiness};
use crate::shutdown::{self, Shutdown};
use crate::telemetry::metrics::Metrics;

/// What the server takes from the machine.
#[derive(Clone)]
pub struct Environment {
    /// Where it reads the time.
    pub clock: Arc<dyn Clock>,
    /// Where it draws random octets.
    pub entropy: Arc<dyn Entropy>,
}

impl Environment {
    /// The machine's own clocks and random generator.
    ///
    /// # Errors
    /// [`StartError::Entropy`] on a machine without random octets.
    pub fn of_the_system() -> Result<Self, StartError> {
        let entropy = SystemEntropy::open().map_err(StartError::Entropy)?;
        Ok(Self { clock: Arc::new(SystemClock::start()), entropy: Arc::new(entropy) })
    }
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The socket for operators' commands could not be made.
    #[error("the admin socket {} cannot be made: {cause}", path.display())]
    AdminSocket {
        /// Where it should lie.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The bound addresses could not be told to whoever started the server.
    #[error("the addresses cannot be written to standard output: {0}")]
    Announce(#[source] io::Error),
    /// The data folder cannot be used.
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    /// The machine gives no random octets.
    #[error("the operating system gives no random octets: {0}")]
    Entropy(#[source] getrandom::Error),
    /// A key of the server cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// An address is not free.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The certificate files cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Everything of the server but its sockets. Handlers, commands and workers share one.
pub struct App {
    /// The settings as they were read.
    pub config: Config,
    /// The name that callers sign; empty in a command beside no server, which takes no calls.
    pub authority: String,
    /// The server's own keys.
    pub keys: ServerKeys,
    /// Whether this process may be sent calls.
    pub readiness: Arc<Readiness>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random octets.
    pub entropy: Arc<dyn Entropy>,
    /// Held for as long as anything may touch what is in it, so the last to be dropped.
    pub folder: DataFolder,
}

impl App {
    /// Opens keys and database in `folder`. The one place of start-up, for the server and for an
    /// operator's command alike; `authority` is the name that calls are signed for.
    ///
    /// # Errors
    /// [`StartError`] says what is wrong and what to do.
    pub async fn build(
        config: Config,
        folder: DataFolder,
        authority: Option<String>,
        environment: Environment,
    ) -> Result<Arc<Self>, StartError> {
        let Environment { clock, entropy } = environment;
        let database = config.database_path();
        let keys = ServerKeys::open(&folder, &config.keys, &database, entropy.as_ref())?;
        Ok(Arc::new(Self {
            authority: authority.unwrap_or_default(),
            keys,
            readiness: Arc::default(),
            metrics: Arc::default(),
            clock,
            entropy,
            folder,
            config,
        }))
    }

    /// The work that goes on beside the calls; each ends soon after `shutdown` is asked for.
    fn spawn_background(self: &Arc<Self>, tasks: &mut JoinSet<()>, shutdown: &Shutdown) {
        tasks.spawn(watch_clocks(Arc::clone(self), shutdown.clone()));
    }

    /// Ends what the app holds open, after everything that used it has ended.
    pub async fn close(app: Arc<Self>) {
        if let Some(Self { folder, .. }) = Arc::into_inner(app) {
            drop(folder);
        } else {
            warn!("something still uses the data folder at the end");
        }
    }
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

/// Runs the server until `shutdown` is asked for and everything begun has ended. `announce` is
/// called once, when the server is ready.
///
/// # Errors
/// [`StartError`] when it does not come up; nothing is left running then.
pub async fn serve(
    config: Config,
    environment: Environment,
    announce: impl FnOnce(&Announcement) -> io::Result<()>,
    mut shutdown: Shutdown,
) -> Result<(), StartError> {
    // Longer than any command holds the folder.
    const PATIENCE: Duration = Duration::from_secs(10);
    let path = &config.data_folder;
    let folder = DataFolder::open_patiently(path, Purpose::Serve, PATIENCE).await?;
    let listeners = Listeners::bind(&config).await?;
    let authority = listeners.authority(&config);
    let app = App::build(config, folder, Some(authority), environment).await?;
    let socket = AdminSocket::bind(&app.folder).map_err(|cause| StartError::AdminSocket {
        path: DataFolder::admin_socket(app.folder.path()),
        cause,
    })?;
    let announcement = listeners.announcement(&app, &socket);

    let (end_background, background_ends) = shutdown::channel();
    let mut background = JoinSet::new();
    app.spawn_background(&mut background, &background_ends);
    let mut front = JoinSet::new();
    front.spawn(admin::serve(socket, Arc::clone(&app), shutdown.clone()));
    listeners.spawn(&app, &mut front, &shutdown);
    app.readiness.clear(Fault::Starting);
    announce(&announcement).map_err(StartError::Announce)?;
    info!(address = %announcement.url, authority = %announcement.authority, "listening");

    shutdown.asked().await;
    app.readiness.raise(Fault::Draining);
    info!("ending: requests under way are finished first");
    while front.join_next().await.is_some() {}
    // Only now: until the last answer is out, a request may hand work to the background.
    end_background.pull();
    while background.join_next().await.is_some() {}
    App::close(app).await;
    info!("ended");
    Ok(())
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

/// Takes the process out of service while its clocks disagree: freshness is judged by the one,
/// deadlines by the other.
async fn watch_clocks(app: Arc<App>, mut shutdown: Shutdown) {
    let watch = DriftWatch::begin(app.clock.now(), app.clock.monotonic());
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            () = shutdown.asked() => return,
            _ = ticks.tick() => {}
        }
        let drift = watch.drift(app.clock.now(), app.clock.monotonic());
        let seconds = drift.as_secs();
        if drift > DRIFT_LIMIT {
            if app.readiness.raise(Fault::Clock) {
                warn!(
                    seconds,
                    "wall time jumped: not ready until it is back or the server restarts"
                );
            }
        } else if app.readiness.clear(Fault::Clock) {
            info!(seconds, "wall time is back");
        }
    }
}
