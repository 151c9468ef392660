//! Pools whose nodes are not there yet: declared by an operator, or NodePools of Karpenter.
//!
//! Pure. What a pool does not fix is open, so that it is read widely: a pool is no candidate only if none of its
//! nodes could be. Source for Karpenter: karpenter.sh/v1 `NodePool`, and its rule that labels which are not
//! well known must be defined by the pool (concepts/scheduling).

mod karpenter;

use std::collections::BTreeMap;

use serde::Deserialize;

use super::knowledge::{Doubt, Group, Knowledge, Models};
use crate::cluster::placement::{OperatingSystem, Operator, Placement, Requirement, Term};
use crate::cluster::selector;
use crate::cluster::taint::{Effect, Taint};
use crate::compat::{CpuArchitecture, CudaVersion, DriverVersion, Host, RuntimeMode};

pub use karpenter::UnreadablePool;

/// A pool of nodes that may come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    pub(super) name: String,
    /// What its nodes' labels will be.
    requirements: Vec<Requirement>,
    pub(in crate::cluster) taints: Vec<Taint>,
    pub(in crate::cluster) os: OperatingSystem,
    /// What one of its nodes may be.
    pub(super) alternatives: Vec<Knowledge>,
    /// How many GPUs one of its nodes has, if that is fixed.
    pub(in crate::cluster) gpus: Option<u64>,
}

/// A pool as an operator declares it (`pools` of the chart's values).
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct DeclaredPool {
    /// Its name, for messages.
    pub name: String,
    /// Labels of its nodes.
    pub labels: BTreeMap<String, String>,
    /// Taints of its nodes.
    pub taints: Vec<DeclaredTaint>,
    /// The GPU's product name.
    pub gpu: Option<String>,
    /// GPUs of a node.
    pub count: Option<u64>,
    /// The driver.
    pub driver: Option<DriverVersion>,
    /// Newest CUDA version that the driver offers.
    pub cuda: Option<CudaVersion>,
    /// Architecture of the processors.
    pub architecture: Option<CpuArchitecture>,
    /// How the container runtime gives GPUs, by its word.
    pub runtime: Option<String>,
}

/// A taint as an operator declares it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeclaredTaint {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// What it does.
    pub effect: String,
}

impl DeclaredTaint {
    fn taint(&self) -> Option<Taint> {
        Some(Taint {
            key: self.key.as_str().into(),
            value: self.value.as_str().into(),
            effect: Effect::named(&self.effect)?,
        })
    }
}

impl Pool {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A pool that an operator declared. One whose GPU the knowledge base does not hold is open.
    pub(super) fn declared(pool: &DeclaredPool, models: &mut Models<'_>) -> Self {
        let known = pool.gpu.as_deref().and_then(|gpu| models.named(gpu));
        let knowledge = match (known, &pool.gpu) {
            (Some(host), _) => Knowledge::Known([Group::only(pool.host(host))].into()),
            (None, Some(_)) => Knowledge::Unknown(Doubt::UnknownModel),
            (None, None) => Knowledge::Unknown(Doubt::OpenPool),
        };
        let fixed = |(key, value): (&String, &String)| Requirement {
            key: key.clone(),
            operator: Operator::In,
            values: vec![value.clone()],
        };
        Self {
            name: pool.name.clone(),
            requirements: pool.labels.iter().map(fixed).collect(),
            taints: pool
                .taints
                .iter()
                .filter_map(DeclaredTaint::taint)
                .collect(),
            os: OperatingSystem::Linux,
            alternatives: vec![knowledge],
            gpus: pool.count,
        }
    }

    /// A pool of nodes with exactly that GPU, as a person names them.
    pub(super) fn of_host(name: &str, host: Host) -> Self {
        Self {
            name: name.to_owned(),
            requirements: Vec::new(),
            taints: Vec::new(),
            os: OperatingSystem::Linux,
            alternatives: vec![Knowledge::Known([Group::only(host)].into())],
            gpus: None,
        }
    }

    /// Whether a node of the pool could meet selectors and affinity.
    pub(in crate::cluster) fn may_meet(&self, placement: &Placement) -> bool {
        let selected = placement
            .node_selector
            .iter()
            .all(|(key, value)| self.may_be(key, &mut |found| found == Some(value)));
        placement.node_name.is_none()
            && selected
            && placement
                .required
                .as_ref()
                .is_none_or(|terms| terms.iter().any(|term| self.may_match(term)))
    }

    fn may_match(&self, term: &Term) -> bool {
        selector::is_readable(term)
            && term.match_expressions.iter().all(|requirement| {
                self.may_be(&requirement.key, &mut |found| {
                    selector::label_meets(requirement, found)
                })
            })
            // No node that is there already is one of the pool's.
            && term
                .match_fields
                .iter()
                .all(|requirement| requirement.operator == Operator::NotIn)
    }

    /// Whether a label could have a value, or be absent, so that `fits` holds.
    fn may_be(&self, key: &str, fits: &mut dyn FnMut(Option<&String>) -> bool) -> bool {
        let mut about = self
            .requirements
            .iter()
            .filter(|own| own.key == key)
            .peekable();
        if about.peek().is_none() {
            return is_well_known(key) || fits(None);
        }
        about.all(|own| match own.operator {
            Operator::In => own.values.iter().any(|value| fits(Some(value))),
            Operator::DoesNotExist => fits(None),
            Operator::NotIn
            | Operator::Exists
            | Operator::Gt
            | Operator::Lt
            | Operator::Unreadable => true,
        })
    }
}

impl DeclaredPool {
    fn host(&self, host: Host) -> Host {
        Host {
            driver: self.driver,
            cuda: self.cuda,
            architecture: self.architecture,
            runtime: self
                .runtime
                .as_deref()
                .and_then(|word| word.parse::<RuntimeMode>().ok()),
            ..host
        }
    }
}

/// Whether a label's key belongs to somebody who labels nodes by himself, so that nodes of a pool may get it although
/// the pool does not say so.
fn is_well_known(key: &str) -> bool {
    const DOMAINS: [&str; 12] = [
        "kubernetes.io",
        "k8s.io",
        "karpenter.sh",
        "k8s.aws",
        "amazonaws.com",
        "azure.com",
        "google.com",
        "k8s.gcp",
        "oraclecloud.com",
        "nvidia.com",
        "gpu-capgate.io",
        "aliyun.accelerator",
    ];
    let Some((domain, _)) = key.split_once('/') else {
        return false;
    };
    DOMAINS.iter().any(|known| {
        domain
            .strip_suffix(known)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}
