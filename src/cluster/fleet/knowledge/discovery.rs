//! What the labels of GPU Feature Discovery say of a node, in both generations of their keys.
//!
//! Pure. Those labels hold one model, even where a node has several and they flap between them; the number of GPUs
//! betrays it. Meanings: facts of k8s-device-plugin's internal/lm.

use std::collections::BTreeMap;

use super::super::object::NodeObject;
use super::model::{Models, architecture};
use super::{Doubt, Finding, GfdTrust, Group, Listed, Serves, offered};
use crate::cluster::resource::{GpuResources, ResourceKind};
use crate::compat::{ComputeCapability, CudaVersion, DriverVersion, Host};

/// Prefix of every key.
const DOMAIN: &str = "nvidia.com/";
/// End of the product of a node whose MIG devices are not all alike under the strategy `single`.
const INVALID: &str = "MIG-INVALID";

/// What the labels say of a node; `None` if discovery has not labelled it.
pub(super) fn read(
    node: &NodeObject,
    models: &mut Models<'_>,
    resources: &GpuResources,
    trust: GfdTrust,
) -> Option<Finding> {
    let labels = Labels(&node.labels);
    let (product, capability) = (labels.get("gpu.product"), labels.capability());
    let count = labels.number("gpu.count");
    if product.is_none() && capability.is_none() && count.is_none() {
        return None;
    }
    let replicas = labels.number("gpu.replicas").unwrap_or(1).max(1);
    let expected = count.map(|count| count.saturating_mul(replicas));
    let listed = expected.map_or(Listed::Uncounted, Listed::Count);
    let doubt = match trust {
        GfdTrust::Nothing => Some(Doubt::Untrusted),
        GfdTrust::OneModel => doubt(node, &labels, resources, expected),
    };
    if let Some(doubt) = doubt {
        return Some(Finding::unknown(doubt, listed));
    }
    Some(match groups(node, &labels, models) {
        Ok(groups) => Finding::known(groups, listed),
        Err(doubt) => Finding::unknown(doubt, listed),
    })
}

/// Why the labels cannot be those of a node with one model.
fn doubt(
    node: &NodeObject,
    labels: &Labels<'_>,
    resources: &GpuResources,
    expected: Option<u64>,
) -> Option<Doubt> {
    if labels
        .get("gpu.product")
        .is_some_and(|product| product.ends_with(INVALID))
    {
        return Some(Doubt::MigLayout);
    }
    let offered = offered(node, resources);
    let mixed = labels.get("mig.strategy") == Some("mixed") && labels.profiles().next().is_some();
    let betrayed = expected.is_some_and(|expected| {
        if mixed {
            // GPUs in MIG mode are counted, and given out under other names.
            offered > expected
        } else {
            // A resource that is not there yet betrays nothing.
            offered > 0 && offered != expected
        }
    });
    let profile_betrayed = labels.profiles().any(|profile| {
        let offered = node.resources.iter().filter(
            |(name, _)| matches!(resources.kind(name), Some(ResourceKind::Mig(kind)) if *kind == *profile),
        );
        let offered = offered.map(|(_, amount)| amount.capacity.max(amount.allocatable));
        let offered = offered.fold(0, u64::saturating_add);
        offered > 0 && labels.expected_of(profile).is_some_and(|expected| offered != expected)
    });
    (betrayed || profile_betrayed).then_some(Doubt::SeveralModels)
}

/// The node's GPUs, and its MIG devices where those have resources of their own.
fn groups(
    node: &NodeObject,
    labels: &Labels<'_>,
    models: &mut Models<'_>,
) -> Result<Vec<Group>, Doubt> {
    let around = |host: Host| Host {
        driver: labels.driver(),
        cuda: labels.cuda(),
        architecture: architecture(node),
        ..host
    };
    let whole = around(host(
        labels.get("gpu.product"),
        labels.capability(),
        models,
    )?);
    let mut groups = Vec::new();
    for profile in labels.profiles() {
        let product = labels.get(&format!("mig-{profile}.product"));
        let capability = labels.capability();
        groups.push(Group {
            host: match product {
                Some(product) => around(host(Some(product), capability, models)?),
                None => whole.clone(),
            },
            serves: Serves::Mig(profile.into()),
            count: None,
        });
    }
    if groups.is_empty() {
        return Ok(vec![Group::only(whole)]);
    }
    groups.push(Group {
        host: whole,
        serves: Serves::Whole,
        count: None,
    });
    Ok(groups)
}

fn host(
    product: Option<&str>,
    capability: Option<ComputeCapability>,
    models: &mut Models<'_>,
) -> Result<Host, Doubt> {
    match (product, capability) {
        (Some(product), Some(capability)) => {
            let known = models.named(product).and_then(|host| host.capability);
            if known.is_some_and(|known| known != capability) {
                return Err(Doubt::Contradictory);
            }
            Ok(models.measured(product, capability))
        }
        (Some(product), None) => models.named(product).ok_or(Doubt::UnknownModel),
        (None, Some(capability)) => Ok(Host {
            platform: models.platform(capability),
            ..Host::of_capability(capability)
        }),
        (None, None) => Err(Doubt::Unlabelled),
    }
}

/// A node's labels below `nvidia.com/`.
struct Labels<'a>(&'a BTreeMap<String, String>);

impl<'a> Labels<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        let value = self.0.get(&format!("{DOMAIN}{key}"))?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.get(key)?.parse().ok()
    }

    fn capability(&self) -> Option<ComputeCapability> {
        let part = |key| u8::try_from(self.number(key)?).ok();
        ComputeCapability::new(part("gpu.compute.major")?, part("gpu.compute.minor")?)
    }

    /// From `cuda.driver-version.*`, or from the older `cuda.driver.*`.
    fn driver(&self) -> Option<DriverVersion> {
        let full = self.get("cuda.driver-version.full").map(str::to_owned);
        let parts = |keys: [&str; 3]| {
            let [major, minor, revision] = keys.map(|key| self.get(key));
            let parts = [
                major?,
                minor.unwrap_or_default(),
                revision.unwrap_or_default(),
            ];
            Some(parts.join(".").trim_end_matches('.').to_owned())
        };
        let new = || {
            parts([
                "cuda.driver-version.major",
                "cuda.driver-version.minor",
                "cuda.driver-version.revision",
            ])
        };
        let old = || parts(["cuda.driver.major", "cuda.driver.minor", "cuda.driver.rev"]);
        full.or_else(new).or_else(old)?.parse().ok()
    }

    /// The newest CUDA version that the driver offers, whatever the keys say of a run time.
    fn cuda(&self) -> Option<CudaVersion> {
        let part = |key| u16::try_from(self.number(key)?).ok();
        let of = |major, minor| Some(CudaVersion::new(part(major)?, part(minor)?));
        of("cuda.runtime-version.major", "cuda.runtime-version.minor")
            .or_else(|| of("cuda.runtime.major", "cuda.runtime.minor"))
    }

    /// MIG profiles that have a resource of their own.
    fn profiles(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        const PREFIX: &str = "nvidia.com/mig-";
        self.0
            .range(PREFIX.to_owned()..)
            .map_while(|(key, _)| key.strip_prefix(PREFIX))
            .filter_map(|rest| rest.strip_suffix(".count"))
    }

    fn expected_of(&self, profile: &str) -> Option<u64> {
        let replicas = self.number(&format!("mig-{profile}.replicas"));
        let count = self.number(&format!("mig-{profile}.count"))?;
        Some(count.saturating_mul(replicas.unwrap_or(1).max(1)))
    }
}
