//! Which kinds of objects make Pods, and where the Pods' templates stand in them.
//!
//! The kinds are data (`data/workloads.toml`), and an operator may add some in the same form. A kind that is not
//! listed is not judged: nothing here guesses. What a template asks for is `demand`'s business.

mod path;

use std::fmt;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

pub use path::{FieldPath, PathPattern, PathPatternError, Step};

const BUNDLED: &str = include_str!("data/workloads.toml");
/// Largest list of kinds that is read, in bytes.
pub const MAX_KINDS_BYTES: usize = 256 * 1024;
/// Most templates of one object that are looked at.
pub const MAX_TEMPLATES: usize = 1024;

/// What an object is: `apps/v1 Deployment`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKind {
    /// API group; empty for the core one.
    pub group: String,
    /// Version in that group.
    pub version: String,
    /// The kind.
    pub kind: String,
}

impl ObjectKind {
    /// From the two fields that each object has.
    #[must_use]
    pub fn new(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
        }
    }

    /// The kind of an object; `None` if it does not say both `apiVersion` and `kind`.
    #[must_use]
    pub fn of(object: &Value) -> Option<Self> {
        let text = |key| object.get(key)?.as_str().filter(|text| !text.is_empty());
        Some(Self::new(text("apiVersion")?, text("kind")?))
    }

    /// Group and version as an object writes them: `apps/v1`, `v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.api_version(), self.kind)
    }
}

/// All kinds that are judged.
#[derive(Debug, Clone)]
pub struct Kinds {
    kinds: Vec<Kind>,
    queues: Vec<Queue>,
}

/// A label by which an object joins a queue that decides later where its Pods may run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// The label.
    pub label: String,
    /// Where this is written.
    pub source: String,
}

/// Kinds of one API group whose templates stand at the same places.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Kind {
    /// API group; empty for the core one.
    pub group: String,
    /// Versions in which the templates stand where this entry says.
    pub versions: Vec<String>,
    /// Names of the kinds.
    pub kinds: Vec<String>,
    /// What becomes of the templates.
    #[serde(default)]
    pub made: Made,
    /// Fields that are `true` while no Pods are made.
    #[serde(default)]
    pub suspend: Vec<PathPattern>,
    /// Where the templates stand.
    pub template: Vec<Template>,
    /// Where this is written.
    pub source: String,
}

/// How Pods come from an object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Made {
    /// The object is a Pod.
    Itself,
    /// A controller makes Pods from a template.
    #[default]
    FromTemplate,
    /// The DaemonSet controller makes one for each node, with tolerations of its own.
    PerNode,
    /// A controller completes what stands here with things that are not in the object, so it tells only a part.
    Completed,
}

/// Where templates of one sort stand in an object.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Template {
    /// The place.
    pub path: PathPattern,
    /// What stands there.
    pub shape: Shape,
    /// Fields whose product is the number of Pods, each 1 if absent.
    #[serde(default)]
    pub replicas: Vec<PathPattern>,
    /// Where its containers stand in the Pod's specification.
    #[serde(default)]
    pub containers: Containers,
    /// A place whose fields hold for whatever the template leaves out.
    pub inherits: Option<PathPattern>,
}

/// What stands at the place of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// A `PodTemplateSpec`: metadata and a specification.
    Template,
    /// A `PodSpec`; `metadata` beside it, if there, is the Pod's.
    Spec,
}

/// Where containers stand in a Pod's specification, and how they write their resources.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Containers {
    /// Those that run side by side.
    pub main: Vec<PathPattern>,
    /// Those that run before them.
    pub init: Vec<PathPattern>,
    /// The field of a container that holds its resources.
    pub resources: String,
}

impl Default for Containers {
    fn default() -> Self {
        let pattern = |text: &str| text.parse().ok();
        Self {
            main: pattern("containers[]").into_iter().collect(),
            init: pattern("initContainers[]").into_iter().collect(),
            resources: "resources".to_owned(),
        }
    }
}

