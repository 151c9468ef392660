//! GPU code: which compiled code a GPU loads, and which PTX its driver can compile for it.

use super::Case;
use super::driver;
use super::offer::{self, Offer};
use super::report::{Ground, Report, used};
use super::toolkit;
use crate::compat::catalog::{Catalog, Chip, Loading};
use crate::compat::host::Platform;
use crate::compat::software::{Fact, FactName, Gap};
use crate::compat::target::{ComputeCapability, PtxList, PtxTarget, Suffix, Target, TargetList};
use crate::compat::verdict::{Cause, Code, CompatState, FactValue, UsedFact, Verdict};
use crate::compat::version::{CudaVersion, DriverFloor};

/// Whether a GPU can use code for a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// It cannot.
    No,
    /// Not proven either way.
    Unproven,
    /// It can.
    Loads,
}

/// Whether a GPU loads compiled code for a target, of a build with that CUDA version.
///
/// Code for X.y loads on X.z with z >= y, never across majors; `a` code on exactly its capability; `f` code
/// within its family at the same or a higher minor version (CUDA C++ programming guide, binary compatibility;
/// device table in the torch 2.15.0 wheel). Tegra chips load only their own.
#[must_use]
pub fn fit(
    catalog: &Catalog,
    target: Target,
    capability: ComputeCapability,
    cuda: Option<CudaVersion>,
) -> Fit {
    fit_on(catalog, catalog.chip(capability), target, capability, cuda)
}

/// The same, for a chip that was looked up already.
fn fit_on(
    catalog: &Catalog,
    chip: Option<&Chip>,
    target: Target,
    capability: ComputeCapability,
    cuda: Option<CudaVersion>,
) -> Fit {
    if target.capability == capability {
        return Fit::Loads;
    }
    if chip.and_then(|chip| chip.same_silicon) == Some(target.capability) {
        return Fit::Unproven;
    }
    if target.capability.major() != capability.major() || target.capability > capability {
        return Fit::No;
    }
    match target.suffix {
        Suffix::ArchSpecific => Fit::No,
        Suffix::FamilySpecific => family_fit(catalog, target.capability, capability),
        Suffix::Base => base_fit(catalog, chip, target.capability, cuda),
    }
}

fn family_fit(catalog: &Catalog, target: ComputeCapability, capability: ComputeCapability) -> Fit {
    if target.major() != capability.major() || target > capability {
        return Fit::No;
    }
    let family = |capability| catalog.chip(capability).and_then(|chip| chip.code_family);
    match (family(target), family(capability)) {
        (Some(one), Some(other)) if one == other => Fit::Loads,
        (Some(_), Some(_)) => Fit::No,
        (Some(_) | None, Some(_) | None) => Fit::Unproven,
    }
}

/// Code of the same generation and a lower minor version.
fn base_fit(
    catalog: &Catalog,
    chip: Option<&Chip>,
    target: ComputeCapability,
    cuda: Option<CudaVersion>,
) -> Fit {
    let from_tegra = |target| {
        catalog
            .chip(target)
            .is_some_and(|chip| chip.platform == Platform::Tegra)
    };
    match chip {
        Some(chip) if chip.loading == Loading::Exact => exact_fit(chip, cuda),
        Some(_) | None if from_tegra(target) => Fit::Unproven,
        Some(_) | None => Fit::Loads,
    }
}

/// Code for a lower minor version on a chip that loads only its own: it loads from the CUDA version on from
/// which torch counts server builds there (device table in the torch 2.15.0 wheel), and is unproven from the
/// one on from which such builds are reported to run.
fn exact_fit(chip: &Chip, cuda: Option<CudaVersion>) -> Fit {
    let since =
        |from: Option<CudaVersion>| from.is_some_and(|from| cuda.is_some_and(|cuda| cuda >= from));
    let ever = chip.unproven_from.is_some() || chip.relaxed_from.is_some();
    if since(chip.relaxed_from) {
        Fit::Loads
    } else if since(chip.unproven_from) || (cuda.is_none() && ever) {
        Fit::Unproven
    } else {
        Fit::No
    }
}

/// The best fit among compiled targets, and the target: of several that load, the newest.
#[must_use]
pub fn best_target(
    catalog: &Catalog,
    sass: &TargetList,
    capability: ComputeCapability,
    cuda: Option<CudaVersion>,
) -> Option<(Fit, Target)> {
    let chip = catalog.chip(capability);
    let usable = sass
        .iter()
        .map(|target| (fit_on(catalog, chip, *target, capability, cuda), *target));
    usable.filter(|(fit, _)| *fit != Fit::No).max()
}

