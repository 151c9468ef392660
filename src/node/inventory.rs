//! What GPUs a node has: the agent's own picture, and the inventory file that it is read from.
//!
//! Pure: bytes in, inventory out. Knows nothing of Kubernetes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer};

use crate::compat::{ComputeCapability, CudaVersion, DriverVersion, Platform, RuntimeMode};
use crate::labels::{GpuGroup, NodeGpus};

/// Largest inventory file, in bytes.
pub const FILE_LIMIT: u64 = 1024 * 1024;
/// Most GPUs that one inventory may list; the largest servers hold 16, and MIG makes seven of one.
const GPU_LIMIT: usize = 1024;
/// Longest product name in bytes, as NVML defines it (`NVML_DEVICE_NAME_V2_BUFFER_SIZE`).
const PRODUCT_LIMIT: usize = 96;
/// Longest device ID in bytes: what the kubelet's API allows for (`Device.ID`).
const UUID_LIMIT: usize = 63;

/// The GPUs of one node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Inventory {
    /// The driver.
    #[serde(default, deserialize_with = "given")]
    pub driver: Option<DriverVersion>,
    /// Newest CUDA version that the driver offers.
    #[serde(default, deserialize_with = "given")]
    pub cuda: Option<CudaVersion>,
    /// Discrete or integrated GPUs.
    #[serde(default = "discrete")]
    pub platform: Platform,
    /// How the container runtime gives GPUs.
    #[serde(default, deserialize_with = "given")]
    pub runtime: Option<RuntimeMode>,
    /// The GPUs, in the order of their indices.
    pub gpus: Vec<Gpu>,
}

/// One GPU.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gpu {
    /// What NVIDIA calls the UUID (`GPU-` and a UUID): stable over restarts, and the device's ID for the kubelet.
    pub uuid: String,
    /// Product name, as the driver prints it.
    pub product: String,
    /// What it can execute.
    pub compute_capability: ComputeCapability,
    /// Its memory in MiB.
    #[serde(rename = "memoryMiB")]
    pub memory_mib: u64,
}

/// An inventory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// Not YAML, or not of this shape; the message has line and column.
    #[error("{0}")]
    Shape(Box<serde_saphyr::Error>),
    /// A text where it may not be empty, too long, or hold such characters.
    #[error("gpus[{index}].{field}: {value:?} is not {expected}")]
    Value {
        /// Which GPU, counted from 0.
        index: usize,
        /// Which of its fields.
        field: &'static str,
        /// What stands there, cut to 128 characters.
        value: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// Two GPUs with one UUID.
    #[error("gpus[{index}].uuid: {uuid} is there already; each GPU has a UUID of its own")]
    Duplicate {
        /// The second of the two, counted from 0.
        index: usize,
        /// The UUID.
        uuid: String,
    },
    /// More GPUs than any node has.
    #[error("gpus: {0} entries, and {GPU_LIMIT} are the most that one node may have")]
    TooMany(usize),
}

impl Inventory {
    /// Reads an inventory file (YAML or JSON, at most [`FILE_LIMIT`] bytes; the caller holds that limit).
    ///
    /// # Errors
    /// See [`InventoryError`].
    pub fn parse(text: &str) -> Result<Self, InventoryError> {
        let inventory: Self =
            serde_saphyr::from_str(text).map_err(|error| InventoryError::Shape(Box::new(error)))?;
        if inventory.gpus.len() > GPU_LIMIT {
            return Err(InventoryError::TooMany(inventory.gpus.len()));
        }
        let mut seen = BTreeSet::new();
        for (index, gpu) in inventory.gpus.iter().enumerate() {
            gpu.check(index)?;
            if !seen.insert(&gpu.uuid) {
                return Err(InventoryError::Duplicate {
                    index,
                    uuid: gpu.uuid.clone(),
                });
            }
        }
        Ok(inventory)
    }

