//! Which extended resources are GPUs, by their names.
//!
//! Pure. Names: facts of NVIDIA's device plugin (`mig-<profile>` for MIG devices, `.shared` for time-sliced ones that
//! are renamed), and whatever an operator configures.

/// NVIDIA's resource for whole GPUs.
pub const DEFAULT_RESOURCE: &str = "nvidia.com/gpu";
/// What is appended to the name of a resource whose devices are shared.
const SHARED: &str = ".shared";
/// How the name part of a MIG resource begins.
const MIG: &str = "mig-";

/// What one of a resource is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKind {
    /// A GPU (or, if the node's plugin presents it so, a MIG device or a share of one).
    Whole,
    /// A share of a GPU.
    Shared,
    /// A MIG device of that profile, as `1g.5gb`.
    Mig(Box<str>),
}

/// The names under which GPUs are asked for in this cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuResources {
    names: Vec<Box<str>>,
}

impl Default for GpuResources {
    fn default() -> Self {
        Self::named([DEFAULT_RESOURCE])
    }
}

impl GpuResources {
    /// Resources that count GPUs. Their `.shared` forms and the MIG resources of their domains come with them.
    #[must_use]
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            names: names.into_iter().map(Box::from).collect(),
        }
    }

    /// The names that count GPUs, as configured.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }

    /// What a resource counts; `None` if it is no GPU.
    #[must_use]
    pub fn kind(&self, resource: &str) -> Option<ResourceKind> {
        let base = resource.strip_suffix(SHARED);
        if self.names().any(|name| name == resource) {
            return Some(ResourceKind::Whole);
        }
        if base.is_some_and(|base| self.names().any(|name| name == base)) {
            return Some(ResourceKind::Shared);
        }
        let (domain, name) = base.unwrap_or(resource).split_once('/')?;
        let profile = name
            .strip_prefix(MIG)
            .filter(|profile| !profile.is_empty())?;
        let ours = self.names().any(|name| domain_of(name) == Some(domain));
        ours.then(|| ResourceKind::Mig(profile.into()))
    }
}

fn domain_of(resource: &str) -> Option<&str> {
    Some(resource.split_once('/')?.0)
}

/// Whether a name is that of an extended resource as the kubelet takes it: `domain/name`, outside `kubernetes.io/`
/// (`IsExtendedResourceName` of k8s.io/kubernetes/pkg/apis/core/v1/helper).
#[must_use]
pub fn is_extended_name(text: &str) -> bool {
    let letters = |part: &str| {
        let edges = part.starts_with(|letter: char| letter.is_ascii_alphanumeric())
            && part.ends_with(|letter: char| letter.is_ascii_alphanumeric());
        edges
            && part
                .bytes()
                .all(|letter| letter.is_ascii_alphanumeric() || b"-_.".contains(&letter))
    };
    text.split_once('/').is_some_and(|(domain, name)| {
        letters(domain)
            && letters(name)
            && name.len() <= 63
            && domain.len() <= 244
            && !domain.ends_with("kubernetes.io")
    })
}

/// Whether the scheduler counts a node's resource as an extended or otherwise scalar one: everything but the
/// machine's own (pkg/scheduler/framework, `Resource.Add`).
#[must_use]
pub fn is_scalar(resource: &str) -> bool {
    const NATIVE: [&str; 5] = ["cpu", "memory", "ephemeral-storage", "pods", "storage"];
    const PREFIXES: [&str; 2] = ["hugepages-", "attachable-volumes-"];
    !NATIVE.contains(&resource) && !PREFIXES.iter().any(|prefix| resource.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_recognised_by_all_of_their_names() {
        let default = GpuResources::default();
        assert_eq!(default.kind("nvidia.com/gpu"), Some(ResourceKind::Whole));
        assert_eq!(
            default.kind("nvidia.com/gpu.shared"),
            Some(ResourceKind::Shared)
        );
        for name in ["nvidia.com/mig-1g.5gb", "nvidia.com/mig-1g.5gb.shared"] {
            assert_eq!(default.kind(name), Some(ResourceKind::Mig("1g.5gb".into())));
        }
        for other in [
            "amd.com/gpu",
            "nvidia.com/mig-",
            "nvidia.com/hostdev",
            "cpu",
            "",
            ".shared",
        ] {
            assert_eq!(default.kind(other), None, "{other}");
        }
    }

    #[test]
    fn a_renamed_resource_brings_its_relatives() {
        let renamed = GpuResources::named(["example.com/a100"]);
        assert_eq!(renamed.kind("example.com/a100"), Some(ResourceKind::Whole));
        assert_eq!(
            renamed.kind("example.com/a100.shared"),
            Some(ResourceKind::Shared)
        );
        assert_eq!(renamed.kind("nvidia.com/gpu"), None);
    }

    #[test]
    fn the_machines_own_resources_are_not_extended() {
        assert!(is_scalar("nvidia.com/gpu") && is_scalar("rdma/hca"));
        assert!(!is_scalar("cpu") && !is_scalar("hugepages-2Mi"));
    }
}
