//! What is known about a piece of GPU software (an image, a wheel): facts, each with where it was read.
//!
//! Knows nothing of how facts are found. Strength belongs to the fact, not to its source: [`Fact::merge`]
//! says which of two wins.

use std::fmt;
use std::sync::Arc;

use super::host::{CpuArchitecture, word_enum};
use super::require::Requirements;
use super::target::{PtxList, TargetList};
use super::version::{CudaVersion, DottedVersion, DriverVersion, TorchVersion};

word_enum! {
    /// Where a fact was read, the strongest first.
    Origin, "origin" {
        /// In the files of the software itself.
        Measured = "measured",
        /// In signed evidence attached to it, or in an operator's overlay.
        Attached = "attached",
        /// In the knowledge base, for a build that the name identifies.
        Catalog = "catalog",
        /// In its author's declaration.
        Declared = "declared",
        /// In a name that follows a convention: enough for driver and toolkit floors, not for kernels.
        Name = "name",
        /// In something that describes the base image or a build setting.
        Hint = "hint",
    }
}

word_enum! {
    /// How a fact is known to be true.
    Proof, "proof" {
        /// Read in the published files.
        Wheel = "wheel",
        /// Read in the script that built them.
        Script = "script",
        /// Reported independently by people who ran it.
        Observed = "observed",
        /// In the publisher's own documentation.
        Doc = "doc",
        /// Carried over from a neighbouring release.
        Assumed = "assumed",
    }
}

/// Where a fact comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Evidence {
    /// Where it was read.
    pub origin: Origin,
    /// How it is known to be true.
    pub proof: Proof,
    /// The citation that a message prints.
    pub source: Arc<str>,
}

/// What a fact may be used for against a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It may carry any refusal.
    MayDeny,
    /// It may carry a refusal for driver and toolkit floors only.
    MayDenyFloors,
    /// It may carry none.
    NeverDenies,
}

impl Evidence {
    /// Evidence from its three parts.
    #[must_use]
    pub fn new(origin: Origin, proof: Proof, source: impl Into<Arc<str>>) -> Self {
        Self {
            origin,
            proof,
            source: source.into(),
        }
    }

    /// What this evidence may carry (design, section 3).
    #[must_use]
    pub fn standing(&self) -> Standing {
        match (self.proof, self.origin) {
            (Proof::Assumed, _) | (_, Origin::Hint) => Standing::NeverDenies,
            (_, Origin::Name) => Standing::MayDenyFloors,
            (_, Origin::Measured | Origin::Attached | Origin::Catalog | Origin::Declared) => {
                Standing::MayDeny
            }
        }
    }
}

/// Why something is not known, in words for a message: `the registry answered 401`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Gap(pub Arc<str>);

impl Gap {
    /// A gap with its reason.
    #[must_use]
    pub fn new(reason: impl Into<Arc<str>>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Something that is known, with its evidence, or a gap that says why it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact<T> {
    /// Known.
    Known(T, Evidence),
    /// Not known.
    Gap(Gap),
}

/// Two facts of which one had to give way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merge<T> {
    /// They agreed, or only one was known.
    Agreed(Fact<T>),
    /// The stronger won over a different value.
    Overruled {
        /// The winner.
        fact: Fact<T>,
        /// The value that lost, and its evidence.
        loser: (T, Evidence),
    },
    /// Equally strong and different: nothing is known.
    Contradiction {
        /// A gap that names both sources.
        fact: Fact<T>,
        /// Both values with their evidence.
        values: [(T, Evidence); 2],
    },
}

impl<T> Merge<T> {
    /// The fact that came out.
    #[must_use]
    pub fn into_fact(self) -> Fact<T> {
        match self {
            Self::Agreed(fact)
            | Self::Overruled { fact, .. }
            | Self::Contradiction { fact, .. } => fact,
        }
    }
}

impl<T> Fact<T> {
    /// A gap with its reason.
    #[must_use]
    pub fn gap(reason: impl Into<Arc<str>>) -> Self {
        Self::Gap(Gap::new(reason))
    }

    /// The value and its evidence, if known.
    pub fn known(&self) -> Option<(&T, &Evidence)> {
        match self {
            Self::Known(value, evidence) => Some((value, evidence)),
            Self::Gap(_) => None,
        }
    }

    /// The value, if known.
    pub fn value(&self) -> Option<&T> {
        self.known().map(|(value, _)| value)
    }

    /// The same fact about a value made from this one.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Fact<U> {
        match self {
            Self::Known(value, evidence) => Fact::Known(make(value), evidence),
            Self::Gap(gap) => Fact::Gap(gap),
        }
    }
}

