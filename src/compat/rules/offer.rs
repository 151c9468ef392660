//! Which CUDA version a host's driver offers, as closely as it is known.

use crate::compat::catalog::{Catalog, Chip};
use crate::compat::host::{Host, Platform};
use crate::compat::version::{CudaVersion, DriverVersion, PtxIsa};

/// Bounds of the CUDA version that a driver offers; equal when it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offer {
    /// It offers at least that; `None` if nothing is known.
    pub least: Option<CudaVersion>,
    /// It offers at most that; `None` if nothing is known.
    pub most: Option<CudaVersion>,
}

impl Offer {
    /// What the driver itself says; else what its branch offers; else what the listed branches around it do.
    ///
    /// CUDA's level rises with the branch (PTX ISA release history; CUDA release notes). On Tegra the numbers
    /// of Linux for Tegra say nothing about it, and only the chip does.
    #[must_use]
    pub fn of(catalog: &Catalog, host: &Host, chip: Option<&Chip>) -> Self {
        if let Some(cuda) = host.cuda {
            return Self::exactly(cuda);
        }
        match host.driver {
            Some(driver) if uses_ordinary_driver(host, chip) => Self::of_driver(catalog, driver),
            Some(_) | None => Self::of_tegra(chip),
        }
    }

    fn of_driver(catalog: &Catalog, driver: DriverVersion) -> Self {
        let (below, above) = catalog.neighbours(driver.branch());
        Self {
            least: below.map(|branch| branch.cuda),
            most: above.map(|branch| branch.cuda),
        }
    }

    /// Every driver of a Tegra chip offers at least the CUDA version that the chip came with.
    fn of_tegra(chip: Option<&Chip>) -> Self {
        let tegra = chip.filter(|chip| !chip.has_ordinary_driver());
        Self {
            least: tegra.map(|chip| chip.first_toolkit),
            most: None,
        }
    }

    /// A known version.
    #[must_use]
    pub const fn exactly(cuda: CudaVersion) -> Self {
        Self {
            least: Some(cuda),
            most: Some(cuda),
        }
    }

    /// The version, if known.
    #[must_use]
    pub fn exact(self) -> Option<CudaVersion> {
        self.least.filter(|_| self.least == self.most)
    }

    /// Whether it reaches a version: `None` if that is not known.
    #[must_use]
    pub fn reaches(self, needed: CudaVersion) -> Option<bool> {
        match (self.least, self.most) {
            (Some(least), _) if least >= needed => Some(true),
            (_, Some(most)) if most < needed => Some(false),
            _ => None,
        }
    }
}

/// Whether the numbers of the ordinary Linux driver have a meaning on a host.
#[must_use]
pub fn uses_ordinary_driver(host: &Host, chip: Option<&Chip>) -> bool {
    match chip {
        Some(chip) => chip.has_ordinary_driver(),
        None => host.platform != Some(Platform::Tegra),
    }
}

/// The least CUDA level at which a driver understands PTX of that version (PTX ISA release history).
#[must_use]
pub fn cuda_for_ptx(catalog: &Catalog, isa: PtxIsa) -> Option<CudaVersion> {
    let toolkits = catalog
        .toolkits()
        .iter()
        .map(|toolkit| (toolkit.ptx, toolkit.cuda));
    let branches = catalog
        .driver_branches()
        .iter()
        .map(|branch| (branch.ptx, branch.cuda));
    let understands =
        |(ptx, cuda): (Option<PtxIsa>, CudaVersion)| ptx.filter(|ptx| *ptx >= isa).map(|_| cuda);
    toolkits.chain(branches).filter_map(understands).min()
}

/// The newest PTX that a driver of that CUDA level compiles, if known.
#[must_use]
pub fn newest_ptx(catalog: &Catalog, cuda: CudaVersion) -> Option<PtxIsa> {
    let branch = catalog
        .driver_branches()
        .iter()
        .find(|branch| branch.cuda == cuda);
    branch.and_then(|branch| branch.ptx)
}
