//! The server's TLS identity, read again when its files change.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use crate::telemetry::logs::chain;

/// Why certificate files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate file holds no certificate.
    #[error("{} holds no certificate: it must be PEM, the server's own certificate first", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A file is missing, not readable, or not PEM.
    #[error("{} cannot be read: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: pem::Error,
    },
    /// The key does not fit the certificate, or its kind is not supported.
    #[error("{} and {} do not work together: {cause}", certificate.display(), key.display())]
    Unusable {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What the TLS library said.
        #[source]
        cause: rustls::Error,
    },
}

impl TlsError {
    /// Whether this one file is at fault.
    pub fn is_about(&self, file: &Path) -> bool {
        match self {
            Self::Empty { path } | Self::Unreadable { path, .. } => path == file,
            Self::Unusable { .. } => false,
        }
    }
}

/// A certificate chain and its key, followed while their files change. TLS 1.3 only.
#[derive(Debug)]
pub struct TlsIdentity {
    files: IdentityFiles,
    config: Arc<ServerConfig>,
    current: Arc<CurrentKey>,
    look_every: Duration,
    last_look: Mutex<Look>,
}

impl TlsIdentity {
    /// Reads the files and checks that they belong together.
    ///
    /// # Errors
    /// [`TlsError`] says which file is at fault and why.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let files = IdentityFiles { certificate: certificate.into(), key: key.into() };
        let provider = Arc::new(aws_lc_rs::default_provider());
        // The stamp is taken before the files are read: a change in between is then seen later.
        let look = Look { at: Instant::now(), stamp: files.stamp(), failed: None };
        let current = Arc::new(CurrentKey(RwLock::new(Arc::new(files.read(&provider)?))));
        let resolver = Arc::clone(&current);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has the suites of TLS 1.3")
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            files,
            config: Arc::new(config),
            current,
            look_every: Duration::from_secs(1),
            last_look: Mutex::new(look),
        })
    }

    /// Looks at the files no more often than this (otherwise once a second).
    #[must_use]
    pub fn looking_every(self, look_every: Duration) -> Self {
        Self { look_every, ..self }
    }

    /// What accepts the next connection, after a look at the files when one is due. Connections
    /// drive the reload: without one there is nobody to show a new certificate to.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.follow_files();
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    fn follow_files(&self) {
        let mut last = self.last_look.lock().unwrap_or_else(PoisonError::into_inner);
        if last.at.elapsed() < self.look_every {
            return;
        }
        last.at = Instant::now();
        let stamp = self.files.stamp();
        if stamp == last.stamp {
            return;
        }
        let is_news = last.failed != Some(stamp);
        match self.files.read(self.config.crypto_provider()) {
            Ok(fresh) => {
                (last.stamp, last.failed) = (stamp, None);
                *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                info!(file = %self.files.certificate.display(), "the TLS certificate was renewed");
            }
            // Half of the pair may be new and the other half about to be, or a file not yet readable
            // for us: they are read again at every look until they work, and this is told once.
            Err(cause) => {
                last.failed = Some(stamp);
                if is_news {
                    warn!(
                        cause = %chain(&cause),
                        "the changed TLS files do not work; the old certificate stays in use"
                    );
                }
            }
        }
    }
}

#[derive(Debug)]
struct IdentityFiles {
    certificate: PathBuf,
    key: PathBuf,
}

/// What tells one state of a file from the next: inode, size, and when its octets and when anything
/// of it last changed, in seconds and nanoseconds. A copy may keep the former and not the latter.
type Stamp = Option<(u64, u64, [i64; 4])>;

impl IdentityFiles {
    fn stamp(&self) -> [Stamp; 2] {
        [&self.certificate, &self.key].map(|path| {
            let file = fs::metadata(path).ok()?;
            let changed = [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()];
            Some((file.ino(), file.size(), changed))
        })
    }

    fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let unreadable = |path: &PathBuf, cause| TlsError::Unreadable { path: path.clone(), cause };
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|cause| unreadable(&self.certificate, cause))?;
        if chain.is_empty() {
            return Err(TlsError::Empty { path: self.certificate.clone() });
        }
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|cause| unreadable(&self.key, cause))?;
        // A group may share it, as certificate tools arrange; everybody may not.
        if fs::metadata(&self.key).is_ok_and(|file| file.mode() & 0o007 != 0) {
            warn!(file = %self.key.display(), "the TLS key is open to everybody: run `chmod o= ` on it");
        }
        CertifiedKey::from_der(chain, key, provider).map_err(|cause| TlsError::Unusable {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            cause,
        })
    }
}

#[derive(Debug)]
struct Look {
    at: Instant,
    /// Of the files in use.
    stamp: [Stamp; 2],
    /// Of the last ones that did not work.
    failed: Option<[Stamp; 2]>,
}

#[derive(Debug)]
struct CurrentKey(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for CurrentKey {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

#[cfg(test)]
mod tests;
