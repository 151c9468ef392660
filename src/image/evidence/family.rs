//! What a rule of the catalog of repositories tells of an image.

use std::sync::Arc;

use super::published::{self, Published};
use super::{Knowledge, ptx_list};
use crate::compat::catalog::NgcImage;
use crate::compat::software::Libraries;
use crate::compat::{
    BuildKind, Catalog, CompatPackage, ComputeCapability, CpuArchitecture, CudaVersion, Evidence,
    Fact, Gap, Origin, PtxList, PtxTarget, Requirements, Scope, Software, Target, TargetList,
    TorchVersion,
};
use crate::image::pattern::Captures;
use crate::image::reference::Reference;
use crate::image::repositories::{Arm64, Kernels, Presence, RequireRule, TagRule};
use crate::image::tag::CudaName;

const REQUIRE_CUDA: &str = "NVIDIA_REQUIRE_CUDA";

/// A rule, and the image that it fits.
pub(super) struct Reading<'a> {
    pub(super) knowledge: Knowledge<'a>,
    pub(super) image: &'a Reference,
    pub(super) rule: &'a TagRule,
    pub(super) captures: &'a Captures,
}

/// What a rule tells.
pub(super) struct Told {
    pub(super) software: Software,
    pub(super) suggestion: Option<Reference>,
    pub(super) claims: Claims,
}

/// Whether the conventions of tags may add to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claims {
    /// They may.
    Count,
    /// What the layers of this architecture hold is not established, whatever the tag says.
    DoNotCount,
}

/// Compiled code, PTX and libraries of an image.
struct Code {
    sass: Fact<TargetList>,
    ptx: Fact<PtxList>,
    libraries: Fact<Libraries>,
}

