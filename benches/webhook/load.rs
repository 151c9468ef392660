//! A client that asks over connections that it keeps, as an API server does (HTTP/1.1: `NextProtos` in
//! k8s.io/apiserver/pkg/util/webhook/client.go), each again as soon as it is answered.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use gpu_capgate::admission::certificates::Leaf;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The name that the server answers to.
const NAME: &str = "webhook.gpu-capgate.svc";
/// Longest answer, in bytes.
const ANSWER_LIMIT: usize = 64 * 1024;

/// A CA and the leaves that it signs.
pub(crate) struct Authority {
    pem: String,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// Who asks, and whom.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    connector: TlsConnector,
}

/// What asking came to.
pub(crate) struct Answered {
    /// How long each took; sorted.
    pub(crate) times: Vec<Duration>,
    /// Requests that got no answer, or another than 200.
    pub(crate) failed: usize,
    pub(crate) elapsed: Duration,
}

impl Authority {
    pub(crate) fn make() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    pub(crate) fn pem(&self) -> String {
        self.pem.clone()
    }

    pub(crate) fn leaf(&self) -> Leaf {
        let (chain, key) = self.sign();
        Leaf {
            chain: vec![chain.der().clone()],
            key: PrivateKeyDer::from(key),
        }
    }

    /// A certificate and its key.
    pub(crate) fn sign(&self) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([NAME.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    pub(crate) fn client(&self, address: SocketAddr) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Every connection a whole handshake: the server gives no tickets anyway.
        config.resumption = rustls::client::Resumption::disabled();
        Client {
            address,
            connector: TlsConnector::from(Arc::new(config)),
        }
    }
}

impl Answered {
    pub(crate) fn rate(&self) -> f64 {
        self.times.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// The time that so many in a thousand stay below, in microseconds.
    pub(crate) fn quantile(&self, per_mille: usize) -> f64 {
        quantile(&self.times, per_mille)
    }
}

/// The value that so many in a thousand of sorted times stay below, in microseconds.
pub(crate) fn quantile(times: &[Duration], per_mille: usize) -> f64 {
    let rank = (times.len() * per_mille / 1000).min(times.len().saturating_sub(1));
    times
        .get(rank)
        .map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}

impl Client {
    pub(crate) async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(NAME).unwrap();
        self.connector.connect(name, stream).await
    }

    /// Asks over so many connections for that long; they are open before the time begins. Each connection begins with
    /// another of the bodies.
    pub(crate) async fn ask(
        &self,
        connections: usize,
        bodies: &Arc<[Vec<u8>]>,
        time: Duration,
    ) -> Answered {
        let requests: Arc<[Vec<u8>]> = bodies.iter().map(|body| request(body)).collect();
        let opened = join_all((0..connections).map(|_| self.connect())).await;
        let begin = Instant::now();
        let asking = opened.into_iter().enumerate().map(|(number, stream)| {
            let (stream, requests) = (stream.unwrap(), Arc::clone(&requests));
            tokio::spawn(again_and_again(stream, requests, number, begin + time))
        });
        let asked = join_all(asking.collect::<Vec<_>>()).await;
        let elapsed = begin.elapsed();
        let (mut times, mut failed) = (Vec::new(), 0);
        for asked in asked {
            let (more, failures) = asked.unwrap();
            times.extend(more);
            failed += failures;
        }
        times.sort_unstable();
        Answered {
            times,
            failed,
            elapsed,
        }
    }

    /// A new connection for each request, for that long.
    pub(crate) async fn ask_anew(&self, body: &[u8], time: Duration) -> Answered {
        let (begin, mut failed, mut times) = (Instant::now(), 0, Vec::new());
        while begin.elapsed() < time {
            let asked = Instant::now();
            let once = async {
                let mut stream = self.connect().await?;
                exchange(&mut stream, &request(body)).await
            };
            match once.await {
                Ok(_) => times.push(asked.elapsed()),
                Err(_) => failed += 1,
            }
        }
        times.sort_unstable();
        Answered {
            times,
            failed,
            elapsed: begin.elapsed(),
        }
    }
}

async fn again_and_again(
    mut stream: TlsStream<TcpStream>,
    requests: Arc<[Vec<u8>]>,
    first: usize,
    end: Instant,
) -> (Vec<Duration>, usize) {
    let mut times = Vec::with_capacity(100_000);
    for request in requests.iter().cycle().skip(first) {
        let asked = Instant::now();
        if asked >= end {
            break;
        }
        if exchange(&mut stream, request).await.is_err() {
            return (times, 1);
        }
        times.push(asked.elapsed());
    }
    (times, 0)
}

pub(crate) fn request(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /validate?timeout=5s HTTP/1.1\r\nhost: {NAME}\r\ncontent-type: application/json\r\naccept: application/json\r\n\
         user-agent: kube-apiserver-admission\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// One request and its answer, which has to be 200; the answer's body.
pub(crate) async fn exchange(
    stream: &mut TlsStream<TcpStream>,
    request: &[u8],
) -> io::Result<Vec<u8>> {
    stream.write_all(request).await?;
    stream.flush().await?;
    let mut answer = Vec::with_capacity(4096);
    loop {
        if stream.read_buf(&mut answer).await? == 0 || answer.len() > ANSWER_LIMIT {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let text = String::from_utf8_lossy(&answer[..head]).to_lowercase();
        if !text.starts_with("http/1.1 200") {
            return Err(io::Error::other(text));
        }
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.and_then(|length| length.parse().ok()).unwrap();
        while answer.len() < head + 4 + length {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        return Ok(answer.split_off(head + 4));
    }
}
