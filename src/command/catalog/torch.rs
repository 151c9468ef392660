//! Builds of torch: which GPUs each one has code for.

use serde::Serialize;

use super::row::{self, Column, Row, column, wide};
use super::{Request, Unusable, cut};
use crate::compat::catalog::{Channel, ReleasePattern, TorchBuild};
use crate::compat::{Catalog, ComputeCapability, CpuArchitecture, TorchVersion, Variant};

/// One build.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Build {
    torch: String,
    variant: String,
    packaging: &'static str,
    arch: &'static str,
    pip_default: bool,
    sass: Vec<String>,
    ptx: Vec<String>,
    stray: Vec<String>,
    cudnn: Option<String>,
    released: Option<String>,
    note: Option<String>,
    origin: &'static str,
    proof: &'static str,
    source: String,
    #[serde(skip)]
    compiled_for: String,
    #[serde(skip)]
    ptx_for: String,
    #[serde(skip)]
    stray_for: String,
}

/// What a filter word asks for.
enum Wish {
    Release {
        major: u16,
        minor: u16,
        patch: Option<u16>,
    },
    Variant(Variant),
    Architecture(CpuArchitecture),
    Packaging(Channel),
    PipDefault,
    Runs(ComputeCapability),
}

/// The builds that fit all words of the filter, in the catalog's order.
pub(super) fn rows(request: &Request<'_>) -> Result<Vec<Build>, Unusable> {
    let mut wishes = Vec::new();
    for word in request.filter {
        wishes.extend(wishes_of(word)?);
    }
    let catalog = request.catalog;
    let fits = |build: &&TorchBuild| wishes.iter().all(|wish| wish.fits(catalog, build));
    let builds = catalog.torch_builds().iter().filter(fits);
    Ok(builds.map(|build| Build::of(catalog, build)).collect())
}

impl Row for Build {
    const COLUMNS: &'static [Column] = &[
        column("TORCH"),
        column("ARCH"),
        column("FROM"),
        column("DEFAULT"),
        column("COMPILED FOR"),
        column("PTX"),
        column("CUDNN"),
        column("PROOF"),
        wide("RELEASED"),
        wide("STRAY CODE"),
        wide("NOTE"),
        wide("SOURCE"),
    ];

    fn name(&self) -> String {
        format!("{}+{}", self.torch, self.variant)
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.name(),
            self.arch.to_owned(),
            self.packaging.to_owned(),
            if self.pip_default { "yes" } else { "-" }.to_owned(),
            self.compiled_for.clone(),
            self.ptx_for.clone(),
            row::or_dash(self.cudnn.as_ref()),
            self.proof.to_owned(),
            row::or_dash(self.released.as_ref()),
            self.stray_for.clone(),
            row::or_dash(self.note.as_ref()),
            self.source.clone(),
        ]
    }
}

impl Build {
    fn of(catalog: &Catalog, build: &TorchBuild) -> Self {
        Self {
            torch: build.release.to_string(),
            variant: build.variant.to_string(),
            packaging: build.channel.word(),
            arch: build.arch.word(),
            pip_default: is_default(catalog, build),
            sass: row::sass_names(&build.sass),
            ptx: row::ptx_names(&build.ptx),
            stray: row::sass_names(&build.stray),
            cudnn: build.cudnn.map(|version| version.to_string()),
            released: build.released.as_deref().map(str::to_owned),
            note: build.note.as_deref().map(str::to_owned),
            origin: build.origin.word(),
            proof: build.proof.word(),
            source: build.source.to_string(),
            compiled_for: row::capabilities(&build.sass),
            ptx_for: row::capabilities(&build.ptx),
            stray_for: row::capabilities(&build.stray),
        }
    }
}

/// The version that a row stands for; for all patch releases, the first one.
pub(super) fn version_of(release: ReleasePattern) -> TorchVersion {
    TorchVersion::release(
        release.major,
        release.minor,
        release.patch.unwrap_or_default(),
    )
}

