//! What does not keep a Pod from running, and yet costs its owner time: one line each.

use super::layout;
use crate::admission::assess::Advice;
use crate::cluster::demand::ContainerDemand;
use crate::cluster::pod_hints::ImplicitAccess;

/// The text of a warning about something to mind.
#[must_use]
pub fn advice(advice: &Advice<'_>) -> String {
    let sentence = match advice {
        Advice::SharedMemory { container } => shared_memory(container),
        Advice::Runtime { nodes, class } => runtime(*nodes, class),
        Advice::Implicit { container, access } => implicit(container, access),
    };
    layout::warning(&sentence, &[], advice.code())
}

/// Container runtimes mount 64 MiB at /dev/shm (containerd, CRI-O: `shm_size`), which NCCL and the workers of
/// PyTorch's `DataLoader` share.
fn shared_memory(container: &ContainerDemand) -> String {
    format!(
        "{} has {} GPUs and only 64 MiB at /dev/shm, where NCCL and DataLoader workers meet: mount an emptyDir with \
         medium: Memory there",
        who(container),
        container.gpu_count()
    )
}

fn runtime(nodes: usize, class: &str) -> String {
    let subject = if nodes == 1 {
        "1 node this Pod can land on gives".to_owned()
    } else {
        format!("{nodes} nodes this Pod can land on give")
    };
    format!(
        "{subject} GPUs only to Pods that ask for them by runtime class: set \
         runtimeClassName: {class}"
    )
}

fn implicit(container: &ContainerDemand, access: &ImplicitAccess) -> String {
    let how = match access {
        ImplicitAccess::Variable { value } => format!("NVIDIA_VISIBLE_DEVICES={value}"),
        ImplicitAccess::RuntimeClass { name } => format!("runtime class {name}"),
    };
    format!(
        "{} takes GPUs by {how} without asking for any, so the scheduler gives them to others too: put them into \
         resources.limits",
        who(container)
    )
}

fn who(container: &ContainerDemand) -> String {
    format!("container \"{}\"", container.name)
}
