//! A finding in words: the sentence of line 1, the evidence behind it, and the way out. One function a cause.

use crate::compat::catalog::Channel;
use crate::compat::verdict::{CompatState, DriverReach, FloorReason, RequireProblem};
use crate::compat::{
    Catalog, Cause, Code, ComputeCapability, CpuArchitecture, CudaVersion, DriverFloor,
    DriverVersion, FactName, Finding, Host, Origin, PtxList, PtxTarget, TorchVersion,
};

/// A finding in words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Told {
    /// What is wrong, for one GPU, without a full stop.
    pub(super) sentence: String,
    /// What the image has; empty if that is not the point.
    pub(super) has: String,
    /// What the image needs; empty if that is not the point.
    pub(super) needs: String,
    /// What to do; empty if nothing can be said.
    pub(super) fix: String,
}

/// A GPU by product and capability: `Tesla P100 (sm_60)`.
pub(super) fn gpu(host: &Host) -> String {
    match (&host.product, host.capability) {
        (Some(product), Some(capability)) => format!("{product} ({})", capability.sm()),
        (Some(product), None) => product.to_string(),
        (None, Some(capability)) => capability.sm(),
        (None, None) => "an unknown GPU".to_owned(),
    }
}

/// When the error text of a code shows up.
pub(super) fn moment(code: Code) -> &'static str {
    match code {
        Code::Require => "the container does not start:",
        Code::Platform => "the container exits at once:",
        Code::Driver | Code::Unsupported | Code::Vendor | Code::CpuBuild | Code::Compat => {
            "CUDA does not start:"
        }
        Code::Tegra | Code::Arch | Code::Ptx | Code::Library => "the first CUDA call fails:",
        Code::Partial
        | Code::Jit
        | Code::Shm
        | Code::Runtime
        | Code::Implicit
        | Code::Unchecked => "then:",
    }
}

/// Puts a finding on a host into words.
pub(super) fn told(finding: &Finding, host: &Host, catalog: &Catalog) -> Told {
    let gpu = &gpu(host);
    let mut told = match &finding.cause {
        Cause::Vendor { build } => Told {
            sentence: format!("image holds a {build} build, which cannot use {gpu}"),
            has: build.to_string(),
            fix: "use a CUDA build of the image, or ask for that vendor's GPU".to_owned(),
            ..Told::default()
        },
        Cause::Platform { has, needs } => platform(has, *needs),
        Cause::Tegra { sass, .. } => Told {
            sentence: format!("image holds desktop GPU code, which {gpu} (Tegra) does not load"),
            has: sass.to_string(),
            fix: "use an image that is made for Jetson".to_owned(),
            ..Told::default()
        },
        Cause::Unsupported { driver, reach, .. } => unsupported(*driver, *reach, gpu),
        Cause::Driver {
            driver,
            offers,
            cuda,
            floor,
            reason,
            ..
        } => too_old(&has_driver(*driver, *offers), *cuda, *floor, *reason, gpu),
        Cause::Arch {
            capability,
            sass,
            ptx,
        } => Told {
            sentence: format!("image has no GPU code for {gpu}"),
            has: format!("{sass}, {}", no_or(ptx)),
            fix: other_build(finding, *capability, host, catalog),
            ..Told::default()
        },
        Cause::ArchByToolkit {
            capability,
            cuda,
            lowest,
            highest,
        } => Told {
            sentence: format!("image is built with CUDA {cuda}, which cannot compile for {gpu}"),
            has: format!(
                "CUDA {cuda}, which compiles for {} to {}",
                lowest.sm(),
                highest.sm()
            ),
            fix: other_build(finding, *capability, host, catalog),
            ..Told::default()
        },
        Cause::ArchByPublisher { capability, lowest } => Told {
            sentence: format!("image is made for {} and newer, not for {gpu}", lowest.sm()),
            needs: format!("{} or newer", lowest.sm()),
            fix: other_build(finding, *capability, host, catalog),
            ..Told::default()
        },
        Cause::Ptx {
            ptx, driver, floor, ..
        } => newer_ptx(*ptx, *driver, *floor, gpu),
        Cause::Require {
            variable,
            condition,
            problem,
            ..
        } => require(variable, condition, *problem, gpu),
        Cause::CpuBuild { torch } => Told {
            sentence: "a GPU is requested, and the image's torch is a CPU-only build".to_owned(),
            has: torch
                .as_ref()
                .map(|torch| format!("torch {torch}"))
                .unwrap_or_default(),
            fix: "install a CUDA build of torch, or do not request a GPU".to_owned(),
            ..Told::default()
        },
        Cause::Jit { ptx, .. } => Told {
            sentence: format!(
                "image runs on {gpu} only by compiling {ptx} at the first start, which is slow"
            ),
            has: ptx.to_string(),
            ..Told::default()
        },
        Cause::Library {
            library, sass, ptx, ..
        } => Told {
            sentence: format!("torch fits, but {library} has no code for {gpu}"),
            has: format!("{library}: {sass}, {}", no_or(ptx)),
            ..Told::default()
        },
        Cause::Compat { package, state } => Told {
            sentence: format!(
                "image's forward-compatibility libraries do not apply on {gpu}: {}",
                compat(state)
            ),
            has: package.to_string(),
            ..Told::default()
        },
    };
    let place = read_from(finding);
    for line in [&mut told.has, &mut told.needs] {
        if !line.is_empty() {
            line.push_str(place);
        }
    }
    told
}

