//! What the shop database keeps of an institution, and what follows from it for the line.

use std::io::BufReader;
use std::net::IpAddr;
use std::sync::Arc;

use hyper::Uri;
use pos_protocol::id::InstitutionId;
use pos_protocol::institution::Names;
use pos_protocol::key::PublicKey;
use pos_protocol::sign::{InvalidPart, call};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};

use super::capabilities::Capabilities;

/// An institution that the operator serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstitutionRecord {
    /// Under which name the operator keeps it; envelopes are bound to it.
    pub id: InstitutionId,
    /// Its name for people.
    pub names: Names,
    /// Scheme, host and port: `https://host:port`; `http` only to a loopback address.
    pub url: String,
    /// The certificates that its TLS certificate must lead to, in PEM; needed for https.
    pub ca_pem: Option<String>,
    /// The key that it signs its answers with.
    pub verify_key: PublicKey,
    /// The root key that it signs its seal key sets with.
    pub seal_root: PublicKey,
    /// The newest version of its seal key set that was ever taken; 0 before the first.
    pub seal_key_version: u64,
    /// Whether the operator lets payments go to it. The core asks this, not the driver.
    pub enabled: bool,
    /// What it can do, as its connection test told.
    pub capabilities: Capabilities,
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The CA certificates are missing or unreadable.
    #[error("{0}: give the institution's CA certificates as PEM")]
    Ca(&'static str),
    /// http to another machine.
    #[error("http is for a loopback address only: use https")]
    PlainHttp,
    /// The URL is not one of the allowed form.
    #[error("the URL must be https://host or https://host:port, without a path")]
    Url,
    /// It cannot tell what became of an operation, and cannot undo it either.
    #[error("its unknown outcomes end by reversal only, and it does not reverse")]
    WayOut,
    /// The host cannot stand in a signature.
    #[error("the URL's host cannot be signed: {0}")]
    Unsignable(#[from] InvalidPart),
}

/// Where to connect, and under which name.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Host and port to connect to.
    pub(super) host: String,
    pub(super) port: u16,
    /// What stands in `Host` and in the signature.
    pub(super) authority: String,
    /// TLS, unless the line is plain to a loopback address.
    pub(super) tls: Option<Tls>,
}

/// What a TLS session to the institution needs.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

impl InstitutionRecord {
    /// Checks the parts that a line needs: for the operator's command, before the record is kept.
    ///
    /// # Errors
    /// [`RecordError`] says what to give instead.
    pub fn check(&self) -> Result<(), RecordError> {
        self.target().map(drop)
    }

    pub(super) fn target(&self) -> Result<Target, RecordError> {
        let uri: Uri = self.url.parse().map_err(|_| RecordError::Url)?;
        let bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let (Some(scheme), Some(authority), true) = (uri.scheme_str(), uri.authority(), bare)
        else {
            return Err(RecordError::Url);
        };
        if authority.as_str().contains('@') {
            return Err(RecordError::Url);
        }
        let default_port = match scheme {
            "https" => 443,
            "http" => 80,
            _ => return Err(RecordError::Url),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = if scheme == "https" {
            Some(self.tls(&host)?)
        } else if is_loopback(&host) {
            None
        } else {
            return Err(RecordError::PlainHttp);
        };
        Ok(Target {
            port: authority.port_u16().unwrap_or(default_port),
            authority: call::authority(authority.as_str(), default_port)?,
            host,
            tls,
        })
    }

    fn tls(&self, host: &str) -> Result<Tls, RecordError> {
        let Some(pem) = &self.ca_pem else {
            return Err(RecordError::Ca("there is no CA for https"));
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_reader_iter(BufReader::new(pem.as_bytes())) {
            let certificate = certificate.map_err(|_| RecordError::Ca("the CA is not PEM"))?;
            roots.add(certificate).map_err(|_| RecordError::Ca("the CA is no certificate"))?;
        }
        if roots.is_empty() {
            return Err(RecordError::Ca("the CA holds no certificate"));
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has the suites of TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from(host.to_owned()).map_err(|_| RecordError::Url)?;
        Ok(Tls { config: Arc::new(config), name })
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
pub(super) mod tests {
    use pos_protocol::key::SigningKey;

    use super::*;
    use crate::connectors::capabilities::WayOut;

    pub(in crate::connectors) fn record(url: &str, ca_pem: Option<&str>) -> InstitutionRecord {
        let key = |seed| SigningKey::from_seed(&[seed; 32]).public();
        InstitutionRecord {
            id: "sakura-card".parse().unwrap(),
            names: Names { en: "Sakura Card".into(), ja: "さくらカード".into() },
            url: url.into(),
            ca_pem: ca_pem.map(str::to_owned),
            verify_key: key(1),
            seal_root: key(2),
            seal_key_version: 0,
            enabled: true,
            capabilities: Capabilities { way_out: WayOut::Inquiry, ..Capabilities::none() },
        }
    }

    fn a_ca() -> String {
        let params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn a_url_names_host_and_port_and_nothing_else() {
        let target = |url: &str| record(url, Some(&a_ca())).target();
        let of = |url: &str| target(url).map(|to| (to.host, to.port, to.authority)).unwrap();
        let plain = |host: &str, port, authority: &str| (host.into(), port, authority.into());
        assert_eq!(of("https://Pay.Example"), plain("Pay.Example", 443, "pay.example"));
        assert_eq!(of("https://pay.example:443/"), plain("pay.example", 443, "pay.example"));
        assert_eq!(of("https://[::1]:8443"), plain("::1", 8443, "[::1]:8443"));
        assert_eq!(of("http://127.0.0.1:80"), plain("127.0.0.1", 80, "127.0.0.1"));
        for wrong in [
            "pay.example",
            "https://",
            "ftp://pay.example",
            "https://pay.example/v1",
            "https://pay.example/?a",
            "https://user@pay.example",
            "",
        ] {
            assert!(matches!(target(wrong), Err(RecordError::Url)), "{wrong}");
        }
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        for near in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"] {
            assert!(record(near, None).check().is_ok(), "{near}");
        }
        for far in ["http://pay.example", "http://10.0.0.1", "http://127.0.0.1.example"] {
            assert!(matches!(record(far, None).check(), Err(RecordError::PlainHttp)), "{far}");
        }
    }

    #[test]
    fn https_needs_a_ca_that_can_be_read() {
        let check = |pem: Option<&str>| record("https://pay.example", pem).check();
        assert!(check(Some(&a_ca())).is_ok());
        for wrong in [None, Some(""), Some("no pem at all")] {
            assert!(matches!(check(wrong), Err(RecordError::Ca(_))), "{wrong:?}");
        }
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(check(Some(broken)), Err(RecordError::Ca(_))));
    }
}
