//! Looks at our registrations now and then: when the one that checks was made, and whether they still ask about what the
//! configuration counts as a GPU. Reads one or two objects and writes none.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::drift::{Asked, Drift, Webhook};
use super::hearing::Installed;
use super::reload::SharedConfiguration;
use crate::telemetry::with_causes;

/// How often they are looked at.
const LOOK: Duration = Duration::from_secs(60);
/// How long after a look that failed, or found one missing.
const AGAIN: Duration = Duration::from_secs(5);
/// Longest wait for the API server.
const ANSWER: Duration = Duration::from_secs(10);
/// What the API server answers where there is no such object.
const NOT_FOUND: u16 = 404;

/// What is compared, and where is written what was found.
pub struct Installation {
    /// Name of the registration that checks.
    pub checking: String,
    /// Name of the registration that steers, if one is to.
    pub steering: Option<String>,
    /// What they are compared with.
    pub configuration: SharedConfiguration,
    /// What differs.
    pub drift: Arc<Drift>,
    /// When the one that checks was made.
    pub installed: Installed,
}

/// Whether a registration is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// It is.
    There,
    /// It is not, or the API server did not tell.
    Missing,
}

impl Installation {
    /// Looks until `stop`.
    pub async fn follow(self, client: kube::Client, stop: CancellationToken) {
        let looking = async {
            loop {
                let seen = [self.checking(&client).await, self.steering(&client).await];
                let all = seen.iter().all(|seen| *seen == Seen::There);
                sleep(if all { LOOK } else { AGAIN }).await;
            }
        };
        stop.run_until_cancelled(looking).await;
    }

    async fn checking(&self, client: &kube::Client) -> Seen {
        let objects = Api::<ValidatingWebhookConfiguration>::all(client.clone());
        let Some(found) = read(&objects, &self.checking).await else {
            return Seen::Missing;
        };
        if let Some(registration) = &found {
            let made = registration.metadata.creation_timestamp.as_ref();
            self.installed.store(made.map(|made| Arc::new(made.0)));
        }
        let asked = found.as_ref().and_then(Asked::to_check);
        self.compared(Webhook::Check, asked.as_ref())
    }

    async fn steering(&self, client: &kube::Client) -> Seen {
        let Some(name) = &self.steering else {
            return Seen::There;
        };
        let objects = Api::<MutatingWebhookConfiguration>::all(client.clone());
        let Some(found) = read(&objects, name).await else {
            return Seen::Missing;
        };
        let asked = found.as_ref().and_then(Asked::to_steer);
        self.compared(Webhook::Steer, asked.as_ref())
    }

    fn compared(&self, webhook: Webhook, asked: Option<&Asked>) -> Seen {
        self.drift.look(webhook, asked, &self.configuration.load());
        match asked {
            Some(_) => Seen::There,
            None => Seen::Missing,
        }
    }
}

/// The object of a name, or that there is none; `None` if the API server does not tell.
async fn read<K>(objects: &Api<K>, name: &str) -> Option<Option<K>>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    match timeout(ANSWER, objects.get(name)).await {
        Ok(Ok(found)) => Some(Some(found)),
        Ok(Err(kube::Error::Api(status))) if status.code == NOT_FOUND => Some(None),
        Ok(Err(error)) => {
            tracing::debug!(error = with_causes(&error), "cannot read the registration");
            None
        }
        Err(_) => None,
    }
}
