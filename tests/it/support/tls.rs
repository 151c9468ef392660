//! A client that speaks TLS, and certificates for it to judge.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use gpu_capgate::admission::certificates::Leaf;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use time::{Duration, OffsetDateTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::within;

/// The name that an API server dials.
pub(crate) const NAME: &str = "webhook.gpu-capgate.svc";

/// A CA that the test signs with.
pub(crate) struct TestAuthority {
    pub(crate) pem: String,
    pub(crate) key_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl TestAuthority {
    /// A CA that was made so many days ago and lasts ten years.
    pub(crate) fn made_days_ago(days: i64) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = OffsetDateTime::now_utc() - Duration::days(days);
        params.not_after = params.not_before + Duration::days(3650);
        let key = KeyPair::generate().unwrap();
        Self {
            pem: params.self_signed(&key).unwrap().pem(),
            key_pem: key.serialize_pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A leaf for [`NAME`] that is valid for so many days from now, and its key, both in PEM.
    pub(crate) fn sign(&self, days: i64) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
        params.not_before = OffsetDateTime::now_utc() - Duration::days(30);
        params.not_after = OffsetDateTime::now_utc() + Duration::days(days);
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        (leaf.pem(), key.serialize_pem())
    }

    /// The same for the server.
    pub(crate) fn leaf(&self) -> Leaf {
        let (leaf, key) = self.sign(30);
        Leaf {
            chain: certificates(&leaf),
            key: rustls::pki_types::PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        }
    }
}

/// The certificates of a text in PEM.
pub(crate) fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(Result::unwrap)
        .collect()
}

/// Connects under a name, trusting those CAs (PEM), with one protocol on offer.
pub(crate) async fn connect(
    address: SocketAddr,
    authorities: &str,
    name: &str,
    protocol: &str,
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(authorities) {
        roots.add(authority).unwrap();
    }
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
    within("a handshake", handshake).await
}
