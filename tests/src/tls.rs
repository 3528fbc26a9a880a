//! The certificates of a bed: a CA of its own, and what it issues to the server.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ServerConfig};

use crate::error::BedError;

/// What a bed's server shows and what its clients believe, as PEM.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The CA, for clients.
    pub ca_pem: String,
    /// The server's own certificate, for loopback.
    pub certificate_pem: String,
    /// Its private key.
    pub key_pem: String,
}

impl Certificates {
    /// Makes a CA and a certificate for `127.0.0.1` and `localhost`.
    ///
    /// # Errors
    /// [`BedError::Certificate`].
    pub fn new() -> Result<Self, BedError> {
        Self::for_names(&["127.0.0.1", "localhost"])
    }

    /// Makes a CA and a certificate for these names.
    ///
    /// # Errors
    /// [`BedError::Certificate`].
    pub fn for_names(names: &[&str]) -> Result<Self, BedError> {
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.distinguished_name = named("pos test bed CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_pem = ca.self_signed(&ca_key)?.pem();

        let key = KeyPair::generate()?;
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut server = CertificateParams::new(names)?;
        server.distinguished_name = named("pos test bed server");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let certificate = server.signed_by(&key, &Issuer::new(ca, ca_key))?;
        Ok(Self { ca_pem, certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// A TLS client that believes `ca_pem` and nothing else.
///
/// # Errors
/// What is wrong with the PEM, as a sentence.
pub fn client_config(ca_pem: &str) -> Result<Arc<ClientConfig>, String> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        let certificate = certificate.map_err(|cause| cause.to_string())?;
        roots.add(certificate).map_err(|cause| cause.to_string())?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|cause| cause.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A TLS server that shows this certificate.
///
/// # Errors
/// What is wrong with the PEM, as a sentence.
pub fn server_config(certificate_pem: &str, key_pem: &str) -> Result<Arc<ServerConfig>, String> {
    let chain: Result<_, _> = CertificateDer::pem_slice_iter(certificate_pem.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|cause| cause.to_string())?
        .with_no_client_auth()
        .with_single_cert(
            chain.map_err(|cause| cause.to_string())?,
            key.map_err(|cause| cause.to_string())?,
        )
        .map_err(|cause| cause.to_string())?;
    Ok(Arc::new(config))
}