/// A template of an object.
#[derive(Debug, Clone)]
pub struct Located<'a> {
    /// What the table says of its place.
    pub template: &'a Template,
    /// Where its Pod specification stands: `spec.template.spec`.
    pub path: FieldPath,
    /// Its Pod specification.
    pub spec: &'a Value,
    /// Its Pods' metadata, if the object has a place for it.
    pub metadata: Option<&'a Value>,
    /// What holds for fields that the specification leaves out.
    pub inherited: Option<&'a Value>,
    /// How many Pods the object asks for.
    pub replicas: u64,
}

/// An object with more templates than are looked at. Leaving out the rest would be a way past the check.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: more than {MAX_TEMPLATES} templates of Pods: split the object")]
pub struct TooManyTemplates {
    /// The first that is too much.
    pub field: FieldPath,
}

/// A list of kinds that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KindsError {
    /// Larger than [`MAX_KINDS_BYTES`].
    #[error("the list of workload kinds has {length} bytes (at most {MAX_KINDS_BYTES})")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// Not TOML, or not of the form of `workloads.toml`; the cause has line and key.
    #[error(
        "the list of workload kinds cannot be read: write [[kind]] entries as src/cluster/data/workloads.toml has"
    )]
    Parse(#[source] toml::de::Error),
    /// An entry that names nothing to judge.
    #[error("workload kinds of group {group:?}: {what} is empty")]
    Empty {
        /// The entry's group.
        group: String,
        /// The list that has nothing in it.
        what: &'static str,
    },
    /// Two entries for one kind in one list.
    #[error("workload kind {kind} is listed twice")]
    Twice {
        /// The kind.
        kind: ObjectKind,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KindList {
    #[serde(default)]
    kind: Vec<Kind>,
    #[serde(default)]
    queue: Vec<Queue>,
}

impl Kinds {
    /// The kinds that the program knows.
    ///
    /// # Errors
    /// None in a released program: a test reads them.
    pub fn bundled() -> Result<Self, KindsError> {
        parse(BUNDLED)
    }

    /// These kinds and those of a list in the same form, which go first.
    ///
    /// # Errors
    /// What is wrong with the list.
    pub fn with(self, list: &str) -> Result<Self, KindsError> {
        let list = parse(list)?;
        Ok(self.behind(list))
    }

    /// These kinds and those entries, which go first.
    ///
    /// # Errors
    /// What is wrong with the entries.
    pub fn with_entries(self, kinds: Vec<Kind>, queues: Vec<Queue>) -> Result<Self, KindsError> {
        let list = checked(KindList {
            kind: kinds,
            queue: queues,
        })?;
        Ok(self.behind(list))
    }

    fn behind(self, mut first: Self) -> Self {
        first.kinds.extend(self.kinds);
        first.queues.extend(self.queues);
        first
    }

    /// What is known of a kind; `None` if objects of it are not judged.
    #[must_use]
    pub fn find(&self, kind: &ObjectKind) -> Option<&Kind> {
        self.kinds.iter().find(|entry| entry.names(kind))
    }

    /// Whether an object or template with that metadata waits for a queue.
    #[must_use]
    pub fn queues(&self, metadata: &Value) -> bool {
        let labels = metadata.get("labels");
        self.queues
            .iter()
            .any(|queue| labels.is_some_and(|labels| labels.get(&queue.label).is_some()))
    }

    /// All entries, an operator's before the program's.
    #[must_use]
    pub fn entries(&self) -> &[Kind] {
        &self.kinds
    }
}

impl Kind {
    /// The templates of an object of this kind.
    ///
    /// # Errors
    /// There are more than [`MAX_TEMPLATES`].
    pub fn templates<'a>(
        &'a self,
        object: &'a Value,
    ) -> Result<Vec<Located<'a>>, TooManyTemplates> {
        let found = self.template.iter().flat_map(|template| {
            let places = template.path.places(object, &FieldPath::root());
            places
                .into_iter()
                .filter_map(|place| template.locate(object, place))
        });
        let found: Vec<Located<'a>> = found.take(MAX_TEMPLATES + 1).collect();
        match found.get(MAX_TEMPLATES) {
            Some(first) => Err(TooManyTemplates {
                field: first.path.clone(),
            }),
            None => Ok(found),
        }
    }

    /// Whether an object of this kind makes no Pods for now.
    #[must_use]
    pub fn is_suspended(&self, object: &Value) -> bool {
        self.suspend
            .iter()
            .flat_map(|pattern| pattern.places(object, &FieldPath::root()))
            .any(|(_, value)| value.as_bool() == Some(true))
    }

    fn names(&self, kind: &ObjectKind) -> bool {
        self.group == kind.group
            && self.kinds.contains(&kind.kind)
            && self.versions.contains(&kind.version)
    }

    fn members(&self) -> impl Iterator<Item = ObjectKind> {
        self.kinds.iter().flat_map(|kind| {
            self.versions.iter().map(|version| ObjectKind {
                group: self.group.clone(),
                version: version.clone(),
                kind: kind.clone(),
            })
        })
    }

    fn check(&self) -> Result<(), KindsError> {
        let lists = [
            ("versions", self.versions.is_empty()),
            ("kinds", self.kinds.is_empty()),
            ("template", self.template.is_empty()),
            ("source", self.source.is_empty()),
        ];
        match lists.into_iter().find(|(_, empty)| *empty) {
            Some((what, _)) => Err(KindsError::Empty {
                group: self.group.clone(),
                what,
            }),
            None => Ok(()),
        }
    }
}