fn platform(has: &[CpuArchitecture], needs: CpuArchitecture) -> Told {
    let has: Vec<&str> = has.iter().map(|architecture| architecture.word()).collect();
    Told {
        sentence: format!("image has no build for {needs}, the CPU architecture of the node"),
        has: has.join(" "),
        fix: format!("use an image that is built for {needs}"),
        ..Told::default()
    }
}

fn unsupported(driver: DriverVersion, reach: DriverReach, gpu: &str) -> Told {
    let (sentence, fix) = match reach {
        DriverReach::TooOld { floor } => (
            format!("driver {driver} is older than {gpu}, which needs {floor} or newer"),
            format!("update the driver to {floor} or newer"),
        ),
        DriverReach::Dropped { last } => (
            format!("driver {driver} no longer drives {gpu}; branch {last} was the last"),
            format!("keep these nodes on driver branch {last}"),
        ),
    };
    Told {
        sentence,
        fix,
        ..Told::default()
    }
}

fn too_old(
    has: &str,
    cuda: Option<CudaVersion>,
    floor: DriverFloor,
    reason: FloorReason,
    gpu: &str,
) -> Told {
    let cuda = cuda.map(|cuda| format!("CUDA {cuda}"));
    let why = match reason {
        FloorReason::Toolkit => cuda.clone().unwrap_or_else(|| "its CUDA".to_owned()),
        FloorReason::Compression => "its compressed GPU code".to_owned(),
        FloorReason::Declared => "its author's word".to_owned(),
    };
    Told {
        sentence: format!(
            "image needs NVIDIA driver >= {floor} ({why}), and beside {gpu} is {has}"
        ),
        needs: cuda
            .map(|cuda| format!("{cuda}, so driver {floor} or newer"))
            .unwrap_or_default(),
        fix: format!(
            "use an image built with an older CUDA, or update the driver to {floor} or newer"
        ),
        ..Told::default()
    }
}

fn newer_ptx(ptx: PtxTarget, driver: DriverVersion, floor: Option<DriverFloor>, gpu: &str) -> Told {
    Told {
        sentence: format!(
            "image has only {ptx} for {gpu}, which driver {driver} is too old to compile"
        ),
        has: ptx.to_string(),
        fix: floor
            .map(|floor| format!("update the driver to {floor} or newer"))
            .unwrap_or_default(),
        ..Told::default()
    }
}