    /// The inventory as the cluster sees it. `boot_id` is the kernel's.
    #[must_use]
    pub fn node_gpus(&self, boot_id: &str) -> NodeGpus {
        let mut counts = BTreeMap::new();
        for gpu in &self.gpus {
            let class = (gpu.compute_capability, gpu.product.as_str(), gpu.memory_mib);
            *counts.entry(class).or_default() += 1;
        }
        let groups = counts.into_iter().map(
            |((compute_capability, product, memory_mib), count)| GpuGroup {
                product: product.to_owned(),
                compute_capability,
                memory_mib,
                count,
            },
        );
        NodeGpus {
            groups: groups.collect(),
            driver: self.driver,
            cuda: self.cuda,
            platform: self.platform,
            runtime: self.runtime,
            boot_id: boot_id.to_owned(),
        }
    }
}

impl Gpu {
    fn check(&self, index: usize) -> Result<(), InventoryError> {
        let wrong = |field, value: &str, expected| {
            let value = value.chars().take(128).collect();
            Err(InventoryError::Value {
                index,
                field,
                value,
                expected,
            })
        };
        let in_id = |letter: u8| letter.is_ascii_alphanumeric() || b"-_./:".contains(&letter);
        if self.uuid.is_empty() || self.uuid.len() > UUID_LIMIT || !self.uuid.bytes().all(in_id) {
            return wrong("uuid", &self.uuid, "1 to 63 letters, digits, - _ . / or :");
        }
        let printable = |letter: u8| letter == b' ' || letter.is_ascii_graphic();
        let product = &self.product;
        if product.is_empty() || product.len() > PRODUCT_LIMIT || !product.bytes().all(printable) {
            return wrong("product", product, "1 to 96 printable ASCII characters");
        }
        Ok(())
    }
}

fn discrete() -> Platform {
    Platform::Dgpu
}

/// A value that may be left out, but not left empty: `driver:` with nothing behind it is a slip.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &str = "
driver: 550.54.15
cuda: \"12.4\"
runtime: legacy
gpus:
  - {uuid: GPU-1, product: Tesla T4, computeCapability: \"7.5\", memoryMiB: 15360}
  - {uuid: GPU-2, product: NVIDIA A100-SXM4-80GB, computeCapability: 8.0, memoryMiB: 81920}
  - {uuid: GPU-3, product: NVIDIA A100-SXM4-80GB, computeCapability: 8.0, memoryMiB: 81920}
";

    fn refused(text: &str) -> String {
        Inventory::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn equal_gpus_are_grouped_and_counted() {
        let groups = Inventory::parse(MIXED).unwrap().node_gpus("boot").groups;
        let summary: Vec<(u16, u32)> = groups
            .iter()
            .map(|group| (group.compute_capability.number(), group.count))
            .collect();
        assert_eq!(summary, [(75, 1), (80, 2)]);
    }

    #[test]
    fn a_node_may_have_no_gpus() {
        assert!(
            Inventory::parse("gpus: []")
                .unwrap()
                .node_gpus("boot")
                .groups
                .is_empty()
        );
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_line() {
        let message = refused("gpus:\n  - {uuid: GPU-1, prodct: Tesla T4}\n");
        assert!(
            message.contains("prodct") && message.contains("line 2"),
            "{message}"
        );
    }

    #[test]
    fn an_impossible_capability_is_named_with_its_line() {
        let message =
            refused("gpus:\n  - {uuid: G, product: T4, computeCapability: seven, memoryMiB: 1}\n");
        assert!(
            message.contains("seven") && message.contains("line 2"),
            "{message}"
        );
    }

    #[test]
    fn one_uuid_twice_is_refused() {
        let gpu = "{uuid: GPU-1, product: T4, computeCapability: \"7.5\", memoryMiB: 1}";
        let message = refused(&format!("gpus: [{gpu}, {gpu}]"));
        assert_eq!(
            message,
            "gpus[1].uuid: GPU-1 is there already; each GPU has a UUID of its own"
        );
    }

    #[test]
    fn a_uuid_that_the_kubelet_would_mangle_is_refused() {
        let message = refused(
            "gpus: [{uuid: \"a,b\", product: T4, computeCapability: \"7.5\", memoryMiB: 1}]",
        );
        assert!(
            message.starts_with("gpus[0].uuid: \"a,b\" is not"),
            "{message}"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,200}") {
            let _ = Inventory::parse(&text);
        }
    }
}