impl Template {
    /// The template at a place; `None` if what stands there is no template.
    fn locate<'a>(
        &'a self,
        object: &'a Value,
        (path, found): (FieldPath, &'a Value),
    ) -> Option<Located<'a>> {
        let (path, spec, metadata) = match self.shape {
            Shape::Template => (
                path.field("spec"),
                found.get("spec")?,
                found.get("metadata"),
            ),
            Shape::Spec => {
                let around = path.parent().and_then(|parent| parent.find(object));
                (
                    path,
                    found,
                    around.and_then(|around| around.get("metadata")),
                )
            }
        };
        Some(Located {
            template: self,
            replicas: self.replicas(object, &path),
            inherited: self
                .inherits
                .as_ref()
                .and_then(|pattern| pattern.beside(object, &path)),
            path,
            spec: spec.is_object().then_some(spec)?,
            metadata,
        })
    }

    fn replicas(&self, object: &Value, path: &FieldPath) -> u64 {
        let factor = |pattern: &PathPattern| pattern.beside(object, path).and_then(Value::as_u64);
        let factors = self.replicas.iter().filter_map(factor);
        factors.fold(1, u64::saturating_mul)
    }
}

fn parse(text: &str) -> Result<Kinds, KindsError> {
    if text.len() > MAX_KINDS_BYTES {
        return Err(KindsError::TooLong { length: text.len() });
    }
    checked(toml::from_str(text).map_err(KindsError::Parse)?)
}

