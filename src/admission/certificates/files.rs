//! Certificate and key as files that somebody else renews, as a mounted Secret of cert-manager.
//!
//! They are read again and again and compared by content: the kubelet swaps a symbolic link, and what that means to a
//! watch of files depends on how they are mounted. Until there is a good pair the last good one is shown.

use std::io;
use std::path::{Path, PathBuf};

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::authority::{Leaf, Life};
use super::bundle::Bundle;
use super::registration::{Registration, Written};
use super::{CertificateError, Shown};
use crate::telemetry::with_causes;

/// Largest file that is read, in bytes: that of a Secret.
const FILE_LIMIT: u64 = 1024 * 1024;

/// Where certificate and key are.
#[derive(Debug, Clone)]
pub struct Files {
    /// The chain in PEM, the leaf first.
    pub certificate: PathBuf,
    /// The leaf's private key in PEM.
    pub key: PathBuf,
    /// CAs in PEM that are added to the caBundle of the registration; without it somebody else writes that.
    pub ca: Option<PathBuf>,
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// One cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// One is larger than any certificate.
    #[error("{} is larger than {FILE_LIMIT} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// One does not hold what it should.
    #[error("{} holds no {what} in PEM", path.display())]
    NoPem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// Each is good, and they do not belong together.
    #[error("the key in {} is not that of the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The key.
        key: PathBuf,
        /// The certificate.
        certificate: PathBuf,
        /// What rustls says to it.
        source: rustls::Error,
    },
    /// The certificate is not valid now.
    #[error("the certificate in {} is valid from {from} until {until}, and not now", path.display())]
    NotNow {
        /// The file.
        path: PathBuf,
        /// When it begins to be valid.
        from: OffsetDateTime,
        /// When it ends.
        until: OffsetDateTime,
    },
    /// It cannot be shown or announced.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// What the files hold.
#[derive(Clone, PartialEq, Eq)]
struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
    ca: Option<Vec<u8>>,
}

struct Reader {
    shown: Shown,
    files: Files,
    registration: Registration,
    /// What was shown last.
    good: Option<Content>,
    /// When the registration was looked at last.
    looked: Option<Instant>,
    /// What was complained of last: one line a change.
    complaint: String,
}

/// Keeps the certificate of those files shown, and trusted if a CA is among them, until `stop`.
pub async fn keep_files(shown: Shown, client: kube::Client, files: Files, stop: CancellationToken) {
    let pause = shown.rhythm.files;
    let mut reader = Reader {
        registration: Registration::new(&client, &shown.identity),
        shown,
        files,
        good: None,
        looked: None,
        complaint: String::new(),
    };
    while let Some(looked) = stop.run_until_cancelled(reader.look()).await {
        reader.tell(looked);
        let paused = stop.run_until_cancelled(tokio::time::sleep(pause));
        if paused.await.is_none() {
            break;
        }
    }
}

impl Reader {
    async fn look(&mut self) -> Result<(), FilesError> {
        let shown = self.look_at_files().await;
        let rhythm = self.shown.rhythm;
        let again = if self.shown.is_ready() {
            rhythm.check
        } else {
            rhythm.retry
        };
        let announced = match self.looked {
            Some(looked) if looked.elapsed() < again => Ok(()),
            Some(_) | None => self.look_at_registration().await,
        };
        shown.and(announced.map_err(FilesError::from))
    }

    /// Shows what the files hold if it is good and new.
    async fn look_at_files(&mut self) -> Result<(), FilesError> {
        let content = read(&self.files).await?;
        if self.good.as_ref() == Some(&content) {
            return Ok(());
        }
        let leaf = self.leaf(&content)?;
        self.shown.show(leaf)?;
        self.good = Some(content);
        self.looked = None;
        Ok(())
    }

