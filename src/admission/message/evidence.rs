//! Where a finding was read, and the error text that people meet who run into it.

use super::Thing;
use crate::compat::verdict::{CompatState, FactValue};
use crate::compat::{
    Catalog, Cause, Code, FactName, Finding, Judgement, Origin, TorchVersion, UsedFact,
};

/// CUDA's name for error 804, of libraries that were put in front of a driver on a GPU without forward compatibility.
const COMPAT_NOT_SUPPORTED: &str = "cudaErrorCompatNotSupportedOnDevice";
/// What the catalog writes for the condition in the text of the container runtime.
const ANY_CONDITION: &str = "cuda>=X.Y";

/// Where the decisive fact about the software was read, in brackets behind its value; empty if none is told.
pub(super) fn source(finding: &Finding, thing: Thing<'_>, torch: Option<&TorchVersion>) -> String {
    let Some(origin) = finding.facts.iter().find_map(origin) else {
        return String::new();
    };
    let place = match (origin, thing) {
        (Origin::Measured, _) => "read from its files",
        (Origin::Attached, _) => "by evidence attached to it",
        (Origin::Catalog, _) => "a known build",
        (Origin::Declared, Thing::Torch(_)) => "by its label",
        (Origin::Declared, Thing::Image(_) | Thing::Declaration(_)) => "declared by its author",
        (Origin::Name, _) => "by its tag",
        (Origin::Hint, _) => "by its environment",
    };
    match torch.map(name) {
        Some(torch) => format!("   ({torch}, {place})"),
        None => format!("   ({place})"),
    }
}

/// The origin of a fact, if that fact is about the software and not about drivers and GPUs.
fn origin(fact: &UsedFact) -> Option<Origin> {
    let about_software = match fact.name {
        FactName::Build
        | FactName::Torch
        | FactName::Cuda
        | FactName::DeclaredDriver
        | FactName::Lowest
        | FactName::Sass
        | FactName::Ptx
        | FactName::Zstd
        | FactName::Compat
        | FactName::Require
        | FactName::Library
        | FactName::Platforms
        | FactName::Binaries => true,
        FactName::DriverFloor
        | FactName::DriverOffer
        | FactName::GpuDrivers
        | FactName::ToolkitTargets
        | FactName::Gpu
        | FactName::Driver
        | FactName::Runtime => false,
    };
    about_software.then_some(fact.evidence.origin)
}

/// `torch 2.8.0 cu128`.
fn name(torch: &TorchVersion) -> String {
    let plain = torch.without_local();
    match torch.variant() {
        Some(variant) => format!("torch {plain} {variant}"),
        None => format!("torch {plain}"),
    }
}

/// The torch that a judgement rests on, if it says so.
pub(super) fn torch(judgement: &Judgement) -> Option<&TorchVersion> {
    judgement.facts.iter().find_map(|fact| {
        if let FactValue::Torch(version) = &fact.value {
            Some(version)
        } else {
            None
        }
    })
}

/// What happens without a fix: the moment, and the text that people search for. Empty where nothing fails.
pub(super) fn otherwise(finding: &Finding, catalog: &Catalog) -> String {
    let text = error_text(finding, catalog);
    match (moment(finding.code), text) {
        (Some(moment), Some(text)) => format!("{moment} \"{text}\""),
        (Some(_) | None, Some(_) | None) => String::new(),
    }
}

fn error_text(finding: &Finding, catalog: &Catalog) -> Option<String> {
    if let Cause::Compat {
        state: CompatState::ClassExcluded { .. },
        ..
    } = &finding.cause
    {
        let mut texts = catalog.error_texts().iter();
        let error = texts.find(|error| error.name.as_deref() == Some(COMPAT_NOT_SUPPORTED));
        return error.map(|error| error.text.to_string());
    }
    let text = &catalog.errors_of(finding.code).next()?.text;
    Some(match &finding.cause {
        Cause::Require { condition, .. } => text.replace(ANY_CONDITION, condition),
        Cause::Vendor { .. }
        | Cause::Platform { .. }
        | Cause::Tegra { .. }
        | Cause::Unsupported { .. }
        | Cause::Driver { .. }
        | Cause::Arch { .. }
        | Cause::ArchByToolkit { .. }
        | Cause::ArchByPublisher { .. }
        | Cause::Ptx { .. }
        | Cause::CpuBuild { .. }
        | Cause::Jit { .. }
        | Cause::Library { .. }
        | Cause::Compat { .. } => text.to_string(),
    })
}

/// When the error shows up; nothing for what does not fail.
fn moment(code: Code) -> Option<&'static str> {
    match code {
        Code::Require => Some("the container does not start:"),
        Code::Platform => Some("the container exits at once:"),
        Code::Driver | Code::Unsupported | Code::Vendor | Code::CpuBuild | Code::Compat => {
            Some("CUDA does not start:")
        }
        Code::Tegra | Code::Arch | Code::Ptx | Code::Library => Some("the first CUDA call fails:"),
        Code::Partial
        | Code::Jit
        | Code::Shm
        | Code::Runtime
        | Code::Implicit
        | Code::Unchecked => None,
    }
}
