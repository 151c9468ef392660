//! The node-label contract: how a node's GPU inventory is written on its Node object, and read back.
//!
//! The agent encodes, the webhook decodes, and neither knows the other. The annotation holds the exact inventory;
//! the labels summarise it for selectors. Knows nothing of Kubernetes clients.

mod summary;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use summary::{Summary, summary};

use crate::compat::{
    Catalog, ComputeCapability, CudaVersion, DriverVersion, Platform, RuntimeMode,
};

/// Prefix of every key of ours.
pub const DOMAIN: &str = "gpu-capgate.io";
/// The annotation that holds the exact inventory.
pub const INVENTORY_ANNOTATION: &str = "gpu-capgate.io/inventory";

/// Version of the annotation's shape; a reader treats any other as unknown.
const SCHEMA: u32 = 1;
/// Longest label value, and longest name part of a label key, in bytes
/// (k8s.io/apimachinery/pkg/util/validation: `LabelValueMaxLength`, `qualifiedNameMaxLength`).
const LABEL_LIMIT: usize = 63;
/// Longest annotation that is read, in bytes. Kubernetes allows 256 KiB for all annotations of an object.
const ANNOTATION_LIMIT: usize = 256 * 1024;

/// All that the cluster needs to know about one node's GPUs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeGpus {
    /// Groups of equal GPUs, in a stable order.
    pub groups: Vec<GpuGroup>,
    /// The driver, `None` if not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<DriverVersion>,
    /// Newest CUDA version that the driver offers, `None` if not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cuda: Option<CudaVersion>,
    /// Discrete or integrated GPUs.
    pub platform: Platform,
    /// How the container runtime gives GPUs, `None` if not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeMode>,
    /// The kernel's boot ID when the inventory was taken: another one in nodeInfo means that it is stale.
    #[serde(rename = "bootID")]
    pub boot_id: String,
}

/// GPUs that are equal in everything that compatibility depends on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GpuGroup {
    /// Product name as the driver prints it.
    pub product: String,
    /// What the GPUs can execute.
    pub compute_capability: ComputeCapability,
    /// Memory of one GPU in MiB.
    #[serde(rename = "memoryMiB")]
    pub memory_mib: u64,
    /// How many there are.
    pub count: u32,
}

/// What the agent writes on its Node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeMetadata {
    /// Label keys and values.
    pub labels: BTreeMap<String, String>,
    /// Annotation keys and values.
    pub annotations: BTreeMap<String, String>,
}

/// An inventory annotation that cannot be used; its node is unknown, never failing.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableInventory {
    /// Longer than anything that Kubernetes would store.
    #[error("annotation {INVENTORY_ANNOTATION} is {0} bytes long, more than {ANNOTATION_LIMIT}")]
    TooLong(usize),
    /// Not JSON of the known shape.
    #[error("annotation {INVENTORY_ANNOTATION} is malformed")]
    Malformed(#[source] serde_json::Error),
    /// Written by a version of the agent with another shape.
    #[error("annotation {INVENTORY_ANNOTATION} has schema {0}, not {SCHEMA}")]
    Schema(u32),
}

#[derive(Serialize)]
struct Written<'a> {
    schema: u32,
    #[serde(flatten)]
    gpus: &'a NodeGpus,
}

