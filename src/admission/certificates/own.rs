//! Certificates of a CA of our own: looks at Secret, registration and clock, and does what is due.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::bundle::Bundle;
use super::registration::{Registration, Written};
use super::secret::{Stored, stored};
use super::{CertificateError, Shown};
use crate::telemetry::with_causes;

struct Own {
    shown: Shown,
    secrets: Api<Secret>,
    ca_secret: String,
    registration: Registration,
    /// The CA of the Secret, then the one before it.
    known: Vec<Arc<Stored>>,
    /// The certificate of the CA that has signed what is shown.
    signer: Option<String>,
    /// Since when the registration holds the CA of the Secret.
    announced: Option<Instant>,
}

/// Keeps a certificate that the API server trusts, until `stop`: of a CA in that Secret.
pub async fn keep_own(
    shown: Shown,
    client: kube::Client,
    ca_secret: String,
    stop: CancellationToken,
) {
    let identity = &shown.identity;
    let mut own = Own {
        secrets: Api::namespaced(client.clone(), &identity.namespace),
        ca_secret,
        registration: Registration::new(&client, identity),
        shown,
        known: Vec::new(),
        signer: None,
        announced: None,
    };
    while let Some(looked) = stop.run_until_cancelled(own.look()).await {
        let wait = own.pause(looked);
        if stop
            .run_until_cancelled(tokio::time::sleep(wait))
            .await
            .is_none()
        {
            break;
        }
    }
}

impl Own {
    /// One look at everything. What can be done is done, also if something else fails.
    async fn look(&mut self) -> Result<(), CertificateError> {
        let now = self.shown.now();
        let read = self.registration.read().await;
        let secret = self.look_at_secret(read.as_ref().ok(), now).await;
        self.renew(read.as_ref().ok(), now)?;
        let mut written = match read {
            Ok(written) => written,
            Err(error) => return secret.and(Err(error)),
        };
        let announced = self.announce(&mut written, now).await;
        // The announcement may be what the next leaf has waited for.
        self.renew(Some(&written), now)?;
        if self.signer.is_none() {
            // Nothing is shown that could be trusted, and the reason is the Secret.
            return secret;
        }
        let judged = self.shown.judge(&written, now);
        secret.and(announced).and(judged)
    }

    async fn look_at_secret(
        &mut self,
        written: Option<&Written>,
        now: OffsetDateTime,
    ) -> Result<(), CertificateError> {
        let mut trusted = Bundle::default();
        for bundle in written.into_iter().flat_map(Written::bundles) {
            trusted = trusted.and_valid(&bundle, now);
        }
        for known in &self.known {
            trusted = trusted.and_valid(&known.bundle(now), now);
        }
        let stored = stored(&self.secrets, &self.ca_secret, &trusted, now).await?;
        self.shown.counts.ca_ends(stored.authority.life().until);
        let pem = |stored: &Stored| stored.authority.certificate_pem().to_owned();
        if self.known.first().map(|known| pem(known)) == Some(pem(&stored)) {
            self.known.remove(0);
        } else {
            self.announced = None;
        }
        self.known.insert(0, Arc::new(stored));
        self.known.truncate(2);
        Ok(())
    }

    /// Makes the registration hold the CAs to trust; without success it is as it was.
    async fn announce(
        &mut self,
        written: &mut Written,
        now: OffsetDateTime,
    ) -> Result<(), CertificateError> {
        let Some(newest) = self.known.first() else {
            return Ok(());
        };
        let wanted = newest.bundle(now);
        if !written.is(&wanted) {
            *written = self.registration.write(written, &wanted).await?;
        }
        self.announced.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Signs and shows another leaf if there is a reason to.
    fn renew(
        &mut self,
        written: Option<&Written>,
        now: OffsetDateTime,
    ) -> Result<(), CertificateError> {
        let Some(signer) = self.next_signer(written, now) else {
            return Ok(());
        };
        let pem = signer.authority.certificate_pem();
        if self.signer.as_deref() == Some(pem) && !self.shown.is_due(now) {
            return Ok(());
        }
        let leaf = signer.authority.sign(&self.shown.name.to_str(), now)?;
        self.signer = Some(pem.to_owned());
        self.shown.show(leaf)
    }

    /// The CA that signs now: the newest, but the one before it until the newest is known everywhere.
    fn next_signer(&self, written: Option<&Written>, now: OffsetDateTime) -> Option<Arc<Stored>> {
        let newest = self.known.first()?;
        let is_signer = |known: &&Arc<Stored>| {
            Some(known.authority.certificate_pem()) == self.signer.as_deref()
        };
        let present = self.known.iter().find(is_signer);
        let settled = self
            .announced
            .is_some_and(|since| since.elapsed() >= self.shown.rhythm.settle);
        let trusted = written.is_none_or(|written| self.shown.is_trusted(written, now));
        let chosen = match present {
            Some(present) if !settled && trusted => present,
            Some(_) | None => newest,
        };
        Some(Arc::clone(chosen))
    }

    /// Tells what went wrong, and how long to wait.
    fn pause(&self, looked: Result<(), CertificateError>) -> Duration {
        let rhythm = self.shown.rhythm;
        let Err(error) = looked else {
            let newest = self.known.first();
            let newest = newest.map(|newest| newest.authority.certificate_pem());
            let changing = newest != self.signer.as_deref();
            return if changing {
                rhythm.settle
            } else {
                rhythm.check
            };
        };
        self.shown.counts.failures.add();
        let wait = if self.shown.is_ready() {
            rhythm.check
        } else {
            rhythm.retry
        };
        tracing::warn!(
            error = with_causes(&error),
            retry_in = ?wait,
            "the webhook's certificate needs care"
        );
        wait
    }
}
