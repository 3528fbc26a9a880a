//! The settings: one TOML file, every setting with a default and documented in `default.toml`.

mod check;
mod load;
mod text;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

pub use load::{ConfigError, ConfigErrors, load, parse, refusal};
pub use text::{Authority, Database, LogLevel, MailServer, Sender};

use crate::store::postgres::PostgresOptions;
use crate::store::rows::Incarnation;

/// The commented default file, which `pos-server config` prints. A test keeps it equal to
/// [`Config::default`].
pub const DEFAULT_FILE: &str = include_str!("config/default.toml");

/// Every setting of the server. See `default.toml` for what each means.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The folder of database, keys, lock and admin socket.
    pub data_folder: PathBuf,
    /// The main address: TLS when [`Self::tls`] is filled in and [`Self::tls_listen`] is not.
    pub listen: SocketAddr,
    /// A second address that always speaks TLS.
    #[serde(deserialize_with = "text::optional")]
    pub tls_listen: Option<SocketAddr>,
    /// The name that callers sign; the bound address when not set.
    #[serde(deserialize_with = "text::optional")]
    pub authority: Option<Authority>,
    /// The shop database; a relative path starts at the data folder.
    pub database: Database,
    /// PostgreSQL, where the database is one.
    pub postgres: PostgresSettings,
    /// Certificate files.
    pub tls: TlsFiles,
    /// The metrics listener.
    pub metrics: MetricsSettings,
    /// What is logged.
    pub logs: LogSettings,
    /// What one caller, or all of them, may take.
    pub limits: LimitSettings,
    /// Recovery of open operations.
    pub worker: WorkerSettings,
    /// The server's own keys.
    pub keys: KeyFiles,
    /// Password hashing.
    pub passwords: PasswordSettings,
    /// Mail to shops.
    pub mail: MailSettings,
    /// Webhooks to shops.
    pub webhooks: WebhookSettings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_folder: "./pos-data".into(),
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8443),
            tls_listen: None,
            authority: None,
            database: Database::Sqlite("pos.sqlite3".into()),
            postgres: PostgresSettings::default(),
            tls: TlsFiles::default(),
            metrics: MetricsSettings::default(),
            logs: LogSettings::default(),
            limits: LimitSettings::default(),
            worker: WorkerSettings::default(),
            keys: KeyFiles::default(),
            passwords: PasswordSettings::default(),
            mail: MailSettings::default(),
            webhooks: WebhookSettings::default(),
        }
    }
}

impl Config {
    /// The address of plain HTTP, when one is configured.
    pub fn plain_address(&self) -> Option<SocketAddr> {
        (self.tls_listen.is_some() || self.tls.pair().is_none()).then_some(self.listen)
    }

    /// The address of TLS with its certificate and key files, when one is configured.
    pub fn tls_address(&self) -> Option<(SocketAddr, &Path, &Path)> {
        let (certificate, key) = self.tls.pair()?;
        Some((self.tls_listen.unwrap_or(self.listen), certificate, key))
    }

    /// Where the database file lies; none where the database is PostgreSQL.
    pub fn database_file(&self) -> Option<PathBuf> {
        match &self.database {
            Database::Sqlite(path) => Some(self.data_folder.join(path)),
            Database::Postgres(_) => None,
        }
    }

    /// What the shop database is opened by, for a server of this incarnation, where it is PostgreSQL.
    pub fn postgres_options(&self, incarnation: Incarnation) -> Option<PostgresOptions> {
        let Database::Postgres(url) = &self.database else { return None };
        let settings = &self.postgres;
        let file = |path: &Option<PathBuf>| path.as_ref().map(|path| self.data_folder.join(path));
        Some(PostgresOptions {
            password_file: file(&settings.password_file),
            ca_file: file(&settings.ca_file),
            readers: settings.connections,
            ..PostgresOptions::new((**url).clone(), incarnation)
        })
    }
}

/// The way to PostgreSQL; relative paths start at the data folder.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PostgresSettings {
    /// The file that holds the user's password.
    #[serde(deserialize_with = "text::optional")]
    pub password_file: Option<PathBuf>,
    /// PEM of the CA that the database's certificate is verified by.
    #[serde(deserialize_with = "text::optional")]
    pub ca_file: Option<PathBuf>,
    /// Connections for lookups, beside three for writing and lists.
    pub connections: usize,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        Self { password_file: None, ca_file: None, connections: 8 }
    }
}

/// PEM files of the TLS identity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsFiles {
    /// The chain, leaf first.
    #[serde(deserialize_with = "text::optional")]
    pub certificate: Option<PathBuf>,
    /// The leaf's private key.
    #[serde(deserialize_with = "text::optional")]
    pub key: Option<PathBuf>,
}

impl TlsFiles {
    /// Both files, when both are set.
    pub fn pair(&self) -> Option<(&Path, &Path)> {
        Some((self.certificate.as_deref()?, self.key.as_deref()?))
    }
}

