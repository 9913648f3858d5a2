//! TLS: the certificate and its key, read from two PEM files and read again when they change.
//!
//! New connections get the new pair; those that exist keep theirs. A pair that cannot be used is told of once in the log, and
//! the old one stays.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    #[error("cannot read {path}: {source}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} holds no certificate in PEM form", path = .0.display())]
    NoCertificate(PathBuf),
    #[error("{path} holds no private key in PEM form", path = .0.display())]
    NoKey(PathBuf),
    #[error("the key in {key} does not belong to the certificate in {cert}", key = key.display(), cert = cert.display())]
    Mismatch { cert: PathBuf, key: PathBuf },
    #[error("{cert} and {key} cannot be used: {source}", key = key.display(), cert = cert.display())]
    Unusable { cert: PathBuf, key: PathBuf, source: rustls::Error },
}

/// The pair that new connections get.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// What tells whether a file is still the one that was read.
type Stamp = Option<(SystemTime, u64)>;

/// The server's side of TLS.
pub struct Tls {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
    provider: Arc<CryptoProvider>,
    cert: PathBuf,
    key: PathBuf,
    /// The files of which the pair, or the last failure, is.
    read: [Stamp; 2],
}

impl Tls {
    /// Reads the pair.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let provider = Arc::new(default_provider());
        let read = stamps(cert, key);
        let current = Arc::new(Current(RwLock::new(Arc::new(pair(cert, key, &provider)?))));
        let unusable = |source| TlsError::Unusable { cert: cert.to_owned(), key: key.to_owned(), source };
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Self { acceptor, current, provider, cert: cert.to_owned(), key: key.to_owned(), read })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// Reads the files again whenever they change. Never returns.
    pub(super) async fn follow(mut self) {
        let mut tick = tokio::time::interval(LOOK);
        let mut seen = self.read;
        loop {
            tick.tick().await;
            let looked = tokio::task::spawn_blocking(move || {
                self.look(&mut seen);
                (self, seen)
            });
            match looked.await {
                Ok(back) => (self, seen) = back,
                Err(error) => {
                    tracing::error!(%error, "certificates are not read again any more");
                    return;
                }
            }
        }
    }

    /// One look. Files that have changed are read when two looks find them alike: somebody may be writing them.
    fn look(&mut self, seen: &mut [Stamp; 2]) {
        let now = stamps(&self.cert, &self.key);
        let settled = now == std::mem::replace(seen, now);
        if now == self.read || !settled {
            return;
        }
        self.read = now;
        match pair(&self.cert, &self.key, &self.provider) {
            Ok(pair) => {
                *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair);
                tracing::info!(cert = %self.cert.display(), "a new certificate is in use");
            }
            Err(error) => tracing::error!(%error, "the new certificate cannot be used; the old one stays"),
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "certificates are no part of a unit")]
fn stamps(cert: &Path, key: &Path) -> [Stamp; 2] {
    [cert, key].map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

#[allow(clippy::disallowed_methods, reason = "certificates are no part of a unit")]
fn pair(cert: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let read = |path: &Path| std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source });
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(cert)?)
        .collect::<Result<_, _>>()
        .map_err(|_| TlsError::NoCertificate(cert.to_owned()))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(cert.to_owned()));
    }
    let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| TlsError::NoKey(key.to_owned()))?;
    CertifiedKey::from_der(chain, private, provider).map_err(|source| match source {
        rustls::Error::InconsistentKeys(_) => TlsError::Mismatch { cert: cert.to_owned(), key: key.to_owned() },
        source => TlsError::Unusable { cert: cert.to_owned(), key: key.to_owned(), source },
    })
}
