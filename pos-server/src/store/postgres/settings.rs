//! Where the database is, and how the way there is kept from others.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use crate::data_folder::private_file::{self, PrivateFileError};

/// The database's URL as the operator writes it: `postgres://user@host/database`.
///
/// Over a network the line is encrypted and the server's certificate and name are verified, whether
/// `sslmode` is left out or is `require`, `verify-ca` or `verify-full`. On this machine, by a Unix
/// socket or loopback, it is plain unless the URL asks for one of those.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    text: Box<str>,
    config: Config,
    encrypted: bool,
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

/// The whole URL as it is written, ports and options too: it names one place and no other, and holds no
/// password.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for PostgresUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (url, mode) = without_sslmode(text);
        let mut config: Config =
            url.parse().map_err(|cause| format!("is no URL of PostgreSQL: {}", causes(&cause)))?;
        if config.get_password().is_some() {
            return Err("must not hold the password: write it into a file that only the server's \
                        user can read, and name that file in postgres.password_file"
                .into());
        }
        if config.get_hosts().is_empty() || config.get_dbname().is_none() {
            return Err("must name host and database: postgres://user@host/database".into());
        }
        if config.get_user().is_none() {
            return Err("must name the user: postgres://user@host/database".into());
        }
        let encrypted = match (mode.as_deref(), is_here(&config)) {
            (Some("require" | "verify-ca" | "verify-full"), _) | (None, false) => true,
            (None | Some("disable" | "allow" | "prefer"), true) => false,
            (Some("disable" | "allow" | "prefer"), false) => {
                return Err(
                    "leads over a network, where the line must be encrypted: leave sslmode \
                            out, or write sslmode=verify-full"
                        .into(),
                );
            }
            (Some(other), _) => {
                return Err(format!(
                    "has the sslmode {other:?}, which there is not: write verify-full, or leave it \
                     out"
                ));
            }
        };
        let by_socket = config.get_hosts().iter().any(|host| matches!(host, Host::Unix(_)));
        if encrypted && by_socket {
            return Err("names a Unix socket, where there is no TLS: leave sslmode out".into());
        }
        config.ssl_mode(if encrypted { SslMode::Require } else { SslMode::Disable });
        Ok(Self { text: text.into(), config, encrypted })
    }
}

/// The driver knows `disable`, `prefer` and `require` only, and verifies nothing itself.
fn without_sslmode(text: &str) -> (String, Option<String>) {
    let Some((url, query)) = text.split_once('?') else { return (text.into(), None) };
    let mut mode = None;
    let mut rest = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslmode", value)) => mode = Some(value.to_owned()),
            _ => rest.push(pair),
        }
    }
    if rest.is_empty() { (url.into(), mode) } else { (format!("{url}?{}", rest.join("&")), mode) }
}

/// Whether no octet of the line leaves this machine.
fn is_here(config: &Config) -> bool {
    let hosts = config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    });
    hosts && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

/// Why the way to the database cannot be made. Each sentence is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum WayError {
    /// The file of certificates cannot be used.
    #[error("postgres.ca_file cannot be used: {0}")]
    CaFile(String),
    /// The system has no roots.
    #[error(
        "the system has no certificates to verify the database by: write the file of its CA in \
         postgres.ca_file"
    )]
    NoRoots,
    /// The password cannot be read.
    #[error("postgres.password_file: {0}")]
    Password(#[source] PrivateFileError),
}

/// Everything that a new connection needs.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) config: Config,
    pub(super) tls: Option<Arc<ClientConfig>>,
}

impl Way {
    /// Reads password and certificates.
    ///
    /// # Errors
    /// [`WayError`], whose sentence says what the operator can do.
    pub(super) fn new(
        url: &PostgresUrl,
        password_file: Option<&Path>,
        ca_file: Option<&Path>,
    ) -> Result<Self, WayError> {
        let mut config = url.config.clone();
        config
            .application_name("pos-server")
            .connect_timeout(Duration::from_secs(2))
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(20))
            // Where several hosts are named, the one that takes writes.
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        if let Some(path) = password_file {
            let password = private_file::read(path).map_err(WayError::Password)?;
            config.password(password.trim_ascii_end());
        }
        let tls = url.encrypted.then(|| client_config(ca_file)).transpose()?;
        Ok(Self { config, tls: tls.map(Arc::new) })
    }
}

fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, WayError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        let failed = |cause: String| WayError::CaFile(format!("{}: {cause}", path.display()));
        let certificates =
            CertificateDer::pem_file_iter(path).map_err(|cause| failed(cause.to_string()))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|cause| failed(cause.to_string()))?;
            roots.add(certificate).map_err(|cause| failed(cause.to_string()))?;
        }
        if roots.is_empty() {
            return Err(failed("it holds no certificate".into()));
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(WayError::NoRoots);
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for every version that is built in")
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// What an error says, and what those behind it say.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        text = format!("{text}: {one}");
        cause = one.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encrypted(url: &str) -> Result<bool, String> {
        url.parse::<PostgresUrl>().map(|url| url.encrypted)
    }

    #[test]
    fn what_leaves_the_machine_is_encrypted_and_verified() {
        for here in ["localhost", "127.0.0.1", "[::1]", "%2Frun%2Fpostgresql"] {
            assert_eq!(encrypted(&format!("postgres://pos@{here}/pos")), Ok(false), "{here}");
            assert_eq!(encrypted(&format!("postgres://pos@{here}/pos?sslmode=disable")), Ok(false));
        }
        for mode in ["require", "verify-ca", "verify-full"] {
            assert_eq!(encrypted(&format!("postgres://pos@db/pos?sslmode={mode}")), Ok(true));
            assert_eq!(
                encrypted(&format!("postgres://pos@localhost/pos?sslmode={mode}")),
                Ok(true)
            );
        }
        assert_eq!(encrypted("postgres://pos@db.example.jp/pos"), Ok(true));
        assert_eq!(encrypted("postgres://pos@127.0.0.1,db/pos?connect_timeout=3"), Ok(true));
        for mode in ["disable", "allow", "prefer"] {
            let refused = encrypted(&format!("postgres://pos@db/pos?sslmode={mode}")).unwrap_err();
            assert!(refused.contains("must be encrypted"), "{refused}");
        }
        assert!(
            encrypted("postgres://pos@localhost/pos?hostaddr=10.0.0.1&sslmode=disable").is_err()
        );
    }

    #[test]
    fn a_url_is_whole_and_holds_no_password() {
        for (url, word) in [
            ("postgres://pos:secret@localhost/pos", "password_file"),
            ("postgres:///pos?user=pos", "host and database"),
            ("postgres://pos@localhost", "host and database"),
            ("postgres://localhost/pos", "must name the user"),
            ("postgres://pos@localhost/pos?sslmode=perhaps", "perhaps"),
            ("postgres://pos@localhost/pos?nonsense=1", "no URL"),
            ("postgres://pos@%2Frun/pos?sslmode=require", "Unix socket"),
        ] {
            let refused = encrypted(url).unwrap_err();
            assert!(refused.contains(word), "{url}: {refused}");
            assert!(!refused.contains("secret"), "{refused}");
        }
        for text in
            ["postgres://pos@db.example.jp/shop", "postgres://pos@db:5433/shop?options=-c%20x"]
        {
            let url: PostgresUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), text, "two places are never the same text");
        }
    }
}