/// Labels and annotation for a node's GPUs. Labels are legal whatever the product names hold.
///
/// # Panics
/// Never: plain structs always serialise.
#[must_use]
pub fn encode(gpus: &NodeGpus) -> NodeMetadata {
    let mut labels = BTreeMap::new();
    let mut put = |key: &str, value: String| labels.insert(format!("{DOMAIN}/{key}"), value);
    let total: u32 = gpus.groups.iter().map(|group| group.count).sum();
    put("gpu.count", total.to_string());
    put("platform", gpus.platform.to_string());
    put(
        "runtime.mode",
        gpus.runtime
            .map_or_else(|| "unknown".to_owned(), |mode| mode.to_string()),
    );
    if let Some(driver) = gpus.driver {
        put("driver.version", driver.to_string());
        put("driver.major", driver.branch().to_string());
    }
    if let Some(cuda) = gpus.cuda {
        put(
            "cuda.max",
            (u32::from(cuda.major) * 100 + u32::from(cuda.minor)).to_string(),
        );
        put("cuda.major", cuda.major.to_string());
    }
    encode_groups(&gpus.groups, &mut put);
    let written = serde_json::to_string(&Written {
        schema: SCHEMA,
        gpus,
    })
    .expect("plain structs with string keys always serialise");
    NodeMetadata {
        labels,
        annotations: BTreeMap::from([(INVENTORY_ANNOTATION.to_owned(), written)]),
    }
}

fn encode_groups(groups: &[GpuGroup], put: &mut impl FnMut(&str, String) -> Option<String>) {
    let capabilities = || groups.iter().map(|group| group.compute_capability);
    if let (Some(least), Some(most)) = (capabilities().min(), capabilities().max()) {
        put("compute.min", least.number().to_string());
        put("compute.max", most.number().to_string());
    }
    if let Some(family) = family(groups) {
        put("family", family);
    }
    if let Some(memory) = groups.iter().map(|group| group.memory_mib).min() {
        put("memory.min-mib", memory.to_string());
    }
    for (capability, count) in counted(groups, |group| group.compute_capability.number()) {
        put(&format!("sm-{capability}"), count.to_string());
    }
    for (product, count) in counted(groups, |group| key_part("product.", &group.product)) {
        put(&product, count.to_string());
    }
}

/// The generation of all GPUs, or `mixed`; `None` where there is no GPU, or one whose generation is not known.
fn family(groups: &[GpuGroup]) -> Option<String> {
    let chips = groups
        .iter()
        .map(|group| Catalog::embedded().chip(group.compute_capability));
    let families: Option<Vec<String>> = chips
        .map(|chip| Some(chip?.family.to_ascii_lowercase()))
        .collect();
    let families = families?;
    let first = families.first()?;
    let one = families.iter().all(|family| family == first);
    Some(if one {
        first.clone()
    } else {
        "mixed".to_owned()
    })
}

fn counted<K: Ord>(groups: &[GpuGroup], key: impl Fn(&GpuGroup) -> K) -> BTreeMap<K, u32> {
    let mut counts = BTreeMap::new();
    for group in groups {
        *counts.entry(key(group)).or_default() += group.count;
    }
    counts
}

/// The name part of a label key: `prefix` and then `text` with only legal characters. What has to be cut ends in a
/// hash of the whole text, so that two long names never become one.
fn key_part(prefix: &str, text: &str) -> String {
    let legal = |letter: char| {
        if letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.') {
            letter
        } else {
            '-'
        }
    };
    let edge = |letter: char| !letter.is_ascii_alphanumeric();
    let name: String = text.chars().map(legal).collect();
    let name = name.trim_matches(edge);
    let room = LABEL_LIMIT - prefix.len();
    if name.is_empty() {
        return format!("{prefix}{:08x}", fnv1a(text));
    }
    if name.len() <= room {
        return format!("{prefix}{name}");
    }
    let kept: String = name.chars().take(room - 9).collect();
    format!(
        "{prefix}{}-{:08x}",
        kept.trim_end_matches(edge),
        fnv1a(text)
    )
}

