//! What is known about a piece of GPU software (an image, a wheel): facts, each with where it was read.
//!
//! Knows nothing of how facts are found. Strength belongs to the fact, not to its source: [`Fact::merge`]
//! says which of two wins.

mod evidence;
mod fact;

use std::fmt;
use std::sync::Arc;

use super::host::{CpuArchitecture, word_enum};
use super::require::Requirements;
use super::target::{ComputeCapability, PtxList, TargetList};
use super::version::{CudaVersion, DottedVersion, DriverFloor, DriverVersion, TorchVersion};

pub use evidence::{Evidence, Origin, Proof, Standing};
pub use fact::{Fact, Gap, Merge};

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
        /// Least driver by its author's word.
        DeclaredDriver = "declared-driver",
        /// Oldest GPU by its publisher's word.
        Lowest = "lowest-gpu",
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
    /// Least driver by its author's own word; a gap puts up no floor.
    pub driver: Fact<DriverFloor>,
    /// Oldest GPU by its publisher's own word; asked only where the code is not known. A gap restricts nothing.
    pub lowest: Fact<ComputeCapability>,
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
            driver: Fact::Gap(gap.clone()),
            lowest: Fact::Gap(gap.clone()),
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
