//! A torch build of the catalog as [`Software`], ready to be judged.

use std::sync::Arc;

use super::entry::TorchBuild;
use super::release::Channel;
use super::{Catalog, TorchLookup};
use crate::compat::host::CpuArchitecture;
use crate::compat::require::Requirements;
use crate::compat::software::{
    BuildKind, CompatPackage, Evidence, Fact, Library, OtherGpuUsers, Software,
};
use crate::compat::target::{PtxList, PtxTarget, TargetList};
use crate::compat::version::{CudaVersion, DottedVersion, TorchVersion, Variant};

/// Name of the cuDNN library in the library table.
const CUDNN: &str = "nvidia-cudnn";

impl Catalog {
    /// What one torch build brings, on the architecture that it is for: its code, its toolkit and its cuDNN. A
    /// torch package has no forward-compatibility libraries and no start conditions; whoever knows that the
    /// image around it has them sets those facts afterwards.
    #[must_use]
    pub fn software_of(&self, build: &TorchBuild, version: &TorchVersion) -> Software {
        let evidence = build.evidence();
        let torch = version.without_local().with_variant(build.variant);
        let named = software_of_variant(&torch, build.variant, build.arch, &evidence);
        match build.variant {
            Variant::Cuda(cuda) => Software {
                sass: Fact::Known(build.sass.clone(), evidence.clone()),
                ptx: Fact::Known(self.ptx_of(&build.ptx, cuda), evidence.clone()),
                libraries: Fact::Known(cudnn(build.cudnn), evidence),
                ..named
            },
            Variant::Cpu | Variant::Rocm(..) | Variant::Xpu => named,
        }
    }

    /// What `pip install torch==VERSION` gives on an architecture: with the version's own label if it has one,
    /// else the public index's default. Where the build is not in the catalog, its code is a gap, but variant and
    /// toolkit are known from the label, with that evidence.
    #[must_use]
    pub fn pip_software(
        &self,
        version: &TorchVersion,
        arch: CpuArchitecture,
        label: &Evidence,
    ) -> Software {
        let Some(variant) = version
            .variant()
            .or_else(|| self.default_variant(version, arch))
        else {
            let torch = Fact::Known(version.clone(), label.clone());
            return Software {
                torch,
                ..Software::unknown(format!("torch {version} on {arch} is not in the catalog"))
            };
        };
        match self.torch_build(version, variant, arch, Channel::Pip) {
            TorchLookup::Known(build) => self.software_of(build, version),
            TorchLookup::Assumed(build) => self.software_of(&build, version),
            TorchLookup::Unknown => {
                software_of_variant(&version.with_variant(variant), variant, arch, label)
            }
        }
    }

    /// PTX targets with the language version that their toolkit writes.
    #[must_use]
    pub fn ptx_of(&self, targets: &TargetList, cuda: CudaVersion) -> PtxList {
        let isa = self.toolkit(cuda).and_then(|toolkit| toolkit.ptx);
        targets
            .iter()
            .map(|target| PtxTarget {
                target: *target,
                isa,
            })
            .collect()
    }
}

fn cudnn(version: Option<DottedVersion>) -> Arc<[Library]> {
    let library = |version| Library {
        name: CUDNN.into(),
        version: Some(version),
        code: None,
    };
    version.into_iter().map(library).collect()
}

/// What the variant alone tells.
fn software_of_variant(
    torch: &TorchVersion,
    variant: Variant,
    arch: CpuArchitecture,
    evidence: &Evidence,
) -> Software {
    let (kind, cuda) = match variant {
        Variant::Cpu => (BuildKind::CpuOnly, None),
        Variant::Rocm(..) => (BuildKind::Rocm, None),
        Variant::Xpu => (BuildKind::Xpu, None),
        Variant::Cuda(cuda) => (BuildKind::Cuda, Some(cuda)),
    };
    let unknown = Software::unknown(format!("torch {torch} for {arch} is not in the catalog"));
    Software {
        build: Fact::Known(kind, evidence.clone()),
        others: OtherGpuUsers::Unknown,
        torch: Fact::Known(torch.clone(), evidence.clone()),
        cuda: cuda.map_or_else(
            || Fact::gap("not a CUDA build"),
            |cuda| Fact::Known(cuda, evidence.clone()),
        ),
        compat: Fact::Known(CompatPackage::Absent, evidence.clone()),
        requirements: Fact::Known(Requirements::default(), evidence.clone()),
        platforms: Fact::Known(Arc::from([arch]), evidence.clone()),
        ..unknown
    }
}
