//! The published build of torch that a name identifies, or what the name was probably meant to be.

use super::family::Reading;
use crate::compat::catalog::{Channel, TorchBuild};
use crate::compat::{CpuArchitecture, CudaVersion, Software, TorchVersion, Variant};
use crate::image::reference::Reference;

/// What the knowledge base has for a name.
pub(super) enum Published {
    /// That build.
    Build(Box<Software>),
    /// That release of torch, but not for that CUDA: a tag that should not exist.
    OtherCuda {
        /// What there is, for a message.
        reason: String,
        /// The same tag with the nearest CUDA of the same major version.
        suggestion: Option<Reference>,
    },
    /// Nothing of that release.
    Missing {
        /// What is missing, for a message.
        reason: String,
    },
}

/// Looks up the build that torch release, CUDA and packaging of a name identify on an architecture.
pub(super) fn find(reading: &Reading<'_>, architecture: CpuArchitecture) -> Published {
    let (torch, cuda) = (reading.captures.torch(), reading.captures.cuda());
    let named = torch.and_then(|torch| Some((torch, torch.patch?, cuda?, cuda?.minor?)));
    let Some((torch, patch, cuda, minor)) = named else {
        let reason = "the name tells no exact torch and CUDA version".to_owned();
        return Published::Missing { reason };
    };
    let Some(channel) = reading.rule.channel(torch) else {
        let reason = format!("how torch {torch} was packaged is not established");
        return Published::Missing { reason };
    };
    let version = TorchVersion::release(torch.major, torch.minor, patch);
    let wanted = CudaVersion::new(cuda.major, minor);
    let catalog = reading.knowledge.catalog;
    let lookup = catalog.torch_build(&version, Variant::Cuda(wanted), architecture, channel);
    match lookup.build() {
        Some(build) => Published::Build(Box::new(catalog.software_of(build, &version))),
        None => without_build(reading, &version, wanted, (architecture, channel)),
    }
}

fn without_build(
    reading: &Reading<'_>,
    version: &TorchVersion,
    wanted: CudaVersion,
    package: (CpuArchitecture, Channel),
) -> Published {
    let fits = |build: &&TorchBuild| {
        build.release.matches(version) && (build.arch, build.channel) == package
    };
    let builds = reading.knowledge.catalog.torch_builds().iter().filter(fits);
    let mut others: Vec<CudaVersion> = builds.filter_map(|build| cuda_of(build.variant)).collect();
    others.sort_unstable();
    others.dedup();
    if others.is_empty() {
        return Published::Missing {
            reason: format!("no build of torch {version} is known"),
        };
    }
    let known: Vec<String> = others.iter().map(ToString::to_string).collect();
    let suggestion = nearest(wanted, &others).and_then(|near| with_cuda(reading, wanted, near));
    let question = suggestion.as_ref().map_or_else(String::new, |meant| {
        format!(": did you mean {}?", meant.familiar())
    });
    let known = known.join(", ");
    let reason = format!(
        "no build of torch {version} for CUDA {wanted} is known, only for {known}{question}"
    );
    Published::OtherCuda { reason, suggestion }
}

/// The same tag with another CUDA version in it.
fn with_cuda(reading: &Reading<'_>, cuda: CudaVersion, other: CudaVersion) -> Option<Reference> {
    let tag = reading.image.tag()?.as_str();
    let tag = tag.replace(&format!("cuda{cuda}-"), &format!("cuda{other}-"));
    tag.parse().ok().map(|tag| reading.image.with_tag(tag))
}

/// The version nearest to the wanted one within its major version.
fn nearest(wanted: CudaVersion, others: &[CudaVersion]) -> Option<CudaVersion> {
    let same_major = others.iter().filter(|other| other.major == wanted.major);
    same_major
        .min_by_key(|other| other.minor.abs_diff(wanted.minor))
        .copied()
}

fn cuda_of(variant: Variant) -> Option<CudaVersion> {
    match variant {
        Variant::Cuda(cuda) => Some(cuda),
        Variant::Cpu | Variant::Rocm(..) | Variant::Xpu => None,
    }
}
