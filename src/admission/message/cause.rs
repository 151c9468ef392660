//! A finding in words: the sentence of line 1, what the software has, and what it needs. One arm a cause.

use super::layout;
use crate::compat::verdict::{CompatState, DriverReach, FactValue, FloorReason, RequireProblem};
use crate::compat::{
    BuildKind, Cause, CompatPackage, CpuArchitecture, CudaVersion, DriverFloor, DriverVersion,
    Finding, Host, PtxIsa, PtxList, PtxTarget,
};

/// A GPU by product and capability: `Tesla P100 (sm_60)`.
pub(super) fn gpu(host: &Host) -> String {
    match (&host.product, host.capability) {
        (Some(product), Some(capability)) => format!("{product} ({})", capability.sm()),
        (Some(product), None) => product.to_string(),
        (None, Some(capability)) => capability.sm(),
        (None, None) => "an unknown GPU".to_owned(),
    }
}

/// What is wrong with something that is called `noun`, on one GPU, without a full stop.
pub(super) fn sentence(finding: &Finding, host: &Host, noun: &str) -> String {
    let gpu = gpu(host);
    match &finding.cause {
        Cause::Vendor { build } => {
            format!("{noun} is {} build, which cannot use {gpu}", vendor(*build))
        }
        Cause::Platform { needs, .. } => {
            format!("{noun} has no build for {needs}, the CPU architecture of nodes with {gpu}")
        }
        Cause::Tegra { .. } => {
            format!("{noun} has only GPU code for discrete GPUs, and none for {gpu}")
        }
        Cause::Unsupported { driver, reach, .. } => unsupported(*driver, *reach, &gpu),
        Cause::Driver {
            driver,
            offers,
            floor,
            reason,
            cuda,
            ..
        } => {
            let why = floor_reason(*reason, *cuda);
            let has = has_driver(*driver, *offers);
            format!("{noun} needs NVIDIA driver >= {floor}{why}, and {gpu} has {has}")
        }
        Cause::Arch { .. } => format!("{noun} has no GPU code for {gpu}"),
        Cause::ArchByToolkit { cuda, .. } => {
            format!("{noun} is built with CUDA {cuda}, which cannot compile for {gpu}")
        }
        Cause::ArchByPublisher { .. } => {
            format!("{noun} does not support {gpu}, says its publisher")
        }
        Cause::Ptx {
            ptx,
            driver,
            newest,
            ..
        } => {
            format!(
                "{noun} has only {ptx} for {gpu}, and driver {driver} {}",
                compiles(*newest)
            )
        }
        Cause::Require {
            condition, problem, ..
        } => require(noun, condition, *problem, &gpu),
        Cause::CpuBuild { .. } => cpu_build(noun, &gpu),
        Cause::Jit { ptx, .. } => jit(noun, *ptx, &gpu),
        Cause::Library { library, .. } => {
            format!("{library} beside torch has no code for {gpu}")
        }
        Cause::Compat { state, .. } => format!(
            "{noun} has forward-compatibility libraries, which do not apply on {gpu}: {}",
            compat(state)
        ),
    }
}

/// Whether the sentence ends with the GPU, so that "the only GPU type ..." can follow it.
pub(super) const fn ends_with_gpu(cause: &Cause) -> bool {
    match cause {
        Cause::Vendor { .. }
        | Cause::Platform { .. }
        | Cause::Tegra { .. }
        | Cause::Arch { .. }
        | Cause::ArchByToolkit { .. }
        | Cause::CpuBuild { .. }
        | Cause::Jit { .. }
        | Cause::Library { .. } => true,
        Cause::Unsupported { .. }
        | Cause::Driver { .. }
        | Cause::ArchByPublisher { .. }
        | Cause::Ptx { .. }
        | Cause::Require { .. }
        | Cause::Compat { .. } => false,
    }
}

/// What the software has, as far as it is the point; else empty.
pub(super) fn contents(finding: &Finding) -> String {
    match &finding.cause {
        Cause::Vendor { build } => format!("{} build", build.word()),
        Cause::Platform { has, .. } => platforms(has),
        Cause::Tegra { sass, .. } => sass.to_string(),
        Cause::Driver { cuda, .. } => cuda.map(|cuda| format!("CUDA {cuda}")).unwrap_or_default(),
        Cause::Arch { sass, ptx, .. } if sass.is_empty() => format!("PTX only: {ptx}"),
        Cause::Arch { sass, ptx, .. } => format!("{sass}, {}", no_or(ptx)),
        Cause::ArchByToolkit {
            cuda,
            lowest,
            highest,
            ..
        } => {
            format!(
                "CUDA {cuda}, which compiles for {} to {}",
                lowest.sm(),
                highest.sm()
            )
        }
        Cause::ArchByPublisher { lowest, .. } => format!("code for {} and newer", lowest.sm()),
        Cause::Ptx { ptx, .. } | Cause::Jit { ptx, .. } => ptx.to_string(),
        Cause::CpuBuild { .. } => "no GPU code at all".to_owned(),
        Cause::Library {
            library, sass, ptx, ..
        } => format!("{library}: {sass}, {}", no_or(ptx)),
        Cause::Compat { package, .. } => format!("libraries of {package}"),
        Cause::Unsupported { .. } | Cause::Require { .. } => String::new(),
    }
}