/// The metrics listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsSettings {
    /// Its address; no listener when not set.
    #[serde(deserialize_with = "text::optional")]
    pub listen: Option<SocketAddr>,
}

/// What is logged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// The least severe level that is written.
    pub level: LogLevel,
}

/// Bounds on what callers may take. Durations are whole seconds in the file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    /// Threads that answer calls; 0 for one less than processors.
    pub threads: usize,
    /// Open connections of each listener.
    pub connections: usize,
    /// Requests worked on at once.
    pub in_flight: usize,
    /// Longest a handler may take.
    #[serde(rename = "request_seconds", deserialize_with = "text::seconds")]
    pub request: Duration,
    /// Octets of start line and headers.
    pub header_bytes: usize,
    /// Octets of a body.
    pub body_bytes: usize,
    /// Longest TLS handshake.
    #[serde(rename = "handshake_seconds", deserialize_with = "text::seconds")]
    pub handshake: Duration,
    /// Longest wait for a request head, silence of a kept-alive connection included.
    #[serde(rename = "head_seconds", deserialize_with = "text::seconds")]
    pub head: Duration,
    /// Longest wait for a whole request body.
    #[serde(rename = "body_seconds", deserialize_with = "text::seconds")]
    pub body: Duration,
    /// Longest wait for a client that does not take its answer.
    #[serde(rename = "stall_seconds", deserialize_with = "text::seconds")]
    pub stall: Duration,
    /// Longest wait for requests under way at a stop.
    #[serde(rename = "drain_seconds", deserialize_with = "text::seconds")]
    pub drain: Duration,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            threads: 0,
            connections: 1024,
            in_flight: 512,
            request: Duration::from_secs(70),
            header_bytes: 16 * 1024,
            body_bytes: pos_protocol::wire::MAX_BODY,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(30),
            body: Duration::from_secs(10),
            stall: Duration::from_secs(20),
            drain: Duration::from_secs(30),
        }
    }
}

impl LimitSettings {
    /// How many threads answer calls where `processors` may be used; never 0
    /// (`docs/adr/0265-a-thread-less-than-processors.md`).
    pub fn answering_threads(&self, processors: usize) -> usize {
        match self.threads {
            0 => processors.saturating_sub(1).max(1),
            configured => configured,
        }
    }
}

/// Recovery of open operations. The steps of inquiry are fixed (`payments.md` 3).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerSettings {
    /// How long a process owns an operation before another may take it over.
    #[serde(rename = "lease_seconds", deserialize_with = "text::seconds")]
    pub lease: Duration,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self { lease: Duration::from_secs(30) }
    }
}

/// The server's own keys; relative paths start at the data folder.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyFiles {
    /// Signs answers to shops.
    pub answer_key: PathBuf,
    /// Signs calls to institutions.
    pub institution_call_key: PathBuf,
    /// Mixed into password hashes.
    pub pepper: PathBuf,
    /// What the keys that sign webhooks are made from.
    pub webhook_seed: PathBuf,
}

impl Default for KeyFiles {
    fn default() -> Self {
        Self {
            answer_key: "answer-key.pem".into(),
            institution_call_key: "institution-call-key.pem".into(),
            pepper: "pepper.key".into(),
            webhook_seed: "webhook-seed.key".into(),
        }
    }
}

/// Password hashing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PasswordSettings {
    /// Hashes computed at once.
    pub hashes_at_once: usize,
    /// Hashes that may wait for their turn.
    pub hashes_waiting: usize,
}

impl Default for PasswordSettings {
    fn default() -> Self {
        Self { hashes_at_once: 1, hashes_waiting: 32 }
    }
}

/// The mail server that takes mail to shops.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MailSettings {
    /// Host and port; no mail is sent when not set.
    #[serde(deserialize_with = "text::optional")]
    pub server: Option<MailServer>,
    /// How the line to it is protected.
    pub tls: MailTls,
    /// A CA in PEM beside the system's.
    #[serde(deserialize_with = "text::optional")]
    pub ca: Option<PathBuf>,
    /// With which it is signed in.
    #[serde(deserialize_with = "text::optional")]
    pub user: Option<String>,
    /// The file that holds the password.
    #[serde(deserialize_with = "text::optional")]
    pub password_file: Option<PathBuf>,
    /// Whom mail is from.
    #[serde(deserialize_with = "text::optional")]
    pub from: Option<Sender>,
}

/// How the line to the mail server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// TLS from the first octet (RFC 8314 section 3), usually on port 465.
    #[default]
    Implicit,
    /// Not at all: only to a server on this machine.
    None,
    /// TLS after a command in the clear, and nothing without it, usually on port 587.
    Starttls,
}

/// Webhooks to shops.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookSettings {
    /// A CA in PEM beside the system's.
    #[serde(deserialize_with = "text::optional")]
    pub ca: Option<PathBuf>,
    /// Receivers, `host:port` each, that may be at any address.
    pub also_allow: Vec<String>,
}
