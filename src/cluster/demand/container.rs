//! One container: what it asks for, and what of it bears on its image.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::error::DemandError;
use super::need::Amounts;
use crate::cluster::pod_hints::{ImplicitAccess, SharedMemory, SoftwareChange, Surroundings};
use crate::cluster::quantity;
use crate::cluster::resource::is_scalar;
use crate::cluster::workload::FieldPath;

/// Beginning of the variables that NVIDIA's container runtime reads.
const RUNTIME_VARIABLES: &str = "NVIDIA_";
/// The variable that names the GPUs which the runtime puts into a container.
pub(super) const VISIBLE_DEVICES: &str = "NVIDIA_VISIBLE_DEVICES";

/// A container that gets GPUs.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerDemand {
    /// Its name.
    pub name: String,
    /// When it runs.
    pub role: Role,
    /// Where its image stands in the object, or would: `spec.template.spec.containers[0].image`.
    pub field: FieldPath,
    /// The image, as written; `None` if the object does not say.
    pub image: Option<String>,
    /// How many GPUs it asks for, by resource; none if it gets them in another way.
    pub gpus: BTreeMap<String, u64>,
    /// Resource claims of the Pod that it uses.
    pub claims: Vec<String>,
    /// How it gets GPUs without asking, if that is so.
    pub implicit: Option<ImplicitAccess>,
    /// Its command and its arguments, as written.
    pub command: Vec<String>,
    /// Variables that NVIDIA's container runtime reads.
    pub environment: Environment,
    /// What the author says that its image needs, as written.
    pub requires: Option<String>,
    /// Why its software may differ from its image's, if something says so.
    pub changed: Option<SoftwareChange>,
    /// Whether several GPUs can talk through its shared memory.
    pub shared_memory: SharedMemory,
}

impl ContainerDemand {
    /// How many GPUs it asks for in all.
    #[must_use]
    pub fn gpu_count(&self) -> u64 {
        self.gpus
            .values()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// When a container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Before the others, and then no more.
    Init,
    /// From before the others until after them: an init container with `restartPolicy: Always`.
    Sidecar,
    /// Together with the other main containers.
    Main,
}

/// The variables of a container that NVIDIA's runtime reads (`NVIDIA_VISIBLE_DEVICES`, `NVIDIA_DISABLE_REQUIRE`,
/// `NVIDIA_REQUIRE_CUDA`, ...). They override the image's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    written: BTreeMap<String, Setting>,
    rest: Rest,
}

/// What variables that are not written may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Rest {
    #[default]
    Unset,
    /// `envFrom` is there.
    Elsewhere,
}

/// A variable of a container.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Setting {
    /// The Pod does not set it; the image may.
    Unset,
    /// It is this.
    Text(String),
    /// It is set, or may be, from something that is not in the object.
    Elsewhere,
}

impl Environment {
    /// What the Pod makes of a variable that begins with `NVIDIA_`.
    #[must_use]
    pub fn get(&self, name: &str) -> Setting {
        match (self.written.get(name), self.rest) {
            (Some(setting), _) => setting.clone(),
            (None, Rest::Unset) => Setting::Unset,
            (None, Rest::Elsewhere) => Setting::Elsewhere,
        }
    }

    /// The variables whose values are written in the object, by name.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.written
            .iter()
            .filter_map(|(name, setting)| match setting {
                Setting::Text(text) => Some((name.as_str(), text.as_str())),
                Setting::Unset | Setting::Elsewhere => None,
            })
    }
}

/// A container as it is written, with what its resources come to.
pub(super) struct Container {
    pub(super) path: FieldPath,
    pub(super) role: Role,
    pub(super) written: Written,
    /// Extended resources that it asks for.
    pub(super) amounts: Amounts,
    pub(super) claims: Vec<String>,
}

