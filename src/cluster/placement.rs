//! Where a Pod may be placed: the part of an object that decides about nodes, in plain types of our own.
//!
//! Pure. Filled by `demand`, read by `schedule`; knows no node.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{
    NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Toleration as KubernetesToleration,
};

/// Everything about a Pod that decides which nodes it could run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// A node that the Pod names itself; the scheduler is not asked then.
    pub node_name: Option<String>,
    /// Labels that a node must have, each with exactly that value.
    pub node_selector: BTreeMap<String, String>,
    /// Required node affinity: one of these terms must match; `None` if the Pod has none.
    pub required: Option<Vec<Term>>,
    /// Taints that do not keep the Pod away.
    pub tolerations: Vec<Toleration>,
    /// Extended resources that the whole Pod needs, by the scheduler's arithmetic. Never cpu or memory.
    pub resources: BTreeMap<String, u64>,
    /// Whether devices are asked for by dynamic resource allocation.
    pub claims: Claims,
    /// The operating system that the Pod says it is for.
    pub os: Option<OperatingSystem>,
    /// What kind of object the placement was read from.
    pub basis: Basis,
    /// Its runtime class, whose scheduling rules admission merges into Pods.
    pub runtime_class: Option<String>,
}

/// Whether a Pod has resource claims (`spec.resourceClaims`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Claims {
    /// None.
    #[default]
    None,
    /// At least one.
    Some,
}

/// An operating system, by the names of `spec.os.name` and of nodeInfo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperatingSystem {
    /// Linux.
    Linux,
    /// Windows.
    Windows,
}

impl OperatingSystem {
    /// The system of that name; `None` if it is none of the two that Kubernetes knows.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "linux" => Some(Self::Linux),
            "windows" => Some(Self::Windows),
            _ => None,
        }
    }
}

/// How far an object is from the Pod that the scheduler will see: what is not final yet is read widely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Basis {
    /// A Pod under review: all mutating admission is over, so its tolerations and selectors are final.
    #[default]
    AdmittedPod,
    /// A Pod as somebody wrote it: admission will merge its runtime class and may tolerate its resources.
    WrittenPod,
    /// The template of a workload: as a written Pod, and tolerations may be injected, so that taints say nothing.
    Template,
    /// The template of a DaemonSet, whose controller adds tolerations of its own.
    DaemonSet(PodNetwork),
}

/// Which network a Pod uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PodNetwork {
    /// One of its own.
    #[default]
    Own,
    /// That of the node (`hostNetwork: true`).
    Host,
}

/// A term of node affinity: all of its requirements must hold. One without any matches nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Term {
    /// On labels.
    pub match_expressions: Vec<Requirement>,
    /// On fields of the Node, of which the API knows `metadata.name` only.
    pub match_fields: Vec<Requirement>,
}

/// One requirement on a label or field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Name of the label or field.
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub values: Vec<String>,
}

/// How a requirement compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// There, and one of the values.
    In,
    /// Not there, or none of the values.
    NotIn,
    /// There.
    Exists,
    /// Not there.
    DoesNotExist,
    /// There, and an integer greater than the value.
    Gt,
    /// There, and an integer less than the value.
    Lt,
    /// A word that Kubernetes does not know; such a requirement makes its whole term match nothing.
    Unreadable,
}

impl Operator {
    /// The operator of that name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "In" => Self::In,
            "NotIn" => Self::NotIn,
            "Exists" => Self::Exists,
            "DoesNotExist" => Self::DoesNotExist,
            "Gt" => Self::Gt,
            "Lt" => Self::Lt,
            _ => Self::Unreadable,
        }
    }

    /// The name that the API uses.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::In => "In",
            Self::NotIn => "NotIn",
            Self::Exists => "Exists",
            Self::DoesNotExist => "DoesNotExist",
            Self::Gt => "Gt",
            Self::Lt => "Lt",
            Self::Unreadable => "(unreadable)",
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.word())
    }
}

/// As it is written in messages: `pool In (a, b)`, `gpu-capgate.io/compute.min Gt "69"`.
impl fmt::Display for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.key, self.operator)?;
        match (self.operator, self.values.as_slice()) {
            (Operator::Exists | Operator::DoesNotExist, _) => Ok(()),
            (Operator::Gt | Operator::Lt, [value]) => write!(formatter, " \"{value}\""),
            (_, values) => write!(formatter, " ({})", values.join(", ")),
        }
    }
}

/// A toleration. How long it lasts says nothing about scheduling and is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Toleration {
    /// Key of the taints that it is about; empty means any.
    pub key: String,
    /// How values are compared.
    pub operator: TolerationOperator,
    /// With what.
    pub value: String,
    /// Effect of the taints that it is about, as written; empty means any.
    pub effect: String,
}

