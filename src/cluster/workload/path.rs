//! Where something stands in an object: one place ([`FieldPath`]), or all places of a shape ([`PathPattern`]).
//!
//! Knows JSON values and nothing of Kubernetes.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

/// Longest pattern that is read, in bytes.
const MAX_PATTERN_BYTES: usize = 512;

/// A place in an object, written as Kubernetes does: `spec.template.spec.containers[0].image`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath(Vec<Step>);

/// One step of a [`FieldPath`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Into a field of a mapping.
    Field(Box<str>),
    /// Into an element of a list, from 0.
    Index(usize),
}

impl FieldPath {
    /// The object itself.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// A field of what stands here.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        self.then(Step::Field(name.into()))
    }

    /// An element of the list that stands here.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    /// What this is within the thing at `start`; `None` if it does not stand there.
    #[must_use]
    pub fn within(&self, start: &Self) -> Option<Self> {
        let steps = self.0.strip_prefix(start.0.as_slice())?;
        Some(Self(steps.to_vec()))
    }

    /// The steps from the object to this place.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The place of what contains this; `None` of the object itself.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (_, steps) = self.0.split_last()?;
        Some(Self(steps.to_vec()))
    }

    /// What stands here in an object.
    #[must_use]
    pub fn find<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(object, |value, step| match step {
            Step::Field(name) => value.get(name.as_ref()),
            Step::Index(index) => value.get(index),
        })
    }

    fn then(&self, step: Step) -> Self {
        let mut steps = Vec::with_capacity(self.0.len() + 1);
        steps.extend_from_slice(&self.0);
        steps.push(step);
        Self(steps)
    }
}

impl From<Vec<Step>> for FieldPath {
    fn from(steps: Vec<Step>) -> Self {
        Self(steps)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(formatter, "[{index}]")?,
                Step::Field(name) if name.contains(['.', '[', ']']) => {
                    write!(formatter, "[{name:?}]")?;
                }
                Step::Field(name) if position == 0 => formatter.write_str(name)?,
                Step::Field(name) => write!(formatter, ".{name}")?,
            }
        }
        Ok(())
    }
}

/// All places of a shape: `spec.tasks[].template` (each element of a list), `spec.replicaSpecs.*.template` (each
/// field of a mapping).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PathPattern {
    parts: Vec<Part>,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Field(Box<str>),
    EachField,
    EachElement,
}

/// A text that is no [`PathPattern`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PathPatternError {
    /// A part between two dots has no name.
    #[error("path {text:?} has an empty part: write for example spec.tasks[].template")]
    EmptyPart {
        /// The text.
        text: String,
    },
    /// Characters that no part may hold.
    #[error("path {text:?}: {part:?} is no field name, *, or name followed by []")]
    BadPart {
        /// The text.
        text: String,
        /// The part.
        part: String,
    },
    /// Longer than any path of an object.
    #[error("a path of {length} bytes is too long (at most {MAX_PATTERN_BYTES})")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
}

impl PathPattern {
    /// Each place of this shape in an object, in its order; `base` is the object's own place.
    #[must_use]
    pub fn places<'a>(&self, object: &'a Value, base: &FieldPath) -> Vec<(FieldPath, &'a Value)> {
        let mut found = vec![(base.clone(), object)];
        for part in &self.parts {
            found = found
                .into_iter()
                .flat_map(|(path, value)| part.under(&path, value))
                .collect();
        }
        found
    }

    /// The one place of this shape that shares list elements and field names with `beside`, as far as both go the
    /// same way: `spec.tasks[].replicas` beside `spec.tasks[2].template` is `spec.tasks[2].replicas`.
    #[must_use]
    pub fn beside<'a>(&self, object: &'a Value, beside: &FieldPath) -> Option<&'a Value> {
        let mut value = object;
        let mut steps = beside.steps();
        for part in &self.parts {
            let (step, rest) = steps
                .split_first()
                .map_or((None, steps), |(step, rest)| (Some(step), rest));
            (value, steps) = match (part, step) {
                (Part::Field(name), Some(Step::Field(same))) if name == same => {
                    (value.get(name.as_ref())?, rest)
                }
                // From here on it goes another way, and nothing is shared any more.
                (Part::Field(name), _) => (value.get(name.as_ref())?, &[][..]),
                (Part::EachField, Some(Step::Field(name))) => (value.get(name.as_ref())?, rest),
                (Part::EachElement, Some(Step::Index(index))) => (value.get(index)?, rest),
                (Part::EachField | Part::EachElement, _) => return None,
            };
        }
        Some(value)
    }
}

