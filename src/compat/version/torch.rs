//! torch versions with their local label (`2.6.0+cu124`), and the variants that those labels name.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::{CudaVersion, VersionError, digits};

/// What one wheel or package of a torch release was built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variant {
    /// No GPU at all (`cpu`).
    Cpu,
    /// NVIDIA GPUs, with that toolkit (`cu124`).
    Cuda(CudaVersion),
    /// AMD GPUs, with that `ROCm` release (`rocm6.2`).
    Rocm(u16, u16),
    /// Intel GPUs (`xpu`).
    Xpu,
}

impl FromStr for Variant {
    type Err = VersionError;

    /// `cpu`, `cu124`, `rocm6.2`, `xpu`; what follows a dot or dash after it (`cpu.cxx11.abi`) is dropped.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        const KIND: &str = "torch variant";
        VersionError::refuse_long(KIND, text)?;
        let malformed = || VersionError::malformed(KIND, "cpu, cu124, rocm6.2 or xpu", text);
        if let Some(number) = text.strip_prefix("rocm") {
            return rocm(number).ok_or_else(malformed);
        }
        let word = text.split(['.', '-', '_']).next().unwrap_or_default();
        match word {
            "cpu" => Ok(Self::Cpu),
            "xpu" => Ok(Self::Xpu),
            _ => word
                .strip_prefix("cu")
                .and_then(cuda)
                .map(Self::Cuda)
                .ok_or_else(malformed),
        }
    }
}

/// `124` is 12.4 and `90` is 9.0: the last digit is the minor version.
fn cuda(number: &str) -> Option<CudaVersion> {
    let (major, minor) = number.split_at_checked(number.len().checked_sub(1)?)?;
    let major = digits(major).filter(|major| (5..100).contains(major))?;
    Some(CudaVersion {
        major,
        minor: digits(minor)?,
    })
}

fn rocm(number: &str) -> Option<Variant> {
    let mut parts = number.split(['.', '-', '_']);
    let major = parts.next().and_then(digits)?;
    let minor = parts.next().map_or(Some(0), digits)?;
    Some(Variant::Rocm(major, minor))
}

impl fmt::Display for Variant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => formatter.write_str("cpu"),
            Self::Xpu => formatter.write_str("xpu"),
            Self::Cuda(cuda) => write!(formatter, "cu{}{}", cuda.major, cuda.minor),
            Self::Rocm(major, minor) => write!(formatter, "rocm{major}.{minor}"),
        }
    }
}

/// Where in a release cycle a version stands; ordered as PEP 440 orders them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PreRelease {
    /// A nightly build, with its date (`.dev20260801`).
    Dev(u32),
    /// An alpha (`a0`, what NGC images carry).
    Alpha(u32),
    /// A beta (`b1`).
    Beta(u32),
    /// A release candidate (`rc3`).
    Candidate(u32),
    /// The release itself.
    Final,
    /// A repackaged release (`.post2`).
    Post(u32),
}

/// A version of torch: three numbers, a stage, and the local label after `+`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TorchVersion {
    /// First number.
    pub major: u16,
    /// Second number.
    pub minor: u16,
    /// Third number; zero when not written, as pip reads it.
    pub patch: u16,
    /// Stage of the release cycle.
    pub stage: PreRelease,
    local: Option<Box<str>>,
}

impl TorchVersion {
    /// A final release without a local label.
    #[must_use]
    pub const fn release(major: u16, minor: u16, patch: u16) -> Self {
        Self {
            major,
            minor,
            patch,
            stage: PreRelease::Final,
            local: None,
        }
    }

    /// The variant that the local label names; `None` without a label, or if it names none (NGC's are hashes).
    #[must_use]
    pub fn variant(&self) -> Option<Variant> {
        self.local.as_deref().and_then(|local| local.parse().ok())
    }

    /// The text after `+`.
    #[must_use]
    pub fn local(&self) -> Option<&str> {
        self.local.as_deref()
    }

    /// The same version with that variant as its label.
    #[must_use]
    pub fn with_variant(&self, variant: Variant) -> Self {
        Self {
            local: Some(variant.to_string().into_boxed_str()),
            ..self.without_local()
        }
    }

    /// The same version without a label.
    #[must_use]
    pub fn without_local(&self) -> Self {
        Self {
            major: self.major,
            minor: self.minor,
            patch: self.patch,
            stage: self.stage,
            local: None,
        }
    }
}

impl FromStr for TorchVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        const KIND: &str = "torch version";
        VersionError::refuse_long(KIND, text)?;
        let malformed = || VersionError::malformed(KIND, "like 2.6.0 or 2.6.0+cu124", text);
        let (public, local) = match text.split_once('+') {
            Some((public, local)) => (public, Some(label(local).ok_or_else(malformed)?)),
            None => (text, None),
        };
        let public = public.strip_prefix('v').unwrap_or(public);
        let (major, rest) = number(public).ok_or_else(malformed)?;
        let (minor, rest) = rest
            .strip_prefix('.')
            .and_then(number)
            .ok_or_else(malformed)?;
        let (patch, rest) = match rest.strip_prefix('.').and_then(number) {
            Some((patch, rest)) => (patch, rest),
            None => (0, rest),
        };
        let stage = stage(rest).ok_or_else(malformed)?;
        Ok(Self {
            major,
            minor,
            patch,
            stage,
            local,
        })
    }
}

fn label(local: &str) -> Option<Box<str>> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (!local.is_empty() && local.bytes().all(legal)).then(|| local.into())
}

/// Splits the digits off the front of a text.
fn number(text: &str) -> Option<(u16, &str)> {
    let end = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(end)?;
    Some((digits(number)?, rest))
}

fn stage(text: &str) -> Option<PreRelease> {
    let after = |word: &str| text.strip_prefix(word).and_then(digits);
    if text.is_empty() {
        return Some(PreRelease::Final);
    }
    let dev = after(".dev").map(PreRelease::Dev);
    let post = after(".post").map(PreRelease::Post);
    let candidate = after("rc").map(PreRelease::Candidate);
    let alpha = after("a").map(PreRelease::Alpha);
    let beta = after("b").map(PreRelease::Beta);
    dev.or(post).or(candidate).or(alpha).or(beta)
}

impl fmt::Display for TorchVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)?;
        match self.stage {
            PreRelease::Dev(number) => write!(formatter, ".dev{number}")?,
            PreRelease::Alpha(number) => write!(formatter, "a{number}")?,
            PreRelease::Beta(number) => write!(formatter, "b{number}")?,
            PreRelease::Candidate(number) => write!(formatter, "rc{number}")?,
            PreRelease::Final => {}
            PreRelease::Post(number) => write!(formatter, ".post{number}")?,
        }
        self.local
            .as_deref()
            .map_or(Ok(()), |local| write!(formatter, "+{local}"))
    }
}

impl PartialOrd for TorchVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TorchVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |version: &Self| (version.major, version.minor, version.patch, version.stage);
        key(self)
            .cmp(&key(other))
            .then_with(|| self.local.cmp(&other.local))
    }
}
