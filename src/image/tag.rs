//! Conventions that tags follow in any repository: `2.6-cu124`, `v3-cuda12.1.1-runtime`, `1.0-cpu`, `rocm6.2`.
//!
//! A tag is its author's word, so these are claims of strength `name` at most. Nothing here knows which CUDA
//! toolkits or torch releases exist; whoever uses a claim checks it against the knowledge base.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// What a tag says about its image, by convention alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TagClaims {
    /// The CUDA toolkit: `cu124`, `cuda12.1.1`, `cuda-12.4`; `cu12` gives the major version only.
    pub cuda: Claim<CudaName>,
    /// The torch release, where a word for torch stands before it: `torch2.6.0`, `pytorch-2.6`, `pt2.6`, `pth2.0`.
    pub torch: Claim<TorchName>,
    /// The version that the tag begins with, `2.6` of `2.6-cu124`: torch's only in a repository named for torch.
    pub leading: Option<TorchName>,
    /// What the image was built for, where a word of the tag says so.
    pub build: Claim<BuildName>,
}

/// What a name says of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Claim<T> {
    /// Nothing.
    #[default]
    Silent,
    /// One value.
    Says(T),
    /// Values that exclude each other, so that none can be believed.
    Contradicts,
}

/// A CUDA version as a tag spells it; without a minor version it names a family of toolkits, not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CudaName {
    /// 12 of 12.4.1.
    pub major: u16,
    /// 4 of 12.4.1.
    pub minor: Option<u16>,
    /// 1 of 12.4.1.
    pub patch: Option<u16>,
}

/// A torch version as a tag spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TorchName {
    /// 2 of 2.6.0.
    pub major: u16,
    /// 6 of 2.6.0.
    pub minor: u16,
    /// 0 of 2.6.0.
    pub patch: Option<u16>,
}

/// A text that is not a torch release as names spell it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a torch release (expected 2.6 or 2.6.0)")]
pub struct TorchNameError(String);

/// The hardware that a word of the tag says an image was built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BuildName {
    /// `cpu`: no GPU at all.
    Cpu,
    /// `gpu` or `cuda`: some NVIDIA GPU, without a version.
    Cuda,
    /// `rocm`: AMD GPUs.
    Rocm,
    /// `xpu`: Intel GPUs.
    Xpu,
}

impl TagClaims {
    /// Reads a tag; upper and lower case are the same to it. Any text is fine.
    #[must_use]
    pub fn read(tag: &str) -> Self {
        let tag = tag.to_ascii_lowercase();
        let cuda = cuda_claim(&tag);
        Self {
            cuda,
            torch: torch_claim(&tag),
            leading: leading_version(&tag),
            build: build_claim(&tag, cuda),
        }
    }
}

impl<T: PartialEq> Claim<T> {
    /// The value, where there is exactly one.
    #[must_use]
    pub fn value(self) -> Option<T> {
        match self {
            Self::Says(value) => Some(value),
            Self::Silent | Self::Contradicts => None,
        }
    }
}

impl CudaName {
    /// Reads the run of digits after `cu` or `cuda`: `124` is 12.4, `92` is 9.2, `12` is major only, four and more
    /// digits are nothing that the field uses.
    #[must_use]
    pub fn compact(digits: &str) -> Option<Self> {
        let number: u16 = digits.parse().ok()?;
        match digits.len() {
            1 => Some(Self {
                major: number,
                minor: None,
                patch: None,
            }),
            2 if number < 20 => Some(Self {
                major: number,
                minor: None,
                patch: None,
            }),
            2 => Some(Self {
                major: number / 10,
                minor: Some(number % 10),
                patch: None,
            }),
            3 if number < 200 => Some(Self {
                major: number / 10,
                minor: Some(number % 10),
                patch: None,
            }),
            _ => None,
        }
    }

    /// Reads `12`, `12.4` or `12.4.1`, and nothing else.
    #[must_use]
    pub fn dotted(text: &str) -> Option<Self> {
        let mut fields = text.split('.');
        let major = field(fields.next()?)?;
        let minor = fields.next().map(field);
        let patch = fields.next().map(field);
        if fields.next().is_some() || minor == Some(None) || patch == Some(None) {
            return None;
        }
        Some(Self {
            major,
            minor: minor.flatten(),
            patch: patch.flatten(),
        })
    }

