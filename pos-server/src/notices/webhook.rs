//! Webhooks as they are sent: Standard Webhooks 1.0, signed by a key of the shop's own.
//!
//! Each shop has keys of its own, made from the server's seed and the shop's id, so that what one shop
//! was sent proves nothing to another.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_lc_rs::hmac;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use pos_protocol::Timestamp;
use pos_protocol::id::{NoticeId, ShopId};
use pos_protocol::webhook::{self, WebhookKey};
use rustls::crypto::aws_lc_rs as provider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::target::{InvalidUrl, Names, ResolveError, SystemNames, WebhookUrl};
use crate::data_folder::keys::SigningKeyPair;
use crate::store::rows::ChannelRow;

/// How long a receiver has for everything, from the name to the status.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// How long a key signs beside its successor.
pub const OVERLAP: Duration = Duration::from_secs(24 * 3600);

/// 32 octets from which every shop's webhook keys are made.
pub struct WebhookSeed(Zeroizing<[u8; 32]>);

impl WebhookSeed {
    /// The seed with these octets.
    pub fn from_octets(octets: [u8; 32]) -> Self {
        Self(Zeroizing::new(octets))
    }

    /// The octets, for the digest in a backup.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// A shop's key of this generation.
    fn key(&self, shop: ShopId, generation: u32) -> SigningKeyPair {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &*self.0);
        let mut context = hmac::Context::with_key(&key);
        context.update(b"pos-server/1 webhook key");
        context.update(shop.octets());
        context.update(&generation.to_be_bytes());
        let mut seed = Zeroizing::new([0; 32]);
        seed.copy_from_slice(context.sign().as_ref());
        SigningKeyPair::from_seed(&seed)
    }

    /// The keys that sign a shop's webhooks now, the newest first.
    pub fn keys(&self, shop: ShopId, channel: &ChannelRow, now: Timestamp) -> Vec<SigningKeyPair> {
        let newest = channel.key_generation;
        let older = newest.checked_sub(1);
        let older = older.filter(|_| channel.older_key_until.is_some_and(|until| now < until));
        [Some(newest), older].into_iter().flatten().map(|one| self.key(shop, one)).collect()
    }

    /// Their public halves.
    pub fn public_keys(
        &self,
        shop: ShopId,
        channel: &ChannelRow,
        now: Timestamp,
    ) -> Vec<WebhookKey> {
        self.keys(shop, channel, now).iter().map(|key| WebhookKey(key.public())).collect()
    }
}

impl std::fmt::Debug for WebhookSeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSeed([redacted])")
    }
}

