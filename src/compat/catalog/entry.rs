//! The kinds of entries in the knowledge base, one struct for each table in `data/*.toml`.

use serde::Deserialize;

use super::release::{Channel, ReleasePattern, Source};
use crate::compat::host::{Brand, CpuArchitecture, GpuClass, Platform, word_enum};
use crate::compat::software::{Evidence, Origin, Proof};
use crate::compat::target::{ComputeCapability, TargetList};
use crate::compat::verdict::{Code, LibraryNeed};
use crate::compat::version::{
    CudaVersion, DottedVersion, DriverFloor, PtxIsa, TorchVersion, Variant,
};

/// Where entries of a table come from when they were not written in an overlay.
fn catalog() -> Origin {
    Origin::Catalog
}

/// One build of torch.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TorchBuild {
    /// The releases it stands for.
    pub release: ReleasePattern,
    /// What it was built for.
    pub variant: Variant,
    /// How it is packaged.
    pub channel: Channel,
    /// CPU architecture.
    pub arch: CpuArchitecture,
    /// Targets for which every torch kernel was compiled.
    pub sass: TargetList,
    /// Targets for which every torch kernel is there as PTX.
    pub ptx: TargetList,
    /// Stray code of linked libraries and single kernels; it never makes a GPU supported.
    #[serde(default)]
    pub stray: TargetList,
    /// cuDNN that comes with it.
    pub cudnn: Option<DottedVersion>,
    /// Date of publication, `YYYY-MM-DD`.
    pub released: Option<Box<str>>,
    /// What is odd about it.
    pub note: Option<Box<str>>,
    /// Citation.
    pub source: Source,
    /// How it is known.
    pub proof: Proof,
    /// Embedded, or from an operator's overlay.
    #[serde(skip, default = "catalog")]
    pub origin: Origin,
}

/// What a plain `pip install torch` gives, for a range of minor versions.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DefaultVariant {
    /// First minor version, as `2.1.x`.
    pub first: ReleasePattern,
    /// Last minor version.
    pub last: ReleasePattern,
    /// CPU architecture.
    pub arch: CpuArchitecture,
    /// The variant on the public index.
    pub variant: Variant,
    /// Citation.
    pub source: Source,
    /// How it is known.
    pub proof: Proof,
}

/// A driver that ships with a release of a toolkit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ToolkitRelease {
    /// The release, for example `12.4 Update 1`.
    pub name: Box<str>,
    /// Its driver.
    pub driver: DriverFloor,
}

/// A CUDA toolkit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Toolkit {
    /// Its version.
    pub cuda: CudaVersion,
    /// Drivers that ship with its releases: full support.
    #[serde(default)]
    pub releases: Vec<ToolkitRelease>,
    /// Least driver by minor-version compatibility, which covers compiled code only.
    pub minor: Option<DriverFloor>,
    /// Least driver that unpacks zstd-compressed code of this toolkit.
    pub zstd: Option<DriverFloor>,
    /// Newest PTX that it writes.
    pub ptx: Option<PtxIsa>,
    /// Everything that its assembler can compile for; empty if not checked.
    #[serde(default)]
    pub targets: TargetList,
    /// Where the targets were read.
    pub targets_source: Option<Source>,
    /// Host driver branches that its forward-compatibility package accepts.
    pub forward: Option<Vec<u16>>,
    /// Where those branches were read.
    pub forward_source: Option<Source>,
    /// What is odd about it.
    pub note: Option<Box<str>>,
    /// Citation of the driver pairing.
    pub source: Source,
    /// How it is known.
    pub proof: Proof,
}

/// A branch of NVIDIA's Linux driver.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DriverBranch {
    /// Its number.
    pub branch: u16,
    /// CUDA version that it offers.
    pub cuda: CudaVersion,
    /// Newest PTX that it compiles.
    pub ptx: Option<PtxIsa>,
    /// Oldest GPU that it drives.
    pub lowest: ComputeCapability,
    /// Generations that it left behind.
    pub dropped: Option<Box<str>>,
    /// Kind of branch and its end of life.
    pub life_cycle: Option<Box<str>>,
    /// Citation.
    pub source: Source,
    /// How it is known.
    pub proof: Proof,
}

word_enum! {
    /// Which compiled code of its own generation a chip loads.
    Loading, "way of loading" {
        /// That for the same or a lower minor version (CUDA programming guide, binary compatibility).
        SameMajor = "same-major",
        /// Only its own: Tegra.
        Exact = "exact",
    }
}

/// A compute capability and the chips that have it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Chip {
    /// The capability.
    pub capability: ComputeCapability,
    /// Its generation's name.
    pub family: Box<str>,
    /// Chips that have it.
    pub chips: Box<str>,
    /// Discrete or Tegra.
    pub platform: Platform,
    /// First driver documented for it; `None` where only Linux for Tegra drives it.
    pub first_driver: Option<DriverFloor>,
    /// Last branch that drives it; `None` if none dropped it.
    pub last_driver: Option<u16>,
    /// First toolkit that can compile for it.
    pub first_toolkit: CudaVersion,
    /// Last toolkit that can; `None` if none dropped it.
    pub last_toolkit: Option<CudaVersion>,
    /// Which code it loads.
    pub loading: Loading,
    /// First CUDA version whose builds for lower minor versions may load after all: not proven either way.
    pub unproven_from: Option<CudaVersion>,
    /// First CUDA version whose builds for lower minor versions load as on a discrete GPU.
    pub relaxed_from: Option<CudaVersion>,
    /// The same silicon under another number.
    pub same_silicon: Option<ComputeCapability>,
    /// Family of `f` targets that it belongs to, named by its lowest member.
    pub code_family: Option<ComputeCapability>,
    /// What is odd about it.
    pub note: Option<Box<str>>,
    /// Citation.
    pub source: Source,
    /// How it is known.
    pub proof: Proof,
}