    /// The more exact of two names for one version; nothing where they differ.
    fn joined(self, other: Self) -> Option<Self> {
        let agree = self.major == other.major
            && compatible(self.minor, other.minor)
            && compatible(self.patch, other.patch);
        agree.then(|| Self {
            major: self.major,
            minor: self.minor.or(other.minor),
            patch: self.patch.or(other.patch),
        })
    }
}

impl fmt::Display for CudaName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.major)?;
        for field in [self.minor, self.patch].into_iter().flatten() {
            write!(formatter, ".{field}")?;
        }
        Ok(())
    }
}

impl TorchName {
    /// Reads `2.6` or `2.6.0`, and nothing else.
    #[must_use]
    pub fn dotted(text: &str) -> Option<Self> {
        let CudaName {
            major,
            minor,
            patch,
        } = CudaName::dotted(text)?;
        Some(Self {
            major,
            minor: minor?,
            patch,
        })
    }

    /// Reads `280` as 2.8.0, `28x` as 2.8, and `2100` as 2.10.0, as Azure's image names spell it.
    #[must_use]
    pub fn compact(text: &str) -> Option<Self> {
        let (head, last) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let patch = if last == "x" {
            None
        } else {
            Some(field(last)?)
        };
        let (major, minor) = head.split_at_checked(1)?;
        let minor = field(minor).filter(|_| minor.len() <= 2)?;
        Some(Self {
            major: field(major)?,
            minor,
            patch,
        })
    }
}

impl fmt::Display for TorchName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)?;
        self.patch
            .map_or(Ok(()), |patch| write!(formatter, ".{patch}"))
    }
}

impl FromStr for TorchName {
    type Err = TorchNameError;

    /// `2.6` or `2.6.0`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::dotted(text).ok_or_else(|| TorchNameError(text.to_owned()))
    }
}

fn compatible(left: Option<u16>, right: Option<u16>) -> bool {
    left.is_none() || right.is_none() || left == right
}

