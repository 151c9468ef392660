//! What a container gets for the GPUs that the kubelet chose: decided from the latest inventory, without any call.
//!
//! Pure. Knows nothing of gRPC.

use std::collections::BTreeMap;

use super::inventory::Inventory;

/// Environment variable by which NVIDIA's container runtime knows a container's GPUs
/// (NVIDIA container toolkit, "environment variables").
pub const VISIBLE_DEVICES: &str = "NVIDIA_VISIBLE_DEVICES";

/// A device that cannot be given. The kubelet shows the text to the Pod's owner.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllocateError {
    /// The kubelet asked for a GPU that this node does not have.
    #[error(
        "GPU {0:?} is not on this node any more; delete the Pod, so that its controller makes another"
    )]
    Unknown(String),
    /// The kubelet asked for nothing.
    #[error("the kubelet asked for a container without devices")]
    Nothing,
}

/// The environment of a container that gets those devices.
///
/// # Errors
/// See [`AllocateError`].
pub fn environment(
    inventory: &Inventory,
    device_ids: &[String],
) -> Result<BTreeMap<String, String>, AllocateError> {
    if device_ids.is_empty() {
        return Err(AllocateError::Nothing);
    }
    let has = |id: &String| inventory.gpus.iter().any(|gpu| gpu.uuid == *id);
    if let Some(unknown) = device_ids.iter().find(|id| !has(id)) {
        return Err(AllocateError::Unknown(unknown.chars().take(64).collect()));
    }
    Ok(BTreeMap::from([(
        VISIBLE_DEVICES.to_owned(),
        device_ids.join(","),
    )]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory() -> Inventory {
        let gpu = |number| {
            format!(
                "{{uuid: GPU-{number}, product: Tesla T4, computeCapability: \"7.5\", memoryMiB: 15360}}"
            )
        };
        Inventory::parse(&format!("gpus: [{}, {}]", gpu(1), gpu(2))).unwrap()
    }

    #[test]
    fn names_the_gpus_that_the_kubelet_chose() {
        let environment =
            environment(&inventory(), &["GPU-2".to_owned(), "GPU-1".to_owned()]).unwrap();
        assert_eq!(environment[VISIBLE_DEVICES], "GPU-2,GPU-1");
    }

    #[test]
    fn refuses_a_gpu_that_is_not_there() {
        let refused = environment(&inventory(), &["GPU-1".to_owned(), "GPU-9".to_owned()]);
        assert_eq!(refused, Err(AllocateError::Unknown("GPU-9".to_owned())));
    }

    #[test]
    fn refuses_to_give_nothing_since_the_runtime_would_read_that_as_all() {
        assert_eq!(environment(&inventory(), &[]), Err(AllocateError::Nothing));
    }
}
