//! The Secret that holds the CA of all replicas: read, filled once, renewed. It is there already; nothing creates it.
//!
//! `tls.crt` and `tls.key` are the CA, `ca.crt` is the bundle of all CAs to trust: that one, and those before it for as
//! long as a leaf of theirs may be in use. Each write names the version that was read, so of two replicas that renew at
//! once one fails and takes what the other wrote.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use time::OffsetDateTime;

use super::authority::{Authority, CLOCK_SKEW, LEAF_LIFE, NoAuthority};
use super::bundle::Bundle;
use super::{CertificateError, in_time};

const CERTIFICATE_KEY: &str = "tls.crt";
const PRIVATE_KEY_KEY: &str = "tls.key";
const BUNDLE_KEY: &str = "ca.crt";
/// Set on a Secret when we fill it: whatever stands in such a Secret may be replaced. In any other, what is not
/// understood is somebody's, and stays.
const OURS: &str = "gpu-capgate.io/certificate-authority";

/// The CA of all replicas.
pub(super) struct Stored {
    pub(super) authority: Authority,
    /// It, and those before it.
    bundle: Bundle,
}

/// What a Secret holds.
enum Content {
    Nothing,
    Stored(Box<Stored>),
    Unusable { error: NoAuthority, ours: bool },
}

impl Stored {
    /// The CAs to trust: once no leaf of an earlier CA can be valid any more, that of the present one alone.
    pub(super) fn bundle(&self, now: OffsetDateTime) -> Bundle {
        let own = Bundle::parse(self.authority.certificate_pem());
        let overlap_ends = self.authority.life().from + CLOCK_SKEW + LEAF_LIFE;
        if now < overlap_ends {
            own.and_valid(&self.bundle, now)
        } else {
            own
        }
    }
}

/// The CA in a Secret. Where there is none, or none that lasts, a new one is made and stored, and `trusted` are the CAs
/// that stay trusted beside it.
pub(super) async fn stored(
    secrets: &Api<Secret>,
    name: &str,
    trusted: &Bundle,
    now: OffsetDateTime,
) -> Result<Stored, CertificateError> {
    let secret = in_time(read(secrets, name)).await?;
    let before = match content(&secret) {
        Content::Stored(stored) if !stored.authority.life().is_due(now) => return Ok(*stored),
        Content::Stored(stored) => stored.bundle,
        Content::Nothing | Content::Unusable { ours: true, .. } => Bundle::default(),
        Content::Unusable { error, ours: false } => {
            return Err(CertificateError::Corrupt {
                secret: name.to_owned(),
                source: error,
            });
        }
    };
    let (certificate, key) = Authority::make(now)?;
    let bundle = Bundle::parse(&certificate)
        .and_valid(&before, now)
        .and_valid(trusted, now);
    let encode = |pem: String| ByteString(pem.into_bytes());
    let patch = json!({
        "metadata": {
            "resourceVersion": secret.metadata.resource_version,
            "annotations": {OURS: "true"},
        },
        "data": {
            CERTIFICATE_KEY: encode(certificate),
            PRIVATE_KEY_KEY: encode(key),
            BUNDLE_KEY: encode(bundle.text()),
        },
    });
    let filled = in_time(fill(secrets, name, &patch)).await?;
    tracing::info!(secret = name, "made a certificate authority");
    match content(&filled) {
        Content::Stored(stored) => Ok(*stored),
        Content::Nothing | Content::Unusable { .. } => Err(CertificateError::NotKept {
            secret: name.to_owned(),
        }),
    }
}

async fn read(secrets: &Api<Secret>, name: &str) -> Result<Secret, CertificateError> {
    let secret = secrets.get(name).await;
    secret.map_err(|source| CertificateError::api("read", format!("Secret {name}"), source))
}

async fn fill(
    secrets: &Api<Secret>,
    name: &str,
    patch: &serde_json::Value,
) -> Result<Secret, CertificateError> {
    let filled = secrets
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await;
    filled.map_err(|source| CertificateError::api("fill", format!("Secret {name}"), source))
}

fn content(secret: &Secret) -> Content {
    let Some(data) = secret.data.as_ref().filter(|data| !data.is_empty()) else {
        return Content::Nothing;
    };
    let certificate = text(data, CERTIFICATE_KEY);
    match Authority::load(certificate, &text(data, PRIVATE_KEY_KEY)) {
        Ok(authority) => Content::Stored(Box::new(Stored {
            bundle: Bundle::parse(&format!(
                "{}{}",
                authority.certificate_pem(),
                text(data, BUNDLE_KEY)
            )),
            authority,
        })),
        Err(error) => {
            let annotations = secret.metadata.annotations.as_ref();
            let ours = annotations.is_some_and(|annotations| annotations.contains_key(OURS));
            Content::Unusable { error, ours }
        }
    }
}

fn text(data: &BTreeMap<String, ByteString>, key: &str) -> String {
    let bytes = data.get(key).map(|bytes| bytes.0.as_slice());
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}