/// A number of one to three digits; longer ones are dates and build numbers.
fn field(text: &str) -> Option<u16> {
    let digits = (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn cuda_claim(tag: &str) -> Claim<CudaName> {
    let mut claim = Claim::Silent;
    for (_, rest) in after_word(tag, "cu") {
        if let Some(name) = cuda_at(rest) {
            claim = match claim {
                Claim::Silent => Claim::Says(name),
                Claim::Says(known) => known.joined(name).map_or(Claim::Contradicts, Claim::Says),
                Claim::Contradicts => Claim::Contradicts,
            };
        }
    }
    claim
}

/// What stands behind `cu`: digits at once (`cu124`, `cuda12.1`), or behind a hyphen or underscore a version with a
/// dot (`cuda-12.4`); a plain number there (`cuda-118`) is as likely to be a build number.
fn cuda_at(after: &str) -> Option<CudaName> {
    let spelled = after.strip_prefix("da");
    let rest = spelled.unwrap_or(after);
    if let Some(separated) = spelled.and_then(|rest| rest.strip_prefix(['-', '_'])) {
        let (version, _) = version_at(separated)?;
        return version
            .contains('.')
            .then(|| CudaName::dotted(version))
            .flatten();
    }
    let (version, _) = version_at(rest)?;
    if version.contains('.')
        && version
            .split('.')
            .next()
            .is_some_and(|major| major.len() <= 2)
    {
        return CudaName::dotted(version);
    }
    let digits = version.split('.').next()?;
    CudaName::compact(digits)
}

/// The version at the start of a text, up to three fields, and what is behind it. Fields behind the first are taken
/// while they are short numbers. A letter directly behind the version makes it part of a word, hence nothing.
fn version_at(text: &str) -> Option<(&str, &str)> {
    let mut end = digits(text);
    if end == 0 {
        return None;
    }
    for longest in [2, 3] {
        let length = text
            .get(end..)
            .and_then(|rest| rest.strip_prefix('.'))
            .map_or(0, digits);
        let next = text
            .get(end + 1 + length..)
            .and_then(|rest| rest.chars().next());
        if length == 0 || length > longest || next.is_some_and(|next| next.is_ascii_alphabetic()) {
            break;
        }
        end += 1 + length;
    }
    let (version, rest) = text.split_at_checked(end)?;
    let in_word = rest.starts_with(|next: char| next.is_ascii_alphabetic());
    (!in_word).then_some((version, rest))
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

fn torch_claim(tag: &str) -> Claim<TorchName> {
    let mut claim = Claim::Silent;
    for word in ["pytorch", "torch", "pth", "pt"] {
        for (_, rest) in after_word(tag, word) {
            let rest = rest.strip_prefix("_release").unwrap_or(rest);
            let rest = rest.strip_prefix(['-', '_']).unwrap_or(rest);
            if let Some(name) = version_at(rest).and_then(|(version, _)| TorchName::dotted(version))
            {
                claim = match claim {
                    Claim::Silent => Claim::Says(name),
                    Claim::Says(known) if known == name => claim,
                    Claim::Says(_) | Claim::Contradicts => Claim::Contradicts,
                };
            }
        }
    }
    claim
}

fn leading_version(tag: &str) -> Option<TorchName> {
    let (version, _) = version_at(tag.strip_prefix('v').unwrap_or(tag))?;
    TorchName::dotted(version)
}

fn build_claim(tag: &str, cuda: Claim<CudaName>) -> Claim<BuildName> {
    let mut found: Vec<BuildName> = tag.split(['-', '_', '.']).filter_map(build_word).collect();
    if cuda != Claim::Silent {
        found.push(BuildName::Cuda);
    }
    found.sort_unstable();
    found.dedup();
    match found.as_slice() {
        [] => Claim::Silent,
        [one] => Claim::Says(*one),
        [_, ..] => Claim::Contradicts,
    }
}

fn build_word(word: &str) -> Option<BuildName> {
    let bare = word.trim_end_matches(|character: char| character.is_ascii_digit());
    match (word, bare) {
        ("cpu" | "cpuonly", _) => Some(BuildName::Cpu),
        ("gpu" | "cuda", _) => Some(BuildName::Cuda),
        ("xpu", _) => Some(BuildName::Xpu),
        (_, "rocm") => Some(BuildName::Rocm),
        _ => None,
    }
}

/// Every place where a word begins (no letter stands before it), with the text before and behind.
fn after_word<'a>(tag: &'a str, word: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    tag.match_indices(word).filter_map(move |(at, _)| {
        let before = tag.get(..at)?;
        let behind = tag.get(at + word.len()..)?;
        (!before.ends_with(|last: char| last.is_ascii_alphabetic())).then_some((before, behind))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cuda(tag: &str) -> String {
        match TagClaims::read(tag).cuda {
            Claim::Silent => "silent".to_owned(),
            Claim::Says(name) => name.to_string(),
            Claim::Contradicts => "contradicts".to_owned(),
        }
    }

    fn torch(tag: &str) -> String {
        TagClaims::read(tag)
            .torch
            .value()
            .map_or_else(|| "-".to_owned(), |name| name.to_string())
    }

    #[test]
    fn reads_the_spellings_of_a_cuda_version() {
        for (tag, version) in [
            ("2.6-cu124", "12.4"),
            ("cu118", "11.8"),
            ("v1-cu92", "9.2"),
            ("1.0-cu100-py37", "10.0"),
            ("cu130", "13.0"),
            ("2.6.0-cuda11.8-cudnn9-runtime", "11.8"),
            ("train-cuda12.1", "12.1"),
            ("train_cuda12.1.1_v7", "12.1.1"),
            ("CUDA12.4-devel", "12.4"),
            ("cuda121", "12.1"),
            ("torch2.6.0cu124", "12.4"),
            ("cuda-12.4", "12.4"),
            ("app-cuda_11.8.0-x", "11.8.0"),
            ("cu12.4", "12.4"),
            ("cuda12.1.py310", "12.1"),
            ("cu124.py310", "12.4"),
            ("cuda10.2", "10.2"),
        ] {
            assert_eq!(cuda(tag), version, "{tag}");
        }
    }

    #[test]
    fn gives_only_the_major_version_where_no_minor_is_named() {
        for (tag, version) in [
            ("cu12", "12"),
            ("x-cu13-y", "13"),
            ("cuda12-python-3.11", "12"),
            ("cuda11", "11"),
        ] {
            assert_eq!(cuda(tag), version, "{tag}");
        }
        assert_eq!(cuda("cuda12.20240101"), "12");
    }

    #[test]
    fn is_not_taken_in_by_look_alikes() {
        for tag in [
            "accu124",
            "cudnn9",
            "cucumber12",
            "focus126",
            "barracuda12.1",
            "20240124",
            "cu",
            "cuda",
            "latest",
            "cu20240124",
            "cu1234",
            "cu124a",
            "cu124rc",
            "cuda-118",
            "cuda-20240101",
            "cuda_12_1",
            "cu999",
            "documents",
        ] {
            assert_eq!(cuda(tag), "silent", "{tag}");
        }
    }

    #[test]
    fn joins_equal_versions_and_reports_contradictions() {
        assert_eq!(cuda("cuda12.4.1-cu124"), "12.4.1");
        assert_eq!(cuda("cu12-cuda12.4"), "12.4");
        assert_eq!(cuda("cu118-cu124"), "contradicts");
        assert_eq!(cuda("cuda12.4.0-cuda12.4.1"), "contradicts");
        assert_eq!(cuda("cu118-cu124-cu118"), "contradicts");
    }

    #[test]
    fn reads_torch_only_behind_a_word_for_it() {
        for (tag, version) in [
            ("torch2.6.0-cu124", "2.6.0"),
            ("pytorch-2.6", "2.6"),
            ("pt2.6-x", "2.6"),
            ("r35.2.1-pth2.0-py3", "2.0"),
            (
                "rocm7.2.4_ubuntu24.04_py3.12_pytorch_release_2.9.1",
                "2.9.1",
            ),
            ("gpt2.5", "-"),
            ("script2.5", "-"),
            ("2.6-cu124", "-"),
            ("torch", "-"),
            ("torch2.6.0-torch2.7.0", "-"),
        ] {
            assert_eq!(torch(tag), version, "{tag}");
        }
    }

    #[test]
    fn keeps_a_leading_version_apart() {
        let leading = |tag: &str| TagClaims::read(tag).leading.map(|name| name.to_string());
        assert_eq!(leading("2.6-cu124").as_deref(), Some("2.6"));
        assert_eq!(leading("v2.6.0-gpu").as_deref(), Some("2.6.0"));
        assert_eq!(leading("latest"), None);
        assert_eq!(leading("2026-01"), None);
        assert_eq!(leading("20240101"), None);
    }

    #[test]
    fn tells_cpu_rocm_and_gpu_words_apart() {
        let build = |tag: &str| TagClaims::read(tag).build;
        assert_eq!(build("2.6-cpu"), Claim::Says(BuildName::Cpu));
        assert_eq!(build("cpu-1.8"), Claim::Says(BuildName::Cpu));
        assert_eq!(build("2.9.3-gpu"), Claim::Says(BuildName::Cuda));
        assert_eq!(build("rocm7.2.4_ubuntu24.04"), Claim::Says(BuildName::Rocm));
        assert_eq!(build("v1-rocm"), Claim::Says(BuildName::Rocm));
        assert_eq!(build("2.8-xpu"), Claim::Says(BuildName::Xpu));
        assert_eq!(build("2.6-cu124"), Claim::Says(BuildName::Cuda));
        assert_eq!(build("cpu-cu124"), Claim::Contradicts);
        assert_eq!(build("cpu-gpu"), Claim::Contradicts);
        assert_eq!(build("cpuinfo"), Claim::Silent);
        assert_eq!(build("procmon"), Claim::Silent);
    }

    #[test]
    fn reads_compact_torch_names() {
        let compact = |text: &str| TorchName::compact(text).map(|name| name.to_string());
        assert_eq!(compact("280").as_deref(), Some("2.8.0"));
        assert_eq!(compact("28x").as_deref(), Some("2.8"));
        assert_eq!(compact("2100").as_deref(), Some("2.10.0"));
        assert_eq!(compact("1131").as_deref(), Some("1.13.1"));
        assert_eq!(compact("28"), None);
        assert_eq!(compact("x"), None);
        assert_eq!(compact(""), None);
    }

    proptest! {
        #[test]
        fn never_panics_on_any_text(tag in ".*") {
            let _ = TagClaims::read(&tag);
            let _ = TorchName::compact(&tag);
            let _ = CudaName::compact(&tag);
        }

        #[test]
        fn never_panics_on_tag_like_text(tag in "(cu|cuda|torch|pt|v|[0-9.]|[-_.]|cpu){0,12}") {
            let _ = TagClaims::read(&tag);
        }

        #[test]
        fn finds_a_dotted_version_between_separators(major in 9u16..20, minor in 0u16..10, patch in 0u16..10) {
            let tag = format!("team-cuda{major}.{minor}.{patch}-runtime");
            prop_assert_eq!(cuda(&tag), format!("{major}.{minor}.{patch}"));
        }
    }
}
