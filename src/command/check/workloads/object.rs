//! The objects to be judged, and where each was read: in files, in a cluster, or one image alone.

use std::collections::BTreeMap;

use serde_json::Value;

use super::WorkloadsError;
use crate::cli::CheckArguments;
use crate::cluster::demand;
use crate::cluster::manifest::{self, Limits};
use crate::cluster::resource::GpuResources;
use crate::cluster::workload::FieldPath;
use crate::command::check::report::{self, Place};
use crate::command::files::Files;

/// An object to be judged, and where it was read.
pub(super) enum Object {
    /// In a file.
    File(manifest::Document),
    /// In the cluster.
    Cluster(Value),
    /// An image that was named alone, as a Pod that asks for GPUs.
    Image(Value),
}

impl Object {
    pub(super) const fn value(&self) -> &Value {
        match self {
            Self::File(document) => &document.object,
            Self::Cluster(object) | Self::Image(object) => object,
        }
    }

    pub(super) fn source(&self) -> String {
        match self {
            Self::File(document) => document.source.to_string(),
            Self::Cluster(_) => "cluster".to_owned(),
            Self::Image(_) => "command line".to_owned(),
        }
    }

    /// Where it begins.
    pub(super) fn place(&self) -> Option<Place> {
        match self {
            Self::File(document) => Some(place(document.position)),
            Self::Cluster(_) | Self::Image(_) => None,
        }
    }

    /// Where a field of it stands.
    pub(super) fn place_of(&self, field: &FieldPath) -> Option<Place> {
        match self {
            Self::File(document) => Some(place(document.position_of(field))),
            Self::Cluster(_) | Self::Image(_) => None,
        }
    }

    /// Where a field of it stands, as the beginning of a line: `train.yaml:12:5`.
    pub(super) fn at(&self, place: Option<Place>) -> String {
        match place {
            Some(Place { line, column }) => format!("{}:{line}:{column}", self.source()),
            None => format!("{}: {}", self.source(), self.named()),
        }
    }

    fn metadata(&self, field: &str) -> Option<String> {
        let text = self.value().get("metadata")?.get(field)?.as_str()?;
        (!text.is_empty()).then(|| text.to_owned())
    }

    pub(super) fn kind(&self) -> String {
        if matches!(self, Self::Image(_)) {
            return "Image".to_owned();
        }
        let kind = self.value().get("kind").and_then(Value::as_str);
        kind.unwrap_or("object").to_owned()
    }

    pub(super) fn is_namespace(&self) -> bool {
        let said = |field: &str| self.value().get(field).and_then(Value::as_str);
        said("apiVersion") == Some("v1") && said("kind") == Some("Namespace")
    }

    pub(super) fn namespace(&self) -> Option<String> {
        self.metadata("namespace")
    }

    pub(super) fn name(&self) -> String {
        let name = self
            .metadata("name")
            .or_else(|| self.metadata("generateName"));
        name.unwrap_or_else(|| "(no name)".to_owned())
    }

    /// In words: `Deployment ml/train`.
    pub(super) fn named(&self) -> String {
        report::named(&self.kind(), self.namespace().as_deref(), &self.name())
    }
}

/// The objects that files hold, and the image that was named alone.
pub(super) fn written(
    arguments: &CheckArguments,
    resources: &GpuResources,
    errors: &mut Vec<String>,
) -> Result<Vec<Object>, WorkloadsError> {
    let limits = Limits::default();
    let files = Files {
        option: "--filename",
        paths: &arguments.filename,
        limit: limits.bytes,
        remedy: "split the file",
    };
    let mut objects = Vec::new();
    objects.extend(image_alone(arguments, resources).map(Object::Image));
    files.each(|name, bytes| {
        let reading = manifest::read(name, &bytes, &limits);
        if reading.documents.is_empty() && reading.errors.is_empty() {
            errors.push(format!(
                "{name}: no Kubernetes object in it: is it the right file?"
            ));
        }
        errors.extend(reading.errors.iter().map(ToString::to_string));
        objects.extend(reading.documents.into_iter().map(Object::File));
    })?;
    Ok(objects)
}

/// A Pod with the image that was named, to see on which nodes it runs.
fn image_alone(arguments: &CheckArguments, resources: &GpuResources) -> Option<Value> {
    let image = arguments.image.as_ref()?.to_string();
    let requires = arguments.requires.as_ref().map(ToString::to_string);
    let annotations = requires.map(|requires| (demand::REQUIRES_ANNOTATION, requires));
    let annotations: BTreeMap<&str, String> = annotations.into_iter().collect();
    let resource = resources.names().next()?;
    let limits = BTreeMap::from([(resource, arguments.count)]);
    Some(serde_json::json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": image, "annotations": annotations},
        "spec": {
            "containers": [{"name": "image", "image": image, "resources": {"limits": limits}}],
            "tolerations": [{"operator": "Exists"}],
        },
    }))
}

const fn place(position: manifest::Position) -> Place {
    Place {
        line: position.line,
        column: position.column,
    }
}