/// The best fit among compiled targets.
#[must_use]
pub fn best_sass(
    catalog: &Catalog,
    sass: &TargetList,
    capability: ComputeCapability,
    cuda: Option<CudaVersion>,
) -> Fit {
    best_target(catalog, sass, capability, cuda).map_or(Fit::No, |(fit, _)| fit)
}

/// Whether PTX for a target can be compiled for a GPU, the driver's compiler aside: upwards without limit,
/// also across majors; `a` only for exactly its capability; `f` within its family (PTX ISA, `.target`).
#[must_use]
pub fn ptx_fit(catalog: &Catalog, target: Target, capability: ComputeCapability) -> Fit {
    if target.capability == capability {
        return Fit::Loads;
    }
    match target.suffix {
        Suffix::ArchSpecific => Fit::No,
        Suffix::FamilySpecific => family_fit(catalog, target.capability, capability),
        Suffix::Base if target.capability <= capability => Fit::Loads,
        Suffix::Base => {
            let twin = catalog.chip(capability).and_then(|chip| chip.same_silicon);
            if twin == Some(target.capability) {
                Fit::Unproven
            } else {
                Fit::No
            }
        }
    }
}

/// What compiled code there is when PTX comes into play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SassState {
    /// None that could load.
    Absent,
    /// Some of which it is not proven whether it loads.
    Unproven(Target),
}

/// Compiled code first, then PTX, then what the toolkit alone tells.
pub(super) fn check(case: &Case<'_>, report: &mut Report) {
    let Some(capability) = case.host.capability else {
        return;
    };
    let sass = match &case.software.sass {
        Fact::Known(sass, _) => sass,
        Fact::Gap(gap) => return toolkit::check(case, capability, gap, report),
    };
    match best_target(
        case.catalog,
        sass,
        capability,
        case.software.cuda.value().copied(),
    ) {
        Some((Fit::Loads, target)) => {
            report.rests_on(used(
                FactName::Sass,
                &case.software.sass,
                FactValue::Targets,
            ));
            driver::check_compression(case, target, report);
        }
        Some((Fit::Unproven, target)) => {
            check_ptx(case, capability, SassState::Unproven(target), report);
        }
        Some((Fit::No, _)) | None => check_ptx(case, capability, SassState::Absent, report),
    }
}

/// Whether the driver compiles a piece of PTX.
enum Compiles {
    Yes,
    No { needs: CudaVersion },
    Unknown(Gap),
}

pub(super) fn check_ptx(
    case: &Case<'_>,
    capability: ComputeCapability,
    sass: SassState,
    report: &mut Report,
) {
    let ptx = match &case.software.ptx {
        Fact::Known(ptx, _) => ptx,
        Fact::Gap(gap) => return report.missing(FactName::Ptx, gap.clone()),
    };
    let fitting = ptx
        .iter()
        .filter(|one| ptx_fit(case.catalog, one.target, capability) == Fit::Loads);
    let best = fitting
        .map(|one| (*one, compiles(case, *one)))
        .max_by_key(|(one, compiles)| {
            let rank = match compiles {
                Compiles::Yes => 2,
                Compiles::Unknown(_) => 1,
                Compiles::No { .. } => 0,
            };
            (rank, one.target)
        });
    match (best, sass) {
        (Some((one, Compiles::Yes)), _) => runs_by_jit(case, capability, one, report),
        (_, SassState::Unproven(target)) => {
            report.missing_because(FactName::Sass, unproven(target, capability));
        }
        (Some((_, Compiles::Unknown(gap))), SassState::Absent) => {
            report.missing(FactName::Ptx, gap);
        }
        (Some((one, Compiles::No { needs })), SassState::Absent) => {
            too_new(case, capability, one, needs, report);
        }
        (None, SassState::Absent) => no_code(case, capability, ptx, report),
    }
}

fn unproven(target: Target, capability: ComputeCapability) -> String {
    format!(
        "whether {target} code runs on sm_{} is not proven",
        capability.number()
    )
}

