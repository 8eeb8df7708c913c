//! TLS 1.2 and 1.3 by rustls; the certificate is read anew when its files change.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::Tls;
use crate::kernel::Fault;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(2);

/// Takes TLS connections with the present certificate.
pub(crate) struct Doorkeeper {
    files: Tls,
    present: RwLock<Present>,
}

struct Present {
    acceptor: TlsAcceptor,
    written_at: [Option<SystemTime>; 2],
}

impl Doorkeeper {
    /// With the certificate and key that the settings name; `None` where they name none. Fails where they can't be used.
    pub(crate) fn open(files: &Tls) -> Result<Option<Arc<Self>>, Fault> {
        if files.certificate.is_none() {
            return Ok(None);
        }
        Ok(Some(Arc::new(Self {
            present: RwLock::new(load(files)?),
            files: files.clone(),
        })))
    }

    /// The handshake, within `patience`.
    pub(super) async fn greet(
        &self,
        stream: TcpStream,
        patience: Duration,
    ) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = self
            .present
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .acceptor
            .clone();
        tokio::time::timeout(patience, acceptor.accept(stream)).await?
    }

    /// Follows the files for as long as the server runs. What can't be used is not: the certificate at hand stays.
    pub(crate) async fn follow(&self) {
        // The last that could not be used, so that it is complained of once.
        let mut bad = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let written_at = written_at(&self.files);
            let known = self
                .present
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .written_at;
            if written_at == known || bad == Some(written_at) {
                continue;
            }
            match load(&self.files) {
                Ok(fresh) => {
                    *self.present.write().unwrap_or_else(PoisonError::into_inner) = fresh;
                    tracing::info!("the certificate was read anew");
                }
                Err(fault) => {
                    bad = Some(written_at);
                    tracing::error!(cause = %fault, "the new certificate can't be used; the old one stays");
                }
            }
        }
    }
}

fn load(files: &Tls) -> Result<Present, Fault> {
    let (Some(certificate), Some(key)) = (&files.certificate, &files.key) else {
        return Err(Fault::internal(
            "loading the certificate",
            "tls.certificate and tls.key go together",
        ));
    };
    let wrong = |path: &Path, cause: &dyn std::fmt::Display| {
        let text = format!("{}: {cause}", path.display());
        Fault::internal("loading the certificate", text)
    };
    // Taken first: what is written while we read is read again.
    let written_at = written_at(files);
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|e| wrong(certificate, &e))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| wrong(key, &e))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(chain, private)
        })
        .map_err(|e| wrong(certificate, &e))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Present {
        acceptor: TlsAcceptor::from(Arc::new(config)),
        written_at,
    })
}

fn written_at(files: &Tls) -> [Option<SystemTime>; 2] {
    [&files.certificate, &files.key].map(|path| {
        let metadata = fs::metadata(path.as_ref()?).ok()?;
        metadata.modified().ok()
    })
}
