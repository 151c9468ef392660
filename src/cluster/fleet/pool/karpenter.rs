//! NodePools of Karpenter, from their JSON.
//!
//! Pure. A pool whose requirements leave the GPU open is unknown; one that can have no GPU is no candidate.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::knowledge::{Accelerators, CloudGpu, Doubt, Group, Knowledge, Models};
use super::{DeclaredTaint, Pool};
use crate::cluster::placement::{OperatingSystem, Operator, Requirement};
use crate::cluster::selector;
use crate::compat::{CpuArchitecture, Host};

/// A NodePool that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the NodePool cannot be read")]
pub struct UnreadablePool(#[source] serde_json::Error);

#[derive(Deserialize)]
struct RawPool {
    metadata: RawMetadata,
    spec: RawSpec,
}

#[derive(Deserialize)]
struct RawMetadata {
    name: String,
}

#[derive(Deserialize)]
struct RawSpec {
    template: RawTemplate,
}

#[derive(Deserialize)]
struct RawTemplate {
    #[serde(default)]
    metadata: RawLabels,
    spec: RawNodeSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawLabels {
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawNodeSpec {
    #[serde(default)]
    requirements: Vec<RawRequirement>,
    #[serde(default)]
    taints: Vec<DeclaredTaint>,
}

#[derive(Deserialize)]
struct RawRequirement {
    key: String,
    operator: String,
    #[serde(default)]
    values: Vec<String>,
}

impl Pool {
    /// A NodePool; `None` if its nodes have no NVIDIA GPUs. Start-up taints pass by themselves and are not kept.
    pub(in super::super) fn karpenter(
        pool: &serde_json::Value,
        models: &mut Models<'_>,
    ) -> Result<Option<Self>, UnreadablePool> {
        let RawPool { metadata, spec } = RawPool::deserialize(pool).map_err(UnreadablePool)?;
        let template = spec.template;
        let labels = template.metadata.labels.into_iter();
        let fixed = labels.map(|(key, value)| Requirement {
            key,
            operator: Operator::In,
            values: vec![value],
        });
        let required = template
            .spec
            .requirements
            .into_iter()
            .map(|raw| Requirement {
                key: raw.key,
                operator: Operator::named(&raw.operator),
                values: raw.values,
            });
        let requirements: Vec<Requirement> = fixed.chain(required).collect();
        let alternatives = alternatives(&requirements, models);
        let windows = allows(&requirements, "kubernetes.io/os", "windows")
            && !allows(&requirements, "kubernetes.io/os", "linux");
        let taints = template.spec.taints.iter().filter_map(DeclaredTaint::taint);
        Ok((!alternatives.is_empty()).then(|| Self {
            name: metadata.name,
            taints: taints.collect(),
            os: if windows {
                OperatingSystem::Windows
            } else {
                OperatingSystem::Linux
            },
            requirements,
            alternatives,
            gpus: None,
        }))
    }
}

/// What the GPUs of the pool's nodes may be; empty if they have none.
fn alternatives(requirements: &[Requirement], models: &mut Models<'_>) -> Vec<Knowledge> {
    let table = Accelerators::embedded();
    let excluded = requirements
        .iter()
        .any(|requirement| match requirement.operator {
            Operator::In => !requirement
                .values
                .iter()
                .any(|value| table.may_have_gpus(&requirement.key, value)),
            Operator::DoesNotExist => table.keys().any(|key| key == requirement.key),
            Operator::NotIn
            | Operator::Exists
            | Operator::Gt
            | Operator::Lt
            | Operator::Unreadable => false,
        });
    if excluded {
        return Vec::new();
    }
    let fixing = requirements.iter().find(|requirement| {
        requirement.operator == Operator::In && table.keys().any(|key| key == requirement.key)
    });
    let Some(fixing) = fixing else {
        return vec![Knowledge::Unknown(Doubt::OpenPool)];
    };
    let architecture = architecture(requirements);
    let mut found: Vec<Knowledge> = Vec::new();
    for value in &fixing.values {
        if !table.may_have_gpus(&fixing.key, value) {
            continue;
        }
        let knowledge = match table.says((&fixing.key, value), &BTreeMap::new(), models) {
            Some(CloudGpu::Model(host)) => Knowledge::Known(
                [Group::only(Host {
                    architecture: architecture.or(host.architecture),
                    ..*host
                })]
                .into(),
            ),
            Some(CloudGpu::Unknown) | None => Knowledge::Unknown(Doubt::OpenPool),
        };
        if !found.contains(&knowledge) {
            found.push(knowledge);
        }
    }
    found
}

fn architecture(requirements: &[Requirement]) -> Option<CpuArchitecture> {
    let about = requirements
        .iter()
        .find(|requirement| requirement.key == "kubernetes.io/arch")?;
    match (about.operator, about.values.as_slice()) {
        (Operator::In, [only]) => only.parse().ok(),
        _ => None,
    }
}

fn allows(requirements: &[Requirement], key: &str, value: &str) -> bool {
    let value = value.to_owned();
    let mut about = requirements
        .iter()
        .filter(|requirement| requirement.key == key);
    about.all(|requirement| selector::label_meets(requirement, Some(&value)))
}