impl<T: PartialEq + Clone> Fact<T> {
    /// Joins two statements about one thing: the stronger origin wins, a known one wins over a gap, and equal
    /// strength with different values is a gap.
    #[must_use]
    pub fn merge(self, other: Self) -> Merge<T> {
        let ((mine, my_evidence), (theirs, their_evidence)) = match (self, other) {
            (fact, Self::Gap(_)) | (Self::Gap(_), fact) => return Merge::Agreed(fact),
            (Self::Known(mine, my_evidence), Self::Known(theirs, their_evidence)) => {
                ((mine, my_evidence), (theirs, their_evidence))
            }
        };
        let strength = |evidence: &Evidence| evidence.origin;
        if mine == theirs {
            let evidence = if strength(&their_evidence) < strength(&my_evidence) {
                their_evidence
            } else {
                my_evidence
            };
            return Merge::Agreed(Self::Known(mine, evidence));
        }
        match strength(&my_evidence).cmp(&strength(&their_evidence)) {
            std::cmp::Ordering::Less => Merge::Overruled {
                fact: Self::Known(mine, my_evidence),
                loser: (theirs, their_evidence),
            },
            std::cmp::Ordering::Greater => Merge::Overruled {
                fact: Self::Known(theirs, their_evidence),
                loser: (mine, my_evidence),
            },
            std::cmp::Ordering::Equal => {
                let reason = format!(
                    "{} and {} disagree",
                    my_evidence.source, their_evidence.source
                );
                Merge::Contradiction {
                    fact: Self::gap(reason),
                    values: [(mine, my_evidence), (theirs, their_evidence)],
                }
            }
        }
    }
}

word_enum! {
    /// Whose GPUs a build of torch (or another program) is for.
    BuildKind, "kind of build" {
        /// NVIDIA GPUs.
        Cuda = "cuda",
        /// No GPU.
        CpuOnly = "cpu",
        /// AMD GPUs.
        Rocm = "rocm",
        /// Intel GPUs.
        Xpu = "xpu",
    }
}

word_enum! {
    /// For which kind of machine the binaries were made.
    Binaries, "kind of binaries" {
        /// The ordinary driver, on servers, desktops and SBSA machines.
        Desktop = "desktop",
        /// Linux for Tegra.
        Tegra = "tegra",
    }
}

/// How much of a piece of software is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Scope {
    /// It brings kernels, so GPU code is judged.
    #[default]
    Kernels,
    /// A base image without kernels of its own: only whether CUDA programs can start.
    StartOnly,
}

/// Whether other things in an image than torch can use a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OtherGpuUsers {
    /// Nothing else can.
    Absent,
    /// Something else can.
    Present,
    /// Nobody looked.
    #[default]
    Unknown,
}

/// The forward-compatibility libraries (`cuda-compat`) in an image.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CompatPackage {
    /// None.
    Absent,
    /// Those of a toolkit.
    Present {
        /// CUDA version they offer.
        cuda: CudaVersion,
        /// Driver they come from (`libcuda.so.<version>`), if known.
        driver: Option<DriverVersion>,
        /// Branches of host drivers that their note lists; where not read, the catalog's list for that toolkit.
        branches: Option<Arc<[u16]>>,
    },
}

impl fmt::Display for CompatPackage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => formatter.write_str("absent"),
            Self::Present {
                cuda,
                driver: Some(driver),
                ..
            } => write!(formatter, "CUDA {cuda} (driver {driver})"),
            Self::Present {
                cuda, driver: None, ..
            } => write!(formatter, "CUDA {cuda}"),
        }
    }
}

/// A GPU library or extension beside torch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Library {
    /// Its package name without the CUDA suffix: `nvidia-cudnn`, `nvidia-cublas`, `nvidia-nccl`, `flash-attn`.
    pub name: Arc<str>,
    /// Its version, if known.
    pub version: Option<DottedVersion>,
    /// Its own SASS and PTX if measured; otherwise the catalog is asked by name, version and CUDA major.
    pub code: Option<(TargetList, PtxList)>,
}

impl fmt::Display for Library {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        self.version
            .map_or(Ok(()), |version| write!(formatter, " {version}"))
    }
}

/// Libraries beside torch; cheap to clone.
pub type Libraries = Arc<[Library]>;

word_enum! {
    /// Names of the facts that a judgement may rest on.
    FactName, "name of a fact" {
        /// Whose GPUs the build is for.
        Build = "build",
        /// torch version.
        Torch = "torch",
        /// CUDA toolkit of the build.
        Cuda = "cuda",
        /// Compiled GPU code.
        Sass = "sass",
        /// GPU code that the driver compiles.
        Ptx = "ptx",
        /// Targets whose code is stored with the newer compression.
        Zstd = "zstd",
        /// Forward-compatibility libraries.
        Compat = "compat",
        /// `NVIDIA_REQUIRE_*`.
        Require = "require",
        /// Libraries beside torch.
        Library = "library",
        /// CPU architectures.
        Platforms = "platforms",
        /// Desktop or Tegra binaries.
        Binaries = "binaries",
        /// Least driver for that toolkit, from the knowledge base.
        DriverFloor = "driver-floor",
        /// What a driver branch offers, from the knowledge base.
        DriverOffer = "driver-offer",
        /// Which drivers drive a GPU, from the knowledge base.
        GpuDrivers = "gpu-drivers",
        /// Which targets a toolkit can build, from the knowledge base.
        ToolkitTargets = "toolkit-targets",
        /// The host's GPU.
        Gpu = "gpu",
        /// The host's driver.
        Driver = "driver",
        /// The host's container runtime.
        Runtime = "runtime",
    }
}

