//! Driver floors: of a toolkit, of compressed GPU code, and by the author's word.

use super::Case;
use super::offer::uses_ordinary_driver;
use super::report::{Ground, Report, looked_up, used};
use crate::compat::catalog::{Catalog, Toolkit};
use crate::compat::software::{Fact, FactName};
use crate::compat::target::Target;
use crate::compat::verdict::{Cause, Code, CompatState, FactValue, FloorReason, UsedFact};
use crate::compat::version::{CudaVersion, DriverFloor, DriverVersion};

/// A floor with the toolkit entry that it comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Floor<'a> {
    pub(super) driver: DriverFloor,
    toolkit: &'a Toolkit,
}

/// Least driver for programs of a toolkit. A version that is not listed takes the floor of its major version,
/// which minor-version compatibility makes common to all of them (NVIDIA, CUDA compatibility guide).
pub(super) fn toolkit_floor(catalog: &Catalog, cuda: CudaVersion) -> Option<Floor<'_>> {
    let of = |toolkit| Toolkit::floor(toolkit).map(|driver| Floor { driver, toolkit });
    if let Some(toolkit) = catalog.toolkit(cuda) {
        return of(toolkit);
    }
    let family = catalog
        .toolkits()
        .iter()
        .filter(|toolkit| toolkit.cuda.major == cuda.major);
    family
        .filter(|toolkit| toolkit.minor.is_some())
        .find_map(|toolkit| toolkit.minor.map(|driver| Floor { driver, toolkit }))
}

/// Least driver that unpacks zstd-compressed code of a toolkit (RAPIDS build documentation).
pub(super) fn compression_floor(catalog: &Catalog, cuda: CudaVersion) -> Option<Floor<'_>> {
    let toolkit = catalog.toolkit(cuda)?;
    toolkit.zstd.map(|driver| Floor { driver, toolkit })
}

/// The driver must be at or above the toolkit's floor, or offer its CUDA version, or be replaced by a
/// forward-compatibility package that applies.
pub(super) fn check(case: &Case<'_>, report: &mut Report) {
    check_toolkit(case, report);
    if !report.has(Code::Driver) {
        check_declared(case, report);
    }
}

fn check_toolkit(case: &Case<'_>, report: &mut Report) {
    let cuda = match &case.software.cuda {
        Fact::Known(cuda, _) => cuda,
        Fact::Gap(gap) => return report.missing(FactName::Cuda, gap.clone()),
    };
    if case.offer.reaches(*cuda) == Some(true) {
        report.rests_on(used(FactName::Cuda, &case.software.cuda, FactValue::Cuda));
        return;
    }
    if !uses_ordinary_driver(case.host, case.chip) {
        return report.missing_because(FactName::DriverOffer, offer_gap(case, *cuda));
    }
    match toolkit_floor(case.catalog, *cuda) {
        Some(floor) => check_floor(case, *cuda, floor, FloorReason::Toolkit, report),
        None => report.missing_because(
            FactName::DriverFloor,
            format!("no driver is known for CUDA {cuda}"),
        ),
    }
}

/// Compressed code needs a driver that unpacks it; judged for the code that would be loaded.
pub(super) fn check_compression(case: &Case<'_>, target: Target, report: &mut Report) {
    let compressed = case
        .software
        .zstd
        .value()
        .is_some_and(|targets| targets.contains(target));
    let Some(cuda) = case
        .software
        .cuda
        .value()
        .filter(|_| compressed && !report.has(Code::Driver))
    else {
        return;
    };
    match compression_floor(case.catalog, *cuda) {
        Some(floor) => check_floor(case, *cuda, floor, FloorReason::Compression, report),
        None => report.missing_because(
            FactName::DriverFloor,
            format!("which driver unpacks CUDA {cuda} code is not known"),
        ),
    }
}

fn check_floor(
    case: &Case<'_>,
    cuda: CudaVersion,
    floor: Floor<'_>,
    reason: FloorReason,
    report: &mut Report,
) {
    let Some(driver) = case.host.driver else {
        return report.missing_because(FactName::Driver, "the host's driver is not known");
    };
    let facts = facts_of(case, floor, reason);
    if floor.driver.is_met_by(driver) {
        return report.rests_on(facts);
    }
    let compat_fact = used(FactName::Compat, &case.software.compat, FactValue::Compat);
    let facts = facts.into_iter().chain(compat_fact);
    match &case.compat {
        CompatState::Applies { .. } => report.rests_on(facts),
        CompatState::Unknown { gap } => report.missing(FactName::Compat, gap.clone()),
        CompatState::Absent
        | CompatState::NotNewer
        | CompatState::BranchNotListed { .. }
        | CompatState::ClassExcluded { .. }
        | CompatState::ChipExcluded { .. } => {
            let found = too_old(case, driver, Some(cuda), floor.driver, reason);
            report.fails(Code::Driver, Ground::Floor, found, facts.collect());
        }
    }
}

/// The author's own word on the least driver counts as it stands, whatever the libraries could do.
fn check_declared(case: &Case<'_>, report: &mut Report) {
    let Some(floor) = case.software.driver.value() else {
        return;
    };
    let fact = used(
        FactName::DeclaredDriver,
        &case.software.driver,
        FactValue::Floor,
    );
    match case.host.driver {
        None => report.missing_because(FactName::Driver, "the host's driver is not known"),
        Some(driver) if floor.is_met_by(driver) => report.rests_on(fact),
        Some(driver) => {
            let cuda = case.software.cuda.value().copied();
            let found = too_old(case, driver, cuda, *floor, FloorReason::Declared);
            report.fails(
                Code::Driver,
                Ground::Floor,
                found,
                fact.into_iter().collect(),
            );
        }
    }
}

fn too_old(
    case: &Case<'_>,
    driver: DriverVersion,
    cuda: Option<CudaVersion>,
    floor: DriverFloor,
    reason: FloorReason,
) -> Cause {
    let (offers, compat) = (case.offer.exact(), case.compat.clone());
    Cause::Driver {
        driver: Some(driver),
        offers,
        cuda,
        floor,
        reason,
        compat,
    }
}

fn facts_of(case: &Case<'_>, floor: Floor<'_>, reason: FloorReason) -> Vec<UsedFact> {
    let mut facts = Vec::with_capacity(4);
    facts.extend(used(FactName::Cuda, &case.software.cuda, FactValue::Cuda));
    if reason == FloorReason::Compression {
        facts.extend(used(
            FactName::Zstd,
            &case.software.zstd,
            FactValue::Targets,
        ));
    }
    facts.push(looked_up(
        FactName::DriverFloor,
        FactValue::Floor(floor.driver),
        floor.toolkit.evidence(),
    ));
    facts
}

fn offer_gap(case: &Case<'_>, cuda: CudaVersion) -> String {
    match case.offer.exact() {
        Some(offers) => {
            format!("whether CUDA {cuda} runs on a Jetson that offers {offers} is not known")
        }
        None => "the CUDA version that this Jetson offers is not known".to_owned(),
    }
}
