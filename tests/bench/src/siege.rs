//! Callers that mean harm: connections that say nothing or next to nothing, and sign-ins with wrong
//! passwords. They run on threads of their own, so that they never wait for whoever pays meanwhile.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pos_protocol::id::UserId;
use pos_protocol::secret::SecretText;
use pos_protocol::wire::{LoginRequest, Problem, route};
use pos_protocol::{ErrorCode, Timestamp};
use pos_tests::Bed;
use pos_tests::line::{Place, Request, Response};
use pos_tests::raw::{self, Caller, Draft};
use pos_tests::tls;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::error::BenchError;
use crate::load::{Lines, Pace, Work};

/// What harm is done.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Harm {
    /// Connections that complete their TLS handshake and then say nothing (one half) or an octet every
    /// few seconds (the other).
    #[arg(long, default_value_t = 5_000)]
    pub(crate) idle: usize,
    /// Sign-ins a second with a wrong password.
    #[arg(long, default_value_t = 500)]
    pub(crate) logins: u32,
}

/// Connections are opened so far apart.
const CONNECT_EVERY: Duration = Duration::from_millis(2);

/// Between two octets of the slow half.
const OCTET_EVERY: Duration = Duration::from_secs(4);

/// What the slow half never gets to the end of.
const HEAD: &[u8] = b"GET /v1/answer-keys HTTP/1.1\r\nHost: pos.example\r\nAccept: */*\r\nX-Slow: ";

/// Kept-alive connections of the sign-ins: more than the server lets wait for a password.
const LOGIN_LINES: usize = 64;

/// How long a siege lasts at most.
const LONGEST_S: u32 = 120;

/// A siege under way.
pub(crate) struct Siege {
    /// None once it has ended.
    runtime: Option<Runtime>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    open: AtomicUsize,
    opened: AtomicU64,
    refused: AtomicU64,
    overloaded: AtomicU64,
    failed: Mutex<Option<String>>,
}

/// What has come of it so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Came {
    /// Connections that are open.
    pub(crate) open: usize,
    /// Connections that were opened, again and again where the server closed them.
    pub(crate) opened: u64,
    /// Sign-ins whose password was looked at, and refused.
    pub(crate) refused: u64,
    /// Sign-ins that were told to come again.
    pub(crate) overloaded: u64,
}

impl Siege {
    /// Begins one.
    pub(crate) fn begin(bed: &Bed, harm: Harm) -> Result<Self, BenchError> {
        let address = bed.server.address();
        let place = bed.server.tls_place()?;
        let host = address.tls_url.trim_start_matches("https://").to_owned();
        let config = tls::client_config(bed.server.ca_pem()).map_err(BenchError::Certificate)?;
        let logins = Arc::new(Logins {
            caller: bed.caller_with(raw::fresh_signing_key()),
            known: bed.shop().enrolment.user_id,
            state: Arc::default(),
        });
        let state = Arc::clone(&logins.state);
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(BenchError::system("a thread of the siege"))?;
        runtime.spawn(lines(host, config, harm.idle, Arc::clone(&state)));
        runtime.spawn(sign_in(place, logins, harm.logins));
        Ok(Self { runtime: Some(runtime), state })
    }

    /// What has come of it so far.
    ///
    /// # Errors
    /// What ended the sign-ins, which nothing should.
    pub(crate) fn came(&self) -> Result<Came, BenchError> {
        let failed = self.state.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cause) = &*failed {
            return Err(BenchError::Siege(cause.clone()));
        }
        Ok(Came {
            open: self.state.open.load(Ordering::Relaxed),
            opened: self.state.opened.load(Ordering::Relaxed),
            refused: self.state.refused.load(Ordering::Relaxed),
            overloaded: self.state.overloaded.load(Ordering::Relaxed),
        })
    }
}

/// Ends it; every connection breaks.
impl Drop for Siege {
    fn drop(&mut self) {
        // Also where waiting is forbidden.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Keeps so many connections open.
async fn lines(host: String, config: Arc<ClientConfig>, count: usize, state: Arc<State>) {
    for number in 0..count {
        let (host, config, state) = (host.clone(), Arc::clone(&config), Arc::clone(&state));
        tokio::spawn(async move {
            loop {
                // Whatever ends it, another follows.
                let _ = hold(&host, &config, number % 2 == 1, &state).await;
                sleep(CONNECT_EVERY).await;
            }
        });
        sleep(CONNECT_EVERY).await;
    }
}

/// One connection, until the server closes it.
async fn hold(
    host: &str,
    config: &Arc<ClientConfig>,
    is_slow: bool,
    state: &State,
) -> io::Result<()> {
    let tcp = TcpStream::connect(host).await?;
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).to_owned();
    let name = ServerName::try_from(name).map_err(io::Error::other)?;
    let mut line = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await?;
    state.opened.fetch_add(1, Ordering::Relaxed);
    state.open.fetch_add(1, Ordering::Relaxed);
    let ended = if is_slow { trickle(&mut line).await } else { wait(&mut line).await };
    state.open.fetch_sub(1, Ordering::Relaxed);
    ended
}

async fn trickle(line: &mut TlsStream<TcpStream>) -> io::Result<()> {
    for octet in HEAD.iter().cycle() {
        line.write_all(&[*octet]).await?;
        line.flush().await?;
        // The server's answer, or its end.
        if let Ok(ended) = timeout(OCTET_EVERY, wait(line)).await {
            return ended;
        }
    }
    Ok(())
}

async fn wait(line: &mut TlsStream<TcpStream>) -> io::Result<()> {
    let mut octets = [0; 256];
    while line.read(&mut octets).await? > 0 {}
    Ok(())
}

async fn sign_in(place: Place, logins: Arc<Logins>, per_second: u32) {
    let state = Arc::clone(&logins.state);
    let Some(every) = Duration::from_secs(1).checked_div(per_second) else { return };
    let many = usize::try_from(per_second.saturating_mul(LONGEST_S)).unwrap_or(usize::MAX);
    let signing_in = async {
        let mut lines = Lines::connect(&place, LOGIN_LINES).await?;
        lines.run(&logins, 0..many, Pace::Open { every }).await
    };
    let said = match signing_in.await {
        Ok(_) => format!("a round of more than {LONGEST_S} s"),
        Err(cause) => cause.to_string(),
    };
    *state.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(said);
}

/// Sign-ins with a wrong password: every other one of a user who is there.
struct Logins {
    caller: Caller,
    known: UserId,
    state: Arc<State>,
}

impl Work for Logins {
    type Ticket = ();

    fn prepare(&self, number: usize) -> (Request, ()) {
        let stranger = || UserId::fresh(Timestamp::from_secs(1), raw::random());
        let request = LoginRequest {
            user_id: if number.is_multiple_of(2) { self.known } else { stranger() },
            password: SecretText::new(format!("this is not the password {number}")),
            key: self.caller.key.public(),
        };
        let body = serde_json::to_value(&request).expect("a request is JSON");
        (self.caller.sign(&Draft::post(route::SESSIONS, &body)).request, ())
    }

    fn judge(&self, _: usize, (): (), answer: Response) -> Result<(), BenchError> {
        let problem: Option<Problem> = serde_json::from_slice(&answer.body).ok();
        let count = match problem.and_then(|problem| problem.code.known()) {
            Some(ErrorCode::CredentialRefused | ErrorCode::LoginLocked) => &self.state.refused,
            Some(ErrorCode::Overloaded) => &self.state.overloaded,
            _ => {
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                return Err(BenchError::Answer { what: "a sign-in", status: answer.status, body });
            }
        };
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