impl Part {
    fn under<'a>(&self, path: &FieldPath, value: &'a Value) -> Vec<(FieldPath, &'a Value)> {
        match self {
            Self::Field(name) => {
                let field = value
                    .get(name.as_ref())
                    .map(|value| (path.field(name), value));
                field.into_iter().collect()
            }
            Self::EachField => {
                let fields = value.as_object().into_iter().flatten();
                fields
                    .map(|(name, value)| (path.field(name), value))
                    .collect()
            }
            Self::EachElement => {
                let elements = value.as_array().into_iter().flatten().enumerate();
                elements
                    .map(|(index, value)| (path.index(index), value))
                    .collect()
            }
        }
    }
}

impl FromStr for PathPattern {
    type Err = PathPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(PathPatternError::TooLong { length: text.len() });
        }
        let mut parts = Vec::new();
        for written in text.split('.') {
            let (name, lists) = written
                .strip_suffix("[]")
                .map_or((written, 0), |name| (name, 1));
            if written.is_empty() {
                return Err(PathPatternError::EmptyPart {
                    text: text.to_owned(),
                });
            }
            parts.push(field_part(name).ok_or_else(|| PathPatternError::BadPart {
                text: text.to_owned(),
                part: written.to_owned(),
            })?);
            parts.extend(std::iter::repeat_n(Part::EachElement, lists));
        }
        Ok(Self {
            parts,
            text: text.to_owned(),
        })
    }
}

fn field_part(name: &str) -> Option<Part> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    match name {
        "*" => Some(Part::EachField),
        "" => None,
        name => name.chars().all(plain).then(|| Part::Field(name.into())),
    }
}

impl TryFrom<String> for PathPattern {
    type Error = PathPatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn places(pattern: &str, object: &Value) -> Vec<String> {
        let pattern: PathPattern = pattern.parse().unwrap();
        let found = pattern.places(object, &FieldPath::root());
        found
            .into_iter()
            .map(|(path, _)| path.to_string())
            .collect()
    }

    #[test]
    fn a_pattern_finds_each_place_in_the_order_of_the_object() {
        let object = json!({"spec": {"tasks": [{"template": {}}, {}, {"template": {}}],
            "specs": {"Worker": {"template": 1}, "Master": {"template": 2}}}});
        assert_eq!(
            places("spec.tasks[].template", &object),
            ["spec.tasks[0].template", "spec.tasks[2].template"]
        );
        assert_eq!(
            places("spec.specs.*.template", &object),
            ["spec.specs.Master.template", "spec.specs.Worker.template"]
        );
        assert_eq!(places("spec.tasks.template", &object), [""; 0]);
        assert_eq!(places("spec[].tasks", &object), [""; 0]);
    }

    #[test]
    fn a_pattern_beside_a_place_takes_the_same_element() {
        let object = json!({"spec": {"tasks": [{"replicas": 1}, {"replicas": 7}]}});
        let pattern: PathPattern = "spec.tasks[].replicas".parse().unwrap();
        let second = FieldPath::root()
            .field("spec")
            .field("tasks")
            .index(1)
            .field("template");
        assert_eq!(pattern.beside(&object, &second), Some(&json!(7)));
        let elsewhere: PathPattern = "spec.others[].replicas".parse().unwrap();
        let object = json!({"spec": {"others": [{"replicas": 1}, {"replicas": 7}]}});
        assert_eq!(elsewhere.beside(&object, &second), None);
    }

    #[test]
    fn a_field_whose_name_has_a_dot_is_quoted() {
        let path = FieldPath::root()
            .field("metadata")
            .field("labels")
            .field("a.b/c");
        assert_eq!(path.to_string(), "metadata.labels[\"a.b/c\"]");
    }

    #[test]
    fn what_is_no_pattern_says_what_is_wrong() {
        let refused = |text: &str| text.parse::<PathPattern>().unwrap_err().to_string();
        assert!(refused("spec..template").contains("empty part"));
        assert!(refused("").contains("empty part"));
        assert!(refused("spec.tasks[0]").contains("\"tasks[0]\" is no field name"));
        assert!(refused("spec.[]").contains("\"[]\" is no field name"));
        assert!(refused(&"a".repeat(513)).contains("513 bytes"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_pattern_or_an_error(text in ".{0,40}") {
            if let Ok(pattern) = text.parse::<PathPattern>() {
                prop_assert_eq!(pattern.to_string(), text);
            }
        }
    }
}
