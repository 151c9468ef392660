//! Looks at our registration now and then: when it was made, and whether it still asks for what the configuration
//! counts as a GPU. Reads one object and writes none.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::Api;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::drift::Drift;
use super::hearing::Installed;
use super::reload::SharedConfiguration;
use crate::telemetry::with_causes;

/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(60);
/// How long after a look that failed.
const AGAIN: Duration = Duration::from_secs(5);
/// Longest wait for the API server.
const ANSWER: Duration = Duration::from_secs(10);

/// What is compared, and where is written what was found.
pub struct Installation {
    /// Name of the registration.
    pub name: String,
    /// What it is compared with.
    pub configuration: SharedConfiguration,
    /// What differs.
    pub drift: Arc<Drift>,
    /// When it was made.
    pub installed: Installed,
}

impl Installation {
    /// Looks until `stop`.
    pub async fn follow(self, client: kube::Client, stop: CancellationToken) {
        let registrations = Api::<ValidatingWebhookConfiguration>::all(client);
        let looking = async {
            loop {
                let pause = self.look(&registrations).await;
                sleep(pause).await;
            }
        };
        stop.run_until_cancelled(looking).await;
    }

    async fn look(&self, registrations: &Api<ValidatingWebhookConfiguration>) -> Duration {
        match timeout(ANSWER, registrations.get(&self.name)).await {
            Ok(Ok(registration)) => {
                let made = registration.metadata.creation_timestamp.as_ref();
                self.installed.store(made.map(|made| Arc::new(made.0)));
                self.drift.look(&registration, &self.configuration.load());
                LOOK
            }
            Ok(Err(error)) => {
                tracing::debug!(error = with_causes(&error), "cannot read the registration");
                AGAIN
            }
            Err(_) => AGAIN,
        }
    }
}
