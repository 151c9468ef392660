//! What happens to a judged review before it is answered: the one look outside, on the way to a denial, and the word to
//! the owner. Decides nothing that `review` has not prepared.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::events::Events;
use super::owner::{Gap, OwnerAge, Owners};
use super::review::{Bypass, Judged, Reply};
use crate::telemetry::metrics::{Counters, Label, Registry};

/// When our registration was made; empty until it was read.
pub type Installed = Arc<ArcSwapOption<Timestamp>>;

/// Ends reviews.
pub struct Hearing {
    owners: Owners,
    installed: Installed,
    events: Events,
    bypasses: Counters<Bypass>,
    lenient: Counters<Leniency>,
}

/// What the look at an owner came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leniency {
    /// Older than the installation: warned.
    Older,
    /// Not older: refused.
    Younger,
    /// The API server could not tell: warned.
    NotKnown,
    /// There is no such owner, or none that we may read: refused, or anybody could invent one.
    Unproven,
}

impl Hearing {
    /// With its metrics.
    #[must_use]
    pub fn new(owners: Owners, installed: Installed, events: Events, registry: &Registry) -> Self {
        Self {
            owners,
            installed,
            events,
            bypasses: registry.counters(
                "gpu_capgate_bypasses_total",
                "Reviews that ended milder by somebody's choice, by who chose.",
            ),
            lenient: registry.counters(
                "gpu_capgate_owner_lookups_total",
                "Refusals whose object has an owner, by the owner's age.",
            ),
        }
    }

    /// The answer that is sent, before the deadline.
    pub async fn end(&self, judged: Judged, deadline: Instant) -> Reply {
        for bypass in judged.bypasses {
            self.bypasses.add(bypass);
        }
        let leniency = match (&judged.lenient, &judged.notice) {
            (Some(_), Some(notice)) => {
                let leniency = self.age(&notice.namespace, &notice.owner, deadline).await;
                self.lenient.add(leniency);
                leniency
            }
            (Some(_) | None, _) => Leniency::Unproven,
        };
        if let Some(notice) = judged.notice {
            self.events.tell(notice);
        }
        match (leniency, judged.lenient) {
            (Leniency::Older, Some(lenient)) => lenient.older,
            (Leniency::NotKnown, Some(lenient)) => lenient.unknown,
            (Leniency::Older | Leniency::NotKnown, None)
            | (Leniency::Younger | Leniency::Unproven, _) => judged.reply,
        }
    }

    async fn age(
        &self,
        namespace: &str,
        owner: &crate::cluster::demand::Owner,
        deadline: Instant,
    ) -> Leniency {
        let installed = self.installed.load();
        let Some(installed) = installed.as_deref() else {
            return Leniency::NotKnown;
        };
        match self
            .owners
            .age(namespace, owner, *installed, deadline)
            .await
        {
            OwnerAge::Older => Leniency::Older,
            OwnerAge::Younger => Leniency::Younger,
            OwnerAge::Unknown(Gap::TimedOut | Gap::Failed) => Leniency::NotKnown,
            OwnerAge::Unknown(Gap::Gone | Gap::Forbidden | Gap::Malformed) => Leniency::Unproven,
        }
    }
}

impl Label for Bypass {
    const KEY: &'static str = "by";
    const ALL: &'static [Self] = &[
        Self::Pod,
        Self::Namespace,
        Self::Exemption,
        Self::Declaration,
    ];

    fn value(self) -> &'static str {
        self.word()
    }
}

impl Label for Leniency {
    const KEY: &'static str = "owner";
    const ALL: &'static [Self] = &[Self::Older, Self::Younger, Self::NotKnown, Self::Unproven];

    fn value(self) -> &'static str {
        match self {
            Self::Older => "older",
            Self::Younger => "younger",
            Self::NotKnown => "not-known",
            Self::Unproven => "unproven",
        }
    }
}
