//! TLS and proxies, over real sockets.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a test may panic")]

mod support;

use std::sync::Arc;

use pos_connect::journal::MemoryJournal;
use pos_connect::keys::{MemoryKeyStore, Seed, StoredKeys};
use pos_connect::{Config, Connection, Error, ErrorKind, Setup, Sockets};
use serde_json::json;
use support::*;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

async fn open(server: &Server, config: Config) -> Result<Connection, Error> {
    open_with(server, config, |setup| setup).await
}

async fn open_with(
    server: &Server,
    config: Config,
    change: impl FnOnce(Setup) -> Setup,
) -> Result<Connection, Error> {
    let mut keys = StoredKeys::new(Seed::new(Zeroizing::new([1; 32])), server.pin());
    keys.shop_id = Some(SHOP.parse().unwrap());
    server.know(&keys.module_key.key().public());
    let keys = Arc::new(MemoryKeyStore::holding(keys));
    let setup = Setup::new(config, keys, Arc::<MemoryJournal>::default());
    Connection::open(change(setup.with_environment(Arc::<Hurried>::default()))).await
}

fn no_keys(_: &Heard) -> Reply {
    Reply::Says(200, json!({ "keys": [] }))
}

/// A server's certificate for `localhost`, and the root that vouches for it as PEM.
fn certified() -> (TlsAcceptor, String) {
    let root_key = rcgen::KeyPair::generate().unwrap();
    let mut root = rcgen::CertificateParams::new(Vec::new()).unwrap();
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root_certificate = root.self_signed(&root_key).unwrap();
    let issuer = rcgen::Issuer::new(root, root_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), root_certificate.pem())
}

#[tokio::test]
async fn connections_of_the_same_settings_share_sockets() {
    let (acceptor, ca_pem) = certified();
    let server = Server::start_tls(acceptor, no_keys).await;
    let config = || server.config().with_ca_pem(&*ca_pem);
    let sockets = Sockets::default();
    let mut accepted = Vec::new();
    for config in [config(), config(), config().with_user_agent("a shop").unwrap(), config()] {
        let line = open_with(&server, config, |setup| setup.with_sockets(&sockets)).await.unwrap();
        line.list_keys().await.unwrap();
        accepted.push(server.state.lock().unwrap().connections);
        // The socket is given back by a task of its own, and this runtime has one thread: once all others wait for
        // something outside, it was.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    open(&server, config()).await.unwrap().list_keys().await.unwrap();
    accepted.push(server.state.lock().unwrap().connections);
    assert_eq!(accepted, [1, 1, 2, 2, 3]);
    let proxied = server.config().with_proxy("http://shop:secret@127.0.0.1:1");
    let proxied = open_with(&server, proxied, |setup| setup.with_sockets(&sockets)).await.unwrap();
    assert!(!format!("{sockets:?}{proxied:?}").contains("secret"));
    // Another root is another belief, whatever is open.
    let (_, other_pem) = certified();
    let other = server.config().with_ca_pem(other_pem);
    let other = open_with(&server, other, |setup| setup.with_sockets(&sockets)).await.unwrap();
    assert!(other.list_keys().await.is_err());
    // Of more settings than are kept, the oldest is let go, and made again.
    for number in 0..20 {
        let config = config().with_user_agent(format!("shop {number}")).unwrap();
        open_with(&server, config, |setup| setup.with_sockets(&sockets)).await.unwrap();
    }
    let again = open_with(&server, config(), |setup| setup.with_sockets(&sockets)).await.unwrap();
    again.list_keys().await.unwrap();
    assert_eq!(server.state.lock().unwrap().connections, 4);
}

#[tokio::test]
async fn tls_is_trusted_by_the_given_root_alone() {
    let (acceptor, ca_pem) = certified();
    let server = Server::start_tls(acceptor, no_keys).await;
    let connection = open(&server, server.config().with_ca_pem(ca_pem)).await.unwrap();
    connection.list_keys().await.unwrap();

    let (_, other_pem) = certified();
    let connection = open(&server, server.config().with_ca_pem(other_pem)).await.unwrap();
    let error = connection.list_keys().await.unwrap_err();
    assert_eq!((error.kind(), error.code().as_str()), (ErrorKind::GiveUp, "server_not_trusted"));
    let error = connection.pay(&order("order-1"), None).await.unwrap_err();
    assert_eq!(error.code().as_str(), "server_not_trusted", "nothing was sent");
}

#[tokio::test]
async fn one_version_of_tls_is_offered() {
    use tokio::io::AsyncReadExt as _;
    let (_, ca_pem) = certified();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let hello = tokio::spawn(async move {
        let mut piece = [0; 4096];
        let (mut stream, _) = listener.accept().await.unwrap();
        let length = stream.read(&mut piece).await.unwrap();
        piece[..length].to_vec()
    });
    let server = Server::start(no_keys).await;
    let config = Config::new(&url).unwrap().with_ca_pem(ca_pem);
    let error = open(&server, config).await.unwrap().list_keys().await.unwrap_err();
    assert_eq!(error.code().as_str(), "server_unreachable");
    // RFC 8446, section 4.2.1: the extension `supported_versions` (43) with its one version, 0x0304.
    let versions = [0, 43, 0, 3, 2, 3, 4];
    assert!(hello.await.unwrap().windows(7).any(|octets| octets == versions));
}

#[tokio::test]
async fn a_ca_that_is_none_is_refused_at_once() {
    let server = Server::start(no_keys).await;
    for pem in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "garbage"] {
        let error = open(&server, server.config().with_ca_pem(pem)).await.unwrap_err();
        assert_eq!(error.code().as_str(), "configuration", "{pem}");
        assert_eq!(error.kind(), ErrorKind::FixTheRequest);
    }
}

#[tokio::test]
async fn the_proxy_is_the_one_that_is_named_and_no_other() {
    let behind = Server::start(no_keys).await;
    // Stands where the proxy is, and answers as one that does not let anybody through.
    let proxy = proxy_that_says(http(502, &[], b"<html>")).await;
    let named = proxy.0.replace("http://", "http://shop:se%20cret@");
    let config = behind.config().with_proxy(named);
    let error = open(&behind, config).await.unwrap().list_keys().await.unwrap_err();
    assert_eq!((error.kind(), error.code().as_str()), (ErrorKind::Wait, "server_unreachable"));
    assert!(behind.heard().is_empty(), "nothing went around the proxy");
    let asked = proxy.1.lock().unwrap()[0].clone();
    let server = behind.url.strip_prefix("http://").unwrap();
    assert!(asked.starts_with(&format!("CONNECT {server} HTTP/1.1\r\n")), "{asked}");
    // `shop:se cret` in Base64.
    assert!(asked.contains("roxy-Authorization: Basic c2hvcDpzZSBjcmV0\r\n"), "{asked}");
    for url in ["not a url", "socks5://127.0.0.1:1080", "https://proxy.example"] {
        let wrong = open(&behind, behind.config().with_proxy(url)).await.unwrap_err();
        assert_eq!(wrong.code().as_str(), "configuration", "{url}");
    }
}

type Asked = Arc<std::sync::Mutex<Vec<String>>>;

async fn proxy_that_says(answer: Vec<u8>) -> (String, Asked) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Asked::default();
    let heard = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut piece = [0; 4096];
            let length = stream.read(&mut piece).await.unwrap_or(0);
            let line = String::from_utf8_lossy(&piece[..length]).into_owned();
            heard.lock().unwrap().push(line);
            let _ = stream.write_all(&answer).await;
        }
    });
    (url, asked)
}
