//! Forward compatibility: whether the `cuda-compat` libraries in an image take the place of the host's.

use std::sync::Arc;

use super::Case;
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
            let package = Package::new(catalog, *cuda, *driver, branches.clone());
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
    package: &Package,
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
struct Package {
    cuda: CudaVersion,
    driver: Option<DriverVersion>,
    /// Branch that it comes from.
    branch: Option<u16>,
    listed: Option<Arc<[u16]>>,
}

impl Package {
    fn new(
        catalog: &Catalog,
        cuda: CudaVersion,
        driver: Option<DriverVersion>,
        noted: Option<Arc<[u16]>>,
    ) -> Self {
        let toolkit = catalog.toolkit(cuda);
        let paired = || {
            toolkit
                .and_then(Toolkit::first_driver)
                .map(DriverFloor::branch)
        };
        let branch = driver.map(DriverVersion::branch).or_else(paired);
        let listed = noted.or_else(|| {
            toolkit
                .and_then(|toolkit| toolkit.forward.as_deref())
                .map(Arc::from)
        });
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
    /// still know the chip (nvidia/container-images/cuda issue 182).
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
        match &self.listed {
            None => unknown("the driver branches that its package accepts are not known"),
            Some(branches) if branches.contains(&driver.branch()) => self.state_on_gpu(host, chip),
            Some(branches) => CompatState::BranchNotListed {
                branches: branches.clone(),
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
        if let Some(branch) = self.branch.filter(|branch| forgets(chip, *branch)) {
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

fn forgets(chip: Option<&Chip>, branch: u16) -> bool {
    chip.and_then(|chip| chip.last_driver)
        .is_some_and(|last| branch > last)
}

/// Warns where the libraries would be put in front of the host's and do not work there: error 804 on GPUs
/// without forward compatibility. Where their libcuda no longer knows the chip, the outcome is unknown.
pub(super) fn check(case: &Case<'_>, report: &mut Report) {
    let Some(package @ CompatPackage::Present { .. }) = case.software.compat.value() else {
        return;
    };
    match &case.compat {
        CompatState::ClassExcluded { .. } => {}
        CompatState::ChipExcluded { .. } => {
            report.missing_because(
                FactName::Compat,
                "its forward-compatibility libraries do not know this GPU any more",
            );
        }
        CompatState::Absent
        | CompatState::NotNewer
        | CompatState::BranchNotListed { .. }
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
