//! What a Pod asks of the cluster: its containers that get GPUs, and where it may be placed.
//!
//! Pure: an object in, a demand out.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::placement::{Basis, Placement};

/// Annotation by which a Pod chooses how its own check ends.
pub const MODE_ANNOTATION: &str = "gpu-capgate.io/mode";
/// Annotation of the API server's copies of static Pods: the kubelet runs those whatever is answered.
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// A Pod's wish for GPUs.
#[derive(Debug, Clone, PartialEq)]
pub struct Demand {
    /// Containers and init containers that ask for GPUs, in the order of the Pod.
    pub containers: Vec<ContainerDemand>,
    /// Where the Pod may be placed.
    pub placement: Placement,
    /// The value of [`MODE_ANNOTATION`], as written.
    pub mode: Option<String>,
}

/// One container that asks for GPUs.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerDemand {
    /// Its name.
    pub name: String,
    /// Where its image stands in the object, as `spec.containers[0].image`.
    pub field: String,
    /// The image, as written.
    pub image: String,
    /// How many GPUs it asks for.
    pub gpus: u32,
    /// Why its software may differ from its image's, if something says so.
    pub changed: Option<SoftwareChange>,
}

/// What makes a container's software differ from its image's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoftwareChange {
    /// Its command line runs a package installer.
    Installs,
}

/// Installers whose appearance in a command line makes an image's contents uncertain.
const INSTALLERS: [&str; 6] = ["pip", "pip3", "conda", "mamba", "uv", "poetry"];

/// The demand of a Pod for a resource; `None` if it asks for no GPU or nobody could act on an answer.
#[must_use]
pub fn of_pod(pod: &Pod, resource: &str) -> Option<Demand> {
    let annotations = pod.metadata.annotations.as_ref();
    let annotation = |key| annotations.and_then(|annotations| annotations.get(key));
    if annotation(MIRROR_ANNOTATION).is_some() || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let spec = pod.spec.as_ref()?;
    let containers = gpu_containers(spec, resource);
    let mode = annotation(MODE_ANNOTATION).cloned();
    (!containers.is_empty()).then(|| Demand {
        placement: placement(spec, &containers, resource),
        containers,
        mode,
    })
}

fn gpu_containers(spec: &PodSpec, resource: &str) -> Vec<ContainerDemand> {
    let init = spec.init_containers.iter().flatten().enumerate();
    let main = spec.containers.iter().enumerate();
    init.map(|(index, container)| (format!("spec.initContainers[{index}].image"), container))
        .chain(
            main.map(|(index, container)| (format!("spec.containers[{index}].image"), container)),
        )
        .filter_map(|(field, container)| container_demand(field, container, resource))
        .collect()
}

fn container_demand(
    field: String,
    container: &Container,
    resource: &str,
) -> Option<ContainerDemand> {
    let limits = container.resources.as_ref()?.limits.as_ref()?;
    let gpus = whole_number(&limits.get(resource)?.0)?;
    (gpus > 0).then(|| ContainerDemand {
        name: container.name.clone(),
        field,
        image: container.image.clone().unwrap_or_default(),
        gpus,
        changed: installs(container).then_some(SoftwareChange::Installs),
    })
}

/// A quantity of an extended resource, which the API server has validated to be whole. What is not understood counts
/// as one: it asks for GPUs, and how many matters little.
fn whole_number(quantity: &str) -> Option<u32> {
    let quantity = quantity.trim();
    if quantity.is_empty() {
        return None;
    }
    Some(quantity.parse().unwrap_or(1))
}

fn installs(container: &Container) -> bool {
    let words = container
        .command
        .iter()
        .chain(container.args.iter())
        .flatten();
    words
        .flat_map(|word| word.split(|letter: char| !letter.is_ascii_alphanumeric()))
        .any(|word| INSTALLERS.contains(&word))
}

fn placement(spec: &PodSpec, containers: &[ContainerDemand], resource: &str) -> Placement {
    let most = containers
        .iter()
        .map(|container| u64::from(container.gpus))
        .max();
    let resources = most.map(|most| (resource.to_owned(), most));
    Placement::of_spec(spec, Basis::AdmittedPod, resources.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn demand(spec: &Value) -> Option<Demand> {
        let pod =
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec});
        of_pod(&serde_json::from_value(pod).unwrap(), "nvidia.com/gpu")
    }

    fn container(gpus: &str) -> Value {
        json!({"name": "train", "image": "i", "resources": {"limits": {"nvidia.com/gpu": gpus}}})
    }

    #[test]
    fn a_pod_without_gpus_is_none_of_our_business() {
        assert_eq!(
            demand(&json!({"containers": [{"name": "web", "image": "nginx"}]})),
            None
        );
        assert_eq!(demand(&json!({"containers": [container("0")]})), None);
    }

    #[test]
    fn init_containers_count_and_carry_their_path() {
        let spec = json!({"initContainers": [container("1")], "containers": [container("2")]});
        let found: Vec<(String, u32)> = demand(&spec)
            .unwrap()
            .containers
            .into_iter()
            .map(|found| (found.field, found.gpus))
            .collect();
        let expected = [
            ("spec.initContainers[0].image", 1),
            ("spec.containers[0].image", 2),
        ];
        assert_eq!(
            found,
            expected.map(|(field, gpus)| (field.to_owned(), gpus))
        );
    }

    #[test]
    fn a_mirror_pod_runs_whatever_we_say() {
        let pod = json!({"metadata": {"annotations": {MIRROR_ANNOTATION: "x"}}, "spec": {"containers": [container("1")]}});
        assert_eq!(
            of_pod(&serde_json::from_value(pod).unwrap(), "nvidia.com/gpu"),
            None
        );
    }

    #[test]
    fn a_command_that_installs_makes_the_software_uncertain() {
        let mut installing = container("1");
        installing["command"] = json!(["sh", "-c", "pip install torch && python train.py"]);
        let found = demand(&json!({"containers": [installing]})).unwrap();
        assert_eq!(found.containers[0].changed, Some(SoftwareChange::Installs));
        let mut plain = container("1");
        plain["command"] = json!(["python", "pipeline.py"]);
        assert_eq!(
            demand(&json!({"containers": [plain]})).unwrap().containers[0].changed,
            None
        );
    }
}
