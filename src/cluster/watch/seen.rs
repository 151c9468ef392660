//! An object as a watch sees it: cut down while it is read, so that the whole of it is never held, and such that one
//! that cannot be read does not take those beside it along.

use std::borrow::Cow;
use std::fmt::Debug;

use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::api::resource::v1::{DeviceClass, ResourceSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use kube::api::ApiResource;
use kube::core::DynamicResourceScope;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::cluster::fleet::{DeviceClassObject, NodeObject, SliceObject, UnreadableNode};
use crate::cluster::namespaces::MODE_LABEL;

/// What matters of an object of some kind.
pub(super) trait Subject: Clone + Debug + Send + 'static {
    fn read(json: &str) -> Result<Self, Unreadable>;
}

/// An object of another shape than its kind has.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error(transparent)]
    Node(#[from] UnreadableNode),
    #[error("a part of it has another shape")]
    Malformed(#[from] serde_json::Error),
}

/// An object, or why it cannot be read.
#[derive(Debug, Clone)]
pub(super) enum Content<T> {
    Read(T),
    Unreadable(Box<str>),
}

/// An object with what every object has.
#[derive(Debug, Clone)]
pub(super) struct Seen<T> {
    /// Name and version only.
    metadata: ObjectMeta,
    pub(super) content: Content<T>,
}

impl<T> Seen<T> {
    /// Empty if even that cannot be read.
    pub(super) fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }
}

impl<'de, T: Subject> Deserialize<'de> for Seen<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(from)?.get();
        let head: Head = serde_json::from_str(json).unwrap_or_default();
        let text = |value: Value| value.as_str().map(str::to_owned);
        Ok(Self {
            metadata: ObjectMeta {
                name: text(head.metadata.name),
                resource_version: text(head.metadata.resource_version),
                ..ObjectMeta::default()
            },
            content: T::read(json)
                .map_or_else(|error| Content::Unreadable(causes(&error)), Content::Read),
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    metadata: HeadMetadata,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct HeadMetadata {
    name: Value,
    resource_version: Value,
}

fn causes(error: &Unreadable) -> Box<str> {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
        .into()
}

impl<T> Resource for Seen<T> {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Subject for NodeObject {
    fn read(json: &str) -> Result<Self, Unreadable> {
        Ok(Self::from_text(json)?)
    }
}

/// `None`: of another driver, or of no one node.
impl Subject for Option<SliceObject> {
    fn read(json: &str) -> Result<Self, Unreadable> {
        let slice: ResourceSlice = serde_json::from_str(json)?;
        Ok(SliceObject::read(slice))
    }
}

/// `None`: picks nothing of NVIDIA's.
impl Subject for Option<DeviceClassObject> {
    fn read(json: &str) -> Result<Self, Unreadable> {
        let class: DeviceClass = serde_json::from_str(json)?;
        Ok(DeviceClassObject::read(class))
    }
}

impl Subject for Box<RuntimeClass> {
    fn read(json: &str) -> Result<Self, Unreadable> {
        Ok(serde_json::from_str(json)?)
    }
}

/// What a namespace's label says, if it has one.
#[derive(Debug, Clone)]
pub(super) struct ModeText(pub(super) Option<String>);

impl Subject for ModeText {
    fn read(json: &str) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct RawNamespace {
            metadata: RawMetadata,
        }
        #[derive(Deserialize)]
        struct RawMetadata {
            #[serde(default)]
            labels: std::collections::BTreeMap<String, String>,
        }
        let mut namespace: RawNamespace = serde_json::from_str(json)?;
        Ok(Self(namespace.metadata.labels.remove(MODE_LABEL)))
    }
}

/// A NodePool of Karpenter, whole: there are few.
#[derive(Debug, Clone)]
pub(super) struct NodePool(pub(super) Value);

impl Subject for NodePool {
    fn read(json: &str) -> Result<Self, Unreadable> {
        Ok(Self(serde_json::from_str(json)?))
    }
}

/// Whether a Pod is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readiness {
    Ready,
    NotReady,
}

/// The Pod of an agent.
#[derive(Debug, Clone)]
pub(super) struct AgentPod {
    /// Its node; `None` while it has none.
    pub(super) node: Option<String>,
    pub(super) readiness: Readiness,
    /// Since when it is ready, or is not, by the clock of whoever wrote it.
    pub(super) since: Option<Time>,
}

impl Subject for AgentPod {
    fn read(json: &str) -> Result<Self, Unreadable> {
        let RawPod {
            metadata,
            spec,
            status,
        } = serde_json::from_str(json)?;
        let mut conditions = status.conditions.into_iter();
        let condition = conditions.find(|condition| condition.name == "Ready");
        let ready = condition
            .as_ref()
            .is_some_and(|condition| condition.status == "True");
        Ok(Self {
            node: spec.node_name.filter(|node| !node.is_empty()),
            readiness: if ready {
                Readiness::Ready
            } else {
                Readiness::NotReady
            },
            since: condition
                .and_then(|condition| condition.last_transition_time)
                .or(metadata.creation_timestamp),
        })
    }
}

#[derive(Deserialize)]
struct RawPod {
    metadata: RawPodMetadata,
    #[serde(default)]
    spec: RawPodSpec,
    #[serde(default)]
    status: RawPodStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPodMetadata {
    creation_timestamp: Option<Time>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPodSpec {
    node_name: Option<String>,
}

#[derive(Default, Deserialize)]
struct RawPodStatus {
    #[serde(default)]
    conditions: Vec<RawCondition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawCondition {
    #[serde(rename = "type")]
    name: String,
    status: String,
    last_transition_time: Option<Time>,
}
