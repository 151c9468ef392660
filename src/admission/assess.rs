//! The join: what a Pod asks for, the nodes that it could get, and what its images hold, become verdicts and a
//! decision.
//!
//! Pure, and the same for the webhook and for `check -f`.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::Arc;

use super::contents::{self, Contents};
use super::decision::{Candidate, Decision, Fit, Judged, Ruling, decide};
use super::policy::{Autoscaler, Permission, Policy};
use super::recall::{Known, Recall};
use crate::cluster::demand::{ContainerDemand, Demand, Standing};
use crate::cluster::fleet::{ClassId, Fleet, Group};
use crate::cluster::placement::{Placement, Toleration};
use crate::cluster::pod_hints::{self, ImplicitAccess, SharedMemory};
use crate::cluster::resource::ResourceKind;
use crate::cluster::schedule::{self, Separation};
use crate::compat::verdict::LibraryNeed;
use crate::compat::{Cause, Code, CpuArchitecture, Host, Judgement, RuntimeMode, judge_with};
use crate::image::evidence::{Knowledge, Override};

/// Judges Pods: what is known of images, and what the administrator chose.
#[derive(Debug, Clone, Copy)]
pub struct Assessor<'a> {
    /// The knowledge base.
    pub knowledge: Knowledge<'a>,
    /// What becomes of decisions.
    pub policy: &'a Policy,
    /// Whether the fleet has all nodes that there are.
    pub nodes: NodeList,
    /// What was found before with the same knowledge base and policy.
    pub recall: &'a Recall,
}

/// Whether a fleet has all nodes that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeList {
    /// It does.
    Whole,
    /// Some objects could not be read, and any of them may be a node that runs anything.
    Partial,
}

/// What becomes of a Pod.
#[derive(Debug)]
pub struct Assessment<'a> {
    /// What it asks for.
    pub demand: &'a Demand,
    /// The classes of nodes that it could get, in the fleet's order.
    pub classes: Vec<schedule::Candidate<'a>>,
    /// Each container that gets GPUs by asking, on each of the classes.
    pub containers: Vec<Assessed<'a>>,
    /// The decision by the nodes alone, over all containers, with all codes.
    pub ruling: Ruling,
    /// What to mind besides.
    pub advice: Vec<Advice<'a>>,
    /// Why a refusal only warns, if that is so.
    pub softened: Option<Softening>,
    /// The decision.
    pub decision: Decision,
}

/// What becomes of a container.
#[derive(Debug)]
pub struct Assessed<'a> {
    /// The container.
    pub container: &'a ContainerDemand,
    /// What it holds, by the architecture of the nodes; in the order in which they were met.
    pub contents: Vec<(CpuArchitecture, Arc<Contents>)>,
    /// How it fares on each class, in the order of [`Assessment::classes`].
    pub candidates: Vec<Candidate<'a>>,
    /// The decision on it alone.
    pub ruling: Ruling,
}

/// Something that does not keep a Pod from running, and yet costs its owner time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Advice<'a> {
    /// Several GPUs, and the container runtime's small shared memory.
    SharedMemory {
        /// The container.
        container: &'a ContainerDemand,
    },
    /// Nodes whose default runtime gives no GPUs, and the Pod names no runtime class.
    Runtime {
        /// How many nodes.
        nodes: usize,
        /// A class that gives them.
        class: &'a str,
    },
    /// GPUs that nobody asked the scheduler for.
    Implicit {
        /// The container.
        container: &'a ContainerDemand,
        /// How it gets them.
        access: &'a ImplicitAccess,
    },
}

/// Why a refusal becomes a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Softening {
    /// The object is suspended, queued, or completed by its controller: its Pods are checked when they start.
    NotFinal,
    /// An autoscaler may bring other nodes.
    Autoscaler,
    /// Not all nodes can be read.
    Unread,
}

