//! The webhook's certificates: a CA of its own in a Secret, a leaf signed in memory, and the CA written where the API
//! server looks for it.
//!
//! The chart ships the Secret empty and names it in the rights, so nothing here ever creates an object. Of the
//! registration only `clientConfig.caBundle` is ever written.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use serde_json::json;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::lifecycle::ReadyToken;
use crate::telemetry::with_causes;

/// Name of our webhook within its configuration.
const WEBHOOK: &str = "check.gpu-capgate.io";
const CERTIFICATE_KEY: &str = "tls.crt";
const PRIVATE_KEY_KEY: &str = "tls.key";
const CA_LIFE: time::Duration = time::Duration::days(3650);
/// A new leaf is made at every start.
const LEAF_LIFE: time::Duration = time::Duration::days(365);
/// Clocks of two machines may differ by that much.
const CLOCK_SKEW: time::Duration = time::Duration::hours(1);
/// How often the registration is looked at: somebody may have replaced it.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_secs(2);
/// A call that is not answered within that time is made again: nothing else would tell that its connection is dead.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Who the webhook is in the cluster.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its namespace.
    pub namespace: String,
    /// Its Service, for whose name the certificate is made.
    pub service: String,
    /// The Secret that holds the CA.
    pub ca_secret: String,
    /// The ValidatingWebhookConfiguration that registers it.
    pub configuration: String,
}

/// Why there is no certificate yet.
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
    /// The Secret holds something that is no CA.
    #[error(
        "Secret {secret} holds no usable CA; empty it (kubectl patch secret {secret} --type=json -p='[{{\"op\":\"remove\",\"path\":\"/data\"}}]') and a new one is made"
    )]
    Corrupt {
        /// The Secret.
        secret: String,
        /// What is wrong with it.
        source: NoAuthority,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// The registration is there without our webhook.
    #[error(
        "ValidatingWebhookConfiguration {configuration} has no webhook {WEBHOOK}; install it with the chart"
    )]
    NotRegistered {
        /// The configuration.
        configuration: String,
    },
}

/// Why a certificate and a key are no CA.
#[derive(Debug, thiserror::Error)]
pub enum NoAuthority {
    /// One of them is not there or cannot be read.
    #[error(transparent)]
    Unreadable(#[from] rcgen::Error),
    /// Each is good, and they do not belong together.
    #[error("the private key is not the certificate's")]
    OtherKey,
}

/// The CA.
pub struct Authority {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What the server shows, and the key to it.
pub struct Leaf {
    /// The chain: the leaf alone, since the API server has the CA.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
}

impl Authority {
    /// A new CA, as certificate and private key in PEM.
    fn make() -> Result<(String, String), rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "gpu-capgate webhook CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        limit_life(&mut params, CA_LIFE);
        Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
    }

    fn load(certificate_pem: String, key_pem: &str) -> Result<Self, NoAuthority> {
        let key = KeyPair::from_pem(key_pem)?;
        // Nobody would trust what a stranger's key signs, and nothing but failing reviews would tell.
        if public_key(&certificate_pem)? != key.subject_public_key_info() {
            return Err(NoAuthority::OtherKey);
        }
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key)?;
        Ok(Self {
            certificate_pem,
            issuer,
        })
    }

    /// A certificate for a Service, by the name that the API server dials.
    ///
    /// # Errors
    /// The names are no DNS names.
    ///
    /// # Panics
    /// Never: a key that was just written is read back.
    pub fn sign(&self, identity: &Identity) -> Result<Leaf, rcgen::Error> {
        let key = KeyPair::generate()?;
        let name = format!("{}.{}.svc", identity.service, identity.namespace);
        let mut params = CertificateParams::new(vec![name.clone()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        limit_life(&mut params, LEAF_LIFE);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes())
            .expect("a key that was just written as PEM reads back");
        Ok(Leaf {
            chain: vec![certificate.der().clone()],
            key,
        })
    }
}

/// The public key that a certificate vouches for, as it stands there.
fn public_key(certificate_pem: &str) -> Result<Vec<u8>, rcgen::Error> {
    let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
        .map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
    let certificate = ParsedCertificate::try_from(&certificate)
        .map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
    Ok(certificate.subject_public_key_info().to_vec())
}

fn limit_life(params: &mut CertificateParams, life: time::Duration) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - CLOCK_SKEW;
    params.not_after = now + life;
}