/// Why a webhook was not taken.
#[derive(Debug, thiserror::Error)]
pub enum WebhookFault {
    /// No connection.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// The receiver wants no more: status 410.
    #[error("the receiver has gone")]
    Gone,
    /// The connection broke.
    #[error("the connection broke")]
    Line(#[source] hyper::Error),
    /// The name leads nowhere, or inside.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The receiver answered with another status than 2xx.
    #[error("the receiver answered with status {0}")]
    Status(u16),
    /// It took too long.
    #[error("the receiver took longer than 15 s")]
    TimedOut,
    /// No TLS to the receiver.
    #[error("no TLS 1.3 connection with a valid certificate")]
    Tls(#[source] io::Error),
    /// The settings have changed since the shop wrote the URL.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
}

/// Why webhooks cannot be sent at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the file must hold CA certificates in PEM")]
pub struct InvalidCa;

/// Sends webhooks.
#[derive(Debug)]
pub struct Webhooks {
    trusted: Vec<String>,
    extra: Vec<CertificateDer<'static>>,
    names: Box<dyn Names>,
    /// Made at the first use: the system's roots are many, and most servers start without a notice.
    tls: OnceLock<Arc<ClientConfig>>,
}

impl Webhooks {
    /// With the receivers that may be anywhere, and a CA beside the system's.
    ///
    /// # Errors
    /// [`InvalidCa`].
    pub fn new(trusted: Vec<String>, ca_pem: Option<&[u8]>) -> Result<Self, InvalidCa> {
        let extra = match ca_pem {
            None => Vec::new(),
            Some(pem) => {
                let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
                let read = read.map_err(|_| InvalidCa)?;
                if read.is_empty() {
                    return Err(InvalidCa);
                }
                read
            }
        };
        Ok(Self { trusted, extra, names: Box::new(SystemNames), tls: OnceLock::new() })
    }

    /// The URL as it may be used.
    ///
    /// # Errors
    /// [`InvalidUrl`].
    pub fn url(&self, text: &str) -> Result<WebhookUrl, InvalidUrl> {
        WebhookUrl::parse(text, &self.trusted)
    }

    /// Sends one notice and waits for the receiver's status. Redirects are not followed.
    ///
    /// # Errors
    /// [`WebhookFault`].
    pub async fn post(
        &self,
        url: &str,
        id: NoticeId,
        body: &str,
        keys: &[SigningKeyPair],
        now: Timestamp,
    ) -> Result<(), WebhookFault> {
        let url = self.url(url)?;
        let request = signed_request(&url, id, body, keys, now);
        let status = timeout(PATIENCE, self.exchange(&url, request)).await;
        match status.unwrap_or(Err(WebhookFault::TimedOut))? {
            status if status.is_success() => Ok(()),
            StatusCode::GONE => Err(WebhookFault::Gone),
            status => Err(WebhookFault::Status(status.as_u16())),
        }
    }

    async fn exchange(
        &self,
        url: &WebhookUrl,
        request: Request<Full<Bytes>>,
    ) -> Result<StatusCode, WebhookFault> {
        let addresses = url.resolve(&*self.names).await?;
        let tcp = TcpStream::connect(&*addresses).await.map_err(WebhookFault::Connect)?;
        tcp.set_nodelay(true).map_err(WebhookFault::Connect)?;
        let name = ServerName::try_from(url.host().to_owned()).map_err(|_| InvalidUrl::Host)?;
        let connector = TlsConnector::from(Arc::clone(self.tls()));
        let tls = connector.connect(name, tcp).await.map_err(WebhookFault::Tls)?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(tls)).await.map_err(WebhookFault::Line)?;
        // The status is all that counts: the body is left unread, and the line goes with it.
        tokio::select! {
            answer = sender.send_request(request) => {
                answer.map(|answer| answer.status()).map_err(WebhookFault::Line)
            }
            ended = connection => match ended {
                Err(cause) => Err(WebhookFault::Line(cause)),
                Ok(()) => Err(WebhookFault::Connect(io::ErrorKind::ConnectionAborted.into())),
            },
        }
    }

    fn tls(&self) -> &Arc<ClientConfig> {
        self.tls.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            // What of the system's cannot be read shows where a certificate does not verify.
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
            roots.add_parsable_certificates(self.extra.iter().cloned());
            let mut config =
                ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
                    .with_protocol_versions(&[&rustls::version::TLS13])
                    .expect("the provider has the suites of TLS 1.3")
                    .with_root_certificates(roots)
                    .with_no_client_auth();
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Arc::new(config)
        })
    }
}

