//! What an object asks of the cluster: for each template of Pods, its containers that get GPUs and where they may be
//! placed.
//!
//! Pure: an object in, demands out. Images are texts here; what is in them is other layers' business.

mod container;
mod error;
mod need;
mod spec;

use std::collections::BTreeMap;

use serde_json::Value;

pub use container::{ContainerDemand, Environment, Role, Setting};
pub use error::DemandError;

use super::placement::Placement;
use super::resource::GpuResources;
use super::workload::{FieldPath, Kind, Kinds, Located, Made, ObjectKind};

/// Annotation by which a Pod chooses how its own check ends.
pub const MODE_ANNOTATION: &str = "gpu-capgate.io/mode";
/// Annotation by which an author says what a Pod's images need.
pub const REQUIRES_ANNOTATION: &str = "gpu-capgate.io/requires";
/// Beginning of the annotation that says it for one container, whose name follows.
pub const CONTAINER_REQUIRES_ANNOTATION: &str = "requires.gpu-capgate.io/";
/// Annotation of the API server's copies of static Pods: the kubelet runs those whatever is answered.
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// Reads what objects ask for.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// The kinds that are judged.
    pub kinds: &'a Kinds,
    /// The resources that are GPUs.
    pub resources: &'a GpuResources,
    /// Where the objects come from.
    pub origin: Origin,
}

/// Where an object comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A review by the API server: mutating admission is over.
    Review,
    /// A file, or something else that a person wrote.
    Manifest,
}

/// What an object turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// Of a kind that is judged; it may ask for no GPU.
    Workload(Workload),
    /// Not judged.
    Skipped(Skip),
}

/// Why an object is not judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Skip {
    /// It does not say what it is.
    NoKind,
    /// Its kind is not listed.
    Kind(ObjectKind),
    /// It is the API server's copy of a static Pod, which runs whatever is answered.
    MirrorPod,
    /// It is being deleted.
    Deleted,
}

/// An object that makes Pods.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// What it is.
    pub kind: ObjectKind,
    /// Its namespace, if it says one.
    pub namespace: Option<String>,
    /// Its name, or else the beginning that `generateName` gives.
    pub name: Option<String>,
    /// The object that manages it, if one does.
    pub owner: Option<Owner>,
    /// Its templates of which a container gets GPUs, in the order of the kind's table.
    pub groups: Vec<PodGroup>,
}

/// The owner that controls an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    /// What it is.
    pub kind: ObjectKind,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// Equal Pods of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct PodGroup {
    /// How many the object asks for: 1 where it does not say, or each node decides.
    pub replicas: u64,
    /// What each asks for.
    pub demand: Demand,
}

/// What a Pod asks for. Two that are equal need not be judged twice: this is all of an object that matters for GPUs
/// (images, commands, GPUs, claims, placement, suspension, our annotations), and neither names nor numbers of Pods.
#[derive(Debug, Clone, PartialEq)]
pub struct Demand {
    /// Where the Pod's specification stands in the object: `spec.template.spec`, `spec` of a Pod.
    pub path: FieldPath,
    /// Containers that get GPUs, init containers first, in the order of the Pod.
    pub containers: Vec<ContainerDemand>,
    /// Where the Pod may be placed.
    pub placement: Placement,
    /// How much of what runs is written here.
    pub standing: Standing,
    /// The scheduler that the Pod names, if it is not the default one; such a one may know more rules.
    pub scheduler: Option<String>,
    /// The value of [`MODE_ANNOTATION`] of the template, or else of the object, as written.
    pub mode: Option<String>,
}

/// How much of what will run is written in an object. Everything but [`Standing::Final`] only warns, and the check of
/// the Pods decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Its Pods are made as they stand here.
    Final,
    /// It is suspended, and may be changed before it starts.
    Suspended,
    /// A queue admits it, and adds where it may run then.
    Queued,
    /// Its controller completes it with things that are not in the object.
    Completed,
}

