//! Connecting: a name is looked up, every address is checked, and the connection goes to an address that was checked. There is no second
//! look-up, so a name that answers otherwise the second time changes nothing (DNS rebinding; checklist 159, 161).

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tower::Service;
use url::Host;

use super::FetchError;
use super::guard::Guard;
use super::lookup::{self, Lookups, Resolver};
use super::wire::Wire;
use crate::config::Fetch;
use crate::kernel::Fault;

/// For look-up, connection and handshake together.
const PATIENCE: Duration = Duration::from_secs(3);
/// For each of several addresses, so that one that swallows packets leaves time for another.
const ONE_OF_SEVERAL: Duration = Duration::from_secs(1);
/// Addresses of a name that are tried.
const TRIES: usize = 3;

/// Makes the connections.
#[derive(Clone)]
pub(super) struct Dialer {
    parts: Arc<Parts>,
    lookups: Lookups,
}

struct Parts {
    guard: Guard,
    tls: TlsConnector,
}

impl Dialer {
    pub(super) fn new(settings: &Fetch) -> Result<Self, Fault> {
        Self::looking_up(settings, lookup::system())
    }

    /// With another resolver.
    pub(super) fn looking_up(settings: &Fetch, resolver: Resolver) -> Result<Self, Fault> {
        let parts = Parts {
            guard: Guard::new(settings),
            tls: TlsConnector::from(Arc::new(tls(settings)?)),
        };
        Ok(Self {
            parts: Arc::new(parts),
            lookups: Lookups::over(resolver),
        })
    }

    /// The same with look-ups of its own: those of others are not in their way.
    pub(super) fn apart(&self) -> Self {
        Self {
            parts: self.parts.clone(),
            lookups: self.lookups.apart(),
        }
    }

    /// The addresses behind a host that may be connected to now; the first refusal where there is none.
    pub(super) async fn permitted(
        &self,
        host: Host<&str>,
        port: u16,
        https: bool,
    ) -> Result<Vec<SocketAddr>, FetchError> {
        let found = match host {
            Host::Ipv4(ip) => vec![IpAddr::V4(ip)],
            Host::Ipv6(ip) => vec![IpAddr::V6(ip)],
            Host::Domain(name) => self
                .lookups
                .find(name)
                .await
                .map_err(|_| FetchError::Name)?,
        };
        let mut refusal = FetchError::Name;
        let mut permitted = Vec::new();
        for ip in found.into_iter().rev() {
            match self.parts.guard.check(ip, port, https) {
                Ok(()) => permitted.insert(0, SocketAddr::new(ip, port)),
                Err(refused) => {
                    tracing::info!(address = %ip, port, cause = %refused, "an address is not connected to");
                    refusal = refused;
                }
            }
        }
        if permitted.is_empty() {
            Err(refusal)
        } else {
            Ok(permitted)
        }
    }

    async fn dial(self, uri: Uri) -> Result<TokioIo<Wire>, FetchError> {
        let dialed = timeout(PATIENCE, self.connect(&uri)).await;
        dialed.unwrap_or(Err(FetchError::Timeout)).map(TokioIo::new)
    }

    async fn connect(&self, uri: &Uri) -> Result<Wire, FetchError> {
        const NO_HOST: FetchError = FetchError::Url("an absolute URL");
        let https = uri.scheme_str() == Some("https");
        let host = uri.host().ok_or(NO_HOST)?;
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let parsed = Host::parse(host).map_err(|_| NO_HOST)?;
        let host = match &parsed {
            Host::Domain(name) => Host::Domain(name.as_str()),
            Host::Ipv4(ip) => Host::Ipv4(*ip),
            Host::Ipv6(ip) => Host::Ipv6(*ip),
        };
        let stream = reach(&self.permitted(host, port, https).await?).await?;
        let _ = stream.set_nodelay(true);
        if !https {
            return Ok(Wire::Plain(stream));
        }
        let name = match parsed {
            Host::Domain(name) => ServerName::try_from(name).map_err(|_| NO_HOST)?,
            Host::Ipv4(ip) => ServerName::from(IpAddr::V4(ip)),
            Host::Ipv6(ip) => ServerName::from(IpAddr::V6(ip)),
        };
        let greeted = self.parts.tls.connect(name, stream).await;
        let stream = greeted.map_err(|e| FetchError::Tls(e.to_string()))?;
        Ok(Wire::Tls(Box::new(stream)))
    }
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<Wire>;
    type Error = FetchError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, FetchError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().dial(uri))
    }
}

/// Connects to the first address that answers.
async fn reach(addresses: &[SocketAddr]) -> Result<TcpStream, FetchError> {
    let patience = if addresses.len() > 1 {
        ONE_OF_SEVERAL
    } else {
        PATIENCE
    };
    let mut failure = FetchError::Name;
    for address in addresses.iter().take(TRIES) {
        match timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(e)) => failure = FetchError::Connect(e.to_string()),
            Err(_) => failure = FetchError::Timeout,
        }
    }
    Err(failure)
}

/// TLS 1.2 and 1.3 against the system's roots and those that the settings add.
fn tls(settings: &Fetch) -> Result<ClientConfig, Fault> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    let (known, _) = roots.add_parsable_certificates(system.certs);
    if known == 0 {
        tracing::warn!(
            "the system has no root certificates (ca-certificates): nothing can be fetched by https beyond fetch.extra_roots"
        );
    }
    if let Some(file) = &settings.extra_roots {
        let wrong = |cause: &dyn std::fmt::Display| {
            let text = format!("fetch.extra_roots: {}: {cause}", file.display());
            Fault::internal("loading root certificates", text)
        };
        let certificates = CertificateDer::pem_file_iter(file).map_err(|e| wrong(&e))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|e| wrong(&e))?;
            roots.add(certificate).map_err(|e| wrong(&e))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|e| Fault::internal("setting TLS up", e))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
