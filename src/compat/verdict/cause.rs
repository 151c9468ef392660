//! What was found, with every number that a message needs.

use std::sync::Arc;

use crate::compat::host::{CpuArchitecture, GpuClass, word_enum};
use crate::compat::software::{BuildKind, CompatPackage, Gap, Library};
use crate::compat::target::{ComputeCapability, PtxList, PtxTarget, TargetList};
use crate::compat::version::{CudaVersion, DriverFloor, DriverVersion, PtxIsa, TorchVersion};

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
    /// The author's own word.
    Declared,
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
        /// CUDA version of the software, if known.
        cuda: Option<CudaVersion>,
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
    /// The publisher says that the GPU is too old.
    ArchByPublisher {
        /// The GPU's capability.
        capability: ComputeCapability,
        /// Oldest GPU that the publisher supports.
        lowest: ComputeCapability,
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
