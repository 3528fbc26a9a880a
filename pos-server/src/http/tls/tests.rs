use axum::Router;
use axum::routing::get;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ProtocolVersion, SignatureScheme};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::*;
use crate::http::listener::{Limits, Listener, serve};
use crate::shutdown;

/// A folder with a certificate pair in it.
struct Files {
    _folder: tempfile::TempDir,
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new(pair: &Pair) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = Self {
            certificate: folder.path().join("cert.pem"),
            key: folder.path().join("key.pem"),
            _folder: folder,
        };
        files.put(&files.certificate, &pair.certificate);
        files.put(&files.key, &pair.key);
        files
    }

    /// Replaces a file as careful tools do, by a rename: a new inode each time.
    fn put(&self, path: &Path, text: &str) {
        let draft = path.with_extension("draft");
        fs::write(&draft, text).unwrap();
        fs::rename(draft, path).unwrap();
    }
}

struct Pair {
    certificate: String,
    key: String,
    der: Vec<u8>,
}

fn pair() -> Pair {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    Pair {
        certificate: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
        der: made.cert.der().to_vec(),
    }
}

/// Takes any certificate: the tests look at which one came, not at who signed it.
#[derive(Debug)]
struct AnyServer(CryptoProvider);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn connector() -> TlsConnector {
    let provider = aws_lc_rs::default_provider();
    let verifier = Arc::new(AnyServer(provider.clone()));
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// Makes one call over TLS; answers the certificate that was shown.
async fn certificate_shown_at(address: SocketAddr) -> Vec<u8> {
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = connector().connect(name, tcp).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.ends_with(b"hello"), "{}", String::from_utf8_lossy(&answer));
    let (_, session) = stream.get_ref();
    assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    session.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart() {
    let (old, new) = (pair(), pair());
    let files = Files::new(&old);
    let identity = TlsIdentity::load(&files.certificate, &files.key).unwrap();
    let identity = Arc::new(identity.looking_every(Duration::ZERO));
    let any = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(any, Some(identity)).await.unwrap();
    let address = listener.address();
    assert_eq!(listener.url(), format!("https://{address}"));
    let router = Router::new().route("/", get(|| async { "hello" }));
    let (_trigger, shutdown) = shutdown::channel();
    tokio::spawn(serve(listener, router, Limits::default(), shutdown));

    assert_eq!(certificate_shown_at(address).await, old.der);
    // Half of the new pair, and rubbish, leave the old one in use.
    files.put(&files.certificate, &new.certificate);
    assert_eq!(certificate_shown_at(address).await, old.der);
    files.put(&files.key, "rubbish");
    assert_eq!(certificate_shown_at(address).await, old.der);
    files.put(&files.key, &new.key);
    assert_eq!(certificate_shown_at(address).await, new.der);
}

#[test]
fn files_that_failed_are_read_again_though_nothing_of_them_changed() {
    let (old, new) = (pair(), pair());
    let files = Files::new(&old);
    let identity = TlsIdentity::load(&files.certificate, &files.key).unwrap();
    let identity = identity.looking_every(Duration::ZERO);
    files.put(&files.certificate, &new.certificate);
    files.put(&files.key, &new.key);
    // As after a look at which they could not be read.
    identity.last_look.lock().unwrap().failed = Some(identity.files.stamp());
    identity.follow_files();
    assert_eq!(identity.current.0.read().unwrap().cert[0].as_ref(), new.der);
    assert_eq!(identity.last_look.lock().unwrap().failed, None);
}

#[test]
fn files_that_do_not_work_are_named() {
    let (one, other) = (pair(), pair());
    let files = Files::new(&one);
    let refusal = || TlsIdentity::load(&files.certificate, &files.key).unwrap_err().to_string();
    files.put(&files.key, &other.key);
    assert!(refusal().contains("do not work together"), "{}", refusal());
    files.put(&files.key, "rubbish");
    assert!(refusal().contains("key.pem cannot be read"), "{}", refusal());
    files.put(&files.certificate, "rubbish");
    assert!(refusal().contains("cert.pem holds no certificate"), "{}", refusal());
    fs::remove_file(&files.certificate).unwrap();
    assert!(refusal().contains("cert.pem cannot be read"), "{}", refusal());
}