fn is_default(catalog: &Catalog, build: &TorchBuild) -> bool {
    build.channel == Channel::Pip
        && catalog.default_variant(&version_of(build.release), build.arch) == Some(build.variant)
}

/// The wishes in one word: `2.6.0+cu124` holds two.
fn wishes_of(word: &str) -> Result<Vec<Wish>, Unusable> {
    let parts = word.split('+').filter(|part| !part.is_empty());
    let wishes = parts.map(wish_of).collect::<Option<Vec<_>>>();
    wishes.filter(|wishes| !wishes.is_empty()).ok_or_else(|| Unusable::Word {
        word: cut(word),
        table: "torch build",
        expected: "a release (2.6, 2.6.0+cu124), a variant (cu124), amd64, arm64, pip, conda, default, or a GPU \
                   target (sm_61)",
    })
}

fn wish_of(word: &str) -> Option<Wish> {
    let lower = word.to_ascii_lowercase();
    if lower == "default" {
        return Some(Wish::PipDefault);
    }
    if let Some(capability) = row::target_word(&lower) {
        return Some(Wish::Runs(capability));
    }
    let variant = lower.parse().ok().map(Wish::Variant);
    let architecture = || lower.parse().ok().map(Wish::Architecture);
    let packaging = || lower.parse().ok().map(Wish::Packaging);
    variant
        .or_else(architecture)
        .or_else(packaging)
        .or_else(|| release(&lower))
}

fn release(word: &str) -> Option<Wish> {
    let version: TorchVersion = word.trim_end_matches(".x").parse().ok()?;
    let written = word
        .trim_start_matches('v')
        .split('.')
        .filter(|part| *part != "x")
        .count();
    Some(Wish::Release {
        major: version.major,
        minor: version.minor,
        patch: (written > 2).then_some(version.patch),
    })
}

impl Wish {
    fn fits(&self, catalog: &Catalog, build: &TorchBuild) -> bool {
        match *self {
            Self::Release {
                major,
                minor,
                patch,
            } => {
                let same_patch = patch.is_none()
                    || build.release.patch.is_none()
                    || build.release.patch == patch;
                (build.release.major, build.release.minor) == (major, minor) && same_patch
            }
            Self::Variant(variant) => build.variant == variant,
            Self::Architecture(arch) => build.arch == arch,
            Self::Packaging(channel) => build.channel == channel,
            Self::PipDefault => is_default(catalog, build),
            Self::Runs(capability) => catalog
                .torch_builds_for(capability, build.arch, build.channel)
                .any(|other| std::ptr::eq(other, build)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(filter: &str) -> Vec<String> {
        let catalog = Catalog::embedded();
        let mut wishes = Vec::new();
        for word in filter.split_whitespace() {
            wishes.extend(wishes_of(word).unwrap());
        }
        let fits = |build: &&TorchBuild| wishes.iter().all(|wish| wish.fits(catalog, build));
        let builds = catalog.torch_builds().iter().filter(fits);
        builds
            .map(|build| Build::of(catalog, build).name())
            .collect()
    }

    #[test]
    fn words_are_read_together() {
        assert_eq!(names("2.6"), ["2.6.0+cu118", "2.6.0+cu124", "2.6.0+cu126"]);
        assert_eq!(names("2.6 default"), ["2.6.0+cu124"]);
        assert_eq!(names("2.7.1+cu128 amd64"), ["2.7.x+cu128"]);
        assert_eq!(names("2.6 sm_37"), ["2.6.0+cu118"]);
        assert_eq!(names("cu121 conda 2.4.x"), ["2.4.x+cu121"]);
    }

    #[test]
    fn words_that_mean_nothing_are_refused() {
        for word in ["two", "+", "cu", "sm_", "2", "2.6.0.0.0"] {
            assert!(wishes_of(word).is_err(), "{word}");
        }
    }
}
