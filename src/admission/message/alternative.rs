//! Looks for a neighbour of the software that does run on that very host: another tag of the same repository, or
//! another torch build. Nothing is offered that the knowledge base does not hold and the engine does not approve.

use std::cmp::Reverse;

use super::Thing;
use crate::compat::catalog::{Channel, TorchBuild};
use crate::compat::rules::kernel;
use crate::compat::{
    CpuArchitecture, CudaVersion, Evidence, Host, Origin, Proof, Software, Standing, Target,
    TorchVersion, Variant, Verdict, judge_with,
};
use crate::image::evidence::{Knowledge, Named};
use crate::image::reference::Reference;
use crate::image::repositories::{Found, FoundTag, Kernels};

/// Something that runs on the host.
pub(super) enum Alternative {
    /// Another image.
    Image {
        /// In its short form.
        name: String,
        /// The code in it that the GPU loads.
        target: Option<Target>,
    },
    /// Another torch package.
    Torch {
        /// With its variant.
        version: TorchVersion,
        /// The code in it that the GPU loads.
        target: Option<Target>,
    },
}

/// What of an image should stay as it is, if possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Its flavour (runtime, devel): only its code or its toolkit is wrong.
    Flavour,
    /// Its torch and its toolkit: only what is around them is wrong.
    Toolkit,
}

/// The architecture that a host has, or that most hosts have.
pub(super) fn architecture(host: &Host) -> CpuArchitecture {
    host.architecture.unwrap_or(CpuArchitecture::Amd64)
}

/// The nearest neighbour that runs on the host without any finding, if there is one.
pub(super) fn find(
    thing: Thing<'_>,
    torch: Option<&TorchVersion>,
    host: &Host,
    keep: Keep,
    knowledge: Knowledge<'_>,
) -> Option<Alternative> {
    let search = Search {
        host,
        keep,
        knowledge,
    };
    let image = thing.reference().and_then(|image| search.image(&image));
    image.or_else(|| search.torch(torch?))
}

struct Search<'a> {
    host: &'a Host,
    keep: Keep,
    knowledge: Knowledge<'a>,
}

/// A torch release for a CUDA version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Build {
    release: TorchVersion,
    cuda: CudaVersion,
}

impl Search<'_> {
    fn image(&self, image: &Reference) -> Option<Alternative> {
        let found = self.knowledge.repositories.find(image)?;
        let FoundTag::Rule(rule) = found.tag else {
            return None;
        };
        match rule.kernels {
            Kernels::Published => self.published(image, &found),
            Kernels::Listed => self.listed(image),
            Kernels::Own | Kernels::Base => None,
        }
    }

    /// The first that fits of the repository's tags with another release, CUDA or flavour, the smallest change first.
    fn published(&self, image: &Reference, found: &Found<'_>) -> Option<Alternative> {
        let (torch, cuda) = found.captures.torch().zip(found.captures.cuda())?;
        let now = Build {
            release: TorchVersion::release(torch.major, torch.minor, torch.patch?),
            cuda: CudaVersion::new(cuda.major, cuda.minor?),
        };
        let (torch, cuda) = (torch.to_string(), format!("cuda{cuda}"));
        let fitting = |tag: &str, build: &Build| {
            let tag = tag.replacen(&torch, &build.release.to_string(), 1);
            let tag = tag.replacen(&cuda, &format!("cuda{}", build.cuda), 1);
            self.fitting_image(image, &tag)
        };
        let (flavours, builds) = (flavours(image, found), self.builds(&now, None));
        match self.keep {
            Keep::Flavour => flavours
                .iter()
                .find_map(|tag| builds.iter().find_map(|build| fitting(tag, build))),
            Keep::Toolkit => builds
                .iter()
                .find_map(|build| flavours.iter().find_map(|tag| fitting(tag, build))),
        }
    }

    /// The newest that fits of the series that the knowledge base lists.
    fn listed(&self, image: &Reference) -> Option<Alternative> {
        let mut images = self.knowledge.catalog.ngc_images().iter().rev();
        images.find_map(|listed| self.fitting_image(image, &listed.tag))
    }

    fn fitting_image(&self, image: &Reference, tag: &str) -> Option<Alternative> {
        let tried = image.with_tag(tag.parse().ok()?);
        let named = self.named(&tried)?;
        let named = match &named.suggestion {
            Some(meant) => self.named(meant)?,
            None => named,
        };
        if named.suggestion.is_some() || !names_its_libraries(&named) {
            return None;
        }
        let Approved { target } = self.approved(&named.software)?;
        Some(Alternative::Image {
            name: named.image.familiar(),
            target,
        })
    }

    fn named(&self, image: &Reference) -> Option<Named> {
        self.knowledge.named(image, architecture(self.host)).ok()
    }

    fn torch(&self, torch: &TorchVersion) -> Option<Alternative> {
        let usual = self
            .knowledge
            .catalog
            .default_variant(torch, architecture(self.host));
        let known = torch.variant().and_then(cuda_of);
        let cuda = known.or_else(|| usual.and_then(cuda_of));
        let cuda = cuda.or_else(|| {
            self.knowledge
                .catalog
                .toolkits()
                .last()
                .map(|last| last.cuda)
        });
        let now = Build {
            release: torch.without_local(),
            cuda: cuda?,
        };
        let builds = self.builds(&now, Some(Channel::Pip));
        builds.iter().find_map(|build| {
            let version = build.release.with_variant(Variant::Cuda(build.cuda));
            let word = Evidence::new(Origin::Catalog, Proof::Assumed, "");
            let architecture = architecture(self.host);
            let catalog = self.knowledge.catalog;
            let software = catalog.pip_software(&version, architecture, &word);
            let Approved { target } = self.approved(&software)?;
            Some(Alternative::Torch { version, target })
        })
    }

    /// All builds in the knowledge base for the host's architecture, the nearest first: of the same release, then
    /// of the releases around it; among those by distance of their CUDA.
    fn builds(&self, now: &Build, channel: Option<Channel>) -> Vec<Build> {
        let architecture = architecture(self.host);
        let fits = |build: &&TorchBuild| {
            build.arch == architecture && channel.is_none_or(|channel| build.channel == channel)
        };
        let entries = self.knowledge.catalog.torch_builds().iter().filter(fits);
        let mut builds: Vec<Build> = entries.filter_map(|entry| build_of(entry, now)).collect();
        let mut releases: Vec<TorchVersion> =
            builds.iter().map(|build| build.release.clone()).collect();
        releases.sort();
        releases.dedup();
        let at = |release: &TorchVersion| releases.partition_point(|other| other < release);
        let here = at(&now.release);
        builds.sort_by_cached_key(|build| {
            let release = at(&build.release);
            let toolkits = distance(build.cuda, now.cuda);
            (
                release.abs_diff(here),
                Reverse(release),
                toolkits,
                build.cuda,
            )
        });
        builds.dedup();
        builds
    }

    /// Whether it runs on the host without any finding, on evidence that counts; if so, with which code.
    fn approved(&self, software: &Software) -> Option<Approved> {
        let catalog = self.knowledge.catalog;
        let certain = |evidence: &Evidence| evidence.standing() == Standing::MayDeny;
        if !software
            .sass
            .known()
            .is_some_and(|(_, evidence)| certain(evidence))
        {
            return None;
        }
        let judgement = judge_with(catalog, software, self.host);
        if judgement.verdict != Verdict::Runs || !judgement.findings.is_empty() {
            return None;
        }
        let (sass, capability) = (software.sass.value()?, self.host.capability?);
        let cuda = software.cuda.value().copied();
        let best = kernel::best_target(catalog, sass, capability, cuda);
        Some(Approved {
            target: best.map(|(_, target)| target),
        })
    }
}