fn checked(list: KindList) -> Result<Kinds, KindsError> {
    let mut seen = std::collections::BTreeSet::new();
    for kind in &list.kind {
        kind.check()?;
        if let Some(kind) = kind.members().find(|member| !seen.insert(member.clone())) {
            return Err(KindsError::Twice { kind });
        }
    }
    Ok(Kinds {
        kinds: list.kind,
        queues: list.queue,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bundled() -> Kinds {
        Kinds::bundled().unwrap()
    }

    /// Paths of the Pod specifications of an object, and how many Pods each asks for.
    fn found(object: &Value) -> Vec<(String, u64)> {
        let kinds = bundled();
        let kind = kinds.find(&ObjectKind::of(object).unwrap()).unwrap();
        let templates = kind.templates(object).unwrap();
        templates
            .iter()
            .map(|found| (found.path.to_string(), found.replicas))
            .collect()
    }

    fn paths(object: &Value) -> Vec<String> {
        found(object).into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn the_bundled_list_is_sorted_and_cites_its_sources() {
        let kinds = bundled();
        let keys: Vec<_> = kinds
            .entries()
            .iter()
            .map(|entry| (entry.group.clone(), entry.kinds.clone()))
            .collect();
        assert!(keys.is_sorted());
        assert!(
            kinds
                .entries()
                .iter()
                .all(|entry| entry.source.len() > 20 && entry.kinds.is_sorted())
        );
    }

    #[test]
    fn every_kind_of_kubernetes_itself_has_its_place() {
        let template = json!({"spec": {}});
        let job = json!({"template": template, "parallelism": 3});
        for (api_version, kind, object, path, replicas) in [
            ("v1", "Pod", json!({"spec": {}}), "spec", 1),
            (
                "v1",
                "PodTemplate",
                json!({"template": template}),
                "template.spec",
                1,
            ),
            (
                "v1",
                "ReplicationController",
                json!({"spec": {"template": template}}),
                "spec.template.spec",
                1,
            ),
            (
                "apps/v1",
                "Deployment",
                json!({"spec": {"template": template, "replicas": 4}}),
                "spec.template.spec",
                4,
            ),
            (
                "apps/v1",
                "StatefulSet",
                json!({"spec": {"template": template}}),
                "spec.template.spec",
                1,
            ),
            (
                "apps/v1",
                "ReplicaSet",
                json!({"spec": {"template": template, "replicas": 0}}),
                "spec.template.spec",
                0,
            ),
            (
                "apps/v1",
                "DaemonSet",
                json!({"spec": {"template": template}}),
                "spec.template.spec",
                1,
            ),
            (
                "batch/v1",
                "Job",
                json!({"spec": job}),
                "spec.template.spec",
                3,
            ),
            (
                "batch/v1",
                "CronJob",
                json!({"spec": {"jobTemplate": {"spec": job}}}),
                "spec.jobTemplate.spec.template.spec",
                3,
            ),
        ] {
            let mut object = object;
            object["apiVersion"] = json!(api_version);
            object["kind"] = json!(kind);
            assert_eq!(found(&object), [(path.to_owned(), replicas)], "{kind}");
        }
    }

    #[test]
    fn several_templates_are_found_with_their_own_numbers() {
        let template = json!({"spec": {}});
        let object = json!({"apiVersion": "ray.io/v1", "kind": "RayCluster", "spec": {
            "headGroupSpec": {"template": template},
            "workerGroupSpecs": [{"replicas": 2, "numOfHosts": 4, "template": template}, {"template": template}]}});
        let place = |path: &str, replicas| (path.to_owned(), replicas);
        assert_eq!(
            found(&object),
            [
                place("spec.headGroupSpec.template.spec", 1),
                place("spec.workerGroupSpecs[0].template.spec", 8),
                place("spec.workerGroupSpecs[1].template.spec", 1),
            ]
        );
        let object = json!({"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "spec": {"pytorchReplicaSpecs": {
            "Master": {"replicas": 1, "template": template}, "Worker": {"replicas": 3, "template": template}}}});
        assert_eq!(
            found(&object),
            [
                place("spec.pytorchReplicaSpecs.Master.template.spec", 1),
                place("spec.pytorchReplicaSpecs.Worker.template.spec", 3),
            ]
        );
        let object = json!({"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "spec": {"replicatedJobs": [
            {"replicas": 2, "template": {"spec": {"parallelism": 3, "template": template}}}]}});
        assert_eq!(
            found(&object),
            [place(
                "spec.replicatedJobs[0].template.spec.template.spec",
                6
            )]
        );
        let object = json!({"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "spec": {
            "replicas": 2, "leaderWorkerTemplate": {"size": 4, "workerTemplate": template}}});
        assert_eq!(
            found(&object),
            [place("spec.leaderWorkerTemplate.workerTemplate.spec", 8)]
        );
    }

    #[test]
    fn kinds_that_spell_a_pod_otherwise_are_found_where_they_put_it() {
        let object = json!({"apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "inference": {"template": {"spec": {}}}});
        assert_eq!(paths(&object), ["inference.template.spec"]);
        let object = json!({"apiVersion": "serving.knative.dev/v1", "kind": "Service", "spec": {"template": {"spec": {}}}});
        assert_eq!(paths(&object), ["spec.template.spec"]);
        let object = json!({"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService",
            "spec": {"predictor": {"workerSpec": {}}, "canary": [{"predictor": {}}]}});
        assert_eq!(
            paths(&object),
            [
                "spec.predictor",
                "spec.predictor.workerSpec",
                "spec.canary[0].predictor"
            ]
        );
        let object = json!({"apiVersion": "trainer.kubeflow.org/v1alpha1", "kind": "TrainJob", "spec": {"trainer": {"numNodes": 2}}});
        assert_eq!(found(&object), [("spec".to_owned(), 2)]);
    }

    #[test]
    fn other_groups_versions_and_kinds_are_not_judged() {
        let kinds = bundled();
        for (api_version, kind) in [
            ("v1", "Service"),
            ("batch/v2", "Job"),
            ("example.com/v1", "Deployment"),
            ("kueue.x-k8s.io/v1beta1", "Workload"),
        ] {
            assert!(
                kinds.find(&ObjectKind::new(api_version, kind)).is_none(),
                "{api_version} {kind}"
            );
        }
    }

    #[test]
    fn what_stands_at_a_path_must_be_a_specification() {
        for spec in [
            json!([]),
            json!("x"),
            json!(null),
            json!({"template": []}),
            json!({"template": {"spec": 1}}),
        ] {
            let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec});
            assert_eq!(paths(&object), [""; 0]);
        }
    }

    #[test]
    fn an_operator_adds_kinds_in_the_same_form() {
        let list = "[[kind]]\ngroup = \"example.com\"\nversions = [\"v1\"]\nkinds = [\"Training\"]\nsource = \"ours\"\n\
                    [[kind.template]]\npath = \"spec.pod\"\nshape = \"template\"\n[[queue]]\nlabel = \"q\"\nsource = \"x\"\n";
        let kinds = bundled().with(list).unwrap();
        assert!(
            kinds
                .find(&ObjectKind::new("example.com/v1", "Training"))
                .is_some()
        );
        assert!(kinds.find(&ObjectKind::new("v1", "Pod")).is_some());
        assert!(kinds.queues(&json!({"labels": {"q": ""}})) && !kinds.queues(&json!({})));
    }

    #[test]
    fn a_list_of_kinds_that_is_wrong_is_refused_with_the_reason() {
        let entry = |text: &str| {
            format!(
                "[[kind]]\ngroup = \"g\"\nversions = [\"v1\"]\nkinds = [\"A\"]\nsource = \"s\"\n{text}"
            )
        };
        let refused = |list: &str| bundled().with(list).unwrap_err();
        let template = "[[kind.template]]\npath = \"spec\"\nshape = \"spec\"\n";
        assert!(matches!(
            refused(&entry("template = []\n")),
            KindsError::Empty {
                what: "template",
                ..
            }
        ));
        assert!(matches!(
            refused(&entry("paths = []\n")),
            KindsError::Parse(_)
        ));
        assert!(matches!(
            refused(&entry(&template.replace("\"spec\"\ns", "\"a..b\"\ns"))),
            KindsError::Parse(_)
        ));
        let twice = format!("{}{}", entry(template), entry(template));
        assert_eq!(
            refused(&twice).to_string(),
            "workload kind g/v1 A is listed twice"
        );
        assert!(matches!(
            refused(&"#".repeat(MAX_KINDS_BYTES + 1)),
            KindsError::TooLong { .. }
        ));
    }
}