/// What the software needs and does not get, where line 1 does not say it all; else empty.
pub(super) fn needs(finding: &Finding) -> String {
    match &finding.cause {
        Cause::Driver {
            floor,
            compat: state,
            ..
        } => driver_needs(Some(*floor), state, finding),
        Cause::Ptx {
            floor,
            compat: state,
            ..
        } => driver_needs(*floor, state, finding),
        Cause::Require {
            variable,
            condition,
            ..
        } => {
            format!(
                "{} (or another alternative of {variable})",
                layout::shortened(condition)
            )
        }
        Cause::Vendor { .. }
        | Cause::Platform { .. }
        | Cause::Tegra { .. }
        | Cause::Unsupported { .. }
        | Cause::Arch { .. }
        | Cause::ArchByToolkit { .. }
        | Cause::ArchByPublisher { .. }
        | Cause::CpuBuild { .. }
        | Cause::Jit { .. }
        | Cause::Library { .. }
        | Cause::Compat { .. } => String::new(),
    }
}

fn cpu_build(noun: &str, gpu: &str) -> String {
    let torch = if noun.contains("torch") {
        noun.to_owned()
    } else {
        format!("{noun}'s torch")
    };
    format!("{torch} is a CPU-only build, which will not use {gpu}")
}

fn vendor(build: BuildKind) -> &'static str {
    match build {
        BuildKind::Rocm => "a ROCm (AMD GPU)",
        BuildKind::Xpu => "an XPU (Intel GPU)",
        BuildKind::CpuOnly => "a CPU-only",
        BuildKind::Cuda => "a CUDA",
    }
}

fn platforms(has: &[CpuArchitecture]) -> String {
    let has: Vec<&str> = has.iter().map(|architecture| architecture.word()).collect();
    format!("{} only", has.join(" and "))
}

fn unsupported(driver: DriverVersion, reach: DriverReach, gpu: &str) -> String {
    match reach {
        DriverReach::TooOld { floor } => {
            format!("driver {driver} is older than {gpu}, which needs {floor} or newer")
        }
        DriverReach::Dropped { last } => {
            format!("driver {driver} no longer drives {gpu}; branch {last} is the last that does")
        }
    }
}

fn floor_reason(reason: FloorReason, cuda: Option<CudaVersion>) -> String {
    match (reason, cuda) {
        (FloorReason::Toolkit, Some(cuda)) => format!(" (CUDA {cuda})"),
        (FloorReason::Compression, _) => " (its GPU code is compressed)".to_owned(),
        (FloorReason::Declared, _) => " (its author says)".to_owned(),
        (FloorReason::Toolkit, None) => String::new(),
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

fn compiles(newest: Option<PtxIsa>) -> String {
    match newest {
        Some(newest) => format!("compiles only up to PTX {newest}"),
        None => "is too old to compile it".to_owned(),
    }
}

fn require(noun: &str, condition: &str, problem: RequireProblem, gpu: &str) -> String {
    let condition = layout::shortened(condition);
    match problem {
        RequireProblem::Unsatisfied => {
            format!("{noun} demands {condition} to start, which {gpu} and its driver do not meet")
        }
        RequireProblem::Invalid => {
            format!("{noun} demands {condition} to start, which the container runtime cannot read")
        }
    }
}

fn jit(noun: &str, ptx: PtxTarget, gpu: &str) -> String {
    let code = ptx.target.compute();
    format!("{noun} runs only by compiling {code} PTX at the first start, which is slow, on {gpu}")
}

/// The driver, and why the forward-compatibility libraries do not help, if there are any.
fn driver_needs(floor: Option<DriverFloor>, state: &CompatState, finding: &Finding) -> String {
    let driver = floor.map(|floor| format!("NVIDIA driver {floor} or newer"));
    let present = finding
        .facts
        .iter()
        .any(|fact| matches!(fact.value, FactValue::Compat(CompatPackage::Present { .. })));
    let libraries = present.then(|| {
        format!(
            "its forward-compatibility libraries do not help: {}",
            compat(state)
        )
    });
    let parts: Vec<String> = driver.into_iter().chain(libraries).collect();
    parts.join("; ")
}

fn no_or(ptx: &PtxList) -> String {
    if ptx.is_empty() {
        "no PTX".to_owned()
    } else {
        format!("PTX {ptx}")
    }
}

fn compat(state: &CompatState) -> String {
    match state {
        CompatState::Absent => "there are none".to_owned(),
        CompatState::NotNewer => "they are not newer than the driver".to_owned(),
        CompatState::BranchNotListed { branches } => {
            let branches: Vec<String> = branches.iter().map(ToString::to_string).collect();
            format!("they are for driver branches {}", branches.join(", "))
        }
        CompatState::ClassExcluded { class } => format!("not made for {class} GPUs"),
        CompatState::ChipExcluded { branch } => {
            format!("those of branch {branch} do not know this GPU")
        }
        CompatState::Applies { cuda, .. } => format!("they offer CUDA {cuda}"),
        CompatState::Unknown { gap } => gap.to_string(),
    }
}
