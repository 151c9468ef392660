//! Checks of the knowledge base against itself: of the embedded tables by tests, of an overlay when it is read.

use super::Catalog;
use super::entry::{DriverBranch, Gpu, TorchBuild};
use super::key::Entry;
use super::table::Document;
use crate::compat::version::Variant;

/// An entry that contradicts another one, or lacks one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// Two entries of a table have one key.
    #[error("{table} {key}: there are two such entries")]
    Twice {
        /// The table.
        table: &'static str,
        /// The key.
        key: String,
    },
    /// A torch build names a toolkit that has no entry.
    #[error("torch {build}: there is no toolkit {cuda}")]
    NoToolkit {
        /// The build.
        build: String,
        /// The toolkit.
        cuda: String,
    },
    /// A torch build has code that its toolkit cannot build.
    #[error("torch {build}: CUDA {cuda} does not build {target}")]
    ImpossibleTarget {
        /// The build.
        build: String,
        /// The toolkit.
        cuda: String,
        /// The target.
        target: String,
    },
    /// A GPU or driver names a capability that has no entry.
    #[error("{table} {key}: there is no chip with compute capability {capability}")]
    NoChip {
        /// The table.
        table: &'static str,
        /// The entry.
        key: String,
        /// The capability.
        capability: String,
    },
}

/// Refuses two entries with one key.
pub(super) fn unique(document: &Document) -> Result<(), DataError> {
    unique_keys("torch", &document.torch)?;
    unique_keys("torch-default", &document.torch_default)?;
    unique_keys("toolkit", &document.toolkit)?;
    unique_keys("driver", &document.driver)?;
    unique_keys("chip", &document.chip)?;
    unique_keys("gpu", &document.gpu)?;
    unique_keys("library", &document.library)?;
    unique_keys("ngc", &document.ngc)?;
    unique_keys("error", &document.error)?;
    unique_keys("alias", &document.alias)
}

fn unique_keys<T: Entry>(table: &'static str, entries: &[T]) -> Result<(), DataError> {
    let mut keys: Vec<T::Key<'_>> = entries.iter().map(Entry::key).collect();
    keys.sort();
    let twice = keys.windows(2).find_map(|pair| match pair {
        [one, other] if one == other => Some(format!("{one:?}")),
        _ => None,
    });
    twice.map_or(Ok(()), |key| Err(DataError::Twice { table, key }))
}

/// Checks the entries of an overlay against the tables that it is laid over.
pub(super) fn overlay(catalog: &Catalog, document: &Document) -> Result<(), DataError> {
    document
        .torch
        .iter()
        .try_for_each(|build| torch(catalog, build))?;
    document
        .gpu
        .iter()
        .try_for_each(|product| gpu(catalog, product))?;
    document
        .driver
        .iter()
        .try_for_each(|branch| driver(catalog, branch))
}

/// Each torch build's toolkit exists, and each of its targets is one that the toolkit can build.
///
/// # Errors
/// The first contradiction.
pub fn torch(catalog: &Catalog, build: &TorchBuild) -> Result<(), DataError> {
    let Variant::Cuda(cuda) = build.variant else {
        return Ok(());
    };
    let name = format!("{}+{}", build.release, build.variant);
    if catalog.toolkit(cuda).is_none() {
        return Err(DataError::NoToolkit {
            build: name,
            cuda: cuda.to_string(),
        });
    }
    let impossible = build.sass.iter().chain(&build.ptx).find(|target| {
        !catalog
            .chip(target.capability)
            .is_some_and(|chip| chip.is_built_by(cuda))
    });
    impossible.map_or(Ok(()), |target| {
        let (cuda, target) = (cuda.to_string(), target.to_string());
        Err(DataError::ImpossibleTarget {
            build: name,
            cuda,
            target,
        })
    })
}

/// Each GPU's capability is known.
///
/// # Errors
/// If it is not.
pub fn gpu(catalog: &Catalog, product: &Gpu) -> Result<(), DataError> {
    if catalog.chip(product.capability).is_some() {
        return Ok(());
    }
    Err(DataError::NoChip {
        table: "gpu",
        key: product.name.to_string(),
        capability: product.capability.to_string(),
    })
}

