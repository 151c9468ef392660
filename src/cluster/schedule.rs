//! Which nodes a Pod could land on: the scheduler's static filters, in two senses.
//!
//! Pure. `now` is what the scheduler would take this minute, were all GPUs free. `possible` is wider: what passes by
//! itself (a cordon, an unready node, unhealthy GPUs, a plugin that has not registered yet) excludes nothing, because
//! a Pod may only be refused if no node could ever run it. Everything in `now` is in `possible`.
//! Sources: pkg/scheduler/framework/plugins/{nodename,nodeaffinity,nodeunschedulable,tainttoleration,noderesources};
//! for Pods that name their node, the kubelet's admission (pkg/kubelet/lifecycle/predicate.go).

mod selection;
mod steer;

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::fleet::{Bits, ClassId, Doubt, Fleet, FleetPool, Knowledge, Need, Offer};
use super::placement::{Basis, Claims, OperatingSystem, Placement, Toleration};
use super::taint::{self, Effect, Taint};
pub use selection::selection;
pub use steer::{Separation, excluding_term, separating_term};

/// The nodes that a Pod could get, class by class.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Candidates<'a> {
    /// The classes of which there is a node or a pool, in the fleet's order.
    pub classes: Vec<Candidate<'a>>,
}

/// Nodes of one class that a Pod could get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// The class.
    pub id: ClassId,
    /// What is known of its GPUs.
    pub knowledge: &'a Knowledge,
    /// How many nodes.
    pub nodes: usize,
    /// Pools without nodes yet whose nodes may be of that class.
    pub pools: Vec<&'a str>,
}

impl Candidates<'_> {
    /// How many nodes there are in all classes.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.classes.iter().map(|class| class.nodes).sum()
    }

    /// Whether there is neither node nor pool.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// Nodes and pools of which nothing is known, by the reason.
    #[must_use]
    pub fn doubts(&self) -> BTreeMap<Doubt, usize> {
        let mut doubts = BTreeMap::new();
        for class in &self.classes {
            if let Some(doubt) = class.knowledge.doubt() {
                *doubts.entry(doubt).or_default() += class.nodes + class.pools.len();
            }
        }
        doubts
    }
}

/// The nodes and pools that a Pod could ever land on. Only they may refuse it.
#[must_use]
pub fn possible<'a>(placement: &Placement, fleet: &'a Fleet) -> Candidates<'a> {
    candidates(placement, fleet, Sense::Possible)
}

/// The nodes that the scheduler would take now, were all of their devices free.
#[must_use]
pub fn now<'a>(placement: &Placement, fleet: &'a Fleet) -> Candidates<'a> {
    candidates(placement, fleet, Sense::Now)
}

/// Which of the two senses a question is asked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sense {
    Possible,
    Now,
}

fn candidates<'a>(placement: &Placement, fleet: &'a Fleet, sense: Sense) -> Candidates<'a> {
    let Some(question) = Question::new(placement, fleet, sense) else {
        return Candidates::default();
    };
    let positions = question.positions(fleet);
    let (offers, taints) = (question.fitting(fleet), question.admitting(fleet));
    let holds = |flags: &[bool], number: u32| flags.get(number as usize) == Some(&true);
    let mut found: BTreeMap<ClassId, Candidate<'a>> = BTreeMap::new();
    for cell in fleet.cells() {
        if question.os != cell.os || !holds(&offers, cell.offer) || !holds(&taints, cell.taints) {
            continue;
        }
        let nodes = match &positions {
            Some(set) => set.count(cell.start, cell.end),
            None => (cell.end - cell.start) as usize,
        };
        if nodes > 0 {
            entry(&mut found, fleet, cell.class).nodes += nodes;
        }
    }
    if sense == Sense::Possible {
        for pool in fleet.pools().iter().filter(|pool| question.may_come(pool)) {
            entry(&mut found, fleet, pool.class)
                .pools
                .push(pool.pool.name());
        }
    }
    Candidates {
        classes: found.into_values().collect(),
    }
}

fn entry<'a, 'b>(
    found: &'b mut BTreeMap<ClassId, Candidate<'a>>,
    fleet: &'a Fleet,
    id: ClassId,
) -> &'b mut Candidate<'a> {
    found.entry(id).or_insert_with(|| Candidate {
        id,
        knowledge: fleet.class(id),
        nodes: 0,
        pools: Vec::new(),
    })
}

/// A placement with everything that admission and controllers would add to it.
struct Question<'a> {
    sense: Sense,
    placement: Cow<'a, Placement>,
    added: Vec<Toleration>,
    needs: Vec<Need<'a>>,
    os: OperatingSystem,
}

