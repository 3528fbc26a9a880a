//! The settings of a connection.

use std::collections::HashMap;
use std::time::Duration;

use pos_connect::ConfigError;
use pos_connect::protocol::succession::Fingerprint;
use pos_connect_macros::record;
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{self, StringDeserializer};

use super::{Language, read};
use crate::error::Error;

/// Where the server is and how long to wait for it.
#[derive(Clone)]
#[record(request)]
pub struct Config {
    /// `https://host` or `https://host:port`; plain `http` for this machine's own addresses only.
    pub server_url: String,
    /// The language in which errors print themselves; English unless told.
    pub language: Option<Language>,
    /// The root certificates (PEM) to believe, and no others; the operating system's unless told.
    pub ca_pem: Option<String>,
    /// A proxy, `http://[user:password@]host:port`; none unless told, whatever the environment says.
    pub proxy: Option<String>,
    /// The name that calls are signed for, where it is not the one in `server_url`.
    pub authority: Option<String>,
    /// How long TCP and TLS may take: 1 to 60 s, 5 unless told.
    pub connect_timeout_s: Option<u32>,
    /// How long one attempt may take: 5 to 60 s, 20 unless told.
    pub attempt_timeout_s: Option<u32>,
    /// How long a verb may take, all attempts, waits and questions together: 6 to 600 s, 40 unless
    /// told.
    pub total_timeout_s: Option<u32>,
    /// How the shop's software names itself in the operator's log.
    pub user_agent: Option<String>,
    /// The fingerprint of the server's answer key, for a `login` where the store has none: only the
    /// operator can tell it, by another way than this line.
    pub answer_key: Option<String>,
    /// Root keys of institutions (the `x` of a JWK), by institution, where the shop has them from the
    /// institution itself. Else the first one that the server names is remembered.
    pub seal_roots: HashMap<String, String>,
}

impl Config {
    /// The usual settings for a server.
    pub fn new(server_url: impl Into<String>) -> Self {
        Self {
            server_url: server_url.into(),
            language: None,
            ca_pem: None,
            proxy: None,
            authority: None,
            connect_timeout_s: None,
            attempt_timeout_s: None,
            total_timeout_s: None,
            user_agent: None,
            answer_key: None,
            seal_roots: HashMap::new(),
        }
    }

    pub(crate) fn read(mut self) -> Result<pos_connect::Config, Error> {
        let language = self.language.take().map(Into::into).unwrap_or_default();
        let read = self.read_settings().map_err(|error| error.in_language(language))?;
        Ok(read.with_language(language))
    }

    fn read_settings(self) -> Result<pos_connect::Config, Error> {
        let Self {
            server_url,
            language: _,
            ca_pem,
            proxy,
            authority,
            connect_timeout_s,
            attempt_timeout_s,
            total_timeout_s,
            user_agent,
            answer_key,
            seal_roots,
        } = self;
        // A browser and Node decide on these; a setting that does nothing would deceive. Connecting
        // takes no longer there than the attempt that it is a part of.
        #[cfg(target_arch = "wasm32")]
        for (field, is_set) in [("ca_pem", ca_pem.is_some()), ("proxy", proxy.is_some())] {
            if is_set {
                return Err(Error::argument(field, &"is for the browser or Node to decide"));
            }
        }
        let span = |seconds: u32| Duration::from_secs(seconds.into());
        let unusable = |field| move |rule: ConfigError| Error::setting(field, &rule);
        let mut config = pos_connect::Config::new(&server_url).map_err(unusable("server_url"))?;
        if let Some(pem) = ca_pem {
            config = config.with_ca_pem(pem);
        }
        if let Some(url) = proxy {
            config = config.with_proxy(url);
        }
        if let Some(name) = authority {
            config = config.with_authority(&name).map_err(unusable("authority"))?;
        }
        if let Some(seconds) = connect_timeout_s {
            let within = config.with_connect_timeout(span(seconds));
            config = within.map_err(unusable("connect_timeout_s"))?;
        }
        if let Some(seconds) = attempt_timeout_s {
            let within = config.with_attempt_timeout(span(seconds));
            config = within.map_err(unusable("attempt_timeout_s"))?;
        }
        if let Some(seconds) = total_timeout_s {
            let within = config.with_total_timeout(span(seconds));
            config = within.map_err(unusable("total_timeout_s"))?;
        }
        if let Some(name) = user_agent {
            config = config.with_user_agent(name).map_err(unusable("user_agent"))?;
        }
        if let Some(text) = answer_key {
            let text: StringDeserializer<value::Error> = text.into_deserializer();
            let pin = Fingerprint::deserialize(text)
                .map_err(|rule| Error::argument("answer_key", &rule))?;
            config = config.with_answer_key(pin);
        }
        for (institution, root) in seal_roots {
            let field = format!("seal_roots.{institution}");
            config = config.with_seal_root(read(&field, &institution)?, read(&field, &root)?);
        }
        Ok(config)
    }
}
