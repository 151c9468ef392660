//! Reading a node's labels alone, without the annotation: less than the inventory, enough for most questions.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::DOMAIN;
use crate::compat::{ComputeCapability, CudaVersion, DriverVersion, Platform, RuntimeMode};

/// What the labels say; what a label does not say, or says illegibly, is not known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// All GPUs.
    pub count: Option<u32>,
    /// Products as far as a label key can spell them, with counts.
    pub products: Vec<(Box<str>, u32)>,
    /// Capabilities, with counts.
    pub capabilities: Vec<(ComputeCapability, u32)>,
    /// The driver.
    pub driver: Option<DriverVersion>,
    /// Newest CUDA version that the driver offers.
    pub cuda: Option<CudaVersion>,
    /// Discrete or integrated.
    pub platform: Option<Platform>,
    /// How the container runtime gives GPUs.
    pub runtime: Option<RuntimeMode>,
}

/// Reads our labels; `None` if the agent has not labelled the node.
#[must_use]
pub fn summary(labels: &BTreeMap<String, String>) -> Option<Summary> {
    let ours = format!("{DOMAIN}/");
    let from = labels.range(ours.clone()..);
    let mut found = Summary::default();
    let mut any = Seen::Nothing;
    for (key, value) in from {
        let Some(name) = key.strip_prefix(&ours) else {
            break;
        };
        if found.take(name, value) == Seen::Something {
            any = Seen::Something;
        }
    }
    (any == Seen::Something).then_some(found)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Something,
}

impl Summary {
    fn take(&mut self, name: &str, value: &str) -> Seen {
        match name {
            "gpu.count" => self.count = value.parse().ok(),
            "driver.version" => self.driver = value.parse().ok(),
            "cuda.max" => self.cuda = cuda(value),
            "platform" => self.platform = value.parse().ok(),
            "runtime.mode" => self.runtime = value.parse().ok(),
            _ => return self.take_counted(name, value),
        }
        Seen::Something
    }

    fn take_counted(&mut self, name: &str, value: &str) -> Seen {
        let Ok(count) = value.parse::<u32>() else {
            return Seen::Nothing;
        };
        if let Some(product) = name.strip_prefix("product.") {
            self.products.push((product.into(), count));
        } else if let Some(capability) =
            name.strip_prefix("sm-").and_then(read::<ComputeCapability>)
        {
            self.capabilities.push((capability, count));
        } else {
            return Seen::Nothing;
        }
        Seen::Something
    }
}

fn read<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// `1204` as CUDA 12.4.
fn cuda(value: &str) -> Option<CudaVersion> {
    let number: u16 = value.parse().ok()?;
    (number >= 100).then(|| CudaVersion::new(number / 100, number % 100))
}

#[cfg(test)]
mod tests {
    use super::super::{GpuGroup, NodeGpus, encode};
    use super::*;

    #[test]
    fn what_the_agent_writes_is_read_back_from_the_labels_alone() {
        let group = |product: &str, capability: &str, count| GpuGroup {
            product: product.to_owned(),
            compute_capability: capability.parse().unwrap(),
            memory_mib: 1,
            count,
        };
        let gpus = NodeGpus {
            groups: vec![
                group("Tesla T4", "7.5", 1),
                group("NVIDIA A100-SXM4-80GB", "8.0", 2),
            ],
            driver: Some("550.54.15".parse().unwrap()),
            cuda: Some(CudaVersion::new(12, 4)),
            platform: Platform::Dgpu,
            runtime: Some(RuntimeMode::Legacy),
            boot_id: "f00".to_owned(),
        };
        let found = summary(&encode(&gpus).labels).unwrap();
        let expected = Summary {
            count: Some(3),
            products: vec![("NVIDIA-A100-SXM4-80GB".into(), 2), ("Tesla-T4".into(), 1)],
            capabilities: vec![("7.5".parse().unwrap(), 1), ("8.0".parse().unwrap(), 2)],
            driver: gpus.driver,
            cuda: gpus.cuda,
            platform: Some(Platform::Dgpu),
            runtime: gpus.runtime,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn labels_of_other_meaning_are_no_summary() {
        let labels = [
            ("gpu-capgate.io/mode", "warn"),
            ("gpu-capgate.io/sm-", "1"),
            ("other", "1"),
        ];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(summary(&BTreeMap::from(labels)), None);
    }
}
