//! Verdicts, their codes and the structured causes behind them.
//!
//! Holds numbers, not sentences: messages are written elsewhere, from these.

use std::fmt;
use std::sync::Arc;

use super::host::{CpuArchitecture, GpuClass, word_enum};
use super::software::{BuildKind, CompatPackage, Evidence, FactName, Gap, Library};
use super::target::{ComputeCapability, PtxList, PtxTarget, Target, TargetList};
use super::version::{CudaVersion, DriverFloor, DriverVersion, PtxIsa, TorchVersion};

word_enum! {
    /// What becomes of one piece of software on one class of GPUs; the order is from best to worst.
    Verdict, "verdict" {
        /// It runs.
        Runs = "runs",
        /// It runs only by compiling PTX at start, or a library beside torch has no code for the GPU.
        Degraded = "degraded",
        /// Something decisive is not known.
        Unknown = "unknown",
        /// It is known to fail.
        Fails = "fails",
    }
}

word_enum! {
    /// Stable names of causes, the worst first; this order picks the one that a message shows.
    Code, "code" {
        /// Another vendor's build asks for an NVIDIA GPU.
        Vendor = "GPU-VENDOR",
        /// No build for the host's CPU architecture.
        Platform = "GPU-PLATFORM",
        /// Desktop binaries on a Jetson that cannot load them.
        Tegra = "GPU-TEGRA",
        /// That driver does not drive that GPU.
        Unsupported = "GPU-UNSUPPORTED",
        /// The driver is older than the software's CUDA or its compression needs.
        Driver = "GPU-DRIVER",
        /// No code for the GPU, and no usable PTX.
        Arch = "GPU-ARCH",
        /// Only PTX fits, and the driver cannot compile it.
        Ptx = "GPU-PTX",
        /// `NVIDIA_REQUIRE_*` is not satisfied.
        Require = "GPU-REQUIRE",
        /// A CPU-only build.
        CpuBuild = "GPU-CPU-BUILD",
        /// Runs on some of the nodes or GPUs only.
        Partial = "GPU-PARTIAL",
        /// Runs only through PTX.
        Jit = "GPU-JIT",
        /// A library beside torch has no code for the GPU.
        Library = "GPU-LIBRARY",
        /// Forward-compatibility libraries where they do not apply.
        Compat = "GPU-COMPAT",
        /// Several GPUs and a small /dev/shm.
        Shm = "GPU-SHM",
        /// The default runtime gives no GPUs.
        Runtime = "GPU-RUNTIME",
        /// GPUs taken without a request.
        Implicit = "GPU-IMPLICIT",
        /// Admitted unchecked.
        Unchecked = "GPU-UNCHECKED",
    }
}

/// Whether the evidence behind a finding is good enough to refuse on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Force {
    /// It may carry a refusal.
    MayDeny,
    /// It may carry a warning at most.
    MayWarn,
}

/// Why a forward-compatibility package does or does not help.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CompatState {
    /// There is none.
    Absent,
    /// It is not newer than the host's driver, so it is not used.
    NotNewer,
    /// The host's driver branch is not on its list.
    BranchNotListed {
        /// Branches on the list.
        branches: Arc<[u16]>,
    },
    /// It does not work on GPUs of that class (error 804).
    ClassExcluded {
        /// The GPU's class.
        class: GpuClass,
    },
    /// Its libcuda does not know the GPU any more, or not yet.
    ChipExcluded {
        /// Branch that the package comes from.
        branch: u16,
    },
    /// It applies: the host then offers that CUDA version.
    Applies {
        /// CUDA version of the package.
        cuda: CudaVersion,
        /// Its driver, if known.
        driver: Option<DriverVersion>,
    },
    /// Whether it applies is not known.
    Unknown {
        /// What is missing.
        gap: Gap,
    },
}

/// Why a driver does not drive a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DriverReach {
    /// It is older than the chip.
    TooOld {
        /// First driver for the chip.
        floor: DriverFloor,
    },
    /// It dropped the chip's generation.
    Dropped {
        /// Last branch that drives it.
        last: u16,
    },
}

/// What puts up a driver floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FloorReason {
    /// The toolkit's own floor, by minor-version compatibility where that exists.
    Toolkit,
    /// The compression of the GPU code that would be loaded.
    Compression,
}