fn signed_request(
    url: &WebhookUrl,
    id: NoticeId,
    body: &str,
    keys: &[SigningKeyPair],
    now: Timestamp,
) -> Request<Full<Bytes>> {
    let id = id.to_string();
    let octets = webhook::signed_octets(&id, now.as_secs(), body.as_bytes());
    let signatures: Vec<_> = keys.iter().map(|key| key.sign(&octets)).collect();
    let plain = |text: &str| HeaderValue::from_str(text).expect("ids and base64 are visible ASCII");
    let mut request = Request::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url.path().clone().into();
    let headers = request.headers_mut();
    headers.insert(HOST, plain(url.authority()));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("pos-server/", env!("CARGO_PKG_VERSION"))),
    );
    headers.insert(webhook::ID, plain(&id));
    headers.insert(webhook::TIMESTAMP, now.as_secs().into());
    headers.insert(webhook::SIGNATURE, plain(&webhook::signature_value(&signatures)));
    request
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::Mutex;

    use tokio::net::TcpListener;

    use super::super::target::Looking;
    use super::*;
    use crate::store::rows::Channel;

    /// Whoever rules a name may answer each look-up differently: here the last answer comes first.
    #[derive(Debug)]
    struct Rebinding(Arc<Mutex<Vec<Vec<SocketAddr>>>>);

    impl Names for Rebinding {
        fn look_up<'a>(&'a self, _host: &'a str, _port: u16) -> Looking<'a> {
            let next = self.0.lock().unwrap().pop();
            Box::pin(async move { next.ok_or_else(|| io::ErrorKind::NotFound.into()) })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_leads_outside_and_then_inside_is_looked_up_once() {
        let inside = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let within = inside.local_addr().unwrap();
        // Given out to nobody: whoever tries it gets nowhere.
        let outside = SocketAddr::from(([0x2a00, 0, 0, 0, 0, 0, 0, 1], 443));
        let answers = Arc::new(Mutex::new(Vec::new()));
        let names = Box::new(Rebinding(Arc::clone(&answers)));
        let webhooks = Webhooks { names, ..Webhooks::new(Vec::new(), None).unwrap() };
        let seed = WebhookSeed::from_octets([7; 32]);
        let key = seed.key(ShopId::from_octets([1; 16]), 0);
        let now = Timestamp::from_secs(1_795_000_000);
        let post = async |planned: &[&[SocketAddr]]| {
            *answers.lock().unwrap() = planned.iter().rev().map(|one| one.to_vec()).collect();
            let id = NoticeId::fresh(now, [0; 10]);
            let keys = std::slice::from_ref(&key);
            let fault = webhooks.post("https://shop.example/", id, "{}", keys, now).await;
            (fault.unwrap_err(), answers.lock().unwrap().len())
        };
        let (fault, left) = post(&[&[outside], &[within]]).await;
        assert!(matches!(fault, WebhookFault::Connect(_) | WebhookFault::TimedOut), "{fault}");
        assert_eq!(left, 1, "nobody asked a second time");
        for first in [&[within][..], &[outside, within], &[within, outside]] {
            let (fault, left) = post(&[first, &[outside]]).await;
            assert!(matches!(fault, WebhookFault::Resolve(ResolveError::NotPublic)), "{fault}");
            assert_eq!(left, 1);
        }
        let came = timeout(Duration::from_secs(1), inside.accept()).await;
        assert!(came.is_err(), "nobody came inside");
    }

    #[test]
    fn every_shop_and_every_generation_has_a_key_of_its_own() {
        let seed = WebhookSeed::from_octets([7; 32]);
        let now = Timestamp::from_secs(1_795_000_000);
        let channel = |key_generation, older_key_until| ChannelRow {
            channel: Channel::Webhook,
            target: "https://shop.example/".into(),
            language: Default::default(),
            key_generation,
            older_key_until,
            disabled_at: None,
        };
        let (ours, theirs) = (ShopId::from_octets([1; 16]), ShopId::from_octets([2; 16]));
        let keys =
            |shop, generation, until| seed.public_keys(shop, &channel(generation, until), now);
        let later = Some(now.plus(Duration::from_secs(1)));
        let first = keys(ours, 0, None);
        assert_eq!(first.len(), 1);
        assert_eq!(keys(ours, 0, later), first, "there is none before the first");
        assert_ne!(keys(theirs, 0, None), first);
        assert_eq!(keys(ours, 1, Some(now)).len(), 1, "its time is over");
        let both = keys(ours, 1, later);
        assert_eq!((both.len(), both[1]), (2, first[0]));
        assert_ne!(both[0], first[0]);
        let other = WebhookSeed::from_octets([8; 32]);
        assert_ne!(other.public_keys(ours, &channel(0, None), now), first);
    }
}