/// Each driver branch's oldest GPU is known.
///
/// # Errors
/// If it is not.
pub fn driver(catalog: &Catalog, branch: &DriverBranch) -> Result<(), DataError> {
    if catalog.chip(branch.lowest).is_some() {
        return Ok(());
    }
    Err(DataError::NoChip {
        table: "driver",
        key: branch.branch.to_string(),
        capability: branch.lowest.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compat::catalog::Loading;
    use crate::compat::host::Platform;

    fn assert_sorted<T: Entry>(table: &'static str, entries: &[T]) {
        assert!(!entries.is_empty(), "{table} is empty");
        for pair in entries.windows(2) {
            assert!(
                pair[0].key() < pair[1].key(),
                "{table}: {:?} before {:?}",
                pair[0].key(),
                pair[1].key()
            );
        }
    }

    #[test]
    fn every_table_is_sorted_by_its_key_without_repetition() {
        let catalog = Catalog::embedded();
        assert_sorted("torch", catalog.torch_builds());
        assert_sorted("torch-default", catalog.torch_default.entries());
        assert_sorted("toolkit", catalog.toolkits());
        assert_sorted("driver", catalog.driver_branches());
        assert_sorted("chip", catalog.chips());
        assert_sorted("gpu", catalog.gpus());
        assert_sorted("library", catalog.libraries());
        assert_sorted("ngc", catalog.ngc_images());
        assert_sorted("error", catalog.error_texts());
    }

    #[test]
    fn every_entry_fits_the_others() {
        let catalog = Catalog::embedded();
        catalog
            .torch_builds()
            .iter()
            .for_each(|build| torch(catalog, build).unwrap());
        catalog
            .gpus()
            .iter()
            .for_each(|product| gpu(catalog, product).unwrap());
        catalog
            .driver_branches()
            .iter()
            .for_each(|branch| driver(catalog, branch).unwrap());
    }

    #[test]
    fn every_assembler_builds_what_the_chips_say() {
        let catalog = Catalog::embedded();
        for toolkit in catalog
            .toolkits()
            .iter()
            .filter(|toolkit| !toolkit.targets.is_empty())
        {
            for chip in catalog.chips() {
                let listed = toolkit
                    .targets
                    .iter()
                    .any(|target| target.capability == chip.capability);
                assert_eq!(
                    listed,
                    chip.is_built_by(toolkit.cuda),
                    "CUDA {} and {}",
                    toolkit.cuda,
                    chip.capability
                );
            }
        }
    }

    #[test]
    fn every_branch_drives_just_the_chips_that_name_it() {
        let catalog = Catalog::embedded();
        for branch in catalog.driver_branches() {
            for chip in catalog
                .chips()
                .iter()
                .filter(|chip| chip.platform == Platform::Dgpu)
            {
                let dropped = chip.last_driver.is_some_and(|last| branch.branch > last);
                assert_eq!(
                    dropped,
                    chip.capability < branch.lowest,
                    "R{} and {}",
                    branch.branch,
                    chip.capability
                );
            }
        }
    }

    #[test]
    fn levels_of_cuda_and_ptx_rise_with_branches_and_toolkits() {
        let catalog = Catalog::embedded();
        assert!(
            catalog
                .driver_branches()
                .is_sorted_by(|one, two| one.cuda < two.cuda)
        );
        assert!(
            catalog
                .driver_branches()
                .is_sorted_by(|one, two| one.ptx <= two.ptx)
        );
        assert!(
            catalog
                .toolkits()
                .is_sorted_by(|one, two| one.ptx <= two.ptx)
        );
        for toolkit in catalog.toolkits() {
            let branch = catalog
                .driver_branches()
                .iter()
                .find(|branch| branch.cuda == toolkit.cuda);
            if let (Some(branch), Some(floor)) = (branch, toolkit.first_driver()) {
                assert_eq!(floor.branch(), branch.branch, "CUDA {}", toolkit.cuda);
                assert_eq!(toolkit.ptx, branch.ptx, "CUDA {}", toolkit.cuda);
            }
        }
    }

    #[test]
    fn two_numbers_of_one_silicon_name_each_other_and_tegra_chips_load_only_their_own() {
        let catalog = Catalog::embedded();
        for chip in catalog.chips() {
            if let Some(twin) = chip.same_silicon {
                assert_eq!(
                    catalog.chip(twin).unwrap().same_silicon,
                    Some(chip.capability)
                );
            }
            let exact = chip.loading == Loading::Exact;
            assert!(
                !exact || chip.platform == Platform::Tegra,
                "{}",
                chip.capability
            );
        }
    }

    #[test]
    fn every_forward_list_names_listed_branches_older_than_the_toolkit() {
        let catalog = Catalog::embedded();
        for toolkit in catalog.toolkits() {
            for branch in toolkit.forward.iter().flatten() {
                assert!(
                    catalog
                        .driver_branches()
                        .iter()
                        .any(|listed| listed.branch == *branch),
                    "R{branch}"
                );
                assert!(
                    toolkit
                        .first_driver()
                        .is_none_or(|first| first.branch() > *branch),
                    "CUDA {}",
                    toolkit.cuda
                );
            }
        }
    }

    #[test]
    fn every_default_variant_is_what_the_builds_of_its_releases_have() {
        let catalog = Catalog::embedded();
        for entry in catalog.torch_default.entries() {
            let within = |build: &&TorchBuild| {
                let minor = (build.release.major, build.release.minor);
                build.arch == entry.arch
                    && (entry.first.major, entry.first.minor) <= minor
                    && minor <= (entry.last.major, entry.last.minor)
            };
            let wheels = catalog
                .torch_builds()
                .iter()
                .filter(within)
                .filter(|build| build.released.is_some());
            for wheel in wheels {
                assert_eq!(
                    wheel.variant, entry.variant,
                    "{} on {}",
                    wheel.release, wheel.arch
                );
            }
        }
    }

    #[test]
    fn no_source_names_a_place_that_only_its_author_can_see() {
        let catalog = Catalog::embedded();
        let sources = catalog.torch_builds().iter().map(|entry| &entry.source);
        let sources = sources.chain(catalog.gpus().iter().map(|entry| &entry.source));
        let sources = sources.chain(catalog.toolkits().iter().map(|entry| &entry.source));
        for source in sources {
            assert!(
                !source.text().is_empty() && !source.text().starts_with('/'),
                "{source}"
            );
        }
    }
}