/// What was found, with every number that a message needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// A build for another vendor's GPUs.
    Vendor {
        /// Whose.
        build: BuildKind,
    },
    /// No build for the host's CPU architecture.
    Platform {
        /// Architectures that exist.
        has: Arc<[CpuArchitecture]>,
        /// The host's.
        needs: CpuArchitecture,
    },
    /// Desktop code that this Tegra GPU does not load.
    Tegra {
        /// The code.
        sass: TargetList,
        /// The GPU's capability.
        capability: ComputeCapability,
    },
    /// The driver does not drive the GPU.
    Unsupported {
        /// The host's driver.
        driver: DriverVersion,
        /// The GPU's capability.
        capability: ComputeCapability,
        /// Too old, or dropped.
        reach: DriverReach,
    },
    /// The driver is too old for the software.
    Driver {
        /// The host's driver, if told.
        driver: Option<DriverVersion>,
        /// CUDA version that the driver offers, if known.
        offers: Option<CudaVersion>,
        /// CUDA version of the software.
        cuda: CudaVersion,
        /// Least driver needed.
        floor: DriverFloor,
        /// What needs it.
        reason: FloorReason,
        /// Why no forward-compatibility package helps.
        compat: CompatState,
    },
    /// No code for the GPU.
    Arch {
        /// The GPU's capability.
        capability: ComputeCapability,
        /// Compiled code.
        sass: TargetList,
        /// PTX, none of it for a GPU this old (or at all).
        ptx: PtxList,
    },
    /// The toolkit cannot have built code for the GPU.
    ArchByToolkit {
        /// The GPU's capability.
        capability: ComputeCapability,
        /// The toolkit.
        cuda: CudaVersion,
        /// Oldest GPU it can compile for.
        lowest: ComputeCapability,
        /// Newest GPU it can compile for.
        highest: ComputeCapability,
    },
    /// Only PTX fits, and it is newer than the driver's compiler.
    Ptx {
        /// The GPU's capability.
        capability: ComputeCapability,
        /// The PTX that fits.
        ptx: PtxTarget,
        /// Driver that could compile it, if known.
        floor: Option<DriverFloor>,
        /// The host's driver.
        driver: DriverVersion,
        /// Newest PTX that the driver compiles, if known.
        newest: Option<PtxIsa>,
        /// CUDA version that produced the PTX.
        cuda: Option<CudaVersion>,
        /// Why no forward-compatibility package helps.
        compat: CompatState,
    },
    /// A start condition is not met.
    Require {
        /// The variable.
        variable: Arc<str>,
        /// Its first alternative, which is what the runtime prints.
        condition: Arc<str>,
        /// CUDA version that the host's driver offers, if known.
        offers: Option<CudaVersion>,
        /// Unsatisfied, or not understood by the runtime.
        problem: RequireProblem,
    },
    /// No GPU support in the build.
    CpuBuild {
        /// Its torch version, if known.
        torch: Option<TorchVersion>,
    },
    /// Runs, but only through PTX.
    Jit {
        /// The GPU's capability.
        capability: ComputeCapability,
        /// The PTX that will be compiled.
        ptx: PtxTarget,
    },
    /// A library beside torch has nothing for the GPU.
    Library {
        /// The library.
        library: Library,
        /// Its compiled code.
        sass: TargetList,
        /// Its PTX.
        ptx: PtxList,
        /// The GPU's capability.
        capability: ComputeCapability,
        /// Whether one GPU already needs it.
        need: LibraryNeed,
    },
    /// Forward-compatibility libraries that would be put in front and do not apply.
    Compat {
        /// The package.
        package: CompatPackage,
        /// Why it does not apply.
        state: CompatState,
    },
}

word_enum! {
    /// When a library beside torch matters.
    LibraryNeed, "need of a library" {
        /// As soon as a GPU is used.
        Always = "always",
        /// Only with several GPUs.
        SeveralGpus = "several-gpus",
        /// Never decisive: optional fast paths.
        Optional = "optional",
    }
}

/// What is wrong with a start condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequireProblem {
    /// The host does not satisfy it.
    Unsatisfied,
    /// The runtime cannot read it, and refuses the container.
    Invalid,
}

/// The value of a fact that was used; `Display` gives the text for a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FactValue {
    /// Whose GPUs a build is for.
    Build(BuildKind),
    /// A torch version.
    Torch(TorchVersion),
    /// A CUDA version.
    Cuda(CudaVersion),
    /// Compiled targets.
    Targets(TargetList),
    /// PTX targets.
    Ptx(PtxList),
    /// Forward-compatibility libraries.
    Compat(CompatPackage),
    /// A last branch of drivers.
    LastDriver(u16),
    /// A least driver.
    Floor(DriverFloor),
    /// A library.
    Library(Library),
    /// CPU architectures.
    Platforms(Arc<[CpuArchitecture]>),
    /// What a toolkit can compile for, from the oldest to the newest.
    Range(Target, Target),
    /// Other text.
    Text(Arc<str>),
}

impl fmt::Display for FactValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Build(build) => build.fmt(formatter),
            Self::Torch(torch) => torch.fmt(formatter),
            Self::Cuda(cuda) => cuda.fmt(formatter),
            Self::Targets(targets) => targets.fmt(formatter),
            Self::Ptx(ptx) => ptx.fmt(formatter),
            Self::Compat(package) => package.fmt(formatter),
            Self::LastDriver(branch) => write!(formatter, "up to {branch}"),
            Self::Floor(floor) => floor.fmt(formatter),
            Self::Library(library) => library.fmt(formatter),
            Self::Platforms(platforms) => {
                let words: Vec<&str> = platforms.iter().map(|platform| platform.word()).collect();
                formatter.write_str(&words.join(" "))
            }
            Self::Range(lowest, highest) => write!(formatter, "{lowest} to {highest}"),
            Self::Text(text) => formatter.write_str(text),
        }
    }
}

/// A fact that a judgement rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedFact {
    /// Which fact.
    pub name: FactName,
    /// Its value.
    pub value: FactValue,
    /// Where it was read.
    pub evidence: Evidence,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its stable name.
    pub code: Code,
    /// The verdict that it alone leads to.
    pub verdict: Verdict,
    /// Whether it may carry a refusal.
    pub force: Force,
    /// What was found.
    pub cause: Cause,
    /// The facts it rests on.
    pub facts: Vec<UsedFact>,
}

/// Something decisive that is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingFact {
    /// Which fact.
    pub name: FactName,
    /// Why it is not known.
    pub gap: Gap,
}

/// What becomes of one piece of software on one class of GPUs, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// What was found, the worst first; not empty unless the verdict is `runs` or `unknown`.
    pub findings: Vec<Finding>,
    /// Decisive things that are not known; not empty if the verdict is `unknown`.
    pub gaps: Vec<MissingFact>,
    /// The facts that the verdict rests on, those of the findings included.
    pub facts: Vec<UsedFact>,
}

impl Judgement {
    /// The worst finding.
    #[must_use]
    pub fn worst(&self) -> Option<&Finding> {
        self.findings.first()
    }
}