impl<'a> Question<'a> {
    /// The question; `None` if admission would refuse the Pod, so that it lands nowhere.
    fn new(placement: &'a Placement, fleet: &Fleet, sense: Sense) -> Option<Self> {
        let needs = placement
            .resources
            .iter()
            .filter(|(_, amount)| **amount > 0);
        let need = |(resource, amount): (&'a String, &u64)| {
            let kind = fleet.resources().kind(resource);
            Need::new(resource, *amount, kind, fleet.device_classes())
        };
        let (placement, runtime) = with_runtime_class(placement, fleet)?;
        let mut added = runtime;
        added.extend(assumed(&placement));
        Some(Self {
            sense,
            needs: needs.map(need).collect(),
            os: placement.os.unwrap_or(OperatingSystem::Linux),
            placement,
            added,
        })
    }

    /// The nodes that selectors, affinity and name leave; `None` for all.
    fn positions(&self, fleet: &Fleet) -> Option<Bits> {
        let placement = &*self.placement;
        if placement.node_name.is_none()
            && placement.node_selector.is_empty()
            && placement.required.is_none()
        {
            return None;
        }
        let mut set = fleet.everywhere();
        if let Some(name) = &placement.node_name {
            fleet.keep_named(&mut set, name);
        }
        for (key, value) in &placement.node_selector {
            fleet.keep_labelled(&mut set, key, value);
        }
        if let Some(terms) = &placement.required {
            fleet.keep_terms(&mut set, terms);
        }
        Some(set)
    }

    /// Which offers have what the Pod needs.
    fn fitting(&self, fleet: &Fleet) -> Vec<bool> {
        let claims_only = self.placement.claims == Claims::Some
            && self.needs.iter().all(|need| need.kind.is_none());
        let fits = |offer: &Offer| {
            let has = |need: &Need<'_>| match self.sense {
                Sense::Possible => offer.may_have(need),
                Sense::Now => offer.has_now(need),
            };
            self.needs.iter().all(has) && (!claims_only || offer.has_devices())
        };
        fleet.offers().iter().map(fits).collect()
    }

    /// Which sets of taints let the Pod in.
    fn admitting(&self, fleet: &Fleet) -> Vec<bool> {
        let lets_in = |taints: &[Taint]| taints.iter().all(|taint| self.is_let_in(taint));
        fleet
            .taints()
            .iter()
            .map(|taints| lets_in(taints))
            .collect()
    }

    fn is_let_in(&self, taint: &Taint) -> bool {
        let waived = match (self.sense, self.placement.basis) {
            (Sense::Possible, Basis::Template | Basis::DaemonSet(_)) => true,
            (Sense::Possible, Basis::AdmittedPod | Basis::WrittenPod) => taint.is_passing(),
            (Sense::Now, _) => false,
        };
        // A Pod that names its node never meets the scheduler.
        let unasked = self.placement.node_name.is_some() && taint.effect == Effect::NoSchedule;
        let tolerations = self.placement.tolerations.iter().chain(&self.added);
        waived || unasked || taint.is_tolerated(tolerations)
    }

    /// Whether a pool could bring a node for the Pod. Resources that are no GPUs are not known of pools.
    fn may_come(&self, candidate: &FleetPool) -> bool {
        let pool = &candidate.pool;
        let enough = |need: &Need<'_>| {
            need.kind.is_none() || pool.gpus.is_none_or(|gpus| gpus >= need.amount)
        };
        self.os == pool.os
            && self.needs.iter().all(enough)
            && pool.taints.iter().all(|taint| self.is_let_in(taint))
            && pool.may_meet(&self.placement)
    }
}

/// The placement with its runtime class's selector, and the tolerations that come with it. Admission has done so
/// already for a Pod under review; `None` if it would refuse because the selectors contradict each other
/// (plugin/pkg/admission/runtimeclass).
fn with_runtime_class<'a>(
    placement: &'a Placement,
    fleet: &Fleet,
) -> Option<(Cow<'a, Placement>, Vec<Toleration>)> {
    let name = match placement.basis {
        Basis::AdmittedPod => None,
        Basis::WrittenPod | Basis::Template | Basis::DaemonSet(_) => {
            placement.runtime_class.as_deref()
        }
    };
    let Some(rules) = name.and_then(|name| fleet.runtime_rules(name)) else {
        return Some((Cow::Borrowed(placement), Vec::new()));
    };
    let mut merged = placement.clone();
    for (key, value) in &rules.node_selector {
        let own = merged.node_selector.insert(key.clone(), value.clone());
        if own.is_some_and(|own| own != *value) {
            return None;
        }
    }
    Some((Cow::Owned(merged), rules.tolerations.clone()))
}

/// Tolerations that an object does not have yet, and that its Pods may get.
fn assumed(placement: &Placement) -> Vec<Toleration> {
    let daemon = match placement.basis {
        Basis::AdmittedPod => return Vec::new(),
        Basis::DaemonSet(network) => taint::of_daemon(network),
        Basis::WrittenPod | Basis::Template => Vec::new(),
    };
    let resources = placement.resources.keys();
    let of_resources = resources.map(|resource| taint::of_resource(resource));
    let always = taint::by_default(&placement.tolerations);
    of_resources.chain(always).chain(daemon).collect()
}

#[cfg(test)]
mod tests;