impl Toleration {
    /// One that tolerates every taint.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            operator: TolerationOperator::Exists,
            ..Self::default()
        }
    }
}

/// How a toleration compares the value of a taint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum TolerationOperator {
    /// The same value.
    #[default]
    Equal,
    /// Any value.
    Exists,
    /// The taint's value is a lesser integer (since 1.35, behind a feature gate).
    Lt,
    /// The taint's value is a greater integer.
    Gt,
    /// A word that Kubernetes does not know; it tolerates nothing.
    Unreadable,
}

impl TolerationOperator {
    /// The operator of that name; none is `Equal`.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "" | "Equal" => Self::Equal,
            "Exists" => Self::Exists,
            "Lt" => Self::Lt,
            "Gt" => Self::Gt,
            _ => Self::Unreadable,
        }
    }
}

impl Placement {
    /// A placement that asks for nothing, as the API server would store it.
    #[must_use]
    pub fn anywhere() -> Self {
        Self {
            node_name: None,
            node_selector: BTreeMap::new(),
            required: None,
            tolerations: Vec::new(),
            resources: BTreeMap::new(),
            claims: Claims::None,
            os: None,
            basis: Basis::AdmittedPod,
            runtime_class: None,
        }
    }

    /// All that a Pod's spec says about nodes, except what its containers ask for.
    #[must_use]
    pub fn of_spec(spec: &PodSpec, basis: Basis, resources: BTreeMap<String, u64>) -> Self {
        let claims = match spec.resource_claims.as_deref() {
            None | Some([]) => Claims::None,
            Some(_) => Claims::Some,
        };
        Self {
            node_name: spec.node_name.clone().filter(|name| !name.is_empty()),
            node_selector: spec.node_selector.clone().unwrap_or_default(),
            required: required_terms(spec),
            tolerations: spec
                .tolerations
                .iter()
                .flatten()
                .map(Toleration::from)
                .collect(),
            resources,
            claims,
            os: spec
                .os
                .as_ref()
                .and_then(|os| OperatingSystem::named(&os.name)),
            basis,
            runtime_class: spec
                .runtime_class_name
                .clone()
                .filter(|name| !name.is_empty()),
        }
    }

    /// The same Pod without any wish for a particular node: what it could get if it were moved.
    #[must_use]
    pub fn unselected(&self) -> Self {
        Self {
            node_name: None,
            node_selector: BTreeMap::new(),
            required: None,
            ..self.clone()
        }
    }

    /// The same Pod with one more requirement on labels, added to each of its terms.
    #[must_use]
    pub fn requiring(&self, requirement: &Requirement) -> Self {
        let mut terms = self
            .required
            .clone()
            .unwrap_or_else(|| vec![Term::default()]);
        // A term without requirements matches nothing, and must not be revived by this one.
        if self.required.is_some() {
            terms.retain(|term| !term.is_empty());
        }
        for term in &mut terms {
            term.match_expressions.push(requirement.clone());
        }
        Self {
            required: Some(terms),
            ..self.clone()
        }
    }
}

impl Term {
    /// Whether it has no requirement at all, and so matches nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.match_expressions.is_empty() && self.match_fields.is_empty()
    }
}

fn required_terms(spec: &PodSpec) -> Option<Vec<Term>> {
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let required = affinity
        .required_during_scheduling_ignored_during_execution
        .as_ref()?;
    Some(
        required
            .node_selector_terms
            .iter()
            .map(Term::from)
            .collect(),
    )
}

impl From<&NodeSelectorTerm> for Term {
    fn from(term: &NodeSelectorTerm) -> Self {
        let read = |requirements: &Option<Vec<NodeSelectorRequirement>>| {
            requirements
                .iter()
                .flatten()
                .map(Requirement::from)
                .collect()
        };
        Self {
            match_expressions: read(&term.match_expressions),
            match_fields: read(&term.match_fields),
        }
    }
}

impl From<&NodeSelectorRequirement> for Requirement {
    fn from(requirement: &NodeSelectorRequirement) -> Self {
        Self {
            key: requirement.key.clone(),
            operator: Operator::named(&requirement.operator),
            values: requirement.values.clone().unwrap_or_default(),
        }
    }
}

impl From<&KubernetesToleration> for Toleration {
    fn from(toleration: &KubernetesToleration) -> Self {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        Self {
            key: text(&toleration.key),
            operator: TolerationOperator::named(toleration.operator.as_deref().unwrap_or_default()),
            value: text(&toleration.value),
            effect: text(&toleration.effect),
        }
    }
}
