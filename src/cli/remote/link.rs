//! The way to a server: its URL, and connections to it, plain or with TLS.
//!
//! A server's certificate must be signed by an authority that the machine trusts (`SSL_CERT_FILE` counts), or by one of a PEM
//! file that was named in their place, and must be made out for the host of the URL.

use std::io;
use std::path::Path;
use std::sync::Arc;

use http::Uri;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::super::error::Error;

/// What bytes go over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Where a server is, and how it is spoken to.
pub(super) struct Link {
    /// `http://host:port/path`, as it was given, without a slash at its end.
    base: String,
    host: String,
    port: u16,
    /// The host as names of certificates have it, and who may sign them. None: no TLS.
    tls: Option<(ServerName<'static>, TlsConnector)>,
}

impl Link {
    /// Reads a URL. `authorities`: a PEM file with those who may sign its certificate.
    pub(super) fn to(url: &str, authorities: Option<&Path>) -> Result<Self, Error> {
        let bad = || Error::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(bad()),
        };
        if uri.query().is_some() || url.contains(['#', '@']) {
            return Err(bad());
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(bad)?;
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tls = if secure {
            let name = ServerName::try_from(bare.clone()).map_err(|_| bad())?;
            Some((name, connector(authorities)?))
        } else {
            None
        };
        Ok(Self { base: url.trim_end_matches('/').to_owned(), host: bare, port, tls })
    }

    /// The URL of the unit, without a slash at its end.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Host and port as the header `Host` has them.
    pub(super) fn authority(&self) -> &str {
        self.base.split('/').nth(2).unwrap_or_default()
    }

    /// The path that the unit's URLs begin with; empty where there is none.
    pub(super) fn prefix(&self) -> &str {
        let after = self.base.find("://").map_or(0, |at| at + 3);
        self.base[after..].find('/').map_or("", |at| &self.base[after + at..])
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> Result<Box<dyn Stream>, Error> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(|source| Error::System { op: "connect to the server", source })?;
        let Some((name, connector)) = &self.tls else { return Ok(Box::new(stream)) };
        let stream = connector.connect(name.clone(), stream).await;
        Ok(Box::new(stream.map_err(|source| Error::Secure { server: self.authority().to_owned(), source })?))
    }
}

fn connector(authorities: Option<&Path>) -> Result<TlsConnector, Error> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(path) => {
            for certificate in read(path)? {
                roots.add(certificate).map_err(|_| Error::NoAuthorities(path.display().to_string()))?;
            }
            if roots.is_empty() {
                return Err(Error::NoAuthorities(path.display().to_string()));
            }
        }
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    if roots.is_empty() {
        return Err(Error::NoAuthorities("this machine".to_owned()));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("invariant: the provider has all versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[allow(clippy::disallowed_methods, reason = "a file of the person, not of a unit")]
fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let shown = || path.display().to_string();
    let text = std::fs::read(path).map_err(|source: io::Error| Error::File { op: "read", path: shown(), source })?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    certificates.map_err(|_| Error::NoAuthorities(shown()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_its_server_is() {
        for (url, host, port, authority, prefix) in [
            ("http://h", "h", 80, "h", ""),
            ("http://h:8080/", "h", 8080, "h:8080", ""),
            ("http://[::1]:8080/a/b/", "::1", 8080, "[::1]:8080", "/a/b"),
            ("http://[::1]", "::1", 80, "[::1]", ""),
            ("HTTP://h/x", "h", 80, "h", "/x"),
        ] {
            let link = Link::to(url, None).unwrap_or_else(|e| panic!("{url}: {e}"));
            assert_eq!((link.host.as_str(), link.port), (host, port), "{url}");
            assert_eq!((link.authority(), link.prefix()), (authority, prefix), "{url}");
        }
        for url in ["", "h:80", "ftp://h/", "http://", "http:///x", "http://u:p@h/", "http://h/?q", "http://h/#f"] {
            assert!(Link::to(url, None).is_err(), "{url}");
        }
    }
}