/// The CA of all replicas: read from the Secret, or made and stored there if nobody has yet. Tries until it is there.
pub async fn authority(client: &kube::Client, identity: &Identity) -> Authority {
    loop {
        match in_time(try_authority(client, identity)).await {
            Ok(authority) => return authority,
            Err(error) => {
                tracing::warn!(error = with_causes(&error), retry_in = ?RETRY, "no certificate authority yet");
                tokio::time::sleep(RETRY).await;
            }
        }
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

async fn try_authority(
    client: &kube::Client,
    identity: &Identity,
) -> Result<Authority, CertificateError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &identity.namespace);
    let name = &identity.ca_secret;
    let failed = |operation| {
        move |source| CertificateError::Api {
            operation,
            object: format!("Secret {name}"),
            source: Box::new(source),
        }
    };
    let secret = secrets.get(name).await.map_err(failed("read"))?;
    if secret.data.as_ref().is_none_or(BTreeMap::is_empty) {
        let (certificate, key) = Authority::make()?;
        let encode = |pem: String| ByteString(pem.into_bytes());
        // The version makes this fail if another replica was faster; the next try reads what that one wrote.
        let patch = json!({
            "metadata": {"resourceVersion": secret.metadata.resource_version},
            "data": {CERTIFICATE_KEY: encode(certificate), PRIVATE_KEY_KEY: encode(key)},
        });
        secrets
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map_err(failed("fill"))?;
        tracing::info!(secret = name, "made a certificate authority");
        return Box::pin(try_authority(client, identity)).await;
    }
    let text = |key: &str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        bytes
            .map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned())
            .unwrap_or_default()
    };
    Authority::load(text(CERTIFICATE_KEY), &text(PRIVATE_KEY_KEY)).map_err(|source| {
        CertificateError::Corrupt {
            secret: name.clone(),
            source,
        }
    })
}

/// Keeps the CA in our registration until `stop`, also when the registration is deleted and made again.
pub async fn keep_registered(
    client: kube::Client,
    identity: Identity,
    authority_pem: String,
    ready: ReadyToken,
    stop: CancellationToken,
) {
    let mut ready = Some(ready);
    while !stop.is_cancelled() {
        let registered = in_time(register(&client, &identity, &authority_pem));
        let Some(registered) = stop.run_until_cancelled(registered).await else {
            break;
        };
        let wait = match registered {
            Ok(()) => {
                drop(ready.take());
                CHECK_INTERVAL
            }
            Err(error) => {
                tracing::warn!(
                    error = with_causes(&error),
                    "the API server does not trust this webhook yet"
                );
                if ready.is_some() {
                    RETRY
                } else {
                    CHECK_INTERVAL
                }
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn register(
    client: &kube::Client,
    identity: &Identity,
    pem: &str,
) -> Result<(), CertificateError> {
    let name = &identity.configuration;
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let failed = |operation| {
        move |source| CertificateError::Api {
            operation,
            object: format!("ValidatingWebhookConfiguration {name}"),
            source: Box::new(source),
        }
    };
    let configuration = configurations.get(name).await.map_err(failed("read"))?;
    let ours = configuration
        .webhooks
        .iter()
        .flatten()
        .find(|webhook| webhook.name == WEBHOOK);
    let Some(ours) = ours else {
        return Err(CertificateError::NotRegistered {
            configuration: name.clone(),
        });
    };
    let wanted = ByteString(pem.as_bytes().to_vec());
    if ours.client_config.ca_bundle.as_ref() == Some(&wanted) {
        return Ok(());
    }
    let patch = json!({"webhooks": [{"name": WEBHOOK, "clientConfig": {"caBundle": wanted}}]});
    configurations
        .patch(name, &PatchParams::default(), &Patch::Strategic(patch))
        .await
        .map_err(failed("write the CA into"))?;
    tracing::info!(
        configuration = name,
        "the API server now trusts this webhook"
    );
    Ok(())
}

impl Authority {
    /// The CA's certificate, as the API server wants it.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::{ServerName, UnixTime};

    use super::*;

    fn identity() -> Identity {
        Identity {
            namespace: "gpu-capgate".to_owned(),
            service: "webhook".to_owned(),
            ca_secret: "ca".to_owned(),
            configuration: "webhook".to_owned(),
        }
    }

    #[test]
    fn a_stored_authority_signs_leaves_that_its_certificate_vouches_for() {
        let (certificate, key) = Authority::make().unwrap();
        let authority = Authority::load(certificate.clone(), &key).unwrap();
        let leaf = authority.sign(&identity()).unwrap();
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap();
        let verify = |name: &'static str| {
            let name = ServerName::try_from(name).unwrap();
            verifier.verify_server_cert(&leaf.chain[0], &[], &name, &[], UnixTime::now())
        };
        assert!(verify("webhook.gpu-capgate.svc").is_ok());
        assert!(verify("other.gpu-capgate.svc").is_err());
    }

    #[test]
    fn what_is_no_authority_is_refused() {
        assert!(Authority::load("garbage".to_owned(), "garbage").is_err());
        assert!(Authority::load(String::new(), "").is_err());
    }
}