/// A GPU product.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Gpu {
    /// Its name as NVML prints it.
    pub name: Box<str>,
    /// Other names that people use.
    #[serde(default)]
    pub aliases: Vec<Box<str>>,
    /// Its capability.
    pub capability: ComputeCapability,
    /// Its market; `None` where not established.
    pub class: Option<GpuClass>,
    /// Brands that drivers report for it; empty where not established.
    #[serde(default)]
    pub brands: Vec<Brand>,
    /// Discrete or Tegra.
    pub platform: Platform,
    /// PCI device ids.
    #[serde(default)]
    pub pci: Vec<Box<str>>,
    /// Citation.
    pub source: Source,
    /// How it is known.
    pub proof: Proof,
}

/// The GPU code of one file of a library.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LibraryCode {
    /// The library, without the CUDA suffix of its package: `nvidia-cudnn`.
    pub name: Box<str>,
    /// CPU architecture of the package; those of another one differ.
    pub arch: CpuArchitecture,
    /// CUDA major version that the package is for.
    pub cuda_major: u16,
    /// Its version.
    pub version: DottedVersion,
    /// The file.
    pub file: Box<str>,
    /// Compiled code.
    pub sass: TargetList,
    /// PTX.
    pub ptx: TargetList,
    /// When it matters.
    pub need: LibraryNeed,
    /// Citation.
    pub source: Source,
    /// How it is known.
    pub proof: Proof,
}

/// An image of NVIDIA's own `PyTorch` series.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NgcImage {
    /// Its tag, for example `24.05-py3`.
    pub tag: Box<str>,
    /// Version of torch inside.
    pub torch: Option<TorchVersion>,
    /// CUDA version inside, with its patch level.
    pub cuda: Option<DottedVersion>,
    /// Driver that ships with that CUDA.
    pub driver: Option<DriverFloor>,
    /// Oldest GPU, by the release notes.
    pub lowest: Option<ComputeCapability>,
    /// Compiled code on amd64.
    pub sass_amd64: Option<TargetList>,
    /// PTX on amd64.
    pub ptx_amd64: Option<TargetList>,
    /// Compiled code on arm64.
    pub sass_arm64: Option<TargetList>,
    /// PTX on arm64.
    pub ptx_arm64: Option<TargetList>,
    /// Drivers that the release notes accept on data-centre GPUs.
    #[serde(default)]
    pub forward: Vec<DriverFloor>,
    /// What is odd about it.
    pub note: Option<Box<str>>,
    /// Citation.
    pub source: Source,
    /// How it is known.
    pub proof: Proof,
}

/// An error text that people search for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ErrorText {
    /// Who prints it.
    pub origin: Box<str>,
    /// Symbolic name.
    pub name: Option<Box<str>>,
    /// Number.
    pub number: Option<u32>,
    /// The text.
    pub text: Box<str>,
    /// What it means.
    pub meaning: Option<Box<str>>,
    /// Our code for the cause that leads to it.
    pub code: Option<Code>,
    /// Citation.
    pub source: Source,
    /// How it is known.
    pub proof: Proof,
}

/// A name that an operator gave to a copy of a known image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Alias {
    /// Image name, in which `*` stands for any text.
    pub image: Box<str>,
    /// The image that it is.
    pub is: Box<str>,
}

macro_rules! cited {
    ($($name:ident),+) => {$(
        impl $name {
            /// Where this entry's facts come from.
            #[must_use]
            pub fn evidence(&self) -> Evidence {
                Evidence::new(Origin::Catalog, self.proof, self.source.text().clone())
            }
        }
    )+};
}

cited!(
    DefaultVariant,
    Toolkit,
    DriverBranch,
    Chip,
    Gpu,
    LibraryCode,
    NgcImage,
    ErrorText
);

impl TorchBuild {
    /// Where this entry's facts come from.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        Evidence::new(self.origin, self.proof, self.source.text().clone())
    }
}

impl Chip {
    /// Whether a toolkit of that version can compile for it.
    #[must_use]
    pub fn is_built_by(&self, cuda: CudaVersion) -> bool {
        self.first_toolkit <= cuda && self.last_toolkit.is_none_or(|last| cuda <= last)
    }

    /// Whether the ordinary Linux driver drives it, so that its branches and floors have a meaning.
    #[must_use]
    pub fn has_ordinary_driver(&self) -> bool {
        self.first_driver.is_some()
    }
}

impl Toolkit {
    /// The driver of its first release.
    #[must_use]
    pub fn first_driver(&self) -> Option<DriverFloor> {
        self.releases.iter().map(|release| release.driver).min()
    }

    /// Least driver on which its programs start: by minor-version compatibility, or that of its first release
    /// where there is none or the pairing is older (11.0).
    #[must_use]
    pub fn floor(&self) -> Option<DriverFloor> {
        self.minor.into_iter().chain(self.first_driver()).min()
    }
}
