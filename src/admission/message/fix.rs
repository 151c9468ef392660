//! What to do about a finding: something that runs there, looked up, or else what kind of thing would.

use super::alternative::{self, Alternative, Keep};
use super::{Place, Thing};
use crate::admission::assess::Way;
use crate::compat::verdict::DriverReach;
use crate::compat::{
    Cause, CudaVersion, DriverFloor, FactName, Finding, Host, Target, TorchVersion,
};
use crate::image::evidence::Knowledge;
use crate::image::reference::Reference;

/// Where pip finds the builds of one variant (pytorch.org, "previous versions").
const INDEX: &str = "https://download.pytorch.org/whl";
/// Whoever sets it takes the blame (NVIDIA container toolkit, environment variables).
const DISABLE: &str = "NVIDIA_DISABLE_REQUIRE=true";
/// How a condition on the least CUDA version begins.
const LEAST_CUDA: &str = "cuda>=";

/// What a fix is looked for.
pub(super) struct Question<'a> {
    pub(super) thing: Thing<'a>,
    pub(super) host: &'a Host,
    pub(super) finding: &'a Finding,
    pub(super) torch: Option<&'a TorchVersion>,
    pub(super) way: Option<&'a Way>,
    pub(super) knowledge: Knowledge<'a>,
}

/// What to do about a finding, in one line.
pub(super) fn of(question: &Question<'_>) -> String {
    match &question.finding.cause {
        Cause::Unsupported { reach, .. } => driver(*reach),
        Cause::Driver { floor, .. } => or(better(question), &newer(question, *floor)),
        Cause::Ptx { floor, .. } => match floor {
            Some(floor) => or(better(question), &newer(question, *floor)),
            None => or(better(question), "update the driver"),
        },
        Cause::Arch { capability, .. }
        | Cause::ArchByToolkit { capability, .. }
        | Cause::ArchByPublisher { capability, .. } => {
            let build = || format!("use a build that has {}", capability.sm());
            let better = better(question).unwrap_or_else(build);
            match question.way {
                Some(_) => better,
                None => format!("{better}, or another GPU"),
            }
        }
        Cause::Jit { capability, .. } => {
            better(question).unwrap_or_else(|| format!("use a build that has {}", capability.sm()))
        }
        Cause::Vendor { .. } => better(question)
            .unwrap_or_else(|| "use a CUDA build, or ask for that vendor's GPU".to_owned()),
        Cause::Platform { needs, .. } => format!("use an image that has a build for {needs}"),
        Cause::Tegra { .. } => {
            better(question).unwrap_or_else(|| "use an image that is made for Jetson".to_owned())
        }
        Cause::CpuBuild { .. } => or(
            better(question).or_else(|| Some("install a CUDA build of torch".to_owned())),
            "do not request a GPU",
        ),
        Cause::Require { condition, .. } => or(
            better(question).or_else(|| newer_cuda(condition)),
            &format!("set {DISABLE} if you know better"),
        ),
        Cause::Library { .. } => better(question).unwrap_or_else(|| {
            "use a version of that library that has code for this GPU".to_owned()
        }),
        Cause::Compat { .. } => better(question)
            .unwrap_or_else(|| "remove the cuda-compat package from the image".to_owned()),
    }
}

/// A fix with the way to nodes on which it runs, and the term that picks those; none if no way is known.
pub(super) fn with_way(fix: String, way: Option<&Way>) -> (String, String) {
    match way {
        None => (fix, String::new()),
        Some(Way::Within(found)) => (
            format!("{fix}, or keep it off those nodes:"),
            format!(
                "nodeAffinity {}   ({})",
                found.requirement,
                such(found.nodes)
            ),
        ),
        Some(Way::Elsewhere(found)) => (
            format!("{fix}, or move the Pod:"),
            format!(
                "nodeAffinity {}   ({} in this cluster)",
                found.requirement,
                such(found.nodes)
            ),
        ),
    }
}

fn such(nodes: usize) -> String {
    match nodes {
        1 => "1 such node".to_owned(),
        nodes => format!("{nodes} such nodes"),
    }
}

