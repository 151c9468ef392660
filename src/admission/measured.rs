//! What is measured when somebody asks: the state of the watches, of the configuration and of the registrations.

use std::sync::Arc;

use super::drift::Drift;
use super::events::Counts;
use super::reload::Failing;
use crate::cluster::watch::{Freshness, SharedCluster, Watched};
use crate::telemetry::metrics::Registry;

/// Where it is read.
pub(super) struct Measured {
    pub(super) cluster: SharedCluster,
    pub(super) freshness: Arc<Freshness>,
    pub(super) drift: Arc<Drift>,
    pub(super) events: Arc<Counts>,
    /// Of the configuration file, if there is one.
    pub(super) failing: Option<Arc<Failing>>,
}

impl Measured {
    /// Registers all of it.
    pub(super) fn register(self, registry: &Registry) {
        let Self {
            cluster,
            freshness,
            drift,
            events,
            failing,
        } = self;
        registry.version();
        of_watches(registry, freshness);
        of_nodes(registry, cluster);
        registry.gauges(
            "gpu_capgate_registration_differences",
            "In how many points a webhook's registration differs from the configuration.",
            move |samples| {
                for (webhook, count) in drift.counts() {
                    samples.gauge(&[("webhook", webhook.name())], count);
                }
            },
        );
        registry.gauges(
            "gpu_capgate_events",
            "Notices to owners since the start, by what became of them.",
            move |samples| {
                samples.gauge(&[("outcome", "sent")], events.sent());
                samples.gauge(&[("outcome", "repeated")], events.repeated());
                samples.gauge(&[("outcome", "dropped")], events.dropped());
                samples.gauge(&[("outcome", "failed")], events.failed());
            },
        );
        if let Some(failing) = failing {
            registry.gauges(
                "gpu_capgate_configuration_failing_since_timestamp_seconds",
                "Since when the configuration file cannot be used (Unix time); 0 while it can.",
                move |samples| samples.gauge(&[], failing.since()),
            );
        }
    }
}

fn of_watches(registry: &Registry, freshness: Arc<Freshness>) {
    let ages = Arc::clone(&freshness);
    registry.gauges(
        "gpu_capgate_watch_age_seconds",
        "How long ago the API server was last heard on a watch.",
        move |samples| {
            for watched in Watched::ALL {
                if let Some(age) = ages.age(watched) {
                    samples.gauge(&[("kind", &watched.to_string())], age.as_secs_f64());
                }
            }
        },
    );
    registry.gauges(
        "gpu_capgate_watch_failures",
        "Lists and watches that have failed since the start.",
        move |samples| {
            for watched in Watched::ALL {
                let failures = freshness.failures(watched);
                samples.gauge(&[("kind", &watched.to_string())], failures);
            }
        },
    );
}

fn of_nodes(registry: &Registry, cluster: SharedCluster) {
    let unreadable = Arc::clone(&cluster);
    registry.gauges(
        "gpu_capgate_gpu_nodes",
        "Nodes with GPUs, by whether it is known what those are.",
        move |samples| {
            let state = cluster.load();
            let mut counts = [0, 0];
            for (_, knowledge, nodes) in state.fleet.classes() {
                let [known, unknown] = &mut counts;
                *(if knowledge.doubt().is_none() {
                    known
                } else {
                    unknown
                }) += nodes;
            }
            let [known, unknown] = counts;
            samples.gauge(&[("gpus", "known")], known);
            samples.gauge(&[("gpus", "unknown")], unknown);
        },
    );
    registry.gauges(
        "gpu_capgate_unreadable_objects",
        "Objects of the cluster that cannot be read.",
        move |samples| samples.gauge(&[], unreadable.load().unreadable),
    );
}
