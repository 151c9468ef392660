//! The least driver that a piece of software needs on a GPU.

use super::driver;
use super::kernel::{self, Fit};
use super::offer;
use crate::compat::catalog::{Catalog, Chip};
use crate::compat::host::Host;
use crate::compat::software::{Scope, Software};
use crate::compat::target::ComputeCapability;
use crate::compat::verdict::Verdict;
use crate::compat::version::{CudaVersion, DriverFloor};

/// The least driver on which software runs on a GPU, forward compatibility aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeastDriver {
    /// That one.
    Is(DriverFloor),
    /// No driver makes it run there.
    Impossible,
    /// Not known.
    Unknown,
}

/// The least driver that software needs on a GPU of that capability: the highest of the floors of the chip, of
/// the toolkit, of compression, and of the PTX where there is no compiled code.
#[must_use]
pub fn least_driver(
    catalog: &Catalog,
    software: &Software,
    capability: ComputeCapability,
) -> LeastDriver {
    let (Some(chip), Some(newest)) = (catalog.chip(capability), catalog.newest_driver(capability))
    else {
        return LeastDriver::Unknown;
    };
    let host = Host {
        platform: Some(chip.platform),
        ..Host::of_capability(capability).with_driver(newest)
    };
    let platforms = software
        .platforms
        .value()
        .and_then(|platforms| platforms.first().copied());
    let verdict = super::judge_with(
        catalog,
        software,
        &Host {
            architecture: platforms,
            ..host
        },
    )
    .verdict;
    match verdict {
        Verdict::Fails => LeastDriver::Impossible,
        Verdict::Unknown | Verdict::Degraded | Verdict::Runs => {
            highest_floor(catalog, software, chip).map_or(LeastDriver::Unknown, LeastDriver::Is)
        }
    }
}

fn highest_floor(catalog: &Catalog, software: &Software, chip: &Chip) -> Option<DriverFloor> {
    let cuda = *software.cuda.value()?;
    let toolkit = driver::toolkit_floor(catalog, cuda)?.driver;
    let code = match software.scope {
        Scope::Kernels => code_floor(catalog, software, chip.capability, cuda),
        Scope::StartOnly => CodeFloor::None,
    };
    let code = match code {
        CodeFloor::None => None,
        CodeFloor::Is(floor) => Some(floor),
        CodeFloor::Unknown => return None,
    };
    [chip.first_driver, Some(toolkit), code]
        .into_iter()
        .flatten()
        .max()
}

/// What the GPU code adds to the toolkit's floor.
enum CodeFloor {
    None,
    Is(DriverFloor),
    Unknown,
}

fn code_floor(
    catalog: &Catalog,
    software: &Software,
    capability: ComputeCapability,
    cuda: CudaVersion,
) -> CodeFloor {
    let Some(sass) = software.sass.value() else {
        return CodeFloor::None;
    };
    match kernel::best_target(catalog, sass, capability, Some(cuda)) {
        Some((Fit::Loads, target)) => {
            let compressed = software
                .zstd
                .value()
                .is_some_and(|targets| targets.contains(target));
            let floor = driver::compression_floor(catalog, cuda).filter(|_| compressed);
            floor.map_or(CodeFloor::None, |floor| CodeFloor::Is(floor.driver))
        }
        Some((Fit::Unproven | Fit::No, _)) | None => {
            ptx_floor(catalog, software, capability, cuda).map_or(CodeFloor::Unknown, CodeFloor::Is)
        }
    }
}

fn ptx_floor(
    catalog: &Catalog,
    software: &Software,
    capability: ComputeCapability,
    cuda: CudaVersion,
) -> Option<DriverFloor> {
    let ptx = software.ptx.value()?.iter();
    let fitting = ptx.filter(|one| kernel::ptx_fit(catalog, one.target, capability) == Fit::Loads);
    let level = |isa| offer::cuda_for_ptx(catalog, isa);
    let needs = fitting
        .map(|one| {
            one.isa
                .and_then(level)
                .map_or(cuda, |level| level.min(cuda))
        })
        .min()?;
    kernel::floor_for(catalog, needs)
}
