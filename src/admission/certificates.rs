//! The webhook's certificates: what it shows, how the API server comes to trust it, and how both are renewed.
//!
//! By default the webhook looks after itself (`own`). A CA stands in a Secret that the chart ships empty; the first
//! replica that finds it so fills it. Each replica signs a leaf for itself, in memory, for a week, and another when a
//! third of its life is left, when the wall clock has left it, or when there is another CA. The CA lasts ten years and
//! is renewed in its last third. To have another one at once, empty the Secret (or delete it and apply the chart
//! again): the new CA is announced beside the old one, leaves of it are shown once every API server has heard of it,
//! and the old one leaves the bundle a week later. What is no CA is replaced if the Secret is one that we filled
//! before; else it is somebody's, is left alone and named. While the Secret is not there the replicas go on with the CA
//! they have.
//!
//! Or certificate and key are files that somebody else renews (`files`).
//!
//! A replica is ready while what it shows chains to what stands in its registration: that is what the API server
//! verifies. The rights are `get` and `patch` on that one Secret and on that one registration (and on that one by which
//! Pods are steered, if they are), so nothing here ever creates an object. The time is passed in, and compared with the
//! wall clock at every look: a process that was paused, or whose clock was set, finds out within [`Rhythm::check`].

mod authority;
mod bundle;
mod files;
mod own;
mod registration;
mod secret;
mod shown;

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use time::OffsetDateTime;

pub use authority::{Leaf, NoAuthority};
pub use files::{Files, FilesError, keep_files};
pub use own::keep_own;
pub use shown::{CertificateCounts, Shown};

/// Name of our webhook within its configuration; further ones have a label before it.
const WEBHOOK: &str = "check.gpu-capgate.io";
/// A call that is not answered within that time is made again: nothing else would tell that its connection is dead.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Tells the time of day.
pub type Clock = Arc<dyn Fn() -> OffsetDateTime + Send + Sync>;

/// Who the webhook is in the cluster.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its namespace.
    pub namespace: String,
    /// Its Service, for whose name the certificate is made.
    pub service: String,
    /// The ValidatingWebhookConfiguration that registers it.
    pub configuration: String,
    /// The MutatingWebhookConfiguration by which it is asked to steer Pods, if it is to.
    pub steering: Option<String>,
}

/// Where the certificate comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// From a CA of our own, which stands in a Secret of that name.
    Own {
        /// The Secret.
        ca_secret: String,
    },
    /// From files.
    Files(Files),
}

/// How often is looked at what others may have changed.
#[derive(Debug, Clone, Copy)]
pub struct Rhythm {
    /// At Secret, registration and wall clock.
    pub check: Duration,
    /// After a failure, while not ready.
    pub retry: Duration,
    /// How long a CA is announced before it is used: until each API server has heard of it.
    pub settle: Duration,
    /// At mounted files.
    pub files: Duration,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self {
            check: Duration::from_secs(30),
            retry: Duration::from_secs(2),
            settle: Duration::from_secs(10),
            files: Duration::from_secs(5),
        }
    }
}

/// Why there is no trusted certificate yet.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The API server could not be asked, or refused.
    #[error("cannot {operation} {object}")]
    Api {
        /// What was tried.
        operation: &'static str,
        /// On which object.
        object: String,
        /// What came back.
        source: Box<kube::Error>,
    },
    /// The API server took a call and did not answer.
    #[error("the API server did not answer within {} s", CALL_TIMEOUT.as_secs())]
    NoAnswer,
    /// The Secret holds something that is no CA, and that we did not write.
    #[error(
        "Secret {secret} holds no usable CA; empty it (kubectl patch secret {secret} --type=json -p='[{{\"op\":\"remove\",\"path\":\"/data\"}}]') and a new one is made"
    )]
    Corrupt {
        /// The Secret.
        secret: String,
        /// What is wrong with it.
        source: NoAuthority,
    },
    /// The API server took a CA and holds something else.
    #[error(
        "Secret {secret} does not keep the CA that is written into it; look for whatever else writes there"
    )]
    NotKept {
        /// The Secret.
        secret: String,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// A certificate cannot be shown.
    #[error("cannot serve the certificate")]
    Serve(#[from] rustls::Error),
    /// The registration is there without our webhook.
    #[error(
        "ValidatingWebhookConfiguration {configuration} has no webhook {WEBHOOK}; install it with the chart"
    )]
    NotRegistered {
        /// The configuration.
        configuration: String,
    },
    /// What is shown does not chain to what the registration holds.
    #[error(
        "the caBundle in ValidatingWebhookConfiguration {configuration} does not vouch for the certificate that is served"
    )]
    NotTrusted {
        /// The configuration.
        configuration: String,
        /// What a client says to it.
        source: rustls::Error,
    },
}

impl CertificateError {
    fn api(operation: &'static str, object: String, source: kube::Error) -> Self {
        Self::Api {
            operation,
            object,
            source: Box::new(source),
        }
    }
}

impl Identity {
    /// The name under which the API server dials the webhook.
    ///
    /// # Errors
    /// Service and namespace give no DNS name.
    pub fn server_name(
        &self,
    ) -> Result<ServerName<'static>, rustls::pki_types::InvalidDnsNameError> {
        ServerName::try_from(format!("{}.{}.svc", self.service, self.namespace))
    }
}

/// Bounds what is asked of the API server.
async fn in_time<T>(
    calls: impl Future<Output = Result<T, CertificateError>>,
) -> Result<T, CertificateError> {
    tokio::time::timeout(CALL_TIMEOUT, calls)
        .await
        .map_err(|_| CertificateError::NoAnswer)?
}
