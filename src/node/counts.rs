//! The agent's metric families.

use std::sync::Arc;

use tokio::sync::watch;

use super::attempts::{Attempts, Outcome};
use super::inventory::Inventory;
use crate::lifecycle::Readiness;
use crate::telemetry::metrics::{Counters, Label, Registry};

/// The parts of the agent's readiness, by the names that `/readyz` has for them.
pub const INVENTORY: &str = "inventory";
/// Waits until the Node is labelled.
pub const LABELS: &str = "node labels";
/// Waits until the kubelet holds the device list.
pub const KUBELET: &str = "kubelet";

/// What the agent counts.
#[derive(Clone)]
pub struct Counts {
    registry: Registry,
    readiness: Readiness,
    labels: Counters<Outcome>,
    registrations: Counters<Outcome>,
    /// Containers that got devices, or did not.
    pub allocations: Counters<Allocation>,
}

/// What came of a container's wish for devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// It got them.
    Given,
    /// It asked for one that is not there.
    Refused,
}

impl Counts {
    /// Registers the families that are there from the start.
    #[must_use]
    pub fn new(registry: &Registry, readiness: &Readiness) -> Self {
        registry.version();
        let waiting = readiness.clone();
        registry.gauges(
            "gpu_capgate_agent_waits",
            "1 while the agent is not ready because of that part.",
            move |samples| {
                for part in [INVENTORY, LABELS, KUBELET] {
                    let waits = u8::from(waiting.waits_for(part));
                    samples.gauge(&[("part", part)], waits);
                }
            },
        );
        Self {
            labels: registry.counters(
                "gpu_capgate_label_applies_total",
                "Writes of the Node's labels, by what came of them.",
            ),
            registrations: registry.counters(
                "gpu_capgate_kubelet_registrations_total",
                "Registrations with the kubelet, by what came of them.",
            ),
            allocations: registry.counters(
                "gpu_capgate_allocations_total",
                "Containers for which the kubelet asked for devices, by what came of it.",
            ),
            registry: registry.clone(),
            readiness: readiness.clone(),
        }
    }

    /// How labelling fares.
    #[must_use]
    pub fn labels(&self) -> Attempts {
        Attempts::new(LABELS, &self.readiness, self.labels.clone())
    }

    /// How registering with the kubelet fares.
    #[must_use]
    pub fn registrations(&self) -> Attempts {
        Attempts::new(KUBELET, &self.readiness, self.registrations.clone())
    }

    /// How many GPUs there are.
    pub(super) fn found(&self, inventory: watch::Receiver<Arc<Inventory>>) {
        self.registry.gauges(
            "gpu_capgate_inventory_gpus",
            "GPUs in the node's inventory.",
            move |samples| samples.gauge(&[], inventory.borrow().gpus.len()),
        );
    }

    /// How many of them the kubelet knows of.
    pub(super) fn advertised(&self, inventory: watch::Receiver<Arc<Inventory>>) {
        let readiness = self.readiness.clone();
        self.registry.gauges(
            "gpu_capgate_advertised_gpus",
            "GPUs on the list that the kubelet holds, all of them healthy; 0 while it holds none.",
            move |samples| {
                let held = !readiness.waits_for(KUBELET);
                let gpus = inventory.borrow().gpus.len();
                samples.gauge(&[], if held { gpus } else { 0 });
            },
        );
    }
}

impl Label for Allocation {
    const KEY: &'static str = "outcome";
    const ALL: &'static [Self] = &[Self::Given, Self::Refused];

    fn value(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Refused => "refused",
        }
    }
}
