//! The institution's TLS identity: a CA of its own, made at the first start, or given files.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Certificate files that somebody else made.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// What operators must trust.
    pub ca: PathBuf,
    /// The certificate chain.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A file is not PEM of the right kind.
    #[error("{} is not the PEM of {wanted}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
    },
    /// The certificate could not be made.
    #[error("the certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// Key and certificate do not fit.
    #[error("the certificate cannot be used: {0}")]
    Use(#[from] rustls::Error),
}

/// What accepts TLS, and what callers must trust.
#[derive(Clone)]
pub struct Tls {
    /// For every accepted connection.
    pub acceptor: TlsAcceptor,
    /// The CA in PEM.
    pub ca_pem: String,
}

impl Tls {
    /// From given files, or from those of `folder`, which are made at the first start for
    /// `localhost` and the loopback addresses.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn open(folder: &Path, given: Option<&TlsFiles>) -> Result<Self, TlsError> {
        let own = TlsFiles {
            ca: folder.join("ca.pem"),
            certificate: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
        };
        if given.is_none() && !own.key.exists() {
            make(folder, &own)?;
        }
        let files = given.unwrap_or(&own);
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(&read(&files.certificate)?).collect();
        let broken = |path: &Path, wanted| TlsError::Broken { path: path.into(), wanted };
        let chain = chain.map_err(|_| broken(&files.certificate, "certificates"))?;
        let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
            .map_err(|_| broken(&files.key, "a private key"))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let ca_pem =
            String::from_utf8(read(&files.ca)?).map_err(|_| broken(&files.ca, "certificates"))?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), ca_pem })
    }
}

fn make(folder: &Path, files: &TlsFiles) -> Result<(), TlsError> {
    let at = |path: &Path, cause| TlsError::File { path: path.into(), cause };
    fs::create_dir_all(folder).map_err(|cause| at(folder, cause))?;
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    ca.distinguished_name.push(DnType::CommonName, "Example institutions CA");
    let ca_key = KeyPair::generate()?;
    let ca_certificate = ca.self_signed(&ca_key)?;
    let names = ["localhost", "127.0.0.1", "::1"].map(String::from);
    let mut server = CertificateParams::new(names)?;
    server.distinguished_name.push(DnType::CommonName, "Example institution");
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &Issuer::new(ca, ca_key))?;
    let write = |path: &Path, text: String| fs::write(path, text).map_err(|cause| at(path, cause));
    write(&files.ca, ca_certificate.pem())?;
    write(&files.certificate, certificate.pem())?;
    // Last: its presence says that the others are whole.
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&files.key)
        .and_then(|mut file| file.write_all(key.serialize_pem().as_bytes()))
        .map_err(|cause| at(&files.key, cause))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|cause| TlsError::File { path: path.into(), cause })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_private_key_is_its_owners() {
        let folder = tempfile::tempdir().unwrap();
        Tls::open(folder.path(), None).unwrap();
        let mode = fs::metadata(folder.path().join("key.pem")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
