//! Questions about torch builds.

use super::Catalog;
use super::entry::TorchBuild;
use super::release::Channel;
use crate::compat::host::CpuArchitecture;
use crate::compat::rules::kernel::{self, Fit};
use crate::compat::software::Proof;
use crate::compat::target::ComputeCapability;
use crate::compat::version::{PreRelease, TorchVersion, Variant};

/// What is known about one torch build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TorchLookup<'a> {
    /// That build, or a row for all patch releases of its minor version.
    Known(&'a TorchBuild),
    /// Only a neighbouring patch release of the same minor version: its contents with proof `assumed`.
    Assumed(Box<TorchBuild>),
    /// Neither.
    Unknown,
}

impl TorchLookup<'_> {
    /// The build, if anything is known.
    #[must_use]
    pub fn build(&self) -> Option<&TorchBuild> {
        match self {
            Self::Known(build) => Some(build),
            Self::Assumed(build) => Some(build),
            Self::Unknown => None,
        }
    }
}

impl Catalog {
    /// The build of a release for a variant; the version's own label is not looked at.
    ///
    /// Nightlies, release candidates and NGC's alphas are other builds than the release: unknown.
    #[must_use]
    pub fn torch_build(
        &self,
        version: &TorchVersion,
        variant: Variant,
        arch: CpuArchitecture,
        channel: Channel,
    ) -> TorchLookup<'_> {
        if !matches!(version.stage, PreRelease::Final | PreRelease::Post(_)) {
            return TorchLookup::Unknown;
        }
        let same_kind = |build: &&TorchBuild| {
            (build.arch, build.channel, build.variant) == (arch, channel, variant)
                && (build.release.major, build.release.minor) == (version.major, version.minor)
        };
        let candidates: Vec<&TorchBuild> = self.torch_builds().iter().filter(same_kind).collect();
        let exact = candidates
            .iter()
            .find(|build| build.release.patch == Some(version.patch));
        if let Some(build) = exact.or_else(|| {
            candidates
                .iter()
                .find(|build| build.release.patch.is_none())
        }) {
            return TorchLookup::Known(build);
        }
        let distance = |build: &&&TorchBuild| {
            build
                .release
                .patch
                .map(|patch| patch.abs_diff(version.patch))
        };
        candidates
            .iter()
            .min_by_key(distance)
            .map_or(TorchLookup::Unknown, |build| {
                TorchLookup::Assumed(Box::new(TorchBuild {
                    proof: Proof::Assumed,
                    ..(**build).clone()
                }))
            })
    }

    /// What a plain `pip install torch==VERSION` gives on that architecture.
    #[must_use]
    pub fn default_variant(
        &self,
        version: &TorchVersion,
        arch: CpuArchitecture,
    ) -> Option<Variant> {
        let minor = (version.major, version.minor);
        let covers = |first: (u16, u16), last: (u16, u16)| (first..=last).contains(&minor);
        let entries = self.torch_default.entries().iter();
        let found = entries.filter(|entry| entry.arch == arch).find(|entry| {
            covers(
                (entry.first.major, entry.first.minor),
                (entry.last.major, entry.last.minor),
            )
        });
        found.map(|entry| entry.variant)
    }

    /// Builds of any release whose compiled code a GPU of that capability loads, the oldest release first.
    pub fn torch_builds_for(
        &self,
        capability: ComputeCapability,
        arch: CpuArchitecture,
        channel: Channel,
    ) -> impl Iterator<Item = &TorchBuild> {
        let runs = move |build: &&TorchBuild| {
            let cuda = if let Variant::Cuda(cuda) = build.variant {
                Some(cuda)
            } else {
                None
            };
            kernel::best_sass(self, &build.sass, capability, cuda) == Fit::Loads
        };
        self.torch_builds()
            .iter()
            .filter(move |build| build.arch == arch && build.channel == channel)
            .filter(runs)
    }

    /// Variants of one release that have compiled code for a GPU of that capability (to suggest a fix).
    #[must_use]
    pub fn variants_for(
        &self,
        version: &TorchVersion,
        capability: ComputeCapability,
        arch: CpuArchitecture,
        channel: Channel,
    ) -> Vec<Variant> {
        let builds = self.torch_builds_for(capability, arch, channel);
        let mut variants: Vec<Variant> = builds
            .filter(|build| build.release.matches(version))
            .map(|build| build.variant)
            .collect();
        variants.sort_unstable();
        variants.dedup();
        variants
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> TorchVersion {
        text.parse().unwrap()
    }

    fn cuda(text: &str) -> Variant {
        text.parse().unwrap()
    }

    /// The list of default wheels, and that arm64 was CPU-only up to 2.10.
    #[test]
    fn a_plain_install_gives_the_default_of_the_index() {
        let default = |text, arch| {
            Catalog::embedded()
                .default_variant(&version(text), arch)
                .map(|variant| variant.to_string())
        };
        let amd64 = [
            ("1.0.1", "cu90"),
            ("1.12.1", "cu102"),
            ("2.4.1", "cu121"),
            ("2.6.0", "cu124"),
            ("2.10.0", "cu128"),
            ("2.14.1", "cu130"),
            ("2.15.0", "cu132"),
        ];
        for (text, expected) in amd64 {
            assert_eq!(
                default(text, CpuArchitecture::Amd64).as_deref(),
                Some(expected),
                "{text}"
            );
        }
        assert_eq!(
            default("2.10.0", CpuArchitecture::Arm64).as_deref(),
            Some("cpu")
        );
        assert_eq!(
            default("2.11.0", CpuArchitecture::Arm64).as_deref(),
            Some("cu130")
        );
        assert_eq!(default("2.16.0", CpuArchitecture::Amd64), None);
    }

    #[test]
    fn an_exact_row_wins_over_a_row_for_all_patch_releases_and_a_neighbour_is_assumed() {
        let catalog = Catalog::embedded();
        let lookup = |text, variant: &str| {
            catalog.torch_build(
                &version(text),
                cuda(variant),
                CpuArchitecture::Amd64,
                Channel::Pip,
            )
        };
        assert!(
            matches!(lookup("2.9.1", "cu128"), TorchLookup::Known(build) if build.proof == Proof::Wheel)
        );
        assert!(
            matches!(lookup("2.9.1", "cu126"), TorchLookup::Known(build) if build.release.patch.is_none())
        );
        assert!(
            matches!(lookup("2.1.1", "cu121"), TorchLookup::Assumed(build) if build.proof == Proof::Assumed)
        );
        assert_eq!(lookup("2.6.0", "cu121"), TorchLookup::Unknown);
        assert_eq!(lookup("2.6.0rc3", "cu124"), TorchLookup::Unknown);
        assert_eq!(lookup("2.6.0a0+df5bbc09d1", "cu124"), TorchLookup::Unknown);
    }

    /// Only cu126 still has 7.0 in 2.11 and later (PR 175253).
    #[test]
    fn the_variants_with_code_for_a_gpu_can_be_listed() {
        let variants = |text, capability: &str| {
            let capability = capability.parse().unwrap();
            Catalog::embedded().variants_for(
                &version(text),
                capability,
                CpuArchitecture::Amd64,
                Channel::Pip,
            )
        };
        assert_eq!(variants("2.11.0", "7.0"), [cuda("cu126")]);
        assert_eq!(variants("2.6.0", "3.7"), [cuda("cu118")]);
        assert_eq!(variants("2.6.0", "10.0"), []);
        assert_eq!(variants("2.8.0", "12.0"), [cuda("cu128"), cuda("cu129")]);
    }
}
