//! Branches of NVIDIA's Linux driver: the CUDA version that each offers, and the GPUs that it drives.

use serde::Serialize;

use super::row::{self, Column, Row, column, wide};
use super::{Request, Unusable, cut};
use crate::compat::catalog::DriverBranch;
use crate::compat::rules::gpu::{Reach, reach};
use crate::compat::{Catalog, ComputeCapability, DriverVersion};

/// One branch.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BranchRow {
    branch: u16,
    cuda: String,
    ptx: Option<String>,
    oldest_gpu: String,
    first_for: Vec<String>,
    dropped: Option<String>,
    life_cycle: Option<String>,
    proof: &'static str,
    source: String,
    #[serde(skip)]
    family: Option<String>,
}

/// What a filter word asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Branch(u16),
    Drives(ComputeCapability),
}

/// The branches that fit all words of the filter, the oldest first.
pub(super) fn rows(request: &Request<'_>) -> Result<Vec<BranchRow>, Unusable> {
    let wishes = request
        .filter
        .iter()
        .map(|word| wish(word))
        .collect::<Result<Vec<_>, _>>()?;
    let catalog = request.catalog;
    let fits = |branch: &&DriverBranch| wishes.iter().all(|wish| wish.fits(catalog, branch.branch));
    let branches = catalog.driver_branches().iter().filter(fits);
    Ok(branches
        .map(|branch| BranchRow::of(catalog, branch))
        .collect())
}

impl Row for BranchRow {
    const COLUMNS: &'static [Column] = &[
        column("BRANCH"),
        column("CUDA"),
        column("PTX"),
        column("OLDEST GPU"),
        column("FIRST FOR"),
        column("LIFE CYCLE"),
        wide("LEFT BEHIND"),
        wide("PROOF"),
        wide("SOURCE"),
    ];

    fn name(&self) -> String {
        self.branch.to_string()
    }

    fn cells(&self) -> Vec<String> {
        let family = self.family.as_ref().map(|family| format!(" ({family})"));
        vec![
            self.name(),
            self.cuda.clone(),
            row::or_dash(self.ptx.as_ref()),
            format!("{}{}", self.oldest_gpu, family.unwrap_or_default()),
            row::or_dash((!self.first_for.is_empty()).then(|| self.first_for.join(" "))),
            row::or_dash(self.life_cycle.as_ref()),
            row::or_dash(self.dropped.as_ref()),
            self.proof.to_owned(),
            self.source.clone(),
        ]
    }
}

impl BranchRow {
    fn of(catalog: &Catalog, branch: &DriverBranch) -> Self {
        let first = catalog.chips().iter().filter(|chip| {
            chip.first_driver
                .is_some_and(|floor| floor.branch() == branch.branch)
        });
        Self {
            branch: branch.branch,
            cuda: branch.cuda.to_string(),
            ptx: branch.ptx.map(|isa| isa.to_string()),
            oldest_gpu: branch.lowest.to_string(),
            first_for: first.map(|chip| chip.capability.to_string()).collect(),
            dropped: branch.dropped.as_deref().map(str::to_owned),
            life_cycle: branch.life_cycle.as_deref().map(str::to_owned),
            proof: branch.proof.word(),
            source: branch.source.to_string(),
            family: catalog
                .chip(branch.lowest)
                .map(|chip| chip.family.to_string()),
        }
    }
}

fn wish(word: &str) -> Result<Wish, Unusable> {
    let lower = word.to_ascii_lowercase();
    let number = lower.strip_prefix('r').unwrap_or(&lower);
    let branch = number
        .parse()
        .ok()
        .map(|driver: DriverVersion| Wish::Branch(driver.branch()));
    let drives = || row::target_word(&lower).map(Wish::Drives);
    branch.or_else(drives).ok_or_else(|| Unusable::Word {
        word: cut(word),
        table: "driver branch",
        expected: "a branch (550), a release (550.54.15) or a GPU target (sm_70: branches that drive it)",
    })
}

impl Wish {
    fn fits(&self, catalog: &Catalog, branch: u16) -> bool {
        match *self {
            Self::Branch(wanted) => branch == wanted,
            Self::Drives(capability) => catalog.chip(capability).is_some_and(|chip| {
                let driver = DriverVersion::newest_of(branch);
                chip.has_ordinary_driver() && reach(chip, driver) == Reach::Drives
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_stand_for_their_branch_and_targets_for_the_branches_that_drive_them() {
        assert_eq!(wish("550.54.15").ok(), Some(Wish::Branch(550)));
        assert_eq!(wish("R550").ok(), Some(Wish::Branch(550)));
        assert!(wish("55").is_err());
        let catalog = Catalog::embedded();
        let drives = wish("sm_70").unwrap();
        assert!(drives.fits(catalog, 580) && !drives.fits(catalog, 590));
        assert!(!wish("sm_120").unwrap().fits(catalog, 550));
    }
}