/// Where a Pod would run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// On some of the nodes that it can get, which this requirement picks.
    Within(Separation),
    /// On others, which this requirement picks in place of its own selection.
    Elsewhere(Separation),
}

impl Advice<'_> {
    /// Its stable name.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::SharedMemory { .. } => Code::Shm,
            Self::Runtime { .. } => Code::Runtime,
            Self::Implicit { .. } => Code::Implicit,
        }
    }
}

impl<'a> Assessor<'a> {
    /// What becomes of a Pod on a fleet.
    #[must_use]
    pub fn assess(&self, demand: &'a Demand, fleet: &'a Fleet) -> Assessment<'a> {
        let classes = schedule::possible(&placed(demand), fleet).classes;
        let containers = self.containers(demand, fleet, &classes);
        let ruling = self.ruling(&containers);
        let advice = advice(demand, fleet, &containers);
        let softened = self.softening(demand, ruling.decision);
        let decision = match (ruling.decision, softened) {
            (_, Some(_)) => Decision::Warn,
            _ if containers.is_empty() && advice.is_empty() => Decision::Allow,
            _ if containers.is_empty() => Decision::Warn,
            (Decision::Allow, None) if !advice.is_empty() => Decision::Warn,
            (decision, None) => decision,
        };
        Assessment {
            demand,
            classes,
            containers,
            ruling,
            advice,
            softened,
            decision,
        }
    }

    /// Where a Pod would run that does not run everywhere, if one requirement on labels tells those nodes.
    #[must_use]
    pub fn way(&self, assessment: &Assessment<'a>, fleet: &'a Fleet) -> Option<Way> {
        let demand = assessment.demand;
        let placement = placed(demand);
        let (good, bad) = self.sides(&assessment.classes, &assessment.containers);
        if !good.is_empty() {
            let term = schedule::separating_term(&placement, fleet, &good, &bad);
            return term.map(Way::Within);
        }
        let free = placement.unselected();
        let classes = schedule::possible(&free, fleet).classes;
        let containers = self.containers(demand, fleet, &classes);
        let (good, bad) = self.sides(&classes, &containers);
        schedule::separating_term(&free, fleet, &good, &bad).map(Way::Elsewhere)
    }

    /// Classes that fit all containers, and the others.
    fn sides(
        &self,
        classes: &[schedule::Candidate<'_>],
        containers: &[Assessed<'_>],
    ) -> (Vec<ClassId>, Vec<ClassId>) {
        let ids = classes.iter().map(|class| class.id).enumerate();
        let (good, bad): (Vec<_>, Vec<_>) =
            ids.partition(|(number, _)| self.fit(containers, *number) == Fit::Fits);
        let ids = |side: Vec<(usize, ClassId)>| side.into_iter().map(|(_, id)| id).collect();
        (ids(good), ids(bad))
    }

    fn fit(&self, containers: &[Assessed<'_>], class: usize) -> Fit {
        containers
            .iter()
            .filter_map(|assessed| assessed.candidates.get(class))
            .map(|candidate| candidate.fit(self.policy))
            .max()
            .unwrap_or(Fit::Unknown)
    }

    fn containers(
        &self,
        demand: &'a Demand,
        fleet: &Fleet,
        classes: &[schedule::Candidate<'a>],
    ) -> Vec<Assessed<'a>> {
        let mut found: Vec<Assessed<'a>> = Vec::new();
        for container in &demand.containers {
            let kinds = container
                .gpus
                .keys()
                .map(|resource| fleet.resources().kind(resource));
            let by_claim = container.gpus.is_empty() && !container.claims.is_empty();
            for kind in kinds.chain(by_claim.then_some(None)) {
                found.push(self.container(container, kind.as_ref(), classes));
            }
        }
        found
    }

    fn container(
        &self,
        container: &'a ContainerDemand,
        kind: Option<&ResourceKind>,
        classes: &[schedule::Candidate<'a>],
    ) -> Assessed<'a> {
        let known = self.known_on(container, kind, classes);
        let judged = |group: &'a Group| self.judged(container, &group.host, &known);
        let candidate = |class: &schedule::Candidate<'a>| Candidate {
            nodes: class.nodes,
            pools: class.pools.len(),
            doubt: class.knowledge.doubt(),
            hosts: class.knowledge.groups(kind).filter_map(judged).collect(),
        };
        let candidates: Vec<Candidate<'a>> = classes.iter().map(candidate).collect();
        let ruling = decide(&[&candidates], self.policy);
        let contents = known.into_iter();
        let contents = contents.map(|(of, known)| (of, Arc::clone(&known.contents)));
        Assessed {
            container,
            contents: contents.collect(),
            candidates,
            ruling,
        }
    }

    /// What is known of a container's software on each architecture that the nodes have.
    fn known_on(
        &self,
        container: &ContainerDemand,
        kind: Option<&ResourceKind>,
        classes: &[schedule::Candidate<'a>],
    ) -> Vec<(CpuArchitecture, Arc<Known>)> {
        let groups = classes
            .iter()
            .flat_map(|class| class.knowledge.groups(kind));
        let mut found: Vec<(CpuArchitecture, Arc<Known>)> = Vec::new();
        for group in groups {
            let wanted = architecture(&group.host);
            if found.iter().all(|(known, _)| *known != wanted) {
                let contents = || self.contents(container, wanted);
                found.push((wanted, self.recall.known(container, wanted, contents)));
            }
        }
        found
    }

    fn judged(
        &self,
        container: &ContainerDemand,
        host: &'a Host,
        known: &[(CpuArchitecture, Arc<Known>)],
    ) -> Option<Judged<'a>> {
        let wanted = architecture(host);
        let (_, found) = known.iter().find(|(known, _)| *known == wanted)?;
        let judge = |contents: &Contents| {
            let judgement = judge_with(self.knowledge.catalog, &contents.software, host);
            for_gpus(judgement, container.gpu_count())
        };
        Some(Judged {
            host,
            judgement: found.on(host, judge),
        })
    }

    fn contents(&self, container: &ContainerDemand, architecture: CpuArchitecture) -> Contents {
        let permission = match self.policy.pod_modes {
            Permission::Allowed => Override::Allowed,
            Permission::Ignored => Override::Refused,
        };
        contents::of_container(container, architecture, self.knowledge, permission)
    }

    fn ruling(&self, containers: &[Assessed<'_>]) -> Ruling {
        let rows: Vec<&[Candidate<'_>]> = containers
            .iter()
            .map(|assessed| assessed.candidates.as_slice())
            .collect();
        let ruling = decide(&rows, self.policy);
        let claims_only = containers
            .iter()
            .all(|assessed| assessed.container.gpus.is_empty());
        match ruling.decision {
            // Which devices a claim picks is not known, nor whether they are GPUs.
            Decision::Deny if claims_only => Ruling {
                decision: Decision::Warn,
                ..ruling
            },
            Decision::Allow | Decision::Warn | Decision::Undecided | Decision::Deny => ruling,
        }
    }

    fn softening(&self, demand: &Demand, decision: Decision) -> Option<Softening> {
        if decision != Decision::Deny {
            return None;
        }
        match (demand.standing, self.nodes, self.policy.autoscaler) {
            (Standing::Suspended | Standing::Queued | Standing::Completed, _, _) => {
                Some(Softening::NotFinal)
            }
            (Standing::Final, NodeList::Partial, _) => Some(Softening::Unread),
            (Standing::Final, NodeList::Whole, Autoscaler::Undeclared) => {
                Some(Softening::Autoscaler)
            }
            (Standing::Final, NodeList::Whole, Autoscaler::Settled) => None,
        }
    }
}

impl Assessed<'_> {
    /// What the container holds on a host.
    #[must_use]
    pub fn on(&self, host: &Host) -> Option<&Contents> {
        let wanted = architecture(host);
        let mut contents = self.contents.iter();
        contents.find_map(|(known, found)| (*known == wanted).then_some(found.as_ref()))
    }
}

impl<'a> Assessment<'a> {
    /// All codes that hold somewhere, the worst first.
    #[must_use]
    pub fn codes(&self) -> Vec<Code> {
        let advised = self.advice.iter().map(Advice::code);
        let mut codes: Vec<Code> = self.ruling.codes.iter().copied().chain(advised).collect();
        codes.sort_unstable();
        codes.dedup();
        codes
    }

    /// For each class, the container that fares worst there, and how; of several that do, the one with the worst cause.
    pub fn worst<'b>(
        &'b self,
        policy: &'b Policy,
    ) -> impl Iterator<Item = (&'b Assessed<'a>, &'b Candidate<'a>)> {
        (0..self.classes.len()).filter_map(move |class| {
            let of_class = self.containers.iter().filter_map(move |assessed| {
                let candidate = assessed.candidates.get(class)?;
                let rank = (candidate.fit(policy), candidate.worst_code().map(Reverse));
                Some((rank, assessed, candidate))
            });
            // Of equal ones the first: max_by_key takes the last.
            let worst = of_class.rev().max_by_key(|(rank, _, _)| *rank);
            worst.map(|(_, assessed, candidate)| (assessed, candidate))
        })
    }
}

/// The placement of a Pod. One that names a scheduler of its own is placed by rules that are not ours: taints may not
/// count for it, whereas the kubelet holds it to all the rest.
fn placed(demand: &Demand) -> Cow<'_, Placement> {
    if demand.scheduler.is_none() {
        return Cow::Borrowed(&demand.placement);
    }
    let mut placement = demand.placement.clone();
    placement.tolerations.push(Toleration::everything());
    Cow::Owned(placement)
}