    fn leaf(&self, content: &Content) -> Result<Leaf, FilesError> {
        let Files {
            certificate,
            key,
            ca,
        } = &self.files;
        let no = |path: &Path, what| FilesError::NoPem {
            path: path.to_owned(),
            what,
        };
        if let (Some(path), Some(bytes)) = (ca, &content.ca)
            && bundle(bytes).is_empty()
        {
            return Err(no(path, "certificate"));
        }
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(&content.certificate).collect();
        let chain = chain.map_err(|_| no(certificate, "certificate"))?;
        let first = chain
            .first()
            .ok_or_else(|| no(certificate, "certificate"))?;
        let life = Life::of(first).map_err(|_| no(certificate, "certificate"))?;
        let private = PrivateKeyDer::from_pem_slice(&content.key);
        let private = private.map_err(|_| no(key, "private key"))?;
        let now = self.shown.now();
        if !life.holds(now) {
            return Err(FilesError::NotNow {
                path: certificate.clone(),
                from: life.from,
                until: life.until,
            });
        }
        let provider = default_provider();
        CertifiedKey::from_der(chain.clone(), private.clone_key(), &provider).map_err(
            |source| FilesError::Mismatch {
                key: key.clone(),
                certificate: certificate.clone(),
                source,
            },
        )?;
        Ok(Leaf {
            chain,
            key: private,
        })
    }

    /// Makes the API server trust what is shown, as far as that is up to us.
    async fn look_at_registration(&mut self) -> Result<(), CertificateError> {
        let Some(good) = &self.good else {
            return Ok(());
        };
        self.looked = Some(Instant::now());
        let now = self.shown.now();
        let mut written = self.registration.read().await?;
        let announced = match &good.ca {
            Some(ca) => announce(&self.registration, &mut written, ca, now).await,
            None => Ok(()),
        };
        let judged = self.shown.judge(&written, now);
        announced.and(judged)
    }

    /// Logs what is wrong, once for each change of it.
    fn tell(&mut self, looked: Result<(), FilesError>) {
        let complaint = looked.map_or_else(|error| with_causes(&error), |()| String::new());
        if complaint == self.complaint {
            return;
        }
        if complaint.is_empty() {
            tracing::info!("the webhook's certificate is in order again");
        } else {
            self.shown.counts.failures.add();
            tracing::warn!(error = complaint, "the webhook's certificate needs care");
        }
        self.complaint = complaint;
    }
}

/// Adds CAs to those that are trusted already: other replicas may still read the files of before.
async fn announce(
    registration: &Registration,
    written: &mut Written,
    ca: &[u8],
    now: OffsetDateTime,
) -> Result<(), CertificateError> {
    let ours = bundle(ca);
    if written.bundles().all(|bundle| bundle.holds_all(&ours)) {
        return Ok(());
    }
    let mut wanted = ours;
    for bundle in written.bundles() {
        wanted = wanted.and_valid(&bundle, now);
    }
    *written = registration.write(written, &wanted).await?;
    Ok(())
}

fn bundle(pem: &[u8]) -> Bundle {
    Bundle::parse(&String::from_utf8_lossy(pem))
}

/// Reads all files, and again if they were swapped meanwhile. If they were swapped then too, the next look sees it.
async fn read(files: &Files) -> Result<Content, FilesError> {
    let first = read_all(files).await?;
    if read_one(&files.certificate).await? == first.certificate {
        return Ok(first);
    }
    read_all(files).await
}

async fn read_all(files: &Files) -> Result<Content, FilesError> {
    let certificate = read_one(&files.certificate).await?;
    let key = read_one(&files.key).await?;
    let ca = match &files.ca {
        Some(ca) => Some(read_one(ca).await?),
        None => None,
    };
    Ok(Content {
        certificate,
        key,
        ca,
    })
}

async fn read_one(path: &Path) -> Result<Vec<u8>, FilesError> {
    let failed = |source| FilesError::Read {
        path: path.to_owned(),
        source,
    };
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut bytes = Vec::new();
    let mut file = file.take(FILE_LIMIT + 1);
    file.read_to_end(&mut bytes).await.map_err(failed)?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(FilesError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(bytes)
}
