//! Whether a driver drives a GPU at all.

use super::Case;
use super::report::{Ground, Report, looked_up};
use crate::compat::catalog::Chip;
use crate::compat::software::FactName;
use crate::compat::target::ComputeCapability;
use crate::compat::verdict::{Cause, Code, DriverReach, FactValue};
use crate::compat::version::{DriverFloor, DriverVersion};

/// What a driver makes of a chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It drives it, as far as the chip goes.
    Drives,
    /// It does not.
    Not(DriverReach),
    /// It is a release of the chip's first branch, but older than the first one documented.
    Unproven(DriverFloor),
}

/// Whether a driver drives a chip: not before its first branch, nor after its last (NVIDIA's architecture
/// matrix; CUDA release notes). Chips that only Linux for Tegra drives are taken as driven.
#[must_use]
pub fn reach(chip: &Chip, driver: DriverVersion) -> Reach {
    let Some(floor) = chip.first_driver else {
        return Reach::Drives;
    };
    match chip.last_driver {
        Some(last) if driver.branch() > last => Reach::Not(DriverReach::Dropped { last }),
        _ if floor.is_met_by(driver) => Reach::Drives,
        _ if driver.branch() < floor.branch() => Reach::Not(DriverReach::TooOld { floor }),
        _ => Reach::Unproven(floor),
    }
}

pub(super) fn check(case: &Case<'_>, report: &mut Report) {
    let Some(capability) = case.host.capability else {
        return report.missing_because(FactName::Gpu, "the host's compute capability is not known");
    };
    let Some(chip) = case.chip else {
        return report.missing_because(
            FactName::GpuDrivers,
            format!("no driver is known for sm_{}", capability.number()),
        );
    };
    if let Some(driver) = case.host.driver {
        check_driver(chip, capability, driver, report);
    } else if chip.has_ordinary_driver() {
        report.missing_because(FactName::Driver, "the host's driver is not known");
    }
}

fn check_driver(
    chip: &Chip,
    capability: ComputeCapability,
    driver: DriverVersion,
    report: &mut Report,
) {
    let fact = |value| looked_up(FactName::GpuDrivers, value, chip.evidence());
    match reach(chip, driver) {
        Reach::Drives => {
            report.rests_on(chip.first_driver.map(|floor| fact(FactValue::Floor(floor))));
        }
        Reach::Not(reach) => {
            let value = match reach {
                DriverReach::TooOld { floor } => FactValue::Floor(floor),
                DriverReach::Dropped { last } => FactValue::LastDriver(last),
            };
            let cause = Cause::Unsupported {
                driver,
                capability,
                reach,
            };
            report.fails(Code::Unsupported, Ground::Floor, cause, vec![fact(value)]);
        }
        Reach::Unproven(floor) => {
            let reason = format!(
                "the first driver documented for sm_{} is {floor}",
                capability.number()
            );
            report.missing_because(FactName::GpuDrivers, reason);
        }
    }
}
