//! One rule of the catalog: the form of a tag, the releases it counts for, and what it tells of an image.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use crate::compat::catalog::Channel;
use crate::compat::software::Binaries;
use crate::compat::{BuildKind, CpuArchitecture, CudaVersion, Proof, Target};
use crate::image::pattern::{Captures, Pattern, PatternError};
use crate::image::tag::TorchName;

/// What a form of tag tells of its image. What is missing is not established.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TagRule {
    pattern: Written<Pattern>,
    from: Option<Written<TorchName>>,
    until: Option<Written<TorchName>>,
    /// Whose GPUs the image is built for.
    pub build: BuildKind,
    /// Where the GPU code of the image is known from.
    pub kernels: Kernels,
    #[serde(default)]
    channels: Vec<ChannelRange>,
    /// The only target that it is built for, where the name tells that: no code in it runs below.
    pub built_for: Option<Target>,
    /// The least CUDA that it can hold, where the name tells only the major version: floors count from there.
    pub least_cuda: Option<CudaVersion>,
    /// Whether the image has the forward-compatibility libraries.
    pub compat: Option<Presence>,
    /// Its `NVIDIA_REQUIRE_CUDA`.
    pub require: Option<RequireRule>,
    /// Desktop or Tegra binaries.
    pub binaries: Option<Binaries>,
    /// The CPU architectures that exist.
    pub architectures: Option<Vec<CpuArchitecture>>,
    #[serde(default)]
    arm64: Vec<Arm64Range>,
    /// What the name does not tell.
    pub gap: Option<String>,
    /// Where this is written.
    pub source: String,
    /// How it is known.
    pub proof: Proof,
}

/// Where the GPU code of an image is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kernels {
    /// The name identifies a published build of torch, which the knowledge base holds.
    Published,
    /// The knowledge base lists the images of the series by tag.
    Listed,
    /// The project's own build.
    Own,
    /// There is none: a base image.
    Base,
}

/// Whether something is in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It is.
    Present,
    /// It is not.
    Absent,
}

/// The `NVIDIA_REQUIRE_CUDA` of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequireRule {
    /// It has none.
    None,
    /// That of the `nvidia/cuda` image for the same CUDA.
    Base,
    /// Always this.
    Line(String),
}

/// What the arm64 layers of an image hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arm64 {
    /// The same as on amd64.
    Same,
    /// A CPU-only build.
    Cpu,
}

impl TagRule {
    /// The form of the tags that it is for.
    #[must_use]
    pub fn pattern(&self) -> &Pattern {
        &self.pattern.0
    }

    /// What the holes of repository and tag took, if the tag has this form and the release lies in the range.
    pub(super) fn captures(&self, repository: &Captures, tag: &str) -> Option<Captures> {
        let captures = repository.clone().and(self.pattern.0.captures(tag)?);
        within(self.from.as_ref(), self.until.as_ref(), captures.torch()).then_some(captures)
    }

    /// How the torch of that release was packaged in these images.
    #[must_use]
    pub fn channel(&self, torch: TorchName) -> Option<Channel> {
        let fits =
            |range: &&ChannelRange| within(range.from.as_ref(), range.until.as_ref(), Some(torch));
        self.channels.iter().find(fits).map(|range| range.is)
    }

    /// What arm64 layers hold; a range without bounds also counts where no torch release is named.
    #[must_use]
    pub fn arm64(&self, torch: Option<TorchName>) -> Option<Arm64> {
        let fits = |range: &&Arm64Range| within(range.from.as_ref(), range.until.as_ref(), torch);
        self.arm64.iter().find(fits).map(|range| range.holds)
    }
}

impl<'de> Deserialize<'de> for RequireRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.as_str() {
            "none" => Self::None,
            "base" => Self::Base,
            _ => Self::Line(text),
        })
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImpossibleTag {
    pattern: Written<Pattern>,
    from: Option<Written<TorchName>>,
    until: Option<Written<TorchName>>,
    suggestion: Written<Pattern>,
    reason: String,
    #[expect(
        dead_code,
        reason = "every entry cites its source, for whoever reads the file"
    )]
    source: String,
    #[expect(
        dead_code,
        reason = "every entry says how it is known, for whoever reads the file"
    )]
    proof: Proof,
}

impl ImpossibleTag {
    /// Fails if the suggestion needs what the pattern does not capture.
    pub(super) fn check(&self) -> Result<(), PatternError> {
        self.pattern.0.covers(&self.suggestion.0)
    }

    /// The tag that was probably meant, and why there is none like this; nothing for other tags.
    pub(super) fn suggestion_for(&self, tag: &str) -> Option<(String, &str)> {
        let captures = self.pattern.0.captures(tag)?;
        if !within(self.from.as_ref(), self.until.as_ref(), captures.torch()) {
            return None;
        }
        Some((self.suggestion.0.filled(&captures)?, &self.reason))
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChannelRange {
    from: Option<Written<TorchName>>,
    until: Option<Written<TorchName>>,
    is: Channel,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arm64Range {
    from: Option<Written<TorchName>>,
    until: Option<Written<TorchName>>,
    holds: Arm64,
}

/// A value that the file writes as text.
#[derive(Debug, Clone)]
pub(super) struct Written<T>(pub(super) T);

impl<'de, T> Deserialize<'de> for Written<T>
where
    T: FromStr<Err: fmt::Display>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// Whether a torch release lies in a range; an end without a patch number (2.9) takes in all of them (2.9.1).
fn within(
    from: Option<&Written<TorchName>>,
    until: Option<&Written<TorchName>>,
    torch: Option<TorchName>,
) -> bool {
    let Some(torch) = torch else {
        return from.is_none() && until.is_none();
    };
    let key = |name: TorchName| (name.major, name.minor, name.patch.unwrap_or(0));
    let late_enough = from.is_none_or(|from| key(torch) >= key(from.0));
    let early_enough = until.is_none_or(|until| match until.0.patch {
        Some(_) => key(torch) <= key(until.0),
        None => (torch.major, torch.minor) <= (until.0.major, until.0.minor),
    });
    late_enough && early_enough
}
