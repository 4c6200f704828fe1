//! TLS for outgoing requests: whom to trust, decided once per process.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wasmtime_wasi_http::Error;

use crate::config::TlsRoots;
use crate::http::error;

/// What https needs. Root certificates are read when the first request needs them.
pub(crate) struct Tls {
    roots: TlsRoots,
    config: OnceCell<Arc<ClientConfig>>,
}

impl Tls {
    pub(crate) fn new(roots: TlsRoots) -> Arc<Self> {
        Arc::new(Self { roots, config: OnceCell::new() })
    }

    /// Whom a certificate has to be for.
    pub(super) fn server(&self, host: &str) -> Result<ServerName<'static>, Error> {
        // A name's final dot is no part of it in a certificate.
        let name = host.strip_suffix('.').unwrap_or(host).to_owned();
        ServerName::try_from(name).map_err(|_| Error::HttpRequestUriInvalid)
    }

    pub(super) async fn connect<S>(&self, server: ServerName<'static>, stream: S) -> Result<TlsStream<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.config.get_or_try_init(|| self.configure()).await?;
        let connecting = TlsConnector::from(Arc::clone(config)).connect(server, stream);
        connecting.await.map_err(|failure| error::of_tls(&failure))
    }

    async fn configure(&self) -> Result<Arc<ClientConfig>, Error> {
        let roots = match &self.roots {
            TlsRoots::Host => host_roots().await?,
            TlsRoots::Certificates(certificates) => {
                store(certificates.iter().map(|der| CertificateDer::from(der.clone())))
            }
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|failure| Error::InternalError(Some(failure.to_string())))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// The host's root certificates: files, so not on a thread that runs guests.
async fn host_roots() -> Result<RootCertStore, Error> {
    let failed = |reason: String| Error::InternalError(Some(format!("no root certificates for https: {reason}")));
    let loading = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs);
    let loaded = loading.await.map_err(|failure| failed(failure.to_string()))?;
    let roots = store(loaded.certs);
    if roots.is_empty() {
        let reasons: Vec<String> = loaded.errors.iter().map(ToString::to_string).collect();
        let reason = if reasons.is_empty() { "the host has none".to_owned() } else { reasons.join(", ") };
        tracing::warn!(reason, "https requests of guests fail: no root certificates");
        return Err(failed(reason));
    }
    Ok(roots)
}

fn store(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // One that cannot be read is as good as none: whoever is signed by it is not trusted.
    roots.add_parsable_certificates(certificates);
    roots
}
