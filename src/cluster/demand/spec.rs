//! A Pod's specification: its containers, and where it may be placed.

use k8s_openapi::api::core::v1::PodSpec;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::container::{
    Container, ContainerDemand, Resources, Role, Setting, VISIBLE_DEVICES, part,
};
use super::error::DemandError;
use super::need::{self, Amounts};
use super::{Annotations, Origin};
use crate::cluster::placement::{Basis, Placement, PodNetwork};
use crate::cluster::pod_hints::{self, ImplicitAccess, SharedMemory};
use crate::cluster::resource::GpuResources;
use crate::cluster::workload::{FieldPath, Located, Made, PathPattern};

/// Most containers of a Pod that are looked at: more than fit an object of 1.5 MiB, which is the most that etcd takes.
const MAX_CONTAINERS: usize = 65_536;
/// Where a container's shared memory is.
const SHARED_MEMORY: [&str; 2] = ["/dev/shm", "/dev"];
/// Fields of a Pod's specification that decide where it may be placed.
const PLACEMENT_FIELDS: [&str; 7] = [
    "nodeName",
    "nodeSelector",
    "os",
    "resourceClaims",
    "runtimeClassName",
    "tolerations",
    "affinity",
];
const DEFAULT_SCHEDULER: &str = "default-scheduler";
/// Values of `NVIDIA_VISIBLE_DEVICES` that give no GPU (NVIDIA Container Toolkit, environment variables).
const NO_DEVICES: [&str; 3] = ["", "void", "none"];

/// A Pod's specification.
pub(super) struct Spec<'a> {
    template: &'a Located<'a>,
    containers: Vec<Container>,
    pod_level: Amounts,
    settings: Settings,
}

/// Fields that matter and are no placement.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Settings {
    #[serde(rename = "hostIPC")]
    host_ipc: Option<bool>,
    host_network: Option<bool>,
    runtime_class_name: Option<String>,
    scheduler_name: Option<String>,
}

impl<'a> Spec<'a> {
    pub(super) fn read(template: &'a Located<'a>) -> Result<Self, DemandError> {
        let fields = [
            "hostIPC",
            "hostNetwork",
            "runtimeClassName",
            "schedulerName",
        ];
        let resources = template.path.field("resources");
        let pod_level: Resources = template
            .spec
            .get("resources")
            .map_or(Ok(Resources::default()), |value| part(&resources, value))?;
        Ok(Self {
            containers: containers(template)?,
            pod_level: pod_level.amounts(&resources)?,
            settings: part(&template.path, &fields_of(template, &fields))?,
            template,
        })
    }

    /// The containers that get GPUs.
    pub(super) fn demands(
        &self,
        resources: &GpuResources,
        annotations: &Annotations<'_>,
    ) -> Vec<ContainerDemand> {
        let gpus = |container: &Container| -> Amounts {
            let gpus = container
                .amounts
                .iter()
                .filter(|(name, amount)| **amount > 0 && resources.kind(name).is_some());
            gpus.map(|(name, amount)| (name.clone(), *amount)).collect()
        };
        let gpus: Vec<Amounts> = self.containers.iter().map(gpus).collect();
        let asking = if gpus.iter().all(Amounts::is_empty) {
            Asking::Nobody
        } else {
            Asking::Somebody
        };
        let demands = self
            .containers
            .iter()
            .zip(gpus)
            .filter_map(|(container, gpus)| {
                let implicit = if gpus.is_empty() {
                    self.implicit(container, asking)
                } else {
                    None
                };
                let gets = !gpus.is_empty() || implicit.is_some() || !container.claims.is_empty();
                gets.then(|| self.demand(container, gpus, implicit, annotations))
            });
        demands.collect()
    }

    /// Where the Pod may be placed.
    pub(super) fn placement(&self, made: Made, origin: Origin) -> Result<Placement, DemandError> {
        let fields = fields_of(self.template, &PLACEMENT_FIELDS);
        let spec: PodSpec = part(&self.template.path, &fields)?;
        let need = self
            .containers
            .iter()
            .map(|container| (container.role, &container.amounts));
        Ok(Placement::of_spec(
            &spec,
            self.basis(made, origin),
            need::of_pod(need, &self.pod_level),
        ))
    }

    /// The scheduler that the Pod names, if it is not the default one.
    pub(super) fn scheduler(&self) -> Option<String> {
        let name = self.settings.scheduler_name.clone();
        name.filter(|name| !name.is_empty() && name != DEFAULT_SCHEDULER)
    }

