//! What is not checked, by the administrator's word: Namespaces and images by name, each with a reason.
//!
//! Pure. An exemption is narrow by what it names and says why, so that it can be told, counted and taken back.
//! Who creates a Pod is no criterion: nearly always a controller does.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::error::{ConfigurationError, Position, cut};
use crate::cluster::demand::{ContainerDemand, Demand};
use crate::image::reference::Reference;

/// Longest pattern, in bytes: longer than any name of an image.
const LONGEST_PATTERN: usize = 512;
/// Most `*` of a pattern.
const MOST_STARS: usize = 8;
/// Longest reason, in bytes: it stands in audit annotations.
const LONGEST_REASON: usize = 200;

/// All exemptions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exemptions(Vec<Exemption>);

/// One of them: what is in one of the Namespaces and has one of the images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exemption {
    namespaces: Vec<Glob>,
    images: Vec<Glob>,
    reason: String,
}

/// A name in which `*` stands for any text, also none.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Glob(String);

/// A text that is no pattern for names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "pattern {0:?} is not a name in which * stands for any text (at most {LONGEST_PATTERN} letters, {MOST_STARS} stars, no spaces)"
)]
pub struct GlobError(String);

/// As it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct WrittenExemption {
    #[serde(default)]
    namespaces: Vec<Glob>,
    #[serde(default)]
    images: Vec<Glob>,
    reason: String,
}

impl Exemptions {
    pub(super) fn new(written: Vec<Spanned<WrittenExemption>>) -> Result<Self, ConfigurationError> {
        written
            .into_iter()
            .map(Exemption::new)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The exemption of an image in a Namespace; of several, the one that is listed first.
    #[must_use]
    pub fn find(&self, namespace: &str, image: &Reference) -> Option<&Exemption> {
        if self.0.is_empty() {
            return None;
        }
        let names = spellings(image);
        self.0.iter().find(|exemption| {
            exemption.holds_in(namespace)
                && (exemption.images.is_empty() || exemption.names_one_of(&names))
        })
    }

    /// The exemption of everything in a Namespace, whatever its images.
    #[must_use]
    pub fn of_namespace(&self, namespace: &str) -> Option<&Exemption> {
        self.0
            .iter()
            .find(|exemption| exemption.images.is_empty() && exemption.holds_in(namespace))
    }

    /// What is left to judge of a Pod in a Namespace, and the exemption of the first container that is not.
    #[must_use]
    pub fn apply<'d>(
        &self,
        namespace: &str,
        demand: &'d Demand,
    ) -> (Cow<'d, Demand>, Option<&Exemption>) {
        if self.is_empty() {
            return (Cow::Borrowed(demand), None);
        }
        let exemption = |container: &ContainerDemand| {
            let image = container.image.as_deref().unwrap_or_default().parse();
            let found = image
                .ok()
                .and_then(|image: Reference| self.find(namespace, &image));
            found.or_else(|| self.of_namespace(namespace))
        };
        let Some(first) = demand.containers.iter().find_map(exemption) else {
            return (Cow::Borrowed(demand), None);
        };
        let mut rest = demand.clone();
        rest.containers
            .retain(|container| exemption(container).is_none());
        (Cow::Owned(rest), Some(first))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Exemption {
    fn new(written: Spanned<WrittenExemption>) -> Result<Self, ConfigurationError> {
        let WrittenExemption {
            namespaces,
            images,
            reason,
        } = written.value;
        let wrong = |field, value: &str, expected| ConfigurationError::Value {
            position: Position::of(written.referenced),
            field,
            value: cut(value),
            expected,
        };
        if namespaces.iter().chain(&images).all(Glob::is_anything) {
            let expected =
                "an exemption of some namespaces or images (mode: \"off\" exempts everything)";
            return Err(wrong("exemptions", "*", expected));
        }
        let plain = |letter: char| letter == ' ' || letter.is_ascii_graphic();
        if reason.trim().is_empty() || reason.len() > LONGEST_REASON || !reason.chars().all(plain) {
            let expected = "a reason on one line, in at most 200 plain ASCII letters";
            return Err(wrong("reason", &reason, expected));
        }
        Ok(Self {
            namespaces,
            images,
            reason,
        })
    }

    /// Why it was made, on one line of plain ASCII.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    fn holds_in(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.iter().any(|glob| glob.fits(namespace))
    }

    fn names_one_of(&self, names: &[String]) -> bool {
        self.images
            .iter()
            .any(|glob| names.iter().any(|name| glob.fits(name)))
    }
}

/// The forms in which somebody may have written an image: full and short, with its digest and without.
fn spellings(image: &Reference) -> Vec<String> {
    let undigested = image.tag().map(|tag| image.with_tag(tag.clone()));
    let forms = std::iter::once(image).chain(&undigested);
    forms
        .flat_map(|form| [form.to_string(), form.familiar()])
        .collect()
}

impl Glob {
    /// Whether all of a text fits.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        let Some((first, behind)) = self.0.split_once('*') else {
            return self.0 == text;
        };
        let (middle, last) = behind.rsplit_once('*').unwrap_or(("", behind));
        let inner = text
            .strip_prefix(first)
            .and_then(|rest| rest.strip_suffix(last));
        // Taking the first place for each piece leaves the most for those behind it.
        let mut pieces = middle.split('*');
        let rest = inner.and_then(|inner| {
            pieces.try_fold(inner, |rest, piece| {
                rest.split_once(piece).map(|(_, behind)| behind)
            })
        });
        rest.is_some()
    }

    fn is_anything(&self) -> bool {
        self.0.bytes().all(|byte| byte == b'*')
    }
}

impl TryFrom<String> for Glob {
    type Error = GlobError;

    fn try_from(text: String) -> Result<Self, GlobError> {
        let letters = text.bytes().all(|byte| byte.is_ascii_graphic());
        let stars = text.bytes().filter(|byte| *byte == b'*').count();
        if text.is_empty() || text.len() > LONGEST_PATTERN || stars > MOST_STARS || !letters {
            return Err(GlobError(cut(&text)));
        }
        Ok(Self(text))
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
