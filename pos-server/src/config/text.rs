//! How single settings are written.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use lettre::message::Mailbox;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::store::postgres::PostgresUrl;

/// The name that callers sign as `@authority`: a host in lower case, with a port unless it is the
/// scheme's default one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority(String);

impl Authority {
    /// The text as it is compared.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Authority {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str = "must be a host name in lower case, with a port where it is not the \
                            default one, such as \"pay.example.jp\" or \"pay.example.jp:8443\"";
        let parsed: hyper::http::uri::Authority = text.parse().map_err(|_| RULE)?;
        let wrong = text.contains('@')
            || text.ends_with(':')
            || parsed.host().is_empty()
            || text.bytes().any(|byte| byte.is_ascii_uppercase());
        if wrong { Err(RULE) } else { Ok(Self(text.into())) }
    }
}

/// Where the shop database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// PostgreSQL there.
    Postgres(Box<PostgresUrl>),
    /// The embedded database in this file.
    Sqlite(PathBuf),
}

impl<'de> Deserialize<'de> for Database {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Err(D::Error::custom("must name a file, such as \"pos.sqlite3\""));
        }
        match text.split_once("://") {
            None => Ok(Self::Sqlite(text.into())),
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            Some(("postgres" | "postgresql", _)) => {
                text.parse().map(|url| Self::Postgres(Box::new(url))).map_err(D::Error::custom)
            }
            Some(_) => Err(D::Error::custom(
                "must name a file, such as \"pos.sqlite3\", or be a URL such as \
                 \"postgres://pos@db.example.jp/pos\"",
            )),
        }
    }
}

/// Where mail is handed in: a host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailServer {
    /// Name or address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl FromStr for MailServer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str = "must be host and port, such as \"smtp.example.jp:465\"";
        let (host, port) = text.rsplit_once(':').ok_or(RULE)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = port.parse().map_err(|_| RULE)?;
        let is_plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b':');
        if host.is_empty() || port == 0 || !host.bytes().all(is_plain) {
            return Err(RULE);
        }
        Ok(Self { host: host.into(), port })
    }
}

/// Whom mail is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender(pub Mailbox);

impl FromStr for Sender {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str = "must be an address with or without a name, such as \"Example POS \
                            <pos@example.jp>\"";
        text.parse().map(Self).map_err(|_| RULE)
    }
}

/// The least severe lines that are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What needs a person.
    Error,
    /// What may need one.
    Warn,
    /// What happened.
    #[default]
    Info,
    /// How it happened.
    Debug,
    /// Everything.
    Trace,
}

impl From<LogLevel> for tracing::Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

/// A text whose empty form means "not set".
pub(super) fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    match String::deserialize(deserializer)?.as_str() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(D::Error::custom),
    }
}

/// A whole number of seconds.
pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_servers_and_senders() {
        let server: MailServer = "smtp.example.jp:465".parse().unwrap();
        assert_eq!((&*server.host, server.port), ("smtp.example.jp", 465));
        assert_eq!("[::1]:25".parse::<MailServer>().unwrap().host, "::1");
        for wrong in ["smtp.example.jp", "smtp:0", ":25", "a b:25", "smtps://a:465", "a:66000"] {
            assert!(wrong.parse::<MailServer>().is_err(), "{wrong}");
        }
        for right in ["pos@example.jp", "Example POS <pos@example.jp>"] {
            assert_eq!(right.parse::<Sender>().unwrap().0.email.to_string(), "pos@example.jp");
        }
        assert!("pos".parse::<Sender>().is_err());
    }

    #[test]
    fn authorities() {
        for right in ["pay.example.jp", "pay.example.jp:8443", "127.0.0.1:1", "[::1]:8443"] {
            assert_eq!(right.parse::<Authority>().unwrap().as_str(), right);
        }
        for wrong in ["Pay.example.jp", "https://a.jp", "a.jp/", "u@a.jp", "a.jp:", ":80", "a b"] {
            assert!(wrong.parse::<Authority>().is_err(), "{wrong}");
        }
    }
}
