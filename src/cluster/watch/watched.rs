//! The kinds of objects that are watched: where the API server serves them, and what is lost without each.

use std::fmt;

use kube::api::ApiResource;
use kube::runtime::watcher::Config;

use crate::cluster::fleet::SliceObject;
use crate::cluster::namespaces::MODE_LABEL;

/// A kind of objects that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Watched {
    /// Nodes.
    Nodes,
    /// Our own agents' Pods, which tell whether a node's inventory is kept up.
    AgentPods,
    /// RuntimeClasses, whose scheduling rules are merged into Pods.
    RuntimeClasses,
    /// Namespaces with a mode label.
    Namespaces,
    /// DeviceClasses of dynamic resource allocation.
    DeviceClasses,
    /// ResourceSlices of NVIDIA's driver.
    ResourceSlices,
    /// NodePools of Karpenter.
    NodePools,
}

impl Watched {
    /// All of them, in the order of the declaration.
    pub const ALL: [Self; 7] = [
        Self::Nodes,
        Self::AgentPods,
        Self::RuntimeClasses,
        Self::Namespaces,
        Self::DeviceClasses,
        Self::ResourceSlices,
        Self::NodePools,
    ];

    /// Group, versions from the best to one that still will do, kind.
    const fn served(self) -> (&'static str, &'static [&'static str], &'static str) {
        match self {
            Self::Nodes => ("", &["v1"], "Node"),
            Self::AgentPods => ("", &["v1"], "Pod"),
            Self::RuntimeClasses => ("node.k8s.io", &["v1"], "RuntimeClass"),
            Self::Namespaces => ("", &["v1"], "Namespace"),
            // v1beta1 has devices of another shape; clusters that serve nothing newer have it switched off by default.
            Self::DeviceClasses => ("resource.k8s.io", &["v1", "v1beta2"], "DeviceClass"),
            Self::ResourceSlices => ("resource.k8s.io", &["v1", "v1beta2"], "ResourceSlice"),
            Self::NodePools => ("karpenter.sh", &["v1"], "NodePool"),
        }
    }

    const fn plural(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::AgentPods => "pods",
            Self::RuntimeClasses => "runtimeclasses",
            Self::Namespaces => "namespaces",
            Self::DeviceClasses => "deviceclasses",
            Self::ResourceSlices => "resourceslices",
            Self::NodePools => "nodepools",
        }
    }

    /// The API resources that serve it, the best first.
    pub(super) fn resources(self) -> Vec<ApiResource> {
        let (group, versions, kind) = self.served();
        let resource = |version: &&str| ApiResource {
            group: group.to_owned(),
            version: (*version).to_owned(),
            api_version: match group {
                "" => (*version).to_owned(),
                group => format!("{group}/{version}"),
            },
            kind: kind.to_owned(),
            plural: self.plural().to_owned(),
        };
        versions.iter().map(resource).collect()
    }

    /// Which of the objects are asked for. `agents` is the label selector of our agents' Pods.
    pub(super) fn selected(self, agents: &str) -> Config {
        match self {
            Self::AgentPods => Config::default().labels(agents),
            Self::Namespaces => Config::default().labels(MODE_LABEL),
            Self::ResourceSlices => {
                Config::default().fields(&format!("spec.driver={}", SliceObject::DRIVER))
            }
            Self::Nodes | Self::RuntimeClasses | Self::DeviceClasses | Self::NodePools => {
                Config::default()
            }
        }
    }

    /// What does not work without it, for the log.
    pub(super) const fn lost(self) -> &'static str {
        match self {
            Self::Nodes => "nothing can be judged",
            Self::AgentPods => "an inventory is believed although its agent is not ready",
            Self::RuntimeClasses => "node selectors and tolerations of RuntimeClasses are not seen",
            Self::Namespaces => "modes of namespaces are not seen",
            Self::DeviceClasses | Self::ResourceSlices => {
                "GPUs of dynamic resource allocation are not seen"
            }
            Self::NodePools => "nodes that Karpenter could add are not seen",
        }
    }
}

/// As RBAC and kubectl name the resource: `nodepools.karpenter.sh`.
impl fmt::Display for Watched {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.served().0 {
            "" => formatter.pad(self.plural()),
            group => formatter.pad(&format!("{}.{group}", self.plural())),
        }
    }
}
