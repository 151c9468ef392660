//! The CAs that our registration tells the API server to trust. Of the registration only `clientConfig.caBundle` is ever
//! written, and only where it differs; nothing creates a registration.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::bundle::Bundle;
use super::{CertificateError, WEBHOOK, in_time};

/// Our webhook's part of a ValidatingWebhookConfiguration.
pub(super) struct Registration {
    configurations: Api<ValidatingWebhookConfiguration>,
    name: String,
}

/// The caBundles of our webhooks, each with its webhook's name.
pub(super) struct Written(Vec<(String, ByteString)>);

impl Written {
    /// Whether each is exactly that, to the letter.
    pub(super) fn is(&self, bundle: &Bundle) -> bool {
        let text = bundle.text();
        self.0.iter().all(|(_, held)| held.0 == text.as_bytes())
    }

    /// Each as it can be read.
    pub(super) fn bundles(&self) -> impl Iterator<Item = Bundle> {
        let text = |held: &ByteString| Bundle::parse(&String::from_utf8_lossy(&held.0));
        self.0.iter().map(move |(_, held)| text(held))
    }
}

impl Registration {
    pub(super) fn new(client: kube::Client, name: String) -> Self {
        Self {
            configurations: Api::all(client),
            name,
        }
    }

    /// What stands there.
    pub(super) async fn read(&self) -> Result<Written, CertificateError> {
        in_time(self.try_read()).await
    }

    /// Makes the API server trust these CAs and no others, for each of our webhooks; what stands there then.
    pub(super) async fn write(
        &self,
        written: &Written,
        bundle: &Bundle,
    ) -> Result<Written, CertificateError> {
        let text = ByteString(bundle.text().into_bytes());
        let part = |(name, _): &(String, ByteString)| json!({"name": name, "clientConfig": {"caBundle": text}});
        let webhooks: Vec<_> = written.0.iter().map(part).collect();
        in_time(self.try_write(json!({"webhooks": webhooks}))).await?;
        tracing::info!(
            configuration = self.name,
            "the API server now trusts this webhook"
        );
        let now = |(name, _): &(String, ByteString)| (name.clone(), text.clone());
        Ok(Written(written.0.iter().map(now).collect()))
    }

    async fn try_read(&self) -> Result<Written, CertificateError> {
        let configuration = self.configurations.get(&self.name).await;
        let configuration = configuration.map_err(|source| self.failed("read", source))?;
        let ours = configuration.webhooks.into_iter().flatten();
        let ours = ours
            .filter(|webhook| is_ours(&webhook.name))
            .map(|webhook| {
                let held = webhook.client_config.ca_bundle;
                (webhook.name, held.unwrap_or_else(|| ByteString(Vec::new())))
            });
        let written = Written(ours.collect());
        if written.0.is_empty() {
            return Err(CertificateError::NotRegistered {
                configuration: self.name.clone(),
            });
        }
        Ok(written)
    }

    async fn try_write(&self, patch: serde_json::Value) -> Result<(), CertificateError> {
        let patched = self
            .configurations
            .patch(
                &self.name,
                &PatchParams::default(),
                &Patch::Strategic(patch),
            )
            .await;
        patched.map_err(|source| self.failed("write the CA into", source))?;
        Ok(())
    }

    fn failed(&self, operation: &'static str, source: kube::Error) -> CertificateError {
        let object = format!("ValidatingWebhookConfiguration {}", self.name);
        CertificateError::api(operation, object, source)
    }
}

/// Whether a webhook of a configuration is ours: `check.gpu-capgate.io`, or one below it (`pods.check.gpu-capgate.io`).
fn is_ours(name: &str) -> bool {
    let below = name.strip_suffix(WEBHOOK);
    below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
}