/// PTX needs a driver, or an applicable compat package, at least as new as its language version;
/// minor-version compatibility does not help (NVIDIA, CUDA compatibility guide; error 222).
fn compiles(case: &Case<'_>, ptx: PtxTarget) -> Compiles {
    let by_isa = ptx
        .isa
        .and_then(|isa| offer::cuda_for_ptx(case.catalog, isa));
    let by_toolkit = case.software.cuda.value().copied();
    // A toolkit writes no PTX newer than itself, so the smaller of the two is enough.
    let Some(needs) = by_isa.into_iter().chain(by_toolkit).min() else {
        return Compiles::Unknown(Gap::new("which PTX version it is written in is not known"));
    };
    let applies = if let CompatState::Applies { cuda, .. } = &case.compat {
        Some(*cuda)
    } else {
        None
    };
    let offer = applies.map_or(case.offer, Offer::exactly);
    match (offer.reaches(needs), &case.compat) {
        (Some(true), _) => Compiles::Yes,
        (_, CompatState::Unknown { gap }) => Compiles::Unknown(gap.clone()),
        (Some(false), _) => Compiles::No { needs },
        (None, _) => Compiles::Unknown(Gap::new(
            "which PTX version the driver compiles is not known",
        )),
    }
}

fn code_facts(case: &Case<'_>) -> Vec<UsedFact> {
    let sass = used(FactName::Sass, &case.software.sass, FactValue::Targets);
    let ptx = used(FactName::Ptx, &case.software.ptx, FactValue::Ptx);
    sass.into_iter().chain(ptx).collect()
}

fn runs_by_jit(
    case: &Case<'_>,
    capability: ComputeCapability,
    ptx: PtxTarget,
    report: &mut Report,
) {
    report.warns(
        Code::Jit,
        Verdict::Degraded,
        Cause::Jit { capability, ptx },
        code_facts(case),
    );
}

fn too_new(
    case: &Case<'_>,
    capability: ComputeCapability,
    ptx: PtxTarget,
    needs: CudaVersion,
    report: &mut Report,
) {
    let Some(driver) = case.host.driver else {
        return report.missing_because(FactName::Driver, "the host's driver is not known");
    };
    let mut facts = code_facts(case);
    facts.extend(used(FactName::Cuda, &case.software.cuda, FactValue::Cuda));
    facts.extend(used(
        FactName::Compat,
        &case.software.compat,
        FactValue::Compat,
    ));
    let newest = case
        .offer
        .exact()
        .and_then(|cuda| offer::newest_ptx(case.catalog, cuda));
    let found = Cause::Ptx {
        capability,
        ptx,
        floor: floor_for(case.catalog, needs),
        driver,
        newest,
        cuda: case.software.cuda.value().copied(),
        compat: case.compat.clone(),
    };
    report.fails(Code::Ptx, Ground::Contents, found, facts);
}

/// The first driver branch that offers a CUDA version.
pub(super) fn floor_for(catalog: &Catalog, cuda: CudaVersion) -> Option<DriverFloor> {
    let branch = catalog
        .driver_branches()
        .iter()
        .find(|branch| branch.cuda >= cuda);
    branch.map(|branch| DriverFloor::of_branch(branch.branch))
}

fn no_code(case: &Case<'_>, capability: ComputeCapability, ptx: &PtxList, report: &mut Report) {
    let Some(sass) = case.software.sass.value() else {
        // Only the toolkit is known, and it cannot have compiled for this GPU.
        return match case.software.cuda.value() {
            Some(cuda) => toolkit::cannot_be_built(case, *cuda, capability, report),
            None => report.missing_because(FactName::Sass, "the compiled GPU code is not known"),
        };
    };
    let facts = code_facts(case);
    if is_desktop_code_on_tegra(case, sass, capability) {
        let found = Cause::Tegra {
            sass: sass.clone(),
            capability,
        };
        return report.fails(Code::Tegra, Ground::Contents, found, facts);
    }
    let found = Cause::Arch {
        capability,
        sass: sass.clone(),
        ptx: ptx.clone(),
    };
    report.fails(Code::Arch, Ground::Contents, found, facts);
}

/// Code that a discrete GPU of this capability would load, and that this Tegra chip does not.
fn is_desktop_code_on_tegra(
    case: &Case<'_>,
    sass: &TargetList,
    capability: ComputeCapability,
) -> bool {
    let exact = case.chip.is_some_and(|chip| chip.loading == Loading::Exact);
    let would_load = |target: &Target| {
        target.suffix == Suffix::Base
            && target.capability.major() == capability.major()
            && target.capability <= capability
    };
    exact && sass.iter().any(would_load)
}
