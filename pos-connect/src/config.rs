//! Where the server is and how long to wait for it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use pos_protocol::id::InstitutionId;
use pos_protocol::key::PublicKey;
use pos_protocol::sign::InvalidPart;
use pos_protocol::sign::call::{MAX_AGE, authority};
use pos_protocol::succession::Fingerprint;

/// The language in which an [`Error`](crate::Error) prints itself. Both are always there to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// 日本語.
    Japanese,
}

/// Settings of a [`Connection`](crate::Connection).
///
/// ```
/// use std::time::Duration;
/// use pos_connect::Config;
///
/// let config = Config::new("https://pos.example")?
///     .with_proxy("http://proxy.shop.example:3128")
///     .with_total_timeout(Duration::from_secs(25))?;
/// assert_eq!(config.authority(), "pos.example");
/// # Ok::<(), pos_connect::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Config {
    pub(crate) origin: String,
    pub(crate) authority: String,
    pub(crate) ca_pem: Option<String>,
    pub(crate) proxy: Option<String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) attempt_timeout: Duration,
    pub(crate) total_timeout: Duration,
    pub(crate) user_agent: String,
    pub(crate) language: Language,
    pub(crate) answer_key: Option<Fingerprint>,
    pub(crate) seal_roots: BTreeMap<InstitutionId, PublicKey>,
}

/// Why a setting cannot be used. Correct it; nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The name that calls are signed for is no host with an optional port.
    #[error("the server's name is not usable: {0}")]
    Authority(#[from] InvalidPart),
    /// Neither PEM certificates, nor roots known to the system.
    #[error("no usable root certificate: {reason}; give the operator's CA as PEM")]
    Certificates {
        /// What was wrong with them.
        reason: String,
    },
    /// Neither the key store nor the settings know the server's answer key.
    #[error("the server's answer key is not known: register first, or set its fingerprint")]
    NoAnswerKey,
    /// `http://` to another host than this one.
    #[error("plain http is for a server on this machine only: use https")]
    Plain,
    /// The proxy's address is no URL.
    #[error("the proxy's address is not a URL such as http://proxy.example:3128")]
    Proxy,
    /// A time-out is too short or too long for what it is for.
    #[error("{name} must be {least_s} to {most_s} seconds")]
    Timeout {
        /// Which of them.
        name: &'static str,
        /// The least that makes sense.
        least_s: u64,
        /// The most that makes sense.
        most_s: u64,
    },
    /// Not `https://host[:port]`.
    #[error("the server's address must be https://host or https://host:port, without a path")]
    Url,
    /// The user agent holds what no header may.
    #[error("the user agent must be visible ASCII")]
    UserAgent,
}

impl Config {
    /// The settings for a server: `https://host` or `https://host:port`. Plain `http` is taken for
    /// this machine's own addresses only. Time-outs: 5 s to connect, 20 s for an attempt, 40 s for
    /// a verb; no proxy; the roots of the operating system; English.
    ///
    /// # Errors
    /// [`ConfigError::Url`], [`ConfigError::Plain`] or [`ConfigError::Authority`].
    pub fn new(server_url: &str) -> Result<Self, ConfigError> {
        let bare = server_url.strip_suffix('/').unwrap_or(server_url);
        let (host, port) = match bare.split_once("://") {
            Some(("https", host)) => (host, 443),
            Some(("http", host)) if is_loopback(host) => (host, 80),
            Some(("http", _)) => return Err(ConfigError::Plain),
            _ => return Err(ConfigError::Url),
        };
        if host.is_empty() || host.contains(['/', '?', '#', '@', '\\']) {
            return Err(ConfigError::Url);
        }
        Ok(Self {
            origin: bare.to_ascii_lowercase(),
            authority: authority(host, port)?,
            ca_pem: None,
            proxy: None,
            connect_timeout: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(20),
            total_timeout: Duration::from_secs(40),
            user_agent: concat!("pos-connect/", env!("CARGO_PKG_VERSION")).to_owned(),
            language: Language::default(),
            answer_key: None,
            seal_roots: BTreeMap::new(),
        })
    }

    /// The name that calls are signed for, where the server is configured with another one than
    /// stands in its address: `pos.example` or `pos.example:8443`, without a default port.
    ///
    /// # Errors
    /// [`ConfigError::Authority`].
    pub fn with_authority(mut self, name: &str) -> Result<Self, ConfigError> {
        self.authority = authority(name, 443)?;
        Ok(self)
    }

    /// Believes these root certificates (PEM, one or several) and no others. They are read when the
    /// connection is opened. A browser decides for itself and ignores them.
    #[must_use]
    pub fn with_ca_pem(mut self, pem: impl Into<String>) -> Self {
        self.ca_pem = Some(pem.into());
        self
    }

