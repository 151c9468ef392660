//! What the server shows, and whether the API server trusts it: readiness and metrics follow from both.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rustls::pki_types::{CertificateDer, ServerName};
use time::OffsetDateTime;

use super::authority::{Leaf, Life};
use super::registration::Written;
use super::{CertificateError, Clock, Identity, Rhythm};
use crate::admission::tls::Served;
use crate::lifecycle::{Readiness, ReadyToken};
use crate::telemetry::metrics::{Counter, Gauge, Registry};

/// The part of readiness that waits until what is shown is trusted.
const REGISTRATION: &str = "registration";

/// The families of the webhook's certificates.
#[derive(Clone)]
pub struct CertificateCounts {
    expiry: Arc<[AtomicI64; 2]>,
    trusted: Gauge,
    pub(super) renewals: Counter,
    pub(super) failures: Counter,
}

impl CertificateCounts {
    /// Registers the families.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let expiry: Arc<[AtomicI64; 2]> = Arc::default();
        let read = Arc::clone(&expiry);
        registry.gauges(
            "gpu_capgate_certificate_expiry_timestamp_seconds",
            "When a certificate ends, in seconds since 1970.",
            move |samples| {
                for (which, time) in ["leaf", "ca"].into_iter().zip(read.iter()) {
                    let time = time.load(Ordering::Relaxed);
                    // None has been seen.
                    if time != 0 {
                        samples.gauge(&[("certificate", which)], time);
                    }
                }
            },
        );
        Self {
            expiry,
            trusted: registry.gauge(
                "gpu_capgate_certificate_trusted",
                "1 while the registration vouches for the certificate that is served.",
            ),
            renewals: registry.counter(
                "gpu_capgate_certificate_renewals_total",
                "Certificates that were shown in place of another.",
            ),
            failures: registry.counter(
                "gpu_capgate_certificate_failures_total",
                "Looks at certificate, Secret or registration that failed.",
            ),
        }
    }

    fn leaf_ends(&self, time: OffsetDateTime) {
        let [leaf, _] = &*self.expiry;
        leaf.store(time.unix_timestamp(), Ordering::Relaxed);
    }

    pub(super) fn ca_ends(&self, time: OffsetDateTime) {
        let [_, ca] = &*self.expiry;
        ca.store(time.unix_timestamp(), Ordering::Relaxed);
    }
}

/// What the server shows.
pub struct Shown {
    served: Arc<Served>,
    chain: Vec<CertificateDer<'static>>,
    life: Option<Life>,
    readiness: Readiness,
    waiting: Option<ReadyToken>,
    pub(super) name: ServerName<'static>,
    pub(super) identity: Identity,
    pub(super) clock: Clock,
    pub(super) rhythm: Rhythm,
    pub(super) counts: CertificateCounts,
}

impl Shown {
    /// Nothing yet: the process is not ready from now on.
    ///
    /// # Errors
    /// Service and namespace give no DNS name.
    pub fn new(
        identity: Identity,
        served: Arc<Served>,
        readiness: Readiness,
        clock: Clock,
        counts: CertificateCounts,
    ) -> Result<Self, rustls::pki_types::InvalidDnsNameError> {
        Ok(Self {
            served,
            chain: Vec::new(),
            life: None,
            waiting: Some(readiness.wait_for(REGISTRATION)),
            readiness,
            name: identity.server_name()?,
            identity,
            clock,
            rhythm: Rhythm::default(),
            counts,
        })
    }

    /// In another rhythm.
    #[must_use]
    pub fn every(mut self, rhythm: Rhythm) -> Self {
        self.rhythm = rhythm;
        self
    }

    pub(super) fn now(&self) -> OffsetDateTime {
        (self.clock)()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.waiting.is_none()
    }

    /// Whether another leaf is needed, whoever signs it.
    pub(super) fn is_due(&self, now: OffsetDateTime) -> bool {
        self.life.is_none_or(|life| life.is_due(now))
    }

    /// Shows that from now on.
    pub(super) fn show(&mut self, leaf: Leaf) -> Result<(), CertificateError> {
        let first = leaf.chain.first();
        let life = first.map(Life::of).transpose()?;
        let chain = leaf.chain.clone();
        self.served.show(leaf)?;
        if self.life.is_some() {
            self.counts.renewals.add();
        }
        if let Some(life) = life {
            self.counts.leaf_ends(life.until);
            tracing::info!(until = %life.until, "another certificate is served");
        }
        (self.chain, self.life) = (chain, life);
        Ok(())
    }

    /// Whether a client that has only what stands there trusts what is shown.
    pub(super) fn is_trusted(&self, written: &Written, now: OffsetDateTime) -> bool {
        self.verify(written, now).is_ok()
    }

    /// Is ready from now on if what stands there vouches for what is shown, else no longer.
    pub(super) fn judge(
        &mut self,
        written: &Written,
        now: OffsetDateTime,
    ) -> Result<(), CertificateError> {
        let verified = self.verify(written, now);
        self.counts.trusted.set(i64::from(verified.is_ok()));
        match verified {
            Ok(()) => {
                drop(self.waiting.take());
                Ok(())
            }
            Err(source) => {
                if self.waiting.is_none() {
                    self.waiting = Some(self.readiness.wait_for(REGISTRATION));
                }
                Err(CertificateError::NotTrusted {
                    configuration: self.identity.configuration.clone(),
                    source,
                })
            }
        }
    }

    fn verify(&self, written: &Written, now: OffsetDateTime) -> Result<(), rustls::Error> {
        let mut bundles = written.bundles();
        bundles.try_for_each(|bundle| bundle.vouches_for(&self.chain, &self.name, now))
    }
}
