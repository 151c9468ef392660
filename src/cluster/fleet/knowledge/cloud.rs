//! What the labels of clouds and provisioners say of a node: the GPU's model, seldom more.
//!
//! Pure. Which key means what, and which value stands for which product, is data: `cluster/data/accelerators.toml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::super::object::NodeObject;
use super::model::{Models, architecture};
use super::{Doubt, Finding, Group, Listed};
use crate::compat::{CpuArchitecture, Host};

/// The embedded table.
const DATA: &str = include_str!("../../data/accelerators.toml");

static EMBEDDED: LazyLock<Accelerators> =
    LazyLock::new(|| toml::from_str(DATA).expect("the embedded table is parsed by the tests"));

/// The table of keys and values.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in super::super) struct Accelerators {
    key: Vec<Key>,
    model: Vec<Model>,
    category: Vec<Category>,
}

/// A label key whose values are kinds of machines, and those kinds that can have an NVIDIA GPU.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Category {
    key: Box<str>,
    with_gpu: Vec<Box<str>>,
    /// Where the value's kind ends; without it the whole value is the kind.
    before: Option<Before>,
    #[expect(dead_code, reason = "a citation, for people")]
    source: Box<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Before {
    /// At the first digit: `p4d`.
    Digit,
    /// The same in values that have a dot, which those of other makers have not: `p4d.24xlarge`.
    DigitIfDotted,
}

/// A label key that says something about GPUs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Key {
    name: Box<str>,
    /// What its values are.
    values: Values,
    /// Which models its values name; without it they are names of products.
    scheme: Option<Box<str>>,
    /// What a value that is not listed means.
    #[serde(default)]
    otherwise: Otherwise,
    /// An ending that says nothing of the model.
    strip: Option<Box<str>>,
    /// The key that tells who made the GPU.
    manufacturer: Option<Box<str>>,
    /// The key that counts the GPUs.
    count: Option<Box<str>>,
    #[expect(dead_code, reason = "a citation, for people")]
    source: Box<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Values {
    /// Models.
    Model,
    /// `true` where there is an NVIDIA GPU of whatever model.
    Presence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Otherwise {
    /// A GPU that is not known here.
    Gpu,
    /// Nothing: most values of the key are machines without GPUs.
    #[default]
    Nothing,
}

/// One value, or all values of a pattern in which `*` stands for any text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Model {
    scheme: Box<str>,
    value: Box<str>,
    /// The product's name in the knowledge base; without it there is a GPU whose model is not established.
    gpu: Option<Box<str>>,
    /// The name to show, where the value leaves variants open.
    shown: Option<Box<str>>,
    /// Architecture of the machine, where it is not amd64.
    architecture: Option<CpuArchitecture>,
    #[expect(dead_code, reason = "a citation, for people")]
    source: Box<str>,
}

/// What one label says of GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum CloudGpu {
    /// This one. The driver is never known.
    Model(Box<Host>),
    /// One whose model is not established.
    Unknown,
}

impl Accelerators {
    /// The table that is built into the program.
    #[must_use]
    pub(in super::super) fn embedded() -> &'static Self {
        &EMBEDDED
    }

    /// What a label says; `None` if nothing.
    pub(in super::super) fn says(
        &self,
        label: (&str, &str),
        labels: &BTreeMap<String, String>,
        models: &mut Models<'_>,
    ) -> Option<CloudGpu> {
        let (name, value) = label;
        let key = self.key.iter().find(|key| *key.name == *name)?;
        key.says(&self.model, value, labels, models)
    }

    /// Whether a machine with that label can have an NVIDIA GPU; only kinds of machines that are known to have none
    /// cannot.
    pub(in super::super) fn may_have_gpus(&self, name: &str, value: &str) -> bool {
        let about = self
            .category
            .iter()
            .filter(|category| *category.key == *name);
        about
            .filter_map(|category| Some((category, category.kind(value)?)))
            .all(|(category, kind)| {
                category
                    .with_gpu
                    .iter()
                    .any(|with| with.eq_ignore_ascii_case(kind))
            })
    }

    /// The keys that say something.
    pub(in super::super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.key.iter().map(|key| &*key.name)
    }
}

impl Category {
    /// The kind of machine; `None` if the value is of another maker.
    fn kind<'a>(&self, value: &'a str) -> Option<&'a str> {
        let digit = |letter: char| letter.is_ascii_digit();
        let kind = match self.before {
            None => return Some(value),
            Some(Before::Digit) => value.split_once(digit)?.0,
            Some(Before::DigitIfDotted) => value.split_once('.')?.0.split_once(digit)?.0,
        };
        let plain = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_lowercase());
        plain.then_some(kind)
    }
}