/// The fields of a container that matter.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Written {
    pub(super) name: Option<String>,
    pub(super) image: Option<String>,
    command: Option<Vec<String>>,
    args: Option<Vec<String>>,
    /// The script of a step of Argo Workflows.
    source: Option<String>,
    working_dir: Option<String>,
    env: Option<Vec<Variable>>,
    env_from: Option<Vec<IgnoredAny>>,
    pub(super) volume_mounts: Option<Vec<Mount>>,
    restart_policy: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Variable {
    name: String,
    value: Option<String>,
    value_from: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mount {
    mount_path: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Resources {
    limits: Option<BTreeMap<String, Value>>,
    requests: Option<BTreeMap<String, Value>>,
    claims: Option<Vec<Claim>>,
}

#[derive(Deserialize)]
struct Claim {
    name: String,
}

impl Container {
    /// The container that stands at a path; `resources` is the field that holds its resources.
    pub(super) fn read(
        path: FieldPath,
        value: &Value,
        role: Role,
        resources: &str,
    ) -> Result<Self, DemandError> {
        let written: Written = part(&path, value)?;
        let field = path.field(resources);
        let resources: Resources = value
            .get(resources)
            .map_or(Ok(Resources::default()), |value| part(&field, value))?;
        let sidecar = role == Role::Init && written.restart_policy.as_deref() == Some("Always");
        Ok(Self {
            path,
            role: if sidecar { Role::Sidecar } else { role },
            written,
            amounts: resources.amounts(&field)?,
            claims: resources
                .claims
                .into_iter()
                .flatten()
                .map(|claim| claim.name)
                .collect(),
        })
    }

    /// Its name, or else that of the field that it is.
    pub(super) fn name(&self) -> String {
        let name = self.written.name.clone().filter(|name| !name.is_empty());
        name.unwrap_or_else(|| {
            let outside = self.path.parent();
            let within = outside.and_then(|outside| self.path.within(&outside));
            within.unwrap_or_default().to_string()
        })
    }

    pub(super) fn command(&self) -> Vec<String> {
        let lists = [&self.written.command, &self.written.args];
        let words = lists.into_iter().flatten().flatten();
        words.chain(&self.written.source).cloned().collect()
    }

    /// What hints are read from.
    pub(super) fn surroundings<'a>(&'a self, command: &'a [String]) -> Surroundings<'a> {
        let variable =
            |variable: &'a Variable| Some((variable.name.as_str(), variable.value.as_deref()?));
        Surroundings {
            words: command.iter().map(String::as_str).collect(),
            working_directory: self
                .written
                .working_dir
                .as_deref()
                .filter(|folder| !folder.is_empty()),
            variables: self
                .written
                .env
                .iter()
                .flatten()
                .filter_map(variable)
                .collect(),
            mounts: self.mounts().collect(),
        }
    }

    /// Where volumes are mounted.
    pub(super) fn mounts(&self) -> impl Iterator<Item = &str> {
        self.written
            .volume_mounts
            .iter()
            .flatten()
            .map(|mount| mount.mount_path.as_str())
    }

    pub(super) fn environment(&self) -> Environment {
        let ours = self.written.env.iter().flatten();
        let ours = ours.filter(|variable| variable.name.starts_with(RUNTIME_VARIABLES));
        let rest = match self.written.env_from.as_deref() {
            None | Some([]) => Rest::Unset,
            Some(_) => Rest::Elsewhere,
        };
        Environment {
            written: ours
                .map(|variable| (variable.name.clone(), variable.setting()))
                .collect(),
            rest,
        }
    }
}

impl Variable {
    fn setting(&self) -> Setting {
        match (&self.value, &self.value_from) {
            (_, Some(_)) => Setting::Elsewhere,
            (Some(value), None) => Setting::Text(value.clone()),
            (None, None) => Setting::Text(String::new()),
        }
    }
}

impl Resources {
    /// What is asked for of each extended resource: the request, or else the limit, which is its default.
    pub(super) fn amounts(&self, field: &FieldPath) -> Result<Amounts, DemandError> {
        let mut amounts = Amounts::new();
        for list in [&self.limits, &self.requests] {
            for (name, value) in list.iter().flatten().filter(|(name, _)| is_scalar(name)) {
                amounts.insert(name.clone(), amount(field, name, value)?);
            }
        }
        Ok(amounts)
    }
}

fn amount(field: &FieldPath, name: &str, value: &Value) -> Result<u64, DemandError> {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    quantity::whole(&text).map_err(|cause| DemandError::Quantity {
        field: field.clone(),
        resource: name.to_owned(),
        cause,
    })
}

/// A part of an object as what it should be.
pub(super) fn part<T: for<'de> Deserialize<'de>>(
    field: &FieldPath,
    value: &Value,
) -> Result<T, DemandError> {
    T::deserialize(value).map_err(|error| DemandError::Malformed {
        field: field.clone(),
        reason: error.to_string(),
    })
}
