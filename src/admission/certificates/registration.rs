//! The CAs that our registrations tell the API server to trust. Of a registration only `clientConfig.caBundle` is ever
//! written, and only where it differs; nothing creates a registration.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::Resource;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use serde::Deserialize;
use serde_json::{Value, json};

use super::bundle::Bundle;
use super::{CertificateError, Identity, WEBHOOK, in_time};

/// What the API server answers where there is no such object.
const NOT_FOUND: u16 = 404;

/// Our webhooks' parts of the configurations that register them.
pub(super) struct Registration {
    /// By which objects are reviewed.
    checking: Configuration,
    /// By which Pods are steered, if they are.
    steering: Option<Configuration>,
}

/// One object that registers webhooks.
struct Configuration {
    objects: Api<DynamicObject>,
    kind: String,
    name: String,
}

/// The caBundles of our webhooks.
pub(super) struct Written {
    checking: Vec<Held>,
    steering: Vec<Held>,
}

/// What stands at one of our webhooks.
#[derive(Clone)]
struct Held {
    webhook: String,
    bundle: ByteString,
}

/// As much of either kind as is read.
#[derive(Deserialize)]
struct Webhooks {
    #[serde(default)]
    webhooks: Vec<Webhook>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Webhook {
    name: String,
    client_config: ClientConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientConfig {
    ca_bundle: Option<ByteString>,
}

impl Written {
    /// Whether each is exactly that, to the letter.
    pub(super) fn is(&self, bundle: &Bundle) -> bool {
        let text = bundle.text();
        self.all().all(|held| held.is(&text))
    }

    /// Each as it can be read.
    pub(super) fn bundles(&self) -> impl Iterator<Item = Bundle> {
        let text = |held: &Held| Bundle::parse(&String::from_utf8_lossy(&held.bundle.0));
        self.all().map(text)
    }

    fn all(&self) -> impl Iterator<Item = &Held> {
        self.checking.iter().chain(&self.steering)
    }
}

impl Held {
    fn is(&self, text: &str) -> bool {
        self.bundle.0 == text.as_bytes()
    }
}

impl Registration {
    pub(super) fn new(client: &kube::Client, identity: &Identity) -> Self {
        let steering = identity.steering.as_ref();
        Self {
            steering: steering
                .map(|name| Configuration::new::<MutatingWebhookConfiguration>(client, name)),
            checking: Configuration::new::<ValidatingWebhookConfiguration>(
                client,
                &identity.configuration,
            ),
        }
    }

    /// What stands there. Without the registration that steers nothing is steered, and all else goes on.
    pub(super) async fn read(&self) -> Result<Written, CertificateError> {
        let reading = async {
            let checking = self.checking.read().await?;
            if checking.is_empty() {
                let configuration = self.checking.name.clone();
                return Err(CertificateError::NotRegistered { configuration });
            }
            let steering = match &self.steering {
                Some(steering) => steering.read_if_there().await?,
                None => Vec::new(),
            };
            Ok(Written { checking, steering })
        };
        in_time(reading).await
    }

    /// Makes the API server trust these CAs and no others, for each of our webhooks; what stands there then.
    pub(super) async fn write(
        &self,
        written: &Written,
        bundle: &Bundle,
    ) -> Result<Written, CertificateError> {
        let text = bundle.text();
        let checking = self.checking.write(&written.checking, &text).await?;
        let steering = match &self.steering {
            Some(steering) => steering.write(&written.steering, &text).await?,
            None => Vec::new(),
        };
        Ok(Written { checking, steering })
    }
}

impl Configuration {
    fn new<K: Resource<DynamicType = ()>>(client: &kube::Client, name: &str) -> Self {
        let resource = ApiResource::erase::<K>(&());
        Self {
            objects: Api::all_with(client.clone(), &resource),
            kind: resource.kind,
            name: name.to_owned(),
        }
    }

    /// What stands at our webhooks.
    async fn read(&self) -> Result<Vec<Held>, CertificateError> {
        let found = self.objects.get(&self.name).await;
        self.held(found.map_err(|source| self.failed("read", source))?)
    }

    async fn read_if_there(&self) -> Result<Vec<Held>, CertificateError> {
        match self.objects.get(&self.name).await {
            Err(kube::Error::Api(status)) if status.code == NOT_FOUND => Ok(Vec::new()),
            found => self.held(found.map_err(|source| self.failed("read", source))?),
        }
    }

    fn held(&self, found: DynamicObject) -> Result<Vec<Held>, CertificateError> {
        let found: Webhooks = serde_json::from_value(found.data)
            .map_err(|source| self.failed("read", kube::Error::SerdeError(source)))?;
        let ours = found.webhooks.into_iter();
        let ours = ours.filter(|webhook| is_ours(&webhook.name));
        let held = ours.map(|webhook| Held {
            webhook: webhook.name,
            bundle: webhook.client_config.ca_bundle.unwrap_or_default(),
        });
        Ok(held.collect())
    }

    /// Writes into those of our webhooks that hold something else.
    async fn write(&self, held: &[Held], text: &str) -> Result<Vec<Held>, CertificateError> {
        let bundle = ByteString(text.as_bytes().to_vec());
        if held.iter().all(|held| held.is(text)) {
            return Ok(held.to_vec());
        }
        let part =
            |held: &Held| json!({"name": held.webhook, "clientConfig": {"caBundle": bundle}});
        let webhooks: Vec<Value> = held.iter().map(part).collect();
        let patch = Patch::Strategic(json!({"webhooks": webhooks}));
        let patched = in_time(async {
            let parameters = PatchParams::default();
            let patching = self.objects.patch(&self.name, &parameters, &patch);
            let patched = patching.await;
            patched.map_err(|source| self.failed("write the CA into", source))
        });
        patched.await?;
        tracing::info!(
            configuration = self.name,
            kind = self.kind,
            "the API server now trusts this webhook"
        );
        let now = |held: &Held| Held {
            webhook: held.webhook.clone(),
            bundle: bundle.clone(),
        };
        Ok(held.iter().map(now).collect())
    }

    fn failed(&self, operation: &'static str, source: kube::Error) -> CertificateError {
        let object = format!("{} {}", self.kind, self.name);
        CertificateError::api(operation, object, source)
    }
}

/// Whether a webhook of a configuration is ours: `check.gpu-capgate.io`, or one below it (`steer.check.gpu-capgate.io`).
fn is_ours(name: &str) -> bool {
    let below = name.strip_suffix(WEBHOOK);
    below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
}
