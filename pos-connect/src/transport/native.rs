//! Sending by reqwest over rustls with ring.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::{MAX_ANSWER, SendFailure};
use crate::config::{Config, ConfigError};
use crate::exchange::{Header, Request, Response};

/// A pool of connections to one server.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    client: reqwest::Client,
    origin: Arc<str>,
}

impl Sender {
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(config.ca_pem.as_deref())?)
            .http1_only()
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .no_proxy()
            .connect_timeout(config.connect_timeout)
            .pool_idle_timeout(Duration::from_secs(30))
            .tcp_nodelay(true)
            .user_agent(&config.user_agent);
        if let Some(url) = &config.proxy {
            let proxy = reqwest::Proxy::all(url).map_err(|_| ConfigError::Proxy)?;
            builder = builder.proxy(proxy);
        }
        let client = builder
            .build()
            .map_err(|cause| ConfigError::Certificates { reason: cause.to_string() })?;
        Ok(Self { client, origin: config.origin.as_str().into() })
    }

    pub(crate) async fn send(
        &self,
        request: &Request,
        timeout: Duration,
    ) -> Result<Response, SendFailure> {
        let url = format!("{}{}", self.origin, request.target);
        let mut message = match request.method {
            "POST" => self.client.post(url),
            _ => self.client.get(url),
        };
        for (name, value) in &request.headers {
            message = message.header(*name, value);
        }
        if !request.body.is_empty() {
            message = message.body(request.body.to_vec());
        }
        let answer = message.timeout(timeout).send().await.map_err(failure)?;
        read(answer).await
    }
}

async fn read(mut answer: reqwest::Response) -> Result<Response, SendFailure> {
    let status = answer.status().as_u16();
    let mut headers = Vec::new();
    for header in Header::ALL {
        let values = answer.headers().get_all(header.name());
        headers.extend(values.iter().map(|value| (header, value.as_bytes().to_vec())));
    }
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(failure)? {
        if body.len().saturating_add(piece.len()) > MAX_ANSWER {
            return Err(SendFailure::TooLarge);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Response { status, headers, body })
}

/// TLS 1.3 and 1.2 with ring, chosen here so that nothing is installed for the whole process.
fn tls(ca_pem: Option<&str>) -> Result<ClientConfig, ConfigError> {
    let unusable = |cause: rustls::Error| ConfigError::Certificates { reason: cause.to_string() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let Some(pem) = ca_pem else {
        let verifier = rustls_platform_verifier::Verifier::new(provider).map_err(unusable)?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        return Ok(builder.with_no_client_auth());
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate =
            certificate.map_err(|cause| ConfigError::Certificates { reason: cause.to_string() })?;
        roots.add(certificate).map_err(unusable)?;
    }
    if roots.is_empty() {
        return Err(ConfigError::Certificates { reason: "the PEM text holds none".to_owned() });
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn failure(cause: reqwest::Error) -> SendFailure {
    // The address may hold ids and goes into logs of others; the code and the key say enough.
    let cause = cause.without_url();
    if is_tls(&cause) {
        SendFailure::Untrusted(cause)
    } else if cause.is_connect() {
        SendFailure::Connect(cause)
    } else if cause.is_timeout() {
        SendFailure::Timeout
    } else {
        SendFailure::Broken(cause)
    }
}

/// Whether TLS itself refused the server while the connection was made.
fn is_tls(cause: &reqwest::Error) -> bool {
    let tls = cause.source().and_then(tls_below);
    cause.is_connect() && matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}

/// The error of TLS in a chain. An I/O error tells of what it wraps by another way than as its
/// source, and several may lie within each other.
fn tls_below<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error
        .downcast_ref::<rustls::Error>()
        .or_else(|| wrapped.and_then(|wrapped| tls_below(wrapped)))
        .or_else(|| error.source().and_then(tls_below))
}