impl Reading<'_> {
    pub(super) fn told(&self, architecture: CpuArchitecture) -> Told {
        match architecture {
            CpuArchitecture::Amd64 => self.same(architecture),
            CpuArchitecture::Arm64 => match self.rule.arm64(self.captures.torch()) {
                Some(Arm64::Same) => self.same(architecture),
                Some(Arm64::Cpu) => self.cpu_only(),
                None => self.not_established(architecture),
            },
            CpuArchitecture::Ppc64le => self.not_established(architecture),
        }
    }

    fn same(&self, architecture: CpuArchitecture) -> Told {
        let code = match self.rule.kernels {
            Kernels::Published => match published::find(self, architecture) {
                Published::Build(build) => Code::of(*build),
                Published::Missing { reason } => Code::missing(&reason),
                Published::OtherCuda { reason, suggestion } => {
                    let software = Software::unknown(reason);
                    return Told {
                        software,
                        suggestion,
                        claims: Claims::DoNotCount,
                    };
                }
            },
            Kernels::Listed => self.listed_code(architecture),
            Kernels::Own => self
                .rule
                .built_for
                .map_or_else(|| self.no_code(), |target| self.built_for(target)),
            Kernels::Base => self.no_code(),
        };
        Told {
            software: self.with_code(code),
            suggestion: None,
            claims: self.claims(),
        }
    }

    /// The tag of a CPU build that tells nothing of torch is somebody else's number.
    fn claims(&self) -> Claims {
        match (self.rule.build, &self.rule.gap) {
            (BuildKind::CpuOnly, Some(_)) => Claims::DoNotCount,
            (BuildKind::CpuOnly | BuildKind::Cuda | BuildKind::Rocm | BuildKind::Xpu, _) => {
                Claims::Count
            }
        }
    }

    fn with_code(&self, code: Code) -> Software {
        let listed = self.listed();
        let cuda = self.cuda(listed);
        let scope = if self.rule.kernels == Kernels::Base {
            Scope::StartOnly
        } else {
            Scope::Kernels
        };
        Software {
            scope,
            build: self.known(self.rule.build),
            torch: self.torch(listed),
            compat: self.compat(&cuda),
            requirements: self.requirements(&cuda),
            cuda,
            lowest: lowest(listed),
            sass: code.sass,
            ptx: code.ptx,
            libraries: code.libraries,
            ..self.general()
        }
    }

    fn cpu_only(&self) -> Told {
        let mut software = self.general();
        let gap = "the arm64 layers hold a CPU build";
        software.build = self.known(BuildKind::CpuOnly);
        software.torch = self.torch(None);
        software.cuda = Fact::gap(gap);
        software.sass = Fact::gap(gap);
        software.ptx = Fact::gap(gap);
        Told {
            software,
            suggestion: None,
            claims: Claims::DoNotCount,
        }
    }

    fn not_established(&self, architecture: CpuArchitecture) -> Told {
        let name = self.image.familiar();
        let reason = format!("what the {architecture} layers of {name} hold is not established");
        let platforms = self.platforms();
        let software = Software {
            platforms,
            ..Software::unknown(reason)
        };
        Told {
            software,
            suggestion: None,
            claims: Claims::DoNotCount,
        }
    }

    /// Software of which nothing is known but what holds on every architecture.
    fn general(&self) -> Software {
        let reason = self.rule.gap.as_deref().unwrap_or(super::NOTHING);
        let binaries = self.rule.binaries.map(|binaries| self.known(binaries));
        let unknown = Software::unknown(reason);
        Software {
            platforms: self.platforms(),
            binaries: binaries.unwrap_or(unknown.binaries),
            ..unknown
        }
    }

    fn platforms(&self) -> Fact<Arc<[CpuArchitecture]>> {
        match &self.rule.architectures {
            Some(architectures) => self.known(architectures.as_slice().into()),
            None => Fact::gap("the CPU architectures of this image are not established"),
        }
    }

    fn listed(&self) -> Option<&NgcImage> {
        if self.rule.kernels != Kernels::Listed {
            return None;
        }
        self.knowledge.catalog.ngc_image(self.image.tag()?.as_str())
    }

    fn torch(&self, listed: Option<&NgcImage>) -> Fact<TorchVersion> {
        if let Some((version, image)) = listed.and_then(|image| Some((image.torch.clone()?, image)))
        {
            return Fact::Known(version, image.evidence());
        }
        match self.captures.torch() {
            Some(name) => match name.patch {
                Some(patch) => self.known(TorchVersion::release(name.major, name.minor, patch)),
                None => Fact::gap(format!(
                    "the name tells torch {name}, but not which release of it"
                )),
            },
            None if self.rule.kernels == Kernels::Base => Fact::gap("a base image holds no torch"),
            None => Fact::gap("the name does not tell which torch it holds"),
        }
    }

    fn cuda(&self, listed: Option<&NgcImage>) -> Fact<CudaVersion> {
        if let Some((version, image)) = listed.and_then(|image| Some((image.cuda.as_ref()?, image)))
        {
            return version.to_string().parse().map_or_else(
                |_| Fact::gap(format!("{version} is not a CUDA version")),
                |cuda| Fact::Known(cuda, image.evidence()),
            );
        }
        match self.captures.cuda() {
            Some(CudaName {
                major,
                minor: Some(minor),
                ..
            }) => self.toolkit(CudaVersion::new(major, minor)),
            Some(CudaName { minor: None, .. }) | None => self
                .rule
                .least_cuda
                .map_or_else(|| self.gap(), |least| self.known(least)),
        }
    }

    fn toolkit(&self, cuda: CudaVersion) -> Fact<CudaVersion> {
        if self.knowledge.catalog.toolkit(cuda).is_some() {
            return self.known(cuda);
        }
        Fact::gap(format!(
            "the name tells CUDA {cuda}, of which no toolkit is known"
        ))
    }

    fn listed_code(&self, architecture: CpuArchitecture) -> Code {
        self.listed().map_or_else(
            || self.no_code(),
            |image| Code::listed(self.knowledge.catalog, image, architecture),
        )
    }

    /// Code for one target, be it compiled or PTX: either way it is nothing for a lesser GPU.
    fn built_for(&self, target: Target) -> Code {
        let ptx = PtxTarget { target, isa: None };
        Code {
            sass: self.known([target].into_iter().collect()),
            ptx: self.known([ptx].into_iter().collect()),
            libraries: self.gap(),
        }
    }

    fn no_code(&self) -> Code {
        Code::missing(self.reason())
    }

    fn gap<T>(&self) -> Fact<T> {
        Fact::gap(self.reason())
    }

    fn reason(&self) -> &str {
        self.rule
            .gap
            .as_deref()
            .unwrap_or("the name does not tell this")
    }

    fn compat(&self, cuda: &Fact<CudaVersion>) -> Fact<CompatPackage> {
        match (self.rule.compat, cuda) {
            (None, _) => {
                Fact::gap("whether it holds the forward-compatibility libraries is not established")
            }
            (Some(Presence::Absent), _) => self.known(CompatPackage::Absent),
            (Some(Presence::Present), Fact::Gap(_)) => {
                Fact::gap("of which CUDA its forward-compatibility libraries are is not known")
            }
            (Some(Presence::Present), Fact::Known(cuda, _)) => self.known(CompatPackage::Present {
                cuda: *cuda,
                driver: None,
                branches: None,
            }),
        }
    }

    fn requirements(&self, cuda: &Fact<CudaVersion>) -> Fact<Requirements> {
        match &self.rule.require {
            None => Fact::gap("its NVIDIA_REQUIRE_CUDA is not established"),
            Some(RequireRule::None) => self.known(Requirements::default()),
            Some(RequireRule::Line(line)) => requirement(line, self.evidence()),
            Some(RequireRule::Base) => self.base_requirement(cuda),
        }
    }

    fn base_requirement(&self, cuda: &Fact<CudaVersion>) -> Fact<Requirements> {
        let tag = self.image.tag().map_or("", |tag| tag.as_str());
        let repositories = self.knowledge.repositories;
        let Some((text, line)) = cuda
            .value()
            .and_then(|cuda| repositories.base_line(*cuda, tag))
        else {
            return Fact::gap("the NVIDIA_REQUIRE_CUDA of that base image is not established");
        };
        let evidence = Evidence::new(Origin::Catalog, line.proof, line.source.as_str());
        requirement(&text, evidence)
    }

    fn known<T>(&self, value: T) -> Fact<T> {
        Fact::Known(value, self.evidence())
    }

    fn evidence(&self) -> Evidence {
        Evidence::new(Origin::Catalog, self.rule.proof, self.rule.source.as_str())
    }
}