/// The architecture whose image a host pulls, where nothing says otherwise.
fn architecture(host: &Host) -> CpuArchitecture {
    host.architecture.unwrap_or(CpuArchitecture::Amd64)
}

/// A judgement without what matters to several GPUs only, where there is but one.
#[must_use]
pub fn for_gpus(mut judgement: Judgement, gpus: u64) -> Judgement {
    if gpus <= 1 {
        judgement.findings.retain(|finding| {
            !matches!(
                finding.cause,
                Cause::Library {
                    need: LibraryNeed::SeveralGpus,
                    ..
                }
            )
        });
    }
    judgement
}

fn advice<'a>(
    demand: &'a Demand,
    fleet: &'a Fleet,
    containers: &[Assessed<'a>],
) -> Vec<Advice<'a>> {
    let small = |container: &&ContainerDemand| container.shared_memory == SharedMemory::Default;
    let small = demand.containers.iter().filter(small);
    let implicit = demand.containers.iter().filter_map(|container| {
        let access = container.implicit.as_ref()?;
        Some(Advice::Implicit { container, access })
    });
    small
        .map(|container| Advice::SharedMemory { container })
        .chain(runtime(demand, fleet, containers))
        .chain(implicit)
        .collect()
}

fn runtime<'a>(
    demand: &Demand,
    fleet: &'a Fleet,
    containers: &[Assessed<'_>],
) -> Option<Advice<'a>> {
    let own = demand.placement.runtime_class.as_deref();
    if own.is_some_and(pod_hints::is_gpu_runtime_class) {
        return None;
    }
    let class = fleet.gpu_runtime_class()?;
    let gives_none = |candidate: &&Candidate<'_>| {
        let mut hosts = candidate.hosts.iter();
        hosts.any(|judged| judged.host.runtime == Some(RuntimeMode::Absent))
    };
    let candidates = &containers.first()?.candidates;
    let nodes = candidates.iter().filter(gives_none);
    let nodes = nodes.map(|candidate| candidate.nodes).sum();
    (nodes > 0).then_some(Advice::Runtime { nodes, class })
}
