//! The knowledge base: torch builds, toolkits, drivers, chips, GPUs, libraries, images, error texts.
//!
//! Facts are TOML entries under `data/`, embedded in the program and parsed table by table when first asked
//! for. An operator's overlay lays entries of the same kinds over them. Holds no rule.

pub mod check;
mod describe;
pub mod entry;
mod gpu;
mod key;
mod overlay;
pub mod release;
mod table;
mod torch;

use super::host::CpuArchitecture;
use super::target::ComputeCapability;
use super::verdict::Code;
use super::version::{CudaVersion, DottedVersion, DriverVersion};
pub use entry::{
    Alias, Chip, DefaultVariant, DriverBranch, ErrorText, Gpu, LibraryCode, Loading, NgcImage,
    Toolkit, ToolkitRelease, TorchBuild,
};
pub use gpu::GpuLookup;
pub use overlay::{MAXIMUM_OVERLAY_LENGTH, OverlayError};
pub use release::{Channel, ReleasePattern, Source};
pub use torch::TorchLookup;

use table::Table;

static EMBEDDED: Catalog = Catalog {
    torch: Table::new(TORCH, |document| document.torch),
    torch_default: Table::new(TORCH_DEFAULT, |document| document.torch_default),
    toolkit: Table::new(TOOLKIT, |document| document.toolkit),
    driver: Table::new(DRIVER, |document| document.driver),
    chip: Table::new(CHIP, |document| document.chip),
    gpu: Table::new(GPU, |document| document.gpu),
    library: Table::new(LIBRARY, |document| document.library),
    ngc: Table::new(NGC, |document| document.ngc),
    error: Table::new(ERROR, |document| document.error),
    aliases: Vec::new(),
    overlay_date: None,
};

const TORCH: &str = include_str!("data/torch.toml");
const TORCH_DEFAULT: &str = include_str!("data/torch_default.toml");
const TOOLKIT: &str = include_str!("data/toolkit.toml");
const DRIVER: &str = include_str!("data/driver.toml");
const CHIP: &str = include_str!("data/chip.toml");
const GPU: &str = include_str!("data/gpu.toml");
const LIBRARY: &str = include_str!("data/library.toml");
const NGC: &str = include_str!("data/ngc.toml");
const ERROR: &str = include_str!("data/error.toml");
const DATE: &str = include_str!("data/date.txt");

/// The knowledge base, embedded or with an overlay.
#[derive(Debug)]
pub struct Catalog {
    torch: Table<TorchBuild>,
    torch_default: Table<DefaultVariant>,
    toolkit: Table<Toolkit>,
    driver: Table<DriverBranch>,
    chip: Table<Chip>,
    gpu: Table<Gpu>,
    library: Table<LibraryCode>,
    ngc: Table<NgcImage>,
    error: Table<ErrorText>,
    aliases: Vec<Alias>,
    overlay_date: Option<Box<str>>,
}