/// The oldest GPU that the publisher's release notes name.
fn lowest(listed: Option<&NgcImage>) -> Fact<ComputeCapability> {
    let named = listed.and_then(|image| Some((image.lowest?, image)));
    named.map_or_else(
        || Fact::gap("the publisher names no oldest GPU"),
        |(lowest, image)| Fact::Known(lowest, image.evidence()),
    )
}

impl Code {
    fn of(build: Software) -> Self {
        Self {
            sass: build.sass,
            ptx: build.ptx,
            libraries: build.libraries,
        }
    }

    fn missing(reason: &str) -> Self {
        let gap = Gap::new(reason);
        Self {
            sass: Fact::Gap(gap.clone()),
            ptx: Fact::Gap(gap.clone()),
            libraries: Fact::Gap(gap),
        }
    }

    fn listed(catalog: &Catalog, image: &NgcImage, architecture: CpuArchitecture) -> Self {
        let (sass, ptx) = match architecture {
            CpuArchitecture::Amd64 => (&image.sass_amd64, &image.ptx_amd64),
            CpuArchitecture::Arm64 => (&image.sass_arm64, &image.ptx_arm64),
            CpuArchitecture::Ppc64le => (&None, &None),
        };
        let reason = format!(
            "the GPU targets of {} on {architecture} are not established",
            image.tag
        );
        let missing = Self::missing(&reason);
        let cuda = image
            .cuda
            .as_ref()
            .and_then(|cuda| cuda.to_string().parse().ok());
        let known = |targets: &TargetList| Fact::Known(targets.clone(), image.evidence());
        let ptx = ptx.as_ref().map(|targets| ptx_list(catalog, targets, cuda));
        Self {
            sass: sass.as_ref().map_or(missing.sass, known),
            ptx: ptx.map_or(missing.ptx, |ptx| Fact::Known(ptx, image.evidence())),
            libraries: Fact::gap("the libraries of this image are not established"),
        }
    }
}

fn requirement(line: &str, evidence: Evidence) -> Fact<Requirements> {
    match Requirements::from_environment([(REQUIRE_CUDA, line)]) {
        Ok(requirements) => Fact::Known(requirements, evidence),
        Err(error) => Fact::gap(error.to_string()),
    }
}
