//! TLS of our own, and of the link to PostgreSQL.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use doorward::config::Config;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CertifiedKey, IsCa, KeyPair,
    generate_simple_self_signed,
};
use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::cluster::OwnCluster;
use crate::support::{Server, Wire, command, eventually};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("doorward-tls-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a new certificate for localhost, and gives it.
    fn renew(&self) -> CertificateDer<'static> {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        fs::write(self.0.join("key.pem"), signing_key.serialize_pem()).unwrap();
        fs::write(self.0.join("chain.pem"), cert.pem()).unwrap();
        cert.der().clone()
    }

    fn settings(&self) -> impl FnOnce(&mut Config) {
        let folder = self.0.clone();
        move |config| {
            let issuer = config.issuer.as_str().replace("http:", "https:");
            config.issuer = issuer.parse().unwrap();
            config.tls.certificate = Some(folder.join("chain.pem"));
            config.tls.key = Some(folder.join("key.pem"));
            config.http.header_timeout = "1s".parse().unwrap();
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(Path::new(&self.0));
    }
}

/// `GET /healthz` by somebody who trusts this certificate and speaks this version; the whole answer.
async fn ask(
    server: &Server,
    trusted: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let port = server.url.rsplit(':').next().unwrap();
    let stream = TcpStream::connect(format!("127.0.0.1:{port}")).await?;
    let name = "localhost".try_into().unwrap();
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    Ok(answer)
}

#[tokio::test]
async fn tls_is_switched_on_and_pins_itself() {
    // S-170, S-171
    let folder = Folder::new("on");
    let certificate = folder.renew();
    let server = Server::with(folder.settings()).await;
    for version in [&TLS13, &TLS12] {
        let answer = ask(&server, &certificate, version).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(
            answer.contains("strict-transport-security: max-age=63072000; includeSubDomains"),
            "{answer}"
        );
    }

    // Plain HTTP is refused, not redirected.
    let mut plain = Wire::open(&server).await;
    plain
        .send("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    let said = plain.read_to_close(Duration::from_secs(5)).await;
    assert!(!said.contains("HTTP/1.1"), "{said}");
    // Whoever says nothing does not hold the place.
    let mut silent = Wire::open(&server).await;
    silent.read_to_close(Duration::from_secs(5)).await;
}

/// A hello of this version that offers one suite.
fn hello(version: [u8; 2], suite: [u8; 2]) -> Vec<u8> {
    let groups = [0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0];
    let mut body = [&version[..], &[7; 32], &[0], &[0, 2], &suite, &[1, 0]].concat();
    body.extend([0, groups.len() as u8]);
    body.extend(groups);
    let mut hello = vec![1, 0, 0, body.len() as u8];
    hello.extend(body);
    let mut record = vec![22, 3, 1, 0, hello.len() as u8];
    record.extend(hello);
    record
}

#[tokio::test]
async fn old_versions_and_suites_are_refused() {
    // S-170: what scanners try.
    let folder = Folder::new("old");
    folder.renew();
    let server = Server::with(folder.settings()).await;
    for (version, suite) in [
        ([3, 0], [0xc0, 0x13]),
        ([3, 1], [0xc0, 0x13]),
        ([3, 2], [0xc0, 0x13]),
        // TLS 1.2 with CBC, with RSA key exchange, with RC4.
        ([3, 3], [0xc0, 0x13]),
        ([3, 3], [0x00, 0x9c]),
        ([3, 3], [0xc0, 0x11]),
    ] {
        let port = server.url.rsplit(':').next().unwrap();
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}"))
            .await
            .unwrap();
        stream.write_all(&hello(version, suite)).await.unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
        assert_eq!(
            said.first(),
            Some(&21),
            "{version:?} {suite:?}: an alert, not {said:?}"
        );
        assert_eq!(said.get(5), Some(&2), "{version:?} {suite:?}: a fatal one");
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_up_and_a_broken_one_is_not() {
    let folder = Folder::new("renewed");
    let first = folder.renew();
    let server = Server::with(folder.settings()).await;
    assert!(ask(&server, &first, &TLS13).await.is_ok());
    let second = folder.renew();
    eventually(
        Duration::from_secs(10),
        "the new one is shown",
        async || ask(&server, &second, &TLS13).await.is_ok(),
    )
    .await;
    assert!(ask(&server, &first, &TLS13).await.is_err());

    fs::write(folder.0.join("chain.pem"), "broken").unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(ask(&server, &second, &TLS13).await.is_ok(), "the old stays");
    let third = folder.renew();
    eventually(Duration::from_secs(10), "the next is shown", async || {
        ask(&server, &third, &TLS13).await.is_ok()
    })
    .await;
}

/// An authority with its certificate in a file.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = folder.join(name).with_extension("pem");
        fs::write(&file, issuer.as_ref().pem()).unwrap();
        Self { issuer, file }
    }

    /// Writes a certificate for this host, and its key, where PostgreSQL reads them; gives both files.
    fn certify(&self, host: &str, cluster: &OwnCluster) -> [String; 2] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let owner = fs::metadata(&cluster.folder).unwrap();
        [("crt", certificate.pem()), ("key", key.serialize_pem())].map(|(kind, text)| {
            let file = cluster.folder.join(format!("{host}.{kind}"));
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
            file.display().to_string()
        })
    }
}

/// Whether `doorward migrate` reaches `localhost`'s database so.
async fn reaches(cluster: &OwnCluster, mode: &str, trusted: &Authority) -> bool {
    let url = format!(
        "postgres://postgres@localhost:{}/postgres?sslmode={mode}&sslrootcert={}",
        cluster.port,
        trusted.file.display()
    );
    let keys = trusted.file.parent().unwrap();
    command::run(&["migrate"], "", &url, keys).await.status == 0
}

#[tokio::test]
async fn the_link_to_postgresql_reaches_the_server_that_was_named_or_nobody() {
    // S-172
    let folder = Folder::new("link");
    let cluster = OwnCluster::start("tls");
    let [ours, theirs] = ["ours", "theirs"].map(|name| Authority::new(&folder.0, name));
    let [right, right_key] = ours.certify("localhost", &cluster);
    let [wrong, wrong_key] = ours.certify("elsewhere.example", &cluster);

    // Without TLS: PostgreSQL would let us in, who asked for TLS does not go in.
    assert!(reaches(&cluster, "disable", &ours).await);
    for mode in ["require", "verify-full"] {
        assert!(!reaches(&cluster, mode, &ours).await, "{mode} without TLS");
    }

    let files = [("ssl_cert_file", &*right), ("ssl_key_file", &*right_key)];
    cluster.set(&[files[0], files[1], ("ssl", "on")]).await;
    for mode in ["require", "verify-full"] {
        assert!(reaches(&cluster, mode, &ours).await, "{mode}, the right");
        assert!(
            !reaches(&cluster, mode, &theirs).await,
            "{mode}, a stranger"
        );
    }

    let files = [("ssl_cert_file", &*wrong), ("ssl_key_file", &*wrong_key)];
    cluster.set(&files).await;
    for mode in ["require", "verify-full"] {
        assert!(!reaches(&cluster, mode, &ours).await, "{mode}, wrong name");
    }
}