impl Catalog {
    /// The knowledge base that is built into the program.
    #[must_use]
    pub fn embedded() -> &'static Self {
        &EMBEDDED
    }

    /// Day on which the embedded facts were compiled, `YYYY-MM-DD`.
    #[must_use]
    pub fn date(&self) -> &str {
        DATE.trim_end()
    }

    /// Day that the overlay states, if there is an overlay that states one.
    #[must_use]
    pub fn overlay_date(&self) -> Option<&str> {
        self.overlay_date.as_deref()
    }

    /// Names that an operator gave to copies of known images.
    #[must_use]
    pub fn aliases(&self) -> &[Alias] {
        &self.aliases
    }

    /// All torch builds, by architecture, channel, release and variant.
    #[must_use]
    pub fn torch_builds(&self) -> &[TorchBuild] {
        self.torch.entries()
    }

    /// All toolkits, the oldest first.
    #[must_use]
    pub fn toolkits(&self) -> &[Toolkit] {
        self.toolkit.entries()
    }

    /// All driver branches, the oldest first.
    #[must_use]
    pub fn driver_branches(&self) -> &[DriverBranch] {
        self.driver.entries()
    }

    /// All compute capabilities, the lowest first.
    #[must_use]
    pub fn chips(&self) -> &[Chip] {
        self.chip.entries()
    }

    /// All GPU products, by name.
    #[must_use]
    pub fn gpus(&self) -> &[Gpu] {
        self.gpu.entries()
    }

    /// All known library files, by name, architecture, CUDA major, version and file.
    #[must_use]
    pub fn libraries(&self) -> &[LibraryCode] {
        self.library.entries()
    }

    /// All images of NVIDIA's `PyTorch` series, by tag.
    #[must_use]
    pub fn ngc_images(&self) -> &[NgcImage] {
        self.ngc.entries()
    }

    /// All error texts.
    #[must_use]
    pub fn error_texts(&self) -> &[ErrorText] {
        self.error.entries()
    }

    /// The toolkit of that version.
    #[must_use]
    pub fn toolkit(&self, cuda: CudaVersion) -> Option<&Toolkit> {
        self.toolkit.find(&cuda)
    }

    /// The branch that a driver belongs to, if listed.
    #[must_use]
    pub fn driver_branch(&self, driver: DriverVersion) -> Option<&DriverBranch> {
        self.driver.find(&driver.branch())
    }

    /// The listed branches just below and just above a driver of an unlisted branch.
    pub(super) fn neighbours(&self, branch: u16) -> (Option<&DriverBranch>, Option<&DriverBranch>) {
        let branches = self.driver_branches();
        let below = branches.iter().rev().find(|listed| listed.branch <= branch);
        (
            below,
            branches.iter().find(|listed| listed.branch >= branch),
        )
    }

    /// What is known of a compute capability.
    #[must_use]
    pub fn chip(&self, capability: ComputeCapability) -> Option<&Chip> {
        self.chip.find(&capability)
    }

    /// The newest driver that drives a GPU of that capability; on Tegra, and for unlisted chips, none.
    #[must_use]
    pub fn newest_driver(&self, capability: ComputeCapability) -> Option<DriverVersion> {
        let chip = self.chip(capability)?;
        chip.first_driver?;
        let newest = self.driver_branches().last()?.branch;
        Some(DriverVersion::newest_of(chip.last_driver.unwrap_or(newest)))
    }

    /// The newest toolkit that can compile for a GPU of that capability.
    #[must_use]
    pub fn newest_toolkit_for(&self, capability: ComputeCapability) -> Option<CudaVersion> {
        let chip = self.chip(capability)?;
        let builds = |toolkit: &&Toolkit| chip.is_built_by(toolkit.cuda);
        self.toolkits()
            .iter()
            .rev()
            .find(builds)
            .map(|toolkit| toolkit.cuda)
    }

    /// The files of a library of that version, as published for a CPU architecture and a CUDA major version.
    pub fn library(
        &self,
        name: &str,
        arch: CpuArchitecture,
        cuda_major: u16,
        version: DottedVersion,
    ) -> impl Iterator<Item = &LibraryCode> {
        let entries = self.libraries();
        let wanted = (name, arch, cuda_major, version);
        let start = entries.partition_point(|entry| key_of_library(entry) < wanted);
        let end = entries.partition_point(|entry| key_of_library(entry) <= wanted);
        entries.get(start..end).unwrap_or_default().iter()
    }

    /// The image with that tag in NVIDIA's `PyTorch` series (`24.05-py3`).
    #[must_use]
    pub fn ngc_image(&self, tag: &str) -> Option<&NgcImage> {
        self.ngc_images().iter().find(|image| *image.tag == *tag)
    }

    /// The error with that CUDA number.
    #[must_use]
    pub fn error_by_number(&self, number: u32) -> Option<&ErrorText> {
        self.error_texts()
            .iter()
            .find(|error| error.number == Some(number))
    }

    /// The errors that people see for that cause: those of CUDA first, then those of torch and of the runtime.
    pub fn errors_of(&self, code: Code) -> impl Iterator<Item = &ErrorText> {
        self.error_texts()
            .iter()
            .filter(move |error| error.code == Some(code))
    }

    /// The CPU architectures for which any torch build is known.
    #[must_use]
    pub fn torch_architectures(&self) -> Vec<CpuArchitecture> {
        let mut architectures: Vec<_> =
            self.torch_builds().iter().map(|build| build.arch).collect();
        architectures.dedup();
        architectures
    }
}

fn key_of_library(entry: &LibraryCode) -> (&str, CpuArchitecture, u16, DottedVersion) {
    (&entry.name, entry.arch, entry.cuda_major, entry.version)
}
