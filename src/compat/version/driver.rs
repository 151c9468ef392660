//! NVIDIA driver versions: what a host runs, and the least that something needs.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::{DottedVersion, VersionError, digits};

/// Numbers after the branch: `60` and `13` of `525.60.13`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Release {
    minor: u16,
    patch: Option<u16>,
}

/// A driver that a host runs, for example `550.54.15`. A bare branch (`550`) means its newest release, and so
/// is above every written release of that branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DriverVersion {
    branch: u16,
    release: Option<Release>,
}

/// The least driver that something needs. A bare branch (`580`) means any release of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DriverFloor {
    branch: u16,
    release: Option<Release>,
}

impl DriverVersion {
    /// The newest release of a branch.
    #[must_use]
    pub const fn newest_of(branch: u16) -> Self {
        Self {
            branch,
            release: None,
        }
    }

    /// The branch: 550 of `550.54.15`.
    #[must_use]
    pub const fn branch(self) -> u16 {
        self.branch
    }

    /// The numbers of the version; a bare branch gives its newest imaginable release.
    #[must_use]
    pub fn dotted(self) -> DottedVersion {
        let branch = u32::from(self.branch);
        match self.release {
            None => DottedVersion::new(&[branch, u32::MAX]),
            Some(Release { minor, patch: None }) => DottedVersion::new(&[branch, minor.into()]),
            Some(Release {
                minor,
                patch: Some(patch),
            }) => DottedVersion::new(&[branch, minor.into(), patch.into()]),
        }
    }

    fn rank(self) -> (u16, u32, u16) {
        rank(self.branch, self.release, u32::MAX)
    }
}

impl DriverFloor {
    /// Any release of a branch or of a later one.
    #[must_use]
    pub const fn of_branch(branch: u16) -> Self {
        Self {
            branch,
            release: None,
        }
    }

    /// The branch in which the floor lies.
    #[must_use]
    pub const fn branch(self) -> u16 {
        self.branch
    }

    /// Whether that driver is at or above the floor.
    #[must_use]
    pub fn is_met_by(self, driver: DriverVersion) -> bool {
        driver.rank() >= rank(self.branch, self.release, 0)
    }
}

/// What versions are ordered by; `bare` is the minor number that a branch alone stands for.
fn rank(branch: u16, release: Option<Release>, bare: u32) -> (u16, u32, u16) {
    let release = release.map(|release| (release.minor.into(), release.patch.unwrap_or_default()));
    let (minor, patch) = release.unwrap_or((bare, 0));
    (branch, minor, patch)
}

impl Ord for DriverVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank()
            .cmp(&other.rank())
            .then(self.release.is_some().cmp(&other.release.is_some()))
            .then_with(|| {
                let patch = |version: &Self| version.release.and_then(|release| release.patch);
                patch(self).cmp(&patch(other))
            })
    }
}

impl PartialOrd for DriverVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn parse(kind: &'static str, text: &str) -> Result<(u16, Option<Release>), VersionError> {
    VersionError::refuse_long(kind, text)?;
    let malformed = || VersionError::malformed(kind, "like 550.54.15, or a branch like 550", text);
    let mut parts = text.split('.');
    let branch = parts
        .next()
        .and_then(digits)
        .filter(|branch| (100..10_000).contains(branch))
        .ok_or_else(malformed)?;
    let minor = parts
        .next()
        .map(|part| digits(part).ok_or_else(malformed))
        .transpose()?;
    let patch = parts
        .next()
        .map(|part| digits(part).ok_or_else(malformed))
        .transpose()?;
    if parts.next().is_some() {
        return Err(malformed());
    }
    Ok((branch, minor.map(|minor| Release { minor, patch })))
}

fn print(formatter: &mut fmt::Formatter<'_>, branch: u16, release: Option<Release>) -> fmt::Result {
    match release {
        None => write!(formatter, "{branch}"),
        Some(Release { minor, patch: None }) => write!(formatter, "{branch}.{minor:02}"),
        Some(Release {
            minor,
            patch: Some(patch),
        }) => write!(formatter, "{branch}.{minor:02}.{patch:02}"),
    }
}

impl FromStr for DriverVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        parse("driver version", text).map(|(branch, release)| Self { branch, release })
    }
}

impl FromStr for DriverFloor {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        parse("driver version", text).map(|(branch, release)| Self { branch, release })
    }
}

impl fmt::Display for DriverVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(formatter, self.branch, self.release)
    }
}

impl fmt::Display for DriverFloor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(formatter, self.branch, self.release)
    }
}