fn require(variable: &str, condition: &str, problem: RequireProblem, gpu: &str) -> Told {
    let how = match problem {
        RequireProblem::Unsatisfied => "is not met",
        RequireProblem::Invalid => "cannot be read",
    };
    Told {
        sentence: format!("image demands {condition}, which {how} beside {gpu}"),
        needs: format!("{variable}={condition}"),
        fix: "use an image with a lower demand, or set NVIDIA_DISABLE_REQUIRE=true if you know better".to_owned(),
        ..Told::default()
    }
}

/// The variants of the same torch release that have code for the GPU, from the catalog.
fn other_build(
    finding: &Finding,
    capability: ComputeCapability,
    host: &Host,
    catalog: &Catalog,
) -> String {
    let torch: Option<TorchVersion> = finding
        .facts
        .iter()
        .filter(|fact| fact.name == FactName::Torch)
        .find_map(|fact| fact.value.to_string().parse().ok());
    let architecture = host.architecture.unwrap_or(CpuArchitecture::Amd64);
    let variants: Vec<String> = torch
        .iter()
        .flat_map(|torch| {
            catalog
                .variants_for(torch, capability, architecture, Channel::Pip)
                .into_iter()
                .map(|variant| variant.to_string())
        })
        .collect();
    match torch {
        Some(torch) if !variants.is_empty() => {
            format!(
                "use the {} build of torch {} (it has code for {}), or another GPU",
                variants.join(" or "),
                torch.without_local(),
                capability.sm()
            )
        }
        _ => format!(
            "use a build that has {}, or nodes with another GPU",
            capability.sm()
        ),
    }
}

fn no_or(ptx: &PtxList) -> String {
    if ptx.is_empty() {
        "no PTX".to_owned()
    } else {
        format!("PTX {ptx}")
    }
}

fn has_driver(driver: Option<DriverVersion>, offers: Option<CudaVersion>) -> String {
    match (driver, offers) {
        (Some(driver), Some(cuda)) => format!("{driver} (CUDA {cuda})"),
        (Some(driver), None) => driver.to_string(),
        (None, Some(cuda)) => format!("one for CUDA {cuda}"),
        (None, None) => "an older one".to_owned(),
    }
}

fn compat(state: &CompatState) -> String {
    match state {
        CompatState::Absent => "there are none".to_owned(),
        CompatState::NotNewer => "they are not newer than the driver".to_owned(),
        CompatState::BranchNotListed { .. } => {
            "the driver's branch is not on their list".to_owned()
        }
        CompatState::ClassExcluded { class } => format!("not made for {class} GPUs"),
        CompatState::ChipExcluded { branch } => {
            format!("those of branch {branch} do not know the GPU")
        }
        CompatState::Applies { cuda, .. } => format!("they offer CUDA {cuda}"),
        CompatState::Unknown { gap } => gap.to_string(),
    }
}

/// Where the decisive fact about the image was read, in brackets; empty if none is told.
fn read_from(finding: &Finding) -> &'static str {
    let about_image = [
        FactName::Sass,
        FactName::Ptx,
        FactName::Cuda,
        FactName::Build,
        FactName::Require,
        FactName::Platforms,
        FactName::Library,
        FactName::Compat,
    ];
    let fact = finding
        .facts
        .iter()
        .find(|fact| about_image.contains(&fact.name));
    match fact.map(|fact| fact.evidence.origin) {
        Some(Origin::Measured) => "   (read from the image's files)",
        Some(Origin::Attached) => "   (from evidence attached to the image)",
        Some(Origin::Catalog) => "   (a known build)",
        Some(Origin::Declared) => "   (declared by its author)",
        Some(Origin::Name) => "   (by the image's tag)",
        Some(Origin::Hint) => "   (by the image's environment)",
        None => "",
    }
}