/// Software that runs on the host for certain.
struct Approved {
    /// The code that would be loaded.
    target: Option<Target>,
}

/// The build's release, with the patch level of the one at hand where the entry stands for all of them.
fn build_of(entry: &TorchBuild, now: &Build) -> Option<Build> {
    let release = entry.release;
    let same = (release.major, release.minor) == (now.release.major, now.release.minor);
    let patch = release
        .patch
        .unwrap_or(if same { now.release.patch } else { 0 });
    Some(Build {
        release: TorchVersion::release(release.major, release.minor, patch),
        cuda: cuda_of(entry.variant)?,
    })
}

fn cuda_of(variant: Variant) -> Option<CudaVersion> {
    match variant {
        Variant::Cuda(cuda) => Some(cuda),
        Variant::Cpu | Variant::Rocm(..) | Variant::Xpu => None,
    }
}

fn distance(one: CudaVersion, other: CudaVersion) -> (u16, u16) {
    (
        one.major.abs_diff(other.major),
        one.minor.abs_diff(other.minor),
    )
}

/// The tag itself, and the tags that the other rules of the family make of it.
fn flavours(image: &Reference, found: &Found<'_>) -> Vec<String> {
    let own = image.tag().map(|tag| tag.as_str().to_owned());
    let others = found.family.rules().iter();
    let others = others.filter_map(|rule| rule.pattern().filled(&found.captures));
    let mut tags: Vec<String> = own.into_iter().chain(others).collect();
    let mut seen = std::collections::BTreeSet::new();
    tags.retain(|tag| seen.insert(tag.clone()));
    tags
}

/// Where a tag names the major version of a library, it must be the one that the build comes with: a tag that was
/// made up for another release could name the wrong one, and then there is no such tag.
fn names_its_libraries(named: &Named) -> bool {
    let (Some(libraries), Some(tag)) = (named.software.libraries.value(), named.image.tag()) else {
        return true;
    };
    libraries.iter().all(|library| {
        let word = library.name.rsplit('-').next().unwrap_or(&library.name);
        let version = library
            .version
            .map(|version| format!("{word}{}", version.major()));
        !tag.as_str().contains(word)
            || version.is_none_or(|version| tag.as_str().contains(&version))
    })
}