/// All that is known about a piece of software on one CPU architecture. Start from [`Software::unknown`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Software {
    /// How much of it is judged.
    pub scope: Scope,
    /// Whose GPUs its torch (or other program) is built for.
    pub build: Fact<BuildKind>,
    /// Whether something beside torch can use a GPU.
    pub others: OtherGpuUsers,
    /// Version of torch.
    pub torch: Fact<TorchVersion>,
    /// CUDA toolkit that built it.
    pub cuda: Fact<CudaVersion>,
    /// Targets for which every kernel was compiled. An empty list is knowledge: there are none.
    pub sass: Fact<TargetList>,
    /// Targets for which every kernel is there as PTX. An empty list is knowledge: there is none.
    pub ptx: Fact<PtxList>,
    /// Targets whose SASS is stored with zstd, which older drivers cannot unpack. A gap puts up no floor.
    pub zstd: Fact<TargetList>,
    /// The forward-compatibility libraries.
    pub compat: Fact<CompatPackage>,
    /// Start conditions.
    pub requirements: Fact<Requirements>,
    /// Libraries beside torch. A gap restricts nothing.
    pub libraries: Fact<Libraries>,
    /// CPU architectures it exists for. A gap restricts nothing.
    pub platforms: Fact<Arc<[CpuArchitecture]>>,
    /// Desktop or Tegra binaries; a gap counts as desktop where only such are published.
    pub binaries: Fact<Binaries>,
}

impl Software {
    /// Software of which nothing is known, each gap with that reason.
    #[must_use]
    pub fn unknown(reason: impl Into<Arc<str>>) -> Self {
        let gap = Gap::new(reason);
        Self {
            scope: Scope::Kernels,
            build: Fact::Gap(gap.clone()),
            others: OtherGpuUsers::Unknown,
            torch: Fact::Gap(gap.clone()),
            cuda: Fact::Gap(gap.clone()),
            sass: Fact::Gap(gap.clone()),
            ptx: Fact::Gap(gap.clone()),
            zstd: Fact::Gap(gap.clone()),
            compat: Fact::Gap(gap.clone()),
            requirements: Fact::Gap(gap.clone()),
            libraries: Fact::Gap(gap.clone()),
            platforms: Fact::Gap(gap.clone()),
            binaries: Fact::Gap(gap),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(value: u8, origin: Origin) -> Fact<u8> {
        Fact::Known(value, Evidence::new(origin, Proof::Doc, origin.word()))
    }

    #[test]
    fn the_stronger_origin_wins_and_the_loser_is_kept() {
        let merged = fact(1, Origin::Catalog).merge(fact(2, Origin::Measured));
        let Merge::Overruled {
            fact: winner,
            loser,
        } = merged
        else {
            panic!("not overruled")
        };
        assert_eq!((winner.value(), loser.0), (Some(&2), 1));
    }

    #[test]
    fn equal_strength_and_different_values_are_a_gap() {
        let merged = fact(1, Origin::Catalog).merge(fact(2, Origin::Catalog));
        assert!(matches!(
            merged,
            Merge::Contradiction {
                fact: Fact::Gap(_),
                ..
            }
        ));
    }

    #[test]
    fn agreement_keeps_the_stronger_evidence_and_a_gap_gives_way() {
        let merged = fact(1, Origin::Name)
            .merge(fact(1, Origin::Catalog))
            .into_fact();
        assert_eq!(
            merged.known().map(|(_, evidence)| evidence.origin),
            Some(Origin::Catalog)
        );
        assert_eq!(
            Fact::gap("401")
                .merge(fact(3, Origin::Hint))
                .into_fact()
                .value(),
            Some(&3)
        );
    }

    #[test]
    fn hints_and_assumptions_never_deny_and_names_only_floors() {
        let standing = |origin, proof| Evidence::new(origin, proof, "").standing();
        assert_eq!(standing(Origin::Hint, Proof::Wheel), Standing::NeverDenies);
        assert_eq!(
            standing(Origin::Measured, Proof::Assumed),
            Standing::NeverDenies
        );
        assert_eq!(standing(Origin::Name, Proof::Doc), Standing::MayDenyFloors);
        assert_eq!(standing(Origin::Declared, Proof::Doc), Standing::MayDeny);
    }
}