    /// Goes through this proxy: `http://[user:password@]host:port`. Without it none is used,
    /// whatever the environment says. A browser decides for itself.
    #[must_use]
    pub fn with_proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }

    /// How long TCP and TLS may take.
    ///
    /// # Errors
    /// [`ConfigError::Timeout`] outside 1 to 60 s.
    pub fn with_connect_timeout(mut self, span: Duration) -> Result<Self, ConfigError> {
        self.connect_timeout = within("the connect time-out", span, 1, MAX_AGE.as_secs())?;
        Ok(self)
    }

    /// How long one attempt may take; it also is the deadline that the server is told.
    ///
    /// # Errors
    /// [`ConfigError::Timeout`] outside 5 to 60 s: with less the server would not begin a payment,
    /// and longer no signature lives.
    pub fn with_attempt_timeout(mut self, span: Duration) -> Result<Self, ConfigError> {
        self.attempt_timeout = within("the attempt time-out", span, 5, MAX_AGE.as_secs())?;
        Ok(self)
    }

    /// How long a verb may take, all attempts, waits and questions together. A payment whose
    /// outcome is not known by then is reported as open or unknown, never as failed.
    ///
    /// # Errors
    /// [`ConfigError::Timeout`] outside 6 to 600 s.
    pub fn with_total_timeout(mut self, span: Duration) -> Result<Self, ConfigError> {
        self.total_timeout = within("the total time-out", span, 6, 600)?;
        Ok(self)
    }

    /// How the shop's software names itself in the operator's log. Ignored in a browser.
    ///
    /// # Errors
    /// [`ConfigError::UserAgent`].
    pub fn with_user_agent(mut self, name: impl Into<String>) -> Result<Self, ConfigError> {
        self.user_agent = name.into();
        let fits = |octet: u8| octet == b' ' || octet.is_ascii_graphic();
        if self.user_agent.is_empty() || !self.user_agent.bytes().all(fits) {
            return Err(ConfigError::UserAgent);
        }
        Ok(self)
    }

    /// The language in which errors print themselves.
    #[must_use]
    pub const fn with_language(mut self, language: Language) -> Self {
        self.language = language;
        self
    }

    /// Pins the server's answer key for a [login](crate::Connection::login) on a machine whose key
    /// store has none: only the operator can tell this fingerprint, by another way than this line.
    #[must_use]
    pub const fn with_answer_key(mut self, pin: Fingerprint) -> Self {
        self.answer_key = Some(pin);
        self
    }

    /// The root key of an institution, where the shop has it from the institution itself. Without
    /// it the first one that the server names is remembered; another one is refused either way.
    #[must_use]
    pub fn with_seal_root(mut self, institution: InstitutionId, root: PublicKey) -> Self {
        self.seal_roots.insert(institution, root);
        self
    }

    /// The language in which errors print themselves.
    pub const fn language(&self) -> Language {
        self.language
    }

    /// The name that calls are signed for.
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl fmt::Debug for Config {
    /// Leaves the proxy out: its address may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("server", &self.origin)
            .field("authority", &self.authority)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("total_timeout", &self.total_timeout)
            .finish_non_exhaustive()
    }
}

fn within(
    name: &'static str,
    span: Duration,
    least_s: u64,
    most_s: u64,
) -> Result<Duration, ConfigError> {
    let fits = Duration::from_secs(least_s) <= span && span <= Duration::from_secs(most_s);
    if fits { Ok(span) } else { Err(ConfigError::Timeout { name, least_s, most_s }) }
}

/// Whether `host[:port]` is this machine, by its own loopback addresses or name.
fn is_loopback(text: &str) -> bool {
    let bare = match text.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => host,
        _ => text,
    };
    let address = bare.strip_prefix('[').and_then(|bare| bare.strip_suffix(']')).unwrap_or(bare);
    bare.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_gives_origin_and_authority() {
        for (url, origin, authority) in [
            ("https://pos.example", "https://pos.example", "pos.example"),
            ("https://POS.example/", "https://pos.example", "pos.example"),
            ("https://pos.example:443", "https://pos.example:443", "pos.example"),
            ("https://pos.example:8443", "https://pos.example:8443", "pos.example:8443"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://[::1]:80", "http://[::1]:80", "[::1]"),
            ("http://localhost", "http://localhost", "localhost"),
        ] {
            let config = Config::new(url).unwrap();
            assert_eq!((config.origin.as_str(), config.authority()), (origin, authority), "{url}");
        }
    }

    #[test]
    fn plain_http_and_anything_but_an_origin_are_refused() {
        for url in ["http://pos.example", "http://128.0.0.1", "http://127.0.0.1.example:80"] {
            assert_eq!(Config::new(url).unwrap_err(), ConfigError::Plain, "{url}");
        }
        for url in [
            "pos.example",
            "https://",
            "ftp://pos.example",
            "https://pos.example/v1",
            "https://user@pos.example",
            "https://pos.example?x",
        ] {
            assert_eq!(Config::new(url).unwrap_err(), ConfigError::Url, "{url}");
        }
        assert!(matches!(Config::new("https://pos example"), Err(ConfigError::Authority(_))));
    }

    #[test]
    fn settings_are_checked_and_the_proxy_is_not_printed() {
        let config = || Config::new("https://pos.example").unwrap();
        let short = config().with_attempt_timeout(Duration::from_secs(4)).unwrap_err();
        assert_eq!(short.to_string(), "the attempt time-out must be 5 to 60 seconds");
        assert!(config().with_total_timeout(Duration::from_secs(601)).is_err());
        assert!(config().with_user_agent("shop/1\r\nX: y").is_err());
        let text = format!("{:?}", config().with_proxy("http://shop:hunter2@proxy.example:3128"));
        assert!(!text.contains("hunter2"), "{text}");
    }
}
