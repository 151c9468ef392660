//! Verdicts, their codes and the structured causes behind them.
//!
//! Holds numbers, not sentences: messages are written elsewhere, from these.

mod cause;

use std::fmt;
use std::sync::Arc;

use super::host::{CpuArchitecture, word_enum};
use super::software::{BuildKind, CompatPackage, Evidence, FactName, Gap, Library};
use super::target::{ComputeCapability, PtxList, Target, TargetList};
use super::version::{CudaVersion, DriverFloor, TorchVersion};
pub use cause::{Cause, CompatState, DriverReach, FloorReason, LibraryNeed, RequireProblem};

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

/// The value of a fact that was used; `Display` gives the text for a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FactValue {
    /// Whose GPUs a build is for.
    Build(BuildKind),
    /// A torch version.
    Torch(TorchVersion),
    /// A CUDA version.
    Cuda(CudaVersion),
    /// A compute capability.
    Capability(ComputeCapability),
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
            Self::Capability(capability) => capability.fmt(formatter),
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