impl Key {
    fn says(
        &self,
        models: &[Model],
        value: &str,
        labels: &BTreeMap<String, String>,
        known: &mut Models<'_>,
    ) -> Option<CloudGpu> {
        let maker = self
            .manufacturer
            .as_ref()
            .and_then(|key| labels.get(&**key));
        let foreign = maker.is_some_and(|maker| !maker.eq_ignore_ascii_case("nvidia"));
        if foreign || value.is_empty() {
            return None;
        }
        if self.values == Values::Presence {
            return (value == "true").then_some(CloudGpu::Unknown);
        }
        let lower = value.to_ascii_lowercase();
        let stripped = self
            .strip
            .as_deref()
            .and_then(|end| lower.strip_suffix(end));
        let lower = stripped.unwrap_or(&lower);
        let scheme = self.scheme.as_deref();
        let listed = models
            .iter()
            .find(|model| Some(&*model.scheme) == scheme && like(&model.value, lower));
        let host = match listed {
            Some(model) => model.host(known),
            None if scheme.is_none() => known.named(value),
            None if self.otherwise == Otherwise::Nothing => return None,
            None => None,
        };
        Some(host.map_or(CloudGpu::Unknown, |host| CloudGpu::Model(Box::new(host))))
    }
}

impl Model {
    fn host(&self, models: &mut Models<'_>) -> Option<Host> {
        let host = models.named(self.gpu.as_deref()?)?;
        Some(Host {
            product: self.shown.clone().or(host.product),
            architecture: self.architecture,
            ..host
        })
    }
}

/// Whether a text in lower case fits a pattern in lower case.
fn like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text.strip_prefix(head).is_some_and(|rest| {
            let mut starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            starts.any(|at| rest.get(at..).is_some_and(|rest| like(tail, rest)))
        }),
    }
}

/// What a node's labels say, the key that is listed first before the others. A model goes before mere presence.
pub(super) fn read(node: &NodeObject, models: &mut Models<'_>) -> Option<Finding> {
    let mut unknown = None;
    for key in &Accelerators::embedded().key {
        let Some(value) = node.labels.get(&*key.name) else {
            continue;
        };
        let count = key
            .count
            .as_ref()
            .and_then(|count| node.labels.get(&**count)?.parse().ok());
        // A fraction of a card is counted as none.
        let count = count.filter(|count| *count > 0);
        let listed = count.map_or(Listed::Uncounted, Listed::Count);
        let said = key.says(&Accelerators::embedded().model, value, &node.labels, models);
        match said {
            Some(CloudGpu::Model(host)) => {
                let architecture = architecture(node).or(host.architecture);
                let host = Host {
                    architecture,
                    ..*host
                };
                return Some(Finding::known(vec![Group::only(host)], listed));
            }
            Some(CloudGpu::Unknown) => {
                let doubt = match key.values {
                    Values::Model => Doubt::UnknownModel,
                    Values::Presence => Doubt::Unlabelled,
                };
                unknown = unknown.or(Some(Finding::unknown(doubt, listed)));
            }
            None => {}
        }
    }
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compat::Catalog;

    #[test]
    fn every_model_is_one_that_the_knowledge_base_holds() {
        let table = Accelerators::embedded();
        let catalog = Catalog::embedded();
        for model in &table.model {
            assert_eq!(*model.value, model.value.to_ascii_lowercase());
            assert!(
                table
                    .key
                    .iter()
                    .any(|key| key.scheme.as_deref() == Some(&*model.scheme)),
                "{model:?}"
            );
            if let Some(gpu) = &model.gpu {
                assert!(catalog.find_gpu(gpu).found().is_some(), "{model:?}");
            }
        }
    }

    #[test]
    fn entries_are_sorted_and_no_earlier_pattern_hides_a_later_one() {
        let models = &Accelerators::embedded().model;
        let keys: Vec<(&str, &str)> = models
            .iter()
            .map(|model| (&*model.scheme, &*model.value))
            .collect();
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        assert_eq!(keys, sorted);
        for (index, (scheme, value)) in keys.iter().enumerate() {
            let sample = value.replace('*', "x");
            let first = keys
                .iter()
                .position(|(other, pattern)| other == scheme && like(pattern, &sample));
            assert_eq!(first, Some(index), "{value}");
        }
    }

    #[test]
    fn patterns_stand_for_any_text() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abde", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(like(pattern, text), expected, "{pattern} {text}");
        }
    }
}
