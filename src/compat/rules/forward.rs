//! Forward compatibility: whether the `cuda-compat` libraries in an image take the place of the host's.

use super::Case;
use super::gpu::{self, Reach};
use super::offer::uses_ordinary_driver;
use super::report::{Report, used};
use crate::compat::catalog::{Catalog, Chip, Toolkit};
use crate::compat::host::{GpuClass, Host};
use crate::compat::software::{CompatPackage, FactName, Gap, Software};
use crate::compat::verdict::{Cause, Code, CompatState, FactValue, Verdict};
use crate::compat::version::{CudaVersion, DriverFloor, DriverVersion};

/// Whether the package in an image helps on a host. If it is not known whether there is one, the package of
/// the image's toolkit is tried: where that could help, the answer is unknown.
pub(super) fn state(
    catalog: &Catalog,
    software: &Software,
    host: &Host,
    chip: Option<&Chip>,
) -> CompatState {
    match software.compat.value() {
        Some(CompatPackage::Absent) => CompatState::Absent,
        Some(CompatPackage::Present {
            cuda,
            driver,
            branches,
        }) => {
            let package = Package::new(catalog, *cuda, *driver, branches.as_deref());
            package.state(catalog, host, chip)
        }
        None => match software.cuda.value() {
            Some(cuda) => assumed_state(
                &Package::new(catalog, *cuda, None, None),
                catalog,
                host,
                chip,
            ),
            None => {
                unknown("neither the CUDA version nor a forward-compatibility package is known")
            }
        },
    }
}

fn assumed_state(
    package: &Package<'_>,
    catalog: &Catalog,
    host: &Host,
    chip: Option<&Chip>,
) -> CompatState {
    match package.state(catalog, host, chip) {
        CompatState::Applies { .. } => {
            unknown("it is not known whether the image has a forward-compatibility package")
        }
        state @ (CompatState::Absent
        | CompatState::NotNewer
        | CompatState::BranchNotListed { .. }
        | CompatState::ClassExcluded { .. }
        | CompatState::ChipExcluded { .. }
        | CompatState::Unknown { .. }) => state,
    }
}

fn unknown(reason: &str) -> CompatState {
    CompatState::Unknown {
        gap: Gap::new(reason),
    }
}

/// A package with what the catalog adds to it.
struct Package<'a> {
    cuda: CudaVersion,
    driver: Option<DriverVersion>,
    /// Branch that it comes from.
    branch: Option<u16>,
    listed: Option<&'a [u16]>,
}

impl<'a> Package<'a> {
    fn new(
        catalog: &'a Catalog,
        cuda: CudaVersion,
        driver: Option<DriverVersion>,
        noted: Option<&'a [u16]>,
    ) -> Self {
        let toolkit = catalog.toolkit(cuda);
        let paired = || {
            toolkit
                .and_then(Toolkit::first_driver)
                .map(DriverFloor::branch)
        };
        let branch = driver.map(DriverVersion::branch).or_else(paired);
        let listed = match noted {
            Some(noted) => Some(noted),
            None => toolkit.and_then(|toolkit| toolkit.forward.as_deref()),
        };
        Self {
            cuda,
            driver,
            branch,
            listed,
        }
    }

    /// NVIDIA's CUDA compatibility guide, and the enable-cuda-compat hook of its container toolkit: used only
    /// if newer than the host's driver and if the host's branch is on the package's list; works on data-centre
    /// GPUs only, apart from some RTX boards and Jetsons of which no list was found; and its own libcuda must
    /// know the chip: not dropped (nvidia/container-images/cuda issue 182), nor newer than it.
    fn state(&self, catalog: &Catalog, host: &Host, chip: Option<&Chip>) -> CompatState {
        if !uses_ordinary_driver(host, chip) {
            return unknown("forward compatibility on a Jetson has packages of its own");
        }
        let Some(driver) = host.driver else {
            return unknown("the host's driver is not known");
        };
        if self.is_not_newer(catalog, driver) {
            return CompatState::NotNewer;
        }
        match self.listed {
            None => unknown("the driver branches that its package accepts are not known"),
            Some(branches) if branches.contains(&driver.branch()) => self.state_on_gpu(host, chip),
            Some(branches) => CompatState::BranchNotListed {
                branches: branches.into(),
            },
        }
    }

    fn is_not_newer(&self, catalog: &Catalog, driver: DriverVersion) -> bool {
        match self.branch {
            Some(branch) => branch <= driver.branch(),
            None => catalog
                .driver_branch(driver)
                .is_some_and(|host| host.cuda >= self.cuda),
        }
    }

    fn state_on_gpu(&self, host: &Host, chip: Option<&Chip>) -> CompatState {
        if let Some(branch) = self.branch.filter(|branch| !knows(chip, *branch)) {
            return CompatState::ChipExcluded { branch };
        }
        match host.class {
            Some(GpuClass::DataCentre) => CompatState::Applies {
                cuda: self.cuda,
                driver: self.driver,
            },
            Some(class @ GpuClass::Consumer) => CompatState::ClassExcluded { class },
            Some(GpuClass::Workstation) => {
                unknown("forward compatibility works on some RTX boards, which are not listed")
            }
            Some(GpuClass::Embedded) => {
                unknown("forward compatibility on a Jetson has packages of its own")
            }
            None => {
                unknown("the GPU's class is not known, and forward compatibility depends on it")
            }
        }
    }
}

/// Whether the libcuda of a branch knows a chip.
fn knows(chip: Option<&Chip>, branch: u16) -> bool {
    chip.is_none_or(
        |chip| match gpu::reach(chip, DriverVersion::newest_of(branch)) {
            Reach::Drives | Reach::Unproven(_) => true,
            Reach::Not(_) => false,
        },
    )
}

/// Warns where the libraries are newer than the host's and do not apply: on a GPU without forward
/// compatibility (error 804), on one that their libcuda does not know, or over a driver branch that is not on
/// their list (error 803 where a runtime loads them all the same).
pub(super) fn check(case: &Case<'_>, report: &mut Report) {
    let Some(package @ CompatPackage::Present { .. }) = case.software.compat.value() else {
        return;
    };
    match &case.compat {
        CompatState::ClassExcluded { .. }
        | CompatState::ChipExcluded { .. }
        | CompatState::BranchNotListed { .. } => {}
        CompatState::Absent
        | CompatState::NotNewer
        | CompatState::Applies { .. }
        | CompatState::Unknown { .. } => return,
    }
    let found = Cause::Compat {
        package: package.clone(),
        state: case.compat.clone(),
    };
    let facts = used(FactName::Compat, &case.software.compat, FactValue::Compat)
        .into_iter()
        .collect();
    report.warns(Code::Compat, Verdict::Runs, found, facts);
}
