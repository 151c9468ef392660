//! What a toolkit can have built, when it is not known what it did build.

use super::Case;
use super::kernel::{self, Fit};
use super::report::{Ground, Report, looked_up, used};
use crate::compat::catalog::{Catalog, Chip};
use crate::compat::software::{FactName, Gap};
use crate::compat::target::{ComputeCapability, Target};
use crate::compat::verdict::{Cause, Code, FactValue};
use crate::compat::version::CudaVersion;

/// What code for a GPU a toolkit can have built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Possible {
    /// Compiled code.
    Sass,
    /// PTX only.
    PtxOnly,
    /// Nothing.
    Nothing,
}

/// Everything a toolkit can compile for (read from the assemblers of the toolkits).
pub fn buildable(catalog: &Catalog, cuda: CudaVersion) -> impl Iterator<Item = &Chip> {
    catalog
        .chips()
        .iter()
        .filter(move |chip| chip.is_built_by(cuda))
}

/// What a toolkit can have built for a GPU: no 12.x toolkit compiles for anything below 5.0, none of 13.x for
/// anything below 7.5, and none knows a chip that came after it; PTX for an older chip is always possible.
#[must_use]
pub fn possible(catalog: &Catalog, cuda: CudaVersion, capability: ComputeCapability) -> Possible {
    let loads = |chip: &Chip| {
        kernel::fit(
            catalog,
            Target::base(chip.capability),
            capability,
            Some(cuda),
        ) != Fit::No
    };
    if buildable(catalog, cuda).any(loads) {
        Possible::Sass
    } else if buildable(catalog, cuda).any(|chip| chip.capability <= capability) {
        Possible::PtxOnly
    } else {
        Possible::Nothing
    }
}

/// Decides what can be decided from the toolkit alone; otherwise the GPU code is the gap.
pub(super) fn check(
    case: &Case<'_>,
    capability: ComputeCapability,
    gap: &Gap,
    report: &mut Report,
) {
    if let Some(lowest) = case
        .software
        .lowest
        .value()
        .filter(|lowest| capability < **lowest)
    {
        return below_lowest(case, capability, *lowest, report);
    }
    let Some((cuda, _)) = case.software.cuda.known() else {
        return report.missing(FactName::Sass, gap.clone());
    };
    match possible(case.catalog, *cuda, capability) {
        Possible::Sass => report.missing(FactName::Sass, gap.clone()),
        Possible::PtxOnly if case.software.ptx.value().is_none() => {
            let reason = format!(
                "only PTX could run there, since CUDA {cuda} does not compile for it: {gap}"
            );
            report.missing_because(FactName::Ptx, reason);
        }
        Possible::PtxOnly => kernel::check_ptx(case, capability, kernel::SassState::Absent, report),
        Possible::Nothing => cannot_be_built(case, *cuda, capability, report),
    }
}

/// A publisher's own statement of the oldest GPU counts where the code itself is not known.
fn below_lowest(
    case: &Case<'_>,
    capability: ComputeCapability,
    lowest: ComputeCapability,
    report: &mut Report,
) {
    let fact = used(
        FactName::Lowest,
        &case.software.lowest,
        FactValue::Capability,
    );
    let found = Cause::ArchByPublisher { capability, lowest };
    report.fails(
        Code::Arch,
        Ground::Contents,
        found,
        fact.into_iter().collect(),
    );
}

pub(super) fn cannot_be_built(
    case: &Case<'_>,
    cuda: CudaVersion,
    capability: ComputeCapability,
    report: &mut Report,
) {
    let mut chips = buildable(case.catalog, cuda);
    let Some(first) = chips.next() else {
        return report.missing_because(
            FactName::ToolkitTargets,
            format!("what CUDA {cuda} compiles for is not known"),
        );
    };
    let last = chips.last().unwrap_or(first);
    let (lowest, highest) = (first.capability, last.capability);
    let range = FactValue::Range(Target::base(lowest), Target::base(highest));
    let mut facts = vec![looked_up(FactName::ToolkitTargets, range, first.evidence())];
    facts.extend(used(FactName::Cuda, &case.software.cuda, FactValue::Cuda));
    let found = Cause::ArchByToolkit {
        capability,
        cuda,
        lowest,
        highest,
    };
    report.fails(Code::Arch, Ground::Floor, found, facts);
}