impl Reader<'_> {
    /// What an object asks for.
    ///
    /// # Errors
    /// A part that decides is not of the form that the API has: the error names the field.
    pub fn read(&self, object: &Value) -> Result<Reading, DemandError> {
        let Some(name) = ObjectKind::of(object) else {
            return Ok(Reading::Skipped(Skip::NoKind));
        };
        let Some(kind) = self.kinds.find(&name) else {
            return Ok(Reading::Skipped(Skip::Kind(name)));
        };
        match skip(object, kind.made) {
            Some(skip) => Ok(Reading::Skipped(skip)),
            None => self.workload(object, name, kind).map(Reading::Workload),
        }
    }

    fn workload(
        &self,
        object: &Value,
        name: ObjectKind,
        kind: &Kind,
    ) -> Result<Workload, DemandError> {
        let groups = kind.templates(object)?.into_iter();
        let groups = groups.map(|template| self.group(object, kind, &template));
        Ok(Workload {
            kind: name,
            namespace: metadata_text(object, "namespace"),
            name: metadata_text(object, "name").or_else(|| metadata_text(object, "generateName")),
            owner: controller(object),
            groups: groups
                .filter_map(Result::transpose)
                .collect::<Result<_, _>>()?,
        })
    }

    fn group(
        &self,
        object: &Value,
        kind: &Kind,
        template: &Located<'_>,
    ) -> Result<Option<PodGroup>, DemandError> {
        let annotations = Annotations::of(object, template, kind.made);
        let pod = spec::Spec::read(template)?;
        let containers = pod.demands(self.resources, &annotations);
        if containers.is_empty() {
            return Ok(None);
        }
        let demand = Demand {
            containers,
            placement: pod.placement(kind.made, self.origin)?,
            standing: self.standing(object, kind, template),
            scheduler: pod.scheduler(),
            mode: annotations.mode(),
            path: template.path.clone(),
        };
        Ok(Some(PodGroup {
            replicas: template.replicas,
            demand,
        }))
    }

    fn standing(&self, object: &Value, kind: &Kind, template: &Located<'_>) -> Standing {
        let queued =
            |metadata: Option<&Value>| metadata.is_some_and(|metadata| self.kinds.queues(metadata));
        match kind.made {
            Made::Itself => Standing::Final,
            Made::Completed => Standing::Completed,
            Made::FromTemplate | Made::PerNode if kind.is_suspended(object) => Standing::Suspended,
            Made::FromTemplate | Made::PerNode => {
                let queued = queued(object.get("metadata")) || queued(template.metadata);
                if queued {
                    Standing::Queued
                } else {
                    Standing::Final
                }
            }
        }
    }
}

impl Workload {
    /// Whether two versions of an object ask for the same, so that an update between them need not be judged.
    #[must_use]
    pub fn asks_the_same(&self, other: &Self) -> bool {
        let own = self.groups.iter().map(|group| &group.demand);
        own.eq(other.groups.iter().map(|group| &group.demand))
    }
}

/// Annotations that say something to us, in the order in which they are asked.
struct Annotations<'a> {
    template: BTreeMap<&'a str, &'a str>,
    object: BTreeMap<&'a str, &'a str>,
}

impl<'a> Annotations<'a> {
    fn of(object: &'a Value, template: &Located<'a>, made: Made) -> Self {
        let own = texts(object.get("metadata"), "annotations");
        match (made, template.metadata) {
            // Where the object has no place for the Pods' metadata, its controller passes on its own.
            (Made::Itself, _) | (_, None) => Self {
                template: own.clone(),
                object: own,
            },
            (_, Some(metadata)) => Self {
                template: texts(Some(metadata), "annotations"),
                object: own,
            },
        }
    }

    fn mode(&self) -> Option<String> {
        let value = self
            .template
            .get(MODE_ANNOTATION)
            .or_else(|| self.object.get(MODE_ANNOTATION));
        value.map(|value| (*value).to_owned())
    }

    /// What the author says that a container's image needs. Pods do not carry the annotations of what makes them, so
    /// only the template's count.
    fn requires(&self, container: &str) -> Option<String> {
        let own = format!("{CONTAINER_REQUIRES_ANNOTATION}{container}");
        let value = self
            .template
            .get(own.as_str())
            .or_else(|| self.template.get(REQUIRES_ANNOTATION));
        value.map(|value| (*value).to_owned())
    }
}

/// The fields of a mapping of texts in metadata.
fn texts<'a>(metadata: Option<&'a Value>, field: &str) -> BTreeMap<&'a str, &'a str> {
    let fields = metadata.and_then(|metadata| metadata.get(field)?.as_object());
    let texts = fields.into_iter().flatten();
    texts
        .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
        .collect()
}

/// Why an object is passed over. The mark of a mirror Pod means something on a Pod only; on what makes Pods anybody may
/// write it, and its Pods are looked at.
fn skip(object: &Value, made: Made) -> Option<Skip> {
    let metadata = object.get("metadata");
    if made == Made::Itself && texts(metadata, "annotations").contains_key(MIRROR_ANNOTATION) {
        return Some(Skip::MirrorPod);
    }
    metadata_text(object, "deletionTimestamp").map(|_| Skip::Deleted)
}

fn metadata_text(object: &Value, field: &str) -> Option<String> {
    let text = object.get("metadata")?.get(field)?.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

fn controller(object: &Value) -> Option<Owner> {
    let references = object.get("metadata")?.get("ownerReferences")?.as_array()?;
    let owner = references
        .iter()
        .find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))?;
    let text = |field| owner.get(field)?.as_str();
    Some(Owner {
        kind: ObjectKind::new(text("apiVersion")?, text("kind")?),
        name: text("name")?.to_owned(),
        uid: text("uid").unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests;