    fn basis(&self, made: Made, origin: Origin) -> Basis {
        match (made, origin) {
            (Made::Itself, Origin::Review) => Basis::AdmittedPod,
            (Made::Itself, Origin::Manifest) => Basis::WrittenPod,
            (Made::PerNode, _) if self.settings.host_network == Some(true) => {
                Basis::DaemonSet(PodNetwork::Host)
            }
            (Made::PerNode, _) => Basis::DaemonSet(PodNetwork::Own),
            (Made::FromTemplate | Made::Completed, _) => Basis::Template,
        }
    }

    fn demand(
        &self,
        container: &Container,
        gpus: Amounts,
        implicit: Option<ImplicitAccess>,
        annotations: &Annotations<'_>,
    ) -> ContainerDemand {
        let command = container.command();
        let name = container.name();
        ContainerDemand {
            role: container.role,
            field: container.path.field("image"),
            image: container
                .written
                .image
                .clone()
                .filter(|image| !image.is_empty()),
            shared_memory: self.shared_memory(container, &gpus),
            gpus,
            claims: container.claims.clone(),
            implicit,
            environment: container.environment(),
            requires: annotations.requires(&name),
            changed: container.surroundings(&command).software_change(),
            command,
            name,
        }
    }

    fn shared_memory(&self, container: &Container, gpus: &Amounts) -> SharedMemory {
        let several = gpus
            .values()
            .fold(0_u64, |sum, count| sum.saturating_add(*count))
            > 1;
        let shared = |mount: &str| SHARED_MEMORY.contains(&mount.trim_end_matches('/'));
        let provided = self.settings.host_ipc == Some(true) || container.mounts().any(shared);
        if several && !provided {
            SharedMemory::Default
        } else {
            SharedMemory::Enough
        }
    }

    /// How a container that asks for no GPU gets some. A runtime class alone says so only where nobody in the Pod asks.
    fn implicit(&self, container: &Container, asking: Asking) -> Option<ImplicitAccess> {
        let class = self
            .settings
            .runtime_class_name
            .as_deref()
            .filter(|name| pod_hints::is_gpu_runtime_class(name));
        match (container.environment().get(VISIBLE_DEVICES), class, asking) {
            (Setting::Text(value), _, _) if NO_DEVICES.contains(&value.as_str()) => None,
            (Setting::Text(value), _, _) => Some(ImplicitAccess::Variable { value }),
            (Setting::Unset | Setting::Elsewhere, Some(name), Asking::Nobody) => {
                Some(ImplicitAccess::RuntimeClass {
                    name: name.to_owned(),
                })
            }
            (Setting::Unset | Setting::Elsewhere, _, _) => None,
        }
    }
}

/// Whether a container of the Pod asks for GPUs.
#[derive(Clone, Copy)]
enum Asking {
    Somebody,
    Nobody,
}

/// The containers, init containers first.
fn containers(template: &Located<'_>) -> Result<Vec<Container>, DemandError> {
    let places = &template.template.containers;
    let find = |patterns: &[PathPattern], role| -> Vec<_> {
        let found = patterns
            .iter()
            .flat_map(|pattern| pattern.places(template.spec, &template.path));
        found.map(|(path, value)| (path, value, role)).collect()
    };
    let mut found = find(&places.init, Role::Init);
    found.extend(find(&places.main, Role::Main));
    if found.len() > MAX_CONTAINERS {
        return Err(DemandError::TooManyContainers {
            field: template.path.clone(),
            limit: MAX_CONTAINERS,
        });
    }
    let read = |(path, value, role): (FieldPath, &Value, Role)| {
        Container::read(path, value, role, &places.resources)
    };
    found
        .into_iter()
        .filter(|(_, value, _)| !value.is_null())
        .map(read)
        .collect()
}

/// Some fields of a specification, or else what is inherited; of the affinity only that to nodes.
fn fields_of(template: &Located<'_>, names: &[&str]) -> Value {
    let mut fields = Map::new();
    for name in names {
        let own = template.spec.get(name).filter(|value| !value.is_null());
        let value = own.or_else(|| template.inherited?.get(name));
        let value = match *name {
            "affinity" => value
                .and_then(|affinity| affinity.get("nodeAffinity"))
                .map(node_affinity),
            _ => value.cloned(),
        };
        fields.extend(value.map(|value| ((*name).to_owned(), value)));
    }
    Value::Object(fields)
}

fn node_affinity(affinity: &Value) -> Value {
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let terms = affinity.get(required).cloned().unwrap_or(Value::Null);
    serde_json::json!({ "nodeAffinity": { required: terms } })
}