/// What to do about something that is not known.
pub(super) fn of_gap(place: Place<'_>, fact: FactName, suggestion: Option<&Reference>) -> String {
    if let Some(meant) = suggestion {
        return format!("did you mean {}?", meant.familiar());
    }
    match fact {
        FactName::Gpu | FactName::GpuDrivers => "tell its compute capability".to_owned(),
        FactName::Driver | FactName::DriverOffer | FactName::DriverFloor => {
            "tell the driver, or test it on one such GPU".to_owned()
        }
        FactName::Build
        | FactName::Torch
        | FactName::Cuda
        | FactName::DeclaredDriver
        | FactName::Lowest
        | FactName::Sass
        | FactName::Ptx
        | FactName::Zstd
        | FactName::ToolkitTargets => declare(place),
        FactName::Compat => {
            "look whether the image has /usr/local/cuda/compat; with a newer driver it does not matter"
                .to_owned()
        }
        FactName::Require
        | FactName::Library
        | FactName::Platforms
        | FactName::Binaries
        | FactName::Runtime => String::new(),
    }
}

/// How an author tells what an image holds: on an object, or in a shell.
fn declare(place: Place<'_>) -> String {
    match place {
        Place::Nodes { .. } => {
            "declare what it holds: annotation gpu-capgate.io/requires: \"cuda=12.6; sm=80,90\""
        }
        Place::Named => "declare what it holds: --requires \"cuda=12.6; sm=80,90\" (on a Pod: annotation gpu-capgate.io/requires)",
    }
    .to_owned()
}

fn driver(reach: DriverReach) -> String {
    match reach {
        DriverReach::TooOld { floor } => update(floor),
        DriverReach::Dropped { last } => format!("keep these nodes on driver branch {last}"),
    }
}

/// A newer driver, where one that new still drives the GPU.
fn newer(question: &Question<'_>, floor: DriverFloor) -> String {
    let capability = question.host.capability;
    let chip = capability.and_then(|capability| question.knowledge.catalog.chip(capability));
    match chip.and_then(|chip| chip.last_driver) {
        Some(last) if floor.branch() > last => {
            format!("use another GPU (branch {last} is the last that drives this one)")
        }
        Some(_) | None => update(floor),
    }
}

/// The driver that a condition on CUDA asks for (NVIDIA container toolkit, `cuda` is what the driver offers).
fn newer_cuda(condition: &str) -> Option<String> {
    let cuda: CudaVersion = condition.strip_prefix(LEAST_CUDA)?.parse().ok()?;
    Some(format!("update to a driver for CUDA {cuda} or newer"))
}

fn update(floor: DriverFloor) -> String {
    format!("update the driver to {floor} or newer")
}

fn or(first: Option<String>, second: &str) -> String {
    match first {
        Some(first) => format!("{first}, or {second}"),
        None => second.to_owned(),
    }
}

/// A neighbour that runs there, in words.
fn better(question: &Question<'_>) -> Option<String> {
    let Question {
        thing,
        host,
        torch,
        knowledge,
        finding,
        way: _,
    } = question;
    let found = alternative::find(*thing, *torch, host, keep(&finding.cause), *knowledge)?;
    let because = |target| because(&finding.cause, host, target);
    Some(match (found, thing) {
        (Alternative::Image { name, target }, _) => format!("use {name}{}", because(target)),
        (Alternative::Torch { version, target }, Thing::Torch(_)) => {
            format!("{}{}", install(&version), because(target))
        }
        (Alternative::Torch { version, target }, Thing::Image(_) | Thing::Declaration(_)) => {
            format!("install torch {version} in it{}", because(target))
        }
    })
}

/// What is wrong with the software, and so what should change.
fn keep(cause: &Cause) -> Keep {
    match cause {
        Cause::Require { .. } | Cause::Compat { .. } => Keep::Toolkit,
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
        | Cause::Library { .. } => Keep::Flavour,
    }
}

/// What makes the neighbour fit, where that was the point.
fn because(cause: &Cause, host: &Host, target: Option<Target>) -> String {
    match cause {
        Cause::Driver { .. } | Cause::Ptx { .. } => host
            .driver
            .map(|driver| format!(" (it runs on driver {driver})"))
            .unwrap_or_default(),
        Cause::Arch { .. }
        | Cause::ArchByToolkit { .. }
        | Cause::ArchByPublisher { .. }
        | Cause::Tegra { .. }
        | Cause::CpuBuild { .. }
        | Cause::Vendor { .. }
        | Cause::Jit { .. } => target
            .map(|target| format!(" (it has {target})"))
            .unwrap_or_default(),
        Cause::Platform { .. }
        | Cause::Unsupported { .. }
        | Cause::Require { .. }
        | Cause::Library { .. }
        | Cause::Compat { .. } => String::new(),
    }
}

fn install(version: &TorchVersion) -> String {
    let release = version.without_local();
    match version.variant() {
        Some(variant) => format!("pip install torch=={release} --index-url {INDEX}/{variant}"),
        None => format!("pip install torch=={release}"),
    }
}