/// 32-bit FNV-1a: stable over releases, which the standard library's hasher is not.
fn fnv1a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// Reads a node's GPUs back from its annotations; `None` if our agent has not written there.
///
/// # Errors
/// The annotation is there and cannot be read: see [`UnreadableInventory`].
pub fn decode(
    annotations: &BTreeMap<String, String>,
) -> Result<Option<NodeGpus>, UnreadableInventory> {
    let Some(text) = annotations.get(INVENTORY_ANNOTATION) else {
        return Ok(None);
    };
    if text.len() > ANNOTATION_LIMIT {
        return Err(UnreadableInventory::TooLong(text.len()));
    }
    let mut fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).map_err(UnreadableInventory::Malformed)?;
    let schema = fields.remove("schema").unwrap_or_default();
    let schema = serde_json::from_value(schema).map_err(UnreadableInventory::Malformed)?;
    if schema != SCHEMA {
        return Err(UnreadableInventory::Schema(schema));
    }
    serde_json::from_value(fields.into())
        .map(Some)
        .map_err(UnreadableInventory::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(product: &str, capability: &str, count: u32) -> GpuGroup {
        GpuGroup {
            product: product.to_owned(),
            compute_capability: capability.parse().unwrap(),
            memory_mib: 15360,
            count,
        }
    }

    fn mixed() -> NodeGpus {
        NodeGpus {
            groups: vec![
                group("Tesla T4", "7.5", 1),
                group("NVIDIA A100-SXM4-80GB", "8.0", 2),
            ],
            driver: Some("550.54.15".parse().unwrap()),
            cuda: Some(CudaVersion::new(12, 4)),
            platform: Platform::Dgpu,
            runtime: Some(RuntimeMode::Legacy),
            boot_id: "f00".to_owned(),
        }
    }

    #[test]
    fn a_mixed_node_is_labelled_exactly() {
        let labels = encode(&mixed()).labels;
        let expected = [
            ("compute.max", "80"),
            ("compute.min", "75"),
            ("cuda.major", "12"),
            ("cuda.max", "1204"),
            ("driver.major", "550"),
            ("driver.version", "550.54.15"),
            ("family", "mixed"),
            ("gpu.count", "3"),
            ("memory.min-mib", "15360"),
            ("platform", "dgpu"),
            ("product.NVIDIA-A100-SXM4-80GB", "2"),
            ("product.Tesla-T4", "1"),
            ("runtime.mode", "legacy"),
            ("sm-75", "1"),
            ("sm-80", "2"),
        ];
        let found: Vec<(&str, &str)> = labels
            .iter()
            .map(|(key, value)| (key.strip_prefix("gpu-capgate.io/").unwrap(), value.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let gpus = mixed();
        assert_eq!(decode(&encode(&gpus).annotations).unwrap(), Some(gpus));
    }

    #[test]
    fn another_schema_is_refused_and_not_guessed_at() {
        let annotations = BTreeMap::from([(
            INVENTORY_ANNOTATION.to_owned(),
            r#"{"schema":2}"#.to_owned(),
        )]);
        assert!(matches!(
            decode(&annotations),
            Err(UnreadableInventory::Schema(2))
        ));
    }

    #[test]
    fn an_untouched_node_has_no_inventory() {
        assert_eq!(decode(&BTreeMap::new()).unwrap(), None);
    }

    proptest::proptest! {
        #[test]
        fn every_product_name_gives_a_legal_key(product in "\\PC{0,96}") {
            let key = key_part("product.", &product);
            assert!(key.len() <= LABEL_LIMIT, "{key}");
            assert!(key.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter)), "{key}");
            assert!(key.ends_with(|letter: char| letter.is_ascii_alphanumeric()), "{key}");
        }

        #[test]
        fn long_names_stay_apart(tail in "[a-z]{1,8}") {
            let stem = "NVIDIA-RTX-PRO-6000-Blackwell-Max-Q-Workstation-Edition-With-A-Very-Long-Name-";
            assert_ne!(key_part("product.", &format!("{stem}{tail}")), key_part("product.", &format!("{stem}{tail}x")));
        }

        #[test]
        fn no_annotation_panics(text in "\\PC{0,200}") {
            let _ = decode(&BTreeMap::from([(INVENTORY_ANNOTATION.to_owned(), text)]));
        }
    }
}
